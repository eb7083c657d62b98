/** Tests beside a script where a server loads it: a version that fails its tests never goes live, and what was live stays. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { stopCompiler } from "../../sandbox/compile.ts";
import { Sandbox } from "../../sandbox/host.ts";
import { defaultLimits } from "../../sandbox/protocol.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Binding } from "../../src/events/binding.ts";
import { testGates } from "../../src/main-test-gate.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { ScriptRegistry } from "../../src/scripting/registry.ts";
import { createRecordingLog, type RecordingLog } from "../support/recording-log.ts";

let sandbox: Sandbox;
let folder: string;
let registry: ScriptRegistry;
let log: RecordingLog;
let bound: readonly Binding[] = [];

beforeAll(async () => {
  sandbox = await Sandbox.start({ processes: 1 });
});
afterAll(async () => {
  await sandbox.close();
  await stopCompiler();
});
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "onarrival-gate-")), "scripts");
  mkdirSync(join(folder, "a.test"), { recursive: true });
  write("a.test/x.eml", "From: ann@example.org\nTo: bob@example.test\nSubject: Hello\n\nHi.\n");
  write("a.test/x.expected.json", JSON.stringify({ changes: { fields: [{ after: "yes" }] } }));
});
afterEach(async () => {
  await registry.stop();
  rmSync(join(folder, ".."), { recursive: true });
});

function write(name: string, text: string): void {
  writeFileSync(join(folder, name), text);
}

const setting = (value: string) =>
  `export const onArrival = (mail) => mail.headers.set("X-A", ${JSON.stringify(value)});\n`;

async function start(tests: "block" | "warn" | "off"): Promise<void> {
  log = createRecordingLog();
  const { config: defaults } = loadConfig({ env: {}, cwd: join(folder, "..") });
  const config = { ...defaults, scripts: { ...defaults.scripts, folder, tests } };
  const gates = testGates({ sandbox, limits: defaultLimits, config });
  registry = new ScriptRegistry({
    folder,
    sandbox,
    limits: defaultLimits,
    gates: () => gates,
    clock: systemClock,
    log,
    bind(bindings, released) {
      bound = bindings;
      released();
    },
  });
  await registry.start();
}

const state = () => registry.states()[0]!;

describe("testGates", () => {
  test("keep the version before live, and say which case differs in what", async () => {
    write("a.ts", setting("yes"));
    await start("block");
    const good = state().live?.version;
    expect(good).toBeDefined();
    write("a.ts", setting("no"));
    await registry.reload();
    expect(state().live?.version).toBe(good);
    expect(state().broken).toMatchObject({
      code: "script.tests-failed",
      message: 'x: changes.fields[0].after is "no", and "yes" is expected',
    });
    expect(log.of("script.broken")[0]?.fields).toMatchObject({ code: "script.tests-failed", live: good });
    expect(bound[0]?.target).toMatchObject({ kind: "script", version: good });
    write("a.ts", `${setting("yes")}// mended\n`);
    await registry.reload();
    expect(state().broken).toBeNull();
    expect(state().live?.version).not.toBe(good);
  });

  test("warn where that is wanted, and let it run", async () => {
    write("a.ts", setting("no"));
    await start("warn");
    await registry.stop();
    expect(state().live).not.toBeNull();
    expect(state().warnings).toEqual(['x: changes.fields[0].after is "no", and "yes" is expected']);
  });

  test("are none where tests are switched off", async () => {
    write("a.ts", setting("no"));
    await start("off");
    expect(state().live).not.toBeNull();
    expect(state().warnings).toEqual([]);
  });

  test("stop at a limit: what follows would be as slow", async () => {
    write("a.test/y.eml", "From: ann@example.org\nTo: bob@example.test\n\n");
    write("a.ts", "export const onArrival = () => { for (;;); };\n");
    await start("block");
    expect(state().live).toBeNull();
    expect(state().broken?.message).toContain("x: script.cpu-limit");
    expect(state().broken?.message).not.toContain("more)");
  });

  test("run test files as well, each test by itself", async () => {
    write(
      "a.test/a.test.ts",
      `import { expect, mail, run, test } from "onarrival/test";
test("sets it", async () => expect((await run(mail({}))).message, /X-A: yes/));
test("never refuses", async () => expect((await run(mail({}))).result.verdict, { kind: "refuse" }));
`,
    );
    write("a.ts", setting("yes"));
    await start("block");
    expect(state().broken).toMatchObject({
      message: 'a.test/a.test.ts: never refuses: kind: expected "refuse", found "proceed"',
      at: expect.stringMatching(/^scripts\/a\.test\/a\.test\.ts:3:/),
    });
  });
});
