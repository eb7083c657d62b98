/**
 * Replies of a server we talk to: octets in, replies out. RFC 5321 §4.2. The server may be hostile: every line, every reply and what is kept of it has
 * a bound, its words are cleaned, and what is no reply ends the session instead of being guessed at. Pure.
 */
import { type Reply, splitStatus } from "../mail/status.ts";

/** A peer's reply. `text` is one line, made of all of them. */
export interface PeerReply extends Reply {
  /** What stands behind the code on each line, cleaned. */
  readonly lines: readonly string[];
}

/** Octets of one line. RFC 5321 §4.5.3.1.5 has 512 (lenient: longer words harm nobody). */
export const replyLineOctetsMax = 4_096;
/** Lines of one reply; the longest honest ones are those to EHLO. */
export const replyLinesMax = 200;
/** Octets of one reply. */
export const replyOctetsMax = 65_536;

/** Characters of a peer's words that are kept in `text`. */
const textLengthMax = 400;

const lf = 0x0a;

export class ReplyReader {
  readonly #octetsMax: number;
  #rest: Buffer = Buffer.alloc(0);
  /** Octets at the front that are known to hold no line end. */
  #searched = 0;
  #code = 0;
  #lines: string[] = [];
  #octets = 0;

  constructor(octetsMax = replyOctetsMax) {
    this.#octetsMax = octetsMax;
  }

  /** Octets that came and are no whole reply yet. */
  get waiting(): number {
    return this.#rest.length + this.#octets;
  }

  push(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
  }

  /** The next reply; null where it is not all there; words where it is none: then nothing behind it can be read any more. */
  next(): PeerReply | string | null {
    for (;;) {
      // (lenient: a bare LF ends a line here. Nothing of a reply is passed on, so nothing can be smuggled by it.)
      const end = this.#rest.indexOf(lf, this.#searched);
      if ((end === -1 ? this.#rest.length : end + 1) > replyLineOctetsMax)
        return `a line of its reply exceeds ${replyLineOctetsMax} octets`;
      if (this.#octets + (end === -1 ? this.#rest.length : end + 1) > this.#octetsMax)
        return `its reply exceeds ${this.#octetsMax} octets`;
      if (end === -1) {
        this.#searched = this.#rest.length;
        return null;
      }
      const line = this.#rest.subarray(0, end);
      this.#rest = this.#rest.subarray(end + 1);
      this.#searched = 0;
      this.#octets += end + 1;
      const read = this.#take(line.toString("utf8").replace(/\r$/, ""));
      if (read !== null) return read;
    }
  }

  #take(line: string): PeerReply | string | null {
    const match = /^([2-5]\d\d)(?:([ -])(.*))?$/su.exec(line);
    if (!match) return `it said what is no reply: ${JSON.stringify(cleanWords(line).slice(0, 80))}`;
    const code = Number(match[1]);
    // RFC 5321 §4.2.1: the same code on every line.
    if (this.#lines.length > 0 && code !== this.#code) return `its reply has two codes, ${this.#code} and ${code}`;
    if (this.#lines.length === replyLinesMax) return `its reply exceeds ${replyLinesMax} lines`;
    this.#code = code;
    this.#lines.push(cleanWords(match[3] ?? "").trim());
    if (match[2] === "-") return null;
    const lines = this.#lines;
    this.#lines = [];
    this.#octets = 0;
    return replyOf(code, lines);
  }
}

function replyOf(code: number, lines: readonly string[]): PeerReply {
  const parts = lines.map((line) => splitStatus(code, line));
  const words = parts
    .map(({ text }) => text)
    .filter((text) => text !== "")
    .join(" ");
  const text = words.length > textLengthMax ? `${words.slice(0, textLengthMax)}…` : words;
  return { code, status: parts.at(-1)!.status ?? parts[0]!.status, text, lines };
}

/** Control characters become spaces: a peer's words must not move a terminal's cursor. */
function cleanWords(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]+/g, " ");
}
