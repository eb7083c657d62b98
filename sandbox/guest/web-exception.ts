/** Runs inside the isolate: DOMException, which the web's own functions throw. Its numbers are those of the Web IDL standard. */

import { toText } from "./primordials.ts";
import { defineGlobal, nameClass } from "./web-primordials.ts";

const codes: Readonly<Record<string, number>> = {
  __proto__: null as never,
  IndexSizeError: 1,
  NotFoundError: 8,
  NotSupportedError: 9,
  InvalidStateError: 11,
  SyntaxError: 12,
  InvalidCharacterError: 5,
  TypeMismatchError: 17,
  AbortError: 20,
  QuotaExceededError: 22,
  TimeoutError: 23,
  DataCloneError: 25,
};

export class DOMException extends Error {
  readonly #name: string;

  constructor(message: unknown = "", name: unknown = "Error") {
    super(toText(message));
    this.#name = toText(name);
  }

  override get name(): string {
    return this.#name;
  }

  get code(): number {
    return codes[this.#name] ?? 0;
  }
}

nameClass(DOMException, "DOMException");
defineGlobal("DOMException", DOMException);
