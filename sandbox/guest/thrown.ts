/** Runs inside the isolate: turns anything a script threw into a few bounded texts, so that nothing outside ever touches the thing itself. */
import { adviceFor } from "./globals.ts";
import { jsonOf, slice, toText } from "./primordials.ts";

export interface Thrown {
  readonly message: string;
  readonly stack: string;
}

const messageLengthMax = 2_000;
const stackLengthMax = 8_192;

/** Getters and proxies of the thrown thing run in here, within the script's own time. */
export function describeThrown(thrown: unknown): Thrown {
  if (thrown === null || (typeof thrown !== "object" && typeof thrown !== "function"))
    return { message: describePrimitive(thrown), stack: "" };
  const name = textOf(thrown, "name");
  const message = textOf(thrown, "message");
  const stack = slice(textOf(thrown, "stack"), 0, stackLengthMax);
  const words =
    message === "" ? describeObject(thrown) : message + (name === "ReferenceError" ? adviceFor(message) : "");
  return {
    message: slice(name === "" || name === "Error" ? words : `${slice(name, 0, 100)}: ${words}`, 0, messageLengthMax),
    stack,
  };
}

function textOf(thing: object, key: "name" | "message" | "stack"): string {
  try {
    const value: unknown = (thing as Record<string, unknown>)[key];
    return typeof value === "string" ? slice(value, 0, stackLengthMax) : "";
  } catch {
    return "";
  }
}

function describePrimitive(thrown: unknown): string {
  return typeof thrown === "string" ? slice(thrown, 0, messageLengthMax) : `${toText(thrown)} was thrown`;
}

function describeObject(thrown: object): string {
  try {
    return `${slice(jsonOf(thrown), 0, 200)} was thrown, which is no Error`;
  } catch {
    return "Something was thrown that is no Error";
  }
}
