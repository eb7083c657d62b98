/** Another text in a part, or more of it at its end: in the part's charset and encoding where the text fits them. What the part's fields must say then is given back. Pure. */
import { charsetOf } from "./body-texts.ts";
import { encodeCharset, isAsciiBased } from "./charset.ts";
import { decodeCharset, withCharset, withParameter } from "./content-field.ts";
import type { MailContent } from "./mail-content.ts";
import type { MimePart } from "./mime.ts";
import { isSevenBit, lineOctetsMax, linesFit, withLineEnds } from "./new-part.ts";
import type { OctetEdit, PartFields } from "./octet-edit.ts";
import { encodeBase64, encodeQuotedPrintable } from "./transfer-encoding.ts";

/** What a run did to a text, in the order that matters: what was set last, then what was added behind. */
export interface TextChange {
  readonly set: string | null;
  readonly appended: readonly string[];
}

export interface EditedText {
  readonly edit: OctetEdit;
  readonly fields: PartFields;
}

/** The plain text. */
export function editPlainText(content: MailContent, part: MimePart, change: TextChange, lineEnd: string): EditedText {
  const paragraphs = change.appended.map((text) => withLineEnds(text, lineEnd)).join(lineEnd + lineEnd);
  if (change.set === null) return appendText(content, part, paragraphs, lineEnd);
  const text = withLineEnds(change.set, lineEnd);
  if (paragraphs === "") return rewrite(part, text, lineEnd);
  return rewrite(part, `${text}${text === "" ? "" : gapBehind(text.endsWith("\n"), lineEnd)}${paragraphs}`, lineEnd);
}

/** The HTML. */
export function editHtml(content: MailContent, part: MimePart, change: TextChange, lineEnd: string): EditedText {
  const addition = withLineEnds(change.appended.join(lineEnd), lineEnd);
  if (change.set !== null) return rewrite(part, insertIntoBody(withLineEnds(change.set, lineEnd), addition), lineEnd);
  const charset = charsetOf(part);
  const meant = content.content(part);
  if (!isAsciiBased(charset)) return rewrite(part, insertIntoBody(decodeCharset(meant, charset), addition), lineEnd);
  // Whatever the charset lacks has a number in HTML.
  const octets = encodeHtml(addition, charset);
  const at = endOfBody(meant.toString("latin1"));
  if (part.encoding === "identity" && canStandAsIs(part, octets)) {
    const start = part.bodyStart + at;
    return { edit: { start, end: start, octets }, fields: {} };
  }
  return encoded(part, Buffer.concat([meant.subarray(0, at), octets, meant.subarray(at)]), lineEnd);
}

/** The HTML with more of it at the end of its body. */
export function insertIntoBody(html: string, addition: string): string {
  const at = endOfBody(html);
  return html.slice(0, at) + addition + html.slice(at);
}

/** In front of the last `</body`, else of the last `</html`, else the end. */
function endOfBody(html: string): number {
  // Lower case of ASCII alone: other characters may get longer by it.
  const lower = html.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
  const body = lower.lastIndexOf("</body");
  if (body !== -1) return body;
  const end = lower.lastIndexOf("</html");
  return end === -1 ? html.length : end;
}

/** The whole text anew. */
function rewrite(part: MimePart, text: string, lineEnd: string): EditedText {
  const charset = charsetOf(part);
  const fitting = encodeCharset(text, charset);
  const edited = encoded(part, fitting ?? Buffer.from(text), lineEnd);
  const type = part.fields.get("content-type")?.value ?? "text/plain";
  // What is written here is lines that are meant as they are. RFC 3676 §4.
  const flowed = part.type.parameters.has("format") || part.type.parameters.has("delsp");
  const unflowed = flowed ? withParameter(withParameter(type, "format", []), "delsp", []) : type;
  if (fitting && !flowed) return edited;
  return {
    edit: edited.edit,
    fields: { ...edited.fields, type: fitting ? unflowed : withCharset(unflowed, "utf-8") },
  };
}

