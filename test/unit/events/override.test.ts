/** Overrides: what an admin may set over a binding, what is refused, and what comes of it. */
import { describe, expect, test } from "vitest";
import type { Binding } from "../../../src/events/binding.ts";
import {
  applyOverrides,
  type BindingField,
  type BindingFields,
  changeOverride,
  eventOfId,
  mergeProperties,
  readFields,
} from "../../../src/events/override.ts";
import { parseRule } from "../../../src/events/rule.ts";
import { createBinding } from "../../support/events.ts";
import { faultOf } from "../../support/fault-of.ts";

const bound = (parts: Partial<Binding> = {}) =>
  createBinding("onArrival", () => undefined, { id: "sinks/x#onArrival", ...parts });

describe("readFields", () => {
  test.each<readonly [why: string, raw: Record<string, unknown>]>([
    ["nothing", {}],
    ["the smallest numbers", { priority: 0, maxFirings: 0, timeoutMs: 10 }],
    ["the largest numbers", { priority: 32_767, maxFirings: Number.MAX_SAFE_INTEGER, timeoutMs: 600_000 }],
    ["a rule", { rule: "RCPT TO = *@example.org" }],
    ["no rule", { rule: null }],
    ["everything else", { enabled: false, onFault: "quarantine", properties: { a: 1, b: null } }],
  ])("takes %s", (_why, raw) => {
    expect(readFields(raw, { place: "x" })).toEqual(raw);
  });

  test.each<readonly [why: string, raw: unknown, words: RegExp]>([
    ["no table", 7, /^x: expected fields of a binding, not 7$/],
    ["a priority below", { priority: -1 }, /^x: priority: expected a whole number from 0 to 32767, not -1$/],
    ["a priority above", { priority: 32_768 }, /32768/],
    ["a priority that is no whole number", { priority: 1.5 }, /1\.5/],
    ["a time below", { timeoutMs: 9 }, /timeoutMs: expected a whole number from 10/],
    ["a time above", { timeoutMs: 600_001 }, /to 600000/],
    ["a count below", { maxFirings: -1 }, /maxFirings/],
    ["a way there is not", { onFault: "drop" }, /onFault: expected "defer" or/],
    ["a rule that is no text", { rule: 7 }, /rule: expected a rule or null/],
    ["properties that are a list", { properties: [] }, /properties: expected a table/],
    ["a field nobody knows", { priorty: 1 }, /there is no field "priorty"; did you mean priority\?/],
    ["a field like no other", { zzzzzz: 1 }, /expected enabled, priority, rule/],
  ])("throws binding.invalid for %s", (_why, raw, words) => {
    const fault = faultOf(() => readFields(raw, { place: "x" }));
    expect(fault.code).toBe("binding.invalid");
    expect(fault.message).toMatch(words);
  });

  test("throws rule.syntax with the column, and reads a verb alone at a protocol event only", () => {
    const fault = faultOf(() => readFields({ rule: "RCPT = x" }, { place: "x", event: "onArrival" }));
    expect([fault.code, fault.facts.column]).toEqual(["rule.syntax", 1]);
    expect(readFields({ rule: "X-FOO" }, { place: "x", event: "onCommand" })).toEqual({ rule: "X-FOO" });
    expect(faultOf(() => readFields({ rule: "X-FOO" }, { place: "x", event: "onArrival" })).code).toBe("rule.syntax");
  });
});

test.each([
  ["a plain id", "added/x#onArrival", "onArrival"],
  ["a numbered one", "added/x#onRcptTo-12", "onRcptTo"],
  ["an event of another version", "added/x#onMoon", undefined],
  ["no event", "added/x", undefined],
])("eventOfId: %s", (_why, id, event) => {
  expect(eventOfId(id)).toBe(event);
});

describe("applyOverrides", () => {
  test("lays fields over bindings, says which, and leaves the others as they are", () => {
    const one = bound({ properties: { a: 1, b: 2 } });
    const other = bound({ id: "sinks/y#onArrival" });
    const [changed, same] = applyOverrides([one, other], {
      [one.id]: { properties: { b: null, c: 3 }, rule: "RCPT TO = *@example.org", priority: 5, enabled: false },
    });
    expect(changed).toMatchObject({ priority: 5, enabled: false, onFault: "defer", properties: { a: 1, c: 3 } });
    expect(changed!.properties).not.toHaveProperty("b");
    expect(changed!.rule?.text).toBe("RCPT TO = *@example.org");
    expect(changed!.overridden).toEqual(["enabled", "priority", "rule", "properties"]);
    expect(same).toBe(other);
    expect(one).not.toHaveProperty("overridden");
  });

  test("takes a rule away where it is null", () => {
    const [changed] = applyOverrides([bound({ rule: parseRule("USER = *") })], { "sinks/x#onArrival": { rule: null } });
    expect(changed).toMatchObject({ rule: null, overridden: ["rule"] });
  });

  test("never changes the server's own handling, and ignores what is not there", () => {
    const own = bound({ id: "server/relay-control#onRcptTo", source: "server" });
    const overrides = { [own.id]: { enabled: false }, "scripts/gone.ts#onArrival": { enabled: false } };
    expect(applyOverrides([own], overrides)).toEqual([own]);
    expect(applyOverrides([bound({ id: "toString" })], {})[0]).not.toHaveProperty("overridden");
  });
});

test("mergeProperties takes no key for anything but a key", () => {
  const changed = JSON.parse('{"__proto__": {"polluted": true}}') as Record<string, unknown>;
  const merged = mergeProperties({ a: 1 }, changed);
  expect(Object.keys(merged)).toEqual(["a", "__proto__"]);
  expect((merged as { polluted?: unknown }).polluted).toBeUndefined();
});

describe("changeOverride", () => {
  const binding = bound({ priority: 100, rule: parseRule("USER = *") });
  const rows: readonly (readonly [
    why: string,
    former: BindingFields | undefined,
    set: BindingFields,
    reset: readonly BindingField[],
    after: BindingFields | undefined,
  ])[] = [
    ["sets the first field", undefined, { priority: 5 }, [], { priority: 5 }],
    ["sets one more", { priority: 5 }, { enabled: false }, [], { enabled: false, priority: 5 }],
    ["sets one anew", { priority: 5 }, { priority: 6 }, [], { priority: 6 }],
    ["resets one of two", { priority: 5, enabled: false }, {}, ["priority"], { enabled: false }],
    ["resets the last", { priority: 5 }, {}, ["priority"], undefined],
    ["forgets what is set to what is written", { enabled: false }, { enabled: true, priority: 100 }, [], undefined],
    ["forgets a rule that is the written one", undefined, { rule: "USER = *" }, [], undefined],
    ["keeps that there is to be no rule", undefined, { rule: null }, [], { rule: null }],
    ["adds properties", { properties: { a: 1 } }, { properties: { b: null } }, [], { properties: { a: 1, b: null } }],
    [
      "begins properties anew",
      { properties: { a: 1 } },
      { properties: { b: 2 } },
      ["properties"],
      { properties: { b: 2 } },
    ],
    ["sets what it resets", { priority: 5 }, { priority: 6 }, ["priority"], { priority: 6 }],
  ];
  test.each(rows)("%s", (_why, former, set, reset, after) => {
    expect(changeOverride(former, { set, reset, binding })).toEqual(after);
  });

  test("keeps what waits for a binding that is not there", () => {
    const former = { enabled: true, priority: 5 };
    expect(changeOverride(former, { set: {}, reset: ["priority"], binding: undefined })).toEqual({ enabled: true });
  });
});
