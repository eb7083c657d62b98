/** What follows from an attempt beside the record of it: the report to the sender, the line in the log, the word to observers. */
import type { SubjectOf, TellName } from "../events/event.ts";
import { type TrackStep, trackCodes } from "../events/subject.ts";
import { createFailureReport } from "../mail/dsn.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import type { Log } from "../platform/log.ts";
import { describeOutcome, type Settlement } from "./attempt.ts";

/** Tells observers; never throws, nobody waits. */
export type Tell = <Name extends TellName>(name: Name, subject: SubjectOf<Name>) => void;

/**
 * The report of an attempt's failures, one for all of them; undefined where there are none, or nobody to tell: then the log has the last word.
 * RFC 5321 §4.5.5, §6.1.
 */
export function reportFailures(
  message: Message,
  settlements: readonly Settlement[],
  context: { readonly hostName: string; readonly now: number; readonly log: Log },
): Message | undefined {
  const failed = settlements.filter(({ outcome }) => outcome.kind === "failed");
  if (failed.length === 0) return undefined;
  const { reversePath } = message.envelope;
  if (reversePath === null) {
    context.log.warn("dsn.suppressed", {
      message: message.id,
      reason: "the reverse-path is null",
      recipients: failed.map(({ recipient }) => formatMailbox(recipient.mailbox)),
      outcomes: failed.map(({ outcome }) => describeOutcome(outcome)),
    });
    return undefined;
  }
  return createFailureReport({
    original: message,
    reversePath,
    hostName: context.hostName,
    now: context.now,
    failed: failed.map(({ recipient, outcome }) => {
      const status = outcome.status ?? outcome.reply?.status ?? "5.0.0";
      return {
        mailbox: recipient.mailbox,
        status,
        // Paths, addresses and errors of ours are the operator's: the sender hears what the status says, and the peer's own words.
        reason: senderReasons[status] ?? (outcome.reply ? "" : "It was refused."),
        nextHop: outcome.nextHop,
        reply: outcome.reply,
        lastAttemptAt: context.now,
      };
    }),
  });
}

const senderReasons: Readonly<Record<string, string>> = {
  "4.4.7": "It could not be delivered within the time allowed for it.",
  "5.3.4": "The message is larger than the next server takes.",
  "5.6.7": "The message needs SMTPUTF8, which the next server does not offer.",
};

export class Teller {
  readonly #tell: Tell;
  readonly #log: Log;
  readonly #clock: Clock;

  constructor(options: { readonly tell: Tell; readonly log: Log; readonly clock: Clock }) {
    this.#tell = options.tell;
    this.#log = options.log;
    this.#clock = options.clock;
  }

  /** How an attempt ended for one recipient; after it was persisted, never before. `message` is undefined where it could not be loaded. */
  tellOutcome(
    messageId: string,
    attemptId: string,
    message: Message | undefined,
    { recipient, outcome, update }: Settlement,
  ): void {
    const words = describeOutcome(outcome);
    const facts = {
      attemptId,
      to: formatMailbox(recipient.mailbox),
      nextHop: outcome.nextHop,
      attempts: update.attempts,
      outcome: words,
    };
    const fields = { message: messageId, ...facts };
    if (outcome.kind === "delivered") this.#log.info("delivery.delivered", fields);
    else if (outcome.kind === "failed") this.#log.warn("delivery.failed", fields);
    else
      this.#log.info(`delivery.${outcome.kind}`, {
        ...fields,
        nextAttemptAt: new Date(update.nextAttemptAt).toISOString(),
      });
    // Observers know three outcomes; mail that is held is deferred mail with a reason.
    const step = outcome.kind === "held" ? "deferred" : outcome.kind;
    this.track(messageId, step, facts);
    if (!message) return;
    const subject = {
      message,
      attemptId,
      forwardPath: recipient.mailbox,
      nextHop: outcome.nextHop,
      reply: outcome.reply,
    };
    if (step === "delivered") this.#tell("onDelivered", subject);
    else if (step === "failed") this.#tell("onFailed", { ...subject, reason: words });
    else this.#tell("onDeferred", { ...subject, reason: words, nextAttemptAt: update.nextAttemptAt });
  }

  track(messageId: string, step: TrackStep, facts: Readonly<Record<string, unknown>> = {}): void {
    this.#tell("onTrack", { messageId, step, code: trackCodes[step], at: this.#clock.now(), facts });
  }
}
