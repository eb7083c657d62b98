/**
 * `onarrival session`: a session of the server on the terminal. You are the client; every sink's decision stands where it was made, those about a message
 * that was taken behind the reply. Nothing is queued, and no port is opened.
 */
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { traceOf } from "../events/observation.ts";
import { type TraceEntry, Tracer } from "../events/trace.ts";
import { listenerOf, listNames, type Rehearsal, rehearse } from "../main-rehearsal.ts";
import { openStage } from "../main-stage.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";
import { readSession } from "./test-session.ts";
import { formatDecision } from "./trace-lines.ts";

export interface SessionCommandFlags extends SettingsFlags {
  readonly ip?: string;
  readonly helo?: string;
  readonly user?: string;
  readonly listener?: string;
  readonly tls?: boolean;
  readonly json?: boolean;
}

/** Lines from `input` go to the session until it ends, or they do. @throws {UsageError}; {Fault} as openStage */
export async function session(
  flags: SessionCommandFlags,
  context: CommandContext,
  input: Readable & { readonly isTTY?: boolean } = process.stdin,
): Promise<ExitStatus> {
  const loaded = loadSettings(flags, context);
  const facts = readSession(flags, loaded.config);
  const { out, err } = context.terminal;
  const { stage, close } = await openStage(loaded);
  const tracer = new Tracer();
  const rehearsal = rehearse(stage, {
    bindings: listNames.flatMap((list) => stage.bindingsOf(list)),
    listener: facts.listener,
    session: { ip: facts.ip, user: facts.user, tls: flags.tls ?? false },
    tracer,
    observe: (observation) => tracer.publish(traceOf(observation, stage.clock.now())),
  });
  const isTyped = input.isTTY === true && !flags.json;
  const stop = tracer.follow((entry) => {
    // What is typed stands on the terminal already.
    if (isTyped && entry.kind === "line" && entry.way === "got") return;
    out.write(flags.json ? `${JSON.stringify(entry)}\n` : formatEntry(entry, out));
  });
  const { role } = listenerOf(stage, facts.listener);
  try {
    if (isTyped)
      err.write(
        err.paint("dim", `You are ${facts.ip} on ${facts.listener}. QUIT or Ctrl-D ends; nothing is queued.\n`),
      );
    await rehearsal.session.begin();
    // With --helo the greeting is said for you.
    if (flags.helo !== undefined && !rehearsal.session.isOver) {
      const line = `${role === "lmtp" ? "LHLO" : "EHLO"} ${facts.helo}`;
      if (isTyped) out.write(`${out.paint("cyan", "C:")} ${line}\n`);
      await rehearsal.session.say(Buffer.from(`${line}\r\n`));
    }
    await talk(rehearsal, input, isTyped ? out.paint("cyan", "C: ") : null);
    return exitStatus.done;
  } finally {
    stop();
    await rehearsal.release();
    await close();
  }
}

/** Says line after line, each when the one before is answered, and what it makes us take is where it would go. */
async function talk(
  { session, attempt }: Pick<Rehearsal, "session" | "attempt">,
  input: Readable,
  prompt: string | null,
): Promise<void> {
  if (session.isOver) return;
  const lines = createInterface({
    input,
    crlfDelay: Number.POSITIVE_INFINITY,
    ...(prompt !== null && { output: process.stdout, prompt, terminal: true }),
  });
  const ask = () => {
    // Mail data is typed as it is.
    if (prompt !== null) lines.setPrompt(session.inData ? "" : prompt);
    if (prompt !== null) lines.prompt();
  };
  ask();
  for await (const line of lines) {
    await session.say(Buffer.from(`${line}\r\n`));
    await attempt();
    if (session.isOver) break;
    ask();
  }
  lines.close();
}

function formatEntry(entry: TraceEntry, out: Output): string {
  switch (entry.kind) {
    case "line": {
      const isClient = entry.way === "got";
      return `${out.paint(isClient ? "cyan" : "green", isClient ? "C:" : "S:")} ${plain(entry.text)}\n`;
    }
    case "decision":
      return `${formatDecision(entry, out)}\n`;
    case "note":
      return `${out.paint("dim", `   ${plain(entry.text)}`)}\n`;
    default:
      return "";
  }
}
