/**
 * Runs inside the isolate: what a run asks of the server, a promise each. Questions are gathered until the script has nothing left to do but wait; then the child takes
 * them (`takeQuestions`), and every answer comes in by itself (`settleCall`). Questions are JSON that is put together here; answers are data.
 */
import { codeAt, define, indexOf, jsonParse, slice, TypeErrorOf } from "./primordials.ts";
import { alive, askChild, currentRun, fail, type RunState } from "./run-state.ts";

/** What a script may hand over to give up waiting: an AbortSignal, or what behaves like one. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void): void;
}

/** What the server answered. `text` and `bytes` are its body; they are there while the run is. */
export interface ServerAnswer {
  readonly value: unknown;
  text(): string;
  bytes(): Uint8Array;
}

export interface Question {
  /** JSON of a HostQuestion (host-call.ts). */
  readonly json: string;
  /** Name of the error where the answer is none: `HttpError`. */
  readonly errorName: string;
  readonly body?: string | Uint8Array | null;
  readonly signal?: AbortSignalLike | null;
}

interface Call {
  readonly state: RunState;
  readonly errorName: string;
  readonly settle: (answer: ServerAnswer) => void;
  readonly reject: (error: unknown) => void;
  /** Knows where in the script the call was made. */
  readonly made: Error;
  readonly isTimer: boolean;
}

const PromiseOf = Promise;
const ErrorOf = Error;
const BytesOf = Uint8Array;
const toBase64 = (Uint8Array.prototype as unknown as { toBase64(): string }).toBase64;
const subarray = Uint8Array.prototype.subarray;
const { apply } = Reflect;
const { create } = Object;
const frameStart = "\n    at ";
/** Octets of a body that go out at once. */
const pieceOctets = 4_194_304;
/** Timers of one run. */
const timersMax = 1_000;

let owner: RunState | null = null;
/** By number of the call. */
let open: Record<number, Call> = create(null);
let openCount = 0;
let lastCall = 0;
let calls = 0;
let timers = 0;
/** JSON of questions that are not taken yet: `[call, question, content]` each. */
let outbox = "";
/** What is thrown where a run asks too often. */
let refusal: unknown = null;

/**
 * Asks the server. Rejects with an error that has a `code`, with the signal's reason where it fires; a fault of the run where it is asked too often.
 * @throws {TypeError} where there is no run, or it is over
 */
export function askServer(state: RunState, question: Question): Promise<ServerAnswer> {
  begin(state);
  const { signal } = question;
  if (++calls > state.step.callsMax) refuse(state);
  const content = question.body === undefined || question.body === null ? -1 : put(state, question.body);
  const made = new ErrorOf("");
  return new PromiseOf<ServerAnswer>((settle, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const call = keep({ state, errorName: question.errorName, settle, reject, made, isTimer: false });
    send(call, question.json, content);
    signal?.addEventListener("abort", () => {
      if (cancel(call)) reject(signal.reason);
    });
  });
}

/** Calls back after a time, in milliseconds; gives what `cancelTimer` takes. */
export function askTimer(state: RunState, ms: number, callBack: () => void): number {
  begin(state);
  if (++timers > timersMax) fail(state, "script.action-limit", `More than ${timersMax} timers in one run`);
  const made = new ErrorOf("");
  const call = keep({ state, errorName: "Error", settle: callBack, reject: callBack, made, isTimer: true });
  send(call, `{"kind":"sleep","ms":${ms}}`, -1);
  return call;
}

export function cancelTimer(call: number): void {
  if (open[call]?.isTimer === true) cancel(call);
}

/** The run in hand, for what is no part of a context: `fetch`, `setTimeout`. @throws {TypeError} where there is none */
export function runInHand(what: string): RunState {
  const state = currentRun();
  if (state === null)
    throw new TypeErrorOf(`${what} is there within a handler only: no run has begun while the script is loaded`);
  return state;
}

/** JSON of what is asked since the last time, or null where the script waits for nothing of ours. */
export function takeQuestions(): string | null {
  if (owner === null || owner.over || openCount === 0) return null;
  const text = `[${outbox}]`;
  outbox = "";
  return text;
}

