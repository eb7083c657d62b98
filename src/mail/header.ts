/**
 * A message's header: every field in order, every octet kept. RFC 5322 §2.2, §3.6.
 * A Header is a value: an edit gives a new one that shares the untouched fields' octets, so a snapshot costs a reference,
 * and a DKIM signature over fields nobody edited stays true.
 */
import { Fault } from "../platform/fault.ts";
import { decodeWords, encodeUnstructured } from "./encoded-word.ts";

/** One field: its octets as they are in the message, line end included. A line that is no field has the name "". */
export interface Field {
  readonly name: string;
  readonly octets: Buffer;
}

/** Octets of one field we are willing to write. */
export const fieldOctetsMax = 64 * 1024;
/** Octets in a line without its CRLF. RFC 5322 §2.1.1. */
const lineOctetsMax = 998;
const lineOctetsWanted = 78;
const nameLengthMax = 76;
const fieldName = /^[!-9;-~]+$/;

export class Header {
  readonly fields: readonly Field[];
  #octets: Buffer | undefined;
  #index: Map<string, readonly Field[]> | undefined;

  constructor(fields: readonly Field[], octets?: Buffer) {
    this.fields = fields;
    this.#octets = octets;
  }

  static readonly empty = new Header([]);

  /** Every octet of the header section, without the empty line that ends it. */
  get octets(): Buffer {
    return (this.#octets ??= Buffer.concat(this.fields.map((field) => field.octets)));
  }

  /** Unfolded and decoded (RFC 2047) value of the first field of that name; names compare without case. */
  get(name: string): string | undefined {
    const field = this.#named(name)[0];
    return field && decodeWords(fieldValue(field));
  }

  /** Like `get`, for every field of that name, top first. */
  getAll(name: string): string[] {
    return this.#named(name).map((field) => decodeWords(fieldValue(field)));
  }

  has(name: string): boolean {
    return this.#named(name).length > 0;
  }

  count(name: string): number {
    return this.#named(name).length;
  }

  /** A new field after the last one. @throws {Fault} `header.field-name`, `header.field-value` */
  add(name: string, value: string): Header {
    return this.addField(createField(name, value));
  }

  /** The same with a field that is made already. */
  addField(field: Field): Header {
    return new Header([...terminated(this.fields), field]);
  }

  /** A new field before the first one, where trace fields go. RFC 5321 §4.4. @throws {Fault} `header.field-name`, `header.field-value` */
  prepend(name: string, value: string): Header {
    return new Header([createField(name, value), ...this.fields]);
  }

  /** The first field of that name gets the value and keeps its place, the others of that name go; without one it is added. @throws {Fault} as `add` */
  set(name: string, value: string): Header {
    const wanted = name.toLowerCase();
    const fresh = createField(name, value);
    const fields: Field[] = [];
    let placed = false;
    for (const field of this.fields) {
      if (field.name.toLowerCase() !== wanted) fields.push(field);
      else if (!placed) {
        fields.push(fresh);
        placed = true;
      }
    }
    return new Header(placed ? fields : [...terminated(fields), fresh]);
  }

  /** Without every field of that name; lines that are no field stay. */
  remove(name: string): Header {
    const wanted = name.toLowerCase();
    return new Header(this.fields.filter((field) => field.name === "" || field.name.toLowerCase() !== wanted));
  }

  #named(name: string): readonly Field[] {
    // What is no field has no name, and cannot be asked for.
    if (name === "") return [];
    // A look through a short header costs less than an index of it.
    if (this.fields.length <= unindexedFieldsMax) {
      const wanted = name.toLowerCase();
      return this.fields.filter((field) => field.name.length === wanted.length && field.name.toLowerCase() === wanted);
    }
    if (!this.#index) {
      const index = new Map<string, Field[]>();
      for (const field of this.fields) {
        if (field.name === "") continue;
        const key = field.name.toLowerCase();
        const same = index.get(key);
        if (same) same.push(field);
        else index.set(key, [field]);
      }
      this.#index = index;
    }
    return this.#index.get(name.toLowerCase()) ?? [];
  }
}

/** A field to be put into a header. @throws {Fault} `header.field-name`, `header.field-value` */
export function createField(name: string, value: string): Field {
  if (!fieldName.test(name) || name.length > nameLengthMax) {
    throw new Fault(
      "header.field-name",
      `Cannot write a field named ${JSON.stringify(name.slice(0, 80))}: expected 1 to ${nameLengthMax} printable ASCII characters without colon`,
    );
  }
  if (/[\r\n\0]/.test(value)) {
    throw new Fault("header.field-value", `Cannot write the field ${name}: its value holds CR, LF or NUL`);
  }
  // Blanks at the end would fold into a line of nothing but blanks, which ends the header for some readers.
  const octets = Buffer.from(`${fold(`${name}: ${encodeUnstructured(withoutBlanksBehind(value))}`)}\r\n`);
  if (octets.length > fieldOctetsMax) {
    throw new Fault("header.field-value", `Cannot write the field ${name}: longer than ${fieldOctetsMax} octets`);
  }
  return { name, octets };
}

