/** A round of `onarrival test`: the script made ready, each message through it, what is said of it, and whether it is as expected. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join, relative, resolve } from "node:path";
import { compileScript } from "../../sandbox/compile.ts";
import type { Sandbox } from "../../sandbox/host.ts";
import { type Grants, type ScriptFault, ScriptFaultError } from "../../sandbox/protocol.ts";
import type { LoadedConfig } from "../config/load.ts";
import type { Binding } from "../events/binding.ts";
import { bindingOf, createTestMessage, type TestSession } from "../main-test-message.ts";
import { compare, expectationOf, type TestResult } from "../main-test-result.ts";
import { Tester, type TestRun, unrunnable } from "../main-test-run.ts";
import { Fault } from "../platform/fault.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import type { MailSource } from "./mail-source.ts";
import { Progress } from "./progress.ts";
import { rootOf } from "./script-places.ts";
import { plain } from "./terminal.ts";
import { GivenAnswers } from "./test-answers.ts";
import { limitsOf, makerOf } from "./test-bench.ts";
import type { TestFlags, TestInputs } from "./test-flags.ts";
import { RunRecorder } from "./test-record.ts";
import { formatDifferences, formatRun, formatSummary } from "./test-report.ts";
import { readSession } from "./test-session.ts";

export interface RoundInputs extends TestInputs {
  readonly flags: TestFlags;
  readonly loaded: LoadedConfig;
  readonly sandbox: Promise<Sandbox>;
}

/** What every round of a command has in common. */
export interface Bench extends RoundInputs {
  readonly session: TestSession;
  readonly answers: GivenAnswers;
}

/** What is tested: one script that can run or cannot, or the whole list. */
interface Prepared {
  readonly name: string;
  readonly tester: Tester;
  readonly asked: Binding | undefined;
  readonly grants: Grants;
  readonly fault: ScriptFault | null;
  /** Files whose change is a reason to test again. */
  readonly inputs: readonly string[];
  readonly close: () => Promise<void>;
}

/** @throws {UsageError} */
export async function prepareBench(inputs: RoundInputs): Promise<Bench> {
  const { flags, loaded, context } = inputs;
  return {
    ...inputs,
    session: readSession(flags, loaded.config),
    answers: await GivenAnswers.read(flags.answers, context),
  };
}

export async function runRound(
  bench: Bench,
  sources: readonly MailSource[],
): Promise<{ readonly status: ExitStatus; readonly watched: readonly string[] }> {
  const { flags, context, session } = bench;
  const { out, err } = context.terminal;
  const prepared = await prepare(bench);
  const { tester, asked } = prepared;
  const progress = new Progress(context.terminal, { what: "messages", total: sources.length });
  const kept: TestResult[] = [];
  const verdicts = new Map<string, number>();
  let faults = 0;
  let unmatched = 0;
  try {
    for (const [i, source] of sources.entries()) {
      const message = createTestMessage(await source.read(), session, i + 1);
      const { event } = session;
      const run = prepared.fault
        ? unrunnable(prepared.fault, { file: source.name, script: prepared.name, message, event })
        : await tester.run(message, { file: source.name, asked, event, answers: bench.answers.next(prepared.grants) });
      const { result } = run;
      verdicts.set(result.verdict.kind, (verdicts.get(result.verdict.kind) ?? 0) + 1);
      if (result.fault) faults++;
      else if (!result.matched) unmatched++;
      if (flags.expect !== undefined) kept.push(result);
      const writtenTo =
        flags.output === undefined
          ? null
          : await writeSpooled(run, source, { folder: resolve(context.cwd, flags.output), number: i + 1 });
      progress.clear();
      if (flags.json) out.write(`${JSON.stringify(result)}\n`);
      // A whole mailbox of messages the script is not asked about is no news.
      else if (sources.length === 1 || result.matched || result.fault)
        out.write(formatRun(run, { steps: flags.pipeline ? tester.steps : null, writtenTo }, out));
      progress.update(i + 1);
    }
  } finally {
    progress.clear();
    await prepared.close();
  }
  if (sources.length > 1) err.write(formatSummary({ verdicts, faults, unmatched }, err));
  const holds = flags.expect === undefined || (await meetsExpectation(kept, flags.expect, bench));
  const watched = [
    ...prepared.inputs,
    ...sources.flatMap((source) => source.path ?? []),
    ...[flags.expect, flags.answers].flatMap((file) => (file === undefined ? [] : [resolve(context.cwd, file)])),
  ];
  // With an expectation it alone decides: a fault may be what is expected.
  const failed = flags.expect === undefined ? faults > 0 : !holds;
  return { status: failed ? exitStatus.failed : exitStatus.done, watched };
}

async function prepare(bench: Bench): Promise<Prepared> {
  return bench.script === undefined ? await prepareList(bench) : await prepareScript(bench, bench.script);
}

