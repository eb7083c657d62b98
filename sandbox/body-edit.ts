/**
 * Edits of a body, as splices that leave every other octet as it was. All edits of a run are gathered first (gather), so that their order does not
 * matter where it need not; then each part that is touched is written once. Where the message itself is the part, its content fields are edited
 * in the list of fields. Pure: the same edits of the same message give the same octets.
 */
import { type AttachmentEdit, editAttachment } from "./attachment-edit.ts";
import { fileNameOf } from "./attachments.ts";
import { findText } from "./body-texts.ts";
import { FieldEdits } from "./field-edits.ts";
import type { MailContent } from "./mail-content.ts";
import type { MimePart } from "./mime.ts";
import { attachmentPart, Boundaries, multipart, type NewAttachmentInput, textPart } from "./new-part.ts";
import { editFields, lineEndOf, missingEmptyLine, missingLineEnd, type OctetEdit } from "./octet-edit.ts";
import { removeParts } from "./part-removal.ts";
import { plainLine } from "./plain-line.ts";
import type { BodySplice, FieldResult, MailInput, PartChange } from "./protocol.ts";
import { Surroundings } from "./surroundings.ts";
import { editHtml, editPlainText, insertIntoBody, type TextChange } from "./text-edit.ts";

/** One call of a script, in their order. Octets are what it wrote. */
export type BodyEdit =
  | { readonly op: "remove"; readonly part: string }
  | { readonly op: "rename"; readonly part: string; readonly fileName: string }
  | {
      readonly op: "replace";
      readonly part: string;
      readonly octets: Buffer;
      readonly isText: boolean;
      readonly fileName: string | null;
      readonly contentType: string | null;
    }
  | { readonly op: "setText" | "setHtml" | "appendHtml"; readonly text: string }
  | { readonly op: "appendText"; readonly text: string; readonly wrap: boolean }
  | { readonly op: "attach"; readonly attachment: NewAttachmentInput; readonly wrap: boolean };

export interface EditedBody {
  readonly splices: readonly BodySplice[];
  readonly parts: readonly PartChange[];
  readonly fields: readonly FieldResult[];
  readonly fieldsChanged: boolean;
}

/** All that a run did, whatever the order. */
interface Gathered {
  readonly removed: ReadonlySet<MimePart>;
  readonly attachments: ReadonlyMap<MimePart, AttachmentEdit>;
  readonly text: TextChange | null;
  readonly html: TextChange | null;
  readonly attached: readonly NewAttachmentInput[];
  readonly wraps: boolean;
}

/** What the edits mean for body and fields. Offsets of the splices count from the body's first octet. */
export function editBody(
  content: MailContent,
  edits: readonly BodyEdit[],
  fields: readonly FieldResult[],
  mail: MailInput,
): EditedBody {
  const header = new FieldEdits(fields, mail);
  const gathered = gather(content, edits);
  const parts: PartChange[] = [];
  const seed = `${mail.id}\n${content.octets.length}\n${edits.length}`;
  const boundaries = new Boundaries(seed, [
    content.octets,
    ...gathered.attached.map(({ octets }) => octets),
    ...[...gathered.attachments.values()].flatMap(({ replaced }) => (replaced ? [replaced.octets] : [])),
  ]);
  const surroundings = new Surroundings(content, boundaries, header);
  const changes = gathered.wraps
    ? wrapWhole(content, gathered, surroundings, parts)
    : [...editParts(content, gathered, surroundings, header, parts)];
  changes.push(...surroundings.finish());
  changes.sort((one, other) => one.start - other.start || one.end - other.end || (one.rank ?? 0) - (other.rank ?? 0));
  const { bodyStart } = content.tree.root;
  const splices = changes.map(({ start, end, octets }) => ({ start: start - bodyStart, end: end - bodyStart, octets }));
  return { splices, parts, fields: header.fields, fieldsChanged: header.changed };
}

function gather(content: MailContent, edits: readonly BodyEdit[]): Gathered {
  const removed = new Set<MimePart>();
  const attachments = new Map<MimePart, AttachmentEdit>();
  const attached: NewAttachmentInput[] = [];
  let text = null as TextChange | null;
  let html = null as TextChange | null;
  let wraps = false;
  for (const edit of edits) {
    switch (edit.op) {
      case "setText":
        text = { set: edit.text, appended: [] };
        break;
      case "setHtml":
        html = { set: edit.text, appended: [] };
        break;
      case "appendText":
        wraps ||= edit.wrap;
        text = { set: text?.set ?? null, appended: [...(text?.appended ?? []), edit.text] };
        break;
      case "appendHtml":
        html = { set: html?.set ?? null, appended: [...(html?.appended ?? []), edit.text] };
        break;
      case "attach":
        wraps ||= edit.wrap;
        attached.push(edit.attachment);
        break;
      default: {
        const part = content.attachments.get(edit.part);
        if (!part) break;
        if (edit.op === "remove") removed.add(part);
        else if (edit.op === "rename") attachments.set(part, { ...attachments.get(part), fileName: edit.fileName });
        else {
          const fileName = edit.fileName ?? attachments.get(part)?.fileName;
          attachments.set(part, { ...(fileName === undefined ? {} : { fileName }), replaced: edit });
        }
      }
    }
  }
  for (const part of removed) attachments.delete(part);
  return { removed, attachments, text, html, attached, wraps };
}

