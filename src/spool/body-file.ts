/**
 * Bodies on their way into the spool: in memory up to `inlineBodyOctetsMax`, in a file of their own above. A file is synced, and its folder is, before
 * `finish` resolves; a failed write or sync is final for that file (RELIABILITY P1). File names are random: a message id never becomes a path here.
 */
import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { type Body, inlineBody } from "../mail/message.ts";
import { syncFolder, writeAllFully } from "../platform/durable-file.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { type BodyWriter, inlineBodyOctetsMax } from "./spool.ts";

/** What `createBodyFile` names its files: nothing else in the folder is ours to remove. */
export const bodyFilePattern = /^[0-9a-f]{32}$/;

/** Octets gathered before they are written, so that a body of small chunks is not a body of small writes. */
const writeOctetsWanted = 64 * 1024;
/** Pieces of one write: as many as the kernel takes (IOV_MAX). */
const chunksMax = 1_024;

/**
 * A writer whose file stands in `folder`. `unclaimed` holds the names of the files that are finished and not yet a message's: this one is added, and
 * `discard` removes a finished file only while it is still in there.
 */
export function createBodyFile(
  folder: string,
  unclaimed: Set<string>,
  onFailure: (fault: Fault) => void = () => {},
): BodyWriter {
  let chunks: Buffer[] = [];
  let pendingOctets = 0;
  let sizeOctets = 0;
  let file: { readonly handle: FileHandle; readonly name: string } | undefined;
  let state: "open" | "finished" | "discarded" = "open";
  let failure: Fault | undefined;

  /** Writes what is gathered; the first failure stays the answer to everything that follows. */
  async function flush(): Promise<void> {
    const gathered = chunks;
    chunks = [];
    pendingOctets = 0;
    try {
      if (!file) {
        const name = randomBytes(16).toString("hex");
        file = { handle: await open(join(folder, name), "wx", 0o600), name };
      }
      await writeAllFully(file.handle, gathered);
    } catch (error) {
      throw await fail(error);
    }
  }

  async function fail(error: unknown): Promise<Fault> {
    failure ??= storageFault("write a body", error);
    onFailure(failure);
    await removeFile();
    return failure;
  }

  async function removeFile(): Promise<void> {
    if (!file) return;
    const { handle, name } = file;
    file = undefined;
    await handle.close().catch(() => {});
    await unlink(join(folder, name)).catch(() => {});
  }

  return {
    write(chunk) {
      if (failure) return Promise.reject(failure);
      if (state !== "open")
        return Promise.reject(
          new Fault("spool.failed", `Cannot write to a body: it is ${state}, expected an open one`),
        );
      chunks.push(chunk);
      pendingOctets += chunk.length;
      sizeOctets += chunk.length;
      const isDue = pendingOctets >= writeOctetsWanted || chunks.length >= chunksMax;
      return sizeOctets > inlineBodyOctetsMax && isDue ? flush() : undefined;
    },
    async finish() {
      if (failure) throw failure;
      if (state !== "open")
        throw new Fault("spool.failed", `Cannot finish a body: it is ${state}, expected an open one`);
      if (sizeOctets <= inlineBodyOctetsMax) {
        state = "finished";
        return inlineBody(Buffer.concat(chunks));
      }
      if (chunks.length > 0) await flush();
      const { handle, name } = file!;
      try {
        await handle.datasync();
        await handle.close();
        await syncFolder(folder);
      } catch (error) {
        throw await fail(error);
      }
      state = "finished";
      unclaimed.add(name);
      return fileBody(join(folder, name), sizeOctets);
    },
    async discard() {
      chunks = [];
      if (state === "finished" && file && !unclaimed.delete(file.name)) return;
      state = "discarded";
      await removeFile();
    },
  };
}

/** A body that a file holds. A file that is gone, or not as long as it was, is a fault and never a shorter message. */
export function fileBody(path: string, sizeOctets: number): Body {
  return {
    sizeOctets,
    inline: undefined,
    file: path,
    async octets() {
      const octets = await readFile(path).catch((error: unknown) => {
        throw storageFault("read a body", error);
      });
      checkLength(path, octets.length, sizeOctets);
      return octets;
    },
    async *chunks() {
      let length = 0;
      try {
        for await (const chunk of createReadStream(path, { highWaterMark: writeOctetsWanted })) {
          length += (chunk as Buffer).length;
          yield chunk as Buffer;
        }
      } catch (error) {
        throw storageFault("read a body", error);
      }
      checkLength(path, length, sizeOctets);
    },
  };
}

/** What the disk said, as a fault: `spool.full` where there is no room (octets, quota or inodes), else `spool.failed`. */
export function storageFault(work: string, error: unknown): Fault {
  if (error instanceof Fault) return error;
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  const full = code === "ENOSPC" || code === "EDQUOT";
  return new Fault(full ? "spool.full" : "spool.failed", `Cannot ${work}: ${describeThrown(error)}`, { cause: error });
}

function checkLength(path: string, length: number, expected: number): void {
  if (length !== expected)
    throw new Fault("spool.failed", `Cannot read the body ${path}: it has ${length} octets, expected ${expected}`);
}
