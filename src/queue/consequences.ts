/** What follows from an attempt beside the record of it: the report to the sender, the line in the log, the word to observers. */
import type { SubjectOf, TellName } from "../events/event.ts";
import { type TrackStep, trackCodes } from "../events/subject-delivery.ts";
import { createReport, type ReportedRecipient, type ReportKind, reportKinds } from "../mail/dsn.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import type { Log } from "../platform/log.ts";
import { describeOutcome, type Settlement } from "./attempt.ts";

/** Tells observers; never throws, nobody waits. */
export type Tell = <Name extends TellName>(name: Name, subject: SubjectOf<Name>) => void;

/**
 * The reports that an attempt calls for, one of each kind for all of its recipients; none where there is nobody to tell, or who does not want to be told:
 * then the log has the last word. RFC 5321 §4.5.5, §6.1; RFC 3461 §5.2.
 */
export async function createReports(
  message: Message,
  settlements: readonly Settlement[],
  context: { readonly hostName: string; readonly now: number; readonly log: Log },
): Promise<readonly Message[]> {
  const { hostName, now, log } = context;
  const { reversePath } = message.envelope;
  const untold = settlements.filter(
    (settlement) =>
      settlement.outcome.kind === "failed" && (reversePath === null || reportKindOf(settlement) === undefined),
  );
  if (untold.length > 0) {
    log[reversePath === null ? "warn" : "info"]("dsn.suppressed", {
      message: message.id,
      reason: reversePath === null ? "the reverse-path is null" : "the sender asked for no report of failures",
      recipients: untold.map(({ recipient }) => formatMailbox(recipient.mailbox)),
      outcomes: untold.map(({ outcome }) => describeOutcome(outcome)),
    });
  }
  if (reversePath === null) return [];
  const reports: Message[] = [];
  for (const kind of reportKinds) {
    const recipients = settlements
      .filter((settlement) => reportKindOf(settlement) === kind)
      .map((settlement) => reportedOf(kind, settlement, now));
    if (recipients.length === 0) continue;
    reports.push(await createReport({ kind, original: message, reversePath, recipients, hostName, now }));
  }
  return reports;
}

/** What this server owes the sender of it: undefined where that is nothing. RFC 3461 §4.1, §5.2. */
function reportKindOf({ recipient, outcome }: Settlement): ReportKind | undefined {
  const notify = recipient.options?.notify;
  switch (outcome.kind) {
    case "failed":
      return !notify || notify.includes("failure") ? "failed" : undefined;
    case "delivered":
      // Where the peer reports deliveries it does so from here on; where none answered, the mail is at its end.
      if (!notify?.includes("success") || outcome.dsnPassedOn) return undefined;
      return outcome.reply === null ? "delivered" : "relayed";
    default:
      return undefined;
  }
}

function reportedOf(kind: ReportKind, { recipient, outcome }: Settlement, now: number): ReportedRecipient {
  const { mailbox, options } = recipient;
  const given = outcome.status ?? outcome.reply?.status;
  const facts = {
    mailbox,
    ...(options?.originalRecipient ? { originalRecipient: options.originalRecipient } : {}),
    nextHop: outcome.nextHop,
    reply: outcome.reply,
    lastAttemptAt: now,
  };
  if (kind !== "failed") return { ...facts, status: given?.startsWith("2.") ? given : "2.0.0", reason: "" };
  const status = given ?? "5.0.0";
  // Paths, addresses and errors of ours are the operator's: the sender hears what the status says, and the peer's own words.
  return { ...facts, status, reason: senderReasons[status] ?? (outcome.reply ? "" : "It was refused.") };
}

const senderReasons: Readonly<Record<string, string>> = {
  "4.4.7": "It could not be delivered within the time allowed for it.",
  "5.3.4": "The message is larger than the next server takes.",
  "5.6.1": "The message holds binary data, which the next server does not take.",
  "5.6.7": "The message needs SMTPUTF8, which the next server does not offer.",
  "5.7.30": "The message asks for TLS all the way, which the next server does not offer.",
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
