/** Ranges of a whole message and what takes their place; and the few facts about its lines and fields that every edit needs. Pure. */
import type { FieldEdits } from "./field-edits.ts";
import type { MailContent } from "./mail-content.ts";
import type { MimePart, PartFieldName } from "./mime.ts";

/** A range of the whole message and what takes its place. */
export interface OctetEdit {
  readonly start: number;
  readonly end: number;
  readonly octets: Uint8Array;
  /** Among insertions at one place: a lower one stands in front. 0 where it is absent. */
  readonly rank?: number;
}

/** Fields of a part that have to say something else; what is absent stays. */
export interface PartFields {
  readonly type?: string;
  /** "" takes the field out. */
  readonly encoding?: string;
  readonly disposition?: string;
}

const names = {
  type: ["Content-Type", "content-type"],
  encoding: ["Content-Transfer-Encoding", "content-transfer-encoding"],
  disposition: ["Content-Disposition", "content-disposition"],
} as const satisfies Record<keyof PartFields, readonly [string, PartFieldName]>;

/** Makes a part's header say what it is now. Of the message itself the fields are edited in its list of fields. */
export function* editFields(
  content: MailContent,
  part: MimePart,
  fields: PartFields,
  header: FieldEdits,
): Generator<OctetEdit> {
  const lineEnd = lineEndOf(content);
  const missing: string[] = [];
  if (part.parent === null && Object.keys(fields).length > 0 && !header.has("MIME-Version"))
    header.set("MIME-Version", "1.0");
  for (const key of ["type", "encoding", "disposition"] as const) {
    const value = fields[key];
    if (value === undefined) continue;
    const [name, known] = names[key];
    const field = part.fields.get(known);
    if (part.parent === null) {
      if (value === "") header.remove(name);
      else header.set(name, value);
    } else if (field) {
      const octets = Buffer.from(value === "" ? "" : `${name}: ${folded(value, lineEnd)}${lineEnd}`);
      yield { start: field.start, end: field.end, octets };
    } else if (value !== "") missing.push(`${name}: ${folded(value, lineEnd)}${lineEnd}`);
  }
  if (missing.length === 0) return;
  const { headerEnd } = part;
  const unended = headerEnd > part.start && content.octets[headerEnd - 1] !== 0x0a ? lineEnd : "";
  yield { start: headerEnd, end: headerEnd, octets: Buffer.from(unended + missing.join("")) };
}

/** Where what follows a part may be put: the start of the delimiter line behind it, or the end of the message. */
export function behind(content: MailContent, part: MimePart): number {
  return part.bodyEnd + lineEndLength(content.octets, part.bodyEnd);
}

/** The line end that the delimiter behind an empty part lacks, and needs once the part is not empty. */
export function missingLineEnd(content: MailContent, part: MimePart): string {
  const isLast = part.bodyEnd === content.octets.length;
  return part.parent === null || isLast || lineEndLength(content.octets, part.bodyEnd) > 0 ? "" : lineEndOf(content);
}

/** The empty line that a part of nothing but a header lacks. */
export function missingEmptyLine(content: MailContent, part: MimePart): string {
  return part.parent !== null && part.headerEnd === part.bodyStart ? lineEndOf(content) : "";
}

export function lineEndOf(content: MailContent): string {
  const lineFeed = content.octets.indexOf(0x0a);
  return lineFeed > 0 && content.octets[lineFeed - 1] !== 0x0d ? "\n" : "\r\n";
}

export function lineEndLength(octets: Buffer, at: number): number {
  if (octets[at] === 0x0a) return 1;
  return octets[at] === 0x0d && octets[at + 1] === 0x0a ? 2 : 0;
}

/** One parameter a line, where all of it is long. */
function folded(value: string, lineEnd: string): string {
  return value.length <= 60 ? value : value.replaceAll("; ", `;${lineEnd} `);
}
