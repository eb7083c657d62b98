/** Octets that came and were not used yet: a queue of chunks, so that no octet is copied before it is needed. */

const cr = 0x0d;
const lf = 0x0a;

/** `overlong`: the line had more octets than it may; they were thrown away. `endless`: it had still no end when that went on for long. */
export type TakenLine = Buffer | "overlong" | "endless" | null;

/** Octets of a line that are thrown away before it is called endless. */
const skippedOctetsMax = 65_536;

export class OctetQueue {
  #chunks: Buffer[] = [];
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
  }

  /** Puts octets back to the front. */
  unshift(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.unshift(chunk);
    this.#length += chunk.length;
    this.#searched = 0;
  }

  /** Throws all of it away. */
  clear(): void {
    this.#chunks = [];
    this.#length = 0;
    this.#searched = 0;
    this.#skipping = false;
  }

  /** At most `octetsMax` octets from the front, in the piece they came in; null where there are none. */
  take(octetsMax: number): Buffer | null {
    const first = this.#chunks[0];
    if (!first || octetsMax === 0) return null;
    this.#searched = 0;
    if (first.length <= octetsMax) {
      this.#chunks.shift();
      this.#length -= first.length;
      return first;
    }
    this.#chunks[0] = first.subarray(octetsMax);
    this.#length -= octetsMax;
    return first.subarray(0, octetsMax);
  }

  /** The next line without its CRLF, which alone ends it (RFC 5321 §2.3.8); null where it is not all there. */
  takeLine(octetsMax: number): TakenLine {
    const end = this.#findLineEnd();
    if (this.#skipping) {
      if (end === -1) return this.#throwAway();
      this.#consume(end + 2);
      this.#skipping = false;
      return "overlong";
    }
    if (end === -1) {
      if (this.#length < octetsMax) return null;
      this.#skipping = true;
      this.#skippedOctets = 0;
      return this.#throwAway();
    }
    if (end + 2 > octetsMax) {
      this.#consume(end + 2);
      return "overlong";
    }
    const line = this.#consume(end + 2);
    return line.subarray(0, end);
  }

  /** Keeps only a CR at the very end, which may be half of a CRLF. */
  #throwAway(): "endless" | null {
    this.#skippedOctets += this.#length;
    const last = this.#chunks.at(-1);
    const keep = last && last[last.length - 1] === cr ? last.subarray(last.length - 1) : undefined;
    this.#chunks = keep ? [keep] : [];
    this.#length = keep ? 1 : 0;
    this.#searched = 0;
    return this.#skippedOctets > skippedOctetsMax ? "endless" : null;
  }

  #findLineEnd(): number {
    let offset = 0;
    let previous = -1;
    for (const chunk of this.#chunks) {
      if (offset + chunk.length > this.#searched) {
        if (previous === cr && chunk[0] === lf) return offset - 1;
        const from = Math.max(0, this.#searched - offset);
        for (let at = chunk.indexOf(lf, from); at !== -1; at = chunk.indexOf(lf, at + 1)) {
          if (at > 0 && chunk[at - 1] === cr) return offset + at - 1;
        }
      }
      offset += chunk.length;
      previous = chunk[chunk.length - 1]!;
    }
    // The last octet may be the CR of a CRLF to come.
    this.#searched = Math.max(0, this.#length - 1);
    return -1;
  }

  #consume(octets: number): Buffer {
    this.#searched = 0;
    const pieces: Buffer[] = [];
    for (let rest = octets; rest > 0; ) {
      const piece = this.take(rest)!;
      pieces.push(piece);
      rest -= piece.length;
    }
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }
}
