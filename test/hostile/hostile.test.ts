/**
 * Scripts that mean harm, one a file in scripts/, and what ends each: the second line of the file names the fault codes it may have, or
 * `harmless`. After each the next good script, in the same sandbox, is right and quick, and nothing of the host is in what came out.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { compileScript, stopCompiler } from "../../sandbox/compile.ts";
import { Sandbox } from "../../sandbox/host.ts";
import {
  type CompiledScript,
  defaultLimits,
  type RunAnswer,
  type SandboxNotice,
  ScriptFaultError,
} from "../../sandbox/protocol.ts";
import { createScriptFolder, messageOf, runOn, type ScriptFolder, stepOf } from "../support/scripts.ts";

const scriptsFolder = join(import.meta.dirname, "scripts");
const limits = { ...defaultLimits, cpuMs: 200, wallMs: 2_000, heapMiB: 32 };
const message = messageOf("From: a@example.com\nSubject: hello\n\nThe text\n");
/** A good run behind a bad one, whose process may have been killed, takes no longer than this. */
const nextMsMax = 1_000;

interface Hostile {
  readonly name: string;
  readonly why: string;
  readonly stage: "compile" | "load" | "run";
  readonly ends: readonly string[];
}

const hostile: readonly Hostile[] = readdirSync(scriptsFolder)
  .sort()
  .map((file) => {
    const [why, ends] = readFileSync(join(scriptsFolder, file), "utf8").split("\n");
    const words = ends!.replace("// ends: ", "").split(" ");
    const stage = words[0] === "compile" || words[0] === "load" ? words[0] : "run";
    return {
      name: basename(file),
      why: why!.replace("// ", ""),
      stage,
      ends: stage === "run" ? words : words.slice(1),
    };
  });

let sandbox: Sandbox;
let folder: ScriptFolder;
let good: CompiledScript;
const notices: SandboxNotice[] = [];

beforeAll(async () => {
  folder = await createScriptFolder();
  sandbox = await Sandbox.start({ processes: 1, rssMiBMax: 400, onNotice: (notice) => notices.push(notice) });
  good = await folder.compile(
    'export const onArrival = async (mail) => { mail.headers.set("X-Good", (await mail.text()).trim()); };',
    "good.ts",
  );
  await sandbox.load(good, limits);
});
afterAll(async () => {
  await sandbox.close();
  await stopCompiler();
  await folder.remove();
});
afterEach(async () => {
  const started = performance.now();
  const answer = await runOn(sandbox, message, [stepOf(good.version, limits)]);
  expect(performance.now() - started).toBeLessThan(nextMsMax);
  expect(answer.steps[0]).toMatchObject({ fault: null, effects: { fields: [0, 1, ["X-Good", "The text"]] } });
});

describe.each(hostile.filter(({ stage }) => stage === "run"))("$name", ({ name, why, ends }) => {
  it(`${why} Ends: ${ends.join(" or ")}`, async () => {
    const script = await compileScript({ root: scriptsFolder, file: join(scriptsFolder, name) });
    await sandbox.load(script, limits);
    // Twice, where the isolate lives on: what a script leaves behind must not make the next run another one.
    for (const attempt of ["first", "second"]) {
      const answer = await runOn(sandbox, message, [stepOf(script.version, limits)]);
      const [step] = answer.steps;
      expect(ends, `${attempt} run: ${JSON.stringify(step!.fault)}`).toContain(step!.fault?.code ?? "harmless");
      if (step!.fault) expect(step).toMatchObject({ effects: {}, verdict: { kind: "proceed", settled: false } });
      expectNothingOfTheHost(answer);
      if (/(?:cpu|wall|heap)-limit$/.test(step!.fault?.code ?? "")) break;
    }
    sandbox.unload(script.version);
  });
});

describe.each(hostile.filter(({ stage }) => stage === "load"))("$name", ({ name, why, ends }) => {
  it(`${why} Ends when it is loaded: ${ends.join(" or ")}`, async () => {
    const script = await compileScript({ root: scriptsFolder, file: join(scriptsFolder, name) });
    const fault = await faultOf(sandbox.load(script, limits));
    expect(ends).toContain(fault.fault.code);
    expectNothingOfTheHost(fault.fault);
  });
});

describe.each(hostile.filter(({ stage }) => stage === "compile"))("$name", ({ name, why, ends }) => {
  it(`${why} Ends when it is compiled: ${ends.join(" or ")}`, async () => {
    const fault = await faultOf(compileScript({ root: scriptsFolder, file: join(scriptsFolder, name) }));
    expect(ends).toContain(fault.fault.code);
    expect(fault.fault.at).toMatch(new RegExp(`^scripts/${name}:\\d+:\\d+$`));
  });
});

