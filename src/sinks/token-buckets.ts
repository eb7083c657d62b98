/**
 * Rates per key in constant memory and time: each key has one number, the time at which its bucket will be full again (the generic cell rate algorithm,
 * ITU-T I.371). Pure: who asks tells the time.
 */

export interface TokenBucketOptions {
  /** Time in which one more may come. */
  readonly intervalMs: number;
  /** How many may come at once; at least 1. */
  readonly burst: number;
  /** Keys that are remembered. */
  readonly keysMax: number;
}

/** What a clock's fractions may be off by. */
const toleranceMs = 1e-6;

export class TokenBuckets {
  readonly #options: TokenBucketOptions;
  /** Key to the time its bucket is full again; the one not asked for longest is the first. */
  readonly #fullAt = new Map<string, number>();

  constructor(options: TokenBucketOptions) {
    this.#options = options;
  }

  /** Takes one from the key's bucket; false where there is none left, and nothing is taken then. `onlyLook` takes nothing ever. */
  take(key: string, nowMs: number, onlyLook = false): boolean {
    const { intervalMs, burst, keysMax } = this.#options;
    const known = this.#fullAt.get(key);
    const from = known === undefined || known < nowMs ? nowMs : known;
    const isThere = from - nowMs <= (burst - 1) * intervalMs + toleranceMs;
    if (onlyLook) return isThere;
    // Set anew, it moves to the end: who is held back is not forgotten for it.
    if (known !== undefined) this.#fullAt.delete(key);
    else if (this.#fullAt.size >= keysMax) this.#fullAt.delete(this.#fullAt.keys().next().value!);
    this.#fullAt.set(key, isThere ? from + intervalMs : from);
    return isThere;
  }

  get size(): number {
    return this.#fullAt.size;
  }
}
