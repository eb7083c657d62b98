/** Hot editing, with a real sandbox and a real folder: what is saved is live soon, what is broken never is. */
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { Sandbox } from "../../../sandbox/host.ts";
import { defaultLimits } from "../../../sandbox/protocol.ts";
import { Dispatcher } from "../../../src/events/dispatcher.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { ScriptRegistry } from "../../../src/scripting/registry.ts";
import { createScriptRunner } from "../../../src/scripting/runner.ts";
import type { ScriptState } from "../../../src/scripting/script-state.ts";
import { VersionStore } from "../../../src/scripting/versions.ts";
import { createMessage } from "../../support/events.ts";

let sandbox: Sandbox;
let folder: string;
let registry: ScriptRegistry;
let dispatcher: Dispatcher;

const tagging = (tag: string) =>
  `export const onArrival = (mail) => { mail.headers.set("X-Tag", ${JSON.stringify(tag)}); };\n`;

beforeAll(async () => {
  sandbox = await Sandbox.start({ processes: 1 });
});

afterAll(async () => {
  await sandbox.close();
  await stopCompiler();
});

beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "onarrival-registry-")), "scripts");
  mkdirSync(folder);
});

afterEach(async () => {
  await registry.stop();
  rmSync(join(folder, ".."), { recursive: true });
});

async function start(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  dispatcher = new Dispatcher({
    log: silentLog,
    clock: systemClock,
    scripts: createScriptRunner({ sandbox, limits: defaultLimits, log: silentLog }),
  });
  registry = new ScriptRegistry({
    versions: new VersionStore({ folder: join(folder, "..", "versions"), versionsMax: () => 100, log: silentLog }),
    folder,
    sandbox,
    limits: defaultLimits,
    clock: systemClock,
    log: silentLog,
    bind: (bindings, released) => dispatcher.replaceBindings(bindings, released),
  });
  await registry.start();
}

/** The tag that the next message gets. */
async function tag(): Promise<string | undefined> {
  const message = createMessage("Subject: one\n\nbody\n");
  const verdict = await dispatcher.ask("onArrival", { message });
  expect(verdict.kind).toBe("proceed");
  return message.header.get("X-Tag");
}

