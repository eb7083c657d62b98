/**
 * Who was answered lately, so that an automatic answer is given once in its time. RFC 3834 §2. Remembered in the scripts' store when the answer is in
 * custody; until then held here, so that many messages at one moment are answered once.
 */
import { createHash } from "node:crypto";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";

/** Keys with a time to live; ScriptStore is one. */
export interface AnswerStore {
  get(script: string, key: string): Promise<unknown>;
  set(
    script: string,
    key: string,
    value: true,
    options: { readonly ttlS: number | null; readonly ifAbsent: boolean },
  ): Promise<unknown>;
}

/** An answer that may be given. `taken` says that it was. */
export interface Claim {
  readonly taken: () => void;
}

/** A message that was not taken into custody by then never is. */
const heldMs = 60_000;
const heldMax = 10_000;
/** Name the server's own keys have in the store: no script's. */
const owner = "onarrival:answered";

export class AnsweredLately {
  readonly #store: AnswerStore;
  readonly #now: () => number;
  readonly #log: Log;
  /** By script and address: until when. */
  readonly #held = new Map<string, number>();

  constructor(options: { readonly store: AnswerStore; readonly now: () => number; readonly log: Log }) {
    this.#store = options.store;
    this.#now = options.now;
    this.#log = options.log;
  }

  /** null where the script answered that address within so many milliseconds. A store that fails answers nobody: an answer that is missing harms less than one a minute. */
  async claim(script: string, address: string, withinMs: number): Promise<Claim | null> {
    // Addresses first, as whoever lists the store looks for them; a script's name may be longer than a key.
    const hash = createHash("sha256").update(script).digest("hex").slice(0, 16);
    const key = `${address.toLowerCase()} ${hash}`;
    const now = this.#now();
    if (withinMs === 0) return { taken: () => {} };
    if ((this.#held.get(key) ?? 0) > now) return null;
    this.#forget(now);
    this.#held.set(key, now + heldMs);
    try {
      if ((await this.#store.get(owner, key)) === null) return { taken: () => this.#remember(key, withinMs) };
    } catch (error) {
      this.#log.warn("script.answer-unknown", { script, reason: describeThrown(error) });
    }
    this.#held.delete(key);
    return null;
  }

  #remember(key: string, withinMs: number): void {
    const ttlS = Math.max(1, Math.ceil(withinMs / 1_000));
    void this.#store
      .set(owner, key, true, { ttlS, ifAbsent: false })
      .catch((error: unknown) => this.#log.warn("script.answer-unknown", { reason: describeThrown(error) }))
      .finally(() => this.#held.delete(key));
  }

  #forget(now: number): void {
    if (this.#held.size < heldMax) return;
    for (const [key, until] of this.#held) if (until <= now) this.#held.delete(key);
    // More at one moment than that: the oldest are let go.
    for (const key of this.#held.keys()) {
      if (this.#held.size < heldMax) break;
      this.#held.delete(key);
    }
  }
}
