/**
 * The registry of scripts: which files there are, which version of each is live, and what is wrong with an edit that is not.
 * A save is compiled, loaded into a fresh isolate, checked, and put in the place of the version before it in one step; where any of that
 * fails, the version before it stays live.
 */
import { basename, relative } from "node:path";
import { compileScript } from "../../sandbox/compile.ts";
import type { Sandbox } from "../../sandbox/host.ts";
import {
  type CompiledScript,
  type ScriptExports,
  ScriptFaultError,
  type ScriptLimits,
} from "../../sandbox/protocol.ts";
import { listScripts, watchScripts } from "../../sandbox/watch.ts";
import { type Binding, checkBinding, type OnFault, onFaults, priorityDefault } from "../events/binding.ts";
import { isEventName } from "../events/event-table.ts";
import { parseRule, type Rule } from "../events/rule.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { LastGood } from "./last-good.ts";

/** A version that runs. */
export interface LiveVersion {
  readonly version: string;
  readonly exports: ScriptExports;
  readonly rule: Rule | null;
  readonly since: number;
}

/** Why the file as it is now does not run. */
export interface BrokenEdit {
  readonly code: string;
  readonly message: string;
  readonly at: string | null;
  readonly since: number;
}

export interface ScriptState {
  /** `scripts/tag-external.ts` */
  readonly name: string;
  readonly file: string;
  readonly live: LiveVersion | null;
  readonly broken: BrokenEdit | null;
}

interface Entry {
  readonly name: string;
  readonly file: string;
  live: (LiveVersion & { readonly inputs: readonly string[] }) | null;
  broken: BrokenEdit | null;
}

export interface RegistryOptions {
  /** Absolute path of the scripts folder. */
  readonly folder: string;
  readonly sandbox: Pick<Sandbox, "load" | "unload">;
  /** Where versions outlive the server; a test run has none. */
  readonly lastGood?: LastGood;
  readonly limits: ScriptLimits;
  readonly clock: Clock;
  readonly log: Log;
  /** Binds what is live now; calls `released` when no message uses the former bindings any more. */
  readonly bind: (bindings: readonly Binding[], released: () => void) => void;
}

export class ScriptRegistry {
  readonly #options: RegistryOptions;
  readonly #entries = new Map<string, Entry>();
  #watcher: { close(): Promise<void> } | undefined;
  /** How many hold a version in the sandbox: sets of bindings that are not released, and a load under way. */
  readonly #holds = new Map<string, number>();
  /** Versions that are bound now. */
  #bound: readonly string[] = [];
  /** Changes are worked off one after the other. Never rejects. */
  #work: Promise<void> = Promise.resolve();

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** Loads every script of the folder and follows its changes. A script that does not load is reported, and the others run. */
  async start(): Promise<void> {
    const { folder } = this.#options;
    this.#watcher = await watchScripts({ root: folder, onChange: (change) => this.#follow(change) });
    await this.reload();
  }

  async stop(): Promise<void> {
    await this.#watcher?.close();
    await this.#work;
  }

  /** Looks at the whole folder again. Rejects where it cannot be read; then nothing changed. */
  reload(): Promise<void> {
    return this.#enqueue(async () => await this.#update(await listScripts(this.#options.folder), () => true));
  }

