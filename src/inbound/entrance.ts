/**
 * The entrance for mail that comes without an SMTP client: from the pickup folder, the command line, or back from badmail. The same limits, the same
 * onArrival, the same custody as behind a listener; its session is this machine's own (127.0.0.1), and its listener is the entrance's name.
 */
import type { Addressed } from "../mail/addressed.ts";
import type { Header } from "../mail/header.ts";
import { createId } from "../mail/ids.ts";
import { type Envelope, Message, type Recipient } from "../mail/message.ts";
import type { Reply } from "../mail/status.ts";
import { describeThrown, Fault, type FaultCode } from "../platform/fault.ts";
import { answerOf, needsUtf8 } from "./answer.ts";
import type { ArrivalResult } from "./arrival-record.ts";
import { Custody, type CustodyOptions } from "./custody.ts";
import type { Room } from "./disk-space.ts";
import { headerOctetsMax, MailDataReceiver, type ReceivedMail } from "./mail-data.ts";
import { SizePolicy } from "./oversize.ts";
import { InboundSession, keyOf } from "./session.ts";
import { completeHeader } from "./submitted-mail.ts";

export type EntranceName = "pickup" | "submit" | "sendmail" | "release";

export interface EntranceOptions extends CustodyOptions {
  /** Our own name, for Received and Message-ID fields. */
  readonly hostname: string;
  readonly sizeOctetsMax: number;
  readonly recipientsMax: number;
  readonly room: Room;
}

/** An envelope, or how the header tells it, with the header as it is to be sent. */
export type EnvelopeSource = Envelope | ((header: Header) => Addressed);

export interface Submission {
  readonly origin: EntranceName;
  /** What it throws, a Fault `submission.malformed`, is a refusal. */
  readonly envelope: EnvelopeSource;
  /** Header and body as a text of this machine: lines may end in LF. NUL is refused. */
  readonly octets: AsyncIterable<Buffer> | Buffer;
  /** Who hands it in, where that is known; sinks see it as the session's user. */
  readonly user?: string | null;
  /** The message's id, where it has one already. */
  readonly id?: string;
  readonly notes?: Readonly<Record<string, unknown>>;
  /** Facts for its log lines, such as the file's name. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

export type SubmitResult =
  | { readonly kind: "accepted" | "discarded" | "quarantined"; readonly id: string }
  | {
      readonly kind: "refused" | "deferred";
      /** As a client would hear it. */
      readonly reply: Reply;
      /** For whoever runs this machine: what was wrong, in words. */
      readonly reason: string;
      /** Code of the fault it was; null: a sink decided so. */
      readonly fault: FaultCode | null;
    };

export class Entrance {
  readonly #options: EntranceOptions;
  readonly #custody: Custody;
  readonly #sizes: SizePolicy;

  constructor(options: EntranceOptions) {
    this.#options = options;
    this.#custody = new Custody(options);
    this.#sizes = new SizePolicy(options);
  }

  /** Whether mail is taken now; why not, where it is not. */
  short(): string | null {
    return this.#options.room.short();
  }

