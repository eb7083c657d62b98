/** Folders that are still there after a power cut: a new folder is an entry in another one, and that one has to be synced. */
import { mkdir, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { syncFolder } from "./durable-file.ts";

/** Makes the folder and what is missing above it; once this resolves every entry made is durable. */
export async function makeFolderDurably(path: string, mode = 0o700): Promise<void> {
  const folder = resolve(path);
  const state = await makeFolder(folder, mode);
  if (state === "there") return;
  if (state === "made") return await syncFolder(dirname(folder));
  await makeFolderDurably(dirname(folder), mode);
  // Some file systems say that the folder above is missing when they mean that nobody may make one there.
  await mkdir(folder, { mode });
  await syncFolder(dirname(folder));
}

/** `orphan`: the folder above it is missing. */
async function makeFolder(folder: string, mode: number): Promise<"made" | "there" | "orphan"> {
  try {
    await mkdir(folder, { mode });
    return "made";
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EEXIST" && (await stat(folder)).isDirectory()) return "there";
    if (code !== "ENOENT" || dirname(folder) === folder) throw error;
    return "orphan";
  }
}
