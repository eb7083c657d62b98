/**
 * The queue: what is due when. It keeps a small record of every message in the spool, starts attempts in the order they are due, persists what came of
 * them before a message goes (RELIABILITY P2), and reports to the sender in the same commit. How a message gets anywhere is delivery's affair.
 */
import { createId } from "../mail/ids.ts";
import type { Message } from "../mail/message.ts";
import { formatReversePath } from "../mail/path.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { type QueueEntry, queuedRecipients, type Spool, type StoredRecipient } from "../spool/spool.ts";
import { type Deliver, heldRecheckMs, type Outcome, type Settlement, settleAttempt } from "./attempt.ts";
import { createReports, type Tell, Teller } from "./consequences.ts";
import { Lanes, type Planned } from "./lanes.ts";
import { describeItem, earliestAttempt, isHeld, type QueueFilter, type QueueItem, selectItems } from "./listing.ts";
import { MessageCache } from "./message-cache.ts";
import type { RetrySchedule } from "./retry-schedule.ts";

export interface QueueOptions {
  readonly spool: Spool;
  readonly clock: Clock;
  readonly log: Log;
  readonly schedule: RetrySchedule;
  readonly deliver: Deliver;
  readonly tell: Tell;
  /** Name of this server, for failure reports. */
  readonly hostName: string;
  /** Attempts at one time. Default 100. */
  readonly attemptsMax?: number;
  /** The lane a message waits in; see lanes.ts. Default: one lane for all. */
  readonly laneOf?: (recipients: readonly StoredRecipient[]) => string;
  /** Attempts at one time in one lane. Default: half of `attemptsMax` where there are lanes. */
  readonly laneAttemptsMax?: number;
  /** Messages kept in memory for their first attempt. Default 1,000. */
  readonly cachedMessagesMax?: number;
  /** Octets of them. Default 64 MiB. */
  readonly cachedOctetsMax?: number;
}

export interface QueueCounts {
  readonly messages: number;
  /** Attempts under way. */
  readonly running: number;
  /** Messages that are due and wait for a place. */
  readonly due: number;
  readonly held: number;
  /** Messages in memory for their first attempt. */
  readonly cached: number;
}

/** What is kept of a message in mind; of its recipients those that are queued. */
interface Item extends QueueEntry, Planned {
  recipients: readonly StoredRecipient[];
}

/** Waits between tries to record an outcome: doubled from the first to the last. */
const recordDelayMs = 1_000;
const recordDelayMsMax = 60_000;
/** The queue looks at the clock at least so often: the machine's may be set, forwards or back. */
const wakeMsMax = 60_000;

export class Queue {
  readonly #options: QueueOptions;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #spool: Spool;
  readonly #teller: Teller;
  readonly #lanes: Lanes<Item>;
  readonly #cache: MessageCache;
  readonly #items = new Map<string, Item>();
  readonly #running = new Set<Promise<void>>();
  /** Ends the waits between tries to record. */
  readonly #hurry = new Set<() => void>();
  #state: "new" | "started" | "stopping" = "new";
  #timer: { readonly at: number; readonly cancel: () => void } | undefined;
  #lastNow = 0;

