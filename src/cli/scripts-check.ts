/**
 * `onarrival scripts check`: compiles and loads each file as the server would, with its limits, checks its types and reviews it. Needs no server, and
 * changes nothing.
 */
import { basename, relative, resolve } from "node:path";
import { compileScript, stopCompiler } from "../../sandbox/compile.ts";
import { Sandbox } from "../../sandbox/host.ts";
import { type CompiledScript, defaultLimits, type ScriptExports, ScriptFaultError } from "../../sandbox/protocol.ts";
import { listScripts } from "../../sandbox/watch.ts";
import type { Config } from "../config/schema.ts";
import { parseRule } from "../events/rule.ts";
import { systemClock } from "../platform/clock.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { checkCeiling, describeGrants } from "../scripting/grants.ts";
import { describeNoReview, reviewScript } from "../scripting/review.ts";
import { checkBindings } from "../scripting/script-bindings.ts";
import { TypeChecker } from "../scripting/typecheck.ts";
import { placeOf } from "../scripting/typecheck-gate.ts";
import { staleDeclarations } from "./declarations.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { rootOf } from "./script-places.ts";
import { formatCheck, type ScriptCheck, type ScriptFinding } from "./scripts-check-report.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import type { CommandContext } from "./terminal.ts";

export async function checkScripts(
  files: readonly string[],
  flags: SettingsFlags & { readonly json?: boolean },
  context: CommandContext,
): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const { out, err } = context.terminal;
  const { folder } = config.scripts;
  const paths =
    files.length > 0
      ? files.map((file) => resolve(context.cwd, file))
      : await listScripts(folder).catch((error: unknown) => {
          throw new UsageError(`Cannot read the scripts folder ${folder}: ${describeThrown(error)}`);
        });
  if (paths.length === 0) err.write(`There are no scripts in ${folder}.\n`);
  const notes = new Set<string>();
  const loaded = await loadScripts(paths, config);
  const types = await checkTypes(loaded, config, notes);
  const checks = loaded.map((one, at) => checkOf(one, types[at]!, config, notes));
  const nameWidth = Math.max(0, ...checks.map(({ script }) => script.length));
  for (const check of checks) out.write(flags.json ? `${JSON.stringify(check)}\n` : formatCheck(check, out, nameWidth));
  const stale = await staleDeclarations(folder);
  if (stale !== null) {
    const near = relative(context.cwd, stale);
    notes.add(
      `The declarations your editor reads are of another edition: onarrival types${near === "" ? "" : ` ${near}`}`,
    );
  }
  for (const note of notes) err.write(`${err.paint("yellow", "warning:")} ${note}\n`);
  const failed = checks.filter(({ ok }) => !ok).length;
  const findings = checks.reduce((sum, one) => sum + one.findings.length, 0);
  if (!flags.json && paths.length > 1) {
    const found = findings === 0 ? "" : findings === 1 ? "; 1 finding" : `; ${findings} findings`;
    err.write(`${paths.length - failed} of ${paths.length} can run${found}\n`);
  }
  return failed === 0 && findings === 0 ? exitStatus.done : exitStatus.failed;
}

/** A file that can run, or why it cannot. */
type Loaded = { readonly path: string; readonly script: string } & (
  | { readonly fault: null; readonly compiled: CompiledScript; readonly exports: ScriptExports }
  | { readonly fault: NonNullable<ScriptCheck["fault"]> }
);

async function loadScripts(paths: readonly string[], config: Config): Promise<readonly Loaded[]> {
  const sandbox = await Sandbox.start({
    processes: 1,
    limits: { ...defaultLimits, ...config.scripts.limits },
    rssMiBMax: config.scripts.rssMiBMax,
  });
  const loaded: Loaded[] = [];
  try {
    for (const path of paths) loaded.push(await loadScript(path, config, sandbox));
  } finally {
    await sandbox.close();
    await stopCompiler();
  }
  return loaded;
}

async function loadScript(
  path: string,
  { scripts: { folder, grants: limits, packages }, domains }: Config,
  sandbox: Pick<Sandbox, "load">,
): Promise<Loaded> {
  const one = { path, script: nameOf(path, folder) };
  try {
    const compiled = await compileScript({ root: rootOf(path, folder), file: path, packages });
    const exports = await sandbox.load(compiled);
    const rule = exports.rule === undefined ? null : parseRule(exports.rule);
    checkBindings(compiled.name, { version: compiled.version, exports, rule, since: 0 });
    checkCeiling(compiled.name, exports.grants ?? {}, limits, (domain) => domains.local.includes(domain));
    return { ...one, fault: null, compiled, exports };
  } catch (error) {
    if (error instanceof ScriptFaultError) return { ...one, fault: error.fault };
    // Of an export, which has no place of its own.
    if (error instanceof Fault)
      return { ...one, fault: { code: error.code, message: error.message, at: null, stack: "" } };
    throw error;
  }
}

/** Type errors of each script, all found by one run of the compiler. */
async function checkTypes(
  loaded: readonly Loaded[],
  { scripts: { folder, types } }: Config,
  notes: Set<string>,
): Promise<readonly (readonly ScriptFinding[])[]> {
  if (types === "off") return loaded.map(() => []);
  const checker = new TypeChecker({ clock: systemClock });
  const checked = loaded.map(async (one): Promise<readonly ScriptFinding[]> => {
    if (one.fault !== null) return [];
    const answer = await checker.check(one.compiled.inputs);
    if (answer.kind !== "checked") {
      notes.add(`The types were not checked: ${answer.reason}`);
      return [];
    }
    return answer.problems.map((problem) => ({
      code: problem.code,
      message: problem.message,
      advice: null,
      at: placeOf(problem, rootOf(one.path, folder)),
    }));
  });
  return await Promise.all(checked);
}

function checkOf(one: Loaded, types: readonly ScriptFinding[], { scripts }: Config, notes: Set<string>): ScriptCheck {
  const { script, fault } = one;
  if (fault !== null) {
    const nothing = { version: null, events: [], priority: null, rule: null, onFault: null, enabled: null, grants: [] };
    return { script, ok: false, ...nothing, findings: [], fault };
  }
  const { compiled, exports } = one;
  const findings: ScriptFinding[] = [...types];
  try {
    findings.push(...reviewScript({ compiled, exports }));
  } catch (error) {
    notes.add(`${script}: ${describeNoReview(error)}`);
  }
  const [first] = types;
  const isBlocked = scripts.types === "block" && first !== undefined;
  return {
    script: compiled.name,
    ok: !isBlocked,
    version: compiled.version,
    events: exports.handlers,
    priority: exports.priority ?? null,
    rule: exports.rule ?? null,
    onFault: exports.onFault ?? null,
    enabled: exports.enabled ?? null,
    grants: describeGrants(exports.grants ?? {}),
    findings,
    fault: isBlocked ? { code: "script.types", message: first.message, at: first.at, stack: "" } : null,
  };
}

/** `scripts/tag-external.ts`, as listings and the log call it. */
function nameOf(path: string, folder: string): string {
  const root = rootOf(path, folder);
  return `${basename(root)}/${relative(root, path)}`;
}
