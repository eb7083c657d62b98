/** Looks from time to time after mail that nobody tries, since its destination is down or suspended: its sender hears that it is late, and that it is given up, all the same. */
import type { Clock } from "../platform/clock.ts";
import { isLate, type Outcome, type Settlement, settleExpired } from "./attempt.ts";
import type { Attempts } from "./attempts.ts";
import type { Book } from "./book.ts";
import type { Lane } from "./lane.ts";
import type { RetrySchedule } from "./retry-schedule.ts";
import type { Unit } from "./work.ts";

/** Time between looks. */
export const sweepMs = 60_000;
/** Messages taken up at one look; the others wait for the next. */
const takenMax = 1_000;

export class Sweep {
  readonly #parts: SweepParts;

  constructor(parts: SweepParts) {
    this.#parts = parts;
  }

  async run(isStopping: () => boolean): Promise<void> {
    const { book, clock, attempts } = this.#parts;
    for (const [unit, lane] of this.#find()) {
      if (isStopping()) return;
      if (unit.state !== "waiting" || unit.item.units.indexOf(unit) < 0) continue;
      book.lanes.take(unit, "running", clock.now());
      const hand = await attempts.take(unit);
      if (!hand) continue;
      const free = hand.recipients.filter(({ heldBy }) => heldBy !== "operator");
      const facts = attempts.factsOf(unit);
      const reason = `nothing could be delivered there${lane.lastFailure ? `: ${lane.lastFailure.reason}` : ""}`;
      if (this.#isExpired(unit, lane)) {
        const settlements = settleExpired(free, { nextHop: lane.name, reason, now: facts.now });
        await attempts.settle(hand, settlements);
        continue;
      }
      const settlements = free
        .filter((recipient) => isLate(recipient, facts))
        .map((recipient): Settlement => {
          const { index, attempts: made, nextAttemptAt, lastOutcome, heldBy } = recipient;
          const outcome: Outcome = { index, kind: "deferred", nextHop: lane.name, reply: null, reason };
          const held = heldBy ? { heldBy } : {};
          const update = { index, state: "queued", attempts: made, nextAttemptAt, lastOutcome, ...held } as const;
          return { recipient, outcome, update: { ...update, delayTold: true }, delayed: true };
        });
      await attempts.settle(hand, settlements, { quiet: true });
    }
  }

  #find(): [Unit, Lane][] {
    const { book, clock, delayWarningMs } = this.#parts;
    const now = clock.now();
    const found: [Unit, Lane][] = [];
    for (const lane of [...book.lanes.remarkable]) {
      if (lane.stalledSince(now) !== null) {
        for (const unit of lane.units()) {
          if (found.length >= takenMax) break;
          if (unit.dueAt > now) continue;
          const { receivedAt } = unit.item;
          const isNews = unit.pending.some((pending) => !pending.delayTold && pending.heldBy !== "operator");
          const late = isNews && delayWarningMs > 0 && now - receivedAt >= delayWarningMs;
          if (late || this.#isExpired(unit, lane)) found.push([unit, lane]);
        }
      }
      // It may be time to forget it, or to let it go on.
      book.lanes.touch(lane, now);
    }
    return found;
  }

  /** Too old; and nothing was tried there for as long as the attempts would have taken it has a right to. */
  #isExpired({ item }: Unit, lane: Lane): boolean {
    const { schedule, clock } = this.#parts;
    const now = clock.now();
    const since = lane.stalledSince(now);
    return since !== null && now - item.receivedAt >= schedule.lifetimeMs && now - since >= schedule.patienceMs;
  }
}

export interface SweepParts {
  readonly book: Book;
  readonly clock: Clock;
  readonly attempts: Attempts;
  readonly schedule: RetrySchedule;
  readonly delayWarningMs: number;
}