/** An answer has come. Runs a timer's function, which may throw. */
export function settleCall(number: number, answerJson: string): void {
  const call = open[number];
  if (call === undefined || call.state !== owner || call.state.over) return;
  forget(number);
  const answer = jsonParse(answerJson) as {
    readonly ok: boolean;
    readonly value?: unknown;
    readonly code?: string;
    readonly message?: string;
    readonly fatal?: string;
  };
  if (answer.ok) {
    call.settle(answerOf(call.state, number, answer.value));
    return;
  }
  const message = answer.message ?? "";
  if (answer.fatal !== undefined) {
    call.state.fault ??= { code: answer.fatal, message, stack: slice(framesOf(call.made), 0, 8_192) };
    return;
  }
  call.reject(callError(call, answer.code ?? "", message));
}

function answerOf(state: RunState, number: number, value: unknown): ServerAnswer {
  return {
    value,
    text() {
      alive(state);
      const text = askChild("call-text", `${number}`);
      if (text === false) tooMuch(state);
      return typeof text === "string" ? text : "";
    },
    bytes() {
      alive(state);
      const octets = askChild("call-bytes", `${number}`);
      if (octets === false) tooMuch(state);
      return new BytesOf(octets as ArrayBuffer);
    },
  };
}

/** The run is over with the first that is too many; those behind it are refused quickly. */
function refuse(state: RunState): never {
  if (refusal !== null) throw refusal;
  try {
    fail(state, "grant.limit", `More than ${state.step.callsMax} calls in one run (scripts.limits.calls_max)`);
  } catch (thrown) {
    refusal = thrown;
    throw thrown;
  }
}

function begin(state: RunState): void {
  alive(state);
  if (owner === state) return;
  owner = state;
  open = create(null);
  openCount = lastCall = calls = timers = 0;
  outbox = "";
  refusal = null;
}

function keep(call: Call): number {
  open[++lastCall] = call;
  openCount++;
  return lastCall;
}

function send(number: number, json: string, content: number): void {
  outbox += `${outbox === "" ? "" : ","}[${number},${json},${content}]`;
}

function forget(number: number): void {
  delete open[number];
  openCount--;
}

/** Gives whether somebody waited for it still. */
function cancel(number: number): boolean {
  const call = open[number];
  if (call === undefined || call.state !== owner) return false;
  forget(number);
  send(++lastCall, `{"kind":"cancel","call":${number}}`, -1);
  return true;
}

/** Hands octets to the child piece by piece; gives their number there. */
function put(state: RunState, body: string | Uint8Array): number {
  let content: unknown = "0";
  const { length } = body;
  let at = 0;
  do {
    const first = at === 0 ? "n" : "+";
    if (typeof body === "string") {
      // A surrogate pair is not taken apart.
      let end = at + pieceOctets;
      const code = end < length ? codeAt(body, end - 1) : 0;
      if (code >= 0xd800 && code < 0xdc00) end++;
      content = askChild("put", `${first}t${slice(body, at, end)}`);
      at = end;
    } else {
      const piece: Uint8Array = apply(subarray, body, [at, at + pieceOctets]);
      content = askChild("put", `${first}b${apply(toBase64, piece, [])}`);
      at += pieceOctets;
    }
    if (content === false)
      fail(
        state,
        "script.action-limit",
        "The script wrote more octets than it may in one run (scripts.limits.content_max)",
      );
  } while (at < length);
  return +(content as string);
}

function tooMuch(state: RunState): never {
  return fail(state, "script.action-limit", "The script read more octets of answers than it may in one run");
}

function callError(call: Call, code: string, message: string): Error {
  const error = new ErrorOf(message);
  define(error, "name", call.errorName, false);
  define(error, "code", code);
  define(error, "stack", `${call.errorName}: ${message}${framesOf(call.made)}`, false);
  return error;
}

/** The stack of a call without our own frames. */
function framesOf(made: Error): string {
  const stack: unknown = made.stack;
  if (typeof stack !== "string") return "";
  let frames = "";
  for (let at = indexOf(stack, frameStart); at >= 0; ) {
    const next = indexOf(stack, frameStart, at + 1);
    const line = slice(stack, at, next < 0 ? stack.length : next);
    if (indexOf(line, "guest:///") < 0) frames += line;
    at = next;
  }
  return frames;
}
