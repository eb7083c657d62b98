/**
 * `onarrival sendmail`, and `onarrival-sendmail` in the place of /usr/sbin/sendmail: what programs of this machine send, with the options and the
 * exit status they know.
 */
import type { QueueItemView, QueuePage } from "../admin/queue-control.ts";
import type { Config } from "../config/schema.ts";
import { formatReply } from "../mail/status.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { askServer } from "./control-client.ts";
import { reportFailure } from "./failure.ts";
import { handOver } from "./sendmail-delivery.ts";
import { exitOfResult, exitOfThrown } from "./sendmail-exit.ts";
import { readInput } from "./sendmail-input.ts";
import { completeMessage, qualify, readAddresses, readSender } from "./sendmail-message.ts";
import { readSendmailOptions, type SendmailOptions } from "./sendmail-options.ts";
import { speakSmtp } from "./sendmail-session.ts";
import { type SysExit, sysExit } from "./sendmail-status.ts";
import { loadSettings } from "./settings.ts";
import { ownName } from "./submit.ts";
import { type CommandContext, plain } from "./terminal.ts";

/** Never throws: what goes wrong is a line on standard error and an exit status of sysexits.h. */
export async function sendmail(
  args: readonly string[],
  context: CommandContext,
  input: AsyncIterable<Buffer> = process.stdin,
): Promise<SysExit> {
  try {
    const options = readSendmailOptions(args);
    if (options.mode === "aliases") {
      context.terminal.err.write("The server reads its aliases by itself; there is nothing to do.\n");
      return sysExit.done;
    }
    const { config } = loadSettings(options.config === null ? {} : { config: options.config }, context);
    switch (options.mode) {
      case "message":
        return await sendMessage(options, config, context, input);
      case "session":
        return await runSession(config, context, input);
      case "list":
        return await listMail(config, context);
      case "flush":
        await ask(config, context, { method: "POST", path: "/api/v1/queue/retry", body: { all: true } });
        return sysExit.done;
    }
  } catch (error) {
    reportFailure(error, context.terminal);
    return exitOfThrown(error);
  }
}

async function sendMessage(
  options: SendmailOptions,
  config: Config,
  context: CommandContext,
  input: AsyncIterable<Buffer>,
): Promise<SysExit> {
  const domain = localDomain(config);
  const user = ownName();
  const from = readSender(options.from ?? defaultSender(config, context), config.hostname);
  const to = readAddresses(options.recipients, domain);
  let octets: Buffer;
  try {
    octets = await readInput(input, options);
  } catch (error) {
    if (error instanceof Fault) throw error;
    context.terminal.err.write(`onarrival: Cannot read the message: ${plain(describeThrown(error))}\n`);
    return sysExit.io;
  }
  const handed = await handOver(
    { config, cwd: context.cwd },
    {
      from,
      to,
      headerRecipients: options.headerRecipients,
      origin: "sendmail",
      user,
      ...(options.notify && { notify: options.notify }),
      ...(options.ret && { ret: options.ret }),
      ...(options.envelopeId !== null && { envelopeId: options.envelopeId }),
    },
    completeMessage(octets, { from, fullName: options.fullName, domain }),
  );
  if (handed.kind === "left") return sysExit.done;
  if ("reply" in handed) {
    const { reply, reason } = handed;
    const more = reason === reply.text ? "" : ` (${plain(reason)})`;
    context.terminal.err.write(`onarrival: not sent: ${plain(formatReply(reply))}${more}\n`);
  }
  return exitOfResult(handed);
}

async function runSession(config: Config, context: CommandContext, input: AsyncIterable<Buffer>): Promise<SysExit> {
  const domain = localDomain(config);
  await speakSmtp(input, {
    hostname: config.hostname,
    domain,
    user: ownName(),
    handOver: (envelope, octets) =>
      handOver(
        { config, cwd: context.cwd },
        envelope,
        completeMessage(octets, { from: envelope.from ?? "<>", fullName: null, domain }),
      ),
    write: (text) => context.terminal.out.write(text),
  });
  return sysExit.done;
}

/** As `mailq` prints it: programs count its lines. */
async function listMail(config: Config, context: CommandContext): Promise<SysExit> {
  const { items, total } = await ask<QueuePage>(config, context, { path: "/api/v1/queue?limit=100000" });
  context.terminal.out.write(formatMailQueue(items, total));
  return sysExit.done;
}

export function formatMailQueue(items: readonly QueueItemView[], total = items.length): string {
  if (items.length === 0) return "Mail queue is empty\n";
  const blocks = items.map(({ id, from, receivedAt, sizeOctets, running, recipients }) => {
    const waiting = recipients.filter(({ state }) => state === "queued");
    const mark = running ? "*" : waiting.every(({ heldBy }) => heldBy) ? "!" : " ";
    const head = `${id}${mark} ${String(sizeOctets).padStart(9)} ${arrival(receivedAt)}  ${plain(from === "<>" ? "MAILER-DAEMON" : from)}\n`;
    const lines = waiting.map(({ address, lastOutcome }) => {
      const why = lastOutcome === "" ? "" : `${" ".repeat(10)}(${plain(lastOutcome)})\n`;
      return `${why}${" ".repeat(49)}${plain(address)}\n`;
    });
    return head + lines.join("");
  });
  const kib = Math.ceil(items.reduce((sum, item) => sum + item.sizeOctets, 0) / 1024);
  const count = total === 1 ? "1 Request" : `${total} Requests`;
  return `-----Queue ID---- ---Size-- ----Arrival Time---- -Sender/Recipient-------\n${blocks.join("\n")}\n-- ${kib} Kbytes in ${count}.\n`;
}

/** `Mon Nov  2 09:30:00`, in the time of this machine. */
function arrival(iso: string): string {
  const [day, month, date, , time] = new Date(iso).toString().split(" ");
  return `${day} ${month} ${date!.replace(/^0/, " ")} ${time}`;
}

async function ask<Answer>(
  { data }: Config,
  { cwd }: CommandContext,
  question: { readonly method?: "POST"; readonly path: string; readonly body?: unknown },
): Promise<Answer> {
  return await askServer<Answer>({ data, cwd, timeoutMs: 60_000, ...question });
}

/** What names of this machine's users mean, as recipients. */
function localDomain({ domains, hostname }: Config): string {
  return domains.local[0] ?? hostname;
}

/** Who runs the program, at this machine. */
function defaultSender({ hostname }: Config, { env }: CommandContext): string {
  return qualify(ownName() ?? env.LOGNAME ?? "nobody", hostname);
}
