/** The queue's book: every message in mind and its units of work, each in the lane where it waits. What it says of a message is the spool's word as soon as it settles. */
import type { Clock } from "../platform/clock.ts";
import type { QueueEntry, StoredRecipient } from "../spool/spool.ts";
import { heldRecheckMs } from "./attempt.ts";
import type { Lanes } from "./lanes.ts";
import { type Item, type Pending, type Unit, unitsOf } from "./work.ts";

export interface BookOptions {
  readonly clock: Clock;
  readonly lanes: Lanes;
  /** Destination of a recipient. */
  readonly laneOf: (recipient: StoredRecipient) => string;
  /** Whether recipients are resolved before their first attempt. */
  readonly categorizes: boolean;
  /** No recipient waits longer. */
  readonly waitMsMax: number;
}

export class Book {
  readonly items = new Map<string, Item>();
  readonly lanes: Lanes;
  readonly #options: BookOptions;
  readonly #clock: Clock;
  /** Lane names of recipients repeat: each is kept once. */
  readonly #laneOf: (recipient: StoredRecipient) => string;

  constructor(options: BookOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.lanes = options.lanes;
    this.#laneOf = (recipient) => {
      const name = options.laneOf(recipient);
      return this.lanes.get(name)?.name ?? name;
    };
  }

  /** A message that is not in the book yet; what a route held is due now. */
  add(entry: QueueEntry): void {
    if (this.items.has(entry.messageId)) return;
    const now = this.#clock.now();
    const item: Item = { messageId: entry.messageId, receivedAt: Math.min(entry.receivedAt, now), units: [] };
    this.items.set(entry.messageId, item);
    item.units = this.#unitsOf(item, entry.recipients, entry.categorized);
    for (const unit of item.units) {
      if (unit.pending.some((each) => each.heldBy === "route" || each.nextAttemptAt > now))
        unit.pending = unit.pending.map((each) => this.#bounded(dueAgain(each, now), now));
      this.lanes.plan(unit, now);
    }
  }

  laneOf(recipient: StoredRecipient): string {
    return this.#laneOf(recipient);
  }

  /**
   * Plans what is left of a unit that was out of its lane: recipients by the destination they have now. Returns whether the message is done with.
   * @param recipients those of the unit that are queued still
   */
  settle(unit: Unit, recipients: readonly StoredRecipient[], categorized = true): boolean {
    const { item } = unit;
    if (recipients.length === 0 && item.units.length === 1) {
      item.units = [];
      return this.items.delete(item.messageId);
    }
    const units = this.#unitsOf(item, recipients, categorized);
    const now = this.#clock.now();
    const [only] = units;
    if (only && units.length === 1 && only.laneName === unit.laneName) this.keep(unit, only.pending);
    else {
      const others = item.units.filter((other) => other !== unit);
      item.units = others.length === 0 ? units : [...others, ...units];
      for (const each of units) this.lanes.plan(each, now);
      if (item.units.length === 0) this.items.delete(item.messageId);
    }
    return item.units.length === 0;
  }

  /** Puts a unit back into its lane. */
  keep(unit: Unit, pending: readonly Pending[] = unit.pending): void {
    unit.pending = pending;
    this.lanes.plan(unit, this.#clock.now());
  }

  /** After something broke while the unit was in hand: what is left of it waits, and is read anew then. */
  putBack(unit: Unit, delayMs: number): void {
    if (unit.state === "waiting" || !unit.item.units.includes(unit)) return;
    const nextAttemptAt = this.#clock.now() + delayMs;
    this.keep(
      unit,
      unit.pending.map((pending) => ({ ...pending, nextAttemptAt })),
    );
  }

  /** Puts a message's units in the place of those it had, none of which runs. */
  regroup(item: Item, recipients: readonly StoredRecipient[], categorized: boolean): void {
    const now = this.#clock.now();
    for (const unit of item.units) this.lanes.take(unit, "changing", now);
    item.units = this.#unitsOf(item, recipients, categorized);
    for (const unit of item.units) this.lanes.plan(unit, now);
    if (item.units.length === 0) this.items.delete(item.messageId);
  }

  /** What a route holds is due now. */
  recheckHeld(): void {
    this.#changeWaiting(dueAgain, (pending) => pending.some(({ heldBy }) => heldBy === "route"));
  }

  /** After the clock was set back: nothing waits longer than it may, nor is younger than new. */
  bringForward(): void {
    const now = this.#clock.now();
    for (const item of this.items.values()) item.receivedAt = Math.min(item.receivedAt, now);
    this.#changeWaiting(
      (pending) => this.#bounded(pending, now),
      () => true,
    );
    this.lanes.bringForward(now);
  }

  /** Messages of which something is held. */
  countHeld(): number {
    let held = 0;
    for (const { units } of this.items.values())
      if (units.some(({ pending }) => pending.some(({ heldBy }) => heldBy !== undefined))) held += 1;
    return held;
  }

  #changeWaiting(
    change: (pending: Pending, now: number) => Pending,
    isMeant: (pending: readonly Pending[]) => boolean,
  ): void {
    const now = this.#clock.now();
    for (const { units } of this.items.values()) {
      for (const unit of units) {
        if (unit.state !== "waiting" || !isMeant(unit.pending)) continue;
        this.lanes.take(unit, "changing", now);
        this.keep(
          unit,
          unit.pending.map((each) => change(each, now)),
        );
      }
    }
  }

  #unitsOf(item: Item, recipients: readonly StoredRecipient[], categorized: boolean): Unit[] {
    const knows = categorized || !this.#options.categorizes;
    return unitsOf(item, recipients, knows ? this.#laneOf : undefined);
  }

  #bounded(pending: Pending, now: number): Pending {
    const latest = now + Math.max(this.#options.waitMsMax, heldRecheckMs);
    return pending.nextAttemptAt > latest ? { ...pending, nextAttemptAt: latest } : pending;
  }
}

function dueAgain(pending: Pending, now: number): Pending {
  return pending.heldBy === "route" ? { ...pending, nextAttemptAt: now } : pending;
}
