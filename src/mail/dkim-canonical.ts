/** The relaxed canonical forms of a header field and of a body: what a DKIM signature is made over. RFC 6376 §3.4.2, §3.4.4. Pure. */
import { createHash, type Hash } from "node:crypto";
import type { Field } from "./header.ts";

/** A field as it is hashed, with its line end: name in lower case, unfolded, runs of blanks one space, none at the ends. Octet for octet in latin1. */
export function relaxedField({ name, octets }: Field): string {
  const text = octets.toString("latin1");
  const value = text.slice(text.indexOf(":") + 1);
  return `${name.toLowerCase()}:${relaxedValue(value)}\r\n`;
}

export function relaxedValue(value: string): string {
  return value
    .replace(/\r?\n/g, "")
    .replace(/[ \t]+/g, " ")
    .replace(/^ | $/g, "");
}

const space = 0x20;
const tab = 0x09;
const cr = 0x0d;
const lf = 0x0a;

/**
 * Hashes a body piece by piece: runs of blanks are one space, none at the end of a line, no empty lines at the end of the body. A line end without CR counts as
 * one (lenient: it goes out as CRLF). Memory does not grow with the body.
 */
export class RelaxedBodyHash {
  readonly #hash: Hash = createHash("sha256");
  /** Blanks were seen that something may follow. */
  #blanks = false;
  /** A CR that may be half of a line end. */
  #pendingCr = false;
  /** Line ends that count only where something follows. */
  #lineEnds = 0;
  #isEmpty = true;

  update(chunk: Uint8Array): void {
    // An octet puts out itself, a space and a CR that were held back; line ends that were held back are put out beside.
    const out = Buffer.allocUnsafe(chunk.length + 2);
    let length = 0;
    const write = () => {
      if (length > 0) this.#hash.update(out.subarray(0, length));
      length = 0;
    };
    const put = (octet: number) => {
      if (this.#lineEnds > 0) {
        write();
        this.#putLineEnds();
      }
      if (this.#blanks) {
        out[length++] = space;
        this.#blanks = false;
      }
      out[length++] = octet;
      this.#isEmpty = false;
    };
    for (const octet of chunk) {
      if (octet === lf) {
        this.#pendingCr = false;
        this.#blanks = false;
        this.#lineEnds++;
        continue;
      }
      if (this.#pendingCr) {
        this.#pendingCr = false;
        put(cr);
      }
      if (octet === cr) this.#pendingCr = true;
      else if (octet === space || octet === tab) this.#blanks = true;
      else put(octet);
    }
    write();
  }

  /** In Base64. Called once, at the end. */
  digest(): string {
    if (this.#pendingCr) {
      this.#putLineEnds();
      this.#hash.update(this.#blanks ? " \r" : "\r");
      this.#isEmpty = false;
    }
    // A body that is not empty ends with a line end. RFC 6376 §3.4.4 b.
    if (!this.#isEmpty) this.#hash.update("\r\n");
    return this.#hash.digest("base64");
  }

  #putLineEnds(): void {
    const piece = "\r\n".repeat(Math.min(this.#lineEnds, 4_096));
    for (; this.#lineEnds > 4_096; this.#lineEnds -= 4_096) this.#hash.update(piece);
    if (this.#lineEnds > 0) this.#hash.update("\r\n".repeat(this.#lineEnds));
    this.#lineEnds = 0;
  }
}
