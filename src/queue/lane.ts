/**
 * A lane: the work for one destination, and what that destination may be given. It knows when it may start the next; who asks it is lanes.ts.
 * A destination that is down gets one attempt at a time, after waits that double: what else waits for it is not tried meanwhile, and loses no attempt.
 */
import type { Rate } from "../platform/value.ts";
import { type Due, DueHeap } from "./due-heap.ts";
import { isFirstAttempt, type Unit } from "./work.ts";

/** Waits while a destination is down: doubled from the first to the last. */
export const backOffMsMin = 1_000;
export const backOffMsMax = 5 * 60_000;
/** One start in so many is one of a retry, where first attempts are due all the time. */
const retryShare = 8;

export interface LaneLimits {
  /** Attempts at a time. */
  readonly connectionsMax: number;
  readonly rate: Rate | null;
  /** Milliseconds since the Unix epoch, Infinity until somebody resumes it; null where it is not suspended. */
  readonly suspendedUntil: number | null;
}

export interface BackOff {
  readonly since: number;
  readonly until: number;
  readonly waitMs: number;
}

export class Lane implements Due {
  readonly name: string;
  dueAt = 0;
  order = 0;
  place = -1;
  running = 0;
  limits: LaneLimits;
  backOff: BackOff | null = null;
  /** Since when the operator suspends it; null where he does not. */
  suspendedSince: number | null = null;
  lastFailure: { readonly at: number; readonly reason: string } | null = null;
  /** In the ring of those that may start something; the next one there. */
  inRing = false;
  next: Lane | undefined;
  readonly #first = new DueHeap<Unit>();
  readonly #retries = new DueHeap<Unit>();
  #starts = 0;
  /** When its bucket is full again; the generic cell rate algorithm, as in token-buckets.ts. */
  #fullAt = 0;

  constructor(name: string, limits: LaneLimits) {
    this.name = name;
    this.limits = limits;
  }

  get waiting(): number {
    return this.#first.size + this.#retries.size;
  }

  *units(): IterableIterator<Unit> {
    yield* this.#first;
    yield* this.#retries;
  }

  push(unit: Unit): void {
    (isFirstAttempt(unit) ? this.#first : this.#retries).push(unit);
  }

  /** Takes a unit out; `pending` must be as it was when it was put in. */
  remove(unit: Unit): void {
    (isFirstAttempt(unit) ? this.#first : this.#retries).remove(unit);
  }

  /** When it may start the next one; Infinity where it has nothing, or no place. */
  readyAt(): number {
    const head = Math.min(this.#first.peek()?.dueAt ?? Infinity, this.#retries.peek()?.dueAt ?? Infinity);
    const { connectionsMax, suspendedUntil } = this.limits;
    if (this.running >= (this.backOff ? 1 : connectionsMax)) return Number.POSITIVE_INFINITY;
    return Math.max(head, suspendedUntil ?? 0, this.backOff?.until ?? 0, this.#tokenAt());
  }

  /** Takes out what is next; call it only when `readyAt` is over. */
  start(now: number): Unit {
    const isDue = (heap: DueHeap<Unit>) => (heap.peek()?.dueAt ?? Infinity) <= now;
    const wantsRetry = this.#starts++ % retryShare === retryShare - 1;
    const heap = isDue(this.#first) && !(wantsRetry && isDue(this.#retries)) ? this.#first : this.#retries;
    this.running += 1;
    const { rate } = this.limits;
    if (rate) this.#fullAt = Math.max(this.#fullAt, now) + rate.withinMs / rate.times;
    return heap.pop()!;
  }

  /** Gives back what `start` took of the rate: nothing was tried. */
  refund(): void {
    const { rate } = this.limits;
    if (rate) this.#fullAt -= rate.withinMs / rate.times;
  }

  /** Nobody could be reached by an attempt that began at `startedAt`. Those that ran side by side count once. */
  failed(startedAt: number, now: number, reason: string): void {
    this.lastFailure = { at: now, reason };
    const before = this.backOff;
    if (before && startedAt <= before.until - before.waitMs) return;
    const waitMs = before ? Math.min(before.waitMs * 2, backOffMsMax) : backOffMsMin;
    this.backOff = { since: before?.since ?? now, until: now + waitMs, waitMs };
  }

  /** Somebody answered there. */
  answered(): void {
    this.backOff = null;
  }

  /** Since when nothing is tried but a probe; null where all goes as it should. */
  stalledSince(now: number): number | null {
    const suspended = (this.limits.suspendedUntil ?? 0) > now ? this.suspendedSince : null;
    const down = this.backOff?.since ?? null;
    return suspended === null ? down : down === null ? suspended : Math.min(suspended, down);
  }

  /** After the clock was set forward: what the jump skipped was no time in which nothing could be tried. */
  skip(jumpMs: number, now: number): void {
    if (this.backOff) this.backOff = { ...this.backOff, since: Math.min(this.backOff.since + jumpMs, now) };
    if (this.suspendedSince !== null) this.suspendedSince = Math.min(this.suspendedSince + jumpMs, now);
  }

  /** After the clock was set back: no wait is longer than it may be. */
  bringForward(now: number): void {
    if (this.backOff && this.backOff.until > now + backOffMsMax)
      this.backOff = { since: now, until: now + this.backOff.waitMs, waitMs: this.backOff.waitMs };
    if (this.suspendedSince !== null) this.suspendedSince = Math.min(this.suspendedSince, now);
    this.#fullAt = Math.min(this.#fullAt, now + (this.limits.rate?.withinMs ?? 0));
  }

  /** Whether it may be forgotten. */
  isIdle(now: number): boolean {
    return (
      this.waiting === 0 &&
      this.running === 0 &&
      this.#fullAt <= now &&
      (!this.backOff || this.backOff.until + backOffMsMax <= now)
    );
  }

  #tokenAt(): number {
    const { rate } = this.limits;
    return rate ? Math.floor(this.#fullAt - (rate.times - 1) * (rate.withinMs / rate.times)) : 0;
  }
}
