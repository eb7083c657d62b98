/** Which versions are in the sandbox and when they go, with a sandbox that only keeps books. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { type CompiledScript, defaultLimits, type ScriptExports } from "../../../sandbox/protocol.ts";
import { Dispatcher } from "../../../src/events/dispatcher.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { ScriptRegistry } from "../../../src/scripting/registry.ts";
import { VersionStore } from "../../../src/scripting/versions.ts";

let folder: string;
let registry: ScriptRegistry;
let dispatcher: Dispatcher;
/** What is in the sandbox: version to the code it was made of. */
let loaded: Map<string, string>;
/** Passed before a load answers. */
let gate: Promise<void>;
/** Says that the next bindings replaced are still in use, until it is called. */
let inUse: { release: () => void } | undefined;
let exportsOf: (script: CompiledScript) => ScriptExports;

beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "onarrival-versions-")), "scripts");
  mkdirSync(folder);
  loaded = new Map();
  gate = Promise.resolve();
  inUse = undefined;
  exportsOf = () => ({ handlers: ["onArrival"] });
  dispatcher = new Dispatcher({
    log: silentLog,
    clock: systemClock,
    scripts: { run: () => Promise.reject(new Error("nothing is run")) },
  });
  registry = new ScriptRegistry({
    versions: new VersionStore({ folder: join(folder, "..", "versions"), versionsMax: () => 100, log: silentLog }),
    folder,
    limits: defaultLimits,
    clock: systemClock,
    log: silentLog,
    sandbox: {
      async load(script) {
        loaded.set(script.version, script.code);
        await gate;
        return exportsOf(script);
      },
      unload: (version) => void loaded.delete(version),
    },
    bind(bindings, released) {
      dispatcher.replaceBindings(bindings, () => {
        if (inUse?.release === never) inUse.release = released;
        else released();
      });
    },
  });
});

afterEach(async () => {
  await registry.stop();
  rmSync(join(folder, ".."), { recursive: true });
});

afterAll(stopCompiler);

const never = () => {
  throw new Error("nothing was replaced");
};

async function save(text: string, name = "a.ts"): Promise<void> {
  writeFileSync(join(folder, name), `export const onArrival = () => ${JSON.stringify(text)};\n`);
  await registry.reload();
}

/** The words of the versions in the sandbox. */
const words = () => [...loaded.values()].map((code) => /=> "(\w+)"/.exec(code)?.[1]).sort();

describe("versions", () => {
  test("one that was replaced goes with the last message that uses it", async () => {
    await registry.start();
    await save("one");
    inUse = { release: never };
    await save("two");
    expect(words()).toEqual(["one", "two"]);
    inUse.release();
    expect(words()).toEqual(["two"]);
  });

  test("one that came back and went again stays for the message that began with it the first time", async () => {
    await registry.start();
    await save("one");
    inUse = { release: never };
    for (const text of ["two", "one", "three"]) await save(text);
    expect(words()).toEqual(["one", "three"]);
    inUse.release();
    expect(words()).toEqual(["three"]);
  });

  test("one that is loaded again while its last message ends is not taken away under it", async () => {
    await registry.start();
    await save("one");
    inUse = { release: never };
    await save("two");
    let open: () => void = () => {};
    gate = new Promise((resolve) => (open = resolve));
    const saved = save("one");
    await new Promise((resolve) => setTimeout(resolve, 100));
    inUse.release();
    open();
    await saved;
    expect(registry.states()[0]!.broken).toBeNull();
    expect(words()).toEqual(["one"]);
  });

  test("a script whose exports no binding can have is broken, and the others go on", async () => {
    exportsOf = ({ name }) => ({ handlers: ["onArrival"], priority: name === "scripts/bad.ts" ? 40_000 : 1 });
    await registry.start();
    await save("bad", "bad.ts");
    await save("one");
    expect(registry.states()).toMatchObject([
      { name: "scripts/a.ts", broken: null },
      { name: "scripts/bad.ts", live: null, broken: { code: "binding.invalid" } },
    ]);
    expect(dispatcher.bindingsOf("onArrival").map(({ target }) => target.kind)).toEqual(["script", "broken"]);
    expect(words()).toEqual(["one"]);
  });

  test("a folder that cannot be read is told, and read again once it can be", async () => {
    await registry.start();
    await save("one");
    renameSync(folder, `${folder}-aside`);
    await expect(registry.reload()).rejects.toMatchObject({ code: "ENOENT" });
    renameSync(`${folder}-aside`, folder);
    await save("two");
    expect(words()).toEqual(["two"]);
  });
});
