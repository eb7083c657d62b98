/**
 * The sandbox, as the server uses it: scripts are loaded into it, runs are asked of it, and what a script does stays in there. A run's answer
 * is checked; whatever happens to the process under it, there is one.
 */
import { childProgramMade } from "./child-program.ts";
import { encodeFrame } from "./frame.ts";
import { LoadJob, loadFrame, RunJob } from "./jobs.ts";
import { OctetBudget } from "./octet-budget.ts";
import { Pool } from "./pool.ts";
import {
  type CompiledScript,
  defaultLimits,
  type RunAnswer,
  type RunRequest,
  type SandboxNotice,
  type ScriptExports,
  type ScriptLimits,
} from "./protocol.ts";

export interface SandboxOptions {
  readonly processes: number;
  /** Limits of scripts that are loaded without their own. */
  readonly limits?: Partial<ScriptLimits>;
  /** Resident memory of a process, in MiB, above which it is killed. */
  readonly rssMiBMax?: number;
  readonly onNotice?: (notice: SandboxNotice) => void;
  /** Another program in the place of the child process; for tests of what a broken one can do. */
  readonly childFile?: string;
}

interface Loaded {
  readonly script: CompiledScript;
  limits: ScriptLimits;
  runs: number;
  isUnloaded: boolean;
  /** Above 0: runs of it looked inside their messages lately, and the octets are sent at once. */
  looks: number;
}

const rssMiBMaxDefault = 512;
const looksMax = 8;
/** Octets of messages in one process at a time; to read them it needs ten times that. */
const octetsInFlightMax = 33_554_432;

export class Sandbox {
  readonly #pool: Pool;
  readonly #limits: ScriptLimits;
  readonly #scripts = new Map<string, Loaded>();
  readonly #octetBudget: OctetBudget;
  #closed = false;

  /** Resolves when every process is ready. Rejects where one cannot be started. */
  static async start(options: SandboxOptions): Promise<Sandbox> {
    const sandbox = new Sandbox(options);
    try {
      await sandbox.#pool.start();
    } catch (thrown) {
      await sandbox.close();
      throw thrown;
    }
    return sandbox;
  }

  private constructor(options: SandboxOptions) {
    this.#limits = { ...defaultLimits, ...options.limits };
    const processes = Math.max(1, options.processes);
    this.#octetBudget = new OctetBudget(processes * octetsInFlightMax);
    this.#pool = new Pool({
      processes,
      rssMiBMax: options.rssMiBMax ?? rssMiBMaxDefault,
      childFile: options.childFile,
      onNotice: options.onNotice ?? (() => {}),
      firstFrames: () => [...this.#scripts.values()].map(({ script, limits }) => this.#scriptFrame(script, limits)),
    });
  }

  /**
   * Loads a script into a fresh isolate of every process; a version that is loaded already is loaded anew.
   * @throws {ScriptFaultError} `script.load`, `script.exports`, `script.cpu-limit`, `script.heap-limit`, `script.wall-limit`
   */
  async load(script: CompiledScript, limits: ScriptLimits = this.#limits): Promise<ScriptExports> {
    this.#assertOpen();
    const before = this.#scripts.get(script.version);
    const jobs: Promise<ScriptExports>[] = [];
    this.#pool.submitToAll(() => {
      const { promise, resolve, reject } = Promise.withResolvers<ScriptExports>();
      jobs.push(promise);
      return new LoadJob(script, limits, (job) => this.#pool.submit(job), { resolve, reject });
    });
    // Known from now on to processes that start in the meantime; what they are told first makes no isolate yet. Loaded anew it is the same record:
    // runs that have begun are counted down on it.
    const loaded = before ?? { script, limits, runs: 0, isUnloaded: false, looks: 0 };
    const wasInUse = before !== undefined && !before.isUnloaded;
    loaded.limits = limits;
    loaded.isUnloaded = false;
    this.#scripts.set(script.version, loaded);
    const outcomes = await Promise.allSettled(jobs);
    const failure = outcomes.find((outcome) => outcome.status === "rejected");
    if (failure) {
      // Those who use it already go on with it.
      if (!wasInUse) this.unload(script.version);
      throw failure.reason;
    }
    return (outcomes[0] as PromiseFulfilledResult<ScriptExports>).value;
  }

  /** What was loaded as that version. */
  scriptOf(version: string): CompiledScript | undefined {
    return this.#scripts.get(version)?.script;
  }

  /** Forgets a version. Runs of it that have begun finish; asking for new ones is a bug. */
  unload(version: string): void {
    const loaded = this.#scripts.get(version);
    if (!loaded) return;
    loaded.isUnloaded = true;
    this.#forgetWhenIdle(version, loaded);
  }

  /**
   * Runs the steps of a request. Never rejects for what scripts do, nor for what becomes of their process; rejects with what
   * `request.octets()` rejected with, and with an Error after `close`.
   */
  async run(request: RunRequest): Promise<RunAnswer> {
    this.#assertOpen();
    if (request.steps.length === 0) return { steps: [] };
    const scripts = request.steps
      .map(({ version }) => this.#scripts.get(version))
      .filter((loaded) => loaded !== undefined);
    for (const loaded of scripts) loaded.runs++;
    const size = request.mail?.size ?? 0;
    let room: Promise<void> | undefined;
    // Asked for once, however often a process has to be given the octets anew.
    const octets = async () => {
      room ??= this.#octetBudget.take(size);
      await room;
      return request.octets();
    };
    try {
      const atOnce = scripts.some(({ looks }) => looks > 0) ? await octets() : undefined;
      this.#assertOpen();
      return await this.#submit({ ...request, octets }, atOnce);
    } finally {
      void room?.then(() => this.#octetBudget.giveBack(size));
      for (const loaded of scripts) {
        loaded.runs--;
        this.#forgetWhenIdle(loaded.script.version, loaded);
      }
    }
  }

  /** Ends the processes. Runs that are not done reject. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#pool.close();
    await childProgramMade();
  }

  #submit(request: RunRequest, octets: Uint8Array | undefined): Promise<RunAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<RunAnswer>();
    const looked = (version: string, did: boolean) => this.#learn(version, did);
    const nameOf = (version: string) => this.#scripts.get(version)?.script.name ?? version;
    this.#pool.submit(
      new RunJob(request, octets, (job) => this.#pool.submit(job), { resolve, reject, looked, nameOf }),
    );
    return promise;
  }

  /** Octets that are not looked at cost a copy, those that are missed cost a second attempt: a few messages decide. */
  #learn(version: string, looked: boolean): void {
    const loaded = this.#scripts.get(version);
    if (!loaded || (!looked && loaded.looks === 0)) return;
    loaded.looks = looked ? Math.min(looksMax, loaded.looks + 4) : loaded.looks - 1;
  }

  #forgetWhenIdle(version: string, loaded: Loaded): void {
    if (!loaded.isUnloaded || loaded.runs > 0 || this.#scripts.get(version) !== loaded) return;
    this.#scripts.delete(version);
    if (!this.#closed) this.#pool.tellAll({ t: "unload", version });
  }

  #scriptFrame(script: CompiledScript, limits: ScriptLimits): Buffer {
    const { head, tails } = loadFrame(0, script, limits, false);
    return encodeFrame(JSON.stringify(head), tails);
  }

  #assertOpen(): void {
    if (this.#closed) throw new Error("The sandbox is closed");
  }
}
