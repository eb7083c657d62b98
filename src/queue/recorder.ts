/**
 * Persists outcomes, again and again where the spool cannot now: what was delivered must not be delivered again because its outcome did not fit on the disk.
 * An attempt keeps its place meanwhile, so a spool that takes nothing stops the queue too.
 */
import type { Clock } from "../platform/clock.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { Spool } from "../spool/spool.ts";

/** Waits between tries: doubled from the first to the last. */
const delayMsFirst = 1_000;
const delayMsMax = 60_000;

export class Recorder {
  readonly #spool: Spool;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #onGone: (messageId: string) => void;
  /** Ends the waits between tries. */
  readonly #hurry = new Set<() => void>();
  #stopping = false;

  constructor(options: {
    readonly spool: Spool;
    readonly clock: Clock;
    readonly log: Log;
    /** The spool has no such message any more. */
    readonly onGone: (messageId: string) => void;
  }) {
    this.#spool = options.spool;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#onGone = options.onGone;
  }

  /** False where it is given up: the server stops, or the message is gone. */
  async persist(messageId: string, write: (spool: Spool) => Promise<void>): Promise<boolean> {
    for (let delayMs = delayMsFirst; ; delayMs = Math.min(delayMs * 2, delayMsMax)) {
      try {
        await write(this.#spool);
        return true;
      } catch (error) {
        const code = error instanceof Fault ? error.code : undefined;
        this.#log.error("queue.record-failed", { message: messageId, reason: describeThrown(error), fault: code });
        if (code === "spool.unknown-message") this.#onGone(messageId);
        if (code === "spool.unknown-message" || code === "spool.closed" || this.#stopping) return false;
      }
      await this.#pause(delayMs);
    }
  }

  /** What fails from now on is given up at once. */
  stop(): void {
    this.#stopping = true;
    for (const hurry of this.#hurry) hurry();
  }

  async #pause(delayMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const hurry = () => {
        cancel();
        this.#hurry.delete(hurry);
        resolve();
      };
      const cancel = this.#clock.after(delayMs, hurry);
      this.#hurry.add(hurry);
    });
  }
}
