/** `data/bindings.json`: what can be read, what cannot and where, how it is written and backed up, and what two documents differ in. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type AddedBinding,
  type BindingDocument,
  differences,
  emptyDocument,
  entryOf,
  formatDocument,
  keptPath,
  mergeContent,
  nextAdded,
  readDocument,
  withAdded,
} from "../../../src/config/binding-document.ts";
import { BindingFile } from "../../../src/config/binding-file.ts";
import { faultOf } from "../../support/fault-of.ts";

const read = (parts: object) => readDocument(JSON.stringify({ format: 1, ...parts }));
const added = (raw: object = {}): AddedBinding =>
  nextAdded({ use: "greylist", event: "onRcptTo", ...raw }, emptyDocument);

describe("readDocument", () => {
  test("reads back what formatDocument wrote", () => {
    const content = withAdded(
      emptyDocument,
      added({ rule: "CLIENT = 192.0.2.0/24", properties: { a: [1, { b: null }] } }),
    );
    const document: BindingDocument = {
      ...emptyDocument,
      ...content,
      revision: 3,
      restored: 1,
      overrides: { "scripts/a.ts#onArrival": { enabled: false, rule: null } },
    };
    expect(readDocument(formatDocument(document))).toEqual(document);
  });

  test("takes a document that says only what matters", () => {
    const { added: bindings, issued } = read({
      added: [{ id: "added/x#onData-4", module: "./x.ts", event: "onData" }],
    });
    expect(bindings[0]).toMatchObject({
      enabled: true,
      priority: 24_575,
      rule: null,
      onFault: "defer",
      properties: {},
    });
    expect(issued).toEqual({ "added/x#onData": 4 });
  });

  const one = { id: "added/x#onData", use: "x", event: "onData" };
  test.each<readonly [why: string, parts: object, words: RegExp]>([
    ["a later format", { format: 2 }, /format 2 is of a later version/],
    ["a format that is none", { format: "1" }, /format: expected 1, not "1"/],
    ["a field nobody knows", { override: {} }, /the document: there is no field "override"; did you mean overrides\?/],
    ["a revision that is none", { revision: -1 }, /revision: expected a whole number/],
    ["a time that is none", { changedAt: "soon" }, /changedAt: expected a time/],
    ["a list that is none", { added: {} }, /added: expected a list/],
    ["an id twice", { added: [one, one] }, /added\[1\]: id: added\/x#onData is there twice/],
    [
      "an id of another event",
      { added: [{ ...one, id: "added/x#onHelo" }] },
      /added\[0\]: id: expected added\/NAME#onData/,
    ],
    ["no id", { added: [{ use: "x", event: "onData" }] }, /added\[0\]: id/],
    ["no event", { added: [{ id: one.id, use: "x" }] }, /added\[0\]: there is no event/],
    ["an event there is not", { added: [{ ...one, event: "onDate" }] }, /event: expected .*did you mean onData\?/],
    ["neither use nor module", { added: [{ id: one.id, event: "onData" }] }, /expected use or module/],
    ["both", { added: [{ ...one, module: "./x.ts" }] }, /expected use or module/],
    ["export without module", { added: [{ ...one, export: "x" }] }, /export goes with module/],
    ["a module that is no path", { added: [{ id: one.id, event: "onData", module: "x" }] }, /a path that begins with/],
    ["a field of a wrong kind", { added: [{ ...one, priority: "1" }] }, /added\[0\]: priority/],
    ["an override without an event", { overrides: { x: {} } }, /overrides\["x"\]: expected the id of a binding/],
    [
      "an override of a wrong kind",
      { overrides: { "sinks/x#onData": { priority: -1 } } },
      /overrides\["sinks\/x#onData"\]: priority/,
    ],
    ["the server's own", { overrides: { "server/relay-control#onRcptTo": { enabled: false } } }, /cannot be changed/],
  ])("throws binding.invalid for %s", (_why, parts, words) => {
    const fault = faultOf(() => read(parts));
    expect(fault.code).toBe("binding.invalid");
    expect(fault.message).toMatch(words);
  });

  test("says at which line and column it is no JSON", () => {
    expect(faultOf(() => readDocument('{\n  "format": 1,\n  oops\n}')).message).toMatch(/^line 3, column 3: no JSON: /);
    expect(faultOf(() => readDocument('{"format": 1')).message).toMatch(/^line 1, column 13: /);
  });

  test("throws rule.syntax for a rule that cannot be read", () => {
    expect(faultOf(() => read({ overrides: { "sinks/x#onData": { rule: "NOPE = x" } } })).code).toBe("rule.syntax");
  });
});

describe("nextAdded", () => {
  test("never gives an id twice, also after it was removed", () => {
    const first = added();
    const content = withAdded(emptyDocument, first);
    const second = nextAdded({ use: "greylist", event: "onRcptTo" }, { ...content, added: [] });
    expect([first.id, second.id]).toEqual(["added/greylist#onRcptTo", "added/greylist#onRcptTo-2"]);
    expect(added({ event: "onData" }).id).toBe("added/greylist#onData");
  });

  test.each([
    ["its name", { name: "My list" }, "added/My-list#onRcptTo"],
    ["its module", { use: undefined, module: "./sinks/a.b.ts" }, "added/a.b#onRcptTo"],
  ])("calls it by %s", (_why, raw, id) => {
    const whole = JSON.parse(JSON.stringify({ use: "greylist", event: "onRcptTo", ...raw })) as object;
    expect(nextAdded(whole, emptyDocument).id).toBe(id);
  });

  test("throws binding.invalid where somebody brings an id", () => {
    expect(faultOf(() => added({ id: "added/mine#onRcptTo" })).message).toMatch(/the server gives the id itself/);
  });
});

test("mergeContent keeps or replaces, and forgets no id that was given", () => {
  const present = { ...withAdded(emptyDocument, added()), overrides: { "sinks/a#onData": { priority: 1 } } };
  const other = {
    issued: { "added/greylist#onRcptTo": 5 },
    added: [{ ...added({ event: "onData" }) }],
    overrides: { "sinks/a#onData": { enabled: false } },
  };
  const merged = mergeContent(present, other, "merge");
  expect(merged.added.map(({ id }) => id)).toEqual(["added/greylist#onRcptTo", "added/greylist#onData"]);
  expect(merged.overrides).toEqual({ "sinks/a#onData": { enabled: false } });
  const replaced = mergeContent(present, { ...other, issued: {} }, "replace");
  expect(replaced.added.map(({ id }) => id)).toEqual(["added/greylist#onData"]);
  expect(replaced.issued).toEqual({ "added/greylist#onRcptTo": 1 });
  expect(merged.issued).toEqual({ "added/greylist#onRcptTo": 5 });
});

test("differences says in words what was added, changed and removed", () => {
  const one = added({ priority: 7, timeoutMs: 5_000 });
  const before = {
    ...withAdded(emptyDocument, one),
    overrides: { "sinks/a#onData": { priority: 1, rule: "USER = *" } },
  };
  const after = {
    ...withAdded(
      { ...before, added: [{ ...one, priority: 8, onFault: "proceed" as const }] },
      added({ event: "onData" }),
    ),
    overrides: { "sinks/a#onData": { enabled: false, rule: null } },
  };
  expect(differences(before, before)).toEqual([]);
  expect(differences(before, after)).toEqual([
    { sign: "~", id: "added/greylist#onRcptTo", words: ["priority 7 → 8", "on fault defer → proceed"] },
    { sign: "+", id: "added/greylist#onData", words: ["greylist on onData"] },
    {
      sign: "~",
      id: "sinks/a#onData",
      words: ["enabled as written → false", "priority 1 → as written", "rule USER = * → none"],
    },
  ]);
  expect(differences(emptyDocument, before)[0]!.words).toEqual(["greylist on onRcptTo", "priority 7", "timeout 5s"]);
  expect(differences(before, emptyDocument)[0]).toEqual({ sign: "-", id: one.id, words: ["greylist on onRcptTo"] });
});

test("keptPath and entryOf: a module inside the site moves with it", () => {
  expect(keptPath("/site/sinks/x.ts", "/site")).toBe("./sinks/x.ts");
  expect(keptPath("./sinks/x.ts", "/site")).toBe("./sinks/x.ts");
  expect(keptPath("../x.ts", "/site/a")).toBe("/site/x.ts");
  expect(keptPath("/elsewhere/x.ts", "/site")).toBe("/elsewhere/x.ts");
  const entry = entryOf({ ...added(), module: "./sinks/x.ts" }, "/moved");
  expect(entry).toMatchObject({ module: "/moved/sinks/x.ts", events: ["onRcptTo"], source: "added" });
});

describe("BindingFile", () => {
  let data: string;
  let file: BindingFile;
  beforeEach(() => {
    data = mkdtempSync(join(tmpdir(), "bindings-"));
    file = new BindingFile(data);
  });
  afterEach(() => rmSync(data, { recursive: true, force: true }));
  const revision = (number: number): BindingDocument => ({ ...emptyDocument, revision: number });
  const path = () => join(data, "bindings.json");
  const backups = () => readdirSync(join(data, "bindings.backups"));

  test("is empty where there is none, and makes none by being read", async () => {
    expect(await file.read()).toEqual(emptyDocument);
    expect(readdirSync(data)).toEqual([]);
  });

  test("writes what the next start reads, for its user alone, with a backup of it", async () => {
    await file.write(revision(1));
    expect(await new BindingFile(data).read()).toEqual(revision(1));
    expect(statSync(path()).mode & 0o777).toBe(0o600);
    expect(await file.revision(1)).toEqual(revision(1));
    expect([await file.revision(0), await file.revision(2)]).toEqual([emptyDocument, undefined]);
    expect(readdirSync(data).sort()).toEqual(["bindings.backups", "bindings.json"]);
  });

  test("keeps the last fifty backups", async () => {
    for (let number = 1; number <= 50; number++) await file.write(revision(number));
    expect(backups()).toHaveLength(50);
    await file.write(revision(51));
    expect((await file.revisions()).slice(0, 1)).toEqual([2]);
    expect(backups()).toHaveLength(50);
  });

  test("backs up what was put there by hand before it writes over it", async () => {
    writeFileSync(path(), formatDocument(revision(7)));
    await file.read();
    await expect(file.write(revision(8))).rejects.toMatchObject({ code: "binding.conflict" });
    file.takeUp();
    await file.write(revision(8));
    expect(await file.revisions()).toEqual([7, 8]);
  });

  test("isEdited tells what somebody wrote from what the server wrote", async () => {
    await file.read();
    expect(await file.isEdited()).toBe(false);
    await file.write(revision(1));
    await file.read();
    expect(await file.isEdited()).toBe(false);
    writeFileSync(path(), '{"format":1,"revision":1}');
    await file.read();
    expect(await file.isEdited()).toBe(true);
  });

  test("replaces what a killed server left half-written", async () => {
    writeFileSync(`${path()}.${process.pid}.tmp`, "{");
    await file.write(revision(1));
    expect(existsSync(`${path()}.${process.pid}.tmp`)).toBe(false);
  });

  test.each([
    ["the file changed", '{"format":1,"revision":9}'],
    ["the file damaged", "{"],
  ])("throws binding.conflict with %s by hand, and leaves it", async (_why, text) => {
    await file.write(revision(1));
    writeFileSync(path(), text);
    await expect(file.write(revision(2))).rejects.toMatchObject({ code: "binding.conflict" });
    expect(readFileSync(path(), "utf8")).toBe(text);
    expect(backups()).toEqual(["1.json"]);
  });

  test.each([
    [
      "no JSON",
      '{"format": 1,',
      /bindings\.json: line 1, column 14: no JSON.*put .*bindings\.backups\/2\.json in its place/,
    ],
    ["of a later version", '{"format": 2}', /later version/],
    ["empty", "", /line 1, column 1/],
  ])("throws bindings.unreadable for a file that is %s, and names the newest backup", async (_why, text, words) => {
    await file.write(revision(1));
    await file.write(revision(2));
    writeFileSync(path(), text);
    await expect(new BindingFile(data).read()).rejects.toMatchObject({
      code: "bindings.unreadable",
      message: expect.stringMatching(words),
    });
    expect(readFileSync(path(), "utf8")).toBe(text);
  });

  test("throws bindings.unreadable for a file that may not be read, and for a damaged backup", async () => {
    mkdirSync(path());
    await expect(file.read()).rejects.toMatchObject({ code: "bindings.unreadable" });
    mkdirSync(join(data, "bindings.backups"));
    writeFileSync(join(data, "bindings.backups/3.json"), "{");
    await expect(file.revision(3)).rejects.toMatchObject({ code: "bindings.unreadable" });
  });

  test("putBack leaves what was there before, also where nothing was", async () => {
    await file.write(revision(1));
    await file.putBack();
    expect(existsSync(path())).toBe(false);
    expect(backups()).toEqual([]);
    await file.write(revision(1));
    await file.write(revision(2));
    await file.putBack();
    expect(await new BindingFile(data).read()).toEqual(revision(1));
    expect(backups()).toEqual(["1.json"]);
    await file.write(revision(2));
    expect(await new BindingFile(data).read()).toEqual(revision(2));
  });

  test("throws data.unusable where it cannot be written, and then it is as it was", async () => {
    await file.write(revision(1));
    rmSync(join(data, "bindings.backups"), { recursive: true });
    writeFileSync(join(data, "bindings.backups"), "in the way");
    await expect(file.write(revision(2))).rejects.toMatchObject({ code: "data.unusable" });
    rmSync(join(data, "bindings.backups"));
    expect(await new BindingFile(data).read()).toEqual(revision(1));
    await file.write(revision(2));
    expect(await new BindingFile(data).read()).toEqual(revision(2));
  });
});
