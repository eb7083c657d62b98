/** Messages that scripts make: who made them and how deep, kept among their notes, so that nothing makes messages of messages without end. Pure. */
import type { Message } from "./message.ts";

/** Name of the note. */
export const madeByNote = "onarrival.made-by";

/** Messages made of messages made of messages: more is a loop. */
export const generationMax = 5;

export interface MadeBy {
  /** Scripts that had a part in it, as bindings name them: none of them is asked about it. */
  readonly scripts: readonly string[];
  /** 1: made of a message that came in. */
  readonly generation: number;
  /** Id of the message it was made of. */
  readonly of: string;
}

/** null of a message that came in. */
export function madeBy({ notes }: Pick<Message, "notes">): MadeBy | null {
  const { scripts, generation, of } = (notes[madeByNote] ?? {}) as Partial<MadeBy>;
  if (!Array.isArray(scripts) || typeof generation !== "number" || typeof of !== "string") return null;
  return { scripts: scripts.filter((script) => typeof script === "string"), generation, of };
}

/** Whether the script made the message, or one that this one was made of. */
export function isMadeBy(message: Pick<Message, "notes">, script: string): boolean {
  return message.notes[madeByNote] !== undefined && madeBy(message)?.scripts.includes(script) === true;
}

/** Notes that are the server's own: no script writes them. */
export function isServerNote(name: string): boolean {
  return name === "parent" || name === "released" || name.startsWith("onarrival.");
}
