/**
 * Which reports an attempt calls for, and what they say: what the sender asked for (RFC 3461), in the words of a template, as the sinks at onDsn leave them.
 * Whatever a sink does, a report is made, unless one says that it shall not be.
 */
import { setImmediate } from "node:timers/promises";
import type { SubjectOf } from "../events/event.ts";
import type { DsnSubject } from "../events/subject-transport.ts";
import { Revocable } from "../events/undo.ts";
import type { Verdict } from "../events/verdict.ts";
import { createReport } from "../mail/dsn.ts";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";
import { Message } from "../mail/message.ts";
import { type ReportedRecipient, type ReportKind, type ReportWords, reportKinds } from "../mail/report-facts.ts";
import type { ReportTemplate } from "../mail/report-template.ts";
import { checkReportSubject, checkReportText, writeWords } from "../mail/report-words.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { describeOutcome, type Settlement } from "./attempt.ts";
import type { CreateReports } from "./ports.ts";

/** Recipients of one report; of what is more there is another one. */
export const reportedRecipientsMax = 1_000;

/** What the reporter asks of the dispatcher. */
export interface ReportEvents {
  bindingsOf(event: "onDsn"): readonly unknown[];
  ask(event: "onDsn", subject: SubjectOf<"onDsn">): Verdict | Promise<Verdict>;
}

export interface ReporterOptions {
  /** Name of this server. */
  readonly hostName: string;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
  /** Absent: nobody is asked. */
  readonly events?: ReportEvents;
  /** Read anew for each report: a reload may change it. null: our own words. */
  readonly template?: () => ReportTemplate | null;
  /** How long a message is tried, for reports of delay; absent: they do not say. */
  readonly lifetimeMs?: () => number;
}

/**
 * Makes the reports of an attempt: one of each kind for all of its recipients; none where there is nobody to tell, or who does not want to be told: then the
 * log has the last word. RFC 5321 §4.5.5, §6.1; RFC 3461 §5.2.
 */
export function createReporter(options: ReporterOptions): CreateReports {
  const { hostName, clock, log, events, template, lifetimeMs } = options;

  async function report(
    original: Message,
    reversePath: Mailbox,
    kind: ReportKind,
    recipients: readonly ReportedRecipient[],
  ): Promise<Message | undefined> {
    const retryUntil = kind === "delayed" && lifetimeMs ? original.receivedAt + lifetimeMs() : undefined;
    const facts = {
      kind,
      original,
      reversePath,
      recipients,
      hostName,
      ...(retryUntil === undefined ? {} : { retryUntil }),
    };
    let words: ReportWords = writeWords(facts, template?.() ?? null);
    if (events && events.bindingsOf("onDsn").length > 0) {
      const question = new DsnQuestion(original, kind, recipients, words);
      // A report that nobody could be asked about is still owed.
      const verdict = await Promise.resolve(events.ask("onDsn", question)).catch((error: unknown) => {
        log.error("dsn.unasked", { message: original.id, report: kind, reason: describeThrown(error) });
        return undefined;
      });
      if (verdict?.kind === "discard") {
        log.info("dsn.suppressed", {
          message: original.id,
          report: kind,
          reason: verdict.reason,
          by: verdict.by,
          recipients: recipients.map(({ mailbox }) => formatMailbox(mailbox)),
        });
        return undefined;
      }
      words = { subject: question.subject, text: question.text };
    }
    return await createReport({ ...facts, words, now: clock.now() });
  }

  return async (message, settlements) => {
    const { reversePath } = message.envelope;
    logUntold(message, settlements, log);
    // Never about a report, nor about anything else that is not to be answered. RFC 5321 §4.5.5.
    if (reversePath === null) return [];
    // Most mail arrives, and nobody asked to be told.
    if (settlements.every((settlement) => reportKindOf(settlement) === undefined)) return [];
    const now = clock.now();
    const reports: Message[] = [];
    for (const kind of reportKinds) {
      const recipients = settlements
        .filter((settlement) => reportKindOf(settlement) === kind)
        .map((settlement) => reportedOf(kind, settlement, now));
      for (let at = 0; at < recipients.length; at += reportedRecipientsMax) {
        // Others are served in between.
        if (at > 0) await setImmediate();
        const made = await report(message, reversePath, kind, recipients.slice(at, at + reportedRecipientsMax));
        if (made) reports.push(made);
      }
    }
    return reports;
  };
}

