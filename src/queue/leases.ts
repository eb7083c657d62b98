/** Leases: a piece of work has so much time, and whatever it says much later is heard by nobody. One timer serves them all, since all have the same time. */
import type { Clock } from "../platform/clock.ts";

/** What work that was not over in time counts as having thrown. */
export class LeaseOver extends Error {}

/** Work that is told that its time is over has so long to say what it did until then: what was delivered must not be delivered again. */
export const graceMs = 10_000;

interface Lease {
  readonly endsAtMs: number;
  /** Its time is over. */
  readonly over: (error: LeaseOver) => void;
  /** Tells the work to end; false where it does not listen. */
  readonly tell: (error: Error) => boolean;
  readonly abandon: () => void;
}

export class Leases {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  /** In the order they end. */
  readonly #running = new Set<Lease>();
  /** Those whose time is over, and who were told so. */
  readonly #ending = new Set<Lease>();
  #cancel: (() => void) | undefined;
  #stopping = false;

  constructor(options: { readonly clock: Clock; readonly timeoutMs: number }) {
    this.#clock = options.clock;
    this.#timeoutMs = options.timeoutMs;
  }

  /** Whether work was told to end since the server stops. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /**
   * Does the work. Where it takes too long its signal fires, and `onOver` is called; it rejects with LeaseOver where nobody asked for the signal, or the work is not
   * over soon after it. Ask for the signal before the work is over.
   */
  run<Value>(
    work: (signalOf: () => AbortSignal) => Promise<Value>,
    onOver: (error: LeaseOver) => void = () => {},
  ): Promise<Value> {
    return new Promise((resolve, reject) => {
      // Made for those who ask: most attempts are over before anybody could.
      let abort: AbortController | undefined;
      const signalOf = () => (abort ??= new AbortController()).signal;
      let isAbandoned = false;
      let cancelGrace = () => {};
      const finish = () => {
        cancelGrace();
        this.#finish(lease);
      };
      const lease: Lease = {
        endsAtMs: this.#clock.monotonicMs() + this.#timeoutMs,
        over: (error) => {
          const end = () => {
            finish();
            reject(error);
          };
          onOver(error);
          this.#running.delete(lease);
          this.#ending.add(lease);
          if (!lease.tell(error)) return end();
          cancelGrace = this.#clock.after(graceMs, end);
        },
        tell: (error) => {
          abort?.abort(error);
          return abort !== undefined;
        },
        abandon: () => {
          finish();
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
        finish();
        if (!isAbandoned) settle();
      };
      answer.then(
        (value) => settled(() => resolve(value)),
        (error) => settled(() => reject(error)),
      );
    });
  }

  /** The server stops: what runs is told so. Gives how many listen; their answers are worth a short wait. */
  tellAll(): number {
    this.#stopping = true;
    const error = new Error("the server stops");
    return [...this.#running, ...this.#ending].filter((lease) => lease.tell(error)).length;
  }

  /** The answers of what still runs are heard by nobody. */
  abandonAll(): void {
    for (const lease of [...this.#running, ...this.#ending]) lease.abandon();
  }

  #finish(lease: Lease): void {
    this.#running.delete(lease);
    this.#ending.delete(lease);
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
      lease.over(new LeaseOver(`the attempt was not over after ${Math.round(this.#timeoutMs / 1_000)} s`));
    }
  }
}
