/** Files of scripts: which they are, and how they are read so that nothing outside of their folder ever gets in. */
import { constants } from "node:fs";
import { type FileHandle, open, readdir, realpath } from "node:fs/promises";
import { basename, isAbsolute, join, relative, resolve, sep } from "node:path";

/** Octets of one file. */
export const fileOctetsMax = 262_144;

const scriptName = /^[^.].*\.(?:ts|mts|js|mjs)$/;
const declarationName = /\.d\.m?ts$/;

/** Why a file cannot be a script, or a part of one; the message is a sentence for people. */
export class ScriptFileError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ScriptFileError";
  }
}

/** Whether a file of that name is a script where it lies in the scripts folder itself. */
export function isScriptName(name: string): boolean {
  return scriptName.test(name) && !declarationName.test(name);
}

/** Absolute paths of the scripts directly in `root`, sorted; links and folders are none. Rejects where the folder cannot be read. */
export async function listScripts(root: string): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && isScriptName(entry.name))
    .map((entry) => join(resolve(root), entry.name))
    .sort();
}

/** Whether a path lies below a folder, by its words alone. */
export function isBelow(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== "" && way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

/**
 * Text of a regular file below `root`. No link is followed, neither the file itself nor a folder on the way to it.
 * @throws {ScriptFileError} where it is missing, is elsewhere, is no file, or is too large
 */
export async function readScriptFile(root: string, path: string): Promise<string> {
  const shown = basename(path);
  if (!isBelow(root, path)) throw new ScriptFileError(`${shown} is outside of the scripts folder`);
  let handle: FileHandle | undefined;
  try {
    const real = await realpath(path);
    if (real !== join(await realpath(root), relative(root, path)))
      throw new ScriptFileError(
        `${shown} is reached through a symbolic link: only files in the scripts folder itself are taken`,
      );
    // Opened without following links and without waiting for the other end of a pipe: it may have been exchanged since.
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { size } = await assertRegular(handle, shown);
    if (size > fileOctetsMax) throw new ScriptFileError(`${shown} is larger than ${fileOctetsMax / 1024} KiB`);
    const octets = Buffer.alloc(fileOctetsMax + 1);
    let length = 0;
    // It may be growing while it is read: one octet more than allowed is enough to know.
    for (;;) {
      const { bytesRead } = await handle.read(octets, length, octets.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
      if (length > fileOctetsMax) throw new ScriptFileError(`${shown} is larger than ${fileOctetsMax / 1024} KiB`);
    }
    return octets.toString("utf8", 0, length);
  } catch (thrown) {
    if (thrown instanceof ScriptFileError) throw thrown;
    throw new ScriptFileError(describeFailure(shown, thrown));
  } finally {
    await handle?.close();
  }
}

async function assertRegular(handle: FileHandle, shown: string): Promise<{ readonly size: number }> {
  const stats = await handle.stat();
  if (!stats.isFile()) throw new ScriptFileError(`${shown} is no regular file`);
  return stats;
}

function describeFailure(shown: string, thrown: unknown): string {
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  if (code === "ENOENT" || code === "ENOTDIR") return `There is no file ${shown}`;
  if (code === "ELOOP") return `${shown} is a symbolic link: only files in the scripts folder itself are taken`;
  if (code === "EACCES" || code === "EPERM") return `${shown} cannot be read: permission denied`;
  return `${shown} cannot be read${code === "" ? "" : `: ${code}`}`;
}
