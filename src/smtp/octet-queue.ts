/** Octets that came and were not used yet: a queue of chunks, so that no octet is copied before it is needed. */

const cr = 0x0d;
const lf = 0x0a;

/** `overlong`: the line had more octets than it may; they were thrown away. `endless`: it had still no end when that went on for long. */
export type TakenLine = string | { readonly trouble: "overlong" | "endless" } | null;

const overlong = { trouble: "overlong" } as const;
const endless = { trouble: "endless" } as const;

/** Octets of a line that are thrown away before it is called endless. */
const skippedOctetsMax = 65_536;

/** A client that sends octet by octet gets them put together, lest each costs as much as a packet. Many octets are not copied for that. */
const chunksMax = 64;
const mergedOctetsMax = 65_536;

export class OctetQueue {
  #chunks: Buffer[] = [];
  /** Octets of the first chunk that were taken already. */
  #offset = 0;
  #length = 0;
  /** Octets at the front that are known to hold no CRLF, so that a line that comes octet by octet is not searched anew each time. */
  #searched = 0;
  /** The rest of an overlong line is still to come. */
  #skipping = false;
  #skippedOctets = 0;

  get length(): number {
    return this.#length;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#chunks.length > chunksMax && this.#length < mergedOctetsMax) this.#merge();
  }

  /** Throws all of it away. */
  clear(): void {
    this.#chunks = [];
    this.#offset = 0;
    this.#length = 0;
    this.#searched = 0;
    this.#skipping = false;
  }

  /** The octets at the front, at most `octetsMax`, in the piece they came in; null where there are none. They stay: `drop` what was used. */
  front(octetsMax: number): Buffer | null {
    const first = this.#chunks[0];
    if (!first || octetsMax === 0) return null;
    const end = Math.min(first.length, this.#offset + octetsMax);
    return this.#offset === 0 && end === first.length ? first : first.subarray(this.#offset, end);
  }

  /** Takes octets away from the front; no more than there are. */
  drop(octets: number): void {
    this.#searched = 0;
    this.#length -= octets;
    this.#offset += octets;
    while (this.#chunks.length > 0 && this.#offset >= this.#chunks[0]!.length) {
      this.#offset -= this.#chunks[0]!.length;
      this.#chunks.shift();
    }
  }

  /** The next line without its CRLF, which alone ends it (RFC 5321 §2.3.8), a character for each octet; null where it is not all there. */
  takeLine(octetsMax: number): TakenLine {
    const end = this.#findLineEnd();
    if (this.#skipping) {
      if (end === -1) return this.#throwAway();
      this.drop(end + 2);
      this.#skipping = false;
      return overlong;
    }
    if (end === -1) {
      if (this.#length < octetsMax) return null;
      this.#skipping = true;
      this.#skippedOctets = 0;
      return this.#throwAway();
    }
    if (end + 2 > octetsMax) {
      this.drop(end + 2);
      return overlong;
    }
    const line = this.#text(end);
    this.drop(end + 2);
    return line;
  }

  #merge(): void {
    this.#chunks = [Buffer.concat(this.#chunks).subarray(this.#offset)];
    this.#offset = 0;
  }

  /** Keeps only a CR at the very end, which may be half of a CRLF. */
  #throwAway(): TakenLine {
    this.#skippedOctets += this.#length;
    const last = this.#chunks.at(-1);
    const keep = last && last[last.length - 1] === cr ? last.subarray(last.length - 1) : undefined;
    this.#chunks = keep ? [keep] : [];
    this.#offset = 0;
    this.#length = keep ? 1 : 0;
    this.#searched = 0;
    return this.#skippedOctets > skippedOctetsMax ? endless : null;
  }

  #findLineEnd(): number {
    /** Where the chunk begins, counted from the front. */
    let begin = -this.#offset;
    let previous = -1;
    for (const chunk of this.#chunks) {
      if (begin + chunk.length > this.#searched) {
        if (previous === cr && chunk[0] === lf) return begin - 1;
        const from = Math.max(0, this.#searched - begin, -begin);
        for (let at = chunk.indexOf(lf, from); at !== -1; at = chunk.indexOf(lf, at + 1)) {
          if (at > 0 && begin + at > 0 && chunk[at - 1] === cr) return begin + at - 1;
        }
      }
      begin += chunk.length;
      previous = chunk[chunk.length - 1]!;
    }
    // The last octet may be the CR of a CRLF to come.
    this.#searched = Math.max(0, this.#length - 1);
    return -1;
  }

  #text(octets: number): string {
    const first = this.#chunks[0]!;
    if (this.#offset + octets <= first.length) return first.toString("latin1", this.#offset, this.#offset + octets);
    return Buffer.concat(this.#chunks).toString("latin1", this.#offset, this.#offset + octets);
  }
}
