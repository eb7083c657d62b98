/** Folders that are still there after a power cut: a new folder is an entry in another one, and that one has to be synced. */
import { mkdir, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { syncFolder } from "./durable-file.ts";

/** Folders that are being made: who needs one of them meanwhile waits, since a folder that is there need not be durable yet. */
const underWay = new Map<string, Promise<void>>();

/** Makes the folder and what is missing above it; once this resolves every entry made is durable. */
export function makeFolderDurably(path: string, mode = 0o700): Promise<void> {
  const folder = resolve(path);
  let made = underWay.get(folder);
  if (!made) {
    made = make(folder, mode).finally(() => underWay.delete(folder));
    underWay.set(folder, made);
  }
  return made;
}

async function make(folder: string, mode: number): Promise<void> {
  let state = await makeFolder(folder, mode);
  if (state === "there") return;
  if (state instanceof Error && dirname(folder) !== folder) {
    await makeFolderDurably(dirname(folder), mode);
    // Once, and not round in circles: some file systems say that the folder above is missing when they mean that nobody may make one there.
    state = await makeFolder(folder, mode);
  }
  if (state instanceof Error) throw state;
  // "there" by now is another process's doing; whether it has synced it yet is not known, so it is synced here too.
  await syncFolder(dirname(folder));
}

/** An error where the folder above it is missing: what the system said. */
async function makeFolder(folder: string, mode: number): Promise<"made" | "there" | Error> {
  try {
    await mkdir(folder, { mode });
    return "made";
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && (await stat(folder)).isDirectory()) return "there";
    if (code === "ENOENT") return error as NodeJS.ErrnoException;
    throw error;
  }
}
