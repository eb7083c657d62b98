/**
 * Room on the disk of the data folder: new mail is turned away with 452 before there is none left, so that what is in the queue can still be delivered,
 * reported and released. Looked at about once a second, at once where the spool ran into the end; where it cannot be looked at, mail is let in.
 */
import { statfs } from "node:fs/promises";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { type Answer, noRoom } from "./answer.ts";

/** Whether there is room for mail. */
export interface Room {
  /** What a client hears that wants to send so many octets, 0 where it does not say; null where there is room for them. RFC 1870 §6.1. */
  refusal(sizeOctets: number): Answer | null;
  /** What is short, in words for an operator; null where nothing is. */
  short(): string | null;
}

export interface DiskSpaceOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Octets that new mail may not use. */
  readonly reserveOctets: number;
  /** The same in inodes. */
  readonly inodesReserve: number;
  readonly measure?: (folder: string) => Promise<DiskFacts>;
}

export interface DiskFacts {
  readonly freeOctets: number;
  /** null where the file system does not count them. */
  readonly freeInodes: number | null;
}

/** Between two looks. */
const lookEveryMs = 1_000;
/** What was seen so long ago says nothing any more: the look since then does not come back. */
const seenAtMostMs = 30_000;
/** It is over only where there is this much of the reserve again: at the border the log would fill. */
const enoughShare = 1.1;

export class DiskSpace implements Room {
  readonly #options: DiskSpaceOptions;
  #facts: (DiskFacts & { readonly atMs: number }) | null = null;
  #short: string | null = null;
  #failing = false;
  #looking: Promise<void> | null = null;
  #cancel: (() => void) | null = null;
  #stopped = false;

  constructor(options: DiskSpaceOptions) {
    this.#options = options;
  }

  /** Looks, and goes on looking until `stop`. */
  async start(): Promise<void> {
    await this.look();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  refusal(sizeOctets: number): Answer | null {
    const facts = this.#current();
    if (facts === null) return null;
    if (this.#short !== null) return noRoom;
    return facts.freeOctets - sizeOctets < this.#options.reserveOctets ? noRoom : null;
  }

  short(): string | null {
    return this.#current() === null ? null : this.#short;
  }

  /** Looks now; never throws. One look at a time: whoever asks meanwhile gets that one. */
  look(): Promise<void> {
    this.#cancel?.();
    return (this.#looking ??= this.#measure().finally(() => {
      this.#looking = null;
      if (!this.#stopped) this.#cancel = this.#options.clock.after(lookEveryMs, () => void this.look());
    }));
  }

  /** What was seen last, where that is not too long ago. */
  #current(): DiskFacts | null {
    const facts = this.#facts;
    return facts !== null && this.#options.clock.monotonicMs() - facts.atMs <= seenAtMostMs ? facts : null;
  }

  async #measure(): Promise<void> {
    const { folder, measure = measureDisk, clock, log } = this.#options;
    try {
      const facts = await measure(folder);
      this.#facts = { ...facts, atMs: clock.monotonicMs() };
      this.#failing = false;
      this.#judge(facts);
    } catch (error) {
      this.#facts = null;
      if (!this.#failing) log.warn("disk.unknown", { folder, reason: describeThrown(error) });
      this.#failing = true;
    }
  }

  #judge(facts: DiskFacts): void {
    const { folder, log, reserveOctets, inodesReserve } = this.#options;
    const share = this.#short === null ? 1 : enoughShare;
    const short = shortage(facts, { reserveOctets: reserveOctets * share, inodesReserve: inodesReserve * share });
    const fields = { folder, ...facts, reserveOctets, inodesReserve };
    if (short !== null && this.#short === null) log.warn("disk.short", { ...fields, reason: short });
    if (short === null && this.#short !== null) log.info("disk.enough", fields);
    this.#short = short;
  }
}

function shortage(
  { freeOctets, freeInodes }: DiskFacts,
  { reserveOctets, inodesReserve }: Pick<DiskSpaceOptions, "reserveOctets" | "inodesReserve">,
): string | null {
  if (freeOctets < reserveOctets) return "the disk of the data folder is short of space";
  return freeInodes !== null && freeInodes < inodesReserve ? "the disk of the data folder is short of inodes" : null;
}

async function measureDisk(folder: string): Promise<DiskFacts> {
  const { bavail, bsize, files, ffree } = await statfs(folder);
  // Some file systems make inodes as they need them, and say 0 of 0.
  return { freeOctets: bavail * bsize, freeInodes: files === 0 ? null : ffree };
}