async function until(holds: () => boolean | Promise<boolean>): Promise<number> {
  const begun = performance.now();
  while (!(await holds())) {
    if (performance.now() - begun > 5_000)
      throw new Error(`did not come about; scripts: ${JSON.stringify(registry.states(), null, 1)}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return performance.now() - begun;
}

const state = (name = "scripts/a.ts"): ScriptState | undefined =>
  registry.states().find((script) => script.name === name);

describe("ScriptRegistry", () => {
  test("runs what is in the folder at start, and every later save", async () => {
    await start({ "a.ts": tagging("one") });
    expect(await tag()).toBe("one");
    const waits: number[] = [];
    for (let i = 0; i < 9; i++) {
      writeFileSync(join(folder, "a.ts"), tagging(`edit ${i}`));
      waits.push(await until(async () => (await tag()) === `edit ${i}`));
    }
    const median = waits.sort((one, other) => one - other)[4]!;
    console.log(`from save to live: median ${median.toFixed(0)} ms, longest ${waits[8]!.toFixed(0)} ms`);
    expect(median).toBeLessThanOrEqual(300);
  });

  test("takes a file that is renamed into place", async () => {
    await start({ "a.ts": tagging("one") });
    writeFileSync(join(folder, ".a.ts.swp"), tagging("two"));
    renameSync(join(folder, ".a.ts.swp"), join(folder, "a.ts"));
    await until(async () => (await tag()) === "two");
  });

  test.each([
    [
      "does not compile",
      "export const onArrival = (mail) => {\n  mail.subject = ;\n};\n",
      "script.compile",
      "scripts/a.ts:2:18",
    ],
    [
      "throws while it is loaded",
      "export const onArrival = () => {};\nthrow new Error('early');\n",
      "script.load",
      "scripts/a.ts:2:7",
    ],
    [
      "never ends while it is loaded",
      "export const onArrival = () => {};\nfor (;;);\n",
      /script\.(load|cpu-limit)/,
      null,
    ],
    ["has no handler", "export const rule = 'RCPT TO=*@example.test';\n", "script.exports", null],
    [
      "has a rule that cannot be read",
      `${tagging("two")}export const rule = "RCPT TWO=*@example.test";\n`,
      "rule.syntax",
      null,
    ],
    [
      "imports what it may not",
      `import fs from "node:fs";\nexport const onArrival = () => fs;\n`,
      "script.import",
      "scripts/a.ts:1:16",
    ],
  ])("keeps the last good version where the edit %s", async (_why, text, code, at) => {
    await start({ "a.ts": tagging("one") });
    const { version } = state()!.live!;
    writeFileSync(join(folder, "a.ts"), text);
    await until(() => state()?.broken != null);
    expect(state()!.broken!.code).toMatch(code);
    if (at) expect(state()!.broken!.at).toBe(at);
    expect(state()!.live!.version).toBe(version);
    expect(await tag()).toBe("one");
    writeFileSync(join(folder, "a.ts"), tagging("mended"));
    await until(async () => (await tag()) === "mended");
    expect(state()!.broken).toBeNull();
  });

  test("a server that starts while an edit is broken runs what ran before it", async () => {
    await start({ "a.ts": tagging("one"), "b.ts": "export const onArrival = () => {};\n" });
    const { version } = state()!.live!;
    await registry.stop();
    const kept = join(folder, "..", "versions");
    expect(readdirSync(kept).sort()).toEqual(["scripts%2Fa.ts", "scripts%2Fb.ts"]);
    const [file] = readdirSync(join(kept, "scripts%2Fb.ts")).filter((name) => name !== "history.json");
    writeFileSync(join(kept, "scripts%2Fb.ts", file!), "{ half of a fi");
    await start({ "a.ts": "nonsense here\n", "b.ts": "nonsense too\n" });
    expect(state()).toMatchObject({ live: { version }, broken: { code: "script.compile" } });
    expect(state("scripts/b.ts")).toMatchObject({ live: null, broken: { code: "script.compile" } });
    expect(await tag()).toBe("one");
    rmSync(join(folder, "a.ts"));
    await until(() => registry.states().length === 1);
    await registry.stop();
    // A script of that name that is made anew is another one.
    await start({ "a.ts": "nonsense again\n" });
    expect(state()).toMatchObject({ live: null, broken: { code: "script.compile" } });
  });

  test("a script that never was good is bound broken, and stops no mail", async () => {
    await start({ "a.ts": "nonsense here\n" });
    expect(state()).toMatchObject({ live: null, broken: { code: "script.compile" } });
    expect(dispatcher.bindingsOf("onArrival")).toMatchObject([{ name: "scripts/a.ts", target: { kind: "broken" } }]);
    expect(await tag()).toBeUndefined();
  });

  test("unbinds what is deleted", async () => {
    await start({ "a.ts": tagging("one") });
    rmSync(join(folder, "a.ts"));
    await until(() => registry.states().length === 0);
    expect(await tag()).toBeUndefined();
  });

  test("takes many files at once", async () => {
    await start({});
    for (let i = 0; i < 30; i++)
      writeFileSync(join(folder, `s${i}.ts`), `export const priority = ${i};\n${tagging(`tag ${i}`)}`);
    await until(() => registry.states().filter(({ live }) => live).length === 30);
    expect(await tag()).toBe("tag 29");
  });

  test("asks scripts of one priority in the order of their names, however they came to be there", async () => {
    const order = (name: string) => `export const onArrival = (mail) => { mail.headers.add("X-Order", "${name}"); };\n`;
    await start({ "c.ts": order("c"), "b.ts": order("b") });
    writeFileSync(join(folder, "a.ts"), order("a"));
    await until(() => registry.states().filter(({ live }) => live).length === 3);
    const message = createMessage("Subject: one\n\nbody\n");
    await dispatcher.ask("onArrival", { message });
    expect(message.header.getAll("X-Order")).toEqual(["a", "b", "c"]);
  });

  test("a script without a rule sees the recipients as those before it left them", async () => {
    await start({
      "a.ts": `export const onArrival = (mail) => { mail.envelope.redirect("new@example.test"); };\n`,
      "b.ts": `export const onArrival = (mail) => { mail.headers.add("X-Tag", mail.matchedRecipients.join()); };\n`,
    });
    expect(await tag()).toBe("new@example.test");
  });

  test("follows what a script imports", async () => {
    mkdirSync(join(folder, "lib"));
    writeFileSync(join(folder, "lib", "words.ts"), `export const word: string = "one";\n`);
    await start({
      "a.ts": `import { word } from "./lib/words.ts";\nexport const onArrival = (mail) => { mail.headers.set("X-Tag", word); };\n`,
    });
    expect(await tag()).toBe("one");
    writeFileSync(join(folder, "lib", "words.ts"), `export const word: string = "two";\n`);
    await until(async () => (await tag()) === "two");
  });

  test("takes no link for a script", async () => {
    const outside = join(folder, "..", "outside.ts");
    writeFileSync(outside, tagging("outside"));
    symlinkSync(outside, join(folder, "a.ts"));
    await start({ "b.ts": tagging("inside") });
    symlinkSync(outside, join(folder, "c.ts"));
    writeFileSync(join(folder, "b.ts"), tagging("inside again"));
    await until(async () => (await tag()) === "inside again");
    expect(
      registry
        .states()
        .filter(({ live }) => live)
        .map(({ name }) => name),
    ).toEqual(["scripts/b.ts"]);
  });

  test("a message in hand finishes on the version it began with", async () => {
    await start({ "a.ts": tagging("one") });
    const message = createMessage("Subject: one\n\nbody\n");
    const asked = dispatcher.ask("onArrival", { message });
    writeFileSync(join(folder, "a.ts"), tagging("two"));
    await asked;
    expect(message.header.get("X-Tag")).toBe("one");
    await until(async () => (await tag()) === "two");
  });
});
