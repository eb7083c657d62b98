/** Waits for a file to change. Folders are watched and not files: a save by rename puts another file in the place of the one that was watched. */
import { type FSWatcher, statSync, watch } from "node:fs";
import { dirname } from "node:path";

/** Saves come in several steps; what follows within this time belongs to the same one. */
const settleMs = 60;
const foldersMax = 200;

/** Resolves when one of the files, or anything in one of the folders, was written, replaced or removed after `sinceMs` (Unix time). */
export async function watchFiles(paths: readonly string[], sinceMs: number): Promise<void> {
  const watched = new Set(paths);
  const folders = [...new Set(paths.map((path) => (isFolder(path) ? path : dirname(path))))].slice(0, foldersMax);
  const watchers: FSWatcher[] = [];
  try {
    await new Promise<void>((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      for (const folder of folders) {
        const watcher = watch(folder, (_event, name) => {
          const path = name === null ? folder : `${folder}/${name}`;
          // A hidden file is an editor's own.
          if (name?.startsWith(".") || !(watched.has(path) || watched.has(folder))) return;
          clearTimeout(timer);
          timer = setTimeout(resolve, settleMs);
        });
        // A folder that goes away changes nothing any more.
        watcher.on("error", () => watcher.close());
        watchers.push(watcher);
      }
      // What was saved before the watch began has no event any more.
      if (paths.some((path) => (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > sinceMs)) resolve();
    });
  } finally {
    for (const watcher of watchers) watcher.close();
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
