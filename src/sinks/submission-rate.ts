/** Limits the recipients a user may send to in a time: what one stolen password can do before somebody notices. Counts stay in memory. */
import type { Sink } from "../events/sink.ts";
import { defer, proceed } from "../events/verdict.ts";
import type { Clock } from "../platform/clock.ts";
import type { Rate } from "../platform/value.ts";
import { TokenBuckets } from "./token-buckets.ts";
import { userKey } from "./users-document.ts";
import type { UsersFile } from "./users-file.ts";

export interface UserRateOptions {
  readonly users: Pick<UsersFile, "known">;
  readonly clock: Pick<Clock, "monotonicMs">;
  /** `auth.rate`, for users without a rate of their own; null: none. A reload may change it. */
  readonly rate: () => Rate | null;
}

const usersRemembered = 100_000;
/** Different rates that are counted at a time; with the next one all begin anew. */
const ratesMax = 1_000;

const tooMany = defer("You have sent to too many recipients for now, please try again later", {
  code: 450,
  status: "4.7.1",
});

export function userRate({ users, clock, rate: defaultRate }: UserRateOptions): Sink {
  const bucketsByRate = new Map<string, TokenBuckets>();
  const bucketsOf = ({ times, withinMs }: Rate): TokenBuckets => {
    const key = `${times}/${withinMs}`;
    let buckets = bucketsByRate.get(key);
    if (!buckets) {
      if (bucketsByRate.size >= ratesMax) bucketsByRate.clear();
      buckets = new TokenBuckets({ intervalMs: withinMs / times, burst: times, keysMax: usersRemembered });
      bucketsByRate.set(key, buckets);
    }
    return buckets;
  };
  return {
    name: "user-rate",
    onRcptTo({ session }, { log, rehearsal }) {
      if (session.role !== "submission" || session.user === null) return proceed;
      const rate = users.known(session.user)?.rate ?? defaultRate();
      if (rate === null || bucketsOf(rate).take(userKey(session.user), clock.monotonicMs(), rehearsal)) return proceed;
      log.warn("user-rate.exceeded", {
        session: session.id,
        user: session.user,
        times: rate.times,
        withinMs: rate.withinMs,
      });
      return tooMany;
    },
  };
}
