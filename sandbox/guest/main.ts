/**
 * Runs inside the isolate: what the child process calls. Every call of a script's code is in here, inside a `try` and inside the child's time
 * limit; what comes out is text, made by us. Nothing in here is reachable from a script.
 */

import type { ArrivedMail } from "../api.ts";
import type { MailInput } from "../protocol.ts";
import { settleCall, takeQuestions } from "./calls.ts";
import { prepareClock, setClock, setSeed } from "./clock.ts";
import { createContext } from "./context.ts";
import { createSubject, noMail } from "./events.ts";
import { prepareGlobals } from "./globals.ts";
import { getOwnPropertyNames, isArray, jsonOf, jsonParse, quote, slice, toText } from "./primordials.ts";
import { formatFault, formatLog, formatResult } from "./result.ts";
import { beginRun, currentRun, endRun, type Host, type RunState, type StepInput, setHost } from "./run-state.ts";
import { describeThrown } from "./thrown.ts";
import { prepareTimers } from "./timers.ts";
import { runWorker } from "./worker.ts";

type Handler = (mail: unknown, context: unknown) => unknown;

const exportsMax = 200;
/** Characters of `grants` as JSON; as in export-grants.ts. */
const grantsLengthMax = 16_384;
const handlers: Record<string, Handler> = Object.create(null);
/** A default export with `email`, and `env` beside it; unchecked. */
let worker: unknown;
let env: unknown;
let outcome = "";

export function prepare(host: Host, withTemporal: boolean): void {
  setHost(host);
  prepareGlobals();
  prepareClock(withTemporal);
  prepareTimers();
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
      if (name === "default") worker = value;
      if (name === "env") env = value;
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
  const state = beginRun((jsonParse(mailJson) ?? noMail) as MailInput, jsonParse(stepJson) as StepInput);
  setClock(state.step.clock);
  setSeed(state.step.seed);
  // Called without an object to be `this`, so that a stack names the handler alone.
  const handler = handlers[state.step.event];
  try {
    const subject = createSubject(state);
    const context = createContext(state);
    const returned = handler
      ? handler(subject, context)
      : runWorker({ worker, env, state, mail: subject as ArrivedMail, context });
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

/** The answer of the run, or `w|` and what it waits for, or "" where its promise is still pending: as nothing is left that could settle it, it never will. */
export function poll(): string {
  if (outcome !== "") return outcome;
  const questions = takeQuestions();
  return questions === null ? "" : `w|${questions}`;
}

/** Carries on with a run that waits: the answer to one of its calls. `poll` then has what came of it. */
export function resume(call: number, answerJson: string, clock: number): void {
  const state = currentRun();
  if (state === null || outcome !== "") return;
  setClock(clock);
  try {
    settleCall(call, answerJson);
    // Whatever the script would make of it.
    if (state.fault) outcome = finish(state);
  } catch (thrown) {
    outcome = finishThrown(state, thrown);
  }
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
    // Where the run was over before, this is another one's time.
    if (!state.over) outcome = finish(state);
  } catch (thrown) {
    if (!state.over) outcome = finishThrown(state, thrown);
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
  // One character more than there may be says that it is too long.
  if (name === "grants") return quote(slice(jsonOf(value), 0, grantsLengthMax + 1));
  if (name !== "default" || typeof value !== "object" || value === null) return '""';
  return quote(typeof (value as Record<string, unknown>)["email"] === "function" ? "email" : "");
}
