/**
 * The drop folder: mail as files that programs take away, one for a message and those of its recipients that go there together. Above the message stand
 * `X-Sender:` once and `X-Receiver:` for each recipient, with what was asked for, so that a file moved into the pickup folder is sent again as it was. A file is whole under its name
 * or not there at all, and durable before it counts as delivered; names are never used twice.
 */
import { lstat, open, readdir, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { createId } from "../mail/ids.ts";
import type { Message, Recipient } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import { crashPoint } from "../platform/crash-point.ts";
import { writeFully } from "../platform/durable-file.ts";
import { makeFolderDurably } from "../platform/durable-folder.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { formatPickupFields, withoutPickupFields } from "../smtp/pickup-fields.ts";
import { copyMark } from "./copy-mark.ts";
import { FolderRoom } from "./folder-room.ts";
import { FolderSync } from "./folder-sync.ts";

export interface DropSettings {
  /** Octets in the folder; 0 is no limit. */
  readonly octetsMax: number;
  /** Age at which our files are removed; 0 keeps them. */
  readonly retentionMs: number;
}

/** Names we give: the message's id, and the mark of its recipients, which was shorter once. Nothing else in the folder is ours to remove. */
const ownName = /^[0-9A-HJKMNP-TV-Z]{16}-(?:[0-9A-HJKMNP-TV-Z]{7}|[0-9A-F]{32})\.eml$/;
const asideName = /^\.[0-9A-HJKMNP-TV-Z]{16}-[0-9A-HJKMNP-TV-Z]{7}\.eml\.tmp$/;
/** A file that is still aside after so long was left by a server that was killed. */
const asideAgeMsMax = 60 * 60_000;
const sweepEveryMs = 10 * 60_000;
/** Files removed in one go; the next go comes soon. */
const removedMax = 1_000;
const sweepSoonMs = 1_000;

/** The folder may not hold so much. */
export class DropFull extends Error {
  constructor(octetsMax: number) {
    super(`the drop folder may hold ${octetsMax} octets and has no room for the message`);
    this.name = "DropFull";
  }
}

export class DropFolder {
  readonly folder: string;
  /** Others hold from the next delivery and the next sweep on. */
  settings: DropSettings;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #room: FolderRoom;
  readonly #sync = new FolderSync();
  #ready: Promise<void> | undefined;
  #cancel: (() => void) | undefined;
  #sweeping: Promise<void> = Promise.resolve();

  constructor(options: {
    readonly folder: string;
    readonly settings: DropSettings;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.folder = options.folder;
    this.settings = options.settings;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#room = new FolderRoom({ clock: options.clock, count: countFolder });
  }

  /** Removes what is too old, from now on and now and then, until `close`. */
  start(): void {
    this.#cancel?.();
    this.#cancel = this.#clock.after(0, () => this.#sweepOn());
  }

  /** Resolves when nothing is being removed any more. */
  async close(): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    await this.#sweeping;
  }

  /** Writes one file for these recipients; resolves with its path once it is durable. Throws what the disk says. @throws {DropFull} */
  async deliver(message: Message, recipients: readonly Recipient[]): Promise<string> {
    const top = replayableTop(message, recipients);
    const { octetsMax } = this.settings;
    const sizeOctets = top.length + message.body.sizeOctets;
    const reservation = octetsMax > 0 ? await this.#room.reserve(this.folder, sizeOctets, octetsMax) : undefined;
    if (octetsMax > 0 && !reservation) throw new DropFull(octetsMax);
    try {
      await this.#ensure();
      const path = await this.#write(message, recipients, top).catch(async (error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
        // Somebody removed the folder behind our back: once more from the start.
        this.#ready = undefined;
        await this.#ensure();
        return this.#write(message, recipients, top);
      });
      reservation?.used();
      return path;
    } catch (error) {
      reservation?.free();
      throw error;
    }
  }

  async #write(message: Message, recipients: readonly Recipient[], top: Buffer): Promise<string> {
    const name = `${message.id}-${copyMark(recipients.map(({ mailbox }) => mailbox))}.eml`;
    const aside = join(this.folder, `.${message.id}-${createId(0).slice(9)}.eml.tmp`);
    // For the group too: in a folder that the operator made for another program, that program has to read it.
    const file = await open(aside, "wx", 0o640);
    try {
      try {
        await writeFully(file, top);
        for await (const chunk of message.body.chunks()) await writeFully(file, chunk);
        await file.datasync();
      } finally {
        await file.close();
      }
      crashPoint("drop.before-rename");
      const path = join(this.folder, name);
      await rename(aside, path);
      await this.#sync.sync(this.folder);
      crashPoint("drop.written");
      return path;
    } catch (error) {
      await unlink(aside).catch(() => {});
      throw error;
    }
  }

  #ensure(): Promise<void> {
    this.#ready ??= makeFolderDurably(this.folder).catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  #sweepOn(): void {
    this.#sweeping = this.#sweep()
      .catch((error: unknown) => {
        this.#log.warn("drop.not-swept", { folder: this.folder, reason: describeThrown(error) });
        return 0;
      })
      .then((removed) => {
        if (removed > 0) this.#log.info("drop.swept", { folder: this.folder, removed });
        if (this.#cancel)
          this.#cancel = this.#clock.after(removed >= removedMax ? sweepSoonMs : sweepEveryMs, () => this.#sweepOn());
      });
  }

  async #sweep(): Promise<number> {
    const now = this.#clock.now();
    const { retentionMs } = this.settings;
    let removed = 0;
    for (const name of await namesIn(this.folder)) {
      if (removed >= removedMax) break;
      const ageMsMax = asideName.test(name) ? asideAgeMsMax : ownName.test(name) ? retentionMs : 0;
      if (ageMsMax === 0) continue;
      const path = join(this.folder, name);
      const found = await lstat(path).catch(() => undefined);
      if (!found?.isFile() || found.mtimeMs > now - ageMsMax) continue;
      // The program it is for may have taken it meanwhile.
      const isGone = await unlink(path).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (error.code === "ENOENT") return false;
          throw error;
        },
      );
      if (isGone) removed++;
    }
    return removed;
  }
}

/**
 * The header as it is dropped. Fields of these names that stood at its very top are left out (stricter: whoever replays the file would take them for the
 * envelope, and they were never more than a claim).
 */
function replayableTop({ envelope, header, separator }: Message, recipients: readonly Recipient[]): Buffer {
  const fields = formatPickupFields({ ...envelope, recipients });
  return Buffer.concat([Buffer.from(fields), withoutPickupFields(header).octets, separator]);
}

/** Octets of the files in a folder, whosever they are. */
async function countFolder(folder: string): Promise<number> {
  let octets = 0;
  for (const name of await namesIn(folder)) {
    const found = await lstat(join(folder, name)).catch(() => undefined);
    if (found?.isFile()) octets += found.size;
  }
  return octets;
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
}
