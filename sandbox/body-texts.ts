/** Which parts of a message are its text and its HTML, and what can be done with them. Pure. */

import { isAttachment, type ReadableParts } from "./attachments.ts";
import { textDecoder } from "./content-field.ts";
import type { MimePart } from "./mime.ts";
import { hasPgpBlock, isSealed } from "./protection.ts";
import type { TextState } from "./structure-facts.ts";

export type TextType = "text/plain" | "text/html";

export interface BodyText {
  readonly state: TextState;
  /** The part; for `sealed` the one that seals it. */
  readonly part: MimePart | null;
}

/** The first text of that type that is no attachment, and in no message inside; one that can be edited before others. */
export function findText(content: ReadableParts, type: TextType): BodyText {
  let found: BodyText = { state: "none", part: null };
  const visit = (part: MimePart): boolean => {
    if (isSealed(part)) {
      if (found.state === "none") found = { state: "sealed", part };
      return false;
    }
    if (part.contentType === "message/rfc822") return false;
    if (part.children.length > 0) return part.children.some(visit);
    if (part.contentType !== type || isAttachment(part)) return false;
    const state = stateOf(content, part);
    if (state === "writable" || found.part === null) found = { state, part };
    return state === "writable";
  };
  visit(content.tree.root);
  return found;
}

/** Whether the content is signed or encrypted as a whole: the root is, or the text that would be read first. */
export function isProtected(content: ReadableParts): boolean {
  const { root } = content.tree;
  if (isSealed(root)) return true;
  const { state, part } = findText(content, "text/plain");
  return state === "sealed" && part !== null && !isSealed(part);
}

function stateOf(content: ReadableParts, part: MimePart): TextState {
  if (part.encoding === "unknown") return "unreadable";
  if (charsetOf(part) !== "" && textDecoder(charsetOf(part)) === undefined) return "unreadable";
  return part.contentType === "text/plain" && hasPgpBlock(content, part) ? "sealed" : "writable";
}

/** In lower case; "" where the part names none. */
export function charsetOf(part: MimePart): string {
  return (part.type.parameters.get("charset") ?? "").trim().toLowerCase();
}
