/**
 * Tests beside a script, run: each case of its folder and each test of its test files, one after the other, in the sandbox they are given. Nothing outside is
 * asked and nothing is written. The command line shows what comes of it, and the gate of a server decides by it (scripting/test-gate.ts).
 */
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { withLineEnds } from "../sandbox/new-part.ts";
import { runSetup, type TestBench } from "./main-test-bench.ts";
import { runTestFile } from "./main-test-file.ts";
import { compare, stableResult } from "./main-test-result.ts";
import { Tester, type TestRun } from "./main-test-run.ts";
import { Fault } from "./platform/fault.ts";
import { readTestFolder, type TestCase, type TestFolder } from "./scripting/test-folder.ts";
import type { TestOutcome } from "./scripting/test-gate.ts";

/** A case that was run, for whoever writes down what is expected. */
export interface RanCase {
  readonly outcome: TestOutcome;
  /** null where it could not be run at all. */
  readonly ran: { readonly one: TestCase; readonly found: unknown; readonly run: TestRun } | null;
}

/** Every test of a folder, in order. Ends early where `isOver` says so, or where a run was stopped at a limit: what follows would be as slow. */
export async function* runTestFolder(
  bench: TestBench,
  folder: TestFolder,
  isOver: () => boolean = () => false,
): AsyncGenerator<RanCase> {
  const tester = new Tester(bench);
  for (const { name, read } of folder.cases) {
    if (isOver()) return;
    const ran = await runCase(bench, tester, { name, read });
    yield ran;
    if (isLimit(ran.ran?.run.result.fault?.code) && !ran.outcome.ok) return;
  }
  for (const file of folder.files) {
    if (isOver()) return;
    for (const outcome of await runTestFile(bench, file, folder.name)) yield { outcome, ran: null };
  }
}

/** The tests beside a script, where there are any. */
export async function testFolderOfScript(file: string): Promise<TestFolder | null> {
  const folder = await readTestFolder(file);
  return folder && folder.cases.length + folder.files.length > 0 ? folder : null;
}

async function runCase(
  bench: TestBench,
  tester: Tester,
  { name, read }: TestFolder["cases"][number],
): Promise<RanCase> {
  const at = performance.now();
  const outcome = (found: Partial<TestOutcome>): TestOutcome => ({
    name,
    ok: false,
    differences: [],
    message: null,
    at: null,
    ms: Math.round(performance.now() - at),
    ...found,
  });
  try {
    const one = await read();
    const run = await runSetup(bench, tester, {
      setup: one.setup,
      octets: one.message === null ? Buffer.alloc(0) : crlf(await readFile(one.message)),
      file: one.message ?? `${name}.json`,
    });
    const { fault } = run.result;
    const found = stableResult(run.result, { expectFile: one.expectedFile, cwd: dirname(one.expectedFile) });
    const ran = { one, found, run };
    // A message that nothing is expected of is held to this: the script has no fault with it.
    const differences = compare(one.expected ?? { fault: null }, found, "part");
    const isFaultNews = fault !== null && differences.length > 0 && !expectsFault(one.expected, fault.code);
    return {
      outcome: outcome({
        ok: differences.length === 0,
        // What follows from the fault is told by the fault.
        differences: differences.filter(({ path }) => !isFaultNews || !path.startsWith("fault")),
        ...(isFaultNews && { message: `${fault.code}: ${fault.message}`, at: fault.at }),
      }),
      ran,
    };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { outcome: outcome({ message: error.message }), ran: null };
  }
}

function expectsFault(expected: unknown, code: string): boolean {
  return (expected as { readonly fault?: { readonly code?: unknown } | null } | undefined)?.fault?.code === code;
}

/** Why a run ended that no other test would fare better with. */
function isLimit(code: string | undefined): boolean {
  return code === "script.cpu-limit" || code === "script.wall-limit" || code === "script.heap-limit";
}

function crlf(octets: Buffer): Buffer {
  return Buffer.from(withLineEnds(octets.toString("latin1"), "\r\n"), "latin1");
}
