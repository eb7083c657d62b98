/**
 * A message on its way onto the wire, piece by piece: behind DATA with its dots stuffed and an end, behind BDAT as it is. RFC 5321 §4.1.1.4, §4.5.2; RFC 3030.
 * Octets are never changed beyond that; only a last line without an end gets one behind DATA, where a dot could not follow otherwise.
 */
import { stuffDots } from "./mail-data.ts";

const cr = 0x0d;
const lf = 0x0a;
const dot = 0x2e;

const dotBuffer = Buffer.from(".");

export class MailDataEncoder {
  /** The last two octets so far, as far as they matter; a message begins at the start of a line. */
  #tail: "line-start" | "cr" | "text" = "line-start";

  /** The next octets of the message, to be written in order. */
  encode(chunk: Buffer): readonly Buffer[] {
    if (chunk.length === 0) return [];
    const pieces: Buffer[] = [];
    let rest = chunk;
    // What stuffDots cannot see: whether the chunk begins a line.
    if (this.#tail === "cr" && rest[0] === lf) {
      pieces.push(rest.subarray(0, 1));
      rest = rest.subarray(1);
      this.#tail = "line-start";
    }
    if (rest.length > 0) {
      const stuffed = stuffDots(rest);
      const doubled = rest[0] === dot;
      if (this.#tail === "line-start" || !doubled) pieces.push(stuffed);
      else pieces.push(dotBuffer, stuffed.subarray(2));
      const last = rest[rest.length - 1];
      this.#tail =
        last === cr ? "cr" : last === lf && rest.length > 1 && rest[rest.length - 2] === cr ? "line-start" : "text";
    }
    return pieces;
  }

  /** What ends the message. */
  end(): Buffer {
    return Buffer.from(this.#tail === "line-start" ? ".\r\n" : "\r\n.\r\n");
  }
}
