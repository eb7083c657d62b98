/**
 * Attempts, from the message read to the outcome recorded: recipients are resolved before the first one, what is due is given to delivery, and what came of
 * it is persisted with the reports it calls for in one commit. Each attempt is settled once, whatever comes late.
 */
import { setImmediate } from "node:timers/promises";
import { createId } from "../mail/ids.ts";
import type { Message } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import { crashPoint } from "../platform/crash-point.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { RecipientUpdate, Spool, StoredRecipient } from "../spool/spool.ts";
import { type Deliver, describeOutcome, type Outcome, type Settlement, settleAttempt } from "./attempt.ts";
import type { Book } from "./book.ts";
import type { Teller } from "./consequences.ts";
import type { Lane } from "./lane.ts";
import { LeaseOver, type Leases } from "./leases.ts";
import { type MessageCache, SharedMessages } from "./message-cache.ts";
import type { CreateReports } from "./ports.ts";
import type { Recorder } from "./recorder.ts";
import type { RetrySchedule } from "./retry-schedule.ts";
import { type Pending, type Unit, unresolved } from "./work.ts";

/** Outcomes told at one time: a list may have thousands of members, and others are served in between. */
const toldMax = 500;

export interface AttemptParts {
  readonly spool: Spool;
  readonly clock: Clock;
  readonly log: Log;
  readonly schedule: RetrySchedule;
  readonly deliver: Deliver;
  readonly createReports: CreateReports;
  readonly delayWarningMs: number;
  readonly teller: Teller;
  readonly book: Book;
  readonly cache: MessageCache;
  readonly leases: Leases;
  readonly recorder: Recorder;
  /** Resolves the recipients of a unit in hand, and plans what came of it. */
  readonly resolve: (hand: Hand) => Promise<void>;
  /** Reports that are in custody now. */
  readonly enqueue: (message: Message) => void;
}

/** A unit in hand: what was read of it. */
export interface Hand {
  readonly unit: Unit;
  readonly attemptId: string;
  readonly message: Message;
  /** All of the unit's that are queued. */
  readonly recipients: readonly StoredRecipient[];
  /** Those of them whose turn it is. */
  readonly due: readonly StoredRecipient[];
}

export class Attempts {
  readonly #parts: AttemptParts;
  readonly #shared = new SharedMessages();

  constructor(parts: AttemptParts) {
    this.#parts = parts;
  }

