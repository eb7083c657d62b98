/** Files and folders the configuration names, as the composition root needs them: there, and usable, or one clear fault. */
import { access, constants, lstat, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "./config/schema.ts";
import { makeFolderDurably } from "./platform/durable-folder.ts";
import { describeThrown, Fault } from "./platform/fault.ts";

/** @throws {Fault} `data.unusable` */
export async function prepareFolders({ data, delivery, scripts }: Config): Promise<void> {
  for (const folder of [data, delivery.maildir, join(data, "badmail")]) {
    try {
      await makeFolderDurably(folder);
      await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    } catch (error) {
      const why = (error as NodeJS.ErrnoException).code === "ENOENT" ? "it cannot be made" : describeFileError(error);
      throw new Fault("data.unusable", `Cannot use the folder ${folder}: ${why}`, { cause: error });
    }
  }
  const found = await lstat(scripts.folder).catch((error: unknown) => {
    throw new Fault(
      "data.unusable",
      `Cannot use the scripts folder ${scripts.folder}: ${describeFileError(error)}; make it, or name another with scripts.folder`,
      { cause: error },
    );
  });
  // Who can turn the link can put other scripts in the place of these.
  if (found.isSymbolicLink()) {
    throw new Fault(
      "data.unusable",
      `Cannot use the scripts folder ${scripts.folder}: it is a symbolic link; name the folder it leads to with scripts.folder`,
    );
  }
  if (!found.isDirectory())
    throw new Fault("data.unusable", `Cannot use the scripts folder ${scripts.folder}: it is not a folder`);
}

/** @throws {Fault} `config.unreadable` */
export async function readNamedFile(path: string, option: string): Promise<Buffer> {
  return await readFile(path).catch((error: unknown) => {
    throw new Fault("config.unreadable", `Cannot read ${path} (${option}): ${describeFileError(error)}`, {
      cause: error,
    });
  });
}

function describeFileError(error: unknown): string {
  switch ((error as NodeJS.ErrnoException | null)?.code) {
    case "ENOENT":
      return "it is not there";
    case "EACCES":
    case "EPERM":
      return "this user may not";
    case "EROFS":
      return "the file system is read-only";
    case "ENOSPC":
      return "the disk is full";
    case "ENOTDIR":
      return "something in its path is not a folder";
    case "EEXIST":
      return "something that is not a folder has its name";
    default:
      return describeThrown(error);
  }
}
