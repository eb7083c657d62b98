/**
 * Versions of scripts in the data folder: every version that ever was live, whole, by its hash, and for each script what was live when. That is what a
 * server goes back to which is started while an edit is broken, and what `history`, `diff` and `rollback` read. A damaged file costs what is in it.
 *
 * `data/scripts/scripts%2Fa.ts/history.json` and `…/0123…ef.json`, one for each version. One server writes; anybody who may read the folder reads.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { CompiledScript, Grants } from "../../sandbox/protocol.ts";
import { writeDurably } from "../platform/durable-file.ts";
import { makeFolderDurably } from "../platform/durable-folder.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";

/** What made a version live. */
export type ActivationCause = "save" | "rollback" | "unpin" | "approve" | "promote";

export interface Activation {
  readonly version: string;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  /** Who saved the file, or who gave the command, where that is known. */
  readonly author: string | null;
  readonly by: ActivationCause;
}

/** An earlier version that runs in the place of what the file says, until that changes. */
export interface Pin {
  readonly version: string;
  /** Version of the file when it was pinned; null: it could not be compiled. */
  readonly over: string | null;
  readonly at: number;
  readonly author: string | null;
}

export interface ScriptHistory {
  readonly script: string;
  /** Version that runs, or ran when the server stopped; null where none did. */
  readonly live: string | null;
  readonly pinned: Pin | null;
  /** When the file was gone; null: it is there. */
  readonly removedAt: number | null;
  /** Oldest first. */
  readonly activations: readonly Activation[];
}

export interface KeptVersion {
  readonly compiled: CompiledScript;
  readonly grants: Grants;
}

/** Activations that are remembered of one script. */
const activationsMax = 1_000;
/** Octets of a folder's name, of which a file system takes 255. */
const folderNameOctetsMax = 200;
const historyName = "history.json";
const versionPattern = /^sha256:([0-9a-f]{64})$/;
const versionFilePattern = /^([0-9a-f]{64})\.json$/;

export class VersionStore {
  readonly #folder: string;
  readonly #versionsMax: () => number;
  readonly #log: Log;

  constructor(options: {
    readonly folder: string;
    /** Versions kept of one script; those that are live do not count. */
    readonly versionsMax: () => number;
    readonly log: Log;
  }) {
    this.#folder = options.folder;
    this.#versionsMax = options.versionsMax;
    this.#log = options.log;
  }

