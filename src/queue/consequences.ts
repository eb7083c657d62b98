/** What follows from an attempt beside the record of it and the report to the sender (reports.ts): the line in the log, the word to observers. */
import type { SubjectOf, TellName } from "../events/event.ts";
import { type TrackStep, trackCodes } from "../events/subject-delivery.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import type { Log } from "../platform/log.ts";
import { describeOutcome, type Settlement } from "./attempt.ts";

/** Tells observers; never throws, nobody waits. */
export type Tell = <Name extends TellName>(name: Name, subject: SubjectOf<Name>) => void;

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
      // Nobody was tried where mail is held, nor where it went nowhere.
      ...(outcome.nextHop !== "" && { nextHop: outcome.nextHop }),
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
