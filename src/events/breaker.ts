/** The circuit breaker of a binding: after too many faults in a short time it is not asked for a while, then probed with one run. */
import type { Clock } from "../platform/clock.ts";

export interface BreakerLimits {
  /** Faults within `withinMs` that open it. */
  readonly faults: number;
  readonly withinMs: number;
  /** How long it stays open before a probe. */
  readonly suspendMs: number;
}

export const defaultBreakerLimits: BreakerLimits = { faults: 10, withinMs: 60_000, suspendMs: 60_000 };

export type BreakerState = "closed" | "open" | "probing";

export class Breaker {
  readonly #clock: Clock;
  readonly #limits: BreakerLimits;
  #faultTimes: number[] = [];
  /** When the next probe may begin. */
  #openUntil = 0;
  #state: BreakerState = "closed";

  constructor(clock: Clock, limits: BreakerLimits = defaultBreakerLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** Monotonic milliseconds until the probe; 0 where it is not open. */
  get remainingMs(): number {
    return this.#state === "open" ? Math.max(0, this.#openUntil - this.#clock.monotonicMs()) : 0;
  }

  /**
   * Whether the binding may be asked now. The first to be told so after the suspension is the probe; the others wait for its outcome, as long as
   * they waited for the probe: one that never ends is followed by another.
   */
  admits(): boolean {
    if (this.#state === "closed") return true;
    const now = this.#clock.monotonicMs();
    if (now < this.#openUntil) return false;
    this.#state = "probing";
    this.#openUntil = now + this.#limits.suspendMs;
    return true;
  }

  succeeded(): void {
    if (this.#state !== "probing") return;
    this.#state = "closed";
    this.#faultTimes = [];
  }

  /** Gives true where this fault opened it. */
  faulted(): boolean {
    const now = this.#clock.monotonicMs();
    this.#faultTimes = this.#faultTimes.filter((at) => now - at < this.#limits.withinMs);
    this.#faultTimes.push(now);
    if (this.#state === "closed" && this.#faultTimes.length < this.#limits.faults) return false;
    const opened = this.#state !== "open";
    this.#state = "open";
    this.#openUntil = now + this.#limits.suspendMs;
    return opened;
  }
}
