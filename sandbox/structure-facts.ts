/** What the guest is told about the inside of a message (mail-content.ts finds it out). Types only. */

/** `writable` can be edited, `unreadable` is written in a way we cannot; `sealed` is signed or encrypted; `none`: there is no such text. */
export type TextState = "writable" | "unreadable" | "sealed" | "none";

/** A part that is offered as an attachment, and what a script may know of it. */
export interface AttachmentFacts {
  readonly part: string;
  readonly fileName?: string;
  readonly contentType: string;
  readonly size: number;
  readonly contentId?: string;
  readonly inline: boolean;
  /** `whole`: it is signed or encrypted, and can be taken out as a whole; `inside`: it is a part of what is. Absent: neither. */
  readonly sealed?: "whole" | "inside";
}

export interface StructureFacts {
  readonly attachments: readonly AttachmentFacts[];
  readonly defects: readonly string[];
  readonly text: TextState;
  readonly html: TextState;
  readonly isProtected: boolean;
}
