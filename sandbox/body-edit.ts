/**
 * Edits of a body, as splices that leave every other octet as it was: parts taken out, a paragraph put behind the plain text. Where the
 * message itself is the edited part, its content fields are edited in the list of fields. Pure.
 */
import { decodeCharset, decodeWords, textDecoder, withCharset } from "./content-field.ts";
import { fileNameOf, isAttachment, type MailContent } from "./mail-content.ts";
import type { MimePart } from "./mime.ts";
import { plainLine } from "./plain-line.ts";
import type { BodySplice, FieldResult, MailInput, PartChange } from "./protocol.ts";
import { encodeBase64, encodeQuotedPrintable } from "./transfer-encoding.ts";

export interface BodyEdits {
  /** Numbers of the parts to take out. */
  readonly removed: readonly string[];
  /** Paragraph to append; "" for none. */
  readonly appended: string;
}

export interface EditedBody {
  readonly splices: readonly BodySplice[];
  readonly parts: readonly PartChange[];
  readonly fields: readonly FieldResult[];
  readonly fieldsChanged: boolean;
}

/** Octets of a line. RFC 5322 §2.1.1. */
const lineOctetsMax = 998;

/** A range of the whole message and what takes its place. */
interface Edit {
  readonly start: number;
  readonly end: number;
  readonly octets: Uint8Array;
}

/** Whether there is a plain text that a paragraph can be appended to. */
export function canAppendText(content: MailContent): boolean {
  return findPlainText(content) !== null;
}

/** What the edits mean for body and fields. Offsets of the splices count from the body's first octet. */
export function editBody(
  content: MailContent,
  edits: BodyEdits,
  fields: readonly FieldResult[],
  mail: MailInput,
): EditedBody {
  const bodyStart = content.tree.root.bodyStart;
  const header = new FieldEdits(fields, mail);
  const parts: PartChange[] = [];
  const changes = [...removeParts(content, edits.removed, header, parts)];
  if (edits.appended !== "") {
    const target = findPlainText(content);
    if (target) {
      changes.push(...appendText(content, target, edits.appended, header));
      parts.push({ op: "append", part: target.id, contentType: target.contentType });
    }
  }
  changes.sort((one, other) => one.start - other.start || one.end - other.end);
  const splices = changes.map(({ start, end, octets }) => ({ start: start - bodyStart, end: end - bodyStart, octets }));
  return { splices, parts, fields: header.fields, fieldsChanged: header.changed };
}

// -- Taking parts out ---------------------------------------------------------------------------------------------------------------------

function* removeParts(
  content: MailContent,
  ids: readonly string[],
  header: FieldEdits,
  parts: PartChange[],
): Generator<Edit> {
  const wanted = new Set<MimePart>();
  for (const id of ids) {
    const part = content.attachments.get(id);
    if (!part) continue;
    wanted.add(part);
    const fileName = fileNameOf(part);
    parts.push({
      op: "remove",
      part: part.id,
      contentType: plainLine(part.contentType, 200),
      ...(fileName === undefined ? {} : { fileName: plainLine(fileName, 200) }),
    });
  }
  yield* removeBelow(content, content.tree.root, wanted, header);
}

function* removeBelow(
  content: MailContent,
  part: MimePart,
  wanted: ReadonlySet<MimePart>,
  header: FieldEdits,
): Generator<Edit> {
  if (wanted.has(part)) {
    yield* emptyPart(content, part, header);
    return;
  }
  // A multipart has at least one part (RFC 2046 §5.1.1), and some readers refuse one that has none: the first stays as an empty text.
  const multipart = part.contentType.startsWith("multipart/");
  const kept = part.children.some((child) => !wanted.has(child));
  for (const [index, child] of part.children.entries()) {
    if (!wanted.has(child)) yield* removeBelow(content, child, wanted, header);
    else if (multipart && (kept || index > 0)) yield cutOut(content, child);
    else yield* emptyPart(content, child, header);
  }
}

/** The part with the delimiter line in front of it: from that line to the next one. */
function cutOut(content: MailContent, part: MimePart): Edit {
  return {
    start: part.delimiterStart + lineEndLength(content.octets, part.delimiterStart),
    end: part.bodyEnd + lineEndLength(content.octets, part.bodyEnd),
    octets: new Uint8Array(),
  };
}

