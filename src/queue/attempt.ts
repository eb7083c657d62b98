/** Attempts and their outcomes: what the queue asks of delivery, and how a recipient stands afterwards. Pure but for the types. */
import type { Message } from "../mail/message.ts";
import type { Reply } from "../mail/status.ts";
import { formatReply } from "../mail/status.ts";
import type { RecipientUpdate, StoredRecipient } from "../spool/spool.ts";
import type { RetrySchedule } from "./retry-schedule.ts";

/** How an attempt ended for one recipient. */
export interface Outcome {
  /** The recipient's place on the envelope. */
  readonly index: number;
  /** `held`: nothing was tried, because the operator has to act first; it costs no attempt, and is given up by nobody. */
  readonly kind: "delivered" | "deferred" | "failed" | "held";
  readonly nextHop: string;
  /** The peer's last word, where there was one. */
  readonly reply: Reply | null;
  /** For operators: one line, "" where the reply says it all. */
  readonly reason: string;
  /** Enhanced status code where the reply has none. RFC 3463. */
  readonly status?: string;
  /** Of what was delivered: the peer offered DSN and was told what the sender asked for, so reports of it are the peer's from here on. RFC 3461 §5.2.1. */
  readonly dsnPassedOn?: boolean;
  /** Of what was delivered: to several others in the place of this one. RFC 3461 §5.2.7.3. */
  readonly isExpanded?: boolean;
  /** Of what was deferred: nobody could be reached there, so others need not try it for a while. */
  readonly destinationDown?: boolean;
  /** Of what was deferred: the peer says when to come again. */
  readonly retryAfterMs?: number;
}

/** Tries some recipients of a message once; one outcome for each. What it throws defers them all. */
export type Deliver = (work: {
  readonly message: Message;
  readonly attemptId: string;
  readonly recipients: readonly StoredRecipient[];
  /** Fires when the attempt's time is over: end it soon, nobody listens any more. */
  readonly signal?: AbortSignal;
}) => Promise<readonly Outcome[]>;

/** How one recipient stands after an attempt. */
export interface Settlement {
  readonly recipient: StoredRecipient;
  readonly outcome: Outcome;
  readonly update: RecipientUpdate;
  /** The sender has to be told now that it is late. */
  readonly delayed?: boolean;
}

/** How long mail that is held stays so before it is looked at again. */
export const heldRecheckMs = 60 * 60_000;

/** Enhanced status code of mail that was tried for too long. RFC 3463 §3.5. */
const expiredStatus = "4.4.7";
/** A mailbox that is full, and one that was so to the end: its sender has to know that rather. RFC 3463 §3.3. */
const fullStatus = { now: "4.2.2", expired: "5.2.2" } as const;
/** Characters of an outcome's words that are kept. */
const outcomeLengthMax = 500;

/** Shortest wait that a peer may ask for, and the longest where the schedule's own is shorter. */
const retryAfterMsMin = 1_000;
const retryAfterMsMax = 60 * 60_000;

export interface AttemptFacts {
  readonly receivedAt: number;
  readonly now: number;
  readonly schedule: RetrySchedule;
  /** Age from which the sender is told that it is late; absent or 0: never. */
  readonly delayWarningMs?: number;
  /** False where nobody knows yet whom it is for. Default true. */
  readonly categorized?: boolean;
}

/** One settlement for each recipient; those without an outcome are deferred. */
export function settleAttempt(
  recipients: readonly StoredRecipient[],
  outcomes: readonly Outcome[],
  facts: AttemptFacts,
): Settlement[] {
  const byIndex = new Map(outcomes.map((outcome) => [outcome.index, outcome]));
  // One draw of chance for a message: what was deferred together stays together.
  const delays = new Map<number, number>();
  const delayMsOf = (attempts: number) => {
    const known = delays.get(attempts) ?? facts.schedule.delayMs(attempts);
    delays.set(attempts, known);
    return known;
  };
  return recipients.map((recipient) => {
    const given = byIndex.get(recipient.index) ?? {
      index: recipient.index,
      kind: "deferred",
      nextHop: "",
      reply: null,
      reason: "the attempt ended without an outcome",
    };
    const outcome = given.kind === "deferred" ? expireOutcome(given, recipient, facts) : given;
    const delayed = (outcome.kind === "deferred" || outcome.kind === "held") && isLate(recipient, facts);
    const update = {
      ...updateOf(recipient, outcome, facts, delayMsOf),
      ...(delayed ? { delayTold: true as const } : {}),
      ...(facts.categorized === false ? { categorized: false } : {}),
    };
    return { recipient, outcome, update, ...(delayed ? { delayed } : {}) };
  });
}

