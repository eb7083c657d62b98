/** What the processes are given to do: a run, or a script to load. Each knows what a process's end in the middle of it means. */
import type { ChildEnd } from "./child-process.ts";
import type { Job, Seat, Wait } from "./job.ts";
import type {
  CompiledScript,
  RunAnswer,
  RunRequest,
  RunStep,
  ScriptExports,
  ScriptFault,
  ScriptLimits,
  StepResult,
} from "./protocol.ts";
import { ScriptFaultError } from "./protocol.ts";
import { RunCalls } from "./run-calls.ts";
import { createSeed } from "./seed.ts";
import { checkSteps, ProtocolError } from "./validate.ts";
import type { FromChild, ToChild } from "./wire.ts";

/** Deaths of a process with this job at its head, by no limit we know of, after which the script is blamed. */
const deathsMax = 2;
/** Repeats because of others. */
const repeatsMax = 10;
/** Time to load a script, its top level and the making of an isolate; the child stops a top level by itself before that. */
const loadMsMax = 4_000;
/** Time a run may wait for its turn in an isolate. The process gives up by itself before that. */
const turnMsMax = 20_000;

interface RunSettlers {
  resolve(answer: RunAnswer): void;
  reject(error: Error): void;
  looked(version: string, looked: boolean): void;
  /** Name of a version's script. */
  nameOf(version: string): string;
}

interface LoadSettlers {
  resolve(exports: ScriptExports): void;
  reject(error: Error): void;
}

let lastId = 0;

abstract class ProcessJob implements Job {
  readonly id = ++lastId;
  #deaths = 0;
  #repeats = 0;

  abstract readonly limitMs: number;
  abstract frame(): { readonly head: ToChild; readonly tails: readonly Uint8Array[] };
  abstract onAnswer(message: FromChild, tail: Buffer): void;
  abstract onError(error: Error): void;
  protected abstract again(): void;
  protected abstract settleFault(fault: ScriptFault): void;

  octets(): Promise<Uint8Array> {
    throw new ProtocolError("Asks for octets where there are none");
  }

  onStep(_step: number, _parsing: boolean): void {
    throw new ProtocolError("A step where there is none");
  }

  onCalls(_message: FromChild & { readonly t: "calls" }, _tail: Buffer, _seat: Seat, _sinceMs: number): Wait {
    throw new ProtocolError("Calls where there are none");
  }

  onLate(): void {}

  onUnreadable(): void {}

  onEnd(end: ChildEnd, blamed: boolean): void {
    const fault = blamed ? this.#faultOf(end) : null;
    if (fault) this.settleFault(fault);
    else if (++this.#repeats > repeatsMax)
      this.settleFault(died("The sandbox process ended again and again while the script waited for its turn"));
    else this.again();
  }

  /** What the end of the process means for the job that was computing; null where it gets another chance. */
  #faultOf(end: ChildEnd): ScriptFault | null {
    if (end.killed === "wall-limit")
      return fault("script.wall-limit", `The script was not done after ${this.limitMs} ms, and its process was killed`);
    if (end.killed === "rss-limit")
      return fault("script.heap-limit", "The script's process used more memory than it may, and was killed");
    if (end.killed === "protocol") return died("The script's process said what no script can ask for, and was killed");
    if (end.outOfMemory) return fault("script.heap-limit", "The script's process ran out of memory");
    return ++this.#deaths > deathsMax ? died("The script's process ended in the middle of its run, three times") : null;
  }
}

export class RunJob extends ProcessJob {
  readonly #request: RunRequest;
  /** Their clocks and seeds are fixed here, so that a repeat is given the same. */
  readonly #steps: readonly RunStep[];
  readonly #submit: (job: Job) => void;
  readonly #settle: RunSettlers;
  /** There from the first call. */
  #calls: RunCalls | null = null;
  /** When this step is given up where it waits for answers, and where for its turn; on the monotonic clock, 0 where it has not waited yet. */
  #answersUntilMs = 0;
  #turnUntilMs = 0;
  readonly #faults: Record<string, ScriptFault> = {};
  readonly #octets: Uint8Array | undefined;
  #unreadable = false;
  #hasAsked = false;
  #parsedStep = -1;
  #step = 0;

