/**
 * Runs inside the isolate: TextEncoder, and TextDecoder for every charset the child's Node knows. A stream is decoded piece by piece where the charset lets one see the
 * end of a character; the octets of others (Shift_JIS, GB18030, ISO-2022-JP …) are kept until the last piece. (lenient: what comes out in all is the same)
 */
import { Bytes, codeAt, indexOf, octetsOf, RangeErrorOf, TypeErrorOf, toText } from "./primordials.ts";
import { askText } from "./web-host.ts";
import {
  bufferWith,
  copyOctets,
  defineGlobal,
  joinOctets,
  lengthOf,
  nameClass,
  octetsIn,
  wellFormed,
} from "./web-primordials.ts";

/** Octets that are decoded at a time. */
const pieceOctets = 4_194_304;
/** Charsets of one octet a character, by how their names begin. */
const singleOctet = [
  "windows-125",
  "iso-8859-",
  "koi8-",
  "macintosh",
  "x-mac-",
  "ibm866",
  "windows-874",
  "x-user-defined",
];

/** The text in UTF-8; a half of a surrogate pair alone is U+FFFD. */
export function encodeText(text: string): Uint8Array<ArrayBuffer> {
  const whole = wellFormed(text);
  const into = new Bytes(octetsOf(whole, Infinity));
  encodeInto(whole, into);
  return into;
}

function encodeInto(given: string, into: Uint8Array): { readonly read: number; readonly written: number } {
  const text = wellFormed(given);
  const room = lengthOf(into);
  let at = 0;
  let i = 0;
  for (; i < text.length; i++) {
    const unit = codeAt(text, i);
    if (unit < 0x80) {
      if (at + 1 > room) break;
      into[at++] = unit;
    } else if (unit < 0x800) {
      if (at + 2 > room) break;
      into[at++] = 0xc0 | (unit >> 6);
      into[at++] = 0x80 | (unit & 0x3f);
    } else if (unit >= 0xd800 && unit < 0xdc00) {
      if (at + 4 > room) break;
      const code = 0x10000 + ((unit - 0xd800) << 10) + (codeAt(text, ++i) - 0xdc00);
      into[at++] = 0xf0 | (code >> 18);
      into[at++] = 0x80 | ((code >> 12) & 0x3f);
      into[at++] = 0x80 | ((code >> 6) & 0x3f);
      into[at++] = 0x80 | (code & 0x3f);
    } else {
      if (at + 3 > room) break;
      into[at++] = 0xe0 | (unit >> 12);
      into[at++] = 0x80 | ((unit >> 6) & 0x3f);
      into[at++] = 0x80 | (unit & 0x3f);
    }
  }
  return { read: i, written: at };
}

/** Octets as UTF-8, without a byte order mark; what is none is U+FFFD. */
export function decodeUtf8(octets: Uint8Array): string {
  return new Decoding("utf-8", false, false).decode(octets, false);
}

class TextEncoder {
  get encoding(): string {
    return "utf-8";
  }

  encode(text: unknown = ""): Uint8Array<ArrayBuffer> {
    return encodeText(toText(text));
  }

  encodeInto(text: unknown, into: unknown): { readonly read: number; readonly written: number } {
    const octets = into instanceof Bytes ? octetsIn(into) : null;
    if (octets === null) throw new TypeErrorOf("encodeInto writes into a Uint8Array");
    return encodeInto(toText(text), octets);
  }
}

/** One text on its way out of octets. */
export class Decoding {
  readonly #charset: string;
  readonly #fatal: boolean;
  readonly #keepsMark: boolean;
  #held = new Bytes(0);
  /** Whether something was decoded already: what then looks like a byte order mark is a character. */
  #begun = false;

  constructor(charset: string, fatal: boolean, keepsMark: boolean) {
    this.#charset = charset;
    this.#fatal = fatal;
    this.#keepsMark = keepsMark;
  }