/** The part's body as these octets, in the encoding it has, or in quoted-printable. */
function encoded(part: MimePart, meant: Buffer, lineEnd: string): EditedText {
  const { bodyStart: start, bodyEnd: end } = part;
  // What ends with the message ends with a line end.
  const whole =
    part.parent !== null || meant.length === 0 || meant.at(-1) === 0x0a
      ? meant
      : Buffer.concat([meant, Buffer.from(lineEnd)]);
  if (part.encoding === "identity" && canStandAsIs(part, whole))
    return { edit: { start, end, octets: whole }, fields: {} };
  if (part.encoding === "base64") {
    const tail = part.parent === null ? lineEnd : "";
    return {
      edit: { start, end, octets: Buffer.concat([encodeBase64(whole, lineEnd), Buffer.from(tail)]) },
      fields: {},
    };
  }
  return {
    edit: { start, end, octets: encodeQuotedPrintable(whole, lineEnd) },
    fields: part.encoding === "quoted-printable" ? {} : { encoding: "quoted-printable" },
  };
}

function appendText(content: MailContent, part: MimePart, paragraphs: string, lineEnd: string): EditedText {
  const written = content.octets.subarray(part.bodyStart, part.bodyEnd);
  const meant = content.content(part);
  const endsLine = meant.length === 0 || meant.at(-1) === 0x0a;
  const stuffed = part.type.parameters.get("format")?.toLowerCase() === "flowed" ? stuff(paragraphs) : paragraphs;
  // The last line of a part inside of a multipart has no end of its own: the delimiter brings one.
  const addition = `${meant.length === 0 ? "" : gapBehind(endsLine, lineEnd)}${stuffed}${part.parent === null && !stuffed.endsWith(lineEnd) ? lineEnd : ""}`;
  const octets = encodeCharset(addition, charsetOf(part));
  const { bodyEnd: end } = part;
  if (octets && part.encoding === "identity") {
    if (canStandAsIs(part, octets) && lastLineLength(written) <= lineOctetsMax)
      return { edit: { start: end, end, octets }, fields: {} };
  }
  const softEnd = /=[ \t\r\n]*$/.test(written.toString("latin1", Math.max(0, written.length - 80)));
  if (octets && part.encoding === "quoted-printable" && !softEnd)
    return { edit: { start: end, end, octets: encodeQuotedPrintable(octets, lineEnd) }, fields: {} };
  if (octets && part.encoding === "base64") {
    const tail = Buffer.from(written.at(-1) === 0x0a ? lineEnd : "");
    const whole = Buffer.concat([encodeBase64(Buffer.concat([meant, octets]), lineEnd), tail]);
    return { edit: { start: part.bodyStart, end, octets: whole }, fields: {} };
  }
  const all = Buffer.from(decodeCharset(meant, charsetOf(part) || "us-ascii") + addition);
  const type = part.fields.get("content-type")?.value ?? "text/plain";
  return {
    edit: { start: part.bodyStart, end, octets: encodeQuotedPrintable(all, lineEnd) },
    fields: { type: withCharset(type, "utf-8"), encoding: "quoted-printable" },
  };
}

/** Lines that are meant as they are, among lines that flow. RFC 3676 §4.1, §4.4. */
function stuff(text: string): string {
  return text.replace(/^(?=[ >]|From )/gm, " ").replace(/[ \t]+(?=\r?$)/gm, "");
}

function gapBehind(endsLine: boolean, lineEnd: string): string {
  return endsLine ? lineEnd : lineEnd + lineEnd;
}

/** Whether a part that is not encoded may hold these octets: lines not too long, and 8 bits only where it says so. */
function canStandAsIs(part: MimePart, octets: Buffer): boolean {
  const eightBit = /^(?:8bit|binary)$/i.test(part.fields.get("content-transfer-encoding")?.value ?? "");
  return (eightBit || isSevenBit(octets)) && linesFit(octets);
}

function encodeHtml(html: string, charset: string): Buffer {
  const whole = encodeCharset(html, charset);
  if (whole) return whole;
  const pieces = Array.from(
    html,
    (character) => encodeCharset(character, charset) ?? Buffer.from(`&#${character.codePointAt(0)};`),
  );
  return Buffer.concat(pieces);
}

function lastLineLength(octets: Buffer): number {
  return octets.length - 1 - octets.lastIndexOf(0x0a);
}
