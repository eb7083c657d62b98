/**
 * One run inside the child: its steps, one after the other, each in its script's isolate. Where a script looks inside the message and the
 * octets are not here, the step is left, the octets are asked for, and the step is begun anew: nothing of the first attempt remains. Where it asks
 * the server, the run waits in its isolate, which is its own until then, and carries on with every answer.
 */
import { answerAddresses, answerWords } from "./field-answers.ts";
import type { HostAnswer, HostQuestion } from "./host-call.ts";
import type { Attempt, HostAnswers, ScriptIsolate } from "./isolate.ts";
import type { IsolateCache, TakenIsolate } from "./isolate-cache.ts";
import { MailContent } from "./mail-content.ts";
import { type MailInput, type RunStep, type ScriptFault, ScriptFaultError } from "./protocol.ts";
import { carryOver, finishStep } from "./step-effects.ts";
import { submissionId } from "./submission-id.ts";
import type { ToChild } from "./wire.ts";
import { WrittenContent } from "./written-content.ts";

export type RunFrame = ToChild & { readonly t: "run" };

/** What a run needs next: octets or texts of its message, answers to its calls, or an isolate in which no other run waits. */
export type Progress = "done" | Need;

type Need = "octets" | "texts" | "calls" | "turn";

/** A call of the server, with its octets. */
export interface AskedCall {
  readonly call: number;
  readonly question: HostQuestion;
  readonly body: Uint8Array;
}

/** An attempt at a step, from its first entry into the isolate to its end. */
interface Entry {
  readonly cpuBefore: number;
  /** Time it may take on the clock in all, and has taken. */
  readonly clockMs: number;
  spentMs: number;
  readonly answers: HostAnswers;
  /** Where it waited once. */
  taken: TakenIsolate | null;
}

/** Questions of one run; a script that asks more is up to no good. */
const questionsMax = 200_000;
/** Octets handed into an isolate in one run, beside what the message holds itself. */
const octetsMaxBeside = 4_194_304;
/** The isolate is stopped by the clock. Where it was stopped with less of its computing time used than this, the machine was busy with others. */
const shareOfTimeMin = 0.7;
const nothing = new Uint8Array();
/** Takes a BOM away, and puts a mark where octets are no UTF-8. */
const utf8 = new TextDecoder();

export class ChildRun {
  readonly #frame: RunFrame;
  readonly #isolates: IsolateCache;
  /** Told before a step behind the first is begun: the server cannot know when that is. */
  readonly #announce: (step: number) => void;
  #mailJson: string;
  #content: MailContent | undefined;
  /** What the script wrote in this attempt. */
  #written = new WrittenContent(0);
  #fieldsChanged = false;
  #attempts = 0;
  /** The attempt that waits for answers. */
  #entry: Entry | null = null;
  #answered: { readonly call: number; readonly answer: HostAnswer<number>; readonly clock: number } | null = null;
  /** Bodies of answers, by number of the call. */
  readonly #bodies = new Map<number, Buffer>();
  #gaveUp: ScriptFault | null = null;
  /** Octets that may go into the isolate still. */
  #room = 0;
  /** What it asks where it waits for answers; none where it only waits on. */
  asked: readonly AskedCall[] = [];
  /** Attempts at all its steps that were begun. */
  attempt = 0;
  #startedMs = 0;
  /** How many times its computing time the script gets on the clock. */
  #patience = 1;
  /** Results, as JSON of a StepFrame each. */
  readonly results: string[] = [];
  /** Octets of all splices, in order. */
  readonly tails: Uint8Array[] = [];
  step = 0;
  #announced = 0;

  constructor(frame: RunFrame, tail: Buffer, isolates: IsolateCache, announce: (step: number) => void) {
    this.#frame = frame;
    this.#isolates = isolates;
    this.#announce = announce;
    this.#mailJson = tail.toString("utf8", 0, frame.mailOctets);
    if (frame.hasOctets) this.giveOctets(tail.subarray(frame.mailOctets));
  }

