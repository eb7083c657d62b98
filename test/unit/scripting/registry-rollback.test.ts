/** Which version of a script runs by word of an operator: rollback, pins, approvals and gates, with a sandbox that only keeps books. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { defaultLimits, type Grants } from "../../../sandbox/protocol.ts";
import type { Binding } from "../../../src/events/binding.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { Fault } from "../../../src/platform/fault.ts";
import { Approvals } from "../../../src/scripting/approvals.ts";
import { type Candidate, createGrantsGate, type Gate } from "../../../src/scripting/gates.ts";
import { capGrants, type GrantLimits } from "../../../src/scripting/grants.ts";
import { ScriptRegistry } from "../../../src/scripting/registry.ts";
import { VersionStore } from "../../../src/scripting/versions.ts";
import { createRecordingLog, type RecordingLog } from "../../support/recording-log.ts";

const script = "scripts/a.ts";
let folder: string;
let versions: VersionStore;
let approvals: Approvals;
let registry: ScriptRegistry;
let limits: GrantLimits;
let gates: Gate[];
let log: RecordingLog;
let bound: readonly Binding[];
/** What a version is said to export, by the words of its source. */
let grantsOf: Record<string, Grants>;
/** Words of the versions in the sandbox. */
let loaded: Map<string, string>;

beforeEach(async () => {
  folder = join(mkdtempSync(join(tmpdir(), "onarrival-rollback-")), "scripts");
  mkdirSync(folder);
  limits = {
    approval: "required",
    http: ["https://*.example.org"],
    dns: true,
    kv: true,
    submitMax: 10,
    submitTo: [],
    secrets: [],
  };
  grantsOf = {};
  gates = [];
  await restart();
});

afterEach(async () => {
  await registry.stop();
  rmSync(join(folder, ".."), { recursive: true });
});

afterAll(stopCompiler);

async function restart({ readOnly = false } = {}): Promise<void> {
  await registry?.stop();
  log = createRecordingLog();
  loaded = new Map();
  const kept = join(folder, "..", "kept");
  versions = new VersionStore({ folder: kept, versionsMax: () => 10, log });
  approvals = await Approvals.open(kept, log);
  const isLocal = (domain: string) => domain === "example.test";
  const grantsGate = createGrantsGate({ limits: () => limits, approvals, isLocal });
  registry = new ScriptRegistry({
    folder,
    versions,
    readOnly,
    limits: defaultLimits,
    clock: systemClock,
    log,
    gates: () => [grantsGate, ...gates],
    grantsOf: (asked) => capGrants(asked, limits, isLocal),
    sandbox: {
      async load({ version, code }) {
        const word = /=> "(\w+)"/.exec(code)?.[1] ?? "";
        if (word === "faulty") throw new Fault("script.load", "it threw");
        loaded.set(version, word);
        return { handlers: ["onArrival"], ...(grantsOf[word] && { grants: grantsOf[word] }) };
      },
      unload: (version) => void loaded.delete(version),
    },
    bind(bindings, released) {
      bound = bindings;
      released();
    },
  });
}

async function save(word: string): Promise<void> {
  writeFileSync(join(folder, "a.ts"), word === "" ? "nonsense here\n" : `export const onArrival = () => "${word}";\n`);
  await registry.reload();
}

const state = () => registry.states()[0]!;
/** The word of what runs; what is bound says the same. */
const runs = () => {
  const version = state().live?.version ?? null;
  const target = bound[0]?.target;
  expect(target?.kind === "script" ? target.version : null).toBe(version);
  return version === null ? null : loaded.get(version);
};

