/**
 * Scripts that are told something: nobody waits for them, and they must not get in the way of those who are waited for. A few run at once, a bounded number waits,
 * and what comes on top is not told; the log says how much that was.
 */
import type { Clock } from "../platform/clock.ts";
import type { Log } from "../platform/log.ts";

/** Runs under way. Few, as what is asked waits behind them in the sandbox. */
export const tellsAtOnceMax = 16;
/** Waiting for their turn; each holds its message. */
export const tellsWaitingMax = 500;
/** Between two lines of the log about what was not told. */
const lineEveryMs = 10_000;

interface Tell {
  /** Never rejects. */
  readonly run: () => Promise<void>;
  /** It is over, or will never be begun. */
  readonly over: () => void;
}

export class TellQueue {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #waiting: Tell[] = [];
  #underWay = 0;
  #untold = 0;
  #lastLineMs = Number.NEGATIVE_INFINITY;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor({ log, clock }: { readonly log: Log; readonly clock: Clock }) {
    this.#log = log;
    this.#clock = clock;
  }

  add(tell: Tell): void {
    if (this.#underWay < tellsAtOnceMax) void this.#run(tell);
    else if (this.#waiting.length < tellsWaitingMax) this.#waiting.push(tell);
    else {
      tell.over();
      this.#untold++;
      if (this.#clock.monotonicMs() - this.#lastLineMs >= lineEveryMs) this.#sayUntold();
    }
  }

  /** Resolves when nothing is under way and nothing waits. */
  async whenIdle(): Promise<void> {
    if (this.#underWay > 0) await (this.#idle ??= Promise.withResolvers<void>()).promise;
  }

  async #run(first: Tell): Promise<void> {
    this.#underWay++;
    for (let tell: Tell | undefined = first; tell; tell = this.#waiting.shift()) {
      await tell.run();
      tell.over();
    }
    this.#underWay--;
    if (this.#underWay > 0) return;
    if (this.#untold > 0) this.#sayUntold();
    this.#idle?.resolve();
    this.#idle = undefined;
  }

  #sayUntold(): void {
    this.#log.warn("scripts.untold", { runs: this.#untold, waiting: this.#waiting.length });
    this.#untold = 0;
    this.#lastLineMs = this.#clock.monotonicMs();
  }
}
