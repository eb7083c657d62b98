/**
 * The queue: what is due when. It keeps a small record of every message in the spool, starts attempts in the order they are due, persists what came of
 * them before a message goes (RELIABILITY P2), and reports failures to the sender in the same commit. How a message gets anywhere is delivery's affair.
 */
import type { SubjectOf, TellName } from "../events/event.ts";
import { type TrackStep, trackCodes } from "../events/subject.ts";
import { createFailureReport } from "../mail/dsn.ts";
import { createId } from "../mail/ids.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import { formatReversePath } from "../mail/path.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { QueueEntry, Spool, StoredRecipient } from "../spool/spool.ts";
import { type Deliver, describeOutcome, heldPrefix, type Outcome, type Settlement, settleAttempt } from "./attempt.ts";
import { DueHeap } from "./due-heap.ts";
import { MessageCache } from "./message-cache.ts";
import type { RetrySchedule } from "./retry-schedule.ts";

export type { Deliver, Outcome } from "./attempt.ts";

/** Tells observers; never throws, nobody waits. */
export type Tell = <Name extends TellName>(name: Name, subject: SubjectOf<Name>) => void;

export interface QueueOptions {
  readonly spool: Spool;
  readonly clock: Clock;
  readonly log: Log;
  readonly schedule: RetrySchedule;
  readonly deliver: Deliver;
  readonly tell: Tell;
  /** Name of this server, for failure reports. */
  readonly hostName: string;
  /** Attempts at one time. */
  readonly attemptsMax?: number;
  /** The lane a message waits in: one that is slow leaves the others their places. Default: one lane for all. */
  readonly laneOf?: (recipients: readonly StoredRecipient[]) => string;
  /** Attempts at one time in one lane. Default: half of `attemptsMax` where there are lanes. */
  readonly laneAttemptsMax?: number;
  /** Messages kept in memory for their first attempt. */
  readonly cachedMessagesMax?: number;
  readonly cachedOctetsMax?: number;
}

/** A message in the queue, as a listing shows it. */
export interface QueueItem extends QueueEntry {
  /** Milliseconds since the Unix epoch; the earliest of its recipients'. */
  readonly nextAttemptAt: number;
  readonly running: boolean;
  readonly held: boolean;
}

export interface QueueFilter {
  /** Recipient's or sender's mailbox contains this, without case. */
  readonly mailbox?: string;
  readonly held?: boolean;
  /** At most so many, those due first. Default 1,000. */
  readonly countMax?: number;
}

export interface QueueCounts {
  readonly messages: number;
  readonly running: number;
  readonly due: number;
  readonly held: number;
  readonly cached: number;
}

/** What is kept of a message in mind; recipients only while they are queued. */
interface Item {
  readonly messageId: string;
  readonly receivedAt: number;
  readonly sizeOctets: number;
  readonly reversePath: string;
  recipients: readonly StoredRecipient[];
  dueAt: number;
  order: number;
  state: "waiting" | "running" | "recording";
}

interface Lane {
  readonly heap: DueHeap<Entry>;
  running: number;
}

/** An item's place in a heap; stale where the item has got another since. */
interface Entry {
  readonly dueAt: number;
  readonly order: number;
  readonly item: Item;
}

/** Waits between tries to record an outcome: doubled from the first to the last. */
const recordRetryMs = 1_000;
const recordRetryMsMax = 60_000;

export class Queue {
  readonly #options: QueueOptions;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #spool: Spool;
  readonly #attemptsMax: number;
  readonly #laneAttemptsMax: number;
  readonly #cache: MessageCache;
  readonly #items = new Map<string, Item>();
  readonly #lanes = new Map<string, Lane>();
  readonly #running = new Set<Promise<void>>();
  #attempts = 0;
  #order = 0;
  #state: "new" | "started" | "stopping" = "new";
  #timer: { readonly at: number; readonly cancel: () => void } | undefined;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#spool = options.spool;
    this.#attemptsMax = options.attemptsMax ?? 100;
    this.#laneAttemptsMax =
      options.laneAttemptsMax ?? (options.laneOf ? Math.max(1, Math.floor(this.#attemptsMax / 2)) : this.#attemptsMax);
    this.#cache = new MessageCache({
      messagesMax: options.cachedMessagesMax ?? 1_000,
      octetsMax: options.cachedOctetsMax ?? 64 * 1024 * 1024,
    });
  }

