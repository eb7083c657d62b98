/**
 * The scripts of a child process: the code of each, and warm isolates for those that ran lately. A cold one is made again when it is asked for. An isolate in which a
 * run waits for an answer is taken out and serves nobody else; the next run of that script gets another one, up to so many, then it has to wait for its turn.
 */
import { ScriptIsolate } from "./isolate.ts";
import type { CompiledScript, ScriptExports, ScriptLimits } from "./protocol.ts";

/** Isolates that are kept warm. */
const isolatesMax = 128;
/** Isolates of one version in which a run waits. */
export const takenMax = 16;
/** Isolates of one version that are kept with nothing to do. */
const idleMax = 4;

interface Known {
  readonly script: CompiledScript;
  readonly limits: ScriptLimits;
  /** The last one is used next. */
  readonly idle: ScriptIsolate[];
  taken: number;
}

/** An isolate that was taken out. */
export interface TakenIsolate {
  readonly isolate: ScriptIsolate;
  /** The run is done in it; another one may have it. */
  giveBack(): void;
  /** It holds half a run, or is broken. */
  throwAway(): void;
}

export class IsolateCache {
  readonly #known = new Map<string, Known>();
  /** Versions with idle isolates; least recently used first. */
  readonly #warm = new Map<string, Known>();
  #idleCount = 0;
  readonly #onCatastrophe: (message: string) => void;

  constructor(onCatastrophe: (message: string) => void) {
    this.#onCatastrophe = onCatastrophe;
  }

  /** Takes a script, replacing one of the same version. */
  add(script: CompiledScript, limits: ScriptLimits): void {
    this.remove(script.version);
    this.#known.set(script.version, { script, limits, idle: [], taken: 0 });
  }

  /** Loads a script that was added into a fresh isolate. @throws {ScriptFaultError} as ScriptIsolate.load */
  load(version: string): ScriptExports {
    this.replace(version);
    return this.#make(this.#known.get(version)!).exports!;
  }

  /**
   * An isolate of a version in which no run waits; undefined where the version is not known, "taken" where there may be no more of them.
   * @throws {ScriptFaultError} as ScriptIsolate.load
   */
  get(version: string): ScriptIsolate | "taken" | undefined {
    const warm = this.#warm.get(version);
    if (warm) {
      if (this.#warm.size > 1) {
        this.#warm.delete(version);
        this.#warm.set(version, warm);
      }
      return warm.idle.at(-1)!;
    }
    const known = this.#known.get(version);
    if (!known) return undefined;
    return known.taken < takenMax ? this.#make(known) : "taken";
  }

  /** Whether `get` would give one. */
  isFree(version: string): boolean {
    const known = this.#known.get(version);
    return known === undefined || known.idle.length > 0 || known.taken < takenMax;
  }

  /** Takes out the isolate that `get` gave last. */
  take(version: string): TakenIsolate {
    const known = this.#known.get(version)!;
    const isolate = known.idle.pop()!;
    this.#idleCount--;
    if (known.idle.length === 0) this.#warm.delete(version);
    known.taken++;
    return {
      isolate,
      giveBack: () => {
        known.taken--;
        if (this.#known.get(version) === known && known.idle.length < idleMax) this.#keep(known, isolate);
        else isolate.dispose();
      },
      throwAway: () => {
        known.taken--;
        isolate.dispose();
      },
    };
  }

  /** Throws its isolates away, but for those that are taken; the next run gets a new one. */
  replace(version: string): void {
    const known = this.#warm.get(version);
    if (!known) return;
    this.#warm.delete(version);
    this.#idleCount -= known.idle.length;
    for (const isolate of known.idle.splice(0)) isolate.dispose();
  }

  remove(version: string): void {
    this.replace(version);
    this.#known.delete(version);
  }

  #make(known: Known): ScriptIsolate {
    const isolate = ScriptIsolate.load(known.script, known.limits, this.#onCatastrophe);
    this.#keep(known, isolate);
    return isolate;
  }

  #keep(known: Known, isolate: ScriptIsolate): void {
    const { version } = known.script;
    known.idle.push(isolate);
    this.#idleCount++;
    this.#warm.delete(version);
    this.#warm.set(version, known);
    if (this.#idleCount > isolatesMax) this.replace(this.#warm.keys().next().value!);
  }
}
