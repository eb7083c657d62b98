/**
 * What `onarrival trace` follows: the lines and decisions of sessions, as they come. Who has something to tell asks `active` first, so that
 * nothing is made while nobody follows. Nothing here is stored.
 */
import type { EventName } from "./event.ts";

/** One entry; `at` in milliseconds since the Unix epoch. What is secret is masked before it comes here. */
export type TraceEntry =
  | {
      readonly kind: "opened";
      readonly session: string;
      readonly direction: "in" | "out";
      /** Listener, or next hop. */
      readonly place: string;
      readonly ip: string;
      readonly port: number;
      readonly at: number;
    }
  | {
      readonly kind: "line";
      readonly session: string;
      /** Whether we got it or sent it. */
      readonly way: "got" | "sent";
      /** Without its CRLF. */
      readonly text: string;
      readonly at: number;
    }
  /** What happened besides lines, in words: `TLSv1.3 …`, `4,096 octets of mail data`. */
  | { readonly kind: "note"; readonly session: string; readonly text: string; readonly at: number }
  | {
      readonly kind: "decision";
      /** "" where the event belongs to no session. */
      readonly session: string;
      readonly message: string | null;
      readonly event: EventName;
      readonly binding: string;
      /** As describeVerdict has it. */
      readonly verdict: string;
      readonly fault: string | null;
      readonly at: number;
    }
  | { readonly kind: "closed"; readonly session: string; readonly reason: string; readonly at: number };

type Follower = (entry: TraceEntry) => void;

/** An entry is given to every follower at once; one that throws is not given another, and no session hears of it. */
export class Tracer {
  /** With the sessions each was told of. */
  readonly #followers = new Map<Follower, Set<string>>();
  /** Sessions that are told of once and go on: who follows later is told too, before anything else of theirs. */
  readonly #opened = new Map<string, TraceEntry & { readonly kind: "opened" }>();
  /** Whether anybody follows. Asked before an entry is made. */
  active = false;

  /** A client's session that was told of has to tell of its end too, also where nobody follows any more. */
  publish(entry: TraceEntry): void {
    const { kind, session } = entry;
    if (kind === "opened") this.#opened.set(session, entry);
    const opened = this.#opened.get(session);
    if (kind === "closed") this.#opened.delete(session);
    for (const [follow, told] of this.#followers) {
      const isNew = opened !== undefined && !told.has(session);
      if (kind === "closed") told.delete(session);
      // Nothing of it was shown: nobody wants to hear that it is over.
      if (isNew && kind === "closed") continue;
      try {
        if (isNew) {
          told.add(session);
          follow(opened);
        }
        if (kind !== "opened") follow(entry);
      } catch {
        this.#leave(follow);
      }
    }
  }

  /** Follows until what is given back is called. */
  follow(follower: Follower): () => void {
    this.#followers.set(follower, new Set());
    this.active = true;
    return () => this.#leave(follower);
  }

  #leave(follower: Follower): void {
    this.#followers.delete(follower);
    this.active = this.#followers.size > 0;
    if (this.active) return;
    // Sessions of ours do not tell of their end while nobody follows.
    for (const [session, { direction }] of this.#opened) if (direction === "out") this.#opened.delete(session);
  }
}