  /** Takes up the schedule that survived the last process; held mail is looked at again. @throws {Fault} `spool.failed` */
  async start(): Promise<void> {
    const entries = await this.#spool.list();
    const now = this.#clock.now();
    for (const entry of entries) {
      // What was accepted while the list was read is known already, and newer.
      if (this.#items.has(entry.messageId)) continue;
      const recipients = entry.recipients
        .filter((recipient) => recipient.state === "queued")
        .map((recipient) => (isHeld(recipient) ? { ...recipient, nextAttemptAt: now } : recipient));
      this.#add({ ...entry, recipients });
    }
    this.#state = "started";
    this.#log.info("queue.started", { messages: this.#items.size });
    this.#pump();
  }

  /** A message the spool has just taken custody of: due now, and attempted from memory where there is room. */
  enqueue(message: Message): void {
    const now = this.#clock.now();
    const recipients = message.envelope.recipients.map(
      ({ mailbox }, index): StoredRecipient => ({
        index,
        mailbox,
        state: "queued",
        attempts: 0,
        nextAttemptAt: now,
        lastOutcome: "",
      }),
    );
    if (this.#items.has(message.id)) return;
    this.#cache.offer(message);
    this.#add({
      messageId: message.id,
      receivedAt: message.receivedAt,
      sizeOctets: message.sizeOctets,
      reversePath: formatReversePath(message.envelope.reversePath),
      recipients,
    });
    this.#pump();
  }

  /** Looks at held mail again, now: the smarthost may have been set. */
  recheckHeld(): void {
    const now = this.#clock.now();
    for (const item of this.#items.values()) {
      if (item.state !== "waiting" || !item.recipients.some(isHeld)) continue;
      item.recipients = item.recipients.map((recipient) =>
        isHeld(recipient) ? { ...recipient, nextAttemptAt: now } : recipient,
      );
      this.#plan(item);
    }
    this.#pump();
  }

  /**
   * Starts no attempt any more and waits for those under way, `deadlineMs` at most. What is not done by then goes on in vain or is made again after the
   * next start: at least once, never lost. Returns how many were abandoned.
   */
  async stop(deadlineMs: number): Promise<number> {
    this.#state = "stopping";
    this.#timer?.cancel();
    this.#timer = undefined;
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
    const wanted = filter.mailbox?.toLowerCase();
    return [...this.#items.values()]
      .filter(
        (item) => wanted === undefined || mailboxesOf(item).some((mailbox) => mailbox.toLowerCase().includes(wanted)),
      )
      .map(describeItem)
      .filter((item) => filter.held === undefined || item.held === filter.held)
      .sort((one, other) => one.nextAttemptAt - other.nextAttemptAt || one.receivedAt - other.receivedAt)
      .slice(0, filter.countMax ?? 1_000);
  }

  /** One message with all of its recipients, those done with too. @throws {Fault} `spool.failed` */
  async show(messageId: string): Promise<QueueItem | undefined> {
    const entry = await this.#spool.find(messageId);
    if (!entry) return undefined;
    const item = this.#items.get(messageId);
    return item
      ? { ...describeItem(item), recipients: entry.recipients }
      : { ...entry, nextAttemptAt: earliestOf(entry.recipients), running: false, held: false };
  }

  counts(): QueueCounts {
    const now = this.#clock.now();
    let due = 0;
    let held = 0;
    for (const item of this.#items.values()) {
      if (item.state === "waiting" && item.dueAt <= now) due += 1;
      if (item.recipients.some(isHeld)) held += 1;
    }
    return { messages: this.#items.size, running: this.#attempts, due, held, cached: this.#cache.size };
  }

  #add(entry: QueueEntry): void {
    const item: Item = { ...entry, dueAt: 0, order: 0, state: "waiting" };
    this.#items.set(entry.messageId, item);
    this.#plan(item);
  }

  #plan(item: Item): void {
    item.state = "waiting";
    item.dueAt = earliestOf(item.recipients);
    item.order = this.#order++;
    this.#laneOf(item).heap.push({ dueAt: item.dueAt, order: item.order, item });
  }