/** All sinks and scripts of the configuration, in their order. */
async function prepareList({ loaded, sandbox, session, context, flags }: Bench): Promise<Prepared> {
  const { config } = loaded;
  const { err } = context.terminal;
  const [{ bindSite }, open] = await Promise.all([import("../main-stage.ts"), sandbox]);
  const limits = limitsOf(config);
  const site = await bindSite(loaded, open, limits);
  const recorder = RunRecorder.of(open, flags.record, context);
  const tester = new Tester({ sandbox: recorder ?? open, limits, createMaker: makerOf(config) });
  tester.dispatcher.replaceBindings(site.bindings);
  const grants: Grants[] = [];
  for (const { name, event, enabled, target } of site.bindings) {
    if (target.kind === "script") grants.push(target.grants ?? {});
    // What cannot run is left out, as the server does.
    if (enabled && event === (session.event ?? "onArrival") && target.kind === "broken")
      err.write(`${err.paint("red", "left out")} ${plain(name)}: it cannot run: ${plain(target.reason)}\n`);
  }
  return {
    name: "pipeline",
    tester,
    asked: undefined,
    grants: {
      http: grants.flatMap(({ http = [] }) => http),
      secrets: grants.flatMap(({ secrets = [] }) => secrets),
    },
    fault: null,
    inputs: [config.scripts.folder],
    close: async () => {
      await new Promise<void>((resolve) => tester.dispatcher.replaceBindings([], resolve));
      await site.close();
    },
  };
}

async function prepareScript({ loaded, sandbox, session, context, flags }: Bench, script: string): Promise<Prepared> {
  const { config } = loaded;
  const file = resolve(context.cwd, script);
  const root = rootOf(file, config.scripts.folder);
  const limits = limitsOf(config);
  const shared = { name: `${basename(root)}/${relative(root, file)}`, inputs: [file], close: async () => {} };
  // While the sandbox starts.
  const compiling = compileScript({ root, file, packages: config.scripts.packages });
  const [open, compiled] = await Promise.allSettled([sandbox, compiling]);
  if (open.status === "rejected") throw open.reason;
  const recorder = RunRecorder.of(open.value, flags.record, context);
  const tester = new Tester({ sandbox: recorder ?? open.value, limits, createMaker: makerOf(config) });
  try {
    if (compiled.status === "rejected") throw compiled.reason;
    const exports = await open.value.load(compiled.value, limits);
    const asked = bindingOf(compiled.value, exports, session.event);
    tester.dispatcher.replaceBindings([asked]);
    return {
      ...shared,
      tester,
      asked,
      grants: exports.grants ?? {},
      fault: null,
      inputs: compiled.value.inputs,
      close: async () => open.value.unload(compiled.value.version),
    };
  } catch (error) {
    const nothing = { ...shared, tester, asked: undefined, grants: {} };
    if (error instanceof ScriptFaultError) return { ...nothing, fault: error.fault };
    if (error instanceof Fault)
      return { ...nothing, fault: { code: "script.exports", message: error.message, at: null, stack: "" } };
    throw error;
  }
}

/** Writes the expectation or compares with it. */
async function meetsExpectation(
  results: readonly TestResult[],
  expectFile: string,
  { flags, context }: Bench,
): Promise<boolean> {
  const { out, err } = context.terminal;
  const path = resolve(context.cwd, expectFile);
  const found = expectationOf(results, { expectFile, cwd: context.cwd });
  if (flags.update) {
    await writeFile(path, `${JSON.stringify(found, null, 2)}\n`);
    err.write(`wrote ${expectFile}\n`);
    return true;
  }
  const text = await readFile(path, "utf8").catch(() => {
    throw new UsageError(
      `Cannot read the expectation ${expectFile}: there is no such file`,
      "--update writes it from what the test gives now",
    );
  });
  let expected: unknown;
  try {
    expected = JSON.parse(text);
  } catch {
    throw new UsageError(`Cannot read the expectation ${expectFile}: it is not JSON`, "--update writes it anew");
  }
  const expectedCount = Array.isArray(expected) ? expected.length : 1;
  if (expectedCount !== results.length) {
    throw new UsageError(
      `Cannot compare: ${expectFile} is about ${expectedCount === 1 ? "1 message" : `${expectedCount} messages`}, and ${results.length} were tested`,
    );
  }
  const differences = compare(expected, found);
  // With --json standard output is for results alone.
  const target = flags.json ? err : out;
  target.write(
    differences.length === 0
      ? `${target.paint("green", "as expected")} by ${expectFile}\n`
      : formatDifferences(differences, expectFile, target),
  );
  return differences.length === 0;
}

/** The message as it would be spooled, without the trace fields a session adds. Gives the file's path; null where nothing would be spooled. */
async function writeSpooled(
  { spooled }: TestRun,
  source: MailSource,
  options: { readonly folder: string; readonly number: number },
): Promise<string | null> {
  if (spooled === null) return null;
  await mkdir(options.folder, { recursive: true });
  const stem = basename(source.name === "-" ? "stdin" : source.name)
    .replace(/\.eml$/i, "")
    .replace(/[^\w.#@+-]/g, "_");
  const path = join(options.folder, `${String(options.number).padStart(4, "0")}-${stem}.eml`);
  const pieces: Buffer[] = [];
  for await (const piece of spooled.chunks()) pieces.push(piece);
  await writeFile(path, pieces);
  return path;
}
