/** Runs inside the isolate: one of `mail.attachments`. */
import type { Attachment } from "../api.ts";
import { append, Bytes, freeze, preventExtensions } from "./primordials.ts";
import { alive, countAction, look, type RunState } from "./run-state.ts";

/** As the child found it (mail-content.ts). */
export interface AttachmentInput {
  readonly part: string;
  readonly fileName?: string;
  readonly contentType: string;
  readonly size: number;
  readonly contentId?: string;
  readonly inline: boolean;
}

export class AttachmentView implements Attachment {
  readonly #state: RunState;
  readonly #input: AttachmentInput;

  constructor(state: RunState, input: AttachmentInput) {
    this.#state = state;
    this.#input = input;
    preventExtensions(this);
  }

  get part(): string {
    return this.#input.part;
  }

  get fileName(): string | undefined {
    return this.#input.fileName;
  }

  get contentType(): string {
    return this.#input.contentType;
  }

  get size(): number {
    return this.#input.size;
  }

  get contentId(): string | undefined {
    return this.#input.contentId;
  }

  get inline(): boolean {
    return this.#input.inline;
  }

  async content(): Promise<Uint8Array> {
    return new Bytes(look(this.#state, "content", this.#input.part) as ArrayBuffer);
  }

  remove(): void {
    const state = alive(this.#state);
    if (isRemoved(state, this.#input.part)) return;
    countAction(state);
    append(state.removed, this.#input.part);
  }
}

freeze(AttachmentView.prototype);

export function isRemoved(state: RunState, part: string): boolean {
  for (let i = 0; i < state.removed.length; i++) if (state.removed[i] === part) return true;
  return false;
}