  #laneOf(item: Item): Lane {
    const name = this.#options.laneOf?.(item.recipients) ?? "";
    let lane = this.#lanes.get(name);
    if (!lane) this.#lanes.set(name, (lane = { heap: new DueHeap(), running: 0 }));
    return lane;
  }

  /** Starts what is due and has a place; plans to come back for what is due next. */
  #pump(): void {
    if (this.#state !== "started") return;
    const now = this.#clock.now();
    let nextAt = Number.POSITIVE_INFINITY;
    for (const lane of this.#lanes.values()) {
      for (let entry = lane.heap.peek(); entry; entry = lane.heap.peek()) {
        const { item } = entry;
        if (entry.order !== item.order || item.state !== "waiting") {
          lane.heap.pop();
          continue;
        }
        // Without a place, the attempt that ends comes back here.
        if (this.#attempts >= this.#attemptsMax || lane.running >= this.#laneAttemptsMax) break;
        if (entry.dueAt > now) {
          nextAt = Math.min(nextAt, entry.dueAt);
          break;
        }
        lane.heap.pop();
        this.#begin(item, lane);
      }
    }
    this.#wakeAt(nextAt);
  }

  #wakeAt(at: number): void {
    if (this.#timer?.at === at) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (at === Number.POSITIVE_INFINITY) return;
    const cancel = this.#clock.after(at - this.#clock.now(), () => {
      this.#timer = undefined;
      this.#pump();
    });
    this.#timer = { at, cancel };
  }

  #begin(item: Item, lane: Lane): void {
    item.state = "running";
    this.#attempts += 1;
    lane.running += 1;
    const freePlace = () => {
      this.#attempts -= 1;
      lane.running -= 1;
    };
    const run = this.#attempt(item, freePlace)
      .catch((error: unknown) =>
        this.#log.error("queue.failed", { messageId: item.messageId, reason: describeThrown(error) }),
      )
      .finally(() => {
        this.#running.delete(run);
        this.#pump();
      });
    this.#running.add(run);
  }

  async #attempt(item: Item, freePlace: () => void): Promise<void> {
    const attemptId = createId(this.#clock.now());
    let message: Message | undefined;
    let settlements: readonly Settlement[];
    try {
      const startedAt = this.#clock.now();
      const due = item.recipients.filter((recipient) => recipient.nextAttemptAt <= startedAt);
      let outcomes: readonly Outcome[];
      try {
        message = this.#cache.take(item.messageId) ?? (await this.#spool.load(item.messageId));
        if (!message) {
          this.#items.delete(item.messageId);
          this.#log.error("queue.message-missing", { messageId: item.messageId });
          return;
        }
        this.#track(item.messageId, "attempted", { attemptId, recipients: due.length });
        outcomes = await this.#options.deliver({ message, attemptId, recipients: due });
      } catch (error) {
        const reason = describeThrown(error);
        this.#log.error("delivery.failed", {
          messageId: item.messageId,
          attemptId,
          reason,
          fault: error instanceof Fault ? error.code : undefined,
        });
        outcomes = due.map(({ index }) => ({ index, kind: "deferred", nextHop: "", reply: null, reason }));
      }
      settlements = settleAttempt(due, outcomes, {
        receivedAt: item.receivedAt,
        now: this.#clock.now(),
        schedule: this.#options.schedule,
      });
    } finally {
      freePlace();
    }
    await this.#settle(item, attemptId, message, settlements);
  }

  async #settle(
    item: Item,
    attemptId: string,
    message: Message | undefined,
    settlements: readonly Settlement[],
  ): Promise<void> {
    const report = this.#createReport(item, message, settlements);
    // Held as before: nothing to persist but the time of the next look, which a restart sets anew anyway.
    const changed = settlements.filter(
      ({ recipient, outcome, update }) => outcome.kind !== "held" || recipient.lastOutcome !== update.lastOutcome,
    );
    if (changed.length > 0 && !(await this.#record(item, changed, report))) return;
    for (const settlement of changed) this.#tellOutcome(item, attemptId, message, settlement);
    const updates = new Map(settlements.map(({ update }) => [update.index, update]));
    item.recipients = item.recipients
      .map((recipient) => ({ ...recipient, ...updates.get(recipient.index) }))
      .filter((recipient) => recipient.state === "queued");
    if (item.recipients.length > 0) this.#plan(item);
    else {
      this.#items.delete(item.messageId);
      this.#track(item.messageId, "finished", {});
    }
    if (!report) return;
    this.#log.info("dsn.queued", { messageId: item.messageId, reportId: report.id, to: item.reversePath });
    this.#track(item.messageId, "reported", { reportId: report.id });
    this.enqueue(report);
  }

  /**
   * Persists the outcomes, again and again where the spool cannot now: a message that was delivered must not be delivered again because its outcome
   * did not fit on the disk. False where it is given up: the server stops, or the message is gone.
   */
  async #record(item: Item, settlements: readonly Settlement[], report: Message | undefined): Promise<boolean> {
    item.state = "recording";
    for (let delayMs = recordRetryMs; ; delayMs = Math.min(delayMs * 2, recordRetryMsMax)) {
      try {
        await this.#spool.record(
          item.messageId,
          settlements.map(({ update }) => update),
          report ? [report] : [],
        );
        return true;
      } catch (error) {
        const code = error instanceof Fault ? error.code : undefined;
        this.#log.error("queue.record-failed", {
          messageId: item.messageId,
          reason: describeThrown(error),
          fault: code,
        });
        if (code === "spool.unknown-message") this.#items.delete(item.messageId);
        if (code === "spool.unknown-message" || code === "spool.closed" || this.#state === "stopping") return false;
      }
      await new Promise<void>((resolve) => this.#clock.after(delayMs, resolve));
    }
  }

  /** The report of an attempt's failures, or undefined where there are none or nobody to tell. RFC 5321 §4.5.5, §6.1. */
  #createReport(item: Item, message: Message | undefined, settlements: readonly Settlement[]): Message | undefined {
    const failed = settlements.filter(({ outcome }) => outcome.kind === "failed");
    if (failed.length === 0 || !message) return undefined;
    const { reversePath } = message.envelope;
    if (reversePath === null) {
      this.#log.warn("dsn.suppressed", {
        messageId: item.messageId,
        reason: "the reverse-path is null",
        recipients: failed.map(({ recipient }) => formatMailbox(recipient.mailbox)),
        outcomes: failed.map(({ outcome }) => describeOutcome(outcome)),
      });
      return undefined;
    }
    const now = this.#clock.now();
    return createFailureReport({
      original: message,
      reversePath,
      hostName: this.#options.hostName,
      now,
      failed: failed.map(({ recipient, outcome }) => ({
        mailbox: recipient.mailbox,
        status: outcome.status ?? outcome.reply?.status ?? "5.0.0",
        reason: outcome.reason || "refused for good",
        nextHop: outcome.nextHop,
        reply: outcome.reply,
        lastAttemptAt: now,
      })),
    });
  }

  #tellOutcome(
    item: Item,
    attemptId: string,
    message: Message | undefined,
    { recipient, outcome, update }: Settlement,
  ): void {
    const to = formatMailbox(recipient.mailbox);
    const words = describeOutcome(outcome);
    const facts = { attemptId, to, nextHop: outcome.nextHop, attempts: update.attempts, outcome: words };
    const fields = { messageId: item.messageId, ...facts };
    const step = outcome.kind === "held" ? "deferred" : outcome.kind;
    if (outcome.kind === "delivered") this.#log.info("delivery.delivered", fields);
    else if (outcome.kind === "failed") this.#log.warn("delivery.failed", fields);
    else
      this.#log.info(`delivery.${outcome.kind}`, {
        ...fields,
        nextAttemptAt: new Date(update.nextAttemptAt).toISOString(),
      });
    this.#track(item.messageId, step, facts);
    // An attempt that could not even load its message has nothing to show.
    if (!message) return;
    const subject = {
      message,
      attemptId,
      forwardPath: recipient.mailbox,
      nextHop: outcome.nextHop,
      reply: outcome.reply,
    };
    if (step === "delivered") this.#options.tell("onDelivered", subject);
    else if (step === "failed") this.#options.tell("onFailed", { ...subject, reason: words });
    else this.#options.tell("onDeferred", { ...subject, reason: words, nextAttemptAt: update.nextAttemptAt });
  }

  #track(messageId: string, step: TrackStep, facts: Readonly<Record<string, unknown>>): void {
    this.#options.tell("onTrack", { messageId, step, code: trackCodes[step], at: this.#clock.now(), facts });
  }
}

function isHeld(recipient: StoredRecipient): boolean {
  return recipient.lastOutcome.startsWith(heldPrefix);
}

function earliestOf(recipients: readonly StoredRecipient[]): number {
  return recipients.reduce(
    (earliest, { nextAttemptAt }) => Math.min(earliest, nextAttemptAt),
    Number.POSITIVE_INFINITY,
  );
}

function mailboxesOf(item: Item): string[] {
  return [item.reversePath, ...item.recipients.map((recipient) => formatMailbox(recipient.mailbox))];
}

function describeItem(item: Item): QueueItem {
  return {
    messageId: item.messageId,
    receivedAt: item.receivedAt,
    sizeOctets: item.sizeOctets,
    reversePath: item.reversePath,
    recipients: item.recipients,
    nextAttemptAt: item.dueAt,
    running: item.state !== "waiting",
    held: item.recipients.some(isHeld),
  };
}
