/** Figures of scripts: what is counted for which version, quantiles that are near enough, and an end to how much is kept. */
import { describe, expect, test } from "vitest";
import { Figures } from "../../../src/scripting/figures.ts";
import { TimeScale } from "../../../src/scripting/time-scale.ts";

const run = (parts: Partial<Parameters<Figures["count"]>[0]> = {}) => ({
  script: "scripts/a.ts",
  version: "sha256:1",
  verdict: "proceed" as const,
  fault: null,
  usage: { cpuMs: 1, wallMs: 3, heapKiB: 100 },
  ...parts,
});

describe("TimeScale", () => {
  test.each<[why: string, times: readonly number[], share: number, exact: number]>([
    ["the middle of three", [1, 10, 100], 0.5, 10],
    ["all but one of a hundred", [...Array(99).fill(0.5), 5_000], 0.99, 0.5],
    ["the one of a hundred", [...Array(99).fill(0.5), 5_000], 0.995, 5_000],
    ["the least there is", [0], 0.5, 0.001],
    ["what is no microsecond", [0.0002], 0.99, 0.001],
    ["a minute", [60_000], 0.99, 60_000],
  ])("%s", (_why, times, share, exact) => {
    const scale = new TimeScale();
    for (const time of times) scale.add(time);
    expect(scale.quantile(share)).toBeGreaterThanOrEqual(exact * 0.999);
    expect(scale.quantile(share)).toBeLessThanOrEqual(exact * 1.125);
  });

  test("is 0 where there is nothing, and takes any length of time", () => {
    const scale = new TimeScale();
    expect(scale.quantile(0.5)).toBe(0);
    scale.add(1e12);
    expect(scale.quantile(0.5)).toBeGreaterThan(3_600_000);
  });
});

describe("Figures", () => {
  test("counts verdicts, faults by code, time and memory for each version", () => {
    const figures = new Figures();
    figures.count(run());
    figures.count(run({ verdict: "refuse", usage: { cpuMs: 4, wallMs: 4, heapKiB: 50 } }));
    figures.count(run({ fault: { code: "script.threw" } }));
    figures.count(run({ version: "sha256:2", verdict: "defer" }));
    const [shown] = figures.show();
    expect(shown!.versions.map(({ version }) => version)).toEqual(["sha256:2", "sha256:1"]);
    expect(shown!.versions[1]).toMatchObject({
      runs: 3,
      verdicts: { proceed: 1, refuse: 1 },
      faults: { "script.threw": 1 },
      faultCount: 1,
      refusals: 1,
      cpuMs: { total: 6 },
      waitMs: { total: 4 },
      heapKiBMax: 100,
    });
    expect(figures.sums()).toEqual([
      {
        script: "scripts/a.ts",
        runs: 4,
        verdicts: { proceed: 1, refuse: 1, defer: 1 },
        faults: { "script.threw": 1 },
        cpuMs: 7,
        waitMs: 6,
        heapKiBMax: 100,
      },
    ]);
  });

  test("a version that never ran has zeros", () => {
    expect(new Figures().version("scripts/a.ts", "sha256:9")).toMatchObject({ runs: 0, cpuMs: { total: 0, p99: 0 } });
  });

  test("keeps eight versions of a script, those that ran last, and all of them in the sums", () => {
    const figures = new Figures();
    for (let n = 1; n <= 8; n++) figures.count(run({ version: `sha256:${n}` }));
    figures.count(run({ version: "sha256:1" }));
    expect(figures.show()[0]!.versions).toHaveLength(8);
    figures.count(run({ version: "sha256:9" }));
    const versions = figures.show()[0]!.versions.map(({ version }) => version);
    expect(versions).toHaveLength(8);
    expect(versions.slice(0, 2)).toEqual(["sha256:9", "sha256:1"]);
    expect(versions).not.toContain("sha256:2");
    expect(figures.sums()[0]!.verdicts).toEqual({ proceed: 10 });
  });

  test("keeps a thousand scripts, those that ran last", () => {
    const figures = new Figures();
    for (let n = 0; n < 1_000; n++) figures.count(run({ script: `scripts/${n}.ts` }));
    figures.count(run({ script: "scripts/0.ts" }));
    figures.count(run({ script: "scripts/new.ts" }));
    const names = figures.show().map(({ script }) => script);
    expect(names).toHaveLength(1_000);
    expect(names).toContain("scripts/0.ts");
    expect(names).not.toContain("scripts/1.ts");
  });
});
