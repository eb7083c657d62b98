/**
 * `sendmail -bs`: SMTP on standard input and output, for programs that submit so. Every message goes the same way as one on standard input; nothing is
 * relayed over the network, so it needs no listener and no login. RFC 5321.
 */
import type { SubmitEnvelope } from "../admin/submit-control.ts";
import type { RecipientOptions } from "../mail/envelope.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import { formatReversePath, parseForwardPath, parseReversePath } from "../mail/path.ts";
import type { Reply } from "../mail/status.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { ServerSession } from "../smtp/server-session.ts";
import type { ServerStep } from "../smtp/server-step.ts";
import type { Handed } from "./sendmail-delivery.ts";
import { inputOctetsMax } from "./sendmail-input.ts";
import { qualify } from "./sendmail-message.ts";

export interface SessionParts {
  readonly hostname: string;
  /** What names without a domain are given. */
  readonly domain: string;
  readonly user: string | null;
  readonly handOver: (envelope: SubmitEnvelope, octets: Buffer) => Promise<Handed>;
  readonly write: (text: string) => void;
}

/** What is offered of all the engine can: the rest asks for what an envelope of ours does not carry. */
const offered = /^(?:8BITMIME|SIZE|PIPELINING|ENHANCEDSTATUSCODES|SMTPUTF8)\b/;
const recipientsMax = 10_000;

/** Runs until QUIT, the end of input, or an error too many. */
export async function speakSmtp(input: AsyncIterable<Buffer>, parts: SessionParts): Promise<void> {
  const smtp = new ServerSession({
    hostname: parts.hostname,
    protocol: "smtp",
    sizeOctetsMax: inputOctetsMax,
    recipientsMax,
    startTls: false,
    binaryMime: false,
    xclient: false,
    xforward: false,
    mechanisms: () => [],
    errorsMax: 20,
    idleCommandsMax: 1_000,
    watchesCommands: () => false,
    watchesReplies: () => false,
  });
  const transaction = new Transaction(parts);
  smtp.greet();
  const run = async () => {
    for (let step = smtp.next(); step !== null; step = smtp.next()) await take(smtp, step, transaction);
    const output = smtp.takeOutput();
    if (output !== "") parts.write(output);
  };
  await run();
  for await (const octets of input) {
    smtp.receive(octets);
    await run();
    if (smtp.state === "closed") return;
  }
}

/** One message on its way in. */
class Transaction {
  readonly #parts: SessionParts;
  #from = "<>";
  #to: string[] = [];
  #pieces: Buffer[] = [];
  #sizeOctets = 0;

  constructor(parts: SessionParts) {
    this.#parts = parts;
  }

  begin(path: string): Reply {
    this.forget();
    this.#from = formatReversePath(parseReversePath(this.#qualified(path)));
    return { code: 250, status: "2.1.0", text: "Sender is right" };
  }

  add(path: string, options: RecipientOptions): Reply {
    // What was not offered is not done silently. RFC 5321 §4.1.1.11.
    if (options.notify !== undefined || options.originalRecipient !== undefined)
      return { code: 555, status: "5.5.4", text: "DSN is not offered here" };
    this.#to.push(formatMailbox(parseForwardPath(this.#qualified(path))));
    return { code: 250, status: "2.1.5", text: "Recipient is right" };
  }

  write(octets: Buffer): void {
    this.#sizeOctets += octets.length;
    if (this.#sizeOctets <= inputOctetsMax) this.#pieces.push(octets);
  }

  async finish(): Promise<Reply> {
    if (this.#sizeOctets > inputOctetsMax) return { code: 552, status: "5.3.4", text: "The message is too large" };
    const { user, handOver } = this.#parts;
    const envelope = { from: this.#from, to: this.#to, origin: "sendmail", user } as const;
    const handed = await handOver(envelope, Buffer.concat(this.#pieces));
    if ("reply" in handed) return handed.reply;
    const words = "id" in handed ? `queued as ${handed.id}` : "left in the pickup folder";
    return { code: 250, status: "2.0.0", text: words };
  }

  forget(): void {
    this.#from = "<>";
    this.#to = [];
    this.#pieces = [];
    this.#sizeOctets = 0;
  }

  #qualified(path: string): string {
    const inner = /^<([^<>@\s]+)>$/.exec(path)?.[1];
    return inner === undefined ? path : `<${qualify(inner, this.#parts.domain)}>`;
  }
}

async function take(smtp: ServerSession, step: ServerStep, transaction: Transaction): Promise<void> {
  switch (step.kind) {
    case "helo":
      transaction.forget();
      smtp.welcome(step.keywords.filter((line) => offered.test(line)));
      return;
    case "mail":
      smtp.answer(attempt(() => transaction.begin(step.path), "5.1.7"));
      return;
    case "rcpt":
      smtp.answer(attempt(() => transaction.add(step.path, step.options), "5.1.3"));
      return;
    case "data":
      smtp.answer({ code: 354, status: undefined, text: "Send the message, end it with a dot" });
      return;
    case "octets":
      transaction.write(step.octets);
      smtp.goOn();
      return;
    case "end-of-data": {
      const reply = await transaction.finish().catch(answerOf);
      transaction.forget();
      smtp.answer(reply);
      return;
    }
    case "reset":
      transaction.forget();
      smtp.goOn();
      return;
    case "close":
      return;
    default:
      // Of what is not offered no step comes; should one come, it is refused.
      smtp.answer({ code: 502, status: "5.5.1", text: "This is not offered here" });
  }
}

function attempt(work: () => Reply, status: string): Reply {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { code: 501, status, text: error.message.replace(/[^\x20-\x7e]/g, "?") };
  }
}

function answerOf(error: unknown): Reply {
  const text = describeThrown(error).replace(/[^\x20-\x7e]/g, "?");
  const isRefusal = error instanceof Fault && (error.facts.status === 400 || error.code === "submission.malformed");
  return isRefusal ? { code: 554, status: "5.6.0", text } : { code: 451, status: "4.3.0", text };
}
