/** Changing bindings while the server runs: what goes live, what is written, and that a change that fails leaves no trace. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type BindingDocument, emptyDocument, readDocument } from "../../src/config/binding-document.ts";
import { BindingFile } from "../../src/config/binding-file.ts";
import type { Binding } from "../../src/events/binding.ts";
import { Dispatcher } from "../../src/events/dispatcher.ts";
import type { AskName } from "../../src/events/event.ts";
import { eventNames } from "../../src/events/event-table.ts";
import { proceed } from "../../src/events/verdict.ts";
import { createBindingControl, type RunningBindings } from "../../src/main-bindings.ts";
import { LiveBindings } from "../../src/main-bindings-live.ts";
import { silentLog } from "../../src/platform/log.ts";
import { createResolver } from "../../src/platform/resolver.ts";
import { type SinkEntry, SinkLoader } from "../../src/sinks/load-sinks.ts";
import { createBinding, createMessage } from "../support/events.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { createRecordingLog, type RecordingLog } from "../support/recording-log.ts";

/** A sink that counts, so that it shows whether it is still the same one; it refuses to be made of `bad`. */
const source = `
let made = 0;
export default function counting({ label = "plain", bad = false }) {
  if (bad) throw new Error("bad is not allowed");
  const number = ++made;
  globalThis.closedSinks ??= [];
  let asked = 0;
  return {
    name: "counting",
    onArrival({ message }) { message.notes = { ...message.notes, seen: \`\${label} \${number} \${++asked}\` }; },
    onEndOfData({ message }) { message.notes = { ...message.notes, seen: \`\${label} \${number} \${++asked}\` }; },
    close() { globalThis.closedSinks.push(\`\${label} \${number}\`); },
  };
}
`;

let folder: string;
let log: RecordingLog;
let dispatcher: Dispatcher;
let loader: SinkLoader;
let scripts: readonly Binding[];
let bindings: RunningBindings;
let closeAll: () => Promise<void>;

const own = createBinding("onRcptTo", () => undefined, {
  id: "server/relay-control#onRcptTo",
  name: "relay-control",
  source: "server",
});
const script = createBinding("onArrival", () => undefined, {
  id: "scripts/tag.ts#onArrival",
  name: "scripts/tag.ts",
  source: "script",
  priority: 1_000,
  target: { kind: "script", version: "sha256:1" },
});

function entry(parts: Partial<SinkEntry> = {}): SinkEntry {
  return {
    module: join(folder, "counting.ts"),
    events: ["onArrival"],
    priority: 500,
    rule: null,
    enabled: true,
    onFault: "defer",
    maxFirings: 0,
    properties: {},
    ...parts,
  };
}

/** A server's bindings on the folder as it is. */
function open(): RunningBindings {
  const clock = createFakeClock();
  const resolver = createResolver({ clock });
  dispatcher = new Dispatcher({
    log: silentLog,
    clock,
    scripts: {
      run: async (_event, _message, steps) => steps.map(({ binding }) => ({ binding, verdict: proceed, fault: null })),
    },
  });
  loader = new SinkLoader({ clock, log: silentLog, resolver, folder: null, configFolder: folder });
  closeAll = async () => {
    await loader.close();
    resolver.close();
  };
  bindings = createBindingControl({
    file: new BindingFile(folder),
    loader,
    own: [own],
    scripts: () => scripts,
    dispatcher,
    clock,
    log,
    folder,
  });
  return bindings;
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "main-bindings-"));
  writeFileSync(join(folder, "counting.ts"), source);
  log = createRecordingLog();
  scripts = [script];
  (globalThis as { closedSinks?: string[] }).closedSinks = [];
  open();
});
afterEach(async () => {
  await closeAll();
  rmSync(folder, { recursive: true, force: true });
});

const live = (id: string) => eventNames.flatMap((event) => dispatcher.bindingsOf(event)).find((one) => one.id === id);
const liveIds = () => eventNames.flatMap((event) => dispatcher.bindingsOf(event).map(({ id }) => id));
const written = (): BindingDocument => readDocument(readFileSync(join(folder, "bindings.json"), "utf8"));
const closedSinks = () => (globalThis as { closedSinks?: string[] }).closedSinks!;
const add = (fields: object = {}) =>
  bindings.add({ event: "onArrival", module: "./counting.ts", ...fields }, { force: false });
const set = (id: string, fields: object, reset: readonly string[] = []) =>
  bindings.set([id], { set: fields, reset, force: false });

/** What the counting sink leaves on a message: its label, which one it is, how often it was asked. */
async function seen(event: AskName = "onArrival"): Promise<unknown> {
  const message = createMessage("Subject: x\n\nx\n");
  await dispatcher.ask(event, { message, session: {} } as never);
  return message.notes["seen"];
}

