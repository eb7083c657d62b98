/**
 * A folder of messages by day: `2026/01/05/120000123-ID.eml`. What is kept is durable; what is too old, or too much, is removed, oldest first. Files that
 * are not named so are not ours and are never removed.
 */
import { open, readdir, rename, rmdir, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { idPattern } from "../mail/ids.ts";
import type { Clock } from "../platform/clock.ts";
import { syncFolder, writeFully } from "../platform/durable-file.ts";
import { makeFolderDurably } from "../platform/durable-folder.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";

export interface ArchiveFolderOptions {
  readonly path: string;
  readonly gzip: boolean;
  /** 0: for ever. */
  readonly keepDays: number;
  /** null: no limit. */
  readonly sizeOctetsMax: number | null;
  readonly clock: Clock;
  readonly log: Log;
}

const filePattern = /^\d{9}-[0-9A-Z]{16}\.eml(?:\.gz)?$/;
/** What a killed server left half written. */
const asidePattern = /^\d{9}-[0-9A-Z]{16}\.eml(?:\.gz)?\.tmp$/;
const dayMs = 86_400_000;
const removeAgainMs = 3_600_000;

export class ArchiveFolder {
  readonly #options: ArchiveFolderOptions;
  /** Octets of each day's files, by `2026/01/05`. */
  readonly #octetsOf = new Map<string, number>();
  #octets = 0;
  /** Removals, one after the other; keeping does not wait for them. */
  #removal: Promise<void> = Promise.resolve();
  #cancelTimer = () => {};

  private constructor(options: ArchiveFolderOptions) {
    this.#options = options;
  }

  /** Makes the folder where it is missing, and adds up what is in it. */
  static async open(options: ArchiveFolderOptions): Promise<ArchiveFolder> {
    await makeFolderDurably(options.path);
    const folder = new ArchiveFolder(options);
    await folder.#addUp();
    folder.#removeAndAgain();
    return folder;
  }

  /**
   * Keeps a message; once this resolves a power cut does not lose it.
   * @throws {Fault} `sink.failed` for a message larger than the folder may be; and what the file system says
   */
  async keep(
    { id, at }: { readonly id: string; readonly at: number },
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    if (!idPattern.test(id)) throw new Fault("sink.failed", `Cannot keep a message: ${JSON.stringify(id)} is no id`);
    const { path, gzip, sizeOctetsMax } = this.#options;
    const day = dayOf(at);
    const folder = join(path, day);
    const file = join(folder, `${timeOf(at)}-${id}.eml${gzip ? ".gz" : ""}`);
    await makeFolderDurably(folder);
    const octets = await this.#write(file, chunks);
    this.#count(day, octets);
    if (sizeOctetsMax !== null && this.#octets > sizeOctetsMax) this.#remove();
  }

  /** Waits for what is being removed. */
  async close(): Promise<void> {
    this.#cancelTimer();
    await this.#removal;
  }

  async #write(file: string, chunks: AsyncIterable<Uint8Array>): Promise<number> {
    const { gzip, sizeOctetsMax } = this.#options;
    const aside = `${file}.tmp`;
    const handle = await open(aside, "wx", 0o600);
    let octets = 0;
    const write = async (source: AsyncIterable<Uint8Array>) => {
      for await (const chunk of source) {
        octets += chunk.length;
        if (sizeOctetsMax !== null && octets > sizeOctetsMax)
          throw new Fault(
            "sink.failed",
            `Cannot keep a message of more than ${sizeOctetsMax} octets: size_max is less`,
          );
        await writeFully(handle, chunk);
      }
    };
    try {
      try {
        if (gzip) await pipeline(Readable.from(chunks), createGzip(), write);
        else await write(chunks);
        await handle.datasync();
      } finally {
        await handle.close();
      }
      await rename(aside, file);
    } catch (error) {
      await unlink(aside).catch(() => {});
      throw error;
    }
    await syncFolder(join(file, ".."));
    return octets;
  }

  #count(day: string, octets: number): void {
    this.#octets += octets;
    this.#octetsOf.set(day, (this.#octetsOf.get(day) ?? 0) + octets);
  }

  async #addUp(): Promise<void> {
    const { path } = this.#options;
    for (const year of await entriesOf(path, /^\d{4}$/))
      for (const month of await entriesOf(join(path, year), /^\d{2}$/))
        for (const date of await entriesOf(join(path, year, month), /^\d{2}$/)) {
          const day = `${year}/${month}/${date}`;
          this.#count(day, 0);
          for (const name of await entriesOf(join(path, day), asidePattern)) await unlink(join(path, day, name));
          // Without a limit nobody asks how much there is.
          if (this.#options.sizeOctetsMax === null) continue;
          for (const { octets } of await filesOf(join(path, day))) this.#count(day, octets);
        }
  }

  #removeAndAgain(): void {
    this.#remove();
    if (this.#options.keepDays > 0)
      this.#cancelTimer = this.#options.clock.after(removeAgainMs, () => this.#removeAndAgain());
  }

  #remove(): void {
    this.#removal = this.#removal
      .then(() => this.#removeWhatIsOver())
      .catch((error: unknown) => {
        this.#options.log.error("archive-copy.remove-failed", {
          folder: this.#options.path,
          reason: describeThrown(error),
        });
      });
  }

  async #removeWhatIsOver(): Promise<void> {
    const { keepDays, sizeOctetsMax, clock } = this.#options;
    const oldestKept = dayOf(clock.now() - keepDays * dayMs);
    for (const day of [...this.#octetsOf.keys()].sort()) {
      const isOver = keepDays > 0 && day < oldestKept;
      const isTooMuch = () => sizeOctetsMax !== null && this.#octets > sizeOctetsMax;
      if (!isOver && !isTooMuch()) return;
      await this.#removeDay(day, () => isOver || isTooMuch());
    }
  }

  /** Removes the oldest files of a day while `goesOn` holds, and its folder where it is empty then. */
  async #removeDay(day: string, goesOn: () => boolean): Promise<void> {
    const folder = join(this.#options.path, day);
    const files = await filesOf(folder);
    // Somebody else may have taken files away, to keep them elsewhere: those are not to count against the ones that came since.
    this.#count(day, files.reduce((sum, { octets }) => sum + octets, 0) - (this.#octetsOf.get(day) ?? 0));
    for (const { name, octets } of files) {
      if (!goesOn()) return;
      await unlink(join(folder, name)).catch(ifThere);
      this.#count(day, -octets);
    }
    // The folder of a day that may still get messages stays. One that is not empty holds what is not ours.
    if (day >= dayOf(this.#options.clock.now() - dayMs)) return;
    await rmdir(folder).catch(() => {});
    this.#count(day, -(this.#octetsOf.get(day) ?? 0));
    this.#octetsOf.delete(day);
  }
}

/** `2026/01/05`, UTC. */
function dayOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10).replaceAll("-", "/");
}

/** `120000123`: hours to milliseconds, UTC. */
function timeOf(at: number): string {
  return new Date(at).toISOString().slice(11).replace(/\D/g, "");
}

/** What is ours in a day's folder, the oldest first. */
async function filesOf(folder: string): Promise<{ readonly name: string; readonly octets: number }[]> {
  const files: { readonly name: string; readonly octets: number }[] = [];
  for (const name of (await entriesOf(folder, filePattern)).sort()) {
    const stats = await stat(join(folder, name)).catch(ifThere);
    if (stats) files.push({ name, octets: stats.size });
  }
  return files;
}

/** None where somebody removed the folder. */
async function entriesOf(folder: string, pattern: RegExp): Promise<string[]> {
  return ((await readdir(folder).catch(ifThere)) ?? []).filter((name) => pattern.test(name));
}

/** Passes over what somebody else removed meanwhile. */
function ifThere(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
