/** The folder of tests beside a script: which cases there are, and how a message comes in. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { caseClockDefault, readSetup, readTestFolder, testFolderOf } from "../../../src/scripting/test-folder.ts";
import { faultOf } from "../../support/fault-of.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "test-folder-"));
  mkdirSync(join(root, "a.test"));
});
afterEach(() => rmSync(root, { recursive: true }));

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, "a.test", name), text);
}

const script = () => join(root, "a.ts");

describe("readTestFolder", () => {
  test("gives null where there is none", async () => {
    expect(await readTestFolder(join(root, "b.ts"))).toBeNull();
    expect(testFolderOf("/x/scripts/a.mjs")).toBe("/x/scripts/a.test");
  });

  test("puts together what belongs to one name, in the order of the names", async () => {
    write({
      "two.eml": "",
      "two.json": '{ "user": "ann" }',
      "two.answers.json": '{ "kv": { "x": 1 } }',
      "two.expected.json": '{ "matched": true }',
      "one.eml": "",
      "a.test.ts": "",
      "notes.md": "",
      ".hidden.eml": "",
    });
    const folder = (await readTestFolder(script()))!;
    expect(folder.cases.map(({ name }) => name)).toEqual(["one", "two"]);
    expect(folder.files).toEqual([join(root, "a.test", "a.test.ts")]);
    expect(await folder.cases[0]!.read()).toMatchObject({ name: "one", expected: undefined });
    expect(await folder.cases[1]!.read()).toMatchObject({
      message: join(root, "a.test", "two.eml"),
      expected: { matched: true },
      setup: { user: "ann", answers: { kv: { x: 1 } }, answersIn: "two.answers.json" },
    });
  });

  test("takes a case without a message at an event that comes before there is one", async () => {
    write({ "hello.json": '{ "event": "onHelo" }' });
    const folder = (await readTestFolder(script()))!;
    expect(await folder.cases[0]!.read()).toMatchObject({ message: null, setup: { event: "onHelo" } });
  });

  test.each<[why: string, files: Readonly<Record<string, string>>, words: string]>([
    ["a case without a message", { "x.json": "{}" }, "There is no message x.eml"],
    ["what is no JSON", { "x.eml": "", "x.expected.json": "{" }, "Cannot read x.expected.json"],
    [
      "answers in two places",
      { "x.eml": "", "x.json": '{ "answers": {} }', "x.answers.json": "{}" },
      "expected one of them",
    ],
  ])("says what is wrong with %s", async (_why, files, words) => {
    write(files);
    const folder = (await readTestFolder(script()))!;
    await expect(folder.cases[0]!.read()).rejects.toMatchObject({
      code: "script.tests-failed",
      message: expect.stringContaining(words),
    });
  });
});

describe("readSetup", () => {
  test("completes what is not said, the same every time", () => {
    const setup = readSetup({}, "x.json", "x.answers.json");
    expect(setup).toEqual(readSetup({}, "x.json", "x.answers.json"));
    expect(setup).toMatchObject({
      event: null,
      ip: "192.0.2.1",
      user: null,
      from: undefined,
      to: [],
      clock: caseClockDefault,
    });
    expect(setup.seed).toMatch(/^[0-9a-f]{32}$/);
  });

  test("takes all there is to say", () => {
    const setup = readSetup(
      {
        event: "onArrival",
        from: null,
        to: "bob@example.test",
        clock: "2026-02-03T04:05:06Z",
        auth: { dmarc: { result: "fail", policy: "reject" }, dkim: [{ domain: "example.org" }] },
        properties: { limit: 3 },
      },
      "x.json",
      "x.answers.json",
    );
    expect(setup.from).toBeNull();
    expect(setup.to).toHaveLength(1);
    expect(setup.clock).toBe(Date.UTC(2026, 1, 3, 4, 5, 6));
    expect(setup.auth).toMatchObject({
      spf: { result: "none" },
      dmarc: { result: "fail", policy: "reject", alignedBy: [] },
      dkim: [{ result: "pass", domain: "example.org" }],
    });
  });

  test.each<[why: string, given: unknown, words: string]>([
    ["a list", [], "it is no object"],
    ["a word that is none", { form: "x" }, '"form" is none of event'],
    ["an event scripts cannot handle", { event: "onTrack" }, "scripts cannot handle onTrack"],
    ["an address of no host", { ip: "300.1.1.1" }, "ip is no IP address"],
    ["a sender that is none", { from: "nobody" }, "from: "],
    ["a recipient that is no text", { to: [1] }, "to is no list of addresses"],
    ["a time that is none", { clock: "soon" }, "clock is no time"],
    ["a seed that is too short", { seed: "ab" }, "seed is not of 32 hexadecimal digits"],
    ["a user that is no text", { user: 1 }, "user is no text"],
  ])("refuses %s", (_why, given, words) => {
    const fault = faultOf(() => readSetup(given, "x.json", "x.answers.json"));
    expect(fault.code).toBe("script.tests-failed");
    expect(fault.message).toContain(`Cannot read x.json: `);
    expect(fault.message).toContain(words);
  });
});
