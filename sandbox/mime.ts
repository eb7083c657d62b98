/**
 * The parts of a message as ranges of its octets: a tree that loses nothing, so that one part can be cut out or rewritten and every other
 * octet stays as it was. RFC 2045, RFC 2046. Pure and linear in the size of the message; never throws, what is odd becomes a defect.
 * Text is not decoded here: that is mail-content.ts.
 */
import { type ContentField, parseContentField } from "./content-field.ts";
import { parseTransferEncoding, type TransferEncoding } from "./transfer-encoding.ts";

/** Parts deeper than this are read as one. */
export const depthMax = 100;
/** Parts behind this many are read as one with what is around them. */
export const partsMax = 1_000;
const defectsMax = 50;

/** A field that says what the part is; the range takes in its line end. */
export interface PartField {
  readonly start: number;
  readonly end: number;
  /** Unfolded. */
  readonly value: string;
}

export type PartFieldName = "content-type" | "content-transfer-encoding" | "content-disposition" | "content-id";

export interface MimePart {
  /** As IMAP numbers parts: "1", "1.2"; "" for a root that has parts. RFC 3501 §6.4.5. */
  readonly id: string;
  /** The first octet of the line end in front of the delimiter line; where there is no delimiter, as `start`. */
  readonly delimiterStart: number;
  /** First octet of the part's header. */
  readonly start: number;
  /** Where the header ends, its empty line not included. */
  readonly headerEnd: number;
  readonly bodyStart: number;
  /** Behind the last octet of the body; the line end in front of the next delimiter is not in it. */
  readonly bodyEnd: number;
  /** In lower case; "text/plain" where the part says nothing, "message/rfc822" in a digest. */
  readonly contentType: string;
  readonly type: ContentField;
  readonly disposition: ContentField;
  readonly encoding: TransferEncoding;
  readonly fields: ReadonlyMap<PartFieldName, PartField>;
  /** Parts of a multipart, or the one message in a message/rfc822. */
  readonly children: readonly MimePart[];
  readonly parent: MimePart | null;
}

export interface MimeTree {
  readonly root: MimePart;
  readonly defects: readonly string[];
}

interface OpenPart extends MimePart {
  id: string;
  headerEnd: number;
  bodyStart: number;
  bodyEnd: number;
  contentType: string;
  type: ContentField;
  disposition: ContentField;
  encoding: TransferEncoding;
  readonly children: OpenPart[];
  readonly parent: OpenPart | null;
  readonly depth: number;
  readonly fields: Map<PartFieldName, PartField>;
}

interface Delimited {
  readonly part: OpenPart;
  readonly boundary: string;
}

/** Reads the structure of a whole message: header, empty line, body. */
export function parseMime(octets: Buffer): MimeTree {
  const walker = new Walker(octets);
  return { root: walker.walk(), defects: walker.defects };
}

class Walker {
  readonly defects: string[] = [];
  readonly #octets: Buffer;
  /** Multiparts whose delimiters are looked for, outermost first. */
  readonly #open: Delimited[] = [];
  #parts = 0;

  constructor(octets: Buffer) {
    this.#octets = octets;
  }

  walk(): MimePart {
    const root = this.#begin(0, 0, null);
    let innermost = this.#enter(root);
    let from = innermost.bodyStart;
    while (this.#open.length > 0) {
      const line = this.#nextDelimiter(from);
      if (line === null) break;
      from = line.end;
      // Everything inside of the multipart whose delimiter this is ends here.
      this.#close(innermost, this.#open[line.level]!.part, line.start);
      innermost = this.#open[line.level]!.part;
      this.#open.length = line.level + 1;
      if (line.closing) {
        this.#open.length = line.level;
        continue;
      }
      if (this.#parts >= partsMax) {
        this.#defect(`More than ${partsMax} parts: what is behind them was not looked at`);
        break;
      }
      const part = this.#begin(line.start, line.end, innermost);
      innermost.children.push(part);
      innermost = this.#enter(part);
      from = innermost.bodyStart;
    }
    for (const { part } of this.#open) this.#defect(`The ${part.contentType} is not closed`);
    this.#close(innermost, null, this.#octets.length);
    number(root, "", true);
    return root;
  }

  /** Ends `part` and those around it, up to but without `until`. */
  #close(part: OpenPart, until: OpenPart | null, at: number): void {
    for (let inner: OpenPart | null = part; inner !== null && inner !== until; inner = inner.parent) {
      // A part that was closed by its last delimiter, and whose epilogue this is, ends with the octets as well.
      inner.bodyEnd = Math.max(at, inner.bodyStart);
    }
  }

