/**
 * The gate of the tests beside a script: what a test that fails means for a version that was saved is said by `scripts.tests`. How tests are run is given from outside
 * (main-test-cases.ts); they are run one at a time, and all together for a bounded time.
 */

import { plainLine } from "../../sandbox/plain-line.ts";
import { ScriptFaultError } from "../../sandbox/protocol.ts";
import type { Candidate, Gate } from "./gates.ts";

/** How one test fared: a case, or a test of a test file. */
export interface TestOutcome {
  readonly name: string;
  readonly ok: boolean;
  /** Where a case is not as expected. */
  readonly differences: readonly {
    readonly path: string;
    readonly expected: unknown;
    readonly found: unknown;
  }[];
  /** Why it could not be run, or what a test threw; null where there is nothing to say. */
  readonly message: string | null;
  /** `scripts/x.test/x.test.ts:4:3` */
  readonly at: string | null;
  readonly ms: number;
}

export interface TestGateOptions {
  /** With "warn" the version is live before it is tested. */
  readonly policy: "block" | "warn";
  /** Tests of a candidate, in order, until `isOver` says that there is no time left. */
  readonly run: (candidate: Candidate, isOver: () => boolean) => AsyncIterable<TestOutcome>;
  readonly now?: () => number;
}

/** Time for all tests of a version. */
export const testsMsMax = 10_000;
/** Tests that are told; what is over is counted. */
const toldMax = 10;

export function createTestGate({ policy, run, now = () => performance.now() }: TestGateOptions): Gate {
  return {
    name: "tests",
    policy,
    async check(candidate) {
      // What was live before has met them then, or was live before there were any: the mail needs it.
      if (policy === "block" && candidate.wasLive) return [];
      const endMs = now() + testsMsMax;
      const failed: TestOutcome[] = [];
      for await (const outcome of run(candidate, () => now() > endMs)) if (!outcome.ok) failed.push(outcome);
      const lines = failed.slice(0, toldMax).map(describeFailure);
      if (now() > endMs) lines.push(`Its tests were not over after ${testsMsMax / 1000} s`);
      if (lines.length === 0) return [];
      if (policy === "warn") return lines;
      const others = Math.max(failed.length, lines.length) - 1;
      throw new ScriptFaultError({
        code: "script.tests-failed",
        message: plainLine(lines[0]!, 440) + (others === 0 ? "" : ` (and ${others} more)`),
        at: failed[0]?.at ?? null,
        stack: lines.join("\n"),
      });
    },
  };
}

/** `outside: verdict.kind is "proceed", and "refuse" is expected`, in one line. */
export function describeFailure({ name, differences, message }: TestOutcome): string {
  const [first, ...more] = differences;
  if (message !== null || !first) return plainLine(`${name}: ${message ?? "failed"}`, 500);
  const others = more.length === 0 ? "" : ` (and ${more.length} more)`;
  return plainLine(
    `${name}: ${first.path === "" ? "the result" : first.path} is ${shown(first.found)}, and ${shown(first.expected)} is expected${others}`,
    500,
  );
}

function shown(value: unknown): string {
  return value === undefined ? "nothing" : (JSON.stringify(value) ?? "nothing").slice(0, 200);
}