function* emptyPart(content: MailContent, part: MimePart, header: FieldEdits): Generator<Edit> {
  if (part.parent === null) {
    header.set("Content-Type", "text/plain; charset=us-ascii");
    header.remove("Content-Transfer-Encoding");
    header.remove("Content-Disposition");
    header.remove("Content-ID");
    yield { start: part.bodyStart, end: part.bodyEnd, octets: Buffer.from(lineEndOf(content)) };
    return;
  }
  const lineEnd = lineEndOf(content);
  yield {
    start: part.start,
    end: part.bodyEnd,
    octets: Buffer.from(
      `Content-Type: text/plain; charset=us-ascii${lineEnd}${lineEnd}${missingLineEnd(content, part)}`,
    ),
  };
}

// -- Appending ----------------------------------------------------------------------------------------------------------------------------

/** The first plain text that is no attachment, outside of everything signed or encrypted. */
function findPlainText(content: MailContent): MimePart | null {
  const visit = (part: MimePart): MimePart | null => {
    // RFC 1847, RFC 8551, RFC 3156: an octet changed in there, and the signature is void or nothing can be read.
    if (/^(?:multipart\/(?:signed|encrypted)|application\/(?:x-)?pkcs7-|application\/pgp)/.test(part.contentType))
      return null;
    if (part.contentType === "message/rfc822") return null;
    for (const child of part.children) {
      const found = visit(child);
      if (found) return found;
    }
    return part.children.length === 0 && isWritableText(content, part) ? part : null;
  };
  return visit(content.tree.root);
}

function isWritableText(content: MailContent, part: MimePart): boolean {
  if (part.contentType !== "text/plain" || isAttachment(part) || part.encoding === "unknown") return false;
  // Without the empty line behind its header a part has no body to add to.
  if (part.headerEnd === part.bodyStart) return false;
  if (charsetOf(part) !== "" && textDecoder(charsetOf(part)) === undefined) return false;
  // Text with a signature or cipher of its own in it. RFC 4880 §7, §6.2.
  const start = content.content(part).toString("latin1", 0, 65_536);
  return !/^-----BEGIN PGP /m.test(start);
}

function* appendText(content: MailContent, part: MimePart, text: string, header: FieldEdits): Generator<Edit> {
  const lineEnd = lineEndOf(content);
  const written = content.octets.subarray(part.bodyStart, part.bodyEnd);
  const meant = content.content(part);
  const paragraph = text.replace(/\r\n|\r|\n/g, lineEnd);
  const endsLine = meant.length === 0 || meant[meant.length - 1] === 0x0a;
  // The last line of a part inside of a multipart has no end of its own: the delimiter brings one.
  const addition = `${endsLine ? "" : lineEnd}${meant.length === 0 ? "" : lineEnd}${paragraph}${part.parent === null && !paragraph.endsWith(lineEnd) ? lineEnd : ""}`;
  const behind = Buffer.from(missingLineEnd(content, part));
  const ascii = !/[^\x00-\x7f]/.test(addition);
  const charset = charsetOf(part);
  const fits = ascii ? isAsciiBased(charset) : /^utf-?8$/i.test(charset);
  if (fits && part.encoding === "identity") {
    const eightBit = /^(?:8bit|binary)$/i.test(part.fields.get("content-transfer-encoding")?.value ?? "");
    if ((ascii || eightBit) && linesFit(addition) && lastLineLength(written) <= lineOctetsMax) {
      yield { start: part.bodyEnd, end: part.bodyEnd, octets: Buffer.concat([Buffer.from(addition), behind]) };
      return;
    }
  }
  if (
    fits &&
    part.encoding === "quoted-printable" &&
    !/=[ \t\r\n]*$/.test(written.toString("latin1", Math.max(0, written.length - 80)))
  ) {
    yield {
      start: part.bodyEnd,
      end: part.bodyEnd,
      octets: Buffer.concat([encodeQuotedPrintable(Buffer.from(addition), lineEnd), behind]),
    };
    return;
  }
  if (fits && part.encoding === "base64") {
    const octets = encodeBase64(Buffer.concat([meant, Buffer.from(addition)]), lineEnd);
    const tail = written.length > 0 && written[written.length - 1] === 0x0a ? lineEnd : "";
    yield { start: part.bodyStart, end: part.bodyEnd, octets: Buffer.concat([octets, Buffer.from(tail), behind]) };
    return;
  }
  const all = decodeCharset(meant, charset || "us-ascii") + addition;
  yield* rewriteFields(content, part, header);
  yield {
    start: part.bodyStart,
    end: part.bodyEnd,
    octets: Buffer.concat([encodeQuotedPrintable(Buffer.from(all), lineEnd), behind]),
  };
}

