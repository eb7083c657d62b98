/**
 * The registry of scripts: which files there are, which version of each is live, and what is wrong with an edit that is not.
 * A save is compiled, loaded into a fresh isolate, led through the gates, and put in the place of the version before it in one step; where any of
 * that fails, the version before it stays live. What went live is kept, so that it outlives the server, and can be gone back to.
 */
import { basename, relative } from "node:path";
import { compileScript } from "../../sandbox/compile.ts";
import type { CompiledScript } from "../../sandbox/protocol.ts";
import { listScripts, watchScripts } from "../../sandbox/watch.ts";
import { parseRule } from "../events/rule.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { ownerOf } from "./author.ts";
import { askWarner, type Candidate } from "./gates.ts";
import type { RegistryOptions } from "./registry-options.ts";
import { bindingsOf, brokenBinding, checkBindings, type LiveVersion } from "./script-bindings.ts";
import {
  brokenEdit,
  type Cause,
  type Entry,
  type Job,
  type PendingVersion,
  pendingOf,
  type ScriptState,
  stateOf,
} from "./script-state.ts";
import { VersionHolds } from "./version-holds.ts";
import { findVersion } from "./version-words.ts";
import type { KeptVersion, Pin } from "./versions.ts";

export class ScriptRegistry {
  readonly #options: RegistryOptions;
  readonly #entries = new Map<string, Entry>();
  #watcher: { close(): Promise<void> } | undefined;
  readonly #holds: VersionHolds;
  /** Versions that are bound now. */
  #bound: readonly string[] = [];
  /** Changes are worked off one after the other. Never rejects. */
  #work: Promise<void> = Promise.resolve();
  /** Gates that only warn, beside them. Never rejects. */
  #warnings: Promise<void> = Promise.resolve();

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#holds = new VersionHolds((version) => options.sandbox.unload(version));
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
    await this.#warnings;
  }

  /** Looks at the whole folder again. Rejects where it cannot be read; then nothing changed. */
  reload(): Promise<void> {
    return this.#enqueue(async () => await this.#update(await listScripts(this.#options.folder), () => true));
  }

  states(): readonly ScriptState[] {
    return [...this.#entries.values()].sort((one, other) => (one.name < other.name ? -1 : 1)).map(stateOf);
  }

  /**
   * Makes an earlier version live, whatever the file says, until that changes; without a name the one before. Durable when it resolves.
   * @param wanted `sha256:` may be left out, and all but the first digits
   * @throws {Fault} `script.no-version`, `control.invalid`, {ScriptFaultError} where it does not load; then nothing changed
   */
  async rollback(name: string, wanted: string | null, author: string | null): Promise<ScriptState> {
    return await this.#command(name, async (entry, job) => {
      const { versions, clock } = this.#options;
      const history = await versions?.history(name);
      const version = findVersion(name, history?.activations ?? [], wanted, entry.live?.version ?? null);
      const kept = await versions?.version(name, version);
      if (!kept) throw new Fault("script.no-version", `Version ${version} of ${name} cannot be read any more`);
      const pin: Pin | null = version === entry.saved ? null : { version, over: entry.saved, at: clock.now(), author };
      await this.#goLive(entry, kept.compiled, job, { by: "rollback", author }, pin);
    });
  }

  /** What the file says counts again. @throws {Fault} `script.no-version`, `control.invalid` where nothing is pinned */
  async unpin(name: string, author: string | null): Promise<ScriptState> {
    return await this.#command(name, async (entry, job) => {
      if (!entry.pinned) throw new Fault("control.invalid", `${name} is not pinned: what its file says is what runs`);
      entry.pinned = null;
      job.writes.push(async () => await this.#options.versions?.unpinned(name));
      await this.#activate(entry, job, { by: "unpin", author });
    });
  }

  /**
   * Says yes to what the saved version asks for, and makes it live. `approve` writes it down.
   * @throws {Fault} `script.no-version`, `control.invalid` where it is not that version that waits
   */
  async approve(
    name: string,
    version: string,
    author: string | null,
    approve: (pending: PendingVersion) => Promise<void>,
  ): Promise<ScriptState> {
    return await this.#command(name, async (entry, job) => {
      const { pending } = entry;
      if (pending?.version !== version)
        throw new Fault(
          "control.invalid",
          pending ? `${name} was saved since: look again at what it asks for` : `Nothing of ${name} waits for approval`,
        );
      await approve(pending);
      await this.#activate(entry, job, { by: "approve", author });
    });
  }

  /**
   * Has `write` put a draft in the place of the script's file, and makes it live, unless it cannot be: the state says so.
   * @throws {Fault} `script.no-version`, and what `write` throws; then nothing changed
   */
  async promote(name: string, write: (file: string) => Promise<void>, author: string | null): Promise<ScriptState> {
    return await this.#command(name, async (entry, job) => {
      await write(entry.file);
      await this.#activate(entry, job, { by: "promote", author });
    });
  }

  /** Loads a version beside what is live, and holds it until `release` is called, once. @throws {ScriptFaultError}, {Fault} where it cannot run */
  async loadBeside(name: string, compiled: CompiledScript): Promise<{ version: LiveVersion; release: () => void }> {
    const job: Job = { loaded: [], writes: [], activated: [] };
    const release = () => this.#holds.release(job.loaded);
    try {
      return { version: await this.#load(name, compiled, job), release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Keeps a version that is live in the sandbox, whatever becomes of it, until what is given back is called, once. */
  hold(version: string): () => void {
    this.#holds.hold([version]);
    return () => this.#holds.release([version]);
  }

  async #command(name: string, change: (entry: Entry, job: Job) => Promise<void>): Promise<ScriptState> {
    let state: ScriptState | undefined;
    await this.#enqueue(async () => {
      const entry = [...this.#entries.values()].find((one) => one.name === name);
      if (!entry) throw new Fault("script.no-version", `There is no script ${name}`);
      await this.#do(async (job) => await change(entry, job));
      state = stateOf(entry);
    });
    return state!;
  }

  #follow({ changed, removed }: { readonly changed: readonly string[]; readonly removed: readonly string[] }): void {
    const touched = new Set([...changed, ...removed]);
    // A script is touched when it changed itself, or a file that went into it did; one that does not run as it is saved is tried again with every change.
    const isTouched = (file: string) => {
      const entry = this.#entries.get(file);
      return (
        !entry ||
        touched.has(file) ||
        entry.broken !== null ||
        entry.pending !== null ||
        entry.inputs.some((input) => touched.has(input))
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
    await this.#do(async (job) => {
      const { versions, log, clock } = this.#options;
      const waiting = present.filter(isMeant);
      for (const [file, { name }] of this.#entries) {
        if (present.includes(file)) continue;
        this.#entries.delete(file);
        job.writes.push(async () => await versions?.removed(name, clock.now()));
        log.info("script.removed", { script: name });
      }
      // Two at a time: a folder of two hundred scripts should not start two hundred compilations at once.
      const worker = async () => {
        for (let file = waiting.shift(); file !== undefined; file = waiting.shift())
          await this.#activate(this.#entries.get(file) ?? (await this.#enter(file)), job, { by: "save" });
      };
      await Promise.all([worker(), worker()]);
    });
  }

  /** One change: its bindings are in force at once, then what it leaves is written. Where `change` throws, nothing is bound or written. */
  async #do(change: (job: Job) => Promise<void>): Promise<void> {
    const job: Job = { loaded: [], writes: [], activated: [] };
    try {
      await change(job);
      this.#bindAll();
    } finally {
      this.#holds.release(job.loaded);
    }
    if (!this.#options.readOnly) for (const write of job.writes) await this.#write(write);
    for (const candidate of job.activated)
      this.#warnings = this.#warnings.then(async () => await this.#askWarners(candidate));
  }

  async #write(write: () => Promise<void>): Promise<void> {
    await write().catch((error: unknown) =>
      this.#options.log.warn("script.not-kept", { reason: describeThrown(error) }),
    );
  }

  async #enter(file: string): Promise<Entry> {
    const { folder, versions } = this.#options;
    const name = `${basename(folder)}/${relative(folder, file)}`;
    const history = await versions?.history(name);
    const entry: Entry = {
      name,
      file,
      live: null,
      broken: null,
      pending: null,
      pinned: history?.pinned ?? null,
      warnings: [],
      saved: null,
      inputs: [],
      lastLive: history?.live ?? null,
      wasLive: new Set(history?.activations.map(({ version }) => version)),
    };
    this.#entries.set(file, entry);
    return entry;
  }

  /** Makes the file as it is now the live version, if it may be; never throws. */
  async #activate(entry: Entry, job: Job, cause: Cause): Promise<void> {
    const { folder, packages = () => [], clock, log } = this.#options;
    const startedMs = clock.monotonicMs();
    let compiled: CompiledScript | undefined;
    try {
      compiled = await compileScript({ root: folder, file: entry.file, packages: packages() });
      entry.saved = compiled.version;
      entry.inputs = compiled.inputs;
      if (await this.#staysPinned(entry, job)) return;
      await this.#goLive(entry, compiled, job, cause, null, startedMs);
    } catch (error) {
      if (!compiled) entry.saved = null;
      entry.pending = compiled ? pendingOf(error, compiled.version, clock.now()) : null;
      entry.broken = entry.pending ? null : { ...brokenEdit(error), since: clock.now() };
      if (!entry.live) await this.#restore(entry, job);
      const facts = { script: entry.name, ...brokenEdit(error), live: entry.live?.version ?? null };
      if (entry.pending) log.warn("script.pending", { ...facts, version: entry.pending.version });
      else log.error("script.broken", facts);
    }
  }

  /** Loads a version, leads it through the gates, and makes it the live one. @throws {ScriptFaultError}, {Fault}; then nothing changed */
  async #goLive(
    entry: Entry,
    compiled: CompiledScript,
    job: Job,
    cause: Cause,
    pin: Pin | null,
    startedMs = this.#options.clock.monotonicMs(),
  ): Promise<void> {
    const { clock, log, gates = () => [] } = this.#options;
    const former = entry.live;
    const isNew = former?.version !== compiled.version;
    const live = former && !isNew ? former : await this.#load(entry.name, compiled, job);
    const candidate: Candidate = {
      script: entry.name,
      file: entry.file,
      compiled,
      exports: live.exports,
      live: former && { version: former.version, grants: former.exports.grants ?? {} },
      wasLive: entry.wasLive.has(compiled.version),
    };
    const warnings = [...(live.rule?.warnings ?? [])];
    // What was live before has met them then, and an operator who goes back is in a hurry.
    if (isNew && cause.by !== "rollback")
      for (const gate of gates()) if (gate.policy === "block") warnings.push(...(await gate.check(candidate)));
    const changed = isNew || entry.pinned !== null || pin !== null;
    Object.assign(entry, { live, broken: null, pending: null, pinned: pin });
    if (!changed) return;
    entry.warnings = warnings;
    entry.wasLive.add(compiled.version);
    this.#keep(entry, { compiled, grants: live.exports.grants ?? {} }, job, cause);
    if (!isNew) return;
    // A restart is no save: what is known of the version was said then.
    if (cause.by !== "rollback" && !(former === null && candidate.wasLive)) job.activated.push(candidate);
    const ms = Math.round(clock.monotonicMs() - startedMs);
    log.info("script.activated", {
      script: entry.name,
      version: compiled.version,
      former: former?.version,
      ...(cause.by !== "save" && { by: cause.by, author: cause.author }),
      ms,
    });
    for (const warning of warnings) log.warn("script.warned", { script: entry.name, warning });
  }

  async #load(name: string, compiled: CompiledScript, job: Job): Promise<NonNullable<Entry["live"]>> {
    const { sandbox, limits, clock } = this.#options;
    this.#holds.hold([compiled.version]);
    job.loaded.push(compiled.version);
    const exports = await sandbox.load(compiled, limits);
    const rule = exports.rule === undefined ? null : parseRule(exports.rule);
    const live = { version: compiled.version, exports, rule, since: clock.now() };
    checkBindings(name, live);
    return live;
  }

  #keep(entry: Entry, kept: KeptVersion, job: Job, { by, author }: Cause): void {
    const { versions, clock } = this.#options;
    const at = clock.now();
    const { pinned, file } = entry;
    job.writes.push(async () => {
      await versions?.activated(kept, { at, by, author: author === undefined ? await ownerOf(file) : author }, pinned);
    });
  }

  /** Whether an earlier version runs in the place of the file, which is as it was when that was pinned. */
  async #staysPinned(entry: Entry, job: Job): Promise<boolean> {
    if (!entry.pinned || entry.pinned.over !== entry.saved) return false;
    if (!entry.live) await this.#restore(entry, job);
    if (!entry.live) return false;
    entry.broken = null;
    entry.pending = null;
    return true;
  }

  /** The server was started while what is saved cannot run, or is not what shall: what ran before it runs. */
  async #restore(entry: Entry, job: Job): Promise<void> {
    const { versions, log } = this.#options;
    const kept = entry.lastLive === null ? undefined : await versions?.version(entry.name, entry.lastLive);
    if (!kept) return;
    try {
      entry.live = await this.#load(entry.name, kept.compiled, job);
      log.warn("script.restored", { script: entry.name, version: entry.live.version });
    } catch (error) {
      log.warn("script.not-restored", { script: entry.name, reason: describeThrown(error) });
    }
  }

  /** Gates that only warn are asked when nobody waits for them. */
  async #askWarners(candidate: Candidate): Promise<void> {
    const { gates = () => [], log } = this.#options;
    const { file, script, compiled } = candidate;
    const running = () => {
      const entry = this.#entries.get(file);
      return entry?.live?.version === compiled.version ? entry : undefined;
    };
    for (const gate of gates()) {
      if (gate.policy !== "warn" || !running()) continue;
      const found = await askWarner(gate, candidate);
      const entry = running();
      if (entry) entry.warnings = [...entry.warnings, ...found];
      for (const warning of found) log.warn("script.warned", { script, gate: gate.name, warning });
    }
  }

  #bindAll(): void {
    const entries = [...this.#entries.values()];
    const { grantsOf = () => ({}) } = this.#options;
    const former = this.#bound;
    this.#bound = entries.flatMap(({ live }) => (live ? [live.version] : []));
    this.#holds.hold(this.#bound);
    const bindings = entries.flatMap(({ name, live, broken, pending }) =>
      live
        ? bindingsOf(name, live, grantsOf(live.exports.grants ?? {}))
        : [brokenBinding(name, broken?.message ?? pending?.message ?? "not loaded")],
    );
    this.#options.bind(bindings, () => this.#holds.release(former));
  }
}
