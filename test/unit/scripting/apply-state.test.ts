import { describe, expect, test } from "vitest";
import type { Effects } from "../../../sandbox/protocol.ts";
import { applyEffects, isEmpty } from "../../../src/scripting/apply.ts";
import { createMessage } from "../../support/events.ts";

const to = ["bob@example.test", "eve@example.test"];
const message = () => createMessage("Subject: one\n\nbody\n", { to });

describe("applyEffects, notes", () => {
  test("puts those of the script in the place of those there were, and keeps the server's own", async () => {
    const given = message();
    given.notes = { mine: 1, released: true, parent: "X", "onarrival.scripts": [] };
    await applyEffects(given, { notes: { other: [1], released: false } });
    expect(given.notes).toEqual({ other: [1], released: true, parent: "X", "onarrival.scripts": [] });
  });

  test.each<[string, unknown, string]>([
    ["16 KiB and an octet", { x: "x".repeat(16_384 - 7) }, "script.action-limit"],
    ["another prototype", JSON.parse('{"a":{"__proto__":1}}'), "script.action-invalid"],
    ["65 levels", JSON.parse(`{"x":${"[".repeat(65)}${"]".repeat(65)}}`), "script.action-invalid"],
    ["what is no JSON", { x: undefined }, "script.action-invalid"],
  ])("does not keep %s", async (_why, notes, code) => {
    const given = message();
    await expect(applyEffects(given, { notes: notes as never })).rejects.toMatchObject({ code });
    expect(given.notes).toEqual({});
  });

  test("keeps 16 KiB", async () => {
    const given = message();
    await applyEffects(given, { notes: { x: "x".repeat(16_384 - 8) } });
    expect(JSON.stringify(given.notes)).toHaveLength(16_384);
  });
});

describe("applyEffects, ways", () => {
  const optionsAfter = async (effects: Effects) => {
    const given = message();
    await applyEffects(given, effects);
    return given.envelope.recipients.map(({ options }) => options);
  };

  test.each<[string, Effects, unknown]>([
    [
      "a route for all",
      { routes: [{ recipients: null, to: " smtp://Relay.example " }] },
      [{ route: "smtp://relay.example:25" }, { route: "smtp://relay.example:25" }],
    ],
    ["a route for one", { routes: [{ recipients: ["EVE@example.test"], to: "mx" }] }, [undefined, { route: "mx" }]],
    [
      "the last one counts",
      {
        routes: [
          { recipients: null, to: "drop" },
          { recipients: null, to: "hold:later" },
        ],
      },
      [{ route: "hold:later" }, { route: "hold:later" }],
    ],
    [
      "a folder for one",
      { folders: [{ recipients: ["bob@example.test"], to: " Lists / dev" }] },
      [{ folder: "Lists/dev" }, undefined],
    ],
    [
      "the inbox again",
      {
        folders: [
          { recipients: null, to: "Junk" },
          { recipients: ["bob@example.test"], to: null },
        ],
      },
      [{}, { folder: "Junk" }],
    ],
    [
      "for those the run redirects to",
      { to: ["new@example.org"], routes: [{ recipients: ["new@example.org"], to: "smarthost" }] },
      [{ route: "smarthost" }],
    ],
  ])("gives %s", async (_why, effects, expected) => {
    expect(await optionsAfter(effects)).toEqual(expected);
  });

  test.each<[string, Effects, string]>([
    ["a next hop that is none", { routes: [{ recipients: null, to: "telnet://x" }] }, "next-hop.syntax"],
    ["nowhere", { routes: [{ recipients: null, to: null }] }, "script.action-invalid"],
    ["a folder that leads out", { folders: [{ recipients: null, to: "../x" }] }, "folder.invalid"],
    ["nobody of the message", { folders: [{ recipients: ["x@example.org"], to: "Junk" }] }, "script.action-invalid"],
  ])("does not give %s, nor anything else of the run", async (_why, effects, code) => {
    const given = message();
    const before = given.snapshot();
    await expect(applyEffects(given, { fields: [], ...effects })).rejects.toMatchObject({ code });
    expect(given.snapshot()).toEqual(before);
  });
});

test.each<[string, Effects, boolean]>([
  ["nothing", {}, true],
  ["no splices", { splices: [], parts: [] }, true],
  ["powers alone", { powers: [] }, true],
  ["notes", { notes: {} }, false],
  ["a way", { folders: [] }, false],
  ["a reverse-path that is null", { from: null }, false],
])("isEmpty: %s", (_why, effects, expected) => {
  expect(isEmpty(effects)).toBe(expected);
});
