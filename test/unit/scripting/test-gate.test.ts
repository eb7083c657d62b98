/** The gate of the tests beside a script: what keeps a version from going live, and what is said of it. */
import { describe, expect, test } from "vitest";
import { ScriptFaultError } from "../../../sandbox/protocol.ts";
import type { Candidate } from "../../../src/scripting/gates.ts";
import { createTestGate, describeFailure, type TestOutcome, testsMsMax } from "../../../src/scripting/test-gate.ts";

const held: TestOutcome = { name: "inside", ok: true, differences: [], message: null, at: null, ms: 1 };
const differing: TestOutcome = {
  ...held,
  name: "outside",
  ok: false,
  differences: [
    { path: "verdict.kind", expected: "refuse", found: "proceed" },
    { path: "log[0]", expected: undefined, found: {} },
  ],
};
const throwing: TestOutcome = {
  ...held,
  name: "a.test.ts: tags",
  ok: false,
  message: "x",
  at: "scripts/a.test/a.test.ts:3:4",
};
const candidate = { script: "scripts/a.ts", wasLive: false } as Candidate;

function gateOf(outcomes: readonly TestOutcome[], policy: "block" | "warn", msEach = 0) {
  let now = 0;
  const run = async function* (_candidate: Candidate, isOver: () => boolean) {
    for (const outcome of outcomes) {
      if (isOver()) return;
      now += msEach;
      yield outcome;
    }
  };
  return createTestGate({ policy, run, now: () => now });
}

async function faultOf(outcomes: readonly TestOutcome[], msEach = 0) {
  const thrown = await Promise.resolve(gateOf(outcomes, "block", msEach).check(candidate)).catch(
    (error: unknown) => error,
  );
  if (!(thrown instanceof ScriptFaultError)) throw new Error("it passes");
  return thrown.fault;
}

describe("createTestGate", () => {
  test("lets through what holds, and what has no tests", async () => {
    expect(await gateOf([held, held], "block").check(candidate)).toEqual([]);
    expect(await gateOf([], "block").check(candidate)).toEqual([]);
  });

  test("says which test, and what differs first", async () => {
    const fault = await faultOf([held, differing]);
    expect(fault.code).toBe("script.tests-failed");
    expect(fault.message).toBe('outside: verdict.kind is "proceed", and "refuse" is expected (and 1 more)');
  });

  test("counts the others, and has the place of the first", async () => {
    const fault = await faultOf([throwing, differing, differing]);
    expect(fault.message).toBe("a.test.ts: tags: x (and 2 more)");
    expect(fault.at).toBe("scripts/a.test/a.test.ts:3:4");
    expect(fault.stack.split("\n")).toHaveLength(3);
  });

  test("with warn, says all of it and lets it through", async () => {
    expect(await gateOf([throwing, differing], "warn").check(candidate)).toHaveLength(2);
  });

  test("asks nothing of a version that was live before", async () => {
    expect(await gateOf([differing], "block").check({ ...candidate, wasLive: true })).toEqual([]);
    expect(await gateOf([differing], "warn").check({ ...candidate, wasLive: true })).toHaveLength(1);
  });

  test.each([
    ["within", testsMsMax / 2, false],
    ["beyond", testsMsMax / 2 + 1, true],
  ])("takes time %s its bound", async (_why, msEach, isOver) => {
    const outcomes = [held, held, held].slice(0, isOver ? 3 : 2);
    if (!isOver) expect(await gateOf(outcomes, "block", msEach).check(candidate)).toEqual([]);
    else expect((await faultOf(outcomes, msEach)).message).toBe("Its tests were not over after 10 s");
  });

  test("tells ten failures and counts the rest", async () => {
    const fault = await faultOf(Array.from({ length: 12 }, () => throwing));
    expect(fault.message).toContain("(and 11 more)");
    expect(fault.stack.split("\n")).toHaveLength(10);
  });
});

test("describeFailure is one line, whatever is in it", () => {
  expect(describeFailure({ ...throwing, message: "a\nb\u0007" })).not.toMatch(/[\n\u0007]/);
});
