/**
 * `onarrival test`: runs a script, or the whole list of the configuration, on messages from files, and says what it would do. Nothing
 * leaves the machine and nothing is spooled.
 */
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { buffer } from "node:stream/consumers";
import { compileScript, stopCompiler } from "../../sandbox/compile.ts";
import { Sandbox } from "../../sandbox/host.ts";
import { defaultLimits, type ScriptFault, ScriptFaultError, type ScriptLimits } from "../../sandbox/protocol.ts";
import type { LoadedConfig } from "../config/load.ts";
import type { Binding } from "../events/binding.ts";
import { Fault } from "../platform/fault.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { reportFailure, UsageError } from "./failure.ts";
import { listMail, type MailSource } from "./mail-source.ts";
import { Progress } from "./progress.ts";
import { rootOf } from "./scripts-check.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { type CommandContext, plain } from "./terminal.ts";
import { formatDifferences, formatRun, formatSummary } from "./test-report.ts";
import { compare, expectationOf, type TestResult } from "./test-result.ts";
import { bindingOf, createTestMessage, Tester, type TestRun, type TestSession, unrunnable } from "./test-run.ts";
import { readSession, type SessionFlags } from "./test-session.ts";
import { watchFiles } from "./test-watch.ts";

export interface TestFlags extends SettingsFlags, SessionFlags {
  readonly json?: boolean;
  readonly watch?: boolean;
  readonly expect?: string;
  readonly update?: boolean;
  readonly output?: string;
  readonly pipeline?: boolean;
}

/** @param args The script and the messages; with `--pipeline` messages alone. @throws {UsageError} */
export async function test(args: readonly string[], flags: TestFlags, context: CommandContext): Promise<ExitStatus> {
  const [script, mail] = flags.pipeline ? [undefined, args] : [args[0], args.slice(1)];
  if (mail.length === 0)
    throw new UsageError(
      "There is no message to test with: expected files, folders, an mbox, or - for standard input",
      "onarrival test scripts/tag-external.ts mail.eml",
    );
  if (flags.update && flags.expect === undefined)
    throw new UsageError("--update says what to write, and --expect FILE where: expected both");
  const loaded = loadSettings(flags, context);
  const { config } = loaded;
  const session = readSession(flags, config);
  const limits: ScriptLimits = { ...defaultLimits, ...config.scripts.limits };
  const inputs: Inputs = { context, script, mail, stdin: once(() => readStdin(context)) };
  // What can be wrong with the command is found before anything is started.
  const sources = await findMail(inputs);
  const sandbox = await Sandbox.start({ processes: 1, limits, rssMiBMax: config.scripts.rssMiBMax });
  const bench: Bench = { ...inputs, flags, loaded, session, limits, sandbox };
  try {
    let startedAt = Date.now();
    let round = await runOnce(bench, sources);
    while (flags.watch) {
      context.terminal.err.write(context.terminal.err.paint("dim", "Watching; Ctrl-C ends.\n"));
      await watchFiles(round.watched, startedAt);
      if (!flags.json) context.terminal.out.write("\n");
      startedAt = Date.now();
      const { watched } = round;
      round = await findMail(inputs)
        .then((found) => runOnce(bench, found))
        .catch((error: unknown) => {
          // A file that is gone for the moment is back with the next save.
          if (!(error instanceof UsageError)) throw error;
          return { status: reportFailure(error, context.terminal), watched };
        });
    }
    return round.status;
  } finally {
    await sandbox.close();
    await stopCompiler();
  }
}

interface Inputs {
  readonly context: CommandContext;
  readonly script: string | undefined;
  readonly mail: readonly string[];
  readonly stdin: () => Promise<Buffer>;
}

interface Bench extends Inputs {
  readonly flags: TestFlags;
  readonly loaded: LoadedConfig;
  readonly session: TestSession;
  readonly limits: ScriptLimits;
  readonly sandbox: Sandbox;
}

/** What is tested: one script that can run or cannot, or the whole list. */
interface Prepared {
  readonly name: string;
  readonly asked: Binding | undefined;
  readonly fault: ScriptFault | null;
  /** Files whose change is a reason to test again. */
  readonly inputs: readonly string[];
  readonly close: () => Promise<void>;
}

