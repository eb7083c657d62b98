/**
 * One script in one isolate: made, loaded, entered for a run, thrown away. Every entry into a script's code is here, each with a time limit,
 * and always through the guest (guest/main.ts), which gives texts: no value of a script is ever touched from outside. What can be left odd by
 * a fault is thrown away whole by whoever owns it (`broken`).
 */
import ivm from "isolated-vm";
import { checkExports, type ExportedName } from "./exports.ts";
import { type Guest, installGuest } from "./guest-modules.ts";
import { plainLine } from "./plain-line.ts";
import {
  type CompiledScript,
  type ScriptExports,
  type ScriptFault,
  ScriptFaultError,
  type ScriptLimits,
} from "./protocol.ts";
import { compiledFileName, SourcePlaces } from "./source-place.ts";

/** Answers what the guest asks in a run: a text, octets, null where octets are missing, false where it was asked too often. */
export type HostAnswers = (ask: string, argument: string) => string | Buffer | null | false;

export interface RunInput {
  readonly mailJson: string;
  readonly stepJson: string;
  readonly cpuMs: number;
  readonly clockMs: number;
  readonly answers: HostAnswers;
}

/** The answer to a call of the run that waits in this isolate. */
export interface ResumeInput {
  readonly call: number;
  readonly answerJson: string;
  /** What the time is from now on, in milliseconds since the Unix epoch. */
  readonly clock: number;
  readonly cpuMs: number;
  readonly clockMs: number;
  readonly answers: HostAnswers;
}

/** What came of entering a script once. */
export type Attempt =
  | { readonly kind: "answer"; readonly flags: string; readonly json: string }
  /** It waits for answers of the server; `questionsJson` is what it asks now: `[call, question, content]` each. */
  | { readonly kind: "calls"; readonly questionsJson: string }
  | { readonly kind: "fault"; readonly fault: ScriptFault; readonly logJson: string; readonly broken: boolean };

/** Time a script's top level gets, in milliseconds. */
export const loadMsMax = 1_000;
/** Time to fetch the log of a run that was stopped, in milliseconds. */
const abandonMsMax = 50;
const heapMiBMin = 8;

export class ScriptIsolate {
  readonly #isolate: ivm.Isolate;
  readonly #guest: Guest;
  readonly #places: SourcePlaces;
  #answers: HostAnswers | null = null;
  exports: ScriptExports | null = null;

  /** @throws {ScriptFaultError} `script.load`, `script.cpu-limit`, `script.heap-limit`, `script.exports` */
  static load(script: CompiledScript, limits: ScriptLimits, onCatastrophe: (message: string) => void): ScriptIsolate {
    const isolate = new ScriptIsolate(script, limits, onCatastrophe);
    try {
      isolate.#load(script);
      return isolate;
    } catch (thrown) {
      isolate.dispose();
      throw thrown;
    }
  }

