/** Parts taken out of a message, with the delimiters that led to them. Pure. */
import type { FieldEdits } from "./field-edits.ts";
import type { MailContent } from "./mail-content.ts";
import type { MimePart } from "./mime.ts";
import { behind, lineEndLength, lineEndOf, missingLineEnd, type OctetEdit } from "./octet-edit.ts";

/** @param grows whether a multipart gets new parts: then it need not keep one of its own */
export function* removeParts(
  content: MailContent,
  wanted: ReadonlySet<MimePart>,
  header: FieldEdits,
  grows: (part: MimePart) => boolean,
): Generator<OctetEdit> {
  if (wanted.size > 0) yield* removeBelow(content, content.tree.root, { wanted, header, grows });
}

interface Removal {
  readonly wanted: ReadonlySet<MimePart>;
  readonly header: FieldEdits;
  readonly grows: (part: MimePart) => boolean;
}

function* removeBelow(content: MailContent, part: MimePart, removal: Removal): Generator<OctetEdit> {
  const { wanted, header, grows } = removal;
  if (wanted.has(part)) {
    yield* emptyPart(content, part, header);
    return;
  }
  // A multipart has at least one part (RFC 2046 §5.1.1), and some readers refuse one that has none: the first stays as an empty text.
  const isMultipart = part.contentType.startsWith("multipart/");
  const kept = grows(part) || part.children.some((child) => !wanted.has(child));
  for (const [index, child] of part.children.entries()) {
    if (!wanted.has(child)) yield* removeBelow(content, child, removal);
    else if (isMultipart && (kept || index > 0)) yield cutOut(content, child);
    else yield* emptyPart(content, child, header);
  }
}

/** The part with the delimiter line in front of it: from that line to the next one. */
function cutOut(content: MailContent, part: MimePart): OctetEdit {
  return {
    start: part.delimiterStart + lineEndLength(content.octets, part.delimiterStart),
    end: behind(content, part),
    octets: new Uint8Array(),
  };
}

function* emptyPart(content: MailContent, part: MimePart, header: FieldEdits): Generator<OctetEdit> {
  const lineEnd = lineEndOf(content);
  if (part.parent === null) {
    header.set("Content-Type", "text/plain; charset=us-ascii");
    header.remove("Content-Transfer-Encoding");
    header.remove("Content-Disposition");
    header.remove("Content-ID");
    yield { start: part.bodyStart, end: part.bodyEnd, octets: Buffer.from(lineEnd) };
    return;
  }
  yield {
    start: part.start,
    end: part.bodyEnd,
    octets: Buffer.from(
      `Content-Type: text/plain; charset=us-ascii${lineEnd}${lineEnd}${missingLineEnd(content, part)}`,
    ),
  };
}
