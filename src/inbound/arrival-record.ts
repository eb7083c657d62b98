/** What is written down of a message's arrival: one log line, the count, and its tracking steps. */
import type { Dispatcher } from "../events/dispatcher.ts";
import { type TrackStep, trackCodes } from "../events/subject-delivery.ts";
import { authSummary } from "../mail/auth-facts.ts";
import { fieldValue, type Header } from "../mail/header.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import { formatReversePath } from "../mail/path.ts";
import { describeScriptRecord, scriptRecords } from "../mail/script-record.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { Answer } from "./answer.ts";
import type { InboundSession, InboundTransaction } from "./session.ts";

/** Mail that did not get as far as a message; without an envelope where none could be read. */
type Attempted = Pick<InboundTransaction, "id"> & Partial<Pick<InboundTransaction, "reversePath" | "recipients">>;

export type ArrivalResult = "accepted" | "discarded" | "quarantined" | "refused" | "deferred";

interface RecordOptions {
  readonly dispatcher: Dispatcher;
  readonly clock: Clock;
  readonly log: Log;
  readonly count?: (result: ArrivalResult, sizeOctets: number) => void;
}

type Facts = Readonly<Record<string, unknown>>;

/** Recipients of a message that its log line names. */
const recipientsLogged = 10;

const steps: Readonly<Record<ArrivalResult, TrackStep>> = {
  accepted: "spooled",
  discarded: "discarded",
  quarantined: "quarantined",
  refused: "refused",
  deferred: "deferredAtArrival",
};

export class ArrivalRecord {
  readonly #options: RecordOptions;

  constructor(options: RecordOptions) {
    this.#options = options;
  }

  /** The message came in whole. */
  received(session: InboundSession, message: Message): void {
    this.#track(message.id, "received", { session: session.id, sizeOctets: message.sizeOctets });
  }

  /** It is decided what becomes of it. */
  finished(session: InboundSession, message: Message, result: ArrivalResult, facts: Facts): void {
    this.#options.count?.(result, message.sizeOctets);
    const { recipients } = message.envelope;
    const scripts = scriptRecords(message);
    this.#options.log.info(`message.${result}`, {
      message: message.id,
      ...session.logFields,
      from: formatReversePath(message.envelope.reversePath),
      to: recipients.slice(0, recipientsLogged).map(({ mailbox }) => formatMailbox(mailbox)),
      recipients: recipients.length,
      sizeOctets: message.sizeOctets,
      messageId: messageIdOf(message.header),
      ...(message.origin.auth && { auth: authSummary(message.origin.auth) }),
      ...(scripts.length > 0 && { scripts: scripts.map(describeScriptRecord) }),
      ...facts,
    });
    this.#track(message.id, steps[result], facts);
  }

  /** It met with a refusal while it came: by its header, or its size. Nothing of it was kept. */
  refusedEarly(session: InboundSession, transaction: Attempted, { code, status, text, by }: Answer): void {
    const result = code >= 500 ? "refused" : "deferred";
    this.#options.count?.(result, 0);
    this.#options.log.info(`message.${result}`, {
      ...this.#envelopeFields(session, transaction),
      code,
      status,
      reason: text,
      by,
    });
    this.#track(transaction.id, steps[result], { code });
  }

  /** Its data cannot be taken: the client keeps the message. */
  failed(session: InboundSession, transaction: Attempted, { code, status }: Answer, error: unknown): void {
    const result = code >= 500 ? "refused" : "deferred";
    this.#options.count?.(result, 0);
    const byClient = error instanceof Fault && error.blame === "client";
    this.#options.log[byClient ? "info" : "error"](`message.${result}`, {
      ...this.#envelopeFields(session, transaction),
      code,
      status,
      fault: error instanceof Fault ? error.code : "bug",
      reason: describeThrown(error),
      cause: error instanceof Error && error.cause !== undefined ? describeThrown(error.cause) : undefined,
      ...(error instanceof Fault ? {} : { stack: error instanceof Error ? error.stack : undefined }),
    });
    this.#track(transaction.id, steps[result], { code });
  }

  #envelopeFields(session: InboundSession, { id, reversePath, recipients }: Attempted): Facts {
    return {
      message: id,
      ...session.logFields,
      ...(reversePath !== undefined && { from: formatReversePath(reversePath) }),
      ...(recipients && { to: recipients.slice(0, recipientsLogged).map(formatMailbox) }),
    };
  }

  #track(messageId: string, step: TrackStep, facts: Facts): void {
    const { dispatcher, clock } = this.#options;
    if (dispatcher.bindingsOf("onTrack").length === 0) return;
    dispatcher.tell("onTrack", { messageId, step, code: trackCodes[step], at: clock.now(), facts });
  }
}

/** The header's own index is made where a sink looks things up; for one field of every message it is too dear. */
function messageIdOf({ fields }: Header): string | null {
  const field = fields.find(({ name }) => name.length === 10 && name.toLowerCase() === "message-id");
  return field ? fieldValue(field).slice(0, 200) : null;
}
