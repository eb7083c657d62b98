import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Binding,
  checkBinding,
  compareBindings,
  priorityDefault,
  priorityMax,
} from "../../../src/events/binding.ts";
import { parseRule } from "../../../src/events/rule.ts";
import { faultOf } from "../../support/fault-of.ts";

const native: Binding["target"] = { kind: "native", handler: () => undefined };
const script: Binding["target"] = { kind: "script", version: "sha256:0" };

function binding(part: Partial<Binding> = {}): Binding {
  return {
    id: "a",
    name: "a",
    event: "onArrival",
    enabled: true,
    priority: priorityDefault,
    rule: null,
    onFault: "defer",
    maxFirings: 0,
    properties: {},
    source: "config",
    createdOrder: 0,
    target: native,
    ...part,
  };
}

describe("compareBindings", () => {
  const rows: readonly [why: string, first: Partial<Binding>, second: Partial<Binding>][] = [
    ["the lower priority first", { priority: 1, id: "z" }, { priority: 2, id: "a" }],
    ["priority before all else", { priority: 1, source: "server", target: script, createdOrder: 9 }, { priority: 2 }],
    [
      "what users bound before the server's own",
      { target: script, source: "script", createdOrder: 9 },
      { source: "server" },
    ],
    ["native before script", { createdOrder: 9 }, { target: script, source: "script" }],
    [
      "a broken one counts as native, in its place",
      { target: { kind: "broken", reason: "x" }, createdOrder: 9 },
      { target: script },
    ],
    ["the earlier created first", { createdOrder: 1, id: "z" }, { createdOrder: 2, id: "a" }],
    ["at last by id", { id: "a" }, { id: "b" }],
  ];
  test.each(rows)("%s", (_why, first, second) => {
    expect([binding(second), binding(first)].sort(compareBindings)).toEqual([binding(first), binding(second)]);
    expect(compareBindings(binding(first), binding(second))).toBeLessThan(0);
    expect(compareBindings(binding(second), binding(first))).toBeGreaterThan(0);
    expect(compareBindings(binding(first), binding(first))).toBe(0);
  });

  test("is one order, however the list was shuffled", () => {
    const part = fc.record({
      id: fc.constantFrom("a", "b", "c", "d", "e", "f"),
      priority: fc.constantFrom(0, 5),
      source: fc.constantFrom("server", "config", "script"),
      createdOrder: fc.constantFrom(0, 1),
      target: fc.constantFrom(native, script),
    });
    fc.assert(
      fc.property(fc.uniqueArray(part, { minLength: 2, maxLength: 8, selector: (one) => one.id }), (parts) => {
        const bindings = parts.map((one) => binding(one as Partial<Binding>));
        const sorted = bindings.toSorted(compareBindings);
        expect(bindings.toReversed().sort(compareBindings)).toEqual(sorted);
      }),
    );
  });
});

describe("checkBinding", () => {
  const rows: readonly [why: string, part: Partial<Binding>, words: RegExp | null][] = [
    ["the usual", {}, null],
    ["the first priority", { priority: 0 }, null],
    ["the last priority", { priority: priorityMax }, null],
    ["a priority below", { priority: -1 }, /priority -1, expected a whole number from 0 to 32767/],
    ["a priority above", { priority: priorityMax + 1 }, /priority 32768/],
    ["a priority between", { priority: 1.5 }, /priority 1\.5/],
    ["a priority that is no number", { priority: "1" as unknown as number }, /priority 1,/],
    ["no limit of firings", { maxFirings: 0 }, null],
    ["firings below none", { maxFirings: -1 }, /maxFirings -1/],
    ["half a firing", { maxFirings: 0.5 }, /maxFirings 0\.5/],
    ["a script where scripts may be", { target: script }, null],
    ["a script where none may be", { target: script, event: "onAuth" }, /scripts cannot handle it/],
    ["a native sink everywhere", { event: "onAuth" }, null],
  ];
  test.each(rows)("%s", (_why, part, words) => {
    if (words === null) {
      expect(() => checkBinding(binding(part))).not.toThrow();
      return;
    }
    const fault = faultOf(() => checkBinding(binding(part)));
    expect(fault.code).toBe("binding.invalid");
    expect(fault.message).toMatch(words);
  });
});

describe("a rule that asks too early", () => {
  const rule = parseRule("SUBJECT = x*");
  const early: Partial<Binding> = { event: "onConnect", target: script, source: "script", rule };
  test.each<[why: string, part: Partial<Binding>, words: RegExp | null]>([
    ["is no rule of a script", early, /^Cannot bind a to onConnect: "SUBJECT = x\*" never holds at onConnect/],
    ["that an admin set over it is his to answer for", { ...early, overridden: ["rule"] }, null],
    ["may be a native sink's, which was warned about", { ...early, source: "config", target: native }, null],
    ["is none where the header is there", { ...early, event: "onHeaders" }, null],
  ])("%s", (_why, part, words) => {
    if (words === null) expect(() => checkBinding(binding(part))).not.toThrow();
    else expect(() => checkBinding(binding(part))).toThrow(words);
  });
});
