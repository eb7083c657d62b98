/** Whom a message is for, before its first attempt: asks, and persists the answer in one commit. Asked again, under another attempt id, where it was killed before. */
import { Message, type Submission } from "../mail/message.ts";
import { crashPoint } from "../platform/crash-point.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { queuedRecipients, type StoredRecipient } from "../spool/spool.ts";
import { type Outcome, settleAttempt } from "./attempt.ts";
import { type AttemptParts, type Attempts, type Hand, withUpdate } from "./attempts.ts";
import type { Expansion } from "./categorize-results.ts";
import type { Categorize, Categorized, Quarantine } from "./ports.ts";

export interface ResolvingParts extends Omit<AttemptParts, "resolve" | "deliver"> {
  readonly attempts: () => Attempts;
  readonly categorize: Categorize;
  readonly quarantine: Quarantine | undefined;
  /** Messages in custody whose recipients are resolved. */
  readonly enqueueResolved: (message: Message) => void;
}

type Objection = Extract<Categorized, { readonly kind: "refused" | "deferred" }>;

export function createResolving(parts: ResolvingParts): (hand: Hand) => Promise<void> {
  const { clock, log, book, cache, teller, recorder, leases } = parts;

  async function ask({ message, attemptId, recipients }: Hand): Promise<Categorized> {
    try {
      const whole = messageFor(message, recipients);
      const categorized = await leases.run(() => parts.categorize(whole, attemptId));
      if (categorized.kind === "quarantined") await keep(categorized);
      return categorized;
    } catch (error) {
      const reason = describeThrown(error);
      log.error("categorize.threw", {
        message: message.id,
        attemptId,
        reason,
        fault: error instanceof Fault ? error.code : undefined,
      });
      return { kind: "deferred", reply: { code: 451, status: "4.3.0", text: reason }, by: null };
    }
  }

  async function keep({ message, reason, by }: Extract<Categorized, { readonly kind: "quarantined" }>): Promise<void> {
    if (!parts.quarantine) throw new Error("there is no badmail to keep it in");
    await parts.quarantine(message, { reason, binding: by });
  }

  /** The message is nobody's any more: it was dropped, or badmail has it. */
  async function end(
    hand: Hand,
    step: "discarded" | "quarantined",
    { reason, by, submissions = [] }: Extract<Categorized, { readonly kind: "discarded" | "quarantined" }>,
  ): Promise<void> {
    const { unit, message, recipients } = hand;
    const now = clock.now();
    const updates = recipients.map(({ index, attempts }) => ({
      index,
      state: "failed" as const,
      attempts,
      nextAttemptAt: now,
      lastOutcome: `${step}: ${reason}`,
    }));
    const made = submissions.map((one) => one.message);
    if (!(await recorder.persist(message.id, (spool) => spool.record(message.id, updates, made)))) return;
    log.info(`message.${step}`, { message: message.id, attemptId: hand.attemptId, reason, by });
    teller.track(message.id, step, { attemptId: hand.attemptId, reason, by });
    if (book.settle(unit, [])) teller.track(message.id, "finished");
    submitted(message.id, submissions);
  }

  /** What sinks made of a message is in custody. */
  function submitted(messageId: string, submissions: readonly Submission[]): void {
    for (const { message, taken } of submissions) {
      taken?.();
      log.info("message.submitted", {
        message: message.id,
        of: messageId,
        recipients: message.envelope.recipients.length,
      });
      parts.enqueue(message);
    }
  }

  /** What cannot be kept now may never be: it waits by the schedule, and does not keep its place until then. */
  async function putOff(hand: Hand, error: unknown): Promise<void> {
    const reason = describeThrown(error);
    const fault = error instanceof Fault ? error.code : undefined;
    log.error("queue.record-failed", { message: hand.message.id, reason, fault });
    await object(hand, { kind: "deferred", reply: { code: 451, status: "4.3.0", text: reason }, by: null });
  }

  async function object(hand: Hand, answer: Objection): Promise<void> {
    const { unit, recipients } = hand;
    const { reply, by } = answer;
    const kind = answer.kind === "refused" ? "failed" : "deferred";
    const reason = by === null ? "" : `${answer.kind} by ${by}`;
    const outcomes = recipients.map(({ index }): Outcome => ({ index, kind, nextHop: "", reply, reason }));
    const facts = { ...parts.attempts().factsOf(unit), categorized: false };
    await parts.attempts().settle(hand, settleAttempt(recipients, outcomes, facts), { categorized: false });
  }

  /** What the sender hears of addresses that others stand for: of the message as it came, for a list's is the owner's. RFC 3461 §5.2.7. */
  async function reportExpansions(
    { unit, message }: Hand,
    expansions: readonly Expansion[],
  ): Promise<readonly Message[]> {
    const envelope = { ...message.envelope, recipients: expansions.map(({ recipient }) => recipient) };
    const outcomes = expansions.map(
      ({ isList }, index): Outcome => ({
        index,
        kind: "delivered",
        nextHop: "",
        reply: null,
        reason: "",
        isExpanded: !isList,
      }),
    );
    const attempts = parts.attempts();
    const recipients = queuedRecipients(envelope, clock.now());
    return (await attempts.withReports(message, settleAttempt(recipients, outcomes, attempts.factsOf(unit)))).reports;
  }

  async function replace(hand: Hand, changed: Extract<Categorized, { readonly kind: "changed" }>): Promise<void> {
    const { unit, attemptId } = hand;
    const { message, forks, failures, expansions = [], submissions = [] } = changed;
    const attempts = parts.attempts();
    const now = clock.now();
    const delayTold = unit.pending.some((pending) => pending.delayTold);
    const recipients = queuedRecipients(message.envelope, now).map(
      (recipient): StoredRecipient => ({
        ...recipient,
        ...(delayTold ? { delayTold } : {}),
      }),
    );
    const failedAt = new Set(failures.map(({ index }) => index));
    const { settlements, reports: failed } = await attempts.withReports(
      message,
      settleAttempt(
        recipients.filter(({ index }) => failedAt.has(index)),
        failures,
        attempts.factsOf(unit),
      ),
    );
    const reports = [...failed, ...(await reportExpansions(hand, expansions))];
    const updates = settlements.map(({ update }) => update);
    if (reports.length > 0) crashPoint("queue.reports.before-commit");
    crashPoint("queue.categorized.before-commit");
    // Neither is resolved yet: to the spool a submission is what a report is.
    const made = submissions.map((one) => one.message);
    const replacement = { message, forks, updates, reports: [...reports, ...made], nextAttemptAt: now };
    try {
      await parts.spool.replace(replacement);
    } catch (error) {
      return await putOff(hand, error);
    }
    crashPoint("queue.categorized.committed");
    log.info("message.categorized", {
      message: message.id,
      attemptId,
      recipients: message.envelope.recipients.length,
      failed: failures.length,
      forks: forks.map(({ id }) => id),
    });
    teller.track(message.id, "categorized", { attemptId, forks: forks.map(({ id }) => id) });
    for (const settlement of settlements) teller.tellOutcome(message.id, attemptId, message, settlement);
    for (const fork of forks) {
      teller.track(fork.id, "spooled", { from: message.id, recipients: fork.envelope.recipients.length });
      parts.enqueueResolved(fork);
    }
    const byIndex = new Map(updates.map((update) => [update.index, update]));
    const rest = recipients
      .map((recipient) => withUpdate(recipient, byIndex.get(recipient.index)))
      .filter(({ state }) => state === "queued");
    if (rest.length > 0) cache.offer(message);
    if (book.settle(unit, rest)) teller.track(message.id, "finished");
    attempts.sendReports(message, reports);
    submitted(message.id, submissions);
  }

  return async (hand) => {
    const { unit, message, recipients } = hand;
    const answer = await ask(hand);
    switch (answer.kind) {
      case "unchanged": {
        if (recipients.every((recipient) => recipient.attempts === 0)) cache.offer(message);
        const nextAttemptAt = clock.now();
        book.settle(
          unit,
          recipients.map((recipient) => ({ ...recipient, nextAttemptAt })),
        );
        return;
      }
      case "changed":
        return await replace(hand, answer);
      case "refused":
      case "deferred":
        return await object(hand, answer);
      case "discarded":
      case "quarantined":
        return await end(hand, answer.kind, answer);
    }
  };
}

/** The message with those of its recipients alone that are queued still. */
function messageFor(message: Message, recipients: readonly StoredRecipient[]): Message {
  const { envelope } = message;
  if (recipients.length === envelope.recipients.length) return message;
  return new Message({
    ...message.snapshot(),
    id: message.id,
    receivedAt: message.receivedAt,
    origin: message.origin,
    envelope: { ...envelope, recipients: recipients.map(({ index }) => envelope.recipients[index]!) },
  });
}
