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

/** An entry is given to every follower at once; one that throws is not given another, and no session hears of it. */
export class Tracer {
  readonly #followers = new Set<(entry: TraceEntry) => void>();
  /** Whether anybody follows. Asked before an entry is made. */
  active = false;

  publish(entry: TraceEntry): void {
    for (const follow of this.#followers) {
      try {
        follow(entry);
      } catch {
        this.#leave(follow);
      }
    }
  }

  /** Follows until what is given back is called. */
  follow(follower: (entry: TraceEntry) => void): () => void {
    this.#followers.add(follower);
    this.active = true;
    return () => this.#leave(follower);
  }

  #leave(follower: (entry: TraceEntry) => void): void {
    this.#followers.delete(follower);
    this.active = this.#followers.size > 0;
  }
}
