/**
 * Runs inside the isolate: what the child process calls. Every call of a script's code is in here, inside a `try` and inside the child's time
 * limit; what comes out is text, made by us. Nothing in here is reachable from a script.
 */

import type { MailInput } from "../protocol.ts";
import { log, prepareGlobals } from "./globals.ts";
import { MailView } from "./mail.ts";
import { freeze, getOwnPropertyNames, isArray, jsonParse, quote, slice, toText } from "./primordials.ts";
import { formatFault, formatLog, formatResult } from "./result.ts";
import { beginRun, currentRun, endRun, type Host, type RunState, type StepInput, setHost } from "./run-state.ts";
import { describeThrown } from "./thrown.ts";

type Handler = (mail: unknown, context: unknown) => unknown;

const exportsMax = 200;
const context = freeze({ log });
const handlers: Record<string, Handler> = Object.create(null);
let outcome = "";

export function prepare(host: Host): void {
  setHost(host);
  prepareGlobals();
}

/** Runs the script's top level and tells what it exports: `{"names":[[name, type, value?]…]}` or `{"fault":{…}}`. */
export function load(script: () => Record<string, unknown>): string {
  try {
    // A file without anything in it compiles to nothing at all.
    const exported = script() ?? {};
    const names = getOwnPropertyNames(exported);
    let text = "";
    for (let i = 0; i < names.length && i < exportsMax; i++) {
      const name = names[i]!;
      const value = exported[name];
      if (typeof value === "function") handlers[name] = value as Handler;
      text += `${text === "" ? "" : ","}[${quote(slice(name, 0, 200))},${quote(isArray(value) ? "array" : value === null ? "null" : typeof value)},${plainValueOf(name, value)}]`;
    }
    return `{"names":[${text}]}`;
  } catch (thrown) {
    const { message, stack } = describeThrown(thrown);
    return `{"fault":{"message":${quote(message)},"stack":${quote(stack)}}}`;
  }
}

/** Begins a run. Gives its answer, or "" where the handler is asynchronous: `poll` then has it, when nothing is left to do. */
export function start(mailJson: string, stepJson: string): string {
  outcome = "";
  const state = beginRun(jsonParse(mailJson) as MailInput, jsonParse(stepJson) as StepInput);
  // Called without an object to be `this`, so that a stack names the handler alone.
  const handler = handlers[state.step.event]!;
  try {
    const returned = handler(new MailView(state), context);
    if ((typeof returned === "object" || typeof returned === "function") && returned !== null) {
      void finishLater(state, returned);
      return "";
    }
    outcome = finish(state);
  } catch (thrown) {
    outcome = finishThrown(state, thrown);
  }
  return outcome;
}

/** The answer of the run, or "" where its promise is still pending: as nothing is left that could settle it, it never will. */
export function poll(): string {
  return outcome;
}

/** Ends a run that gave no answer, and gives what it logged. */
export function abandon(): string {
  const state = currentRun();
  const text = formatLog(state);
  if (state) endRun(state);
  return text;
}

async function finishLater(state: RunState, returned: unknown): Promise<void> {
  // `await` asks neither Promise.prototype.then nor anything else a script can have changed, where `returned` is a promise of the language.
  try {
    await returned;
    outcome = finish(state);
  } catch (thrown) {
    outcome = finishThrown(state, thrown);
  }
}

function finish(state: RunState): string {
  const text = formatResult(state);
  endRun(state);
  return text;
}

function finishThrown(state: RunState, thrown: unknown): string {
  if (state.missed !== "" || state.fault) return finish(state);
  const { message, stack } = describeThrown(thrown);
  const text = formatFault(state, { code: "script.threw", message, stack });
  endRun(state);
  return text;
}

function plainValueOf(name: string, value: unknown): string {
  if (typeof value === "string") return quote(slice(value, 0, 8_192));
  if (typeof value === "number" || typeof value === "boolean") return quote(toText(value));
  if (name !== "default" || typeof value !== "object" || value === null) return '""';
  return quote(typeof (value as Record<string, unknown>)["email"] === "function" ? "email" : "");
}
