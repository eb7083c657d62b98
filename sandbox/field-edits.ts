/** The header of a message as a list of what stays and what is new (FieldResult), edited by name: what an edit of its body means for its content fields. */
import { decodeWords } from "./content-field.ts";
import type { MailContent } from "./mail-content.ts";
import { plainLine } from "./plain-line.ts";
import type { FieldResult, MailInput } from "./protocol.ts";

/** Octets of text in one encoded word. RFC 2047 §2 has 75 for all of it. */
const wordOctetsMax = 42;

export class FieldEdits {
  fields: FieldResult[];
  changed = false;
  readonly #mail: MailInput;

  constructor(fields: readonly FieldResult[], mail: MailInput) {
    this.fields = [...fields];
    this.#mail = mail;
  }

  has(name: string): boolean {
    return this.fields.some((field) => this.#isNamed(field, name));
  }

  get(name: string): string | undefined {
    const field = this.fields.find((one) => this.#isNamed(one, name));
    return typeof field === "number" ? this.#mail.fields[field]?.[1] : field?.[1];
  }

  set(name: string, value: string): void {
    // Written from what a message said: as plain text, in one line that can be folded.
    const field: FieldResult = [name, plainLine(decodeWords(value), 8_000)];
    const at = this.fields.findIndex((one) => this.#isNamed(one, name));
    if (at === -1) this.fields.push(field);
    else this.fields[at] = field;
    this.changed = true;
  }

  remove(name: string): void {
    this.#removeWhere((field) => this.#isNamed(field, name));
  }

  /** Takes out what says what the body is (`Content-…`), and gives it as the header of a part. */
  takeContentFields(content: MailContent, lineEnd: string): Buffer {
    const pieces: Buffer[] = [];
    const ranges = fieldRanges(content.octets, content.tree.root.headerEnd);
    for (const field of this.fields) {
      if (!/^content-/i.test(this.#nameOf(field))) continue;
      const range = typeof field === "number" ? ranges[field] : undefined;
      if (range) {
        const octets = content.octets.subarray(range.start, range.end);
        pieces.push(octets, Buffer.from(octets.at(-1) === 0x0a ? "" : lineEnd));
      } else {
        const [name, value] = typeof field === "number" ? this.#mail.fields[field]! : field;
        pieces.push(Buffer.from(`${name}: ${asciiValue(value, lineEnd)}${lineEnd}`));
      }
    }
    this.#removeWhere((field) => /^content-/i.test(this.#nameOf(field)));
    return Buffer.concat(pieces);
  }

  #removeWhere(goes: (field: FieldResult) => boolean): void {
    const kept = this.fields.filter((field) => !goes(field));
    if (kept.length < this.fields.length) this.changed = true;
    this.fields = kept;
  }

  #nameOf(field: FieldResult): string {
    return typeof field === "number" ? (this.#mail.fields[field]?.[0] ?? "") : field[0];
  }

  #isNamed(field: FieldResult, name: string): boolean {
    return this.#nameOf(field).toLowerCase() === name.toLowerCase();
  }
}

/** Where the fields of a header are, folded lines and line ends included: in the order in which the server names them. */
function fieldRanges(octets: Buffer, headerEnd: number): { readonly start: number; readonly end: number }[] {
  const ranges: { start: number; end: number }[] = [];
  let start = 0;
  while (start < headerEnd) {
    let end = start;
    do {
      const lineFeed = octets.indexOf(0x0a, end);
      end = lineFeed === -1 || lineFeed >= headerEnd ? headerEnd : lineFeed + 1;
    } while (end < headerEnd && (octets[end] === 0x20 || octets[end] === 0x09));
    ranges.push({ start, end });
    start = end;
  }
  return ranges;
}

/** RFC 2047 where the value is not ASCII. */
function asciiValue(value: string, lineEnd: string): string {
  if (!/[^\x20-\x7e\t]/.test(value)) return value;
  const words: string[] = [];
  let word = "";
  for (const character of value) {
    if (Buffer.byteLength(word + character) > wordOctetsMax) {
      words.push(word);
      word = "";
    }
    word += character;
  }
  words.push(word);
  return words.map((text) => `=?utf-8?B?${Buffer.from(text).toString("base64")}?=`).join(`${lineEnd} `);
}
