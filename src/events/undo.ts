/** What a sink did beside its verdict: said by the functions of its subject, or edited in the message. Taken back where it fails, told to those who watch. */
import type { Message, MessageState } from "../mail/message.ts";
import type { Binding } from "./binding.ts";

/** Names the function by which the dispatcher asks a subject to keep how things stand. */
export const remember: unique symbol = Symbol("remember");

const nothing: readonly string[] = Object.freeze([]);

/**
 * A subject that sinks say something by. What they say has to be in fields that are replaced, never in values that are changed: how things
 * stand is then a copy of the fields.
 */
export abstract class Revocable {
  /** What the sink that was asked last has said, in words: `hide CHUNKING`. Never a secret. */
  words: readonly string[] = nothing;

  /** Keeps how things stand before `binding` is asked; what is given back puts it so again. */
  [remember](_binding: Binding): () => void {
    const state = { ...this };
    this.words = nothing;
    return () => void Object.assign(this, state);
  }

  protected note(words: string): void {
    this.words = [...this.words, words];
  }
}

/** How a subject and its message stood before a sink was asked. */
export class Standing {
  readonly #subject: Partial<Revocable>;
  readonly #message: Message | undefined;
  readonly #before: MessageState | undefined;
  readonly #takeBack: (() => void) | undefined;

  constructor(subject: object, message: Message | undefined, binding: Binding) {
    this.#subject = subject;
    this.#message = message;
    this.#before = message?.snapshot();
    this.#takeBack = this.#subject[remember]?.(binding);
  }

  /** Puts both back to that. */
  undo(): void {
    if (this.#before) this.#message!.restore(this.#before);
    this.#takeBack?.();
  }

  /** What the sink did until now, in words; what others do later is not in it. */
  done(): () => readonly string[] {
    const said = this.#subject.words ?? nothing;
    const [before, after] = [this.#before, this.#message?.snapshot()];
    return () => (before ? [...said, ...editsBetween(before, after!)] : said);
  }

  /** What the sink did since, in words. */
  did(): readonly string[] {
    const said = this.#subject.words ?? nothing;
    return this.#before ? [...said, ...editsBetween(this.#before, this.#message!)] : said;
  }
}

/** Names of fields an edit is described with. */
const fieldsNamedMax = 5;

/** What is different about a message, in words: `edit header: Subject, X-Tag`. */
export function editsBetween(before: MessageState, after: MessageState): readonly string[] {
  const edits: string[] = [];
  if (before.envelope !== after.envelope) edits.push("edit envelope");
  if (before.header !== after.header) {
    // Fields that were left alone are the same objects.
    const [was, is] = [new Set(before.header.fields), new Set(after.header.fields)];
    const changed = [...before.header.fields, ...after.header.fields].filter((one) => !was.has(one) || !is.has(one));
    const names = [...new Set(changed.map(({ name }) => name))];
    const shown = names.slice(0, fieldsNamedMax).join(", ");
    edits.push(`edit header: ${shown}${names.length > fieldsNamedMax ? " …" : ""}`);
  }
  if (before.body !== after.body) edits.push("edit body");
  if (before.notes !== after.notes) edits.push("edit notes");
  return edits;
}
