/** How late the process is with its own work: a timer that should have fired a moment ago knows. A server that is late sheds new clients. */
import type { Clock } from "./clock.ts";

const periodMs = 250;

export class LoopLag {
  readonly #clock: Clock;
  #lagMs = 0;
  #dueAt = 0;
  #cancel: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#wait();
  }

  /** Milliseconds by which the last timer was late, or the one that is due now already is. */
  get lagMs(): number {
    return Math.max(this.#lagMs, this.#clock.monotonicMs() - this.#dueAt);
  }

  stop(): void {
    this.#cancel();
  }

  #wait(): void {
    this.#dueAt = this.#clock.monotonicMs() + periodMs;
    this.#cancel = this.#clock.after(periodMs, () => {
      // What was late a moment ago is believed for some periods: one quick turn between two slow ones says nothing.
      this.#lagMs = Math.max(this.#clock.monotonicMs() - this.#dueAt, this.#lagMs / 2);
      this.#wait();
    });
  }
}
