import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { type SinkEntry, SinkLoader } from "../../../src/sinks/load-sinks.ts";
import { createPorts } from "./subjects.ts";

const entry = (module: string, options: Partial<SinkEntry> = {}): SinkEntry => ({
  module: resolve("test/fixtures/sinks", module),
  events: ["onArrival"],
  priority: 100,
  rule: null,
  enabled: true,
  onFault: "defer",
  maxFirings: 0,
  properties: {},
  ...options,
});

const load = (entries: readonly SinkEntry[]) => new SinkLoader(createPorts()).load(entries);

describe("SinkLoader, with modules", () => {
  test("makes a sink from the only export and hands it its properties", async () => {
    const bindings = await load([entry("refuse-all.ts", { properties: { text: "Not here" } })]);
    expect(bindings).toMatchObject([
      {
        id: "sinks/refuse-all#onArrival",
        name: "refuse-all",
        priority: 100,
        source: "config",
        target: { kind: "native" },
      },
    ]);
    const [binding] = bindings;
    if (binding?.target.kind !== "native") throw new Error("not native");
    expect(binding.target.handler({ message: {} } as never, {} as never)).toMatchObject({ text: "Not here" });
  });

  test("binds one sink twice under two ids", async () => {
    const bindings = await load([entry("refuse-all.ts"), entry("refuse-all.ts", { name: "refuse-all" })]);
    expect(bindings.map(({ id }) => id)).toEqual(["sinks/refuse-all#onArrival", "sinks/refuse-all#onArrival-2"]);
  });

  test.each([
    ["a module that is not there", entry("nowhere.ts"), /nowhere/],
    ["a module that throws", entry("throws.ts"), /no configuration/],
    ["several exports and none named", entry("two-exports.ts"), /one, two/],
    ["an export that is not there", entry("two-exports.ts", { export: "three" }), /three/],
    ["no handler for the event", entry("two-exports.ts", { export: "two" }), /no handler for onArrival/],
  ])("binds %s as broken, and says why", async (_why, sink, reason) => {
    const bindings = await load([sink]);
    expect(bindings).toHaveLength(1);
    expect(bindings[0]?.target).toMatchObject({ kind: "broken", reason: expect.stringMatching(reason) as string });
  });

  test("a rule that cannot be read is the operator's fault, told at start", async () => {
    await expect(load([entry("refuse-all.ts", { rule: "RCPT TWO=*@example.test" })])).rejects.toMatchObject({
      code: "rule.syntax",
    });
  });

  test("makes no sink where a rule cannot be read", async () => {
    const made: unknown[] = [];
    const properties = { made };
    const bad = entry("refuse-all.ts", { rule: "RCPT TWO=*@example.test" });
    await expect(load([entry("counts.ts", { properties }), bad])).rejects.toMatchObject({
      code: "rule.syntax",
    });
    expect(made).toEqual([]);
  });
});
