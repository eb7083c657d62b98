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
import { type Binding, type OnFault, onFaults, priorityDefault } from "../events/binding.ts";
import { isEventName } from "../events/event-table.ts";
import { parseRule, type Rule } from "../events/rule.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";

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
  readonly createdOrder: number;
  live: (LiveVersion & { readonly inputs: readonly string[] }) | null;
  broken: BrokenEdit | null;
}

export interface RegistryOptions {
  /** Absolute path of the scripts folder. */
  readonly folder: string;
  readonly sandbox: Pick<Sandbox, "load" | "unload">;
  readonly limits: ScriptLimits;
  readonly clock: Clock;
  readonly log: Log;
  /** Binds what is live now; calls `released` when no message uses the former bindings any more. */
  readonly bind: (bindings: readonly Binding[], released: () => void) => void;
}

export class ScriptRegistry {
  readonly #options: RegistryOptions;
  readonly #entries = new Map<string, Entry>();
  #created = 0;
  #watcher: { close(): Promise<void> } | undefined;
  /** Changes are worked off one after the other. */
  #work: Promise<void> = Promise.resolve();

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** Loads every script of the folder and follows its changes. A script that does not load is reported, and the others run. */
  async start(): Promise<void> {
    const { folder } = this.#options;
    this.#watcher = await watchScripts({ root: folder, onChange: (change) => this.#follow(change) });
    await this.#refresh(await listScripts(folder));
  }

  async stop(): Promise<void> {
    await this.#watcher?.close();
    await this.#work;
  }

  /** Looks at the whole folder again. */
  async reload(): Promise<void> {
    const files = await listScripts(this.#options.folder);
    this.#work = this.#work.then(() =>
      this.#update(
        files,
        [...this.#entries.keys()].filter((file) => !files.includes(file)),
      ),
    );
    await this.#work;
  }

  states(): readonly ScriptState[] {
    return [...this.#entries.values()]
      .sort((one, other) => (one.name < other.name ? -1 : 1))
      .map(({ name, file, live, broken }) => ({ name, file, live, broken }));
  }

  #refresh(files: readonly string[]): Promise<void> {
    this.#work = this.#work.then(() => this.#update(files, []));
    return this.#work;
  }

  #follow({ changed, removed }: { readonly changed: readonly string[]; readonly removed: readonly string[] }): void {
    this.#work = this.#work
      .then(async () => {
        const present = await listScripts(this.#options.folder);
        const touched = new Set([...changed, ...removed]);
        // A script is touched when it changed itself, or a file that went into it did; a broken one is tried again with every change.
        const files = present.filter((file) => {
          const entry = this.#entries.get(file);
          return (
            !entry ||
            touched.has(file) ||
            entry.broken !== null ||
            entry.live?.inputs.some((input) => touched.has(input))
          );
        });
        const gone = [...this.#entries.keys()].filter((file) => !present.includes(file));
        await this.#update(files, gone);
      })
      .catch((error: unknown) => this.#options.log.error("scripts.failed", { reason: describeThrown(error) }));
  }

  async #update(files: readonly string[], gone: readonly string[]): Promise<void> {
    const retired: string[] = [];
    for (const file of gone) {
      const entry = this.#entries.get(file);
      this.#entries.delete(file);
      if (!entry) continue;
      if (entry.live) retired.push(entry.live.version);
      this.#options.log.info("script.removed", { script: entry.name });
    }
    // Two at a time: a folder of two hundred scripts should not start two hundred compilations at once.
    const waiting = [...files];
    const worker = async () => {
      for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
        const former = await this.#activate(file);
        if (former) retired.push(former);
      }
    };
    await Promise.all([worker(), worker()]);
    this.#bindAll(retired);
  }

  /** Makes the file as it is now the live version. Gives the version it replaced. */
  async #activate(file: string): Promise<string | undefined> {
    const { folder, sandbox, limits, clock, log } = this.#options;
    const startedMs = clock.monotonicMs();
    let entry = this.#entries.get(file);
    if (!entry) {
      entry = {
        name: `${basename(folder)}/${relative(folder, file)}`,
        file,
        createdOrder: ++this.#created,
        live: null,
        broken: null,
      };
      this.#entries.set(file, entry);
    }
    try {
      const compiled = await compileScript({ root: folder, file });
      if (compiled.version === entry.live?.version) {
        entry.broken = null;
        return undefined;
      }
      const exports = await sandbox.load(compiled, limits);
      const rule = this.#checkExports(compiled, exports);
      const former = entry.live?.version;
      entry.live = { version: compiled.version, exports, rule, since: clock.now(), inputs: compiled.inputs };
      entry.broken = null;
      log.info("script.activated", {
        script: entry.name,
        version: compiled.version,
        former,
        ms: Math.round(clock.monotonicMs() - startedMs),
      });
      for (const warning of rule?.warnings ?? []) log.warn("script.rule-warned", { script: entry.name, warning });
      return former;
    } catch (error) {
      entry.broken = { ...brokenEdit(error), since: clock.now() };
      log.error("script.broken", { script: entry.name, ...brokenEdit(error), live: entry.live?.version ?? null });
      return undefined;
    }
  }

  /** @throws {Fault} `rule.syntax`; {ScriptFaultError} `script.exports` */
  #checkExports(compiled: CompiledScript, exports: ScriptExports): Rule | null {
    try {
      for (const handler of exports.handlers) {
        if (!isEventName(handler)) throw new Fault("script.exports", `There is no event ${handler}`);
      }
      return exports.rule === undefined ? null : parseRule(exports.rule);
    } catch (error) {
      // Loaded, but of no use.
      if (!this.#isLive(compiled.version)) this.#options.sandbox.unload(compiled.version);
      throw error;
    }
  }

  #bindAll(retired: readonly string[]): void {
    const bindings = [...this.#entries.values()].flatMap(bindingsOf);
    this.#options.bind(bindings, () => {
      for (const version of retired) if (!this.#isLive(version)) this.#options.sandbox.unload(version);
    });
  }

  #isLive(version: string): boolean {
    return [...this.#entries.values()].some((entry) => entry.live?.version === version);
  }
}

function bindingsOf({ name, live, broken, createdOrder }: Entry): Binding[] {
  const shared = { name, maxFirings: 0, properties: {}, source: "script", createdOrder } as const;
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
