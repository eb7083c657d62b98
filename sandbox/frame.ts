/**
 * Frames on the channel between server and sandbox process: u32 length of all that follows, u32 length of the JSON, the JSON in UTF-8, and a
 * binary tail. Little-endian. Pure: octets in, frames out; what a frame means is protocol.ts, whether it may be believed is validate.ts.
 */

export interface Frame {
  /** Parsed, but not checked. */
  readonly head: unknown;
  /** A view of memory that nobody writes to again. */
  readonly tail: Buffer;
}

export interface FrameLimits {
  /** Octets of JSON. */
  readonly headOctetsMax: number;
  /** Octets of JSON and tail together. */
  readonly octetsMax: number;
}

/** The other side sent what is no frame: the channel cannot be used any more. */
export class FrameError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "FrameError";
  }
}

const prefixOctets = 8;

/** One frame, ready to be written. Tails are copied, so that their owner may use them again. */
export function encodeFrame(headJson: string, tails: readonly Uint8Array[] = []): Buffer {
  const headOctets = Buffer.byteLength(headJson);
  let tailOctets = 0;
  for (const tail of tails) tailOctets += tail.length;
  const frame = Buffer.allocUnsafe(prefixOctets + headOctets + tailOctets);
  frame.writeUInt32LE(4 + headOctets + tailOctets, 0);
  frame.writeUInt32LE(headOctets, 4);
  frame.write(headJson, prefixOctets);
  let at = prefixOctets + headOctets;
  for (const tail of tails) {
    frame.set(tail, at);
    at += tail.length;
  }
  return frame;
}

/** Takes octets as they come and gives whole frames. After a FrameError it must not be fed again. */
export class FrameDecoder {
  readonly #limits: FrameLimits;
  #chunks: Buffer[] = [];
  #length = 0;
  /** Octets that have to be there before it is worth looking again. */
  #wanted = prefixOctets;

  constructor(limits: FrameLimits) {
    this.#limits = limits;
  }

  /** Octets of a frame that has begun and is not complete. */
  get pendingOctets(): number {
    return this.#length;
  }

  /** @throws {FrameError} too long, or no JSON */
  *push(chunk: Buffer): Generator<Frame, void, void> {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    while (this.#length >= this.#wanted) {
      // Joined only when there is enough: a large frame that comes in pieces is copied once.
      let joined = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks, this.#length);
      this.#chunks = [joined];
      const end = this.#frameEnd(joined);
      if (joined.length < end) {
        this.#wanted = end;
        return;
      }
      const frame = readFrame(joined, end);
      joined = joined.subarray(end);
      this.#chunks = joined.length > 0 ? [joined] : [];
      this.#length = joined.length;
      this.#wanted = prefixOctets;
      yield frame;
    }
  }

  #frameEnd(octets: Buffer): number {
    const all = octets.readUInt32LE(0);
    const head = octets.readUInt32LE(4);
    const { headOctetsMax, octetsMax } = this.#limits;
    if (all < 4 || all - 4 > octetsMax)
      throw new FrameError(`Cannot take a frame of ${all} octets: expected 4 to ${octetsMax + 4}`);
    if (head > all - 4 || head > headOctetsMax)
      throw new FrameError(`Cannot take ${head} octets of JSON in a frame of ${all}: at most ${headOctetsMax}`);
    return 4 + all;
  }
}

function readFrame(octets: Buffer, end: number): Frame {
  const headEnd = prefixOctets + octets.readUInt32LE(4);
  let head: unknown;
  try {
    head = JSON.parse(octets.toString("utf8", prefixOctets, headEnd));
  } catch (cause) {
    throw new FrameError(`Cannot read a frame: ${cause instanceof Error ? cause.message.slice(0, 100) : "no JSON"}`);
  }
  return { head, tail: octets.subarray(headEnd, end) };
}