  decode(octets: Uint8Array, stream: boolean): string {
    let text = "";
    const length = lengthOf(octets);
    let at = 0;
    if (heldBack(this.#charset, octets) >= 0)
      for (; length - at > pieceOctets; at += pieceOctets)
        text += this.#piece(copyOctets(octets, at, at + pieceOctets), true);
    return text + this.#piece(copyOctets(octets, at, length), stream);
  }

  #piece(octets: Uint8Array<ArrayBuffer>, stream: boolean): string {
    let all = lengthOf(this.#held) === 0 ? octets : joinOctets([this.#held, octets]);
    this.#held = new Bytes(0);
    if (stream) {
      const length = lengthOf(all);
      const back = heldBack(this.#charset, all);
      const end = back < 0 ? 0 : length - back;
      this.#held = copyOctets(all, end, length);
      all = copyOctets(all, 0, end);
    }
    if (lengthOf(all) === 0) return "";
    const text = askText(
      "decode",
      `${this.#fatal ? "f" : "-"}${this.#keepsMark || this.#begun ? "i" : "-"}${this.#charset}`,
      bufferWith(all),
    );
    this.#begun = true;
    if (text === null) throw new TypeErrorOf(`These octets are not ${this.#charset}`);
    return text;
  }
}

/** How many octets at the end are the beginning of a character, or -1 where only the charset itself can tell. */
function heldBack(charset: string, octets: Uint8Array): number {
  const length = lengthOf(octets);
  if (charset === "utf-8") {
    for (let back = 1; back <= 3 && back <= length; back++) {
      const octet = octets[length - back]!;
      if (octet >= 0xc0) return (octet >= 0xf0 ? 4 : octet >= 0xe0 ? 3 : 2) > back ? back : 0;
      if (octet < 0x80) return 0;
    }
    return 0;
  }
  if (charset === "utf-16le" || charset === "utf-16be") {
    const odd = length % 2;
    const high = octets[length - odd - (charset === "utf-16le" ? 1 : 2)];
    return high !== undefined && high >= 0xd8 && high < 0xdc ? odd + 2 : odd;
  }
  for (let i = 0; i < singleOctet.length; i++) if (indexOf(charset, singleOctet[i]!) === 0) return 0;
  return -1;
}

/** Its name in the Encoding standard. @throws {RangeError} where there is none */
export function charsetOf(label: unknown): string {
  const charset = askText("charset", toText(label));
  if (charset === null) throw new RangeErrorOf(`There is no charset called "${toText(label)}"`);
  return charset;
}

class TextDecoder {
  readonly #charset: string;
  readonly #fatal: boolean;
  readonly #ignoreBOM: boolean;
  #decoding: Decoding | null = null;

  constructor(label: unknown = "utf-8", options?: { readonly fatal?: unknown; readonly ignoreBOM?: unknown }) {
    this.#charset = charsetOf(label);
    this.#fatal = !!options?.fatal;
    this.#ignoreBOM = !!options?.ignoreBOM;
  }

  get encoding(): string {
    return this.#charset;
  }

  get fatal(): boolean {
    return this.#fatal;
  }

  get ignoreBOM(): boolean {
    return this.#ignoreBOM;
  }

  decode(input?: unknown, options?: { readonly stream?: unknown }): string {
    const octets = input === undefined ? new Bytes(0) : octetsIn(input);
    if (octets === null) throw new TypeErrorOf("TextDecoder.decode takes an ArrayBuffer, or a view of one");
    const decoding = this.#decoding ?? new Decoding(this.#charset, this.#fatal, this.#ignoreBOM);
    const stream = !!options?.stream;
    // Behind the last piece, and behind a failure, the next text begins.
    this.#decoding = null;
    const text = decoding.decode(octets, stream);
    if (stream) this.#decoding = decoding;
    return text;
  }
}

nameClass(TextEncoder, "TextEncoder");
nameClass(TextDecoder, "TextDecoder");
defineGlobal("TextEncoder", TextEncoder);
defineGlobal("TextDecoder", TextDecoder);
