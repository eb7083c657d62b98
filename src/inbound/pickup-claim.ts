/**
 * Claims on files in the pickup folder. A file is claimed by a new name, `.claimed/ID-NAME`, before a single octet is read: nobody else takes it, and after a
 * crash the id tells whether its message is in the queue already.
 */
import { constants } from "node:fs";
import { mkdir, open, readdir, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { idPattern } from "../mail/ids.ts";
import { syncFolder } from "../platform/durable-file.ts";
import { describeThrown, Fault } from "../platform/fault.ts";

export interface Claim {
  /** The id its message has. */
  readonly id: string;
  /** As its writer called it; long names are cut. */
  readonly name: string;
  readonly path: string;
}

const claimedName = ".claimed";
const nameOctetsMax = 200;
const readOctets = 64 * 1024;

/**
 * Claims a file: under its new name once this resolves, durably where the disk lets it.
 * @throws {Fault} `submission.unreadable` where it is no regular file, or this user may not read or rename it; then it is where it was
 */
export async function claimFile(folder: string, name: string, id: string): Promise<Claim> {
  const from = join(folder, name);
  const claimed = join(folder, claimedName);
  try {
    // Not through a link, and not for ever at a pipe.
    const handle = await open(from, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      if (!(await handle.stat()).isFile()) throw new Error("it is no regular file");
    } finally {
      await handle.close();
    }
    await mkdir(claimed, { mode: 0o700 }).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    });
    const path = join(claimed, `${id}-${cutName(name)}`);
    await rename(from, path);
    // It is ours by now, whatever becomes of this: at worst a power cut gives it its old name back, and it is claimed anew.
    await syncFolder(claimed).catch(() => {});
    return { id, name, path };
  } catch (error) {
    throw unreadable(name, error);
  }
}

/** Claims that a server before this one left. */
export async function findClaims(folder: string): Promise<Claim[]> {
  const claimed = join(folder, claimedName);
  const names = await readdir(claimed).catch(() => []);
  return names.flatMap((entry) => {
    const id = entry.slice(0, 16);
    return idPattern.test(id) && entry[16] === "-" ? [{ id, name: entry.slice(17), path: join(claimed, entry) }] : [];
  });
}

/** @throws the file system's error */
export async function removeClaim({ path }: Claim): Promise<void> {
  await unlink(path);
  await syncFolder(join(path, ".."));
}

/** The octets of a claimed file. @throws {Fault} `submission.unreadable` where it cannot be read, or somebody still writes it */
export async function* readClaim({ name, path }: Claim): AsyncGenerator<Buffer> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const before = await handle.stat();
      if (!before.isFile()) throw new Error("it is no regular file");
      for (;;) {
        const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(readOctets), 0, readOctets, null);
        if (bytesRead === 0) break;
        yield buffer.subarray(0, bytesRead);
      }
      const after = await handle.stat();
      if (after.size !== before.size || after.mtimeMs !== before.mtimeMs) throw new Error("it is still being written");
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw unreadable(name, error);
  }
}

function unreadable(name: string, error: unknown): Fault {
  const { code } = error as NodeJS.ErrnoException;
  // Without the paths that the system's own words have in them: the same trouble is told in the same words.
  const why = code === "ELOOP" ? "it is a symbolic link" : code ? `the system says ${code}` : describeThrown(error);
  return new Fault("submission.unreadable", `Cannot take the pickup file ${JSON.stringify(name)}: ${why}`, {
    cause: error,
  });
}

/** A file's name has 255 octets at most, ours in front of it included. */
function cutName(name: string): string {
  let cut = name;
  while (Buffer.byteLength(cut) > nameOctetsMax) cut = cut.slice(0, -1);
  return cut.toWellFormed();
}
