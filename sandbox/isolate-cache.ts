/** The scripts of a child process: the code of each, and a warm isolate for those that ran lately. A cold one is made again when it is asked for. */
import { ScriptIsolate } from "./isolate.ts";
import type { CompiledScript, ScriptExports, ScriptLimits } from "./protocol.ts";

/** Isolates that are kept warm. */
const isolatesMax = 128;

interface Known {
  readonly script: CompiledScript;
  readonly limits: ScriptLimits;
}

export class IsolateCache {
  readonly #known = new Map<string, Known>();
  /** Least recently used first. */
  readonly #warm = new Map<string, ScriptIsolate>();
  readonly #onCatastrophe: (message: string) => void;

  constructor(onCatastrophe: (message: string) => void) {
    this.#onCatastrophe = onCatastrophe;
  }

  /** Takes a script, replacing one of the same version. */
  add(script: CompiledScript, limits: ScriptLimits): void {
    this.replace(script.version);
    this.#known.set(script.version, { script, limits });
  }

  /** Loads a script that was added into a fresh isolate. @throws {ScriptFaultError} as ScriptIsolate.load */
  load(version: string): ScriptExports {
    return this.#make(version).exports!;
  }

  /** The isolate of a version; undefined where the version is not known. @throws {ScriptFaultError} as ScriptIsolate.load */
  get(version: string): ScriptIsolate | undefined {
    const warm = this.#warm.get(version);
    if (!warm) return this.#known.has(version) ? this.#make(version) : undefined;
    if (this.#warm.size > 1) {
      this.#warm.delete(version);
      this.#warm.set(version, warm);
    }
    return warm;
  }

  /** Throws the isolate away; the next run gets a new one. */
  replace(version: string): void {
    this.#warm.get(version)?.dispose();
    this.#warm.delete(version);
  }

  remove(version: string): void {
    this.replace(version);
    this.#known.delete(version);
  }

  #make(version: string): ScriptIsolate {
    const { script, limits } = this.#known.get(version)!;
    this.replace(version);
    const isolate = ScriptIsolate.load(script, limits, this.#onCatastrophe);
    this.#warm.set(version, isolate);
    const oldest = this.#warm.size > isolatesMax ? this.#warm.keys().next().value : undefined;
    if (oldest !== undefined) this.replace(oldest);
    return isolate;
  }
}
