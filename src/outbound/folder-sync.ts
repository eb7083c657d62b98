/** Syncs of folders, shared: who asks while one runs waits for the next, together with all others who do. */
import { syncFolder } from "../platform/durable-file.ts";

interface Folder {
  running: Promise<void>;
  next: Promise<void> | undefined;
}

export class FolderSync {
  readonly #folders = new Map<string, Folder>();
  readonly #sync: (path: string) => Promise<void>;

  constructor(sync: (path: string) => Promise<void> = syncFolder) {
    this.#sync = sync;
  }

  /** Resolves after a sync that began after the call. */
  sync(path: string): Promise<void> {
    const folder = this.#folders.get(path);
    if (!folder) return this.#begin(path);
    // The one that runs may have begun before this entry was made.
    folder.next ??= folder.running.catch(() => {}).then(() => this.#begin(path));
    return folder.next;
  }

  #begin(path: string): Promise<void> {
    const folder: Folder = { running: Promise.resolve(), next: undefined };
    folder.running = this.#sync(path).finally(() => {
      if (!folder.next) this.#folders.delete(path);
    });
    this.#folders.set(path, folder);
    return folder.running;
  }
}
