/** Leases: a piece of work has so much time, and whatever it says later is heard by nobody. One timer serves them all, since all have the same time. */
import type { Clock } from "../platform/clock.ts";

/** What work that was not over in time counts as having thrown. */
export class LeaseOver extends Error {}

interface Lease {
  readonly endsAtMs: number;
  readonly end: (error: Error) => void;
  readonly abandon: () => void;
}

export class Leases {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  /** In the order they end. */
  readonly #running = new Set<Lease>();
  #cancel: (() => void) | undefined;

  constructor(options: { readonly clock: Clock; readonly timeoutMs: number }) {
    this.#clock = options.clock;
    this.#timeoutMs = options.timeoutMs;
  }

  /** Does the work; rejects with LeaseOver, and fires its signal, where it takes too long. Ask for the signal before the work is over. */
  run<Value>(work: (signalOf: () => AbortSignal) => Promise<Value>): Promise<Value> {
    return new Promise((resolve, reject) => {
      // Made for those who ask: most attempts are over before anybody could.
      let abort: AbortController | undefined;
      const signalOf = () => (abort ??= new AbortController()).signal;
      let isAbandoned = false;
      const lease: Lease = {
        endsAtMs: this.#clock.monotonicMs() + this.#timeoutMs,
        end: (error) => {
          this.#finish(lease);
          reject(error);
          abort?.abort(error);
        },
        abandon: () => {
          this.#finish(lease);
          isAbandoned = true;
          abort?.abort();
        },
      };
      this.#running.add(lease);
      this.#cancel ??= this.#clock.after(this.#timeoutMs, () => this.#endOverdue());
      let answer: Promise<Value>;
      try {
        answer = work(signalOf);
      } catch (error) {
        answer = Promise.reject(error);
      }
      const settled = (settle: () => void) => {
        this.#finish(lease);
        if (!isAbandoned) settle();
      };
      answer.then(
        (value) => settled(() => resolve(value)),
        (error) => settled(() => reject(error)),
      );
    });
  }

  /** The server stops: what runs is told so, and its answer is heard by nobody. */
  abandonAll(): void {
    for (const lease of [...this.#running]) lease.abandon();
  }

  #finish(lease: Lease): void {
    this.#running.delete(lease);
    if (this.#running.size > 0) return;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #endOverdue(): void {
    this.#cancel = undefined;
    const now = this.#clock.monotonicMs();
    for (const lease of [...this.#running]) {
      if (lease.endsAtMs > now) {
        this.#cancel = this.#clock.after(lease.endsAtMs - now, () => this.#endOverdue());
        return;
      }
      lease.end(new LeaseOver(`the attempt was not over after ${Math.round(this.#timeoutMs / 1_000)} s`));
    }
  }
}