/** The messages, one at least; and the script is there. @throws {UsageError} */
async function findMail({ context: { cwd }, script, mail, stdin }: Inputs): Promise<MailSource[]> {
  if (script !== undefined && !existsSync(resolve(cwd, script))) {
    throw new UsageError(`Cannot read the script ${script}: there is no such file`);
  }
  const sources = await listMail(mail, { cwd, stdin });
  if (sources.length > 0) return sources;
  throw new UsageError(`There is no message in ${mail.join(", ")}: expected .eml or .mbox files, or a Maildir`);
}

async function runOnce(
  bench: Bench,
  sources: readonly MailSource[],
): Promise<{ readonly status: ExitStatus; readonly watched: readonly string[] }> {
  const { flags, context, session } = bench;
  const { out } = context.terminal;
  const tester = new Tester(bench);
  const prepared = await prepare(bench, tester);
  const progress = new Progress(context.terminal, { what: "messages", total: sources.length });
  const kept: TestResult[] = [];
  const verdicts = new Map<string, number>();
  let faults = 0;
  let unmatched = 0;
  try {
    for (const [i, source] of sources.entries()) {
      const message = createTestMessage(await source.read(), session, i + 1);
      const run = prepared.fault
        ? unrunnable(prepared.fault, { file: source.name, script: prepared.name, message })
        : await tester.run(message, { file: source.name, asked: prepared.asked });
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
        out.write(formatRun(run, { steps: bench.flags.pipeline ? tester.steps : null, writtenTo }, out));
      progress.update(i + 1);
    }
  } finally {
    progress.clear();
    await prepared.close();
  }
  if (sources.length > 1)
    context.terminal.err.write(formatSummary({ verdicts, faults, unmatched }, context.terminal.err));
  const holds = flags.expect === undefined || (await meetsExpectation(kept, flags.expect, bench));
  const watched = [
    ...prepared.inputs,
    ...sources.flatMap((source) => source.path ?? []),
    ...(flags.expect === undefined ? [] : [resolve(context.cwd, flags.expect)]),
  ];
  // With an expectation it alone decides: a fault may be what is expected.
  const failed = flags.expect === undefined ? faults > 0 : !holds;
  return { status: failed ? exitStatus.failed : exitStatus.done, watched };
}

async function prepare(bench: Bench, tester: Tester): Promise<Prepared> {
  const { loaded, sandbox, limits, script, context } = bench;
  const { config } = loaded;
  const { err } = context.terminal;
  if (script === undefined) {
    const { bindSite } = await import("../main-stage.ts");
    const site = await bindSite(loaded, sandbox, limits);
    tester.dispatcher.replaceBindings(site.bindings);
    for (const { name, event, enabled, target } of site.bindings) {
      // What cannot run is left out, as the server does.
      if (enabled && event === "onArrival" && target.kind === "broken")
        err.write(`${err.paint("red", "left out")} ${plain(name)}: it cannot run: ${plain(target.reason)}\n`);
    }
    return {
      name: "pipeline",
      asked: undefined,
      fault: null,
      inputs: [config.scripts.folder],
      close: async () => {
        await new Promise<void>((resolve) => tester.dispatcher.replaceBindings([], resolve));
        await site.close();
      },
    };
  }
  const file = resolve(context.cwd, script);
  const root = rootOf(file, config.scripts.folder);
  const shared = { name: `${basename(root)}/${basename(file)}`, inputs: [file], close: async () => {} };
  try {
    const compiled = await compileScript({ root, file });
    const asked = bindingOf(compiled, await sandbox.load(compiled, limits));
    tester.dispatcher.replaceBindings([asked]);
    return {
      ...shared,
      asked,
      fault: null,
      inputs: compiled.inputs,
      close: async () => sandbox.unload(compiled.version),
    };
  } catch (error) {
    if (error instanceof ScriptFaultError) return { ...shared, asked: undefined, fault: error.fault };
    if (error instanceof Fault)
      return {
        ...shared,
        asked: undefined,
        fault: { code: "script.exports", message: error.message, at: null, stack: "" },
      };
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

async function readStdin({ terminal }: CommandContext): Promise<Buffer> {
  if (process.stdin.isTTY) terminal.err.write("Reading a message from standard input; Ctrl-D ends it.\n");
  return await buffer(process.stdin);
}

/** Standard input can be read once; a test that is repeated uses what was read. */
function once(read: () => Promise<Buffer>): () => Promise<Buffer> {
  let result: Promise<Buffer> | undefined;
  return () => (result ??= read());
}
