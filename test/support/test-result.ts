/** A result of `onarrival test`: a message that proceeds unchanged, but for the given parts. */
import type { TestResult } from "../../src/main-test-result.ts";

export function testResult(parts: Partial<TestResult> = {}): TestResult {
  return {
    file: "a.eml",
    script: "scripts/a.ts",
    version: `sha256:${"ab".repeat(32)}`,
    event: "onArrival",
    matched: true,
    envelope: { from: "a@example.com", to: ["b@example.test"] },
    verdict: { kind: "proceed", settled: false },
    changes: { envelope: { added: [], removed: [] }, fields: [], parts: [] },
    submissions: [],
    log: [],
    usage: { cpuMs: 1.25, wallMs: 2.5, heapKiB: 1_234 },
    defects: [],
    fault: null,
    ...parts,
  };
}
