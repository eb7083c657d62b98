/** The example scripts, each on the cases beside it: those of the default site, and those below that nobody runs until somebody copies one. */
import { execFile } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compileScript, stopCompiler } from "../../sandbox/compile.ts";
import { Sandbox } from "../../sandbox/host.ts";
import { defaultLimits } from "../../sandbox/protocol.ts";
import { listScripts } from "../../sandbox/script-files.ts";
import type { Message } from "../../src/mail/message.ts";
import { runTestFolder } from "../../src/main-test-cases.ts";
import { silentLog } from "../../src/platform/log.ts";
import { SubmissionMaker } from "../../src/scripting/submissions.ts";
import { readTestFolder } from "../../src/scripting/test-folder.ts";
import type { TestOutcome } from "../../src/scripting/test-gate.ts";

const live = globSync("scripts/*.ts").sort();
const examples = globSync("scripts/examples/*.ts").sort();

/** Enough of a server for scripts that make messages. */
function createMaker(take: (messages: readonly Message[]) => Promise<void>): SubmissionMaker {
  return new SubmissionMaker({
    hostname: "mail.example.test",
    now: () => 0,
    isLocal: (domain) => domain === "example.test",
    postmaster: () => ({ localPart: "postmaster", domain: "example.test" }),
    sizeOctetsMax: 26_214_400,
    take,
    log: silentLog,
  });
}

let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await Sandbox.start({ processes: 1 });
});
afterAll(async () => {
  await sandbox.close();
  await stopCompiler();
});

test("the default site runs those in scripts/ and none of those below", async () => {
  expect(live.length).toBeGreaterThanOrEqual(8);
  expect(examples.length).toBeGreaterThanOrEqual(14);
  expect(await listScripts("scripts")).toEqual(live.map((path) => resolve(path)));
});

describe.each([...live, ...examples])("%s", (script) => {
  test("is under 30 lines, has cases beside it, and does what they expect", async () => {
    const text = readFileSync(script, "utf8");
    expect(text.trimEnd().split("\n").length).toBeLessThan(30);
    const file = resolve(script);
    const folder = (await readTestFolder(file))!;
    expect(folder?.cases.length).toBeGreaterThanOrEqual(examples.includes(script) ? 2 : 1);
    const compiled = await compileScript({ root: join(file, ".."), file });
    const bench = {
      sandbox,
      limits: defaultLimits,
      compiled,
      exports: await sandbox.load(compiled, defaultLimits),
      folder: join(file, ".."),
      packages: [],
      listeners: ["mx"],
      createMaker,
    };
    const outcomes: TestOutcome[] = [];
    for await (const { outcome, ran } of runTestFolder(bench, folder)) {
      expect(ran?.one.expected, `${outcome.name}.expected.json is missing`).toBeDefined();
      outcomes.push(outcome);
    }
    expect(outcomes.filter(({ ok }) => !ok)).toEqual([]);
    expect(outcomes.length).toBe(folder.cases.length);
  });
});

test("the command that users run says the same of the default site", async () => {
  const run = await new Promise<{ readonly status: number; readonly output: string }>((done) => {
    const words = ["src/cli/launch.mjs", "test", "--all", "--color", "never"];
    const child = execFile(process.execPath, words, (_error, out, err) =>
      done({ status: child.exitCode ?? -1, output: out + err }),
    );
  });
  expect(run.output).toMatch(/^(\d+) of \1 tests hold$/m);
  expect(run.status, run.output).toBe(0);
});
