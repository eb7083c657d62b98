/** `onarrival test --all`: the tests beside a script, or beside every script of the folder. What they are and where they lie: docs/testing.md. */
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { basename, relative, resolve } from "node:path";
import { compileScript, listScripts, stopCompiler } from "../../sandbox/compile.ts";
import type { Sandbox } from "../../sandbox/host.ts";
import { ScriptFaultError } from "../../sandbox/protocol.ts";
import type { LoadedConfig } from "../config/load.ts";
import type { TestBench } from "../main-test-bench.ts";
import { type RanCase, runTestFolder, testFolderOfScript } from "../main-test-cases.ts";
import { updated } from "../main-test-result.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { testFolderOf } from "../scripting/test-folder.ts";
import type { TestOutcome } from "../scripting/test-gate.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { rootOf } from "./script-places.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";
import { limitsOf, makerOf, openSandbox } from "./test-bench.ts";
import { formatDifferences } from "./test-report.ts";
import { watchFiles } from "./test-watch.ts";

export interface TestAllFlags extends SettingsFlags {
  readonly json?: boolean;
  readonly watch?: boolean;
  readonly update?: boolean;
}

/** A line of `--json`. */
interface ToldOutcome extends TestOutcome {
  /** `scripts/tag-external.ts` */
  readonly script: string;
  /** Whether what is expected was written anew. */
  readonly updated: boolean;
}

interface Round {
  readonly held: number;
  readonly failed: number;
  /** Files and folders whose change is a reason to test again. */
  readonly watched: readonly string[];
}

/** @param scripts None: every script of the folder. @throws {UsageError} */
export async function testAll(
  scripts: readonly string[],
  flags: TestAllFlags,
  context: CommandContext,
): Promise<ExitStatus> {
  const loaded = loadSettings(flags, context);
  const { err } = context.terminal;
  for (const script of scripts)
    if (!existsSync(resolve(context.cwd, script)))
      throw new UsageError(`Cannot read the script ${script}: there is no such file`);
  const sandbox = await openSandbox(loaded.config);
  try {
    for (;;) {
      const startedAt = Date.now();
      const { held, failed, watched } = await runRound(scripts, flags, { context, loaded, sandbox });
      if (!flags.json && held + failed > 0) {
        const total = held + failed;
        const count = `${held} of ${total} ${total === 1 ? "test holds" : "tests hold"}`;
        err.write(`${failed > 0 ? err.paint("red", count) : err.paint("green", count)}\n`);
      }
      if (!flags.watch) return failed === 0 ? exitStatus.done : exitStatus.failed;
      err.write(err.paint("dim", "Watching; Ctrl-C ends.\n"));
      await watchFiles(watched, startedAt);
      if (!flags.json) context.terminal.out.write("\n");
    }
  } finally {
    await sandbox.close();
    await stopCompiler();
  }
}

interface Site {
  readonly context: CommandContext;
  readonly loaded: LoadedConfig;
  readonly sandbox: Sandbox;
}

async function runRound(scripts: readonly string[], flags: TestAllFlags, site: Site): Promise<Round> {
  const { context, loaded } = site;
  const { folder } = loaded.config.scripts;
  const files =
    scripts.length > 0
      ? scripts.map((script) => resolve(context.cwd, script))
      : await listScripts(folder).catch((error: unknown) => {
          throw new UsageError(`Cannot read the scripts folder ${folder}: ${describeThrown(error)}`);
        });
  if (files.length === 0) context.terminal.err.write(`There are no scripts in ${folder}.\n`);
  const watched = scripts.length > 0 ? [...files] : [folder];
  let held = 0;
  let failed = 0;
  for (const file of files) {
    watched.push(testFolderOf(file));
    for await (const told of testScript(file, { isNamed: scripts.length > 0, update: flags.update === true }, site)) {
      if (told.ok) held++;
      else failed++;
      tell(told, flags, context.terminal.out);
    }
  }
  return { held, failed, watched: watched.filter((path) => existsSync(path)) };
}

/** Every test of one script. One that cannot be run at all is a test that fails. */
async function* testScript(
  file: string,
  { isNamed, update }: { readonly isNamed: boolean; readonly update: boolean },
  { context, loaded, sandbox }: Site,
): AsyncGenerator<ToldOutcome> {
  const { config } = loaded;
  const root = rootOf(file, config.scripts.folder);
  const script = `${basename(root)}/${relative(root, file)}`;
  const broken = (fault: { readonly message: string; readonly at: string | null }) => {
    const { message, at } = fault;
    return { script, updated: false, name: "the script", ok: false, differences: [], message, at, ms: 0 };
  };
  let version: string | undefined;
  try {
    const found = await testFolderOfScript(file);
    if (!found) {
      const wanted = relative(context.cwd, testFolderOf(file));
      if (isNamed)
        throw new UsageError(
          `There are no tests beside ${script}: expected ${wanted}/ with messages (.eml) or tests (.test.ts)`,
        );
      context.terminal.err.write(`${context.terminal.err.paint("dim", `${plain(script)} has no tests`)}\n`);
      return;
    }
    const { packages } = config.scripts;
    const compiled = await compileScript({ root, file, packages });
    const limits = limitsOf(config);
    const exports = await sandbox.load(compiled, limits);
    version = compiled.version;
    const bench: TestBench = {
      sandbox,
      limits,
      folder: root,
      packages,
      compiled,
      exports,
      listeners: config.listeners.map(({ name }) => name),
      createMaker: makerOf(config),
    };
    for await (const ran of runTestFolder(bench, found))
      yield { script, ...(update ? await updateExpected(ran) : { ...ran.outcome, updated: false }) };
  } catch (error) {
    if (error instanceof ScriptFaultError) yield broken(error.fault);
    else if (error instanceof Fault) yield broken({ message: error.message, at: null });
    else throw error;
  } finally {
    if (version !== undefined) sandbox.unload(version);
  }
}

/** Writes down what was found, where it is not what is expected; a part stays a part. */
async function updateExpected({ outcome, ran }: RanCase): Promise<TestOutcome & { readonly updated: boolean }> {
  const isWritten = ran?.one.expected !== undefined;
  if (!ran || (outcome.ok && isWritten)) return { ...outcome, updated: false };
  const { one, found } = ran;
  const expected = isWritten ? updated(one.expected, found) : found;
  await writeFile(one.expectedFile, `${JSON.stringify(expected, null, 2)}\n`);
  return { ...outcome, ok: true, differences: [], message: null, updated: true };
}

function tell(told: ToldOutcome, { json }: TestAllFlags, out: Output): void {
  if (json) {
    out.write(`${JSON.stringify(told)}\n`);
    return;
  }
  const { script, name, ok, differences, message, at, ms } = told;
  const mark = told.updated
    ? out.paint("yellow", "wrote")
    : ok
      ? out.paint("green", "ok   ")
      : out.paint("red", "fails");
  out.write(
    `${mark} ${out.paint("dim", `${plain(script)}:`)} ${plain(name)}${ms >= 100 ? out.paint("dim", `  ${ms} ms`) : ""}\n`,
  );
  if (message !== null)
    for (const line of `${at === null ? "" : `${at}: `}${message}`.split("\n"))
      out.write(`  ${out.paint("red", plain(line))}\n`);
  if (differences.length > 0) out.write(formatDifferences(differences, null, out));
}
