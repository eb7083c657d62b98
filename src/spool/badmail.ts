/**
 * Badmail: messages kept apart, and files that were none, each in a folder of its own with the reason beside it, until somebody releases or removes them.
 * What is wrong with one folder is said of that folder, and is no obstacle to the others.
 */
import { copyFile, link, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { idPattern } from "../mail/ids.ts";
import type { Body, Message } from "../mail/message.ts";
import { crashPoint } from "../platform/crash-point.ts";
import { syncFolder, writeDurably } from "../platform/durable-file.ts";
import { makeFolderDurably } from "../platform/durable-folder.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import {
  type BadFile,
  type BadMailReason,
  type BadMailRecord,
  formatFileRecord,
  formatMessageRecord,
  parseRecord,
} from "./badmail-record.ts";
import { fileBody, storageFault } from "./body-file.ts";

/** One that is kept, as its folder has it. */
export interface BadMailEntry {
  readonly id: string;
  /** null where the folder cannot be read: `problem` says why. */
  readonly record: BadMailRecord | null;
  readonly problem: string | null;
  /** Of the message; 0 where it is not there. */
  readonly sizeOctets: number;
  /** When it came here, milliseconds since the Unix epoch: as the record says, or else the folder. */
  readonly at: number;
}

/** Folders that are being written, and those that are being removed: the same id may be both at one time. */
const asideSuffix = ".tmp";
const goneSuffix = ".gone";
const messageName = "message.eml";
const recordName = "reason.json";
/** A record that is longer was not written by us. */
const recordOctetsMax = 16 * 1024 * 1024;

export class BadMail {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /**
   * Keeps a message as `ID/message.eml` with its envelope, origin and reason in `ID/reason.json`, durably: once this resolves it is in custody. One that is there
   * already stays as it is: a server that was killed before it could say so keeps it once more.
   * @throws the file system's error; then nothing is kept
   */
  async keep(message: Message, reason: BadMailReason): Promise<void> {
    await this.#keep(message.id, formatMessageRecord(message, reason), async (path) => {
      const chunks: Buffer[] = [];
      for await (const chunk of message.chunks()) chunks.push(chunk);
      await writeDurably(path, chunks);
    });
  }

  /**
   * Keeps a file at `path` that could not be used, to the octet, durably. The file itself stays where it is: it is the caller's to remove, once this resolves.
   * @throws the file system's error; then nothing is kept
   */
  async keepFile(path: string, file: BadFile): Promise<void> {
    await this.#keep(file.id, formatFileRecord(file), async (kept) => {
      // As long as a file may be: another name for it costs nothing, and a copy is for another disk.
      await link(path, kept).catch(() => copyFile(path, kept));
      const handle = await open(kept, "r");
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    });
  }

  /** Written aside and given its name last: after a crash an id stands for a message with its reason, or is not there. */
  async #keep(id: string, record: string, write: (path: string) => Promise<void>): Promise<void> {
    const folder = this.#folderOf(id);
    const aside = `${folder}${asideSuffix}`;
    await makeFolderDurably(aside);
    let left = aside;
    try {
      await write(join(aside, messageName));
      await writeDurably(join(aside, recordName), [Buffer.from(record)]);
      crashPoint("badmail.before-rename");
      const isThere = await rename(aside, folder).then(
        () => false,
        (error: NodeJS.ErrnoException) => {
          if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
          return true;
        },
      );
      if (isThere) await rm(aside, { recursive: true, force: true });
      else left = folder;
      await syncFolder(this.folder);
      crashPoint("badmail.kept");
    } catch (error) {
      await rm(left, { recursive: true, force: true }).catch(() => {});
      throw error;
    }
  }

  /**
   * Removes what a killed server left half written, or half removed; call it before the first `keep`. Such a message was never answered 250, or was given up.
   * Gives how many there were. @throws the file system's error
   */
  async sweep(): Promise<number> {
    const left = (await readdir(this.folder).catch(() => [])).filter(isHalfWritten);
    for (const name of left) await rm(join(this.folder, name), { recursive: true, force: true });
    return left.length;
  }

  /** Ids of all that is kept, oldest first. */
  async ids(): Promise<string[]> {
    return (await readdir(this.folder).catch(() => [])).filter((name) => idPattern.test(name)).sort();
  }

  async has(id: string): Promise<boolean> {
    return await isThere(this.#folderOf(id));
  }

  /** How the folder of that id stands, or undefined where there is none. Never throws for what is in it. */
  async find(id: string): Promise<BadMailEntry | undefined> {
    const folder = this.#folderOf(id);
    const made = await stat(folder).catch(() => null);
    if (made === null) return undefined;
    const file = await stat(join(folder, messageName)).catch(() => null);
    const sizeOctets = file?.isFile() ? file.size : 0;
    try {
      const record = await readRecord(id, join(folder, recordName));
      const problem = file?.isFile() ? null : `its ${messageName} is not there`;
      return { id, record, problem, sizeOctets, at: record.quarantinedAt };
    } catch (error) {
      return { id, record: null, problem: describeThrown(error), sizeOctets, at: made.mtimeMs };
    }
  }

  /** All the octets of one, as a body: read when they are asked for. @throws {Fault} `badmail.unknown`, `badmail.unreadable` */
  async octets(id: string): Promise<Body> {
    const path = join(this.#folderOf(id), messageName);
    const file = await stat(path).catch(() => null);
    if (file?.isFile()) return fileBody(path, file.size);
    if (await this.has(id)) throw new Fault("badmail.unreadable", `Cannot read ${id}: its ${messageName} is not there`);
    throw new Fault("badmail.unknown", `Cannot find ${id} in badmail`);
  }

  /** Removes one; what is killed in between is swept at the next start. @throws {Fault} `badmail.unknown`, `spool.failed` */
  async remove(id: string): Promise<void> {
    const folder = this.#folderOf(id);
    const gone = `${folder}${goneSuffix}`;
    try {
      // Left where it could not be removed before.
      await rm(gone, { recursive: true, force: true });
      await rename(folder, gone);
      await rm(gone, { recursive: true, force: true });
      await syncFolder(this.folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT")
        throw new Fault("badmail.unknown", `Cannot find ${id} in badmail`, { cause: error });
      throw storageFault(`remove ${id} from badmail`, error);
    }
  }

  /** What is no id never becomes a path. */
  #folderOf(id: string): string {
    if (!idPattern.test(id))
      throw new Error(`Cannot keep a message under the name ${JSON.stringify(id)}: expected a message id`);
    return join(this.folder, id);
  }
}

/** @throws {Fault} `badmail.unreadable` */
async function readRecord(id: string, path: string): Promise<BadMailRecord> {
  const { size } = await stat(path);
  if (size > recordOctetsMax)
    throw new Fault("badmail.unreadable", `Cannot read ${recordName} of ${id}: it has ${size} octets`);
  return parseRecord(id, await readFile(path, "utf8"));
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

/** What `keep` and `remove` put aside: nothing else in the folder is ours to remove. */
function isHalfWritten(name: string): boolean {
  return [asideSuffix, goneSuffix].some(
    (suffix) => name.endsWith(suffix) && idPattern.test(name.slice(0, -suffix.length)),
  );
}