  giveOctets(octets: Buffer): void {
    this.#content = new MailContent(octets);
    if (this.#frame.unreadable) this.#content.skipParsing();
  }

  /** Whether it waits for answers in this attempt. */
  waitsIn(attempt: number): boolean {
    return this.#entry !== null && this.attempt === attempt;
  }

  /** Whether it could have an isolate now. */
  get hasTurn(): boolean {
    return this.#isolates.isFree(this.#frame.steps[this.step]!.version);
  }

  /** Takes the answer to a call; `advance` carries on with it. */
  giveAnswer(call: number, answer: HostAnswer<number>, clock: number, body: Buffer): void {
    this.#answered = { call, answer, clock };
    if (!answer.ok || answer.body === undefined) return;
    this.#bodies.set(call, body);
    this.#room += 4 * body.length;
  }

  /** Its step is over without a beginning, as it did not get its turn. */
  giveUp(fault: ScriptFault): void {
    this.#gaveUp = fault;
  }

  /** Nobody wants its result any more. */
  drop(): void {
    this.#entry?.taken?.throwAway();
    this.#entry = null;
  }

  async parse(): Promise<void> {
    await this.#content?.parse();
  }

  /** Runs until everything is done or something is missing; never throws for what a script does. */
  advance(): Progress {
    const { steps } = this.#frame;
    while (this.step < steps.length) {
      if (this.step > this.#announced) {
        this.#announced = this.step;
        this.#announce(this.step);
      }
      const next = this.#runStep(steps[this.step]!);
      if (isNeed(next)) return next;
      if (next === "before") break;
      if (next === "again") continue;
      this.step++;
      this.#attempts = 0;
      this.#patience = 1;
      if (next === "end") break;
    }
    return "done";
  }

  #runStep(step: RunStep): Next {
    const known = this.#frame.faults[String(this.step)];
    if (known)
      return this.#fault(step, known, "[]", [0, known.code === "script.wall-limit" ? step.limits.wallMs : 0, 0]);
    if (this.#entry) return this.#carryOn(step, this.#entry);
    if (this.#gaveUp) {
      const fault = this.#gaveUp;
      this.#gaveUp = null;
      return this.#fault(step, fault, "[]", [0, 0, 0]);
    }
    let isolate: ScriptIsolate | "taken" | undefined;
    try {
      isolate = this.#isolates.get(step.version);
    } catch (thrown) {
      if (!(thrown instanceof ScriptFaultError)) throw thrown;
      return this.#fault(step, thrown.fault, "[]", [0, 0, 0]);
    }
    if (isolate === "taken") return "turn";
    const handles = isolate?.exports?.handlers.includes(this.#frame.event) === true;
    if (!isolate || !handles) {
      const message = isolate ? `The script does not handle ${this.#frame.event}` : "The script is not loaded";
      return this.#fault(step, { code: "script.died", message, at: null, stack: "" }, "[]", [0, 0, 0]);
    }
    return this.#enter(step, isolate);
  }

  #enter(step: RunStep, isolate: ScriptIsolate): Next {
    if (this.#attempts++ === 0) this.#startedMs = performance.now();
    this.attempt++;
    const { cpuMs, wallMs, contentOctetsMax } = step.limits;
    this.#written = new WrittenContent(contentOctetsMax);
    if (this.#bodies.size > 0) this.#bodies.clear();
    this.#room = octetsMaxBeside + 4 * (this.#content?.octets.length ?? 0);
    const entry: Entry = {
      cpuBefore: isolate.cpuMs,
      clockMs: Math.min(cpuMs * this.#patience, wallMs),
      spentMs: 0,
      answers: this.#answers(),
      taken: null,
    };
    const startedMs = performance.now();
    const attempt = isolate.run({
      mailJson: this.#mailJson,
      stepJson: stepJson(this.#frame, step),
      cpuMs,
      clockMs: entry.clockMs,
      answers: entry.answers,
    });
    entry.spentMs = performance.now() - startedMs;
    return this.#judge(step, isolate, entry, attempt);
  }

  /** Into the isolate with the answer that came. */
  #carryOn(step: RunStep, entry: Entry): Next {
    const { isolate } = entry.taken!;
    const { call, answer, clock } = this.#answered!;
    this.#answered = this.#entry = null;
    const startedMs = performance.now();
    const attempt = isolate.resume({
      call,
      answerJson: JSON.stringify(answer),
      clock,
      cpuMs: step.limits.cpuMs,
      clockMs: entry.clockMs - entry.spentMs,
      answers: entry.answers,
    });
    entry.spentMs += performance.now() - startedMs;
    return this.#judge(step, isolate, entry, attempt);
  }

  #judge(step: RunStep, isolate: ScriptIsolate, entry: Entry, attempt: Attempt): Next {
    const { cpuMs, wallMs } = step.limits;
    const usage: Usage = [isolate.cpuMs - entry.cpuBefore, performance.now() - this.#startedMs, isolate.heapKiB];
    if (attempt.kind === "calls") {
      entry.taken ??= this.#isolates.take(step.version);
      if (usage[0] > cpuMs) {
        entry.taken.throwAway();
        const message = `The script computed for more than ${cpuMs} ms`;
        return this.#fault(step, { code: "script.cpu-limit", message, at: null, stack: "" }, "[]", usage);
      }
      this.#entry = entry;
      this.asked = this.#readCalls(attempt.questionsJson);
      return "calls";
    }
    const isBroken = attempt.kind === "fault" && attempt.broken;
    if (isBroken && entry.taken) entry.taken.throwAway();
    else if (isBroken) this.#isolates.replace(step.version);
    else entry.taken?.giveBack();
    if (attempt.kind === "fault") {
      if (!attempt.broken) return this.#fault(step, attempt.fault, attempt.logJson, usage);
      const cutShort = attempt.fault.code === "script.cpu-limit" && usage[0] < cpuMs * shareOfTimeMin;
      if (!cutShort || cpuMs * this.#patience >= wallMs)
        return this.#fault(step, attempt.fault, attempt.logJson, usage);
      this.#patience *= 2;
      return "again";
    }
    const { flags, json } = attempt;
    if (flags === "m" || flags === "t") {
      if (this.#content === undefined) return this.#fieldsChanged ? "before" : "octets";
      // Octets that are here and still missed can only be the texts, which are found before the run is repeated; once is enough.
      if (flags === "t" && this.#content.texts === undefined) return "texts";
      return this.#fault(
        step,
        {
          code: "script.died",
          message: "The content of the message could not be given to the script",
          at: null,
          stack: "",
        },
        "[]",
        usage,
      );
    }
    if (flags.startsWith("x")) return this.#guestFault(step, isolate, json, usage, flags.includes("l"));
    return this.#finish(flags, json, usage);
  }

  #finish(flags: string, json: string, usage: Usage): "go" | "end" {
    const bodyEdited = flags.includes("b");
    const finished = finishStep(flags, json, {
      mailJson: this.#mailJson,
      content: this.#content,
      written: this.#written,
    });
    this.tails.push(...finished.tails);
    this.#push(finished.json, usage, null, flags.includes("l"));
    if (bodyEdited || flags.includes("v") || (flags.includes("c") && this.#frame.stopOnChange)) return "end";
    if (flags.includes("c") && this.step + 1 < this.#frame.steps.length) this.#carryOver(json, flags.includes("f"));
    return "go";
  }

  /** What this step changed is what the next one sees. */
  #carryOver(json: string, fieldsChanged: boolean): void {
    this.#mailJson = carryOver(json, this.#mailJson);
    if (!fieldsChanged) return;
    this.#fieldsChanged = true;
    // The octets say what the header was: whoever looks inside now would see a header that is gone.
    this.#content = undefined;
  }

  #guestFault(step: RunStep, isolate: ScriptIsolate, json: string, usage: Usage, looked: boolean): "go" | "end" {
    const { log, fault } = JSON.parse(`{${json}}`) as {
      log: unknown;
      fault: { code: ScriptFault["code"]; message: string; stack: string };
    };
    return this.#fault(
      step,
      isolate.placeFault(fault.code, fault.message, fault.stack),
      JSON.stringify(log),
      usage,
      looked,
    );
  }

  #fault(step: RunStep, fault: ScriptFault, logJson: string, usage: Usage, looked = false): "go" | "end" {
    this.#push(`"effects":{},"verdict":{"kind":"proceed","settled":false},"log":${logJson}`, usage, fault, looked);
    return step.proceedOnFault ? "go" : "end";
  }

  #push(json: string, [cpuMs, wallMs, heapKiB]: Usage, fault: ScriptFault | null, looked: boolean): void {
    const usage = `{"cpuMs":${round(cpuMs)},"wallMs":${round(wallMs)},"heapKiB":${heapKiB}}`;
    const defects = looked && this.#content ? JSON.stringify(this.#content.defects) : "[]";
    this.results.push(
      `{${json},"usage":${usage},"fault":${fault ? JSON.stringify(fault) : "null"},"defects":${defects},"looked":${looked}}`,
    );
  }

  #readCalls(questionsJson: string): readonly AskedCall[] {
    const calls = JSON.parse(questionsJson) as readonly (readonly [call: number, HostQuestion, content: number])[];
    return calls.map(([call, question, content]) => ({
      call,
      question,
      body: content < 0 ? nothing : this.#written.octets(content),
    }));
  }

  #answers(): HostAnswers {
    let questions = 0;
    return (ask, argument) => {
      if (++questions > questionsMax) return false;
      const answer = this.#answer(ask, argument);
      this.#room -= answer === null || answer === false ? 0 : answer.length;
      return this.#room < 0 ? false : answer;
    };
  }

  #answer(ask: string, argument: string): string | Buffer | null | false {
    if (ask === "decode") return answerWords(argument);
    if (ask === "addresses") return answerAddresses(argument);
    if (ask === "put") return this.#written.put(argument);
    if (ask === "call-text") return utf8.decode(this.#bodies.get(Number(argument)));
    if (ask === "call-bytes") return this.#bodies.get(Number(argument)) ?? Buffer.alloc(0);
    if (ask === "submission-id") {
      const mail = JSON.parse(this.#mailJson) as MailInput;
      return submissionId(this.#frame, this.#frame.steps[this.step]!, mail, Number(argument));
    }
    return this.#content?.answer(ask, argument) ?? null;
  }
}

/** `go` on with the next step; `end` behind this one; end `before` it; this one `again`; or what it needs. */
type Next = "go" | "end" | "before" | "again" | Need;

type Usage = [cpuMs: number, wallMs: number, heapKiB: number];

function isNeed(next: Next): next is Need {
  return next === "octets" || next === "texts" || next === "calls" || next === "turn";
}

function stepJson({ event, subject }: RunFrame, step: RunStep): string {
  const { actionsMax, logLinesMax, logLineOctetsMax, resultOctetsMax, contentOctetsMax, callsMax } = step.limits;
  return JSON.stringify({
    event,
    subject,
    matchedRecipients: step.matchedRecipients,
    properties: step.properties,
    clock: step.clock ?? Date.now(),
    seed: step.seed ?? "",
    actionsMax,
    logLinesMax,
    logLineOctetsMax,
    resultOctetsMax,
    contentOctetsMax,
    callsMax,
  });
}

function round(ms: number): number {
  return Math.max(0, Math.round(ms * 1000) / 1000);
}
