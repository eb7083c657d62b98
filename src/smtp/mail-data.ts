/**
 * Mail data behind 354: takes the dots away that stuffed it, and finds its end. RFC 5321 §4.1.1.4, §4.5.2.
 * Only CRLF "." CRLF ends it, wherever the octets are split between packets; a dot at the start of a line is taken away only behind a CRLF.
 * The cost is linear in the octets, whatever they are: dots are found by search, and what is between them is handed on as it came.
 */

const cr = 0x0d;
const lf = 0x0a;
const dot = 0x2e;

export interface DecodedData {
  /** Octets of the message, in order; together they are what the client meant. */
  readonly pieces: readonly Buffer[];
  /** Offset in the chunk behind the end of data; -1 where the end has not come. */
  readonly end: number;
}

/** What the last octets were: enough to go on at any split. */
type State = "line-start" | "text" | "cr" | "dot" | "dot-cr";

const crBuffer = Buffer.from("\r");

export class MailDataDecoder {
  #state: State = "line-start";

  /** Takes the next octets. Do not call it again behind the end. */
  decode(chunk: Buffer): DecodedData {
    const pieces: Buffer[] = [];
    /** Octets from here on are not handed on yet. */
    let from = 0;
    let at = 0;
    const flush = (to: number) => {
      if (to > from) pieces.push(chunk.subarray(from, to));
    };
    while (at < chunk.length) {
      const octet = chunk[at]!;
      switch (this.#state) {
        case "line-start":
          if (octet === dot) {
            flush(at);
            from = at + 1;
            this.#state = "dot";
            at++;
          } else this.#state = "text";
          break;
        case "dot":
          // The dot is held back: it is the end, or it stuffed the line and is dropped.
          if (octet === cr) {
            this.#state = "dot-cr";
            at++;
            from = at;
          } else this.#state = "text";
          break;
        case "dot-cr":
          if (octet === lf) return { pieces, end: at + 1 };
          // A dot, a CR and something else: the dot stuffed a line that begins with a bare CR; whoever gets it will refuse that.
          pieces.push(crBuffer);
          this.#state = octet === cr ? "cr" : "text";
          if (octet === cr) at++;
          break;
        case "cr":
          if (octet === lf) this.#state = "line-start";
          else if (octet !== cr) this.#state = "text";
          at++;
          break;
        case "text": {
          const next = chunk.indexOf(cr, at);
          if (next === -1) at = chunk.length;
          else {
            at = next + 1;
            this.#state = "cr";
          }
          break;
        }
      }
    }
    flush(chunk.length);
    return { pieces, end: -1 };
  }
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
