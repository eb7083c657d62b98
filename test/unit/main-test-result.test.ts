/** What of a result is compared with an expectation, and how a difference is told. */
import { expect, test } from "vitest";
import { formatDifferences } from "../../src/cli/test-report.ts";
import { compare, expectationOf, stableResult } from "../../src/main-test-result.ts";
import { plainOutput } from "../support/terminal.ts";
import { testResult } from "../support/test-result.ts";

const where = { expectFile: "cases/a.expected.json", cwd: "/site" };

test("stableResult leaves out what differs from run to run and from machine to machine", () => {
  const one = testResult({
    file: "/site/cases/a.eml",
    version: "sha256:1",
    usage: { cpuMs: 1, wallMs: 2, heapKiB: 3 },
    log: [{ level: "info", text: "x", at: "2026-11-02T09:30:00.000Z" }],
    fault: { code: "script.threw", message: "no", at: "scripts/a.ts:1:2", stack: "one" },
  });
  const other = testResult({
    file: "cases/a.eml",
    version: "sha256:2",
    usage: { cpuMs: 9, wallMs: 9, heapKiB: 9 },
    log: [{ level: "info", text: "x", at: "2027-01-01T00:00:00.000Z" }],
    fault: { code: "script.threw", message: "no", at: "scripts/a.ts:1:2", stack: "two" },
  });
  expect(stableResult(one, where)).toEqual(stableResult(other, where));
  expect(stableResult(one, where)).toMatchObject({
    file: "a.eml",
    log: [{ level: "info", text: "x" }],
    fault: { code: "script.threw", message: "no", at: "scripts/a.ts:1:2" },
  });
});

test("expectationOf is one object for one message and a list for several", () => {
  expect(expectationOf([testResult()], where)).toMatchObject({ matched: true });
  expect(expectationOf([testResult(), testResult()], where)).toHaveLength(2);
});

test.each<[why: string, expected: unknown, found: unknown, paths: string[]]>([
  ["nothing differs", { a: [1, { b: null }] }, { a: [1, { b: null }] }, []],
  ["a value", { a: { b: 1 } }, { a: { b: 2 } }, ["a.b"]],
  ["a type", { a: 1 }, { a: "1" }, ["a"]],
  ["null is not absence", { a: null }, {}, ["a"]],
  ["something more", {}, { a: 1 }, ["a"]],
  ["an item more", { a: [1] }, { a: [1, 2] }, ["a[1]"]],
  ["an item less", { a: [1, 2] }, { a: [1] }, ["a[1]"]],
  ["a list for an object", { a: {} }, { a: [] }, ["a"]],
  ["all of it", [], {}, [""]],
  ["two places", { a: 1, b: 2 }, { a: 2, b: 3 }, ["a", "b"]],
  ["a key that every object has", {}, JSON.parse('{"constructor": 1}'), ["constructor"]],
])("compare: %s", (_why, expected, found, paths) => {
  expect(compare(expected, found).map((difference) => difference.path)).toEqual(paths);
});

test("formatDifferences says what was expected and what was found", () => {
  expect(
    formatDifferences(
      compare({ verdict: { kind: "proceed" } }, { verdict: { kind: "refuse", code: 550 } }),
      "a.json",
      plainOutput,
    ),
  ).toBe(
    'differs from a.json\n  verdict.kind\n    expected "proceed"\n    found    "refuse"\n  verdict.code\n    expected nothing\n    found    550\n',
  );
});
