/** Runs inside the isolate: one of `mail.attachments`. */
import type { Attachment, Content } from "../api.ts";
import type { AttachmentFacts } from "../structure-facts.ts";
import { contentGiven, contentTypeGiven, fileNameGiven, noteEdit, putContent, shown } from "./content.ts";
import { describe } from "./headers.ts";
import { append, Bytes, freeze, preventExtensions, quote } from "./primordials.ts";
import { alive, fail, invalid, look, type RunState } from "./run-state.ts";
import { streamOf } from "./streams.ts";

export class AttachmentView implements Attachment {
  readonly #state: RunState;
  readonly #facts: AttachmentFacts;
  #fileName: string | undefined;
  #contentType: string;

  constructor(state: RunState, facts: AttachmentFacts) {
    this.#state = state;
    this.#facts = facts;
    this.#fileName = facts.fileName;
    this.#contentType = facts.contentType;
    preventExtensions(this);
  }

  get part(): string {
    return this.#facts.part;
  }

  get fileName(): string | undefined {
    return this.#fileName;
  }

  get contentType(): string {
    return this.#contentType;
  }

  get size(): number {
    return this.#facts.size;
  }

  get contentId(): string | undefined {
    return this.#facts.contentId;
  }

  get inline(): boolean {
    return this.#facts.inline;
  }

  async content(): Promise<Uint8Array> {
    return this.#octets();
  }

  async text(): Promise<string> {
    return look(this.#state, "content-text", this.#facts.part) as string;
  }

  stream(): ReadableStream<Uint8Array> {
    alive(this.#state);
    return streamOf(() => this.#octets());
  }

  remove(): void {
    const state = this.#present("remove");
    if (isRemoved(state, this.#facts.part)) return;
    noteEdit(state, `{"op":"remove","part":${quote(this.#facts.part)}}`);
    append(state.removed, this.#facts.part);
  }

  replace(content: Content, options?: { readonly fileName?: string; readonly contentType?: string }): void {
    const state = this.#present("replace");
    if (options !== undefined && (typeof options !== "object" || options === null))
      invalid(state, `The options of replace are an object, not ${describe(options)}`);
    const { fileName, contentType } = (options ?? {}) as { fileName?: unknown; contentType?: unknown };
    const name = fileName === undefined ? null : fileNameGiven(state, fileName);
    const type = contentTypeGiven(state, contentType);
    const given = contentGiven(state, "The content of an attachment", content);
    const number = putContent(state, given);
    noteEdit(
      state,
      `{"op":"replace","part":${quote(this.#facts.part)},"content":${number},"isText":${typeof given === "string"},"fileName":${name === null ? "null" : quote(name)},"contentType":${type === null ? "null" : quote(type)}}`,
    );
    this.#fileName = name ?? this.#fileName;
    this.#contentType = type ?? this.#contentType;
  }

  rename(fileName: string): void {
    const state = this.#present("rename");
    const name = fileNameGiven(state, fileName);
    noteEdit(state, `{"op":"rename","part":${quote(this.#facts.part)},"fileName":${quote(name)}}`);
    this.#fileName = name;
  }

  /** As they were when the run began. */
  #octets(): Uint8Array<ArrayBuffer> {
    return new Bytes(look(this.#state, "content", this.#facts.part) as ArrayBuffer);
  }

  /** The run, where the part is there still and may be edited. */
  #present(verb: "remove" | "replace" | "rename"): RunState {
    const state = alive(this.#state);
    const name = `attachment ${shown(this.#fileName ?? this.#facts.part)}`;
    if (verb !== "remove" && isRemoved(state, this.#facts.part))
      invalid(state, `Cannot ${verb} the ${name}: it was removed before`);
    const { sealed } = this.#facts;
    if (sealed === "inside" || (sealed === "whole" && verb !== "remove")) {
      fail(
        state,
        "script.protected",
        `Cannot ${verb} the ${name}: it is signed or encrypted, and any edit would break that. Ask mail.isProtected first, or refuse or quarantine the message`,
      );
    }
    return state;
  }
}

freeze(AttachmentView.prototype);

export function isRemoved(state: RunState, part: string): boolean {
  for (let i = 0; i < state.removed.length; i++) if (state.removed[i] === part) return true;
  return false;
}