  /** One attempt of what is due of a unit, to its end: the outcome recorded and told, the rest planned. */
  async run(unit: Unit, lane: Lane): Promise<void> {
    const { clock, book, teller } = this.#parts;
    const startedAt = clock.now();
    const hand = await this.#take(unit, createId(startedAt), startedAt);
    if (!hand) return;
    if (unit.laneName === unresolved) return await this.#parts.resolve(hand);
    // A reload may have given them another destination since they were planned.
    if (hand.due.some((recipient) => book.laneOf(recipient) !== unit.laneName)) {
      lane.refund();
      if (hand.recipients.every(({ attempts }) => attempts === 0)) this.#parts.cache.offer(hand.message);
      book.settle(unit, hand.recipients);
      return;
    }
    const { message, attemptId, due } = hand;
    teller.track(message.id, "attempted", { attemptId, recipients: due.length });
    const outcomes = await this.#deliver(hand, lane, startedAt);
    if (!this.#parts.leases.stopping)
      return void (await this.settle(hand, settleAttempt(due, outcomes, this.factsOf(unit))));
    // What was ended by the server's stop is done after the next start, as if it had not been tried.
    const over = new Set(
      outcomes.filter(({ kind }) => kind === "delivered" || kind === "failed").map(({ index }) => index),
    );
    const done = due.filter(({ index }) => over.has(index));
    if (done.length > 0) await this.settle(hand, settleAttempt(done, outcomes, this.factsOf(unit)));
  }

  factsOf({ item }: Unit) {
    const { clock, schedule, delayWarningMs } = this.#parts;
    return { receivedAt: item.receivedAt, now: clock.now(), schedule, delayWarningMs };
  }

  /** Reads a unit that nobody else has; undefined where it cannot be read, and then it is planned again or gone. */
  async take(unit: Unit): Promise<Hand | undefined> {
    return await this.#take(unit, createId(this.#parts.clock.now()), Number.POSITIVE_INFINITY);
  }

  /**
   * Persists how an attempt ended, with its reports; then tells it, and plans what is left. Gives the reports that are in custody now.
   * @param how.atOnce for whoever waits for the answer: what cannot be reported or persisted now is thrown, and nothing is settled
   */
  async settle(
    hand: Hand,
    made: readonly Settlement[],
    {
      categorized = true,
      quiet = false,
      atOnce = false,
    }: { readonly categorized?: boolean; readonly quiet?: boolean; readonly atOnce?: boolean } = {},
  ): Promise<readonly Message[]> {
    const { unit, message, attemptId, recipients } = hand;
    const { teller, book, recorder, spool, createReports } = this.#parts;
    const { settlements, reports } = atOnce
      ? { settlements: made, reports: await createReports(message, made) }
      : await this.withReports(message, made);
    // Held as before: nothing to persist but the time of the next look, which a restart sets anew anyway.
    const isAsBefore = ({ outcome, update, delayed }: Settlement) =>
      outcome.kind === "held" &&
      !delayed &&
      unit.pending.some(({ index, heldWords }) => index === update.index && heldWords === update.lastOutcome);
    const changed = settlements.filter((settlement) => !isAsBefore(settlement));
    if (changed.length > 0) {
      if (reports.length > 0) crashPoint("queue.reports.before-commit");
      crashPoint("queue.attempt.before-record");
      const updates = changed.map(({ update }) => update);
      const write = (to: Spool) => to.record(message.id, updates, reports);
      if (atOnce) await write(spool);
      else if (!(await recorder.persist(message.id, write))) return [];
      crashPoint("queue.attempt.recorded");
    }
    for (let place = 0; place < changed.length && !quiet; place++) {
      if (place > 0 && place % toldMax === 0) await setImmediate();
      teller.tellOutcome(message.id, attemptId, message, changed[place]!);
    }
    if (book.settle(unit, restOf(recipients, settlements), categorized)) {
      this.#shared.forget(unit.item);
      teller.track(message.id, "finished");
    }
    this.sendReports(message, reports);
    return reports;
  }

  /** The reports that settlements call for. Where they cannot be made, nobody is given up without one: what failed is tried again. */
  async withReports(
    message: Message,
    settlements: readonly Settlement[],
  ): Promise<{ readonly settlements: readonly Settlement[]; readonly reports: readonly Message[] }> {
    try {
      return { settlements, reports: await this.#parts.createReports(message, settlements) };
    } catch (error) {
      const reason = describeThrown(error);
      this.#parts.log.error("dsn.failed", { message: message.id, reason });
      const again = settlements.map((settlement) => this.#withoutReport(message, settlement, reason));
      return { settlements: again, reports: [] };
    }
  }

  sendReports(message: Message, reports: readonly Message[]): void {
    const { log, teller, enqueue } = this.#parts;
    for (const report of reports) {
      const [to] = report.envelope.recipients;
      log.info("dsn.queued", {
        message: message.id,
        report: report.id,
        to: to && `${to.mailbox.localPart}@${to.mailbox.domain}`,
      });
      teller.track(message.id, "reported", { reportId: report.id });
      enqueue(report);
    }
  }

  #withoutReport(message: Message, { recipient, outcome, update }: Settlement, reason: string): Settlement {
    const { delayTold: _untold, ...kept } = update;
    if (outcome.kind !== "failed") return { recipient, outcome, update: kept };
    const { clock, schedule } = this.#parts;
    const facts = {
      receivedAt: message.receivedAt,
      now: clock.now(),
      schedule: { ...schedule, givesUp: () => false },
      categorized: update.categorized !== false,
    };
    const words = `its failure could not be reported (${reason}): ${describeOutcome(outcome)}`;
    const deferred: Outcome = { ...outcome, kind: "deferred", reply: null, reason: words };
    return settleAttempt([recipient], [deferred], facts)[0]!;
  }

  async #deliver({ unit, message, attemptId, due }: Hand, lane: Lane, startedAt: number): Promise<readonly Outcome[]> {
    const { clock, deliver, leases, log, book } = this.#parts;
    const complain = (event: string, error: unknown) =>
      log.error(event, {
        message: unit.item.messageId,
        attemptId,
        reason: describeThrown(error),
        fault: error instanceof Fault ? error.code : undefined,
      });
    try {
      const outcomes = await leases.run(
        (signalOf) =>
          deliver({
            message,
            attemptId,
            recipients: due,
            get signal() {
              return signalOf();
            },
          }),
        (error) => complain("delivery.timed-out", error),
      );
      const [first] = outcomes;
      if (first && outcomes.every((outcome) => outcome.kind === "deferred" && outcome.destinationDown))
        lane.failed(startedAt, clock.now(), describeOutcome(first));
      else if (outcomes.some(({ kind }) => kind !== "held")) lane.answered();
      else lane.refund();
      book.lanes.touch(lane, clock.now());
      return outcomes;
    } catch (error) {
      const reason = describeThrown(error);
      if (!(error instanceof LeaseOver)) complain("delivery.threw", error);
      return due.map(({ index }) => ({ index, kind: "deferred", nextHop: "", reply: null, reason }));
    }
  }

  async #take(unit: Unit, attemptId: string, now: number): Promise<Hand | undefined> {
    const { spool, cache, book, log } = this.#parts;
    const { messageId } = unit.item;
    const isDue = ({ heldBy, nextAttemptAt }: Pending) => heldBy !== "operator" && nextAttemptAt <= now;
    if (unit.laneName === unresolved) this.#shared.forget(unit.item);
    let message = cache.take(messageId);
    let stored: ReadonlyMap<number, StoredRecipient>;
    if (message) stored = recipientsOf(message, unit);
    else {
      let failure: unknown;
      const places = unit.pending.map(({ index }) => index);
      const [entry, loaded] = await Promise.all([
        spool.find(messageId, places),
        this.#load(unit).catch((error: unknown) => {
          failure = error;
          return undefined;
        }),
      ]).catch((error: unknown) => {
        failure = error;
        return [undefined, undefined];
      });
      stored = new Map(entry?.recipients.map((recipient) => [recipient.index, recipient]));
      if (failure !== undefined) {
        const read = unit.pending.filter(isDue).flatMap(({ index }) => stored.get(index) ?? []);
        await this.#cannotRead(unit, attemptId, read, failure);
        return undefined;
      }
      if (!entry || !loaded) {
        log.error("queue.message-missing", { message: messageId });
        book.items.delete(messageId);
        return undefined;
      }
      message = loaded;
    }
    if (unit.item.units.length > 1) this.#shared.keep(unit.item, message);
    const recipients: StoredRecipient[] = [];
    const due: StoredRecipient[] = [];
    for (const pending of unit.pending) {
      const known = stored.get(pending.index);
      // It may be done with by now, where something broke behind the record of that.
      if (known?.state !== "queued") continue;
      const { nextAttemptAt } = pending;
      const recipient = known.nextAttemptAt === nextAttemptAt ? known : { ...known, nextAttemptAt };
      recipients.push(recipient);
      if (isDue(pending)) due.push(recipient);
    }
    return { unit, attemptId, message, recipients, due };
  }

  /** The content of a message changes only when it is resolved, and then nobody else has it. */
  async #load({ item }: Unit): Promise<Message | undefined> {
    const load = () => this.#parts.spool.load(item.messageId);
    return item.units.length > 1 ? await this.#shared.read(item, load) : await load();
  }

  /** A message that cannot be read cannot be reported either: it is not given up, it stays for the operator. */
  async #cannotRead(unit: Unit, attemptId: string, due: readonly StoredRecipient[], error: unknown): Promise<void> {
    const { clock, log, schedule, book, teller, recorder } = this.#parts;
    const { messageId, receivedAt } = unit.item;
    const reason = describeThrown(error);
    log.error("delivery.threw", {
      message: messageId,
      attemptId,
      reason,
      fault: error instanceof Fault ? error.code : undefined,
    });
    const outcomes = unit.pending.map(
      ({ index }): Outcome => ({
        index,
        kind: "deferred",
        nextHop: "",
        reply: null,
        reason,
      }),
    );
    const facts = {
      receivedAt,
      now: clock.now(),
      schedule: { ...schedule, givesUp: () => false },
      categorized: unit.laneName !== unresolved,
    };
    const settlements = settleAttempt(due, outcomes, facts);
    const updates = settlements.map(({ update }) => update);
    if (updates.length > 0) {
      if (!(await recorder.persist(messageId, (spool) => spool.record(messageId, updates)))) return;
      for (const settlement of settlements) teller.tellOutcome(messageId, attemptId, undefined, settlement);
    }
    const byIndex = new Map(updates.map((update) => [update.index, update]));
    const waitUntil = clock.now() + schedule.delayMs(1);
    book.keep(
      unit,
      unit.pending.map((pending) => {
        const update = byIndex.get(pending.index);
        if (update) return { ...pending, attempts: update.attempts, nextAttemptAt: update.nextAttemptAt };
        return { ...pending, nextAttemptAt: Math.max(pending.nextAttemptAt, waitUntil) };
      }),
    );
  }
}

