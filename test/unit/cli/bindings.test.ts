/** `onarrival bindings …`: how ids and flags are read, what is asked of the server, and what people see. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type BindingControl, createBindingApi } from "../../../src/admin/binding-control.ts";
import { type ControlServer, serveControl } from "../../../src/admin/control.ts";
import type { BindingView } from "../../../src/admin/server-view.ts";
import { formatBindings, formatTree, listBindings } from "../../../src/cli/bindings.ts";
import { addBinding, enableBindings, removeBindings, setBinding } from "../../../src/cli/bindings-change.ts";
import {
  exportBindings,
  formatHistory,
  importBindings,
  showHistory,
  undoBindings,
} from "../../../src/cli/bindings-document.ts";
import { findId, readEvent, readFieldFlags, readFieldNames } from "../../../src/cli/bindings-words.ts";
import { UsageError } from "../../../src/cli/failure.ts";
import { Fault } from "../../../src/platform/fault.ts";
import { bindingView, fakeBindingControl, fakeServerView } from "../../support/server-view.ts";
import { plainOutput, recordTerminal, taggedOutput } from "../../support/terminal.ts";

const views: readonly BindingView[] = [
  bindingView({ id: "added/greylist#onRcptTo", event: "onRcptTo", name: "greylist", source: "added" }),
  bindingView({ id: "server/relay-control#onRcptTo", event: "onRcptTo", name: "relay-control", source: "server" }),
  bindingView({ id: "sinks/limit#onRcptTo", event: "onRcptTo", name: "limit" }),
  bindingView({ id: "sinks/limit#onData", event: "onData", name: "limit" }),
  bindingView({ id: "added/limits#onData-2", event: "onData", name: "limits", source: "added" }),
  bindingView({
    id: "scripts/tag-external.ts#onArrival",
    event: "onArrival",
    name: "scripts/tag-external.ts",
    source: "script",
  }),
];

describe("findId", () => {
  test.each([
    ["a whole id", "sinks/limit#onData", "sinks/limit#onData"],
    ["one without its event", "added/greylist", "added/greylist#onRcptTo"],
    ["one without its event, numbered", "added/limits-2", "added/limits#onData-2"],
    ["a name", "greylist", "added/greylist#onRcptTo"],
    ["the name of a script", "scripts/tag-external.ts", "scripts/tag-external.ts#onArrival"],
    ["the beginning of a name", "tag", "scripts/tag-external.ts#onArrival"],
    ["a part that only one has", "external", "scripts/tag-external.ts#onArrival"],
    ["a name before the beginning of another", "limits", "added/limits#onData-2"],
  ])("takes %s", (_why, text, id) => {
    expect(findId(text, views)).toBe(id);
  });

  test.each([
    [
      "one that several fit",
      "limit",
      /"limit" may be any of 2 bindings: sinks\/limit#onRcptTo, sinks\/limit#onData$/,
      /tells them apart/,
    ],
    ["a mistyped one", "gerylist", /There is no binding "gerylist"/, /Did you mean greylist\?/],
    ["one like no other", "zzzzzzzz", /There is no binding/, /bindings list shows them/],
    ["nothing", "", /There is no binding ""/, /./],
  ])("refuses %s", (_why, text, words, hint) => {
    let thrown: unknown;
    try {
      findId(text, views);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(UsageError);
    expect((thrown as UsageError).message).toMatch(words);
    expect((thrown as UsageError).hint).toMatch(hint);
  });
});

describe("readFieldFlags", () => {
  test("reads each flag by its kind", () => {
    expect(
      readFieldFlags({
        priority: "0",
        rule: "USER = *",
        onFault: "refuse",
        timeout: "1.5s",
        maxFirings: "3",
        property: ["a=1", "b=text", 'c={"d":[true]}', "e=null", "f=x=y", "g="],
      }),
    ).toEqual({
      priority: 0,
      rule: "USER = *",
      onFault: "refuse",
      timeoutMs: 1_500,
      maxFirings: 3,
      properties: { a: 1, b: "text", c: { d: [true] }, e: null, f: "x=y", g: "" },
    });
    expect(readFieldFlags({ rule: false })).toEqual({ rule: null });
    expect(readFieldFlags({})).toEqual({});
  });

  test.each([
    [
      "a priority above the largest",
      { priority: "32768" },
      /--priority: expected a whole number from 0 to 32767, not "32768"/,
    ],
    ["a time without a unit", { timeout: "5" }, /--timeout: expected a duration/],
    ["a time below the smallest", { timeout: "9ms" }, /--timeout/],
    ["a way there is not", { onFault: "drop" }, /--on-fault: expected "defer"/],
    ["a count that is none", { maxFirings: "-1" }, /--max-firings/],
    ["a property without a key", { property: ["=x"] }, /--property: expected KEY=VALUE/],
  ])("refuses %s", (_why, flags, words) => {
    expect(() => readFieldFlags(flags)).toThrow(words);
  });

  test("readFieldNames takes what flags and JSON call a field; readEvent names the event that was meant", () => {
    expect(readFieldNames(["on-fault", "timeoutMs", "timeout"])).toEqual(["onFault", "timeoutMs", "timeoutMs"]);
    expect(() => readFieldNames(["prioritty"])).toThrow(/there is no field "prioritty"/);
    expect(readEvent("onData")).toBe("onData");
    expect(() => readEvent("onDate")).toThrow(expect.objectContaining({ hint: "Did you mean onData?" }));
  });
});

describe("listings", () => {
  const listed = [
    bindingView({
      id: "added/limits#onData-2",
      event: "onData",
      name: "limits",
      rule: "USER = *\u001b[2J",
      firings: 3,
      faults: 1,
      lastFault: { code: "sink.failed", message: "it threw", time: "2026-11-02T09:30:00.000Z" },
    }),
    bindingView({
      id: "sinks/old#onData",
      event: "onData",
      name: "old",
      enabled: false,
      overridden: ["enabled", "timeoutMs"],
      reason: "disabled",
    }),
    bindingView({
      id: "sinks/slow#onData",
      event: "onData",
      name: "slow",
      breaker: "open",
      reason: "suspended after too many faults",
    }),
    bindingView({
      id: "sinks/once#onData",
      event: "onData",
      name: "once",
      maxFirings: 1,
      firings: 1,
      reason: "fired 1 times",
    }),
    bindingView({
      id: "scripts/gone.ts#onMoon",
      event: "onMoon",
      name: "scripts/gone.ts",
      kind: "missing",
      source: "script",
      reason: "no such binding now",
    }),
    bindingView({ id: "server/own#onMoon", event: "onMoon", name: "own", source: "server" }),
  ];

  test("formatBindings tells state, counts, rule, what was set, and the last fault", () => {
    expect(formatBindings(listed, plainOutput)).toBe(
      [
        "onData",
        "  priority  binding         kind    state      fired  faults  on fault",
        "  24575     added/limits-2  native  active     3      1       defer",
        "    rule USER = *",
        "    sink.failed it threw",
        "  24575     sinks/old       native  disabled   0      0       defer",
        "    set over it: enabled, timeout",
        "  24575     sinks/slow      native  suspended  0      0       defer",
        "    suspended after too many faults",
        "  24575     sinks/once      native  used up    1      0       defer",
        "    fired 1 times",
        "",
        "onMoon",
        "  priority  binding          kind    state    fired  faults  on fault",
        "  24575     scripts/gone.ts  script  missing  0      0       defer",
        "    no such binding now",
        "  24575     server/own       server",
        "",
      ].join("\n"),
    );
  });

  test("formatTree draws each event with what it is, and names those without any", () => {
    const text = formatTree(listed, plainOutput, true);
    expect(text).toContain(
      "onData  DATA or the first BDAT parsed, before 354\n├─ 24575  added/limits-2   active  fired 3  1 fault\n│         rule USER = *\n",
    );
    expect(text).toContain(
      "onMoon\n├─ 24575  scripts/gone.ts  missing\n│         no such binding now\n└─ 24575  server/own       the server's own\n",
    );
    expect(text).toContain("Nothing is bound to onConnect, ");
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(formatTree(listed, plainOutput, false)).not.toContain("Nothing is bound");
    expect(formatTree(listed, taggedOutput, false)).toContain("<dim>the server's own</dim>");
  });
});

describe("with a server", () => {
  let folder: string;
  let server: ControlServer;
  let control: ReturnType<typeof fakeBindingControl>;
  let terminal: ReturnType<typeof recordTerminal>;
  const flags = { data: "." };

  async function serve(parts: Partial<BindingControl> = {}): Promise<void> {
    control = fakeBindingControl(parts);
    server = await serveControl({
      view: fakeServerView({ bindings: () => views }),
      path: join(folder, "control.sock"),
      routes: [createBindingApi(control)],
    });
  }

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "cli-bindings-"));
    terminal = recordTerminal({ cwd: folder });
    await serve();
  });
  afterEach(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test("addBinding sends what the flags say, says what changed, and warns", async () => {
    const status = await addBinding(
      "onData",
      { ...flags, module: "sinks/x.ts", priority: "7", disabled: true },
      terminal,
    );
    const fields = { event: "onData", module: join(folder, "sinks/x.ts"), priority: 7, enabled: false };
    expect([status, control.asked]).toEqual([0, [["add", fields, { force: false }]]]);
    expect(terminal.outText()).toBe("~ x#onArrival\n    priority 1 → 2\n");
    expect(terminal.errText()).toBe("warning: mind this\nLive now, as revision 4.\n");
  });

  test.each([
    ["neither --use nor --module", {}, /expected --use NAME or --module FILE/],
    ["both", { use: "x", module: "x" }, /one of them/],
    ["--export without --module", { use: "x", export: "x" }, /--export goes with --module/],
  ])("addBinding refuses %s", async (_why, more, words) => {
    await expect(addBinding("onData", { ...flags, ...more }, terminal)).rejects.toThrow(words);
    expect(control.asked).toEqual([]);
  });

  test("setBinding, enableBindings and removeBindings send whole ids, several as one change", async () => {
    await setBinding("tag", { ...flags, priority: "1", reset: ["rule"], force: true }, terminal);
    await enableBindings(["greylist", "added/limits-2", "greylist"], false, flags, terminal);
    await removeBindings(["greylist"], { ...flags, override: true, json: true }, terminal);
    expect(control.asked).toEqual([
      ["set", ["scripts/tag-external.ts#onArrival"], { set: { priority: 1 }, reset: ["rule"], force: true }],
      [
        "set",
        ["added/greylist#onRcptTo", "added/limits#onData-2"],
        { set: { enabled: false }, reset: [], force: false },
      ],
      ["remove", ["added/greylist#onRcptTo"], { override: true }],
    ]);
    expect(JSON.parse(terminal.outText().split("\n").at(-2)!)).toMatchObject({ revision: 4 });
    await expect(setBinding("tag", flags, terminal)).rejects.toThrow(/at least one flag/);
  });

  test.each<readonly [why: string, fault: Fault, thrown: object]>([
    [
      "what was asked is wrong",
      new Fault("rule.syntax", "column 3", { facts: { column: 3 } }),
      { name: "UsageError", message: "column 3" },
    ],
    ["it does not fit", new Fault("binding.conflict", "no"), { code: "control.refused", message: "no" }],
    [
      "a sink cannot be loaded",
      new Fault("sink.load", "no"),
      { message: "no (--force binds it all the same, as broken)" },
    ],
  ])("tells in the server's own words that %s", async (_why, fault, thrown) => {
    await server.close();
    await serve({ set: () => Promise.reject(fault) });
    await expect(enableBindings(["tag"], true, flags, terminal)).rejects.toMatchObject(thrown);
  });

  test("says that nothing changed where nothing did", async () => {
    await server.close();
    await serve({ set: async () => ({ revision: 1, changes: [], warnings: [] }) });
    await enableBindings(["tag"], true, flags, terminal);
    expect([terminal.outText(), terminal.errText()]).toEqual(["", "Nothing changed: it is so already.\n"]);
  });

  test("exportBindings writes the document, and over no file", async () => {
    await exportBindings(undefined, flags, terminal);
    expect(JSON.parse(terminal.outText())).toEqual({ format: 1 });
    const file = join(folder, "out.json");
    await exportBindings(file, flags, terminal);
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({ format: 1 });
    await expect(exportBindings(file, flags, terminal)).rejects.toThrow(/it is there already/);
  });

  test("importBindings sends the file as it is", async () => {
    const file = join(folder, "in.json");
    writeFileSync(file, '{"format": 1}');
    await importBindings(file, { ...flags, replace: true, dryRun: true }, terminal);
    expect(control.asked).toEqual([["import", '{"format": 1}', { mode: "replace", dryRun: true, force: false }]]);
    expect(terminal.errText()).toContain("Nothing was changed: this was a dry run.");
    await expect(importBindings(join(folder, "none.json"), flags, terminal)).rejects.toThrow(/it is not there/);
  });

  test("undoBindings and showHistory", async () => {
    await undoBindings({ ...flags, to: "2" }, terminal);
    await undoBindings(flags, terminal);
    expect(control.asked).toEqual([
      ["undo", { to: 2 }],
      ["undo", {}],
    ]);
    await expect(undoBindings({ ...flags, to: "x" }, terminal)).rejects.toThrow(/--to: expected a revision/);
    await showHistory(flags, terminal);
    expect(terminal.outText()).toContain("took up revision 0 again  live\n  - added/x#onData\n      x on onData\n");
    const revisions = await control.history();
    expect(formatHistory(revisions, Date.parse("2026-11-02T09:40:00Z"), plainOutput).split("\n")[0]).toBe(
      "1  2026-11-02T09:30:00.000Z (10m ago)",
    );
  });

  test("listBindings shows one event, as a tree or as JSON", async () => {
    await listBindings({ ...flags, event: "onArrival", json: true }, terminal);
    expect(JSON.parse(terminal.outText())).toMatchObject({ id: "scripts/tag-external.ts#onArrival", overridden: [] });
    await listBindings({ ...flags, event: "onTls" }, terminal);
    expect(terminal.errText()).toBe("Nothing is bound to onTls.\n");
    await listBindings({ ...flags, tree: true }, terminal);
    expect(terminal.outText()).toContain("└─ 24575  scripts/tag-external.ts  active\n");
  });

  test("without a server says so", async () => {
    await server.close();
    expect(existsSync(join(folder, "control.sock"))).toBe(false);
    await expect(undoBindings(flags, terminal)).rejects.toMatchObject({ code: "control.not-running" });
    await serve();
  });
});
