/**
 * New messages of a run: what the sandbox gives as data, made into messages that the queue takes. Checked here, at the writer, whatever the sandbox said: grants,
 * addresses, fields, line ends, how deep, and for answers whether anybody may be answered (RFC 3834).
 */

import { whyNoAnswer } from "../../sandbox/guest/auto-answer.ts";
import type { Grants, RecipientRefusal, SubmissionResult } from "../../sandbox/protocol.ts";
import type { EventName } from "../events/event.ts";
import type { Verdict } from "../events/verdict.ts";
import { formatDate } from "../mail/date.ts";
import { createField, fieldValue, Header } from "../mail/header.ts";
import { idPattern } from "../mail/ids.ts";
import { generationMax, type MadeBy, madeBy, madeByNote } from "../mail/made-by.ts";
import { formatMailbox, type Mailbox, parseMailbox, sameMailbox } from "../mail/mailbox.ts";
import { type Envelope, inlineBody, Message, type Recipient, type Submission } from "../mail/message.ts";
import { Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { AnsweredLately } from "./answered.ts";
import { hasBareLineEnd } from "./body-lines.ts";
import { coversRecipient, type IsLocal } from "./grants.ts";
import { reportRefused } from "./refusals.ts";

export interface SubmissionPorts {
  /** Our own name. */
  readonly hostname: string;
  readonly now: () => number;
  readonly isLocal: IsLocal;
  /** Who writes where a message names nobody. */
  readonly postmaster: () => Mailbox;
  /** Octets of one message, header and all. */
  readonly sizeOctetsMax: number;
  /** Absent: nothing is remembered, and every reply is given. */
  readonly answered?: Pick<AnsweredLately, "claim">;
  /** Takes into custody what is made at an event whose message nobody commits; resolves when it is. @throws {Fault} as `Spool.accept` */
  readonly take: (messages: readonly Message[]) => Promise<void>;
  readonly log: Log;
}

/** Who makes messages, and of what. */
export interface Making {
  /** As its binding is named. */
  readonly script: string;
  readonly grants: Grants;
  /** The message in hand, as it is behind the run. */
  readonly message: Message;
  /** Its header before the run. */
  readonly header: Header;
}

/** Messages of one run, where no grant says so. */
const localMax = 10;
const recipientsMax = 1_000;
const fieldsMax = 1_000;
/** Whoever asks them commits the message with what it became. */
const committedEvents: readonly EventName[] = ["onArrival", "onPreCategorize", "onPostCategorize"];

const crlf = Buffer.from("\r\n");

export class SubmissionMaker {
  readonly #ports: SubmissionPorts;

  constructor(ports: SubmissionPorts) {
    this.#ports = ports;
  }

  /**
   * All of them, or none. An answer that is not to be given is left out, and the log says why.
   * @throws {Fault} `grant.missing`, `grant.limit`, `script.action-invalid`, `script.action-limit`
   */
  async make(results: readonly SubmissionResult[], making: Making): Promise<readonly Submission[]> {
    const generation = (madeBy(making.message)?.generation ?? 0) + 1;
    if (generation > generationMax) {
      throw new Fault(
        "script.action-limit",
        `Cannot make a message of one that was made ${generationMax} times over by scripts: most likely they answer each other`,
      );
    }
    this.#checkGrants(results, making);
    const made: Submission[] = [];
    for (const result of results) {
      const submission = await this.#makeOne(result, making, generation);
      if (submission) made.push(submission);
    }
    return made;
  }

  /** Takes refused recipients out of a message and makes the report on them; `before` is the envelope the run began with. @throws {Fault} `script.action-invalid` */
  async report(
    refusals: readonly RecipientRefusal[],
    message: Message,
    before: Envelope,
  ): Promise<readonly Submission[]> {
    const report = await reportRefused(message, before, refusals, this.#ports);
    if (report) return [{ message: report }];
    const recipients = refusals.map(({ recipient }) => recipient);
    this.#ports.log.info("dsn.suppressed", { message: message.id, reason: "nobody is to be told", recipients });
    return [];
  }

  /**
   * Behind a run: at an event whose message is committed with what it became, its submissions stay with it; at any other they are taken into custody now, unless the
   * script objects. @throws {Fault} `spool.full`, `spool.failed`, `spool.closed`
   */
  async settle(event: EventName, message: Message, verdict: Pick<Verdict, "kind">): Promise<void> {
    if (committedEvents.includes(event) || message.submissions.length === 0) return;
    const made = message.takeSubmissions();
    if (verdict.kind === "refuse" || verdict.kind === "defer" || verdict.kind === "drop") return;
    await this.#ports.take(made.map((one) => one.message));
    for (const { message: taken, taken: done } of made) {
      done?.();
      this.#ports.log.info("message.submitted", {
        message: taken.id,
        of: message.id,
        recipients: taken.envelope.recipients.length,
      });
    }
  }

  #checkGrants(results: readonly SubmissionResult[], { script, grants }: Making): void {
    const { isLocal } = this.#ports;
    const { submit } = grants;
    const max = submit?.max ?? localMax;
    if (results.length > max)
      throw new Fault("grant.limit", `${script} makes ${results.length} messages in one run: it may make ${max}`);
    for (const { kind, to } of results) {
      for (const address of to) {
        const mailbox = parseMailbox(address);
        const ours = isLocal(mailbox.domain);
        if (!submit) {
          // What stays with us needs none.
          if (kind === "forward" && ours) continue;
          throw new Fault(
            "grant.missing",
            `${script} makes a message (${kind}) without \`export const grants = { submit: true }\``,
          );
        }
        if (ours || submit.to === null) continue;
        if (!submit.to.some((allowed) => coversRecipient(allowed, formatMailbox(mailbox))))
          throw new Fault(
            "grant.limit",
            `${script} may not make messages to ${formatMailbox(mailbox)}: its grant \`submit\` names others`,
          );
      }
    }
  }

  async #makeOne(result: SubmissionResult, making: Making, generation: number): Promise<Submission | undefined> {
    const { script, message: original } = making;
    const recipients = recipientsOf(result.to);
    const made: MadeBy = {
      scripts: [...new Set([...(madeBy(original)?.scripts ?? []), script])],
      generation,
      of: original.id,
    };
    const notes = { [madeByNote]: made };
    if (!idPattern.test(result.id)) throw invalid("a message with an id that is none");
    if (result.kind === "forward") return { message: this.#forwarded(result, original, recipients, notes) };
    if (result.octets === null) throw invalid("a new message without content");
    let taken: (() => void) | undefined;
    if (result.kind === "reply") {
      const claim = await this.#claim(result, making, recipients);
      if (claim === null) return undefined;
      taken = claim.taken;
    }
    const message = this.#written(result, original, recipients, notes);
    return taken ? { message, taken } : { message };
  }

  /** null where nobody is to be answered. */
  async #claim(
    { id, onceWithinMs = 0 }: SubmissionResult,
    { script, message, header }: Making,
    recipients: readonly Recipient[],
  ): Promise<{ readonly taken: () => void } | null> {
    const { answered, log } = this.#ports;
    const { reversePath } = message.envelope;
    const sender = reversePath && formatMailbox(reversePath);
    const valuesOf = (name: string) =>
      header.fields.filter((field) => field.name.toLowerCase() === name.toLowerCase()).map(fieldValue);
    const why = whyNoAnswer(sender, valuesOf, []);
    // RFC 3834 §4: to the reverse-path, and nobody else.
    const isToSender = recipients.length === 1 && reversePath && sameMailbox(recipients[0]!.mailbox, reversePath);
    if (why === null && !isToSender) throw invalid("a reply to somebody else than the sender");
    const claim = why === null && answered ? await answered.claim(script, sender!, onceWithinMs) : undefined;
    if (why === null && claim !== null) return claim ?? { taken: () => {} };
    const reason = why ?? "it was answered lately";
    log.info("script.answer-withheld", { script, message: message.id, answer: id, to: sender, reason });
    return null;
  }

  #written(
    { id, from, fields, octets }: SubmissionResult,
    original: Message,
    recipients: readonly Recipient[],
    notes: Message["notes"],
  ): Message {
    const { hostname, now, postmaster, sizeOctetsMax } = this.#ports;
    const at = now();
    if (fields.length > fieldsMax) throw invalid(`a message of ${fields.length} fields`);
    const given = fields.map(([name, value]) => createField(name, value));
    const author = fields.find(([name]) => name.toLowerCase() === "from");
    if (!author) given.unshift(createField("From", formatMailbox(postmaster())));
    const header = new Header([
      createField("Received", this.#receivedValue(id, at)),
      createField("Date", formatDate(at)),
      createField("Message-ID", `<${id}@${hostname}>`),
      ...given,
    ]);
    const reversePath = from === null ? null : parseMailbox(from ?? formatMailbox(postmaster()));
    const body = Buffer.from(octets!);
    if (hasBareLineEnd(body)) throw invalid("a body with a CR, LF or NUL that stands alone");
    const size = header.octets.length + crlf.length + body.length;
    if (size > sizeOctetsMax)
      throw new Fault(
        "script.action-limit",
        `Cannot make a message of ${size} octets: expected ${sizeOctetsMax} at most`,
      );
    return new Message({
      id,
      receivedAt: at,
      origin: this.#originOf(original),
      envelope: envelopeOf({ reversePath, recipients }, /[^\x00-\x7f]/.test(header.octets.toString("latin1"))),
      header,
      separator: crlf,
      body: inlineBody(body),
      notes,
    });
  }

  /** The message in hand to somebody else. Its Received fields stay, so that a loop is found. */
  #forwarded(
    { id, from }: SubmissionResult,
    original: Message,
    recipients: readonly Recipient[],
    notes: Message["notes"],
  ): Message {
    const at = this.#ports.now();
    const { reversePath, options = {} } = original.envelope;
    const { body, smtpUtf8, requireTls } = options;
    return new Message({
      id,
      receivedAt: at,
      origin: original.origin,
      envelope: {
        reversePath: from === undefined ? reversePath : from === null ? null : parseMailbox(from),
        recipients,
        // What its sender asked for of reports is about his own recipients.
        options: { ...(body && { body }), ...(smtpUtf8 && { smtpUtf8 }), ...(requireTls && { requireTls }) },
      },
      header: original.header.prepend("Received", this.#receivedValue(id, at)),
      separator: original.separator,
      body: original.body,
      notes,
    });
  }

  #receivedValue(id: string, at: number): string {
    return `by ${this.#ports.hostname} (OnArrival, script) id ${id}; ${formatDate(at)}`;
  }

  /** No client handed it in: this machine made it, in that session. */
  #originOf({ origin }: Message): Message["origin"] {
    const { sessionId } = origin;
    return {
      sessionId,
      listener: "script",
      ip: "127.0.0.1",
      host: null,
      helo: this.#ports.hostname,
      user: null,
      tls: null,
    };
  }
}

function recipientsOf(to: readonly string[]): readonly Recipient[] {
  const mailboxes: Mailbox[] = [];
  for (const mailbox of to.map(parseMailbox))
    if (!mailboxes.some((other) => sameMailbox(other, mailbox))) mailboxes.push(mailbox);
  if (mailboxes.length === 0 || mailboxes.length > recipientsMax)
    throw invalid(`a message to ${mailboxes.length} recipients`);
  return mailboxes.map((mailbox) => ({ mailbox }));
}

/** RFC 6531 §3.4 where an address, or the header, is not ASCII. */
function envelopeOf(envelope: Envelope, isInternational: boolean): Envelope {
  const beyond = (mailbox: Mailbox | null) => mailbox !== null && /[^\x00-\x7f]/.test(mailbox.localPart);
  const needsUtf8 =
    isInternational || beyond(envelope.reversePath) || envelope.recipients.some(({ mailbox }) => beyond(mailbox));
  return needsUtf8 ? { ...envelope, options: { smtpUtf8: true } } : envelope;
}

function invalid(what: string): Fault {
  return new Fault("script.action-invalid", `Cannot make ${what}`);
}