  private constructor(script: CompiledScript, limits: ScriptLimits, onCatastrophe: (message: string) => void) {
    this.#places = new SourcePlaces(script.sourceMap);
    this.#isolate = new ivm.Isolate({
      memoryLimit: Math.max(heapMiBMin, limits.heapMiB),
      onCatastrophicError: onCatastrophe,
    });
    this.#context = this.#isolate.createContextSync();
    this.#guest = installGuest(this.#isolate, this.#context, script.code);
    const host = new ivm.Callback((ask: unknown, argument: unknown) => this.#answer(ask, argument), { sync: true });
    this.#guest.prepare.applySync(undefined, [host as never, /\bTemporal\b/.test(script.code)]);
  }

  readonly #context: ivm.Context;

  /** CPU time this isolate has used so far, in milliseconds. */
  get cpuMs(): number {
    return this.#isolate.isDisposed ? 0 : Number(this.#isolate.cpuTime) / 1e6;
  }

  get heapKiB(): number {
    if (this.#isolate.isDisposed) return 0;
    const { used_heap_size, externally_allocated_size } = this.#isolate.getHeapStatisticsSync();
    return Math.round((used_heap_size + externally_allocated_size) / 1024);
  }

  /**
   * One run, or one attempt at it where the guest misses octets. `answers` is revoked when this returns. It is stopped after `clockMs` on the
   * clock, which is what V8 can be told; `cpuMs` is what the fault then says.
   */
  run(input: RunInput): Attempt {
    return this.#enter(input, (timeout) =>
      this.#guest.start.applySync(undefined, [input.mailJson, input.stepJson], { timeout }),
    );
  }

  /** Carries on with the run that waits in here. */
  resume(input: ResumeInput): Attempt {
    return this.#enter(input, (timeout) => {
      this.#guest.resume.applySync(undefined, [input.call, input.answerJson, input.clock], { timeout });
      return "";
    });
  }

  #enter(
    { cpuMs, clockMs, answers }: Pick<RunInput, "cpuMs" | "clockMs" | "answers">,
    call: (timeoutMs: number) => string,
  ): Attempt {
    this.#answers = answers;
    const before = performance.now();
    try {
      let text = call(Math.max(1, Math.ceil(clockMs)));
      if (text === "")
        text = this.#guest.poll.applySync(undefined, [], {
          timeout: Math.max(1, Math.ceil(clockMs - (performance.now() - before))),
        });
      if (text === "") return this.#neverSettled();
      const bar = text.indexOf("|");
      const flags = text.slice(0, bar);
      const json = text.slice(bar + 1);
      return flags === "w" ? { kind: "calls", questionsJson: json } : { kind: "answer", flags, json };
    } catch (thrown) {
      const failure = this.#failed(thrown, cpuMs, "The script");
      return (failure.broken ? null : this.#missBehind()) ?? failure;
    } finally {
      this.#answers = null;
    }
  }

  /** A promise that was rejected for missing octets, and that the script forgot to await, is no fault yet: with the octets there it is none. */
  #missBehind(): Attempt | null {
    try {
      const text = this.#guest.poll.applySync(undefined, [], { timeout: abandonMsMax });
      return /^[mt]\|/.test(text) ? { kind: "answer", flags: text.slice(0, 1), json: text.slice(2) } : null;
    } catch {
      return null;
    }
  }

  /** A fault as the guest told it, with its place. */
  placeFault(code: ScriptFault["code"], message: string, stack: string): ScriptFault {
    const isHeap =
      code === "script.threw" &&
      /^RangeError: (?:Array buffer allocation failed|Invalid (?:string|array) length)$/.test(message);
    return {
      code: isHeap ? "script.heap-limit" : code,
      message: plainLine(message) || "no message",
      ...this.#places.ofStack(stack),
    };
  }

  dispose(): void {
    if (!this.#isolate.isDisposed) this.#isolate.dispose();
  }

  #load(script: CompiledScript): void {
    let told: string;
    try {
      const wrapped = `(function () {\n${script.code}\nreturn onarrivalScript;\n})`;
      const main = this.#isolate.compileScriptSync(wrapped, { filename: compiledFileName });
      const body = main.runSync(this.#context, { reference: true, timeout: loadMsMax });
      main.release();
      told = this.#guest.load.applySync(undefined, [body.derefInto({ release: true }) as never], {
        timeout: loadMsMax,
      });
    } catch (thrown) {
      const attempt = this.#failed(thrown, loadMsMax, "The script's top level");
      throw new ScriptFaultError(
        attempt.fault.code === "script.threw" ? { ...attempt.fault, code: "script.load" } : attempt.fault,
      );
    }
    const answer = JSON.parse(told) as { names?: readonly ExportedName[]; fault?: { message: string; stack: string } };
    if (answer.fault)
      throw new ScriptFaultError(this.placeFault("script.load", answer.fault.message, answer.fault.stack));
    this.exports = checkExports(answer.names ?? []);
  }

  #neverSettled(): Attempt {
    const message =
      "The handler awaits something that nothing will settle: its promise is pending, and there is nothing left to do";
    return {
      kind: "fault",
      fault: { code: "script.never-settled", message, at: null, stack: "" },
      logJson: this.#abandon(),
      broken: false,
    };
  }

  /** What entering the isolate threw: its own doing, or a rejected promise that nobody handles. */
  #failed(thrown: unknown, cpuMs: number, subject: string): Attempt & { readonly kind: "fault" } {
    const message = thrown instanceof Error ? thrown.message : "no reason given";
    const stack = thrown instanceof Error && typeof thrown.stack === "string" ? thrown.stack : "";
    if (/^Script execution timed out/.test(message)) {
      const fault = this.placeFault("script.cpu-limit", `${subject} computed for more than ${cpuMs} ms`, stack);
      return { kind: "fault", fault, logJson: this.#abandon(), broken: true };
    }
    if (this.#isolate.isDisposed || /^Isolate (?:was|is) disposed/.test(message)) {
      const fault = this.placeFault("script.heap-limit", `${subject} used more than the heap it may use`, stack);
      return { kind: "fault", fault, logJson: "[]", broken: true };
    }
    const fault = this.placeFault("script.threw", `A promise was rejected that nobody awaited: ${message}`, stack);
    return { kind: "fault", fault, logJson: this.#abandon(), broken: false };
  }

  #abandon(): string {
    try {
      const text = this.#guest.abandon.applySync(undefined, [], { timeout: abandonMsMax });
      return typeof text === "string" && text !== "" ? text : "[]";
    } catch {
      return "[]";
    }
  }

  /** Called from inside the isolate. Never throws, as an exception would carry our own frames to the script. */
  #answer(ask: unknown, argument: unknown): unknown {
    try {
      if (this.#answers === null || typeof ask !== "string" || typeof argument !== "string") return null;
      const answer = this.#answers(ask, argument);
      if (!Buffer.isBuffer(answer)) return answer;
      const copy = new Uint8Array(answer).buffer;
      return new ivm.ExternalCopy(copy, { transferOut: true }).copyInto({ release: true, transferIn: true });
    } catch {
      return false;
    }
  }
}