/** Makes the part's header say what its body is now: UTF-8 in quoted-printable. */
function* rewriteFields(content: MailContent, part: MimePart, header: FieldEdits): Generator<Edit> {
  const type = part.fields.get("content-type");
  const encoding = part.fields.get("content-transfer-encoding");
  const typeValue = withCharset(type?.value ?? "text/plain", "utf-8");
  if (part.parent === null) {
    if (!header.has("MIME-Version")) header.set("MIME-Version", "1.0");
    header.set("Content-Type", typeValue);
    header.set("Content-Transfer-Encoding", "quoted-printable");
    return;
  }
  const lineEnd = lineEndOf(content);
  const typeField = Buffer.from(`Content-Type: ${typeValue}${lineEnd}`);
  const encodingField = Buffer.from(`Content-Transfer-Encoding: quoted-printable${lineEnd}`);
  const missing: Buffer[] = [];
  if (type) yield { start: type.start, end: type.end, octets: typeField };
  else missing.push(typeField);
  if (encoding) yield { start: encoding.start, end: encoding.end, octets: encodingField };
  else missing.push(encodingField);
  if (missing.length > 0) yield { start: part.headerEnd, end: part.headerEnd, octets: Buffer.concat(missing) };
}

function charsetOf(part: MimePart): string {
  return (part.type.parameters.get("charset") ?? "").trim().toLowerCase();
}

/** Whether ASCII octets mean ASCII in that charset; the ones that shift or are wide are not. */
function isAsciiBased(charset: string): boolean {
  return (
    charset === "" ||
    /^(?:us-ascii|ascii|utf-?8|iso-?8859-\d{1,2}|windows-125\d|cp125\d|koi8-[ru]|gb2312|gbk|gb18030|big5|euc-(?:jp|kr))$/.test(
      charset,
    )
  );
}

function linesFit(text: string): boolean {
  return text.split("\n").every((line) => Buffer.byteLength(line) <= lineOctetsMax);
}

function lastLineLength(octets: Buffer): number {
  return octets.length - 1 - octets.lastIndexOf(0x0a);
}

/** The line end that the delimiter behind an empty part lacks, and needs once the part is not empty. */
function missingLineEnd(content: MailContent, part: MimePart): string {
  const isLast = part.bodyEnd === content.octets.length;
  return part.parent === null || isLast || lineEndLength(content.octets, part.bodyEnd) > 0 ? "" : lineEndOf(content);
}

function lineEndOf(content: MailContent): string {
  const lineFeed = content.octets.indexOf(0x0a);
  return lineFeed > 0 && content.octets[lineFeed - 1] !== 0x0d ? "\n" : "\r\n";
}

function lineEndLength(octets: Buffer, at: number): number {
  if (octets[at] === 0x0a) return 1;
  return octets[at] === 0x0d && octets[at + 1] === 0x0a ? 2 : 0;
}

/** The header as a list of what stays and what is new, edited by name. */
class FieldEdits {
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

  set(name: string, value: string): void {
    // Written from what a message said: as plain text, in one line that can be folded.
    const field: FieldResult = [name, plainLine(decodeWords(value), 8_000)];
    const at = this.fields.findIndex((one) => this.#isNamed(one, name));
    if (at === -1) this.fields.push(field);
    else this.fields[at] = field;
    this.changed = true;
  }

  remove(name: string): void {
    const kept = this.fields.filter((field) => !this.#isNamed(field, name));
    if (kept.length < this.fields.length) this.changed = true;
    this.fields = kept;
  }

  #isNamed(field: FieldResult, name: string): boolean {
    const own = typeof field === "number" ? (this.#mail.fields[field]?.[0] ?? "") : field[0];
    return own.toLowerCase() === name.toLowerCase();
  }
}