/** A report that is about to be made, as sinks see it. What they say holds when all have been asked. */
export class DsnQuestion extends Revocable implements DsnSubject {
  readonly message: Message;
  readonly kind: ReportKind;
  readonly recipients: readonly ReportedRecipient[];
  text: string;
  subject: string;

  constructor(original: Message, kind: ReportKind, recipients: readonly ReportedRecipient[], words: ReportWords) {
    super();
    this.message = new ReadOnlyMessage(original);
    this.kind = kind;
    this.recipients = recipients;
    this.text = words.text;
    this.subject = words.subject;
  }

  readonly setText = (text: string): void => {
    this.text = checkReportText(text);
    this.note("set text");
  };

  readonly setSubject = (subject: string): void => {
    this.subject = checkReportSubject(subject);
    this.note(`subject ${this.subject}`);
  };
}

/** A copy of a message that nobody writes to: what became of it is settled. */
class ReadOnlyMessage extends Message {
  constructor({ id, receivedAt, origin, ...state }: Message) {
    super({ id, receivedAt, origin, ...state });
    this.revoke();
  }

  /** Nothing of it has changed. */
  override restore(): void {}
}

function logUntold(message: Message, settlements: readonly Settlement[], log: Log): void {
  const { reversePath } = message.envelope;
  const untold = settlements.filter(
    (settlement) =>
      settlement.outcome.kind === "failed" && (reversePath === null || reportKindOf(settlement) === undefined),
  );
  if (untold.length === 0) return;
  log[reversePath === null ? "warn" : "info"]("dsn.suppressed", {
    message: message.id,
    reason: reversePath === null ? "the reverse-path is null" : "the sender asked for no report of failures",
    recipients: untold.map(({ recipient }) => formatMailbox(recipient.mailbox)),
    outcomes: untold.map(({ outcome }) => describeOutcome(outcome)),
  });
}

/** What this server owes the sender of it: undefined where that is nothing. RFC 3461 §4.1, §5.2. */
function reportKindOf({ recipient, outcome, delayed }: Settlement): ReportKind | undefined {
  const notify = recipient.options?.notify;
  switch (outcome.kind) {
    case "failed":
      return !notify || notify.includes("failure") ? "failed" : undefined;
    case "delivered":
      // Where the peer reports deliveries it does so from here on; where none answered, the mail is at its end.
      if (!notify?.includes("success") || outcome.dsnPassedOn) return undefined;
      if (outcome.isExpanded) return "expanded";
      return outcome.reply === null ? "delivered" : "relayed";
    default:
      return delayed && (!notify || notify.includes("delay")) ? "delayed" : undefined;
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
  switch (kind) {
    case "failed": {
      const status = given ?? "5.0.0";
      // Paths, addresses and errors of ours are the operator's: the sender hears what the status says, and the peer's own words.
      return { ...facts, status, reason: senderReasons[status] ?? (outcome.reply ? "" : "It was refused.") };
    }
    case "delayed": {
      // 4.4.1: nobody answered. RFC 3463 §3.5.
      const status = given?.startsWith("4.") ? given : outcome.destinationDown ? "4.4.1" : "4.0.0";
      return { ...facts, status, reason: senderReasons[status] ?? "" };
    }
    default:
      return { ...facts, status: given?.startsWith("2.") ? given : "2.0.0", reason: "" };
  }
}

const senderReasons: Readonly<Record<string, string>> = {
  "4.2.2": "The mailbox is full.",
  "4.4.1": "The recipient's server does not answer.",
  "4.4.7": "It could not be delivered within the time allowed for it.",
  "5.1.1": "There is no such mailbox.",
  "5.1.2": "There is no such domain.",
  "5.1.10": "The domain takes no mail.",
  "5.2.2": "The mailbox is full.",
  "5.3.4": "The message is larger than the next server takes.",
  "5.4.6": "It was passed round in a circle.",
  "5.6.1": "The message holds binary data, which the next server does not take.",
  "5.6.7": "The message needs SMTPUTF8, which the next server does not offer.",
  "5.7.30": "The message asks for TLS all the way, which the next server does not offer.",
};