function* editParts(
  content: MailContent,
  gathered: Gathered,
  surroundings: Surroundings,
  header: FieldEdits,
  parts: PartChange[],
): Generator<OctetEdit> {
  const lineEnd = lineEndOf(content);
  for (const part of gathered.removed) parts.push(changeOf("remove", part));
  for (const [part, edit] of gathered.attachments) {
    parts.push(changeOf(edit.replaced ? "replace" : "rename", part, edit.fileName));
    const { body, fields } = editAttachment(part, edit, lineEnd);
    if (body) yield endedBody(content, part, { start: part.bodyStart, end: part.bodyEnd, octets: body });
    yield* editFields(content, part, fields, header);
  }
  const [text, html] = [findText(content, "text/plain"), findText(content, "text/html")];
  const texts = [
    { change: gathered.text, target: text, edit: editPlainText },
    { change: gathered.html, target: html, edit: editHtml },
  ] as const;
  for (const { change, target, edit } of texts) {
    if (change === null || target.state !== "writable") continue;
    parts.push(changeOf(change.set === null ? "append" : "set", target.part!));
    const edited = edit(content, target.part!, change, lineEnd);
    yield endedBody(content, target.part!, edited.edit);
    yield* editFields(content, target.part!, edited.fields, header);
  }
  const newText = text.state === "none" ? newTextOf(gathered.text, "text/plain", lineEnd) : undefined;
  const newHtml = html.state === "none" ? newTextOf(gathered.html, "text/html", lineEnd) : undefined;
  if (newText) parts.push({ op: "add", part: "", contentType: "text/plain" });
  if (newHtml) parts.push({ op: "add", part: "", contentType: "text/html" });
  if (newText && html.part) surroundings.addAlternative(html.part, newText, "before");
  else if (newHtml && text.part) surroundings.addAlternative(text.part, newHtml, "behind");
  else if (newText && newHtml)
    surroundings.addFirst(multipart("alternative", surroundings.nextBoundary(), [newText, newHtml], lineEnd));
  else if (newText || newHtml) surroundings.addFirst((newText ?? newHtml)!);
  addAttachments(gathered, surroundings, parts, lineEnd);
  yield* removeParts(content, gathered.removed, header, (part) => surroundings.addsTo(part));
}

/** The message as it came, whole, behind what is new. */
function wrapWhole(
  content: MailContent,
  gathered: Gathered,
  surroundings: Surroundings,
  parts: PartChange[],
): OctetEdit[] {
  const lineEnd = lineEndOf(content);
  parts.push({ op: "wrap", part: "", contentType: "message/rfc822" });
  const text = newTextOf(gathered.text, "text/plain", lineEnd);
  surroundings.wrapMessage(text);
  addAttachments(gathered, surroundings, parts, lineEnd);
  return [];
}

function addAttachments(
  { attached }: Gathered,
  surroundings: Surroundings,
  parts: PartChange[],
  lineEnd: string,
): void {
  for (const attachment of attached) {
    surroundings.addLast(attachmentPart(attachment, lineEnd));
    const contentType = plainLine(attachment.contentType ?? "", 200);
    parts.push({ op: "add", part: "", contentType, fileName: plainLine(attachment.fileName, 200) });
  }
}

function newTextOf(change: TextChange | null, type: "text/plain" | "text/html", lineEnd: string): Buffer | undefined {
  if (change === null) return undefined;
  if (type === "text/html")
    return textPart(type, insertIntoBody(change.set ?? "", change.appended.join("\n")), lineEnd);
  const pieces = change.set === null || change.set === "" ? change.appended : [change.set, ...change.appended];
  return textPart(type, pieces.join("\n\n"), lineEnd);
}

/** A body that was empty, with the line ends around it that it lacked. */
function endedBody(content: MailContent, part: MimePart, edit: OctetEdit): OctetEdit {
  const before = Buffer.from(missingEmptyLine(content, part));
  const after = Buffer.from(missingLineEnd(content, part));
  if (before.length + after.length === 0) return { ...edit, rank: 1 };
  return { ...edit, octets: Buffer.concat([before, edit.octets, after]), rank: 1 };
}

function changeOf(op: PartChange["op"], part: MimePart, newName?: string): PartChange {
  const fileName = newName ?? fileNameOf(part);
  return {
    op,
    part: part.id,
    contentType: plainLine(part.contentType, 200),
    ...(fileName === undefined ? {} : { fileName: plainLine(fileName, 200) }),
  };
}