  constructor(request: RunRequest, octets: Uint8Array | undefined, submit: (job: Job) => void, settle: RunSettlers) {
    super();
    this.#request = request;
    this.#steps = request.steps.map((step) =>
      step.clock === undefined || step.seed === undefined ? { clock: Date.now(), seed: createSeed(), ...step } : step,
    );
    this.#octets = octets;
    this.#submit = submit;
    this.#settle = settle;
  }

  get limitMs(): number {
    return this.#request.steps[this.#step]!.limits.wallMs;
  }

  frame(): { readonly head: ToChild; readonly tails: readonly Uint8Array[] } {
    const { event, subject, mail, stopOnChange } = this.#request;
    const mailJson = Buffer.from(JSON.stringify(mail));
    const hasOctets = this.#octets !== undefined;
    return {
      head: {
        t: "run",
        id: this.id,
        event,
        subject,
        steps: this.#steps,
        faults: this.#faults,
        stopOnChange,
        unreadable: this.#unreadable,
        mailOctets: mailJson.length,
        hasOctets,
      },
      tails: this.#octets === undefined ? [mailJson] : [mailJson, this.#octets],
    };
  }

  override octets(): Promise<Uint8Array> {
    // Once for a process; it keeps them for the whole run.
    if (this.#hasAsked) throw new ProtocolError("Asks for octets it has");
    this.#hasAsked = true;
    return this.#request.octets();
  }

  override onStep(step: number, parsing: boolean): void {
    // Forward only, and once for texts: whoever goes round in circles would never run out of time.
    const isNew = parsing ? step === this.#step && this.#parsedStep < step : step > this.#step;
    if (!isNew || step >= this.#request.steps.length) {
      throw new ProtocolError(`Step ${step} of ${this.#request.steps.length}, at ${this.#step}`);
    }
    if (parsing) this.#parsedStep = step;
    if (step > this.#step) this.#endStep();
    this.#step = step;
  }

  override onCalls(message: FromChild & { readonly t: "calls" }, tail: Buffer, seat: Seat, sinceMs: number): Wait {
    const { step } = message;
    if (step !== this.#step) throw new ProtocolError(`Calls of step ${step}, at ${this.#step}`);
    this.#calls ??= new RunCalls(this.#request.calls, this.#steps, (version) => this.#settle.nameOf(version));
    this.#calls.take(message, tail, seat);
    if (this.#calls.openCount === 0 && !seat.hasAnswers) {
      this.#turnUntilMs ||= performance.now() + turnMsMax;
      return { forTurn: true, untilMs: this.#turnUntilMs };
    }
    // From the beginning of the step, however often it is begun anew.
    this.#answersUntilMs ||= sinceMs + this.#request.steps[step]!.limits.wallMs;
    return { forTurn: false, untilMs: this.#answersUntilMs };
  }

  override onLate(): void {
    const { wallMs } = this.#request.steps[this.#step]!.limits;
    const waitsFor = this.#calls?.waitsFor ?? "answers";
    this.settleFault(
      fault("script.wall-limit", `The script was not done after ${wallMs} ms: it was waiting for ${waitsFor}`),
    );
  }

  /** Nobody waits for what this step asked. */
  #endStep(): void {
    this.#answersUntilMs = this.#turnUntilMs = 0;
    this.#calls?.endStep();
  }

  onAnswer(message: FromChild, tail: Buffer): void {
    if (message.t !== "done") throw new ProtocolError("Another answer than a run's");
    const checked = checkSteps(message.steps, tail, { ...this.#request, steps: this.#steps });
    const steps: StepResult[] = [];
    for (const { result, looked } of checked) {
      steps.push(result);
      this.#settle.looked(result.version, looked);
    }
    this.#calls?.end();
    this.#settle.resolve({ steps });
  }

  override onUnreadable(): void {
    this.#unreadable = true;
  }

  onError(error: Error): void {
    this.#calls?.end();
    this.#settle.reject(error);
  }

  protected again(): void {
    this.#answersUntilMs = this.#turnUntilMs = 0;
    this.#calls?.beginAgain();
    this.#step = 0;
    this.#parsedStep = -1;
    this.#hasAsked = false;
    this.#submit(this);
  }

  protected settleFault(fault: ScriptFault): void {
    this.#endStep();
    const { steps } = this.#request;
    const step = steps[this.#step]!;
    // The steps before it are run again for their results, and those behind it where they are to run in any case.
    if (this.#step > 0 || (step.proceedOnFault && steps.length > 1)) {
      if (this.#faults[this.#step] === undefined) {
        this.#faults[this.#step] = fault;
        this.again();
        return;
      }
    }
    this.#calls?.end();
    const wallMs = fault.code === "script.wall-limit" ? step.limits.wallMs : 0;
    this.#settle.resolve({
      steps: steps.slice(0, this.#step + 1).map(({ bindingId, version }) => ({
        bindingId,
        version,
        effects: {},
        verdict: { kind: "proceed", settled: false },
        log: [],
        usage: { cpuMs: 0, wallMs, heapKiB: 0 },
        fault,
        defects: [],
      })),
    });
  }
}

export class LoadJob extends ProcessJob {
  readonly #script: CompiledScript;
  readonly #limits: ScriptLimits;
  readonly #submit: (job: Job) => void;
  readonly #settle: LoadSettlers;
  readonly limitMs = loadMsMax;

  constructor(script: CompiledScript, limits: ScriptLimits, submit: (job: Job) => void, settle: LoadSettlers) {
    super();
    this.#script = script;
    this.#limits = limits;
    this.#submit = submit;
    this.#settle = settle;
  }

  frame(): { readonly head: ToChild; readonly tails: readonly Uint8Array[] } {
    return loadFrame(this.id, this.#script, this.#limits, true);
  }

  onAnswer(message: FromChild): void {
    if (message.t !== "loaded" || (message.exports === null) === (message.fault === null))
      throw new ProtocolError("Another answer than a script's");
    if (message.exports) this.#settle.resolve(message.exports);
    else this.#settle.reject(new ScriptFaultError(message.fault!));
  }

  onError(error: Error): void {
    this.#settle.reject(error);
  }

  protected again(): void {
    this.#submit(this);
  }

  protected settleFault(fault: ScriptFault): void {
    this.#settle.reject(new ScriptFaultError(fault.code === "script.died" ? { ...fault, code: "script.load" } : fault));
  }
}

/** A script for a process; `warm` makes it load the script at once and answer. */
export function loadFrame(
  id: number,
  script: CompiledScript,
  limits: ScriptLimits,
  warm: boolean,
): { readonly head: ToChild; readonly tails: readonly Uint8Array[] } {
  const code = Buffer.from(script.code);
  const { name, version } = script;
  return {
    head: { t: "load", id, name, version, limits, codeOctets: code.length, warm },
    tails: [code, Buffer.from(script.sourceMap)],
  };
}

function fault(code: ScriptFault["code"], message: string): ScriptFault {
  return { code, message, at: null, stack: "" };
}

function died(message: string): ScriptFault {
  return fault("script.died", message);
}
