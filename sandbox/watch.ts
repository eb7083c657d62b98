/**
 * Watches the scripts folder: says which files changed and which are gone, once for a burst of changes. What it says was looked up when the
 * burst was over, so it does not matter by which of the many ways an editor saves a file. Links are never followed.
 */
import { lstat, realpath } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import { type FSWatcher, watch } from "chokidar";

export { listScripts } from "./script-files.ts";

export interface ScriptChange {
  /** Absolute paths of files that are new or changed: scripts, and files that scripts may import. */
  readonly changed: string[];
  /** Absolute paths of files that are gone, or are no regular files any more. */
  readonly removed: string[];
}

/** Quiet time after which a burst is over, in milliseconds. */
const quietMs = 30;
/** A burst that does not end is told of in pieces, this often. */
const burstMsMax = 250;
const depthMax = 8;
const watchedName = /\.(?:ts|mts|js|mjs|json)$/;

/** Resolves when every later change will be told. Rejects where the folder cannot be watched. */
export async function watchScripts(options: {
  readonly root: string;
  readonly onChange: (change: ScriptChange) => void;
}): Promise<{ close(): Promise<void> }> {
  const root = resolve(options.root);
  // The folder itself may be a link: an admin's choice, unlike one inside of it. It is watched where it is and told of where it was named.
  const real = await realpath(root);
  const burst = new Burst((paths) => sort(root, paths), options.onChange);
  const watcher = watch(real, {
    ignoreInitial: true,
    followSymlinks: false,
    depth: depthMax,
    atomic: false,
    ignored: (path, stats) => isIgnored(relative(real, path), stats?.isFile() === true),
  });
  watcher.on("all", (event, path) => {
    // A link to a folder is told of like a file: it is none of a script's files, whatever it leads to.
    const isFileEvent = event === "add" || event === "change" || event === "unlink";
    if (isFileEvent && watchedName.test(path)) burst.add(join(root, relative(real, path)));
  });
  await ready(watcher);
  return {
    async close() {
      burst.stop();
      await watcher.close();
    },
  };
}

/** Dot files, tests beside scripts, declarations and packages are nothing a script is made of. */
function isIgnored(path: string, isFile: boolean): boolean {
  if (path === "") return false;
  const names = path.split(sep);
  if (names.some((name) => name.startsWith(".") || name === "node_modules" || name.endsWith(".test"))) return true;
  return isFile && (!watchedName.test(path) || /\.d\.m?ts$/.test(path));
}

function ready(watcher: FSWatcher): Promise<void> {
  return new Promise((resolve, reject) => {
    let isReady = false;
    watcher.once("ready", () => {
      isReady = true;
      resolve();
    });
    // Later ones are of single files that went away meanwhile, which the next look at them tells anyway.
    watcher.on("error", (error) => {
      if (!isReady) reject(error);
    });
  });
}

/** Which of the paths are regular files now. */
async function sort(root: string, paths: readonly string[]): Promise<ScriptChange> {
  const change: ScriptChange = { changed: [], removed: [] };
  for (const path of paths) {
    const stats = await lstat(path).catch(() => undefined);
    (stats?.isFile() ? change.changed : change.removed).push(resolve(root, path));
  }
  return change;
}

class Burst {
  readonly #sort: (paths: readonly string[]) => Promise<ScriptChange>;
  readonly #tell: (change: ScriptChange) => void;
  readonly #paths = new Set<string>();
  #quiet: NodeJS.Timeout | undefined;
  #sinceMs = 0;
  #stopped = false;

  constructor(sort: (paths: readonly string[]) => Promise<ScriptChange>, tell: (change: ScriptChange) => void) {
    this.#sort = sort;
    this.#tell = tell;
  }

  add(path: string): void {
    if (this.#stopped) return;
    if (this.#paths.size === 0) this.#sinceMs = performance.now();
    this.#paths.add(path);
    clearTimeout(this.#quiet);
    const leftMs = this.#sinceMs + burstMsMax - performance.now();
    this.#quiet = setTimeout(() => void this.#over(), Math.max(0, Math.min(quietMs, leftMs)));
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#quiet);
  }

  async #over(): Promise<void> {
    const paths = [...this.#paths].sort();
    this.#paths.clear();
    const change = await this.#sort(paths);
    if (!this.#stopped) this.#tell(change);
  }
}
