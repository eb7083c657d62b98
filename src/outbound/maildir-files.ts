/** What lies in a Maildir beside the message that is delivered: how much it is, and what others left half written. */
import { lstat, readdir, unlink } from "node:fs/promises";
import { join } from "node:path";

/** A file in `tmp` that is older was left by a writer that died: the custom of Maildir. */
export const staleMs = 36 * 60 * 60_000;
/** Files of `tmp` looked at in one go. */
const sweptMax = 10_000;

/** Octets of all messages in the Maildir at `path` and in its folders. A Maildir that is not there has none. */
export async function countMaildir(path: string): Promise<number> {
  let octets = 0;
  for (const maildir of [path, ...(await foldersOf(path))])
    for (const part of ["new", "cur"]) octets += await countFiles(join(maildir, part));
  return octets;
}

/** Removes what is stale in the Maildir's `tmp`. Gives how many files that were; what cannot be removed stays. */
export async function sweepMaildir(path: string, now: number): Promise<number> {
  const tmp = join(path, "tmp");
  let removed = 0;
  const names = await readdir(tmp).catch(() => []);
  for (const name of names.slice(0, sweptMax)) {
    const file = join(tmp, name);
    const isStale = await lstat(file).then(
      (found) => found.isFile() && found.mtimeMs < now - staleMs,
      () => false,
    );
    if (!isStale) continue;
    await unlink(file).then(
      () => removed++,
      () => {},
    );
  }
  return removed;
}

async function foldersOf(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(nothingWhereMissing);
  return entries
    .filter((entry) => entry.isDirectory() && /^\.[^.]/.test(entry.name))
    .map(({ name }) => join(path, name));
}

async function countFiles(folder: string): Promise<number> {
  let octets = 0;
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(nothingWhereMissing)) {
    if (!entry.isFile()) continue;
    // Writers may say a file's size in its name (Maildir++): then it costs no look.
    const said = /,S=(\d{1,15})(?:[,:]|$)/.exec(entry.name)?.[1];
    octets += said === undefined ? await sizeOf(join(folder, entry.name)) : Number(said);
  }
  return octets;
}

/** A reader may move or remove a file meanwhile. */
async function sizeOf(file: string): Promise<number> {
  return lstat(file).then(
    ({ size }) => size,
    () => 0,
  );
}

function nothingWhereMissing(error: unknown): never[] {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ENOTDIR") return [];
  throw error;
}

/** Whether somebody has seen a message of this name: he moved it from `new` to `cur`, with flags behind it. */
export async function hasBeenRead(maildir: string, name: string): Promise<boolean> {
  const names = await readdir(join(maildir, "cur")).catch(() => []);
  return names.some((one) => one === name || one.startsWith(`${name}:`));
}
