/** Time as a port: code that waits or measures is handed a Clock, so that tests move time by hand. */

export interface Clock {
  /** Milliseconds since the Unix epoch; may jump when the machine's clock is set. */
  now(): number;
  /** Milliseconds from an arbitrary start; never goes back. For measuring. */
  monotonicMs(): number;
  /** Calls `callback` once, after at least `delayMs`. The returned function cancels it. Never keeps the process alive. */
  after(delayMs: number, callback: () => void): () => void;
}

/** setTimeout's own limit: a longer delay would fire at once. */
const delayMsMax = 2_147_483_647;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), delayMsMax));
    timer.unref();
    return () => clearTimeout(timer);
  },
};
