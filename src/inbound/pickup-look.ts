/** What is in the pickup folder and may be taken: regular files that nobody has written to between two looks. */
import type { Stats } from "node:fs";
import { lstat, opendir } from "node:fs/promises";
import { join } from "node:path";

/** A file has to stay as it is for so long before it is taken. */
export const settleMs = 1_000;

/** Files that are watched until they are settled; others wait their turn in the folder. */
const watchedMax = 1_000;

export interface Look {
  /** Names of files that are settled now. */
  readonly ready: readonly string[];
  /** What is there and is never taken, with the reason. */
  readonly refused: readonly { readonly name: string; readonly reason: string }[];
  /** Whether files are there that are not settled yet. */
  readonly pending: boolean;
}

interface Seen {
  readonly size: number;
  readonly mtimeMs: number;
  readonly ino: number;
  readonly atMs: number;
}

/** Looks at one folder again and again. */
export class PickupLook {
  readonly #folder: string;
  #seen = new Map<string, Seen>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Looks once. Hidden files and `*.tmp` are not looked at: writers use such names until a file is whole.
   * @param isTaken names that are being worked on
   * @throws the file system's error where the folder cannot be read
   */
  async look(nowMs: number, isTaken: (name: string) => boolean): Promise<Look> {
    const seen = new Map<string, Seen>();
    const ready: string[] = [];
    const refused: { readonly name: string; readonly reason: string }[] = [];
    let pending = false;
    for await (const { name } of await opendir(this.#folder)) {
      if (name.startsWith(".") || name.endsWith(".tmp") || isTaken(name)) continue;
      if (seen.size + ready.length >= watchedMax) {
        pending = true;
        break;
      }
      // Gone meanwhile, or its name is none that can be written.
      const stats = await lstat(join(this.#folder, name)).catch(() => null);
      if (stats === null) continue;
      const reason = objectionTo(stats);
      if (reason !== null) {
        if (refused.length < watchedMax) refused.push({ name, reason });
        continue;
      }
      const { size, mtimeMs, ino } = stats;
      const before = this.#seen.get(name);
      const isSame = before?.size === size && before.mtimeMs === mtimeMs && before.ino === ino;
      if (isSame && nowMs - before.atMs >= settleMs) ready.push(name);
      else {
        seen.set(name, isSame ? before : { size, mtimeMs, ino, atMs: nowMs });
        pending = true;
      }
    }
    this.#seen = seen;
    return { ready, refused, pending };
  }
}

function objectionTo(stats: Stats): string | null {
  if (stats.isSymbolicLink()) return "it is a symbolic link";
  if (!stats.isFile()) return "it is no regular file";
  // Its writer may have just begun.
  return stats.size === 0 ? "it is empty" : null;
}
