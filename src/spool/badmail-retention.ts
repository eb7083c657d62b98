/** Keeps badmail within its bounds of age and size: the oldest go first, each with a line in the log. What came within the last minute stays in any case. */
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { BadMail } from "./badmail.ts";

export interface BadMailRetentionOptions {
  readonly badmail: Pick<BadMail, "ids" | "find" | "remove">;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 keeps them however old. */
  readonly retentionMs: number;
  /** Of all messages together; 0 is no limit. */
  readonly sizeOctetsMax: number;
}

const lookEveryMs = 10 * 60_000;
const youngMs = 60_000;

export class BadMailRetention {
  readonly #options: BadMailRetentionOptions;
  #cancel: (() => void) | null = null;
  #looking: Promise<void> | null = null;
  #stopped = false;

  constructor(options: BadMailRetentionOptions) {
    this.#options = options;
  }

  /** Looks soon, and every ten minutes from then on. */
  start(): void {
    this.#cancel = this.#options.clock.after(0, () => void this.look());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#looking;
  }

  /** Removes what is too old and too much; never throws. */
  look(): Promise<void> {
    this.#cancel?.();
    return (this.#looking ??= this.#clean().finally(() => {
      this.#looking = null;
      if (!this.#stopped) this.#cancel = this.#options.clock.after(lookEveryMs, () => void this.look());
    }));
  }

  async #clean(): Promise<void> {
    const { badmail, clock, log, retentionMs, sizeOctetsMax } = this.#options;
    try {
      const kept: { readonly id: string; readonly at: number; readonly sizeOctets: number }[] = [];
      for (const id of await badmail.ids()) {
        if (this.#stopped) return;
        const entry = await badmail.find(id);
        if (entry) kept.push({ id, at: entry.at, sizeOctets: entry.sizeOctets });
      }
      kept.sort((one, other) => one.at - other.at);
      const now = clock.now();
      let octets = kept.reduce((sum, { sizeOctets }) => sum + sizeOctets, 0);
      for (const { id, at, sizeOctets } of kept) {
        const ageMs = now - at;
        const why =
          retentionMs > 0 && ageMs > retentionMs
            ? "retention"
            : sizeOctetsMax > 0 && octets > sizeOctetsMax
              ? "size"
              : null;
        if (this.#stopped || ageMs < youngMs) return;
        if (why === null) continue;
        octets -= sizeOctets;
        await this.#remove(id, { why, ageMs, sizeOctets });
      }
    } catch (error) {
      log.warn("badmail.not-cleaned", { reason: describeThrown(error) });
    }
  }

  /** One that cannot be removed is no reason to keep the others. */
  async #remove(id: string, facts: Readonly<Record<string, unknown>>): Promise<void> {
    const { badmail, log } = this.#options;
    try {
      await badmail.remove(id);
      log.info("badmail.removed", { message: id, ...facts });
    } catch (error) {
      log.warn("badmail.not-cleaned", { message: id, reason: describeThrown(error) });
    }
  }
}
