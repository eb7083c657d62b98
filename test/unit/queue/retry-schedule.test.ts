import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRetrySchedule } from "../../../src/queue/retry-schedule.ts";

const minute = 60_000;
const day = 24 * 60 * minute;

describe("createRetrySchedule", () => {
  test.each([
    { why: "after the first attempt", attempts: 1, minutes: 5 },
    { why: "after the second", attempts: 2, minutes: 10 },
    { why: "after the third", attempts: 3, minutes: 20 },
    { why: "after the fourth", attempts: 4, minutes: 30 },
    { why: "after the hundredth", attempts: 100, minutes: 30 },
  ])("delayMs $why is $minutes minutes, give or take a tenth", ({ attempts, minutes }) => {
    expect(createRetrySchedule({ random: () => 0.5 }).delayMs(attempts)).toBe(minutes * minute);
    expect(createRetrySchedule({ random: () => 0 }).delayMs(attempts)).toBe(Math.round(minutes * minute * 0.9));
    expect(createRetrySchedule({ random: () => 1 }).delayMs(attempts)).toBe(Math.round(minutes * minute * 1.1));
  });

  test("delayMs is a whole number and never above delayMsMax", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (attempts, chance) => {
          const schedule = createRetrySchedule({ random: () => chance });
          expect(Number.isInteger(schedule.delayMs(attempts))).toBe(true);
          expect(schedule.delayMs(attempts)).toBeLessThanOrEqual(schedule.delayMsMax);
        },
      ),
    );
  });

  test.each([
    { why: "young and tried often", age: 5 * day - 1, attempts: 200, gone: false },
    { why: "old and tried often", age: 5 * day, attempts: 200, gone: true },
    { why: "old and tried as often as it must be", age: 5 * day, attempts: 8, gone: true },
    { why: "old and tried less", age: 50 * day, attempts: 7, gone: false },
  ])("givesUp on mail that is $why: $gone", ({ age, attempts, gone }) => {
    expect(createRetrySchedule().givesUp({ receivedAt: 1_000, now: 1_000 + age, attempts })).toBe(gone);
  });
});