describe("rollback", () => {
  test("makes the version before live, whatever the file says, until that changes", async () => {
    await registry.start();
    await save("one");
    const { version } = state().live!;
    await save("two");
    const after = await registry.rollback(script, null, "ann");
    expect(after).toMatchObject({ live: { version }, pinned: { version, author: "ann" }, broken: null });
    expect(runs()).toBe("one");
    // Looked at again, the file is as it was.
    await registry.reload();
    expect(runs()).toBe("one");
    await save("three");
    expect([runs(), state().pinned]).toEqual(["three", null]);
    expect((await versions.history(script)).activations.map(({ by, author }) => [by, author])).toEqual([
      ["save", userInfo().username],
      ["save", userInfo().username],
      ["rollback", "ann"],
      ["save", userInfo().username],
    ]);
  });

  test("outlives a restart, and ends with an edit made while the server was down", async () => {
    await registry.start();
    await save("one");
    await save("two");
    await registry.rollback(script, null, "ann");
    await restart();
    await registry.start();
    expect([runs(), state().pinned?.author]).toEqual(["one", "ann"]);
    await registry.stop();
    writeFileSync(join(folder, "a.ts"), 'export const onArrival = () => "three";\n');
    await restart();
    await registry.start();
    expect([runs(), state().pinned]).toEqual(["three", null]);
    expect((await versions.history(script)).pinned).toBeNull();
  });

  test("works while the file is broken, and a mended file ends it", async () => {
    await registry.start();
    await save("one");
    await save("two");
    await save("");
    await registry.rollback(script, null, "ann");
    expect([runs(), state().pinned?.over]).toEqual(["one", null]);
    await restart();
    await registry.start();
    expect([runs(), state().broken?.code]).toEqual(["one", "script.compile"]);
    await save("two");
    expect([runs(), state().pinned, state().broken]).toEqual(["two", null, null]);
  });

  test("a broken save leaves what is pinned, and so does going back to the file as it was", async () => {
    await registry.start();
    await save("one");
    await save("two");
    await registry.rollback(script, null, "ann");
    await save("");
    expect([runs(), state().broken?.code]).toEqual(["one", "script.compile"]);
    await save("two");
    expect([runs(), state().broken, state().pinned?.author]).toEqual(["one", null, "ann"]);
  });

  test("to what the file says pins nothing", async () => {
    await registry.start();
    await save("one");
    await save("two");
    const saved = state().live!.version;
    await registry.rollback(script, null, "ann");
    await registry.rollback(script, saved.slice(7, 14), "ann");
    expect([runs(), state().pinned]).toEqual(["two", null]);
    await restart();
    await registry.start();
    expect(runs()).toBe("two");
  });

  test.each<[why: string, name: string, version: string | null, code: string]>([
    ["no such script", "scripts/none.ts", null, "script.no-version"],
    ["no version before", script, null, "script.no-version"],
    ["no such version", script, "0000", "script.no-version"],
    ["no version at all", script, "latest!", "control.invalid"],
  ])("%s: nothing changes", async (_why, name, version, code) => {
    await registry.start();
    await save("one");
    await expect(registry.rollback(name, version, null)).rejects.toMatchObject({ code });
    expect([runs(), state().pinned]).toEqual(["one", null]);
  });

  test("a version that is damaged on the disk cannot be gone back to, and what runs goes on", async () => {
    await registry.start();
    await save("one");
    const { version } = state().live!;
    await save("two");
    writeFileSync(join(folder, "..", "kept", "scripts%2Fa.ts", `${version.slice(7)}.json`), "{");
    await expect(registry.rollback(script, null, null)).rejects.toMatchObject({ code: "script.no-version" });
    expect(runs()).toBe("two");
    expect([...loaded.values()]).toEqual(["two"]);
  });

  test("needs no gate, but has no more grants than the configuration allows now", async () => {
    grantsOf = { one: { kv: true, dns: true } };
    limits = { ...limits, approval: "ceiling" };
    await registry.start();
    await save("one");
    await save("two");
    limits = { ...limits, approval: "required", dns: false };
    await registry.rollback(script, null, null);
    expect(runs()).toBe("one");
    expect(bound[0]!.target).toMatchObject({ grants: { kv: true } });
    expect(bound[0]!.target).not.toMatchObject({ grants: { dns: true } });
  });
});

describe("unpin", () => {
  test("makes live what the file says", async () => {
    await registry.start();
    await save("one");
    await save("two");
    await registry.rollback(script, null, "ann");
    expect(await registry.unpin(script, "bob")).toMatchObject({ pinned: null });
    expect(runs()).toBe("two");
    expect((await versions.history(script)).activations.at(-1)).toMatchObject({ by: "unpin", author: "bob" });
    await expect(registry.unpin(script, "bob")).rejects.toMatchObject({ code: "control.invalid" });
  });

  test("leaves what runs where the file is broken, and no restart pins it again", async () => {
    await registry.start();
    await save("one");
    await save("two");
    await save("");
    await registry.rollback(script, null, "ann");
    expect(await registry.unpin(script, "bob")).toMatchObject({ pinned: null, broken: { code: "script.compile" } });
    expect(runs()).toBe("one");
    await restart();
    await registry.start();
    expect([runs(), state().pinned]).toEqual(["one", null]);
  });
});