  states(): readonly ScriptState[] {
    return [...this.#entries.values()]
      .sort((one, other) => (one.name < other.name ? -1 : 1))
      .map(({ name, file, live, broken }) => ({ name, file, live, broken }));
  }

  #follow({ changed, removed }: { readonly changed: readonly string[]; readonly removed: readonly string[] }): void {
    const touched = new Set([...changed, ...removed]);
    // A script is touched when it changed itself, or a file that went into it did; a broken one is tried again with every change.
    const isTouched = (file: string) => {
      const entry = this.#entries.get(file);
      return (
        !entry ||
        touched.has(file) ||
        entry.broken !== null ||
        entry.live?.inputs.some((input) => touched.has(input)) === true
      );
    };
    this.#enqueue(async () => await this.#update(await listScripts(this.#options.folder), isTouched)).catch(
      (error: unknown) => this.#options.log.error("scripts.failed", { reason: describeThrown(error) }),
    );
  }

  /** Does it behind what waits already; what fails stops nothing that comes after it. */
  #enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#work.then(work);
    this.#work = done.catch(() => {});
    return done;
  }

  /** Takes up the files of the folder, as they are, that are meant; and lets go of what is there no more. */
  async #update(present: readonly string[], isMeant: (file: string) => boolean): Promise<void> {
    const waiting = present.filter(isMeant);
    const gone: string[] = [];
    for (const [file, { name }] of this.#entries) {
      if (present.includes(file)) continue;
      this.#entries.delete(file);
      gone.push(name);
      this.#options.log.info("script.removed", { script: name });
    }
    const loaded: string[] = [];
    const good: CompiledScript[] = [];
    // Two at a time: a folder of two hundred scripts should not start two hundred compilations at once.
    const worker = async () => {
      for (let file = waiting.shift(); file !== undefined; file = waiting.shift())
        await this.#activate(file, loaded, good);
    };
    await Promise.all([worker(), worker()]);
    this.#bindAll();
    this.#release(loaded);
    // The disk comes last: no message waits for it.
    for (const name of gone) await this.#options.lastGood?.forget(name);
    for (const compiled of good) await this.#keep(compiled);
  }

  /** Makes the file as it is now the live version. A version that is loaded for it is held, and added to `loaded`; one that is live, to `good`. */
  async #activate(file: string, loaded: string[], good: CompiledScript[]): Promise<void> {
    const { folder, clock, log } = this.#options;
    const startedMs = clock.monotonicMs();
    let entry = this.#entries.get(file);
    if (!entry) {
      entry = {
        name: `${basename(folder)}/${relative(folder, file)}`,
        file,
        live: null,
        broken: null,
      };
      this.#entries.set(file, entry);
    }
    try {
      const compiled = await compileScript({ root: folder, file });
      if (compiled.version === entry.live?.version) {
        entry.broken = null;
        return;
      }
      const former = entry.live?.version;
      entry.live = await this.#load(entry, compiled, loaded);
      entry.broken = null;
      const ms = Math.round(clock.monotonicMs() - startedMs);
      log.info("script.activated", { script: entry.name, version: compiled.version, former, ms });
      for (const warning of entry.live.rule?.warnings ?? [])
        log.warn("script.rule-warned", { script: entry.name, warning });
      good.push(compiled);
    } catch (error) {
      entry.broken = { ...brokenEdit(error), since: clock.now() };
      if (!entry.live) await this.#restore(entry, loaded);
      log.error("script.broken", { script: entry.name, ...brokenEdit(error), live: entry.live?.version ?? null });
    }
  }

  /** @throws {ScriptFaultError}, {Fault} where it cannot be loaded or bound */
  async #load(entry: Entry, compiled: CompiledScript, loaded: string[]): Promise<NonNullable<Entry["live"]>> {
    const { sandbox, limits, clock } = this.#options;
    this.#hold([compiled.version]);
    loaded.push(compiled.version);
    const exports = await sandbox.load(compiled, limits);
    const rule = exports.rule === undefined ? null : parseRule(exports.rule);
    const live = { version: compiled.version, exports, rule, since: clock.now(), inputs: compiled.inputs };
    checkBindings({ ...entry, live });
    return live;
  }

  async #keep(compiled: CompiledScript): Promise<void> {
    await this.#options.lastGood?.keep(compiled).catch((error: unknown) => {
      this.#options.log.warn("script.not-kept", { script: compiled.name, reason: describeThrown(error) });
    });
  }

  /** The server was started while an edit is broken: what ran before it runs. */
  async #restore(entry: Entry, loaded: string[]): Promise<void> {
    const compiled = await this.#options.lastGood?.of(entry.name);
    if (!compiled) return;
    try {
      entry.live = await this.#load(entry, compiled, loaded);
      this.#options.log.warn("script.restored", { script: entry.name, version: compiled.version });
    } catch (error) {
      this.#options.log.warn("script.not-restored", { script: entry.name, reason: describeThrown(error) });
    }
  }

  #bindAll(): void {
    const entries = [...this.#entries.values()];
    const former = this.#bound;
    this.#bound = entries.flatMap(({ live }) => (live ? [live.version] : []));
    this.#hold(this.#bound);
    this.#options.bind(entries.flatMap(bindingsOf), () => this.#release(former));
  }

  #hold(versions: readonly string[]): void {
    for (const version of versions) this.#holds.set(version, (this.#holds.get(version) ?? 0) + 1);
  }

  /** Lets go of versions; those that nobody holds any more leave the sandbox. */
  #release(versions: readonly string[]): void {
    for (const version of versions) {
      const holds = this.#holds.get(version)! - 1;
      if (holds > 0) this.#holds.set(version, holds);
      else {
        this.#holds.delete(version);
        this.#options.sandbox.unload(version);
      }
    }
  }
}

/** @throws {Fault} `script.exports`, `binding.invalid` where no binding can be made of what a script exports */
function checkBindings(entry: Entry): void {
  for (const handler of entry.live?.exports.handlers ?? [])
    if (!isEventName(handler)) throw new Fault("script.exports", `There is no event ${handler}`);
  for (const binding of bindingsOf(entry)) checkBinding(binding);
}

function bindingsOf({ name, live, broken }: Entry): Binding[] {
  // Scripts of one priority go by their names: in the same order after a restart, and in a test run.
  const shared = { name, maxFirings: 0, properties: {}, source: "script", createdOrder: 0 } as const;
  if (!live) {
    return [
      {
        ...shared,
        id: `${name}#onArrival`,
        event: "onArrival",
        enabled: true,
        priority: priorityDefault,
        rule: null,
        onFault: "defer",
        target: { kind: "broken", reason: broken?.message ?? "not loaded" },
      },
    ];
  }
  const { exports, rule, version } = live;
  return exports.handlers.filter(isEventName).map((event) => ({
    ...shared,
    id: `${name}#${event}`,
    event,
    enabled: exports.enabled ?? true,
    priority: exports.priority ?? priorityDefault,
    rule,
    ...(exports.phase === "queue" && event === "onArrival" && { phase: exports.phase }),
    onFault: onFaults.find((policy): policy is OnFault => policy === exports.onFault) ?? "defer",
    target: { kind: "script", version },
  }));
}

function brokenEdit(error: unknown): Omit<BrokenEdit, "since"> {
  if (error instanceof ScriptFaultError)
    return { code: error.fault.code, message: error.fault.message, at: error.fault.at };
  if (error instanceof Fault) return { code: error.code, message: error.message, at: null };
  return { code: "bug", message: describeThrown(error), at: null };
}