/** Those that are queued still. */
function restOf(recipients: readonly StoredRecipient[], settlements: readonly Settlement[]): StoredRecipient[] {
  if (recipients.length === settlements.length && settlements.every(({ update }) => update.state !== "queued"))
    return [];
  const updates = new Map(settlements.map(({ update }) => [update.index, update]));
  return recipients
    .map((recipient) => withUpdate(recipient, updates.get(recipient.index)))
    .filter(({ state }) => state === "queued");
}

/** A recipient as it stands after an update. */
export function withUpdate(recipient: StoredRecipient, update: RecipientUpdate | undefined): StoredRecipient {
  if (!update) return recipient;
  const { heldBy: _before, ...kept } = recipient;
  const { categorized: _row, ...given } = update;
  return { ...kept, ...given };
}

/** Of a message in memory: nobody has tried it yet, so there are no words about it but those of who holds it. */
function recipientsOf({ envelope }: Message, { pending }: Unit): ReadonlyMap<number, StoredRecipient> {
  const recipients = new Map<number, StoredRecipient>();
  for (const { index, attempts, nextAttemptAt, heldBy, heldWords, delayTold } of pending) {
    const recipient = envelope.recipients[index];
    if (!recipient) continue;
    recipients.set(index, {
      ...recipient,
      index,
      state: "queued",
      attempts,
      nextAttemptAt,
      lastOutcome: heldWords,
      ...(heldBy ? { heldBy } : {}),
      ...(delayTold ? { delayTold } : {}),
    });
  }
  return recipients;
}