describe("grants", () => {
  const approve = (version: string) =>
    registry.approve(script, version, "ann", async ({ beyond, added }) => {
      await approvals.approve(script, beyond, { version, added, author: "ann", at: 1 });
    });

  test("a version that asks for more waits, the one before runs, and an approval makes it live", async () => {
    grantsOf = { two: { kv: true, http: ["https://a.example.org"] } };
    await registry.start();
    await save("one");
    await save("two");
    expect(runs()).toBe("one");
    const { pending, broken } = state();
    expect([pending?.added, broken]).toEqual([["http https://a.example.org", "kv"], null]);
    expect([...loaded.values()]).toEqual(["one"]);
    expect(await approve(pending!.version)).toMatchObject({ pending: null });
    expect(runs()).toBe("two");
    expect(bound[0]!.target).toMatchObject({ grants: grantsOf.two });
    expect((await versions.history(script)).activations.at(-1)).toMatchObject({ by: "approve", author: "ann" });
  });

  test("what was approved needs no more approval: in a later version, with less, or after a restart", async () => {
    grantsOf = { one: { kv: true, dns: true }, two: { kv: true }, three: { dns: true } };
    await registry.start();
    await save("one");
    expect(runs()).toBeNull();
    expect(bound[0]!.target).toMatchObject({ kind: "broken", reason: expect.stringMatching(/approve scripts\/a\.ts/) });
    await approve(state().pending!.version);
    for (const word of ["two", "three", "one"]) {
      await save(word);
      expect([runs(), state().pending]).toEqual([word, null]);
    }
    await restart();
    await registry.start();
    expect(runs()).toBe("one");
  });

  test("a restart while one waits runs the one before, which it may have had since before there were approvals", async () => {
    grantsOf = { one: { kv: true }, two: { kv: true, dns: true } };
    limits = { ...limits, approval: "ceiling" };
    await registry.start();
    await save("one");
    limits = { ...limits, approval: "required" };
    await save("two");
    expect([runs(), state().pending?.added]).toEqual(["one", ["dns"]]);
    await restart();
    await registry.start();
    expect(runs()).toBe("one");
    expect(state().pending).not.toBeNull();
    await save("one");
    expect([runs(), state().pending]).toEqual(["one", null]);
  });

  test("only that is approved which was shown", async () => {
    grantsOf = { two: { kv: true }, three: { kv: true, dns: true } };
    await registry.start();
    await save("one");
    await expect(approve("sha256:0")).rejects.toMatchObject({ code: "control.invalid" });
    await save("two");
    const { version } = state().pending!;
    await save("three");
    await expect(approve(version)).rejects.toMatchObject({ message: expect.stringMatching(/saved since/) });
    expect([runs(), approvals.of(script)]).toEqual(["one", {}]);
  });

  test("more than the configuration allows is no matter of approval", async () => {
    grantsOf = { two: { http: ["https://elsewhere.example.net"] } };
    await registry.start();
    await save("one");
    await save("two");
    expect(runs()).toBe("one");
    expect(state()).toMatchObject({
      pending: null,
      broken: { code: "grant.ceiling", message: expect.stringMatching(/http = /) },
    });
    // Allowed meanwhile, and the configuration is word enough.
    limits = { ...limits, approval: "ceiling", http: ["https://elsewhere.example.net"] };
    await registry.reload();
    expect([runs(), state().broken]).toEqual(["two", null]);
    limits = { ...limits, http: [] };
    await registry.reload();
    expect(runs()).toBe("two");
    expect(bound[0]!.target).toMatchObject({ grants: {} });
  });

  test("mail to ourselves needs no approval", async () => {
    grantsOf = { one: { submit: { max: 1, to: ["ops@example.test"] } } };
    await registry.start();
    await save("one");
    expect(runs()).toBe("one");
  });
});

describe("gates", () => {
  const asked: Candidate[] = [];
  const gate = (name: string, policy: Gate["policy"], check: Gate["check"]): Gate => ({ name, policy, check });
  beforeEach(() => asked.splice(0));

  test("one that blocks keeps the version before, and those behind it are not asked", async () => {
    gates = [
      gate("first", "block", ({ compiled: { code } }) => {
        if (code.includes("two")) throw new Fault("script.tests-failed", "a test differs");
        return ["mind this"];
      }),
      gate("second", "block", (candidate) => {
        asked.push(candidate);
        return [];
      }),
    ];
    await registry.start();
    await save("one");
    await save("two");
    expect([runs(), state().broken?.code]).toEqual(["one", "script.tests-failed"]);
    expect(state().warnings).toEqual(["mind this"]);
    expect(asked).toMatchObject([{ script, live: null, wasLive: false, exports: { handlers: ["onArrival"] } }]);
    await save("three");
    await save("one");
    expect(asked.map(({ live, wasLive }) => [live !== null, wasLive])).toEqual([
      [false, false],
      [true, false],
      [true, true],
    ]);
  });

  test("one that warns is asked when the version is live, and holds up nobody", async () => {
    let answer: (words: readonly string[]) => void = () => {};
    gates = [gate("slow", "warn", () => new Promise((resolve) => (answer = resolve)))];
    await registry.start();
    await save("one");
    expect([runs(), state().warnings]).toEqual(["one", []]);
    gates = [];
    await save("two");
    expect(runs()).toBe("two");
    answer(["too late: another version runs"]);
    gates = [
      gate("strict", "warn", () => {
        throw new Fault("script.types", "x is no number");
      }),
    ];
    await save("three");
    await registry.stop();
    expect(state().warnings).toEqual(["x is no number"]);
    expect(log.of("script.warned").at(-1)).toMatchObject({
      fields: { script, gate: "strict", warning: "x is no number" },
    });
  });

  test("what was live before the restart is not warned of again", async () => {
    await registry.start();
    await save("one");
    await restart();
    gates = [gate("any", "warn", () => ["seen"])];
    await registry.start();
    await registry.stop();
    expect([runs(), state().warnings]).toEqual(["one", []]);
  });
});

test("a rehearsal reads what is kept, and writes nothing", async () => {
  await registry.start();
  await save("one");
  await save("two");
  await registry.rollback(script, null, "ann");
  const before = await versions.history(script);
  await restart({ readOnly: true });
  await registry.start();
  expect(runs()).toBe("one");
  await save("three");
  expect(runs()).toBe("three");
  expect(await versions.history(script)).toEqual(before);
});
