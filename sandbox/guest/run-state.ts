/** Runs inside the isolate: what one run has read and asked for so far. All of it is given back as one JSON text, or none. */
import type { Json } from "../api.ts";
import type { MailInput, SubjectInput } from "../protocol.ts";
import { clockNow } from "./clock.ts";
import { cutToOctets, preventExtensions, quote, RangeErrorOf, slice, TypeErrorOf } from "./primordials.ts";

/** Asks the child process. Gives null where the answer needs octets that are not there, false where the run has asked for too much. */
export type Host = (
  ask:
    | "decode"
    | "addresses"
    | "structure"
    | "text"
    | "html"
    | "raw"
    | "content"
    | "content-text"
    | "call-text"
    | "call-bytes"
    | "put"
    | "submission-id",
  argument: string,
) => unknown;

/** A field of the header as the run has it; `index` is its place in the message that came in, -1 for a new one. */
export interface FieldEntry {
  readonly name: string;
  readonly value: string;
  readonly index: number;
}

export interface StepInput {
  readonly event: string;
  /** Facts of the event beside the message. */
  readonly subject: SubjectInput;
  readonly matchedRecipients: readonly string[] | null;
  readonly actionsMax: number;
  readonly logLinesMax: number;
  readonly logLineOctetsMax: number;
  readonly resultOctetsMax: number;
  readonly contentOctetsMax: number;
  readonly callsMax: number;
  readonly properties: { readonly [name: string]: Json };
  /** What the time is, in milliseconds since the Unix epoch. */
  readonly clock: number;
  /** Of random numbers; 32 hexadecimal digits. */
  readonly seed: string;
}

export interface RunState {
  readonly mail: MailInput;
  readonly step: StepInput;
  /** Nothing can be asked for any more. */
  over: boolean;
  /** The first thing a script must not do; later ones do not matter, and a `catch` does not undo it. */
  fault: { readonly code: string; readonly message: string; readonly stack: string } | null;
  missed: "" | "octets" | "text";
  looked: boolean;
  actions: number;
  from: string | null | undefined;
  to: string[] | undefined;
  fields: FieldEntry[] | undefined;
  fieldsChanged: boolean;
  verdict: string;
  settled: boolean;
  /** Powers of the event that were called, as JSON of a PowerCall each. */
  powers: string;
  /** Parts that were taken out. */
  removed: string[];
  /** Edits of the body, as JSON of a GuestEdit each (step-effects.ts). */
  edits: string;
  /** The protected message becomes a part of a new one. */
  wrapped: boolean;
  /** Octets of texts and attachments that were written. */
  contentOctets: number;
  /** As the script was given it, once it asked; and how it was then. */
  notes: object | null;
  notesBefore: string;
  /** JSON of a WayResult each. */
  routes: string;
  folders: string;
  /** JSON of a RecipientRefusal each. */
  refusals: string;
  /** JSON of a GuestSubmission each (step-effects.ts). */
  submissions: string;
  submissionCount: number;
  log: string;
  logLines: number;
  resultOctets: number;
}

/** What is thrown to leave the script quickly; it says nothing, as the state says it all. */
const leave = preventExtensions({ __proto__: null });

let host: Host = () => null;
let current: RunState | null = null;

export function setHost(fresh: Host): void {
  host = fresh;
}

/** The run in hand, or null while the script is loaded and between runs. */
export function currentRun(): RunState | null {
  return current;
}

export function beginRun(mail: MailInput, step: StepInput): RunState {
  current = {
    mail,
    step,
    over: false,
    fault: null,
    missed: "",
    looked: false,
    actions: 0,
    from: undefined,
    to: undefined,
    fields: undefined,
    fieldsChanged: false,
    verdict: "",
    settled: false,
    powers: "",
    removed: [],
    edits: "",
    wrapped: false,
    contentOctets: 0,
    notes: null,
    notesBefore: "",
    routes: "",
    folders: "",
    refusals: "",
    submissions: "",
    submissionCount: 0,
    log: "",
    logLines: 0,
    resultOctets: 0,
  };
  return current;
}

export function endRun(state: RunState): void {
  state.over = true;
  if (current === state) current = null;
}

/** The state, for whoever still holds a `mail`; throws when its run is over. */
export function alive(state: RunState): RunState {
  if (state.over)
    throw new TypeErrorOf(
      "This mail's run is over: what a handler does after it is done has no effect. Await everything before you return",
    );
  return state;
}

/** Ends the run with a fault, whatever the script does about the exception. */
export function fail(
  state: RunState,
  code: "script.action-invalid" | "script.action-limit" | "grant.limit" | "script.protected",
  message: string,
): never {
  const error = code !== "script.action-invalid" ? new RangeErrorOf(message) : new TypeErrorOf(message);
  const stack: unknown = error.stack;
  state.fault ??= { code, message, stack: typeof stack === "string" ? slice(stack, 0, 8_192) : "" };
  throw error;
}

export function invalid(state: RunState, message: string): never {
  return fail(state, "script.action-invalid", message);
}

/** Counts an edit, and what it adds to the answer. */
export function countAction(state: RunState, characters = 0): void {
  alive(state);
  state.actions++;
  if (state.actions > state.step.actionsMax)
    fail(state, "script.action-limit", `More than ${state.step.actionsMax} edits in one run`);
  countResult(state, characters);
}

function countResult(state: RunState, characters: number): void {
  state.resultOctets += characters + 8;
  if (state.resultOctets > state.step.resultOctetsMax) {
    fail(state, "script.action-limit", `More than ${state.step.resultOctetsMax} octets of edits and log in one run`);
  }
}

/** Asks for something inside the message; leaves the run where it has to be repeated with the octets present. */
export function look(
  state: RunState,
  ask: "structure" | "text" | "html" | "raw" | "content" | "content-text",
  argument = "",
): unknown {
  alive(state);
  state.looked = true;
  const answer = host(ask, argument);
  if (answer === false)
    fail(state, "script.action-limit", "The script asked for the content of the message too often in one run");
  if (answer !== null && answer !== undefined) return answer;
  state.missed = state.missed === "text" || ask === "text" || ask === "html" ? "text" : "octets";
  throw leave;
}

/** Asks the child for what is neither in the message nor in a field: answers of calls, and room for what is written. */
export function askChild(ask: "call-text" | "call-bytes" | "put" | "submission-id", argument: string): unknown {
  return host(ask, argument);
}

/** Asks for something that needs no octets. */
export function askHost(ask: "decode" | "addresses", argument: string): string {
  const answer = host(ask, argument);
  if (answer === false && current !== null)
    fail(current, "script.action-limit", "The script asked for decoded fields too often in one run");
  return typeof answer === "string" ? answer : "";
}

/** One line of the log. Too many lines, or too long ones, are cut: a log is no reason to fail. */
export function writeLog(level: "debug" | "info" | "warn" | "error", text: string): void {
  const state = current;
  if (state === null || state.over) return;
  state.logLines++;
  const { logLinesMax, logLineOctetsMax, resultOctetsMax } = state.step;
  if (state.logLines > logLinesMax + 1) return;
  let line = text;
  let at = level;
  if (state.logLines === logLinesMax + 1) {
    line = `More than ${logLinesMax} log lines in one run: the others are not shown`;
    at = "warn";
  } else {
    line = cutToOctets(text, logLineOctetsMax);
    if (line.length < text.length) line += "…";
  }
  const entry = `{"level":"${at}","text":${quote(line)},"at":${clockNow()}}`;
  if (state.resultOctets + entry.length > resultOctetsMax) return;
  state.resultOctets += entry.length;
  state.log += state.log === "" ? entry : `,${entry}`;
}
