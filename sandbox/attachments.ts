/** Which parts of a message are attachments, and what they are called. Pure. */
import type { MimePart, MimeTree } from "./mime.ts";

/** A message whose parts can be read. */
export interface ReadableParts {
  readonly tree: MimeTree;
  /** Decoded octets of a part. */
  content(part: MimePart): Buffer;
}

const textTypes = new Set(["text/plain", "text/html", "message/delivery-status"]);

/** The name the sender gave the part. RFC 2183 §2.3; the `name` of older mail counts as well. */
export function fileNameOf(part: MimePart): string | undefined {
  return part.disposition.parameters.get("filename") || part.type.parameters.get("name") || undefined;
}

/** Whether a part is offered as an attachment: it has a name, or is said to be one, or is no text. */
export function isAttachment(part: MimePart): boolean {
  if (part.contentType.startsWith("multipart/")) return false;
  if (!textTypes.has(part.contentType) || fileNameOf(part) !== undefined) return true;
  return part.disposition.value !== "" && part.disposition.value !== "inline";
}