  constructor(options: QueueOptions) {
    const { attemptsMax = 100 } = options;
    this.#options = options;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#spool = options.spool;
    this.#teller = new Teller(options);
    this.#lanes = new Lanes({
      runningMax: attemptsMax,
      laneRunningMax:
        options.laneAttemptsMax ?? (options.laneOf ? Math.max(1, Math.floor(attemptsMax / 2)) : attemptsMax),
    });
    this.#cache = new MessageCache({
      messagesMax: options.cachedMessagesMax ?? 1_000,
      octetsMax: options.cachedOctetsMax ?? 64 * 1024 * 1024,
    });
  }

  /** Takes up the schedule that survived the last process; held mail is looked at again. @throws {Fault} `spool.failed`, `spool.closed` */
  async start(): Promise<void> {
    const entries = await this.#spool.list();
    for (const entry of entries) {
      // What was enqueued while the list was read is known already.
      if (this.#items.has(entry.messageId)) continue;
      this.#add({
        ...entry,
        recipients: this.#boundWaits(this.#dueAgain(entry.recipients.filter(({ state }) => state === "queued"))),
      });
    }
    this.#state = "started";
    this.#log.info("queue.started", { messages: this.#items.size });
    this.#pump();
  }

  /** A message the spool has just taken custody of: due now, and attempted from memory where there is room. */
  enqueue(message: Message): void {
    if (this.#items.has(message.id)) return;
    const now = this.#clock.now();
    this.#cache.offer(message);
    this.#add({
      messageId: message.id,
      receivedAt: message.receivedAt,
      sizeOctets: message.sizeOctets,
      reversePath: formatReversePath(message.envelope.reversePath),
      recipients: queuedRecipients(message.envelope, now),
    });
    this.#pump();
  }

  /** Looks at held mail again, now: the smarthost may have been set. */
  recheckHeld(): void {
    for (const item of this.#items.values()) {
      if (!item.waiting || !item.recipients.some(isHeld)) continue;
      item.recipients = this.#dueAgain(item.recipients);
      this.#plan(item);
    }
    this.#pump();
  }

  /**
   * Starts no attempt any more and waits for those under way, `deadlineMs` at most. What is not done by then is attempted again after the next start:
   * at least once, never lost. Returns how many were abandoned.
   */
  async stop(deadlineMs: number): Promise<number> {
    this.#state = "stopping";
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const hurry of this.#hurry) hurry();
    if (this.#running.size > 0) {
      let cancel = () => {};
      const deadline = new Promise<void>((resolve) => {
        cancel = this.#clock.after(deadlineMs, resolve);
      });
      await Promise.race([Promise.all(this.#running), deadline]);
      cancel();
    }
    this.#log.info("queue.stopped", { messages: this.#items.size, abandoned: this.#running.size });
    return this.#running.size;
  }

  /** What is queued, due first. */
  list(filter: QueueFilter = {}): QueueItem[] {
    return selectItems(
      [...this.#items.values()].map((item) => describeItem(item, item.recipients, !item.waiting)),
      filter,
    );
  }

  /** One message with all of its recipients, those done with too. @throws {Fault} `spool.failed`, `spool.closed` */
  async show(messageId: string): Promise<QueueItem | undefined> {
    const entry = await this.#spool.find(messageId);
    if (!entry) return undefined;
    // Of those still queued the queue knows better when they are due.
    const known = this.#items.get(messageId);
    const recipients = entry.recipients.map(
      (recipient) => known?.recipients.find(({ index }) => index === recipient.index) ?? recipient,
    );
    return describeItem(entry, recipients, known !== undefined && !known.waiting);
  }

  counts(): QueueCounts {
    const now = this.#clock.now();
    let due = 0;
    let held = 0;
    for (const item of this.#items.values()) {
      if (item.waiting && item.dueAt <= now) due += 1;
      if (item.recipients.some(isHeld)) held += 1;
    }
    return { messages: this.#items.size, running: this.#lanes.running, due, held, cached: this.#cache.size };
  }

  #add(entry: QueueEntry): void {
    const item: Item = { ...entry, dueAt: 0, order: 0, waiting: true };
    this.#items.set(entry.messageId, item);
    this.#plan(item);
  }

  #plan(item: Item): void {
    this.#lanes.plan(item, this.#options.laneOf?.(item.recipients) ?? "", earliestAttempt(item.recipients));
  }

  #dueAgain(recipients: readonly StoredRecipient[]): StoredRecipient[] {
    const now = this.#clock.now();
    return recipients.map((recipient) => (isHeld(recipient) ? { ...recipient, nextAttemptAt: now } : recipient));
  }

  /** Starts what is due and has a place; plans to come back for what is due next. */
  #pump(): void {
    if (this.#state !== "started") return;
    const now = this.#clock.now();
    if (now < this.#lastNow - wakeMsMax) this.#bringForward();
    this.#lastNow = now;
    const nextAt = this.#lanes.startDue(now, (item, freePlace) => {
      const run = this.#attempt(item)
        .catch((error: unknown) =>
          this.#log.error("queue.failed", { message: item.messageId, reason: describeThrown(error) }),
        )
        .finally(() => {
          this.#running.delete(run);
          freePlace();
          this.#pump();
        });
      this.#running.add(run);
    });
    this.#wakeAt(nextAt);
  }

  /** After the clock was set back: nothing waits longer than the schedule ever asks for. */
  #bringForward(): void {
    for (const item of this.#items.values()) {
      if (!item.waiting) continue;
      item.recipients = this.#boundWaits(item.recipients);
      this.#plan(item);
    }
  }

  #boundWaits(recipients: readonly StoredRecipient[]): StoredRecipient[] {
    const latest = this.#clock.now() + Math.max(this.#options.schedule.delayMsMax, heldRecheckMs);
    return recipients.map((recipient) =>
      recipient.nextAttemptAt > latest ? { ...recipient, nextAttemptAt: latest } : recipient,
    );
  }

  #wakeAt(at: number): void {
    if (this.#timer?.at === at) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (at === Number.POSITIVE_INFINITY) return;
    const cancel = this.#clock.after(Math.min(at - this.#clock.now(), wakeMsMax), () => {
      this.#timer = undefined;
      this.#pump();
    });
    this.#timer = { at, cancel };
  }

  /** One attempt of what is due of a message, to its end: the outcome recorded and told, the rest planned. */
  async #attempt(item: Item): Promise<void> {
    const { messageId, receivedAt } = item;
    const startedAt = this.#clock.now();
    const attemptId = createId(startedAt);
    const due = item.recipients.filter((recipient) => recipient.nextAttemptAt <= startedAt);
    let message: Message | undefined;
    let outcomes: readonly Outcome[];
    try {
      message = this.#cache.take(messageId) ?? (await this.#spool.load(messageId));
      if (!message) {
        this.#log.error("queue.message-missing", { message: messageId });
        this.#items.delete(messageId);
        return;
      }
      this.#teller.track(messageId, "attempted", { attemptId, recipients: due.length });
      outcomes = await this.#options.deliver({ message, attemptId, recipients: due });
    } catch (error) {
      const reason = describeThrown(error);
      this.#log.error("delivery.threw", {
        message: messageId,
        attemptId,
        reason,
        fault: error instanceof Fault ? error.code : undefined,
      });
      outcomes = due.map(({ index }) => ({ index, kind: "deferred", nextHop: "", reply: null, reason }));
    }
    const { schedule } = this.#options;
    const settlements = settleAttempt(due, outcomes, {
      receivedAt,
      now: this.#clock.now(),
      // A message that cannot be read cannot be reported either: it is not given up, it stays for the operator.
      schedule: message ? schedule : { ...schedule, givesUp: () => false },
    });
    await this.#settle(item, attemptId, message, settlements);
  }

  async #settle(
    item: Item,
    attemptId: string,
    message: Message | undefined,
    settlements: readonly Settlement[],
  ): Promise<void> {
    const { messageId } = item;
    const { hostName } = this.#options;
    const reports = message
      ? await createReports(message, settlements, { hostName, now: this.#clock.now(), log: this.#log })
      : [];
    // Held as before: nothing to persist but the time of the next look, which a restart sets anew anyway.
    const changed = settlements.filter(
      ({ recipient, outcome, update }) => outcome.kind !== "held" || recipient.lastOutcome !== update.lastOutcome,
    );
    if (changed.length > 0 && !(await this.#record(messageId, changed, reports))) return;
    for (const settlement of changed) this.#teller.tellOutcome(messageId, attemptId, message, settlement);
    const updates = new Map(settlements.map(({ update }) => [update.index, update]));
    item.recipients = item.recipients
      .map((recipient) => ({ ...recipient, ...updates.get(recipient.index) }))
      .filter(({ state }) => state === "queued");
    if (item.recipients.length > 0) this.#plan(item);
    else {
      this.#items.delete(messageId);
      this.#teller.track(messageId, "finished");
    }
    for (const report of reports) {
      this.#log.info("dsn.queued", { message: messageId, report: report.id, to: item.reversePath });
      this.#teller.track(messageId, "reported", { reportId: report.id });
      this.enqueue(report);
    }
  }

  /**
   * Persists outcomes, again and again where the spool cannot now: what was delivered must not be delivered again because its outcome did not fit on
   * the disk. It keeps its place meanwhile, so a spool that takes nothing stops the queue too. False where it is given up: the server stops, or the
   * message is gone.
   */
  async #record(messageId: string, settlements: readonly Settlement[], reports: readonly Message[]): Promise<boolean> {
    const updates = settlements.map(({ update }) => update);
    for (let delayMs = recordDelayMs; ; delayMs = Math.min(delayMs * 2, recordDelayMsMax)) {
      try {
        await this.#spool.record(messageId, updates, reports);
        return true;
      } catch (error) {
        const code = error instanceof Fault ? error.code : undefined;
        this.#log.error("queue.record-failed", { message: messageId, reason: describeThrown(error), fault: code });
        if (code === "spool.unknown-message") this.#items.delete(messageId);
        if (code === "spool.unknown-message" || code === "spool.closed" || this.#state === "stopping") return false;
      }
      await this.#pause(delayMs);
    }
  }

  /** Waits, but not when the queue stops. */
  async #pause(delayMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const hurry = () => {
        cancel();
        this.#hurry.delete(hurry);
        resolve();
      };
      const cancel = this.#clock.after(delayMs, hurry);
      this.#hurry.add(hurry);
    });
  }
}
