/** How late the process is, told by a clock that jumps. */
import { describe, expect, test } from "vitest";
import type { Clock } from "../../../src/platform/clock.ts";
import { LoopLag } from "../../../src/platform/loop-lag.ts";

/** A clock whose timers fire when they are told to, however late. */
function createLateClock() {
  let now = 0;
  let due: (() => void) | null = null;
  const clock: Clock = {
    now: () => now,
    monotonicMs: () => now,
    after(_delayMs, callback) {
      due = callback;
      return () => {
        due = null;
      };
    },
  };
  return {
    clock,
    pass: (ms: number) => {
      now += ms;
    },
    fire: () => {
      const callback = due;
      due = null;
      callback?.();
    },
  };
}

describe("LoopLag", () => {
  test("is nothing while timers fire in time", () => {
    const { clock, pass, fire } = createLateClock();
    const lag = new LoopLag(clock);
    for (let i = 0; i < 5; i++) {
      pass(250);
      fire();
    }
    expect(lag.lagMs).toBe(0);
  });

  test("grows while a timer is overdue, is remembered, and halves with each turn in time", () => {
    const { clock, pass, fire } = createLateClock();
    const lag = new LoopLag(clock);
    pass(1_250);
    expect(lag.lagMs).toBe(1_000);
    fire();
    expect(lag.lagMs).toBe(1_000);
    pass(250);
    fire();
    expect(lag.lagMs).toBe(500);
    for (let i = 0; i < 12; i++) {
      pass(250);
      fire();
    }
    expect(lag.lagMs).toBeLessThan(1);
  });

  test("stop leaves no timer", () => {
    const { clock, pass, fire } = createLateClock();
    const lag = new LoopLag(clock);
    lag.stop();
    pass(250);
    fire();
    expect(lag.lagMs).toBe(0);
  });
});