  /** Names of the scripts that were live once, in order. */
  async scripts(): Promise<readonly string[]> {
    const names: string[] = [];
    const found = await readdir(this.#folder, { withFileTypes: true }).catch(() => []);
    for (const folder of found) {
      if (!folder.isDirectory()) continue;
      const path = join(this.#folder, folder.name);
      const history = await readJson(join(path, historyName)).catch(() => undefined);
      if (isHistory(history)) names.push(history.script);
      else names.push(...(await this.#keptIn(path)).slice(0, 1).map(({ script }) => script));
    }
    return names.sort();
  }

  /** What was live when; empty where nothing is known. */
  async history(script: string): Promise<ScriptHistory> {
    const folder = this.#folderOf(script);
    const path = join(folder, historyName);
    try {
      const history = await readJson(path);
      if (isHistory(history) && history.script === script) return history;
      throw new Error("it is no history of that script");
    } catch (error) {
      const kept = await this.#keptIn(folder);
      if (!isMissing(error) || kept.length > 0) this.#tellDamaged(script, path, error);
      // What is left says when each version was kept, and the last of them is what ran.
      const activations = kept.map(({ version, at, author }) => ({ version, at, author, by: "save" as const }));
      return { script, live: kept.at(-1)?.version ?? null, pinned: null, removedAt: null, activations };
    }
  }

  /** Undefined where there is none that can be read whole. */
  async version(script: string, version: string): Promise<KeptVersion | undefined> {
    const path = this.#pathOf(script, version);
    if (path === null) return undefined;
    try {
      const kept = await readJson(path);
      if (!isKept(kept) || kept.script !== script || kept.version !== version || kept.check !== checkOf(kept))
        throw new Error("it is not what was written");
      const { format: _format, script: name, at: _at, author: _author, check: _check, grants, ...compiled } = kept;
      return { compiled: { name, ...compiled }, grants };
    } catch (error) {
      if (!isMissing(error)) this.#tellDamaged(script, path, error);
      return undefined;
    }
  }

  /**
   * Keeps a version that is live now, with who made it so; those that are too many go. What runs on, as after a restart, is nothing new.
   * @throws the file system's error; then it may be half kept
   */
  async activated(
    { compiled, grants }: KeptVersion,
    { at, author, by }: Omit<Activation, "version">,
    pinned: Pin | null,
  ): Promise<void> {
    const { name: script, version } = compiled;
    const path = this.#pathOf(script, version);
    if (path === null) throw new Error(`${version} is no version of a script`);
    const before = await this.history(script);
    const wasKept = (await this.version(script, version)) !== undefined;
    if (wasKept && before.live === version && JSON.stringify(before.pinned) === JSON.stringify(pinned)) return;
    await makeFolderDurably(this.#folderOf(script));
    if (!wasKept) {
      const { name: _name, ...whole } = compiled;
      const kept = { format: 1, script, at, author, grants, ...whole } as const;
      await writeJson(path, { ...kept, check: checkOf(kept) });
    }
    const present = { ...before, live: version, pinned, removedAt: null };
    const all = [...before.activations, { version, at, author, by }].slice(-activationsMax);
    const wanted = wantedOf(all, present, this.#versionsMax());
    const activations = all.filter((one) => wanted.has(one.version));
    await this.#writeHistory({ ...present, activations });
    await this.#prune(script, wanted);
  }

  /** The pin is over; what is live stays. */
  async unpinned(script: string): Promise<void> {
    const history = await this.history(script);
    if (history.pinned !== null) await this.#writeHistory({ ...history, pinned: null });
  }

  /** The file is gone: nothing of it is live any more, and its history stays. */
  async removed(script: string, at: number): Promise<void> {
    const history = await this.history(script);
    if (history.activations.length > 0)
      await this.#writeHistory({ ...history, live: null, pinned: null, removedAt: at });
  }

  /** Takes away what is known of scripts that are gone since before. */
  async forgetRemoved(before: number): Promise<void> {
    for (const script of await this.scripts()) {
      const { removedAt } = await this.history(script);
      if (removedAt !== null && removedAt < before) await rm(this.#folderOf(script), { recursive: true, force: true });
    }
  }

  async #writeHistory(history: ScriptHistory): Promise<void> {
    await writeJson(join(this.#folderOf(history.script), historyName), { format: 1, ...history });
  }

  async #prune(script: string, wanted: ReadonlySet<string>): Promise<void> {
    const folder = this.#folderOf(script);
    for (const name of await readdir(folder)) {
      const [, hash] = versionFilePattern.exec(name) ?? [];
      if (hash !== undefined && !wanted.has(`sha256:${hash}`)) await rm(join(folder, name), { force: true });
    }
  }

  /** The version files of a folder that can be read, oldest first. */
  async #keptIn(folder: string): Promise<readonly KeptFile[]> {
    const kept: KeptFile[] = [];
    for (const name of await readdir(folder).catch(() => [])) {
      if (!versionFilePattern.test(name)) continue;
      const file = await readJson(join(folder, name)).catch(() => undefined);
      if (isKept(file)) kept.push(file);
    }
    return kept.sort((one, other) => one.at - other.at);
  }

  #tellDamaged(script: string, file: string, error: unknown): void {
    this.#log.warn("script.version-damaged", { script, file, reason: describeThrown(error) });
  }

  #folderOf(script: string): string {
    const name = encodeURIComponent(script);
    const short =
      name.length <= folderNameOctetsMax
        ? name
        : `${name.slice(0, folderNameOctetsMax - 65)}~${createHash("sha256").update(script).digest("hex")}`;
    return join(this.#folder, short);
  }

  /** null where it is no version: what is none never becomes a path. */
  #pathOf(script: string, version: string): string | null {
    const [, hash] = versionPattern.exec(version) ?? [];
    return hash === undefined ? null : join(this.#folderOf(script), `${hash}.json`);
  }
}

/** A version as it is written: what a file of it must hold. */
interface KeptFile extends Omit<CompiledScript, "name"> {
  readonly format: 1;
  readonly script: string;
  readonly at: number;
  readonly author: string | null;
  readonly grants: Grants;
  /** Of what is run: a file that was changed or half lost is not believed. */
  readonly check: string;
}

/** The versions that stay: what is live, and of the others the latest. */
function wantedOf(
  activations: readonly Activation[],
  { live, pinned }: Pick<ScriptHistory, "live" | "pinned">,
  versionsMax: number,
): ReadonlySet<string> {
  const latest = new Set(activations.map(({ version }) => version).reverse());
  const wanted = new Set([...latest].slice(0, versionsMax));
  for (const version of [live, pinned?.version]) if (version) wanted.add(version);
  return wanted;
}

function checkOf({ version, grants, code, sourceMap }: Omit<KeptFile, "check">): string {
  return createHash("sha256")
    .update(JSON.stringify([version, grants, code, sourceMap]))
    .digest("hex");
}

async function readJson(path: string): Promise<unknown> {
  return JSON.parse(await readFile(path, "utf8"));
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeDurably(path, [Buffer.from(`${JSON.stringify(value)}\n`)]);
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | null)?.code === "ENOENT";
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || isText(value);
}

function isHistory(value: unknown): value is ScriptHistory {
  const { script, live, pinned, removedAt, activations } = (value ?? {}) as Partial<ScriptHistory>;
  return (
    isText(script) &&
    isTextOrNull(live) &&
    (pinned === null || (isText(pinned?.version) && isTextOrNull(pinned.over) && typeof pinned.at === "number")) &&
    (removedAt === null || typeof removedAt === "number") &&
    Array.isArray(activations) &&
    activations.every(
      (one: Partial<Activation> | null) =>
        isText(one?.version) && typeof one.at === "number" && isTextOrNull(one.author) && isText(one.by),
    )
  );
}

function isKept(value: unknown): value is KeptFile {
  const kept = (value ?? {}) as Partial<KeptFile>;
  return (
    [kept.script, kept.version, kept.code, kept.sourceMap, kept.check].every(isText) &&
    typeof kept.at === "number" &&
    isTextOrNull(kept.author) &&
    Array.isArray(kept.inputs) &&
    (kept.packages === undefined || Array.isArray(kept.packages)) &&
    typeof kept.sources === "object" &&
    kept.sources !== null &&
    Object.values(kept.sources).every(isText) &&
    typeof kept.grants === "object" &&
    kept.grants !== null
  );
}
