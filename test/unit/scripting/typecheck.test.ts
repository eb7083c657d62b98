/** The type checker and its gate: what is found where, for whom, and what becomes of a compiler that is missing, slow or broken. */
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ScriptFault, ScriptFaultError } from "../../../sandbox/protocol.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import type { Candidate } from "../../../src/scripting/gates.ts";
import { findCompiler, parseProblems, type TypeChecked, TypeChecker } from "../../../src/scripting/typecheck.ts";
import { createTypecheckGate } from "../../../src/scripting/typecheck-gate.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createRecordingLog } from "../../support/recording-log.ts";
import { createScriptFolder, type ScriptFolder } from "../../support/scripts.ts";

const good =
  'import type { ArrivalHandler } from "onarrival";\nexport const onArrival: ArrivalHandler = (mail) => mail.refuse("x");\n';
const bad = good.replace("mail.refuse", "mail.refused");

let folder: ScriptFolder;
let checker: TypeChecker;
const at = (name: string) => join(folder.root, name);

beforeEach(async () => {
  folder = await createScriptFolder();
  checker = new TypeChecker({ clock: systemClock });
});
afterEach(async () => {
  await checker.close();
  await folder.remove();
});

/** A program in the place of the compiler. */
function program(text: string): string {
  const path = join(folder.root, "compiler");
  writeFileSync(path, `#!${process.execPath}\n${text}`);
  chmodSync(path, 0o755);
  return path;
}

describe("TypeChecker", () => {
  test("is installed with the project", () => {
    expect(findCompiler()).not.toBeNull();
  });

  test("finds nothing in a script that is right", async () => {
    await folder.write({ "a.ts": good });
    expect(await checker.check([at("a.ts")])).toEqual({ kind: "checked", problems: [] });
  });

  test("tells file, line, column, number and words of an error", async () => {
    await folder.write({ "a.ts": bad });
    expect(await checker.check([at("a.ts")])).toEqual({
      kind: "checked",
      problems: [
        {
          file: at("a.ts"),
          line: 2,
          column: 57,
          code: "TS2551",
          message: "Property 'refused' does not exist on type 'ArrivedMail'. Did you mean 'refuse'?",
        },
      ],
    });
  });

  test("tells of errors in a file that is imported, and knows the globals", async () => {
    await folder.write({
      "a.ts": `import { host } from "./lib/b.ts";\n${good}export const where = host("https://a.example/");\n`,
      "lib/b.ts": "export const host = (url: string): number => new URL(url).host;\n",
    });
    const checked = await checker.check([at("a.ts"), at("lib/b.ts")]);
    expect(checked).toMatchObject({ problems: [{ file: at("lib/b.ts"), line: 1, code: "TS2322" }] });
  });

  test("says of each script its own, where several are checked together", async () => {
    const count = program(
      `require("node:fs").appendFileSync(${JSON.stringify(at("runs"))}, ".");
       const { status } = require("node:child_process").spawnSync(${JSON.stringify(findCompiler())}, process.argv.slice(2), { stdio: "inherit" });
       process.exit(status);`,
    );
    const counted = new TypeChecker({ clock: systemClock, executable: count });
    await folder.write({
      "a.ts": good,
      "b.ts": bad,
      "c.ts": good,
      "d.ts": `${good}declare global { interface Array<T> { at(): T } }\n`,
    });
    const all = await Promise.all(["a", "b", "c", "d"].map((name) => counted.check([at(`${name}.ts`)])));
    expect(all.map((one) => (one.kind === "checked" ? one.problems.length : one))).toEqual([0, 1, 0, 0]);
    // The first alone, the other three together, and the one that has something once more.
    expect(readFileSync(at("runs"), "utf8").length).toBeLessThanOrEqual(4);
  });

  test("does not blame a script for what another one declares for all", async () => {
    const spoiling = `${good}declare global { interface String { trim(): number } }\nexport const x: string = "".trim();\n`;
    await folder.write({ "a.ts": good, "b.ts": spoiling, "c.ts": `${good}export const x: string = "".trim();\n` });
    const [, b, c] = await Promise.all(["a", "b", "c"].map((name) => checker.check([at(`${name}.ts`)])));
    expect(c).toEqual({ kind: "checked", problems: [] });
    expect(b).toMatchObject({ kind: "checked", problems: [{ code: "TS2322" }] });
  });

  test("is killed where it takes too long, and goes on with the next", async () => {
    const clock = createFakeClock();
    const started = at("started");
    const slow = program(
      `require("node:fs").writeFileSync(${JSON.stringify(started)}, ""); setInterval(() => {}, 1000);`,
    );
    const slowChecker = new TypeChecker({ clock, executable: slow, timeoutMs: 300 });
    await folder.write({ "a.ts": good });
    const first = slowChecker.check([at("a.ts")]);
    await waitFor(() => existsSync(started));
    await clock.advance(299);
    expect(clock.nextAt).toBeDefined();
    await clock.advance(1);
    expect(await first).toEqual({ kind: "failed", reason: "not done within 300 ms" });
    const second = slowChecker.check([at("a.ts")]);
    await waitFor(() => clock.nextAt !== undefined);
    const closed = slowChecker.close();
    expect(await second).toEqual({ kind: "failed", reason: "the type checker is stopped" });
    await closed;
    expect(await slowChecker.check([at("a.ts")])).toEqual({ kind: "failed", reason: "the type checker is stopped" });
  });

  test.each<[why: string, executable: () => string | null, expected: Partial<TypeChecked>]>([
    ["it is not installed", () => null, { kind: "unavailable" }],
    ["it cannot be started", () => at("nothing"), { kind: "unavailable" }],
    [
      "it ends with words that are none",
      () => program("console.log('panic: x'); process.exit(2);"),
      { kind: "failed", reason: "the compiler ended with status 2: panic: x" },
    ],
    [
      "it talks without end",
      () => program("const line = 'x'.repeat(65536); const go = () => process.stdout.write(line, go); go();"),
      { kind: "failed", reason: "it found more errors than can be told" },
    ],
  ])("says so where %s", async (_why, executable, expected) => {
    await folder.write({ "a.ts": good });
    expect(await new TypeChecker({ clock: systemClock, executable: executable() }).check([at("a.ts")])).toMatchObject(
      expected,
    );
  });
});

