/** What a sink said by the functions of its subject before it failed is taken back, as its edits of the message are. */
import type { Message } from "../mail/message.ts";
import type { Binding } from "./binding.ts";

/** Names the function by which the dispatcher asks a subject to keep how things stand. */
export const remember: unique symbol = Symbol("remember");

/**
 * A subject that sinks say something by. What they say has to be in fields that are replaced, never in values that are changed: how things
 * stand is then a copy of the fields.
 */
export abstract class Revocable {
  /** Keeps how things stand before `binding` is asked; what is given back puts it so again. */
  [remember](_binding: Binding): () => void {
    const state = { ...this };
    return () => void Object.assign(this, state);
  }
}

/** What puts message and subject back to how they are now. */
export function undoOf(subject: object, message: Message | undefined, binding: Binding): () => void {
  const before = message?.snapshot();
  const takeBack = (subject as Partial<Revocable>)[remember]?.(binding);
  return () => {
    if (before) message!.restore(before);
    takeBack?.();
  };
}
