/**
 * How long a client has to wait after logins that failed: a little after a few of them, more after each further one. Constant memory and time; a restart forgets.
 * Whoever locks himself out locks out nobody else: what counts is client and user together, and the client alone only where it tries many.
 */
import { networkOf } from "./ip-octets.ts";
import { TokenBuckets } from "./token-buckets.ts";
import { userNameOctetsMax } from "./users-document.ts";

/** Failures of one client for one user that cost nothing. */
export const freeFailures = 4;
/** The wait after the first failure above, twice as long after each further one. */
export const waitMsFirst = 60_000;
export const waitMsMax = 3_600_000;
/** Failures are forgotten after so long without another one. */
const forgetMs = 2 * waitMsMax;
/** Failures of one client, for whatever users; one more is allowed every minute. */
export const clientFailures = 20;
const clientIntervalMs = 60_000;
const keysMax = 20_000;

interface Failures {
  readonly count: number;
  readonly lastAt: number;
}

export class Lockout {
  /** The one that was touched longest ago is the first. */
  readonly #pairs = new Map<string, Failures>();
  readonly #clients = new TokenBuckets({ intervalMs: clientIntervalMs, burst: clientFailures, keysMax });

  /** Whether a login may be tried now. All times are of a clock that never goes back. */
  mayTry(ip: string, user: string, nowMs: number): boolean {
    const { count, lastAt } = this.#failures(pairOf(ip, user), nowMs);
    return nowMs - lastAt >= waitMsAfter(count) && this.#clients.take(clientOf(ip), nowMs, true);
  }

  /** Counts a try as failed before it is known, so that many at once are not one. */
  begin(ip: string, user: string, nowMs: number): void {
    const key = pairOf(ip, user);
    const { count } = this.#failures(key, nowMs);
    this.#pairs.delete(key);
    if (this.#pairs.size >= keysMax) this.#pairs.delete(this.#pairs.keys().next().value!);
    this.#pairs.set(key, { count: count + 1, lastAt: nowMs });
  }

  /** How it ended; `undecided` takes back what `begin` counted. */
  end(ip: string, user: string, nowMs: number, result: "succeeded" | "failed" | "undecided"): void {
    const key = pairOf(ip, user);
    if (result === "succeeded") this.#pairs.delete(key);
    else if (result === "failed") this.#clients.take(clientOf(ip), nowMs);
    else {
      const found = this.#pairs.get(key);
      if (!found) return;
      // He was allowed to try, and may again: it was not he who let it come to nothing.
      const count = Math.max(0, found.count - 1);
      this.#pairs.set(key, { count, lastAt: found.lastAt - waitMsAfter(count) });
    }
  }

  get size(): number {
    return this.#pairs.size;
  }

  #failures(key: string, nowMs: number): Failures {
    const found = this.#pairs.get(key);
    return found && nowMs - found.lastAt < forgetMs ? found : { count: 0, lastAt: Number.NEGATIVE_INFINITY };
  }
}

function waitMsAfter(count: number): number {
  return count <= freeFailures ? 0 : Math.min(waitMsMax, waitMsFirst * 2 ** Math.min(20, count - freeFailures - 1));
}

/** Whoever has an IPv6 address has 2^64 of them. */
function clientOf(ip: string): string {
  return ip.includes(":") ? networkOf(ip, { v4: 32, v6: 64 }) : ip;
}

/** What is no name that a user can have is cut: what clients say is not kept at length. */
function pairOf(ip: string, user: string): string {
  return `${clientOf(ip)} ${user.slice(0, userNameOctetsMax)}`;
}