  /** Goes into a multipart, or into the message in a message; gives the innermost part that began. */
  #enter(part: OpenPart): OpenPart {
    let innermost = part;
    while (innermost.contentType === "message/rfc822" && innermost.encoding === "identity") {
      if (innermost.depth >= depthMax || this.#parts >= partsMax) break;
      const inside = this.#begin(innermost.bodyStart, innermost.bodyStart, innermost);
      innermost.children.push(inside);
      innermost = inside;
    }
    if (!innermost.contentType.startsWith("multipart/")) return innermost;
    const boundary = innermost.type.parameters.get("boundary")?.trimEnd() ?? "";
    if (boundary === "") this.#defect(`A ${innermost.contentType} without boundary`);
    else if (innermost.depth >= depthMax)
      this.#defect(`Parts nested deeper than ${depthMax}: what is inside was not looked at`);
    else if (innermost.encoding === "identity") this.#open.push({ part: innermost, boundary });
    else
      this.#defect(
        `A ${innermost.contentType} in ${innermost.fields.get("content-transfer-encoding")?.value.slice(0, 40)}`,
      );
    return innermost;
  }

  #begin(delimiterStart: number, start: number, parent: OpenPart | null): OpenPart {
    this.#parts++;
    const part: OpenPart = {
      id: "",
      delimiterStart,
      start,
      headerEnd: start,
      bodyStart: start,
      bodyEnd: this.#octets.length,
      contentType: "text/plain",
      type: parseContentField(""),
      disposition: parseContentField(""),
      encoding: "identity",
      fields: new Map(),
      children: [],
      parent,
      depth: parent === null ? 0 : parent.depth + 1,
    };
    this.#readHeader(part);
    part.type = parseContentField(part.fields.get("content-type")?.value ?? "");
    part.disposition = parseContentField(part.fields.get("content-disposition")?.value ?? "");
    part.encoding = parseTransferEncoding(part.fields.get("content-transfer-encoding")?.value ?? "");
    // RFC 2045 §5.2; RFC 2046 §5.1.5 for the digest. What is no type at all is read as text.
    const fallback = parent?.contentType === "multipart/digest" ? "message/rfc822" : "text/plain";
    part.contentType = /^[^\s/]+\/[^\s/]+$/.test(part.type.value) ? part.type.value : fallback;
    return part;
  }

  #readHeader(part: OpenPart): void {
    let start = part.start;
    for (;;) {
      if (start >= this.#octets.length) break;
      const lineEnd = emptyLineLength(this.#octets, start);
      if (lineEnd > 0) {
        part.headerEnd = start;
        part.bodyStart = start + lineEnd;
        return;
      }
      // A delimiter ends a header that nothing else ended.
      if (this.#open.length > 0 && this.#octets[start] === 0x2d && this.#delimiterAt(start) !== null) break;
      let end = this.#lineAfter(start);
      while (this.#octets[end] === 0x20 || this.#octets[end] === 0x09) end = this.#lineAfter(end);
      const name = wantedName(this.#octets, start, end);
      if (name !== undefined && !part.fields.has(name))
        part.fields.set(name, { start, end, value: unfold(this.#octets, start + name.length, end) });
      start = end;
    }
    part.headerEnd = start;
    part.bodyStart = start;
  }

  #nextDelimiter(from: number): { start: number; end: number; level: number; closing: boolean } | null {
    let at = from;
    while (at < this.#octets.length) {
      const hit =
        this.#octets[at] === 0x2d && (at === 0 || this.#octets[at - 1] === 0x0a) ? this.#delimiterAt(at) : null;
      if (hit) return { start: Math.max(lineEndBefore(this.#octets, at), from), ...hit };
      const next = this.#octets.indexOf("\n--", at, "latin1");
      if (next === -1) return null;
      at = next + 1;
    }
    return null;
  }

  /** Whether the line that starts at `at` is a delimiter of an open multipart; the innermost counts. RFC 2046 §5.1.1. */
  #delimiterAt(at: number): { end: number; level: number; closing: boolean } | null {
    if (this.#octets[at + 1] !== 0x2d) return null;
    for (let level = this.#open.length - 1; level >= 0; level--) {
      const boundary = this.#open[level]!.boundary;
      if (!matches(this.#octets, at + 2, boundary)) continue;
      let end = at + 2 + boundary.length;
      const closing = this.#octets[end] === 0x2d && this.#octets[end + 1] === 0x2d;
      if (closing) end += 2;
      while (this.#octets[end] === 0x20 || this.#octets[end] === 0x09) end++;
      if (end >= this.#octets.length) return { end, level, closing };
      const lineEnd = emptyLineLength(this.#octets, end);
      if (lineEnd > 0) return { end: end + lineEnd, level, closing };
    }
    return null;
  }

  #lineAfter(start: number): number {
    const lineFeed = this.#octets.indexOf(0x0a, start);
    return lineFeed === -1 ? this.#octets.length : lineFeed + 1;
  }

  #defect(text: string): void {
    if (this.defects.length < defectsMax && !this.defects.includes(text)) this.defects.push(text);
  }
}

function number(part: OpenPart, prefix: string, isRoot: boolean): void {
  const multipart = part.contentType.startsWith("multipart/") && part.children.length > 0;
  // A multipart right inside a message has no number of its own: its parts carry on the message's. RFC 3501 §6.4.5.
  const carries = multipart && (isRoot || part.parent?.contentType === "message/rfc822");
  part.id = carries ? prefix : isRoot || part.parent?.contentType === "message/rfc822" ? join(prefix, 1) : prefix;
  part.children.forEach((child, index) => {
    number(child, part.contentType === "message/rfc822" ? part.id : join(part.id, index + 1), false);
  });
}

function join(prefix: string, index: number): string {
  return prefix === "" ? String(index) : `${prefix}.${index}`;
}

const wantedNames: readonly PartFieldName[] = [
  "content-type",
  "content-transfer-encoding",
  "content-disposition",
  "content-id",
];

function wantedName(octets: Buffer, start: number, end: number): PartFieldName | undefined {
  // "C" and "c", then the fifth wanted letter: most fields are none of them.
  if ((octets[start]! | 0x20) !== 0x63 || octets[start + 7] !== 0x2d) return undefined;
  const line = octets.toString("latin1", start, Math.min(end, start + 40)).toLowerCase();
  return wantedNames.find((name) => line.startsWith(name) && /^[ \t]*:/.test(line.slice(name.length)));
}

function unfold(octets: Buffer, start: number, end: number): string {
  const text = octets.toString("utf8", start, Math.min(end, start + 65_536));
  return text
    .slice(text.indexOf(":") + 1)
    .replace(/\r?\n(?=[ \t])/g, "")
    .trim();
}

function matches(octets: Buffer, at: number, boundary: string): boolean {
  for (let i = 0; i < boundary.length; i++) if (octets[at + i] !== boundary.charCodeAt(i)) return false;
  return true;
}

/** Octets of the line end at `at`, 0 where there is none. */
function emptyLineLength(octets: Buffer, at: number): 0 | 1 | 2 {
  if (octets[at] === 0x0a) return 1;
  return octets[at] === 0x0d && octets[at + 1] === 0x0a ? 2 : 0;
}

/** Where the line end in front of `at` begins. */
function lineEndBefore(octets: Buffer, at: number): number {
  if (at === 0) return 0;
  return at > 1 && octets[at - 2] === 0x0d ? at - 2 : at - 1;
}
