/** Files that are whole or absent after a power cut: written aside, synced, renamed into place, and their folder synced. One writer of a path at a time. */
import { type FileHandle, open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Makes `path` hold `chunks`, durably: once this resolves, neither a crash nor a power cut loses it or shows half of it.
 * A failed sync is final (RELIABILITY P1): the file is removed and the error thrown, never retried on the same descriptor.
 */
export async function writeDurably(path: string, chunks: Iterable<Uint8Array>, mode = 0o600): Promise<void> {
  const aside = `${path}.${process.pid}.tmp`;
  const file = await openAnew(aside, mode);
  try {
    try {
      for (const chunk of chunks) await writeFully(file, chunk);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(aside, path);
  } catch (error) {
    await unlink(aside).catch(() => {});
    throw error;
  }
  await syncFolder(dirname(path));
}

/** A server that was killed may have left the file, and in a container the next one has its process id. */
async function openAnew(path: string, mode: number): Promise<FileHandle> {
  try {
    return await open(path, "wx", mode);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    await unlink(path);
    return await open(path, "wx", mode);
  }
}

/** Makes the entries of a folder durable: a new name survives a power cut only after this. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Writes every octet of `chunk`; a short write is continued, not lost. */
export async function writeFully(file: FileHandle, chunk: Uint8Array): Promise<void> {
  let written = 0;
  while (written < chunk.length) {
    written += (await file.write(chunk, written, chunk.length - written)).bytesWritten;
  }
}

/** The same for several pieces, in one system call as a rule and without copying them together. At most 1,024 of them. writev(2). */
export async function writeAllFully(file: FileHandle, chunks: readonly Uint8Array[]): Promise<void> {
  let { bytesWritten } = await file.writev(chunks as Uint8Array[]);
  for (const chunk of chunks) {
    if (bytesWritten >= chunk.length) bytesWritten -= chunk.length;
    else {
      await writeFully(file, chunk.subarray(bytesWritten));
      bytesWritten = 0;
    }
  }
}