describe("Sandbox beside hostile scripts", () => {
  it("repeats the runs of innocents whose process was killed under them, unseen", async () => {
    const bad = await folder.compile(
      "export const onArrival = () => { Promise.reject(new Proxy({}, { get() { for (;;); } })); };",
      "bad.ts",
    );
    await sandbox.load(bad, limits);
    const before = notices.filter(({ kind }) => kind === "killed").length;
    const answers = await Promise.all([
      ...Array.from({ length: 10 }, () => runOn(sandbox, message, [stepOf(good.version, limits)])),
      runOn(sandbox, message, [stepOf(bad.version, limits)]),
      ...Array.from({ length: 10 }, () => runOn(sandbox, message, [stepOf(good.version, limits)])),
    ]);
    expect(notices.filter(({ kind }) => kind === "killed")).toHaveLength(before + 1);
    expect(answers.map(({ steps }) => steps[0]!.fault?.code ?? "none")).toEqual([
      ...Array(10).fill("none"),
      "script.wall-limit",
      ...Array(10).fill("none"),
    ]);
  });

  it("blames the step that hangs, keeps the results of those before it, and runs those behind it where it is told to", async () => {
    const bad = await folder.compile(
      "export const onArrival = () => { Promise.reject(new Proxy({}, { get() { for (;;); } })); };",
      "bad-step.ts",
    );
    await sandbox.load(bad, limits);
    const first = await folder.compile('export const onArrival = (mail) => { mail.subject += "!"; };', "first-step.ts");
    await sandbox.load(first, limits);
    const { steps } = await runOn(sandbox, message, [
      stepOf(first.version, limits),
      stepOf(bad.version, limits, { proceedOnFault: true }),
      stepOf(first.version, limits),
    ]);
    expect(steps.map(({ fault, effects }) => [fault?.code ?? "none", effects.fields])).toEqual([
      ["none", [0, ["Subject", "hello!"]]],
      ["script.wall-limit", undefined],
      ["none", [0, ["Subject", "hello!!"]]],
    ]);
  });

  it("runs 200 scripts on one message in one hop", async () => {
    const script = await folder.compile(
      'export const onArrival = (mail) => { mail.headers.set("X-Count", String(Number(mail.headers.get("X-Count") ?? 0) + 1)); };',
      "count.ts",
    );
    await sandbox.load(script, limits);
    const { steps } = await runOn(
      sandbox,
      message,
      Array.from({ length: 200 }, () => stepOf(script.version, limits)),
    );
    expect(steps).toHaveLength(200);
    expect(steps.at(-1)!.effects.fields).toEqual([0, 1, ["X-Count", "200"]]);
  });

  it("keeps scripts apart: one's globals and prototypes are not the other's", async () => {
    const writer = await folder.compile(
      'globalThis.secret = "mine"; Object.prototype.shared = 1; export const onArrival = () => {};',
      "writer.ts",
    );
    const reader = await folder.compile(
      "export const onArrival = (mail, { log }) => { log.info(typeof secret, {}.shared === undefined); };",
      "reader.ts",
    );
    await sandbox.load(writer, limits);
    await sandbox.load(reader, limits);
    await runOn(sandbox, message, [stepOf(writer.version, limits)]);
    const { steps } = await runOn(sandbox, message, [stepOf(reader.version, limits)]);
    expect(steps[0]!.log.map(({ text }) => text)).toEqual(["undefined true"]);
  });

  it("lets a script see no name beyond the language's own", async () => {
    const script = await folder.compile(
      "export const onArrival = (mail, { log }) => { for (const name of Object.getOwnPropertyNames(globalThis)) log.info(name); };",
      "names.ts",
    );
    await sandbox.load(script, limits);
    const { steps } = await runOn(sandbox, message, [stepOf(script.version, limits)]);
    const names = steps[0]!.log.map(({ text }) => text);
    const own = new Set([
      ...Object.getOwnPropertyNames(globalThis),
      "console",
      "escape",
      "unescape",
      "DisposableStack",
      "AsyncDisposableStack",
      "SuppressedError",
    ]);
    expect(names.filter((name) => !own.has(name))).toEqual([]);
    for (const absent of [
      "process",
      "require",
      "Buffer",
      "fetch",
      "WebAssembly",
      "SharedArrayBuffer",
      "Atomics",
      "setInterval",
      "ivm",
    ])
      expect(names).not.toContain(absent);
  });

  it("finishes a run on the version it began with when that is unloaded meanwhile", async () => {
    const script = await folder.compile(
      'export const onArrival = async (mail) => { mail.subject = "v1 " + (await mail.text()).trim(); };',
      "swapped.ts",
    );
    await sandbox.load(script, limits);
    const answer = await runOn(sandbox, message, [stepOf(script.version, limits)], {
      octets: async () => {
        sandbox.unload(script.version);
        return message;
      },
    });
    expect(answer.steps[0]).toMatchObject({ fault: null, effects: { fields: [0, ["Subject", "v1 The text"]] } });
    const later = await runOn(sandbox, message, [stepOf(script.version, limits)]);
    expect(later.steps[0]!.fault).toMatchObject({ code: "script.died", message: "The script is not loaded" });
  });
});

async function faultOf(work: Promise<unknown>): Promise<ScriptFaultError> {
  const thrown = await work.then(
    () => new Error("Nothing was thrown"),
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(ScriptFaultError);
  return thrown as ScriptFaultError;
}

/** No path of this machine, no frame of ours, no environment, no control character. */
function expectNothingOfTheHost(answer: RunAnswer | object): void {
  const text = JSON.stringify(answer);
  expect(text).not.toMatch(
    /isolated-vm|node_modules|guest:\/\/|compiled:\/\/|sandbox\/|root:x|\/etc\/passwd:1|file:\/\//,
  );
  expect(text).not.toContain(dirname(dirname(import.meta.dirname)));
  expect(text).not.toMatch(/\\u00[01][0-9a-f]|\\r|\\b/);
}