/** No expression: where the blanks do not end the text, one would look at each of them again from every other. */
function withoutBlanksBehind(text: string): string {
  let end = text.length;
  while (text[end - 1] === " " || text[end - 1] === "\t") end--;
  return text.slice(0, end);
}

/** The field's value unfolded, not decoded: RFC 5322 §2.2.3. UTF-8 where it is that (RFC 6532), else octet by octet. */
export function fieldValue(field: Field): string {
  const raw = field.octets.subarray(field.name.length);
  const text = isAscii(raw) ? raw.toString("latin1") : decodeUtf8OrLatin1(raw);
  const colon = text.indexOf(":");
  return text
    .slice(colon + 1)
    .replace(/\r?\n(?=[ \t])/g, "")
    .trim();
}

/**
 * Splits mail data into header and body. Lossless: `header.octets + separator + body` is what came in. Where the very first line is
 * no field there is no header, and `separator` is a line end that the message needs before its body (RFC 5322 §3.5) and did not have.
 */
export function splitMessage(data: Buffer): {
  readonly header: Header;
  readonly separator: Buffer;
  readonly body: Buffer;
} {
  const { fields, end } = scanFields(data);
  if (fields.length > 0 && fields[0]!.name === "" && !/^>?From /.test(fields[0]!.octets.toString("latin1", 0, 6))) {
    return { header: Header.empty, separator: crlf, body: data };
  }
  const separatorLength = lineEndLength(data, end);
  return {
    header: new Header(fields, data.subarray(0, end)),
    separator: data.subarray(end, end + separatorLength),
    body: data.subarray(end + separatorLength),
  };
}

const crlf = Buffer.from("\r\n");
const unindexedFieldsMax = 24;

/** Fields behind which another may follow: a message that ends within its header may lack the last line end. */
function terminated(fields: readonly Field[]): readonly Field[] {
  const last = fields.at(-1);
  if (!last || last.octets.at(-1) === 0x0a) return fields;
  return [...fields.slice(0, -1), { name: last.name, octets: Buffer.concat([last.octets, crlf]) }];
}

/** The fields from the start of `data` up to the empty line or its end; `end` is the offset of that empty line. */
function scanFields(data: Buffer): { readonly fields: Field[]; readonly end: number } {
  const fields: Field[] = [];
  let start = 0;
  while (start < data.length && lineEndLength(data, start) === 0) {
    let end = start;
    do {
      const lineFeed = data.indexOf(0x0a, end);
      end = lineFeed === -1 ? data.length : lineFeed + 1;
    } while (end < data.length && (data[end] === 0x20 || data[end] === 0x09));
    const octets = data.subarray(start, end);
    fields.push({ name: nameOf(octets), octets });
    start = end;
  }
  return { fields, end: start };
}

function nameOf(octets: Buffer): string {
  const colon = octets.indexOf(0x3a);
  if (colon < 1) return "";
  // Obsolete syntax lets white space stand before the colon. RFC 5322 §4.5.
  const name = octets.toString("latin1", 0, colon).trimEnd();
  return fieldName.test(name) ? name : "";
}

function lineEndLength(data: Buffer, at: number): 0 | 1 | 2 {
  if (data[at] === 0x0a) return 1;
  return data[at] === 0x0d && data[at + 1] === 0x0a ? 2 : 0;
}

/** Breaks a long line before white space, at 78 where it can and at 998 where it must. RFC 5322 §2.1.1. */
function fold(line: string): string {
  const octetsOf = /[^\x00-\x7f]/.test(line)
    ? (text: string) => Buffer.byteLength(text)
    : (text: string) => text.length;
  if (octetsOf(line) <= lineOctetsWanted) return line;
  const words = line.split(/(?<=\S)(?=[ \t])/);
  const lines: string[] = [];
  let current = "";
  let octets = 0;
  for (const [place, word] of words.entries()) {
    const more = octetsOf(word);
    // A line of nothing but white space would end the header for some readers: keep the first word with the name.
    if (place > 1 && octets + more > lineOctetsWanted) {
      lines.push(current);
      current = word;
      octets = more;
    } else {
      current += word;
      octets += more;
    }
  }
  lines.push(current);
  for (const folded of lines) {
    if (octetsOf(folded) > lineOctetsMax) {
      throw new Fault(
        "header.field-value",
        `Cannot write a field with a word of more than ${lineOctetsMax} octets: there is no place to fold it`,
      );
    }
  }
  return lines.join("\r\n");
}

function isAscii(octets: Buffer): boolean {
  for (let i = 0; i < octets.length; i++) if (octets[i]! > 0x7f) return false;
  return true;
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

function decodeUtf8OrLatin1(octets: Buffer): string {
  try {
    return strictUtf8.decode(octets);
  } catch {
    return octets.toString("latin1");
  }
}
