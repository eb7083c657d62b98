/** A histogram of times on a logarithmic scale: from a microsecond to more than an hour, each bucket an eighth wider than where it begins. */

/** Buckets for each doubling. */
const steps = 8;
const doublings = 32;
const leastMs = 0.001;

export class TimeScale {
  readonly #counts = new Uint32Array(steps * doublings);
  #total = 0;

  /** @param ms 0 and more */
  add(ms: number): void {
    this.#counts[placeOf(ms)]!++;
    this.#total++;
  }

  /** The time, in milliseconds, that so many of them did not exceed (0.99: all but one of a hundred); at most an eighth too high. 0 where there are none. */
  quantile(share: number): number {
    const wanted = Math.ceil(share * this.#total);
    let seen = 0;
    for (let place = 0; wanted > 0 && place < this.#counts.length; place++) {
      seen += this.#counts[place]!;
      if (seen >= wanted) return leastMs * 2 ** ((place + 1) / steps);
    }
    return 0;
  }
}

function placeOf(ms: number): number {
  if (!(ms > leastMs)) return 0;
  // Its upper end belongs to a bucket.
  return Math.min(steps * doublings - 1, Math.ceil(Math.log2(ms / leastMs) * steps) - 1);
}
