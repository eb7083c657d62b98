/** Folders that are still there after a power cut: a new folder is an entry in another one, and that one has to be synced. */
import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { syncFolder } from "./durable-file.ts";

/** Makes the folder and what is missing above it; once this resolves every entry made is durable. */
export async function makeFolderDurably(path: string, mode = 0o700): Promise<void> {
  const folder = resolve(path);
  try {
    await mkdir(folder, { mode });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EEXIST") return;
    if (code !== "ENOENT" || dirname(folder) === folder) throw error;
    await makeFolderDurably(dirname(folder), mode);
    await makeFolderDurably(folder, mode);
    return;
  }
  await syncFolder(dirname(folder));
}
