/**
 * How full folders are, for their quotas: counted on the disk now and then, and kept up to date in between, so that a limit costs no look at every file for
 * every message. Who takes files away is heard of at the next count.
 */
import type { Clock } from "../platform/clock.ts";

/** A count is believed for so long. */
const recountMs = 10 * 60_000;
/** One that says that the folder is full, only for so long: room that was made is soon used. */
const fullRecountMs = 10_000;
/** Folders kept in mind. */
const foldersMax = 10_000;

interface Usage {
  countedOctets: number;
  countedAt: number;
  /** Of files that are being written. */
  pendingOctets: number;
  counting: Promise<void> | undefined;
}

/** Room in a folder that is kept for one file until it is told what became of it. */
export interface Reservation {
  /** The file is there. */
  used(): void;
  /** It is not. */
  free(): void;
}

export class FolderRoom {
  readonly #clock: Clock;
  readonly #count: (folder: string) => Promise<number>;
  readonly #folders = new Map<string, Usage>();

  /** @param count octets of all that lies in a folder; what it throws is thrown by `reserve` */
  constructor(options: { readonly clock: Clock; readonly count: (folder: string) => Promise<number> }) {
    this.#clock = options.clock;
    this.#count = options.count;
  }

  /** Room for a file, or undefined where the folder would hold more than `octetsMax` with it. */
  async reserve(folder: string, sizeOctets: number, octetsMax: number): Promise<Reservation | undefined> {
    const usage = this.#usageOf(folder);
    const fits = () => usage.countedOctets + usage.pendingOctets + sizeOctets <= octetsMax;
    await this.#recount(folder, usage, recountMs);
    if (!fits()) await this.#recount(folder, usage, fullRecountMs);
    if (!fits()) return undefined;
    usage.pendingOctets += sizeOctets;
    const settle = (octets: number) => {
      usage.pendingOctets -= sizeOctets;
      usage.countedOctets += octets;
    };
    return { used: () => settle(sizeOctets), free: () => settle(0) };
  }

  async #recount(folder: string, usage: Usage, ageMsMax: number): Promise<void> {
    if (usage.countedAt + ageMsMax > this.#clock.monotonicMs()) return;
    usage.counting ??= this.#countNow(folder, usage).finally(() => {
      usage.counting = undefined;
    });
    await usage.counting;
  }

  async #countNow(folder: string, usage: Usage): Promise<void> {
    const startedAt = this.#clock.monotonicMs();
    usage.countedOctets = await this.#count(folder);
    usage.countedAt = startedAt;
  }

  #usageOf(folder: string): Usage {
    const known = this.#folders.get(folder);
    if (known) return known;
    if (this.#folders.size >= foldersMax) {
      for (const [name, { pendingOctets }] of this.#folders) if (pendingOctets === 0) this.#folders.delete(name);
    }
    const usage: Usage = {
      countedOctets: 0,
      countedAt: Number.NEGATIVE_INFINITY,
      pendingOctets: 0,
      counting: undefined,
    };
    this.#folders.set(folder, usage);
    return usage;
  }
}
