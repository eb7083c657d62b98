/**
 * The queue: what is due when. It keeps a small record of every message in the spool (book.ts), starts attempts in the order they are due and fairly between
 * destinations (lanes.ts), persists what came of them before a message goes (attempts.ts, RELIABILITY P2), and does what the operator says (operator.ts).
 * How a message gets anywhere is delivery's affair.
 */
import type { Message } from "../mail/message.ts";
import { formatReversePath } from "../mail/path.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { isLastPage } from "../spool/page.ts";
import type { PageStart } from "../spool/selection.ts";
import { queuedRecipients, type StoredRecipient } from "../spool/spool.ts";
import { type AttemptParts, Attempts } from "./attempts.ts";
import { Book } from "./book.ts";
import { Teller } from "./consequences.ts";
import { Lane } from "./lane.ts";
import { Lanes } from "./lanes.ts";
import { Leases } from "./leases.ts";
import { type DestinationView, describeLane, type QueueItem } from "./listing.ts";
import { MessageCache } from "./message-cache.ts";
import { type ChangeOptions, Operator, type Verb } from "./operator.ts";
import type { QueueCounts, QueueOptions } from "./queue-options.ts";
import { Recorder } from "./recorder.ts";
import { createReporter } from "./reports.ts";
import { createResolving } from "./resolving.ts";
import type { QueueChange, QueuePage, QueueSelection } from "./selection.ts";
import { type ConfiguredShape, type ShapeChange, Shapes } from "./shapes.ts";
import { Sweep, sweepMs } from "./sweep.ts";
import { type Unit, unresolved } from "./work.ts";

/** The queue looks at the clock at least so often: the machine's may be set, forwards or back. */
const wakeMsMax = 60_000;
/** At a stop: so long an attempt that is told to end has to say what it delivered. */
const endingMs = 2_000;
/** Messages read at a time from the spool, at the start and after routes changed: nobody else is served while they are looked at. */
const pageMax = 500;

export class Queue {
  readonly #options: QueueOptions;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #shapes: Shapes;
  readonly #lanes: Lanes;
  readonly #book: Book;
  readonly #cache: MessageCache;
  readonly #leases: Leases;
  readonly #recorder: Recorder;
  readonly #attempts: Attempts;
  readonly #sweep: Sweep;
  readonly #operator: Operator;
  readonly #running = new Set<Promise<void>>();
  /** All that was in the spool is known. */
  readonly #known = Promise.withResolvers<void>();
  #state: "new" | "started" | "stopping" = "new";
  #timer: { readonly at: number; readonly cancel: () => void } | undefined;
  /** What the clocks said when it last looked. */
  #seen: { readonly now: number; readonly monotonicMs: number } | undefined;
  #sweptAt = 0;
  #sweeping = false;

