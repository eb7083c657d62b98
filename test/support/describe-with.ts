/**
 * Groups of tests that need programs of the system. No test skips silently: what is missing is printed in capitals with the package
 * that brings it, and where CI is set it is a failure.
 */
import { describe, test } from "vitest";
import { missingTools, type ToolName } from "./tools.ts";

/** `describe`, for tests that need tools. Without them it is told loudly and left out; where CI is set it fails instead. */
export function describeWith(wanted: readonly ToolName[], name: string, body: () => void): void {
  const missing = missingTools(wanted);
  if (missing.length === 0) {
    describe(name, body);
    return;
  }
  const notRun = `NOT RUN: ${name}: needs ${missing.join(", ")}`;
  process.stderr.write(`\n${notRun}\n\n`);
  if (["", "0", "false"].includes(process.env.CI ?? "")) {
    describe.skip(name, body);
    return;
  }
  describe(name, () => {
    test("has the tools it needs", () => {
      throw new Error(notRun);
    });
  });
}
