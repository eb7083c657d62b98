/** The log of each script: lines in order, faults with their place, what is too much goes, and followers hear what comes. */
import { describe, expect, test } from "vitest";
import { Fault } from "../../../src/platform/fault.ts";
import { ScriptLog, type ScriptLogLine } from "../../../src/scripting/script-log.ts";

const run = (parts: Partial<Parameters<ScriptLog["add"]>[0]> = {}): Parameters<ScriptLog["add"]>[0] => ({
  script: "scripts/a.ts",
  version: "sha256:1",
  event: "onArrival",
  about: "01MESSAGE",
  verdict: "proceed",
  fault: null,
  usage: { cpuMs: 1, wallMs: 3, heapKiB: 100 },
  log: [],
  ...parts,
});
const line = (text: string) => ({ level: "info" as const, text, at: 5 });
const texts = (lines: readonly ScriptLogLine[]) => lines.map(({ text }) => text);

describe("ScriptLog", () => {
  test("keeps the lines of a run and behind them its fault, with code and place", () => {
    const log = new ScriptLog(() => 7);
    const fault = new Fault("script.threw", "no such field", { facts: { at: "scripts/a.ts:3:1" } });
    log.add(run({ log: [line("one"), line("two")], fault }));
    const facts = { script: "scripts/a.ts", version: "sha256:1", event: "onArrival", about: "01MESSAGE" };
    expect(log.last("scripts/a.ts", 10)).toEqual([
      { ...line("one"), ...facts },
      { ...line("two"), ...facts },
      {
        at: 7,
        level: "error",
        text: "no such field",
        ...facts,
        fault: { code: "script.threw", at: "scripts/a.ts:3:1" },
      },
    ]);
    expect(log.last("scripts/b.ts", 10)).toEqual([]);
    expect(texts(log.last("scripts/a.ts", 1))).toEqual(["no such field"]);
    expect(log.last("scripts/a.ts", 0)).toEqual([]);
  });

  test.each<[why: string, count: number, kept: number]>([
    ["below", 999, 999],
    ["at", 1_000, 1_000],
    ["above", 1_001, 1_000],
  ])("keeps a thousand lines of a script: %s", (_why, count, kept) => {
    const log = new ScriptLog(() => 0);
    for (let n = 0; n < count; n++) log.add(run({ log: [line(String(n))] }));
    expect(log.last("scripts/a.ts", 5_000)).toHaveLength(kept);
    expect(log.last("scripts/a.ts", 1)[0]!.text).toBe(String(count - 1));
  });

  test("keeps a quarter of a million characters of a script", () => {
    const log = new ScriptLog(() => 0);
    for (let n = 0; n < 200; n++) log.add(run({ log: [line("x".repeat(2_000))] }));
    expect(log.last("scripts/a.ts", 1_000)).toHaveLength(131);
  });

  test("two hundred scripts, those that logged last", () => {
    const log = new ScriptLog(() => 0);
    for (let n = 0; n < 200; n++) log.add(run({ script: `scripts/${n}.ts`, log: [line("x")] }));
    log.add(run({ script: "scripts/0.ts", log: [line("y")] }));
    log.add(run({ script: "scripts/new.ts", log: [line("z")] }));
    expect(log.last("scripts/1.ts", 1)).toEqual([]);
    expect(texts(log.last("scripts/0.ts", 9))).toEqual(["x", "y"]);
  });

  test("tells followers of their script, until they stop", () => {
    const log = new ScriptLog(() => 0);
    const heard: string[] = [];
    const stop = log.follow("scripts/a.ts", ({ text }) => heard.push(text));
    log.add(run({ log: [line("one")] }));
    log.add(run({ script: "scripts/b.ts", log: [line("other")] }));
    stop();
    log.add(run({ log: [line("two")] }));
    expect(heard).toEqual(["one"]);
  });
});