  constructor(options: QueueOptions) {
    const { attemptsMax = 100, spool, clock, log, schedule, laneOf, categorize, delayWarningMs = 0 } = options;
    this.#options = options;
    this.#log = log;
    this.#clock = clock;
    this.#shapes = new Shapes({
      path: options.destinationsFile ?? null,
      log,
      configured: options.shapes ?? [],
      connectionsDefault: options.laneAttemptsMax ?? (laneOf ? Math.max(1, Math.floor(attemptsMax / 2)) : attemptsMax),
    });
    this.#lanes = new Lanes({
      runningMax: attemptsMax,
      limitsOf: (name) =>
        name === unresolved
          ? { connectionsMax: attemptsMax, rate: null, suspendedUntil: null }
          : this.#shapes.limitsOf(name),
    });
    this.#book = new Book({
      clock,
      lanes: this.#lanes,
      laneOf: laneOf ?? (() => ""),
      categorizes: categorize !== undefined,
      waitMsMax: schedule.delayMsMax,
    });
    this.#cache = new MessageCache({
      messagesMax: options.cachedMessagesMax ?? 1_000,
      octetsMax: options.cachedOctetsMax ?? 64 * 1024 * 1024,
    });
    this.#leases = new Leases({ clock, timeoutMs: options.attemptTimeoutMs ?? 60 * 60_000 });
    this.#recorder = new Recorder({ spool, clock, log, onGone: (messageId) => this.#book.items.delete(messageId) });
    const teller = new Teller(options);
    const parts: Omit<AttemptParts, "resolve"> = {
      spool,
      clock,
      log,
      schedule,
      deliver: options.deliver,
      createReports: options.createReports ?? createReporter({ hostName: options.hostName, clock, log }),
      delayWarningMs,
      teller,
      book: this.#book,
      cache: this.#cache,
      leases: this.#leases,
      recorder: this.#recorder,
      enqueue: (message) => this.enqueue(message),
    };
    const resolve = createResolving({
      ...parts,
      attempts: () => this.#attempts,
      categorize: categorize ?? (async () => ({ kind: "unchanged" })),
      quarantine: options.quarantine,
      enqueueResolved: (message) => this.#enqueue(message, true),
    });
    this.#attempts = new Attempts({ ...parts, resolve });
    this.#sweep = new Sweep({ book: this.#book, clock, attempts: this.#attempts, schedule, delayWarningMs });
    this.#operator = new Operator({
      spool,
      clock,
      log,
      book: this.#book,
      attempts: this.#attempts,
      cache: this.#cache,
      teller,
      known: this.#known.promise,
    });
  }

  /** Takes up the schedule that survived the last process; held mail is looked at again. @throws {Fault} `spool.failed`, `spool.closed` */
  async start(): Promise<void> {
    await this.#shapes.open();
    this.#lanes.relimit(this.#clock.now());
    // What was enqueued while the list was read is known already.
    for await (const entry of this.#entries()) this.#book.add(entry);
    this.#known.resolve();
    // Held is held before it is tried, where an operator asked for it meanwhile.
    await this.#operator.idle;
    this.#state = "started";
    this.#log.info("queue.started", { messages: this.#book.items.size });
    this.#pump();
  }

  /** A message the spool has just taken custody of: due now, and attempted from memory where there is room. */
  enqueue(message: Message): void {
    this.#enqueue(message, false);
  }

  /** Looks at mail again that a route holds, now: the smarthost may have been set. */
  recheckHeld(): void {
    this.#book.recheckHeld();
    this.#pump();
  }

  /** After routes changed: everything that waits goes to the lane of the destination it has now, and what a route held is looked at again. @throws {Fault} `spool.failed`, `spool.closed` */
  async reroute(): Promise<void> {
    for await (const entry of this.#entries()) {
      const item = this.#book.items.get(entry.messageId);
      // What runs is planned anew when it settles.
      if (!item || item.units.some(({ state }) => state !== "waiting")) continue;
      const queued = entry.recipients.filter(({ state }) => state === "queued");
      const known = new Map(item.units.flatMap(({ pending }) => pending.map((each) => [each.index, each])));
      const isCurrent = ({ index, attempts, heldBy, delayTold }: StoredRecipient) => {
        const pending = known.get(index);
        return (
          pending?.attempts === attempts && pending.heldBy === heldBy && pending.delayTold === (delayTold ?? false)
        );
      };
      // Read before it was tried, changed or resolved: what did that asked for the destination itself.
      if (queued.length !== known.size || !queued.every(isCurrent)) continue;
      const categorized = item.units.every(({ laneName }) => laneName !== unresolved);
      const recipients = queued.map((each) => ({ ...each, nextAttemptAt: known.get(each.index)!.nextAttemptAt }));
      this.#book.regroup(item, recipients, categorized);
    }
    this.recheckHeld();
  }

  /** Other shapes of the configuration from now on. */
  reshape(shapes: readonly ConfiguredShape[]): void {
    this.#shapes.reconfigure(shapes);
    this.#lanes.relimit(this.#clock.now());
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
    this.#recorder.stop();
    this.#known.resolve();
    await this.#drain(deadlineMs);
    if (this.#running.size > 0 && this.#leases.tellAll() > 0) await this.#drain(endingMs);
    const abandoned = this.#running.size;
    this.#leases.abandonAll();
    this.#log.info("queue.stopped", { messages: this.#book.items.size, abandoned });
    return abandoned;
  }

  /** A page of what is queued, oldest first; of each message the recipients that are queued. @throws {Fault} `address.syntax`, `spool.failed`, `spool.closed` */
  async list(
    selection: QueueSelection = {},
    page: { readonly limit?: number; readonly offset?: number } = {},
  ): Promise<QueuePage> {
    return await this.#operator.list(selection, page);
  }

  /** One message with all of its recipients, those done with too. @throws {Fault} `spool.failed`, `spool.closed` */
  async show(messageId: string): Promise<QueueItem | undefined> {
    return await this.#operator.show(messageId);
  }

  /** Due now, whatever schedule and back-off say; what the operator holds stays so. The faults are those of `list`, here and below. */
  async retry(selection: QueueSelection, options: ChangeOptions = {}): Promise<QueueChange> {
    return await this.#change("retry", selection, options);
  }

  /** Until it is released, restarts included; costs no attempt, and nothing is given up meanwhile. */
  async hold(
    selection: QueueSelection,
    { reason = "", ...options }: ChangeOptions & { readonly reason?: string } = {},
  ): Promise<QueueChange> {
    return await this.#change("hold", selection, { ...options, words: reason });
  }

  async release(selection: QueueSelection, options: ChangeOptions = {}): Promise<QueueChange> {
    return await this.#change("release", selection, options);
  }

  /** Fails now, with a report to the sender. */
  async bounce(
    selection: QueueSelection,
    { text = "", ...options }: ChangeOptions & { readonly text?: string } = {},
  ): Promise<QueueChange> {
    return await this.#change("bounce", selection, { ...options, words: text });
  }

  /** Goes without a word to the sender; the log keeps the envelope. */
  async remove(selection: QueueSelection, options: ChangeOptions = {}): Promise<QueueChange> {
    return await this.#change("remove", selection, options);
  }

  /** Resolves the recipients of the whole message anew. */
  async requeue(selection: QueueSelection, options: ChangeOptions = {}): Promise<QueueChange> {
    return await this.#change("requeue", selection, options);
  }

  /** Destinations that have work, or of which there is something to know; by name. */
  destinations(): readonly DestinationView[] {
    const names = new Set(this.#shapes.names());
    for (const { name } of this.#lanes.values()) if (name !== unresolved) names.add(name);
    return [...names].sort().map((name) => this.#describe(name));
  }

  /** Changes what one destination may be given, durably. @throws {Fault} `destination.invalid`, `data.unusable` */
  async shape(name: string, change: ShapeChange): Promise<DestinationView> {
    await this.#shapes.change(name, change);
    if (change.wake) this.#lanes.get(name)?.answered();
    this.#lanes.relimit(this.#clock.now(), name);
    this.#pump();
    return this.#describe(name);
  }

  counts(): QueueCounts {
    const now = this.#clock.now();
    let due = 0;
    for (const lane of this.#lanes.values()) for (const unit of lane.units()) if (unit.dueAt <= now) due += 1;
    return {
      messages: this.#book.items.size,
      running: this.#lanes.running,
      due,
      held: this.#book.countHeld(),
      cached: this.#cache.size,
    };
  }

  /** Waits for what is under way, so long at most. */
  async #drain(deadlineMs: number): Promise<void> {
    const deadline = Promise.withResolvers<void>();
    const cancel = this.#clock.after(deadlineMs, deadline.resolve);
    await Promise.race([Promise.all([...this.#running, this.#operator.idle]), deadline.promise]);
    cancel();
  }

  #enqueue(message: Message, categorized: boolean): void {
    if (this.#book.items.has(message.id)) return;
    this.#cache.offer(message);
    this.#book.add({
      messageId: message.id,
      receivedAt: message.receivedAt,
      sizeOctets: message.sizeOctets,
      reversePath: formatReversePath(message.envelope.reversePath),
      recipients: queuedRecipients(message.envelope, this.#clock.now()),
      categorized,
    });
    this.#pump();
  }

  async #change(
    verb: Verb,
    selection: QueueSelection,
    options: ChangeOptions & { readonly words?: string },
  ): Promise<QueueChange> {
    try {
      return await this.#operator.change(verb, selection, options);
    } finally {
      this.#pump();
    }
  }

  #describe(name: string): DestinationView {
    const now = this.#clock.now();
    const shapedBy = this.#shapes.shapedBy(name);
    return describeLane(this.#lanes.get(name) ?? new Lane(name, this.#shapes.limitsOf(name)), now, shapedBy);
  }

  /** Everything in the spool, page by page: neither the spool nor this process is busy with it for long. */
  async *#entries() {
    for (let after: PageStart | undefined; ; ) {
      const entries = await this.#options.spool.list({ limit: pageMax, ...(after ? { after } : {}) });
      yield* entries;
      after = entries.at(-1);
      if (!after || isLastPage(entries, pageMax)) return;
    }
  }

  /** Starts what is due and has a place; plans to come back for what is due next. */
  #pump(): void {
    if (this.#state !== "started") return;
    const now = this.#clock.now();
    this.#followClock(now);
    const nextAt = this.#lanes.startDue(now, (unit, lane, freePlace) => this.#begin(unit, lane, freePlace));
    this.#wakeAt(Math.min(nextAt, this.#sweepAt(now)));
  }

  /** The machine's clock may have been set, or the machine have slept: what is planned stays within its bounds, and nothing is given up for time that went by unused. */
  #followClock(now: number): void {
    const monotonicMs = this.#clock.monotonicMs();
    const jumpMs = this.#seen ? now - this.#seen.now - (monotonicMs - this.#seen.monotonicMs) : 0;
    this.#seen = { now, monotonicMs };
    if (jumpMs < -wakeMsMax) this.#book.bringForward();
    if (jumpMs > wakeMsMax) this.#lanes.skip(jumpMs, now);
  }

  #begin(unit: Unit, lane: Lane, freePlace: (now: number) => void): void {
    this.#follow(
      this.#attempts.run(unit, lane).catch((error: unknown) => {
        this.#log.error("queue.failed", { message: unit.item.messageId, reason: describeThrown(error) });
        this.#book.putBack(unit, this.#options.schedule.delayMs(1));
      }),
      () => freePlace(this.#clock.now()),
    );
  }

  /** When to look after destinations that are down or suspended; does it where it is time. */
  #sweepAt(now: number): number {
    if (this.#lanes.remarkable.size === 0) return Number.POSITIVE_INFINITY;
    // When it is over, it is asked again.
    if (this.#sweeping) return Number.POSITIVE_INFINITY;
    if (now < this.#sweptAt) this.#sweptAt = now;
    if (now - this.#sweptAt < sweepMs) return this.#sweptAt + sweepMs;
    this.#sweptAt = now;
    this.#sweeping = true;
    this.#follow(
      this.#sweep
        .run(() => this.#state === "stopping")
        .catch((error: unknown) => this.#log.error("queue.failed", { reason: describeThrown(error) })),
      () => {
        this.#sweeping = false;
      },
    );
    return now + sweepMs;
  }

  /** @param over called when it is */
  #follow(work: Promise<void>, over: () => void): void {
    const run = work.then(() => {
      this.#running.delete(run);
      over();
      this.#pump();
    });
    this.#running.add(run);
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
}
