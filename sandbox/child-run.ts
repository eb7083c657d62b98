/**
 * One run inside the child: its steps, one after the other, each in its script's isolate. Where a script looks inside the message and the
 * octets are not here, the step is left, the octets are asked for, and the step is begun anew: nothing of the first attempt remains.
 */
import { type BodyEdits, canAppendText, editBody } from "./body-edit.ts";
import { answerAddresses, answerWords } from "./field-answers.ts";
import type { HostAnswers, ScriptIsolate } from "./isolate.ts";
import type { IsolateCache } from "./isolate-cache.ts";
import { MailContent } from "./mail-content.ts";
import {
  type Effects,
  type MailInput,
  type RunStep,
  type ScriptFault,
  ScriptFaultError,
  type ToChild,
} from "./protocol.ts";

export type RunFrame = ToChild & { readonly t: "run" };

/** What a run needs next. */
export type Progress = "done" | "octets" | "texts";

/** Questions of one run; a script that asks more is up to no good. */
const questionsMax = 200_000;
/** Octets handed into an isolate in one run, beside what the message holds itself. */
const octetsMaxBeside = 4_194_304;
/** The isolate is stopped by the clock. Where it was stopped with less of its computing time used than this, the machine was busy with others. */
const shareOfTimeMin = 0.7;

/** The parts of a guest's answer that are looked at here; the rest passes as text. */
interface GuestBody {
  readonly removed: readonly string[];
  readonly appended: string;
  readonly effects: Effects;
  readonly verdict: unknown;
  readonly log: unknown;
}

export class ChildRun {
  readonly #frame: RunFrame;
  readonly #isolates: IsolateCache;
  /** Told before a step behind the first is begun: the server cannot know when that is. */
  readonly #announce: (step: number) => void;
  #mailJson: string;
  #content: MailContent | undefined;
  #fieldsChanged = false;
  #attempts = 0;
  #startedMs = 0;
  /** How many times its computing time the script gets on the clock. */
  #patience = 1;
  /** Results, as JSON of a StepFrame each. */
  readonly results: string[] = [];
  /** Octets of all splices, in order. */
  readonly tails: Uint8Array[] = [];
  step = 0;

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

  async parse(): Promise<void> {
    await this.#content?.parse();
  }

  /** Runs until everything is done or something is missing; never throws for what a script does. */
  advance(): Progress {
    const { steps } = this.#frame;
    while (this.step < steps.length) {
      if (this.step > 0 && this.#attempts === 0) this.#announce(this.step);
      const next = this.#runStep(steps[this.step]!);
      if (next === "octets" || next === "texts") return next;
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
    let isolate: ScriptIsolate | undefined;
    try {
      isolate = this.#isolates.get(step.version);
    } catch (thrown) {
      if (!(thrown instanceof ScriptFaultError)) throw thrown;
      return this.#fault(step, thrown.fault, "[]", [0, 0, 0]);
    }
    const handles = isolate?.exports?.handlers.includes(this.#frame.event) === true;
    if (!isolate || !handles) {
      const message = isolate ? `The script does not handle ${this.#frame.event}` : "The script is not loaded";
      return this.#fault(step, { code: "script.died", message, at: null, stack: "" }, "[]", [0, 0, 0]);
    }
    return this.#enter(step, isolate);
  }

  #enter(step: RunStep, isolate: ScriptIsolate): Next {
    if (this.#attempts++ === 0) this.#startedMs = performance.now();
    const cpuBefore = isolate.cpuMs;
    const { cpuMs, wallMs } = step.limits;
    const attempt = isolate.run({
      mailJson: this.#mailJson,
      stepJson: stepJson(this.#frame.event, step),
      cpuMs,
      clockMs: Math.min(cpuMs * this.#patience, wallMs),
      answers: this.#answers(),
    });
    const usage: Usage = [isolate.cpuMs - cpuBefore, performance.now() - this.#startedMs, isolate.heapKiB];
    if (attempt.kind === "fault") {
      if (!attempt.broken) return this.#fault(step, attempt.fault, attempt.logJson, usage);
      this.#isolates.replace(step.version);
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
    this.#push(bodyEdited ? this.#editBody(json) : json, usage, null, flags.includes("l"));
    if (bodyEdited || flags.includes("v") || (flags.includes("c") && this.#frame.stopOnChange)) return "end";
    if (flags.includes("c") && this.step + 1 < this.#frame.steps.length) this.#carryOver(json, flags.includes("f"));
    return "go";
  }

  /** The guest's answer with its edits of the body turned into splices. */
  #editBody(json: string): string {
    const told = JSON.parse(`{${json}}`) as GuestBody;
    const mail = JSON.parse(this.#mailJson) as MailInput;
    const edits: BodyEdits = { removed: told.removed, appended: told.appended };
    const fields = told.effects.fields ?? mail.fields.map((_, index) => index);
    const edited = editBody(this.#content!, edits, fields, mail);
    for (const splice of edited.splices) this.tails.push(splice.octets);
    const effects = {
      ...told.effects,
      ...(edited.fieldsChanged ? { fields: edited.fields } : {}),
      splices: edited.splices.map(({ start, end, octets }) => [start, end, octets.length]),
      parts: edited.parts,
    };
    return `"effects":${JSON.stringify(effects)},"verdict":${JSON.stringify(told.verdict)},"log":${JSON.stringify(told.log)}`;
  }

  /** What this step changed is what the next one sees. */
  #carryOver(json: string, fieldsChanged: boolean): void {
    const { effects } = JSON.parse(`{${json}}`) as GuestBody;
    const mail = JSON.parse(this.#mailJson) as MailInput;
    const { from = mail.envelope.from, to = mail.envelope.to } = effects;
    const fields =
      effects.fields?.map((field) => (typeof field === "number" ? mail.fields[field]! : field)) ?? mail.fields;
    this.#mailJson = JSON.stringify({ ...mail, envelope: { from, to }, fields });
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

  #answers(): HostAnswers {
    let questions = 0;
    let octets = octetsMaxBeside + 4 * (this.#content?.octets.length ?? 0);
    return (ask, argument) => {
      if (++questions > questionsMax) return false;
      const answer = this.#answer(ask, argument);
      octets -= answer === null ? 0 : answer.length;
      return octets < 0 ? false : answer;
    };
  }

  #answer(ask: string, argument: string): string | Buffer | null {
    if (ask === "decode") return answerWords(argument);
    if (ask === "addresses") return answerAddresses(argument);
    const content = this.#content;
    if (!content) return null;
    switch (ask) {
      case "structure":
        return content.structure(() => canAppendText(content));
      case "text":
      case "html":
        return content.texts?.[ask] ?? null;
      case "raw":
        return content.octets;
      case "content": {
        const part = content.attachments.get(argument);
        return part ? content.content(part) : Buffer.alloc(0);
      }
      default:
        return null;
    }
  }
}

/** `go` on with the next step; `end` behind this one; end `before` it; this one `again`; or what it misses. */
type Next = "go" | "end" | "before" | "again" | "octets" | "texts";

type Usage = [cpuMs: number, wallMs: number, heapKiB: number];

function stepJson(event: string, { limits, matchedRecipients }: RunStep): string {
  const { actionsMax, logLinesMax, logLineOctetsMax, resultOctetsMax } = limits;
  return JSON.stringify({ event, matchedRecipients, actionsMax, logLinesMax, logLineOctetsMax, resultOctetsMax });
}

function round(ms: number): number {
  return Math.max(0, Math.round(ms * 1000) / 1000);
}
