/** Checks of single values that come from the other side: each gives the value with its type, or throws. */
import { isPlainLine } from "./plain-line.ts";

/** The other side said what it must not say. */
export class ProtocolError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ProtocolError";
  }
}

export function plain(given: unknown, lengthMax: number, what: string): string {
  const words = text(given, lengthMax, what);
  if (!isPlainLine(words, lengthMax)) throw new ProtocolError(`A ${what} with control characters`);
  return words;
}

export function text(given: unknown, lengthMax: number, what: string): string {
  if (typeof given !== "string" || given.length > lengthMax)
    throw new ProtocolError(`A ${what} that is no text of at most ${lengthMax} characters`);
  return given;
}

export function number(given: unknown, what: string): number {
  if (typeof given !== "number" || !Number.isFinite(given) || given < 0)
    throw new ProtocolError(`A ${what} that is no number`);
  return given;
}

export function integer(given: unknown, what: string): number {
  if (!Number.isSafeInteger(given) || (given as number) < 0)
    throw new ProtocolError(`A ${what} that is no whole number`);
  return given as number;
}

export function list(given: unknown, lengthMax: number, what: string): readonly unknown[] {
  if (!Array.isArray(given) || given.length > lengthMax)
    throw new ProtocolError(`A list of ${what} that is none, or longer than ${lengthMax}`);
  return given;
}

export function record(given: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw new ProtocolError(`A ${what} that is no object`);
  return given as Record<string, unknown>;
}