  /** Takes the message in, or says why not; then nothing of it is kept. Reads `octets` to their end or to the first fault. Never throws for what is in them. */
  async submit(submission: Submission): Promise<SubmitResult> {
    const { clock, spool, sizeOctetsMax } = this.#options;
    const session = new LocalSession(submission, this.#options.hostname, clock.now());
    const id = submission.id ?? createId(clock.now());
    let receiver: MailDataReceiver | undefined;
    let received: ReceivedMail | undefined;
    let inCustody = false;
    let decided: (() => void) | undefined;
    let envelope = typeof submission.envelope === "function" ? undefined : submission.envelope;
    try {
      this.#checkRoom(submission.origin);
      const limits = { sizeOctetsMax, headerOctetsMax, lineEnds: "normalize", binary: false } as const;
      receiver = new MailDataReceiver(spool.createBody(), limits, { askOversize: this.#sizes.dataAsk(session, null) });
      const given = await receive(receiver, submission.octets);
      if (!("body" in given)) {
        this.#custody.record.refusedEarly(session, { id, ...envelopeFacts(envelope) }, given);
        return refused(given, given.text);
      }
      received = given;
      const addressed = addressedBy(submission.envelope, received.header);
      envelope = this.#checkEnvelope(addressed.envelope);
      this.#checkRoom(submission.origin);
      const at = clock.now();
      const message = new Message({
        id,
        receivedAt: at,
        origin: session.origin,
        envelope,
        header: completeHeader(addressed.header, {
          id,
          hostname: this.#options.hostname,
          entrance: submission.origin,
          envelope,
          at,
        }),
        separator: received.separator.length > 0 ? received.separator : crlf,
        body: received.body,
        notes: submission.notes ?? {},
      });
      this.#custody.record.received(session, message);
      // What is released has been through all of it before.
      if (submission.origin !== "release") decided = this.#options.onMessage?.(message);
      const verdict = await this.#options.dispatcher.ask("onArrival", { message });
      const { result, answer, bodies } = await this.#custody.carryOut(session, message, verdict);
      inCustody = bodies.includes(received.body);
      if (result === "refused" || result === "deferred") return refused(answer, answer.text);
      return { kind: result, id };
    } catch (error) {
      const answer = answerOf(error);
      this.#custody.record.failed(session, { id, ...envelopeFacts(envelope) }, answer, error);
      return refused(answer, describeThrown(error), error instanceof Fault ? error.code : null);
    } finally {
      decided?.();
      // A body that is in custody is the spool's; one that a sink put another in the place of is not.
      if (!inCustody) await receiver?.abort();
    }
  }

  /**
   * Takes a message that was decided on before straight into custody: no sink of the session is asked again, and room is made no matter.
   * @throws {Fault} `spool.full`, `spool.failed`, `spool.closed`; then nothing was taken
   */
  async readmit(message: Message, facts: Readonly<Record<string, unknown>>): Promise<ArrivalResult> {
    const session = new LocalSession({ origin: "release", facts }, this.#options.hostname, this.#options.clock.now());
    return (await this.#custody.accept(session, message)).result;
  }

  /** What is released has its place on the disk already. */
  #checkRoom(origin: EntranceName): void {
    if (origin !== "release" && this.#options.room.refusal(0) !== null)
      throw new Fault("spool.full", "Cannot take the message: the disk is short");
  }

  /** @throws {Fault} `submission.malformed` */
  #checkEnvelope(envelope: Envelope): Envelope {
    const { recipientsMax } = this.#options;
    // The same mailbox again is the same recipient; the first naming counts, as at RCPT.
    const known = new Map<string, Recipient>();
    for (const one of envelope.recipients) if (!known.has(keyOf(one.mailbox))) known.set(keyOf(one.mailbox), one);
    const recipients = [...known.values()];
    if (recipients.length === 0 || recipients.length > recipientsMax) {
      throw new Fault(
        "submission.malformed",
        `Cannot send a message to ${recipients.length} recipients: expected from 1 to ${recipientsMax}`,
      );
    }
    const options = international(envelope, recipients)
      ? { ...envelope.options, smtpUtf8: true as const }
      : envelope.options;
    return { reversePath: envelope.reversePath, recipients, ...(options && { options }) };
  }
}

/** A session of this machine with itself. */
class LocalSession extends InboundSession {
  readonly #facts: Readonly<Record<string, unknown>>;

  constructor(
    { origin, user, facts = {} }: Pick<Submission, "origin" | "user" | "facts">,
    hostname: string,
    startedAt: number,
  ) {
    super({ listener: origin, role: "submission", ip: "127.0.0.1", port: 0, startedAt });
    this.helo = hostname;
    this.user = user ?? null;
    this.#facts = facts;
  }

  override get logFields(): Readonly<Record<string, unknown>> {
    return {
      session: this.id,
      entrance: this.listener,
      ...(this.user !== null && { user: this.user }),
      ...this.#facts,
    };
  }
}

function addressedBy(source: EnvelopeSource, header: Header): Addressed {
  return typeof source === "function" ? source(header) : { envelope: source, header };
}

const crlf = Buffer.from("\r\n");

async function receive(
  receiver: MailDataReceiver,
  octets: Submission["octets"],
): ReturnType<MailDataReceiver["finish"]> {
  let last: number | undefined;
  for await (const chunk of Buffer.isBuffer(octets) ? [octets] : octets) {
    const more = receiver.write(chunk);
    if (more) await more;
    last = chunk.at(-1) ?? last;
    // Nobody has to be listened to the end here.
    if (receiver.fault || receiver.refusal) break;
  }
  // A text may lack the end of its last line; mail data does not. RFC 5321 §2.3.7.
  if (last !== 0x0a && last !== 0x0d) await receiver.write(crlf);
  return await receiver.finish();
}

/** RFC 6531 §3.4: who hands in a file does not say it. */
function international({ reversePath }: Envelope, recipients: readonly Recipient[]): boolean {
  return needsUtf8(reversePath) || recipients.some(({ mailbox }) => needsUtf8(mailbox));
}

function envelopeFacts(envelope: Envelope | undefined): object {
  return envelope
    ? { reversePath: envelope.reversePath, recipients: envelope.recipients.map(({ mailbox }) => mailbox) }
    : {};
}

function refused({ code, status, text }: Reply, reason: string, fault: FaultCode | null = null): SubmitResult {
  return { kind: code >= 500 ? "refused" : "deferred", reply: { code, status, text }, reason, fault };
}