describe("parseProblems", () => {
  test.each<[why: string, output: string, told: string[]]>([
    ["words in several lines", "a.ts(1,2): error TS1: one\n  two\n    three\n", ["/s/a.ts:1:2 TS1 one two three"]],
    ["a path with brackets", "../x (1)/a(2).ts(3,4): error TS5: six\r\n", ["/x (1)/a(2).ts:3:4 TS5 six"]],
    ["an error of no file", "error TS5083: Cannot read file\n", []],
  ])("reads %s", (_why, output, told) => {
    const problems = parseProblems(output, "/s");
    expect(
      problems.map(({ file, line, column, code, message }) => `${file}:${line}:${column} ${code} ${message}`),
    ).toEqual(told);
  });
});

describe("the gate of types", () => {
  const candidateOf = (wasLive = false): Candidate => ({
    script: "scripts/a.ts",
    file: at("a.ts"),
    compiled: { name: "scripts/a.ts", version: "sha256:1", code: "", sourceMap: "", inputs: [at("a.ts")], sources: {} },
    exports: { handlers: ["onArrival"] },
    live: null,
    wasLive,
  });
  const gateOf = (policy: "block" | "warn", answer?: TypeChecked, log = createRecordingLog()) =>
    createTypecheckGate({
      folder: folder.root,
      checker: answer ? { check: async () => answer } : checker,
      policy,
      log,
    });
  const faultOf = async (promise: unknown): Promise<ScriptFault> => {
    const error = await Promise.resolve(promise).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(ScriptFaultError);
    return (error as ScriptFaultError).fault;
  };

  test("lets a script through that is right", async () => {
    await folder.write({ "a.ts": good });
    expect(await gateOf("block").check(candidateOf())).toEqual([]);
  });

  test("keeps one with an error out, with place and words", async () => {
    await folder.write({ "a.ts": `${bad}export const x: number = "";\n` });
    expect(await faultOf(gateOf("block").check(candidateOf()))).toMatchObject({
      code: "script.types",
      at: "scripts/a.ts:2:57",
      message:
        "Property 'refused' does not exist on type 'ArrivedMail'. Did you mean 'refuse'? (TS2551) (and one more)",
    });
  });

  test("warns of it where the policy is to warn", async () => {
    await folder.write({ "a.ts": bad });
    expect(await gateOf("warn").check(candidateOf())).toEqual([
      "scripts/a.ts:2:57: Property 'refused' does not exist on type 'ArrivedMail'. Did you mean 'refuse'? (TS2551)",
    ]);
  });

  test("does not keep out what was live before", async () => {
    await folder.write({ "a.ts": bad });
    expect(await gateOf("block").check(candidateOf(true))).toEqual([]);
    expect(await gateOf("warn").check(candidateOf(true))).toHaveLength(1);
  });

  test("says once that there is no type checker, and lets everything through", async () => {
    const log = createRecordingLog();
    const gate = gateOf("block", { kind: "unavailable", reason: "none" }, log);
    expect(await gate.check(candidateOf())).toEqual([]);
    expect(await gate.check(candidateOf())).toEqual([]);
    expect(log.of("types.unavailable")).toMatchObject([{ level: "warn", fields: { reason: "none" } }]);
  });

  test("keeps a script out that could not be checked", async () => {
    const failed: TypeChecked = { kind: "failed", reason: "not done within 10000 ms" };
    expect(await faultOf(gateOf("block", failed).check(candidateOf()))).toMatchObject({
      code: "script.types",
      at: null,
      message: "The types could not be checked: not done within 10000 ms",
    });
    expect(await gateOf("warn", failed).check(candidateOf())).toHaveLength(1);
  });

  test.each([
    [10, 10, null],
    [11, 11, "scripts/a.ts has 1 more type errors"],
  ])("tells %i errors in %i lines", async (count, lines, last) => {
    const problem = { file: at("a.ts"), line: 1, column: 1, code: "TS1", message: "x" };
    const warnings = await gateOf("warn", { kind: "checked", problems: Array(count).fill(problem) }).check(
      candidateOf(),
    );
    expect(warnings).toHaveLength(lines);
    if (last !== null) expect(warnings.at(-1)).toBe(last);
  });
});

/** Another process has its own time. */
async function waitFor(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