describe("add", () => {
  test("is live at once, written, and there after a restart", async () => {
    await bindings.start([]);
    const change = await add({ priority: 7, properties: { label: "one" } });
    expect(change).toMatchObject({ id: "added/counting#onArrival", revision: 1, warnings: [] });
    expect(live(change.id)).toMatchObject({ name: "counting", priority: 7, source: "added" });
    expect(await seen()).toMatch(/^one \d+ 1$/);
    expect(written().added[0]).toMatchObject({ id: change.id, module: "./counting.ts", priority: 7 });
    expect(log.of("bindings.changed")[0]!.fields).toMatchObject({ revision: 1, bindings: [change.id] });
    await closeAll();
    await open().start([]);
    expect(live(change.id)).toMatchObject({ priority: 7 });
  });

  test.each<readonly [why: string, fields: object, code: string, words: RegExp]>([
    ["a module that is not there", { module: "./none.ts" }, "sink.load", /Cannot bind added\/none#onArrival: /],
    ["a sink that throws", { properties: { bad: true } }, "sink.load", /bad is not allowed/],
    ["an event the sink does not handle", { event: "onHelo" }, "sink.load", /no handler for onHelo/],
    ["a sink nobody knows", { module: undefined, use: "no-such" }, "sink.load", /no-such/],
    ["a rule that cannot be read", { rule: "NOPE = x" }, "rule.syntax", /column 1/],
    ["a wrong field", { priority: -1 }, "binding.invalid", /priority/],
  ])("refuses %s and leaves no trace", async (_why, fields, code, words) => {
    await bindings.start([entry()]);
    const before = liveIds();
    const whole = JSON.parse(JSON.stringify({ event: "onArrival", module: "./counting.ts", ...fields })) as object;
    await expect(bindings.add(whole, { force: false })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(words),
    });
    expect(liveIds()).toEqual(before);
    expect(existsSync(join(folder, "bindings.json"))).toBe(false);
    expect(await seen()).toMatch(/ 1$/);
  });

  test("with force binds what is broken, warns, and stops nothing", async () => {
    await bindings.start([]);
    const change = await bindings.add({ event: "onArrival", module: "./none.ts" }, { force: true });
    expect(change.warnings[0]).toMatch(/added\/none#onArrival is broken and is not asked/);
    expect(live(change.id)!.target.kind).toBe("broken");
    await add();
    expect(written().added).toHaveLength(2);
  });

  test("warns of what is legal and most likely not meant", async () => {
    await bindings.start([]);
    const { warnings } = await add({ rule: "RCPT TO = *@*example.org" });
    expect(warnings).toEqual([expect.stringMatching(/badexample|bad/)]);
  });

  test("gives no id twice", async () => {
    await bindings.start([]);
    const first = await add();
    await bindings.remove([first.id], { override: false });
    expect((await add()).id).toBe("added/counting#onArrival-2");
  });
});

describe("set", () => {
  test("wins over configuration and script, and is shown", async () => {
    await bindings.start([entry()]);
    await set("sinks/counting#onArrival", { priority: 3, rule: "USER = *" });
    await bindings.set(["scripts/tag.ts#onArrival", "sinks/counting#onArrival"], {
      set: { enabled: false },
      reset: [],
      force: false,
    });
    expect(live("sinks/counting#onArrival")).toMatchObject({
      priority: 3,
      overridden: ["enabled", "priority", "rule"],
    });
    expect(live("scripts/tag.ts#onArrival")).toMatchObject({
      enabled: false,
      priority: 1_000,
      overridden: ["enabled"],
    });
    expect(written().revision).toBe(2);
    await set("sinks/counting#onArrival", { enabled: true }, ["priority", "rule"]);
    expect(live("sinks/counting#onArrival")).not.toHaveProperty("overridden");
    expect(Object.keys(written().overrides)).toEqual(["scripts/tag.ts#onArrival"]);
  });

  test("changes an added one itself, resets it to the defaults, and leaves its sink as it is", async () => {
    await bindings.start([]);
    const { id } = await add({ priority: 7 });
    const first = String(await seen());
    await set(id, { priority: 9, onFault: "proceed" });
    expect(live(id)).toMatchObject({ priority: 9, onFault: "proceed" });
    await set(id, {}, ["priority"]);
    expect(written()).toMatchObject({ overrides: {}, added: [{ priority: 24_575, onFault: "proceed" }] });
    expect(await seen()).toBe(first.replace(/1$/, "2"));
    expect(closedSinks()).toEqual([]);
  });

  test("of properties makes the sink anew, for that event alone, and closes the former one", async () => {
    await bindings.start([entry({ events: ["onArrival", "onEndOfData"], properties: { label: "toml", a: 1 } })]);
    const before = String(await seen("onEndOfData"));
    await set("sinks/counting#onArrival", { properties: { label: "set" } });
    expect(await seen()).toMatch(/^set \d+ 1$/);
    expect(live("sinks/counting#onArrival")!.properties).toEqual({ label: "set", a: 1 });
    expect(await seen("onEndOfData")).toBe(before.replace(/1$/, "2"));
    expect(liveIds().filter((id) => id.startsWith("sinks/"))).toEqual([
      "sinks/counting#onEndOfData",
      "sinks/counting#onArrival",
    ]);
    await set("sinks/counting#onArrival", {}, ["properties"]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(closedSinks()).toEqual([expect.stringMatching(/^set /)]);
    expect(await seen()).toMatch(/^toml /);
  });

  test("of a script's properties gives them to its runs and leaves sinks and what they remember alone", async () => {
    await bindings.start([entry()]);
    const first = String(await seen());
    await set(script.id, { properties: { max: 20 } });
    expect(live(script.id)).toMatchObject({ properties: { max: 20 }, overridden: ["properties"] });
    expect(await seen()).toBe(first.replace(/1$/, "2"));
    expect(closedSinks()).toEqual([]);
    await set(script.id, {}, ["properties"]);
    expect(live(script.id)!.properties).toEqual({});
  });

  test("with properties the sink refuses leaves the former sink and what it remembers", async () => {
    await bindings.start([]);
    const { id } = await add();
    const first = String(await seen());
    await expect(set(id, { properties: { bad: true } })).rejects.toMatchObject({ code: "sink.load" });
    expect(await seen()).toBe(first.replace(/1$/, "2"));
    expect(written().revision).toBe(1);
  });

  test.each<readonly [why: string, id: string, fields: object, code: string, words: RegExp]>([
    ["the server's own", own.id, { enabled: false }, "binding.conflict", /the server's own handling, which stays/],
    ["an id nobody has", "sinks/none#onArrival", { enabled: false }, "binding.unknown", /no binding sinks\/none/],
    ["the time of a script", script.id, { timeoutMs: 50 }, "binding.invalid", /a script has none/],
    ["a rule", script.id, { rule: "NOPE = x" }, "rule.syntax", /column 1/],
  ])("refuses %s, and with it the whole change", async (_why, id, fields, code, words) => {
    await bindings.start([entry()]);
    const change = { set: fields, reset: [], force: true };
    await expect(bindings.set(["sinks/counting#onArrival", id], change)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(words),
    });
    expect(live("sinks/counting#onArrival")).not.toHaveProperty("overridden");
    await expect(set(id, {}, ["priorty"])).rejects.toMatchObject({ code: "binding.invalid" });
  });

  test("to what is so already is no change", async () => {
    await bindings.start([entry()]);
    expect(await set("sinks/counting#onArrival", { priority: 500 })).toEqual({
      revision: 0,
      changes: [],
      warnings: [],
    });
    expect(existsSync(join(folder, "bindings.json"))).toBe(false);
  });
});

describe("remove", () => {
  test("takes several away at once, and closes their sinks", async () => {
    await bindings.start([]);
    const ids = [(await add()).id, (await add()).id];
    await seen();
    await bindings.remove(ids, { override: false });
    expect(liveIds()).toEqual([own.id, script.id]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(closedSinks()).toHaveLength(2);
    expect(written()).toMatchObject({ revision: 3, added: [] });
  });

  test("with override leaves a binding as it is written, whatever it comes from", async () => {
    await bindings.start([]);
    await set(script.id, { priority: 5 });
    await bindings.remove([script.id], { override: true });
    expect(live(script.id)).toMatchObject({ priority: 1_000 });
    await expect(bindings.remove([script.id], { override: true })).rejects.toMatchObject({ code: "binding.conflict" });
  });

  test.each([
    [
      "of the configuration",
      "sinks/counting#onArrival",
      "binding.conflict",
      /stands in the configuration.*bindings disable/,
    ],
    ["of a script", script.id, "binding.conflict", /goes with its script/],
    ["of the server", own.id, "binding.conflict", /server's own/],
    ["of nobody", "added/none#onArrival", "binding.unknown", /no binding added\/none/],
  ])("refuses one %s", async (_why, id, code, words) => {
    await bindings.start([entry()]);
    await expect(bindings.remove([id], { override: false })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(words),
    });
  });
});

test("an override whose binding is gone waits, is listed, and applies when it comes back", async () => {
  await bindings.start([entry()]);
  await set(script.id, { enabled: false });
  scripts = [];
  bindings.rebind();
  expect(bindings.missing()).toMatchObject([
    { id: script.id, event: "onArrival", kind: "missing", source: "script", enabled: false, overridden: ["enabled"] },
  ]);
  await expect(set(script.id, { priority: 1 })).rejects.toMatchObject({ code: "binding.unknown" });
  scripts = [script];
  bindings.rebind();
  expect([bindings.missing(), live(script.id)!.enabled]).toEqual([[], false]);
  scripts = [];
  bindings.rebind();
  await bindings.remove([script.id], { override: false });
  expect(written().overrides).toEqual({});
});

describe("rebind", () => {
  test("calls released only when no set of before is in use, however many changes came between", async () => {
    await bindings.start([]);
    let answer = () => {};
    scripts = [
      createBinding("onArrival", () => new Promise<void>((resolve) => (answer = resolve)), { source: "script" }),
    ];
    bindings.rebind();
    const asked = dispatcher.ask("onArrival", { message: createMessage("Subject: x\n\nx\n") } as never);
    await set(own.id, {}).catch(() => {});
    await add();
    let released = 0;
    scripts = [];
    bindings.rebind(() => released++);
    await new Promise((resolve) => setImmediate(resolve));
    expect(released).toBe(0);
    answer();
    await asked;
    await new Promise((resolve) => setImmediate(resolve));
    expect(released).toBe(1);
  });
});

describe("import and export", () => {
  test("brings one server's changes to another; a dry run only tells", async () => {
    await bindings.start([entry()]);
    await add({ priority: 7 });
    await set(script.id, { priority: 5 });
    const exported = bindings.export();
    await bindings.undo({ to: 0 });
    const dry = await bindings.import(exported, { mode: "merge", dryRun: true, force: false });
    expect(dry.changes.map(({ sign, id }) => `${sign} ${id}`)).toEqual([
      "+ added/counting#onArrival",
      `~ ${script.id}`,
    ]);
    expect(live(script.id)).toMatchObject({ priority: 1_000 });
    await bindings.import(exported, { mode: "merge", dryRun: false, force: false });
    expect(live(script.id)).toMatchObject({ priority: 5 });
    await set("sinks/counting#onArrival", { priority: 1 });
    await bindings.import(exported, { mode: "merge", dryRun: false, force: false });
    expect(live("sinks/counting#onArrival")).toMatchObject({ priority: 1 });
    await bindings.import(exported, { mode: "replace", dryRun: false, force: false });
    expect(live("sinks/counting#onArrival")).toMatchObject({ priority: 500 });
  });

  test.each([
    ["what is no document", "{}", "binding.invalid"],
    ["a rule that cannot be read", '{"format":1,"overrides":{"sinks/x#onData":{"rule":"NOPE = x"}}}', "rule.syntax"],
    [
      "a sink that cannot be loaded",
      '{"format":1,"added":[{"id":"added/x#onData","event":"onData","use":"none"}]}',
      "sink.load",
    ],
  ])("refuses %s", async (_why, json, code) => {
    await bindings.start([]);
    const options = { mode: "merge", dryRun: false, force: false } as const;
    await expect(bindings.import(json, options)).rejects.toMatchObject({ code });
    expect(existsSync(join(folder, "bindings.json"))).toBe(false);
  });
});

describe("undo", () => {
  test("goes back step by step, and forth again by revision; history tells it", async () => {
    await bindings.start([]);
    await set(script.id, { priority: 1 });
    await set(script.id, { priority: 2 });
    await bindings.undo({});
    expect(live(script.id)).toMatchObject({ priority: 1 });
    await bindings.undo({});
    expect(live(script.id)).toMatchObject({ priority: 1_000 });
    await expect(bindings.undo({})).rejects.toMatchObject({ code: "binding.conflict", message: /nothing was changed/ });
    await bindings.undo({ to: 2 });
    expect(live(script.id)).toMatchObject({ priority: 2 });
    const history = await bindings.history();
    expect(history.map(({ revision, restored, isPresent }) => [revision, restored, isPresent])).toEqual([
      [1, null, false],
      [2, null, false],
      [3, 1, false],
      [4, 0, false],
      [5, 2, true],
    ]);
    expect(history[1]!.changes).toEqual([{ sign: "~", id: script.id, words: ["priority 1 → 2"] }]);
    await expect(bindings.undo({ to: 99 })).rejects.toMatchObject({ code: "binding.conflict", message: /not kept/ });
  });
});

describe("start and reload", () => {
  test("do not begin without a file that cannot be read, and write nothing over it", async () => {
    writeFileSync(join(folder, "bindings.json"), "{");
    await expect(bindings.start([entry()])).rejects.toMatchObject({ code: "bindings.unreadable" });
    await bindings.reload([]).catch(() => {});
    expect(readFileSync(join(folder, "bindings.json"), "utf8")).toBe("{");
  });

  test("take up another configuration and a file that was edited by hand", async () => {
    await bindings.start([entry()]);
    await set("sinks/counting#onArrival", { priority: 3, properties: { label: "set" } });
    const edited = JSON.stringify({
      ...written(),
      overrides: { "sinks/mine#onArrival": { priority: 4, properties: { label: "hand" } } },
    });
    writeFileSync(join(folder, "bindings.json"), edited);
    await expect(add()).rejects.toMatchObject({ code: "binding.conflict" });
    await bindings.reload([entry({ name: "mine" })]);
    expect(live("sinks/mine#onArrival")).toMatchObject({ priority: 4, properties: { label: "hand" } });
    expect(await seen()).toMatch(/^hand /);
    expect(written().revision).toBe(2);
    await bindings.undo({});
    expect(Object.keys(written().overrides)).toEqual(["sinks/counting#onArrival"]);
    await bindings.undo({ to: 2 });
    expect(await seen()).toMatch(/^hand /);
  });

  test("an edit by hand that cannot go live is not written over", async () => {
    await bindings.start([entry()]);
    await set("sinks/counting#onArrival", { priority: 3 });
    const edited = JSON.stringify({ ...written(), overrides: {} });
    writeFileSync(join(folder, "bindings.json"), edited);
    await expect(bindings.reload([entry({ rule: "NOPE = x" })])).rejects.toMatchObject({ code: "rule.syntax" });
    await expect(add()).rejects.toMatchObject({ code: "binding.conflict" });
    expect(readFileSync(join(folder, "bindings.json"), "utf8")).toBe(edited);
    await bindings.reload([entry()]);
    expect(live("sinks/counting#onArrival")).toMatchObject({ priority: 500 });
  });

  test("a reload that fails leaves what was", async () => {
    await bindings.start([entry()]);
    await set("sinks/counting#onArrival", { priority: 3 });
    const first = String(await seen());
    await expect(bindings.reload([entry({ rule: "NOPE = x" })])).rejects.toMatchObject({ code: "rule.syntax" });
    expect(await seen()).toBe(first.replace(/1$/, "2"));
    await set("sinks/counting#onArrival", { priority: 4 });
    expect(live("sinks/counting#onArrival")).toMatchObject({ priority: 4 });
  });
});

test("where the file cannot be written, nothing is live either", async () => {
  await bindings.start([]);
  writeFileSync(join(folder, "bindings.backups"), "in the way");
  await expect(add()).rejects.toMatchObject({ code: "data.unusable" });
  expect(liveIds()).toEqual([own.id, script.id]);
});

test("where going live fails, the file is put back", async () => {
  await bindings.start([]);
  await set(script.id, { priority: 1 });
  const replace = dispatcher.replaceBindings.bind(dispatcher);
  let fails = true;
  dispatcher.replaceBindings = (...words) => {
    if (fails) {
      fails = false;
      throw new Error("no");
    }
    replace(...words);
  };
  await expect(set(script.id, { priority: 2 })).rejects.toThrow("no");
  expect([written().revision, live(script.id)!.priority]).toEqual([1, 1]);
  await set(script.id, { priority: 3 });
  expect([written().revision, live(script.id)!.priority]).toEqual([2, 3]);
});

test("scripts that go live in the middle of a change close no sink that is asked", async () => {
  let retired = 0;
  const live = new LiveBindings({
    loader: { load: async () => [], retire: async () => void retired++ },
    own: [own],
    scripts: () => scripts,
    dispatcher,
    folder,
  });
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const before = await live.load([], emptyDocument);
  live.bind(before, {});
  await turn();
  expect(retired).toBe(1);
  const after = await live.load([], emptyDocument);
  // What was loaded is still being written down.
  live.bind(before, {});
  await turn();
  expect(retired).toBe(1);
  live.bind(after, {});
  await turn();
  expect(retired).toBe(2);
});

test("changes that come together are made one after the other", async () => {
  mkdirSync(join(folder, "bindings.backups"));
  await bindings.start([]);
  await Promise.all(Array.from({ length: 5 }, () => add()));
  expect(written()).toMatchObject({ revision: 5 });
  expect(new Set(written().added.map(({ id }) => id)).size).toBe(5);
});
