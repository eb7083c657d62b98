/** The kit and its reference page are one; each sink's example works; what is wrong with properties is said all at once. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "smol-toml";
import { describe, expect, test } from "vitest";
import { eventTable } from "../../../src/events/event-table.ts";
import { parseRule } from "../../../src/events/rule.ts";
import { choice, count } from "../../../src/platform/value.ts";
import { kit } from "../../../src/sinks/kit.ts";
import { optionalProperty, property, readProperties, requiredProperty } from "../../../src/sinks/property.ts";
import { kitExample, kitReference } from "../../../src/sinks/reference.ts";
import { faultOf } from "../../support/fault-of.ts";
import { createPorts } from "./subjects.ts";

const root = join(import.meta.dirname, "../../..");

describe("the kit", () => {
  test("is what docs/sinks.md holds; `node src/sinks/reference.ts --write` renews it", () => {
    expect(readFileSync(join(root, "docs/sinks.md"), "utf8")).toBe(kitReference());
  });

  test("has ten sinks in alphabetical order", () => {
    expect(Object.keys(kit)).toEqual([...Object.keys(kit)].sort());
    expect(Object.keys(kit)).toHaveLength(10);
  });

  test.each(Object.entries(kit))("%s: sentences, property names, defaults of its kinds", (_name, sink) => {
    expect(sink.sentence).toMatch(/^[A-Z].{20,}\.$/);
    for (const [name, { kind, fallback, sentence }] of Object.entries(sink.properties)) {
      expect(name).toMatch(/^[a-z0-9]+(?:_[a-z0-9]+)*$/);
      expect(sentence, name).toMatch(/^\S.{10,}\.$/s);
      // An empty list and null stand for nothing written.
      if (fallback === null || fallback.value === null || String(fallback.value) === "") continue;
      const written = (parse(`x = ${kind.format(fallback.value)}`) as { readonly x: unknown }).x;
      expect(kind.parse(written), name).toEqual({ value: fallback.value });
    }
  });

  test.each(Object.entries(kit))(
    "%s: the example of its page makes a sink with handlers for its events",
    async (name, sink) => {
      const { sinks } = parse(kitExample(name)) as unknown as {
        readonly sinks: readonly [
          { readonly use: string; readonly rule?: string; readonly properties: Record<string, unknown> },
        ];
      };
      const [entry] = sinks;
      expect(entry.use).toBe(name);
      // The file of the page's example is none of the repository's.
      const written = JSON.parse(JSON.stringify(entry.properties).replace(',"./lists/senders.txt"', "")) as Record<
        string,
        unknown
      >;
      const made = await sink.make(written, createPorts());
      expect(made.name).toBe(name);
      const events = sink.events.filter((event) => made[event] !== undefined);
      expect(events.length).toBeGreaterThan(0);
      for (const event of events) {
        expect(eventTable[event].fired).toBe(true);
        if (entry.rule !== undefined) parseRule(entry.rule, event);
      }
      await made.close?.();
    },
  );
});

describe("readProperties", () => {
  const table = {
    times: requiredProperty(count({ min: 1, max: 9 }), "Times."),
    way: property(choice("way", ["north", "south"]), "north", "Way."),
    more: optionalProperty(count({ min: 1, max: 9 }), "More.", "none"),
  };

  test("fills in what is not written", () => {
    expect(readProperties("x", table, { times: 1 })).toEqual({ times: 1, way: "north", more: null });
    expect(readProperties("x", table, { times: 9, way: "south", more: 2 })).toEqual({
      times: 9,
      way: "south",
      more: 2,
    });
  });

  test.each([
    ["below", { times: 0 }, /times: expected a whole number from 1 to 9, found 0/],
    ["above", { times: 10 }, /times: expected a whole number from 1 to 9, found 10/],
    ["missing", {}, /times is missing: expected a whole number/],
    ["a word with a slip", { times: 1, way: "nrth" }, /way: .*did you mean "north"\?/],
    ["a name with a slip", { times: 1, wya: "north" }, /there is no property "wya"; did you mean way\?/],
    ["a name like nothing", { times: 1, zzzzzzzz: 1 }, /"zzzzzzzz"; expected one of times, way, more/],
    ["a name of every object", { times: 1, constructor: 1 }, /there is no property "constructor"/],
    ["everything at once", { way: 1, extra: 2 }, /"extra".*times is missing.*way: expected/],
  ])("says what is wrong: %s", (_why, written, message) => {
    const fault = faultOf(() => readProperties("x", table, written));
    expect(fault).toMatchObject({ code: "sink.properties", blame: "operator" });
    expect(fault.message).toMatch(message);
    expect(fault.message).toMatch(/^Cannot use the properties of x: /);
  });
});
