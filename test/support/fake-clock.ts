/** A clock that moves when it is told to. */
import type { Clock } from "../../src/platform/clock.ts";

export interface FakeClock extends Clock {
  /** Moves time on; whatever is due by then is called in order, and what that plans within the time as well. Promises are let settle in between. */
  advance(ms: number): Promise<void>;
  /** When something is planned next, or undefined. */
  readonly nextAt: number | undefined;
}

export function createFakeClock(startAt = Date.UTC(2026, 0, 5, 12)): FakeClock {
  let now = startAt;
  let sequence = 0;
  const planned = new Map<number, { readonly at: number; readonly callback: () => void }>();
  const earliest = () =>
    [...planned].sort(([oneKey, one], [otherKey, other]) => one.at - other.at || oneKey - otherKey)[0];
  return {
    now: () => now,
    monotonicMs: () => now - startAt,
    after(delayMs, callback) {
      const key = sequence++;
      planned.set(key, { at: now + Math.max(delayMs, 0), callback });
      return () => planned.delete(key);
    },
    async advance(ms) {
      const end = now + ms;
      await settle();
      for (let next = earliest(); next && next[1].at <= end; next = earliest()) {
        planned.delete(next[0]);
        now = Math.max(now, next[1].at);
        next[1].callback();
        await settle();
      }
      now = end;
      await settle();
    },
    get nextAt() {
      return earliest()?.[1].at;
    },
  };
}

/** Lets everything that waits for nothing but promises run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}
