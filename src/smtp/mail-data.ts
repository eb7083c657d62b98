/**
 * Mail data behind 354: takes the dots away that stuffed it, and finds its end. RFC 5321 §4.1.1.4, §4.5.2.
 * Only CRLF "." CRLF ends it, wherever the octets are split between packets; a dot at the start of a line is taken away only behind a CRLF.
 * The cost is linear in the octets, whatever they are: what has no dot at the start of a line is handed on as it came.
 */

const cr = 0x0d;
const lf = 0x0a;
const dot = 0x2e;

export interface DecodedData {
  /** Octets of the message, in order; none where there is no octet to hand on yet. */
  readonly pieces: readonly Buffer[];
  /** Offset in the chunk behind the end of data; -1 where the end has not come. */
  readonly end: number;
}

/** What the last octets were: enough to go on at any split. */
type State = "line-start" | "text" | "cr" | "dot" | "dot-cr";

const lineBeginningWithDot = Buffer.from("\r\n.");

export class MailDataDecoder {
  #state: State = "line-start";

  /** Takes the next octets. Do not call it again behind the end. */
  decode(chunk: Buffer): DecodedData {
    const first = this.#findDot(chunk);
    if (first === -1) {
      this.#state = stateBehind(chunk, this.#state);
      return { pieces: chunk.length > 0 ? [chunk] : [], end: -1 };
    }
    return this.#takeDots(chunk, first);
  }

  /** Where a dot begins a line, or was held back; -1: nowhere, and the octets go on as they came. */
  #findDot(chunk: Buffer): number {
    if (this.#state === "dot" || this.#state === "dot-cr") return 0;
    if (this.#state === "line-start" && chunk[0] === dot) return 0;
    if (this.#state === "cr" && chunk[0] === lf && chunk[1] === dot) return 1;
    const at = chunk.indexOf(lineBeginningWithDot);
    return at === -1 ? -1 : at + 2;
  }

  /** Octet by octet from the first dot on, so that many dots cost no more than a few. */
  #takeDots(chunk: Buffer, first: number): DecodedData {
    // As most messages end: nothing has to be copied.
    if (first > 0 && chunk[first + 1] === cr && chunk[first + 2] === lf) {
      return { pieces: [chunk.subarray(0, first)], end: first + 3 };
    }
    // One more: a CR that was held back may come out with this chunk.
    const out = Buffer.allocUnsafe(chunk.length + 1);
    let to = chunk.copy(out, 0, 0, first);
    let state: State = first > 0 ? "line-start" : this.#state;
    for (let at = first; at < chunk.length; at++) {
      const octet = chunk[at]!;
      if (state === "line-start" && octet === dot) {
        // The dot is held back: it is the end, or it stuffed the line and is dropped.
        state = "dot";
        continue;
      }
      if (state === "dot" && octet === cr) {
        state = "dot-cr";
        continue;
      }
      if (state === "dot-cr") {
        if (octet === lf) return { pieces: to > 0 ? [out.subarray(0, to)] : [], end: at + 1 };
        // A dot, a CR and something else: the dot stuffed a line that begins with a bare CR; whoever gets it will refuse that.
        out[to++] = cr;
      }
      out[to++] = octet;
      if (octet === cr) state = "cr";
      else state = octet === lf && state === "cr" ? "line-start" : "text";
    }
    this.#state = state;
    return { pieces: to > 0 ? [out.subarray(0, to)] : [], end: -1 };
  }
}

/** The state behind octets in which no line begins with a dot. */
function stateBehind(chunk: Buffer, before: State): State {
  if (chunk.length === 0) return before;
  const last = chunk[chunk.length - 1];
  if (last === cr) return "cr";
  const isBehindCr = chunk.length > 1 ? chunk[chunk.length - 2] === cr : before === "cr";
  return last === lf && isBehindCr ? "line-start" : "text";
}

/** Dots at the start of lines, doubled: mail data as it goes onto the wire, without its end. RFC 5321 §4.5.2. */
export function stuffDots(data: Buffer): Buffer {
  const starts: number[] = data[0] === dot ? [0] : [];
  for (let at = data.indexOf("\r\n."); at !== -1; at = data.indexOf("\r\n.", at + 2)) starts.push(at + 2);
  if (starts.length === 0) return data;
  const stuffed = Buffer.allocUnsafe(data.length + starts.length);
  let from = 0;
  let to = 0;
  for (const start of starts) {
    to += data.copy(stuffed, to, from, start);
    stuffed[to++] = dot;
    from = start;
  }
  data.copy(stuffed, to, from);
  return stuffed;
}
