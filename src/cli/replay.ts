/**
 * `onarrival replay`: runs recorded runs again, through the version they were recorded with or through another one, and says what is different. Every run gets a
 * fresh isolate and hears what the record says; nothing outside is asked. Needs no server.
 */
import { readdir, stat } from "node:fs/promises";
import { basename, join, relative, resolve } from "node:path";
import { compileScript, stopCompiler } from "../../sandbox/compile.ts";
import type { Sandbox } from "../../sandbox/host.ts";
import { type CompiledScript, ScriptFaultError } from "../../sandbox/protocol.ts";
import { replayRequest } from "../../sandbox/record.ts";
import type { Config } from "../config/schema.ts";
import { compare, type Difference } from "../main-test-result.ts";
import { Fault } from "../platform/fault.ts";
import { type PlainResult, plainResult, type RecordedRun, readRun } from "../scripting/records.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { describeStep } from "./replay-steps.ts";
import { rootOf, shortVersion } from "./script-places.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";
import { limitsOf, openSandbox } from "./test-bench.ts";
import { formatDifferences } from "./test-report.ts";

export interface ReplayFlags extends SettingsFlags {
  /** Another version of the script that was recorded. */
  readonly script?: string;
  readonly json?: boolean;
}

/** A line of `--json`. */
interface Replay {
  readonly file: string;
  readonly script: string;
  readonly recorded: string;
  readonly replayed: string;
  readonly event: string;
  readonly message: string | null;
  readonly same: boolean;
  /** By step: verdict, envelope, fields, parts, submissions, log, fault. */
  readonly differences: readonly Difference[];
}

/** @param files Records, or folders of them. @throws {UsageError}, {Fault} `script.record-invalid` */
export async function replay(
  files: readonly string[],
  flags: ReplayFlags,
  context: CommandContext,
): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const { out, err } = context.terminal;
  const paths = await findRecords(files, context.cwd);
  const other = flags.script === undefined ? null : await compileOther(flags.script, config, context);
  const sandbox = await openSandbox(config);
  let differing = 0;
  try {
    for (const path of paths) {
      const shown = relative(context.cwd, path).startsWith("..") ? path : relative(context.cwd, path);
      const found = await replayOne(await readRun(path), { file: shown, other, sandbox, config });
      if (!found.same) differing++;
      out.write(flags.json ? `${JSON.stringify(found)}\n` : formatReplay(found, out));
    }
  } finally {
    await sandbox.close();
    await stopCompiler();
  }
  if (!flags.json && paths.length > 1) err.write(`${paths.length - differing} of ${paths.length} the same\n`);
  return differing === 0 ? exitStatus.done : exitStatus.failed;
}

async function findRecords(files: readonly string[], cwd: string): Promise<string[]> {
  const paths: string[] = [];
  for (const file of files) {
    const path = resolve(cwd, file);
    const facts = await stat(path).catch(() => {
      throw new UsageError(`Cannot read ${file}: there is no such file or folder`);
    });
    if (!facts.isDirectory()) paths.push(path);
    else
      paths.push(
        ...(await readdir(path))
          .filter((name) => name.endsWith(".json"))
          .sort()
          .map((name) => join(path, name)),
      );
  }
  if (paths.length === 0)
    throw new UsageError(
      "There is no record to replay: expected files, or folders of them",
      "onarrival scripts records lists what the server has recorded",
    );
  return paths;
}

async function compileOther(script: string, config: Config, { cwd }: CommandContext): Promise<CompiledScript> {
  const file = resolve(cwd, script);
  const { folder, packages } = config.scripts;
  return await compileScript({ root: rootOf(file, folder), file, packages });
}

async function replayOne(
  { about, scripts, record, results }: RecordedRun,
  options: {
    readonly file: string;
    readonly other: CompiledScript | null;
    readonly sandbox: Sandbox;
    readonly config: Config;
  },
): Promise<Replay> {
  const { file, other, sandbox, config } = options;
  const taken =
    other && (scripts.find(({ name }) => isOf(other, name)) ?? (scripts.length === 1 ? scripts[0] : undefined));
  if (other && !taken)
    throw new UsageError(
      `${file} is a run of ${scripts.map(({ name }) => name).join(", ")}: ${other.name} did not run in it`,
    );
  const loaded: string[] = [];
  const limits = limitsOf(config);
  try {
    for (const script of scripts) {
      const compiled = script === taken ? other! : { inputs: [], ...script };
      await sandbox.load(compiled, record.steps.find(({ version }) => version === script.version)?.limits ?? limits);
      loaded.push(compiled.version);
    }
    const request = replayRequest(record);
    const steps = request.steps.map((step) =>
      taken && step.version === taken.version ? { ...step, version: other!.version } : step,
    );
    const answer = await sandbox.run({ ...request, steps });
    const now = answer.steps.map((step) => withoutVersion(plainResult(step)));
    const before = results.map(withoutVersion);
    const differences = compare(
      before.map((step) => describeStep(step, record.mail)),
      now.map((step) => describeStep(step, record.mail)),
    );
    // Content that is not shown field by field: octets of the body, of attachments, of new messages.
    if (differences.length === 0) differences.push(...compare(before, now));
    return {
      file,
      script: about.script,
      recorded: about.version,
      replayed: taken ? other!.version : about.version,
      event: about.event,
      message: about.message,
      same: differences.length === 0,
      differences,
    };
  } catch (error) {
    if (error instanceof ScriptFaultError)
      throw new Fault(error.fault.code, `${error.message}; it cannot run ${file}`, { cause: error });
    throw error;
  } finally {
    for (const version of loaded) sandbox.unload(version);
  }
}

/** A version that differs is what was asked for, and no difference of its own. */
function withoutVersion({ version: _version, ...result }: PlainResult): Omit<PlainResult, "version"> {
  return result;
}

/** A draft of it has the same file name. */
function isOf({ name }: CompiledScript, recorded: string): boolean {
  return basename(name).replace(/\.\w+$/, "") === basename(recorded).replace(/\.\w+$/, "");
}

function formatReplay(
  { file, script, recorded, replayed, event, message, same, differences }: Replay,
  out: Output,
): string {
  const versions =
    recorded === replayed ? shortVersion(recorded) : `${shortVersion(recorded)} → ${shortVersion(replayed)}`;
  const mark = same ? out.paint("green", "same   ") : out.paint("red", "differs");
  const facts = [script, versions, event, ...(message === null ? [] : [message])].map(plain).join("  ");
  return `${mark} ${plain(file)}  ${out.paint("dim", facts)}\n${same ? "" : formatDifferences(differences, null, out)}`;
}