/** Whether the sender has to be told now; once is enough. */
export function isLate(recipient: Pick<StoredRecipient, "delayTold">, facts: AttemptFacts): boolean {
  const { receivedAt, now, delayWarningMs = 0 } = facts;
  return delayWarningMs > 0 && !recipient.delayTold && now - receivedAt >= delayWarningMs;
}

/** What becomes of recipients that were not tried and will not be: their time is over. */
export function settleExpired(
  recipients: readonly StoredRecipient[],
  facts: { readonly nextHop: string; readonly reason: string; readonly now: number },
): Settlement[] {
  return recipients.map((recipient) => {
    const tried = recipient.lastOutcome && `; ${recipient.lastOutcome}`;
    const outcome: Outcome = {
      index: recipient.index,
      kind: "failed",
      nextHop: facts.nextHop,
      reply: null,
      status: expiredStatus,
      reason: `given up after ${recipient.attempts} attempts, ${facts.reason}${tried}`,
    };
    return { recipient, outcome, update: failedUpdate(recipient, outcome, facts.now) };
  });
}

function failedUpdate({ index, attempts }: StoredRecipient, outcome: Outcome, now: number): RecipientUpdate {
  return { index, state: "failed", attempts, nextAttemptAt: now, lastOutcome: describeOutcome(outcome) };
}

/** The outcome in words: what the listing and the log show. */
export function describeOutcome({ reply, reason }: Outcome): string {
  const words = reply && reason ? `${reason}: ${formatReply(reply)}` : reply ? formatReply(reply) : reason;
  return words.length > outcomeLengthMax ? `${words.slice(0, outcomeLengthMax)}…` : words;
}

/** What `lastOutcome` of a held recipient starts with, for people; `heldBy` is what counts. */
export const heldPrefix = "held: ";

function expireOutcome(outcome: Outcome, recipient: StoredRecipient, facts: AttemptFacts): Outcome {
  const attempts = recipient.attempts + 1;
  if (!facts.schedule.givesUp({ receivedAt: facts.receivedAt, now: facts.now, attempts })) return outcome;
  const status = outcome.status ?? outcome.reply?.status;
  return {
    ...outcome,
    kind: "failed",
    status: status === fullStatus.now ? fullStatus.expired : expiredStatus,
    reason: `given up after ${attempts} attempts${outcome.reason && `; ${outcome.reason}`}`,
  };
}

function updateOf(
  recipient: StoredRecipient,
  outcome: Outcome,
  { now, schedule }: AttemptFacts,
  delayMsOf: (attempts: number) => number,
): RecipientUpdate {
  const { index } = recipient;
  const lastOutcome = describeOutcome(outcome);
  if (outcome.kind === "held") {
    return {
      index,
      state: "queued",
      attempts: recipient.attempts,
      nextAttemptAt: now + heldRecheckMs,
      lastOutcome: heldPrefix + lastOutcome,
      heldBy: "route",
    };
  }
  const attempts = recipient.attempts + 1;
  if (outcome.kind === "deferred") {
    const delayMs =
      outcome.retryAfterMs === undefined
        ? delayMsOf(attempts)
        : Math.min(Math.max(outcome.retryAfterMs, retryAfterMsMin), Math.max(schedule.delayMsMax, retryAfterMsMax));
    return { index, state: "queued", attempts, nextAttemptAt: now + delayMs, lastOutcome };
  }
  return { index, state: outcome.kind, attempts, nextAttemptAt: now, lastOutcome };
}
