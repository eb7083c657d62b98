/** `onarrival scripts check`: compiles and loads each file as the server would, with its limits. Needs no server, and changes nothing. */
import { basename, dirname, relative, resolve } from "node:path";
import { compileScript, stopCompiler } from "../../sandbox/compile.ts";
import { Sandbox } from "../../sandbox/host.ts";
import { defaultLimits, type ScriptFault, ScriptFaultError } from "../../sandbox/protocol.ts";
import { listScripts } from "../../sandbox/watch.ts";
import { parseRule } from "../events/rule.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { shortVersion } from "./scripts.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";

/** How one file fared. */
export interface ScriptCheck {
  readonly script: string;
  readonly ok: boolean;
  readonly version: string | null;
  readonly events: readonly string[];
  readonly priority: number | null;
  readonly rule: string | null;
  readonly onFault: string | null;
  readonly enabled: boolean | null;
  readonly warnings: readonly string[];
  readonly fault: ScriptFault | null;
}

export async function checkScripts(
  files: readonly string[],
  flags: SettingsFlags & { readonly json?: boolean },
  context: CommandContext,
): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const { out, err } = context.terminal;
  const paths =
    files.length > 0
      ? files.map((file) => resolve(context.cwd, file))
      : await listScripts(config.scripts.folder).catch((error: unknown) => {
          throw new UsageError(`Cannot read the scripts folder ${config.scripts.folder}: ${describeThrown(error)}`);
        });
  if (paths.length === 0) err.write(`There are no scripts in ${config.scripts.folder}.\n`);
  const sandbox = await Sandbox.start({
    processes: 1,
    limits: { ...defaultLimits, ...config.scripts.limits },
    rssMiBMax: config.scripts.rssMiBMax,
  });
  let failed = 0;
  const nameWidth = Math.max(0, ...paths.map((path) => nameOf(path, config.scripts.folder).length));
  try {
    for (const path of paths) {
      const check = await checkScript(path, config.scripts.folder, sandbox);
      if (!check.ok) failed++;
      out.write(flags.json ? `${JSON.stringify(check)}\n` : formatCheck(check, out, nameWidth));
    }
  } finally {
    await sandbox.close();
    await stopCompiler();
  }
  if (!flags.json && paths.length > 1) err.write(`${paths.length - failed} of ${paths.length} can run\n`);
  return failed === 0 ? exitStatus.done : exitStatus.failed;
}

async function checkScript(path: string, folder: string, sandbox: Pick<Sandbox, "load">): Promise<ScriptCheck> {
  const root = rootOf(path, folder);
  const nothing = { version: null, events: [], priority: null, rule: null, onFault: null, enabled: null, warnings: [] };
  const script = nameOf(path, folder);
  try {
    const compiled = await compileScript({ root, file: path });
    const exports = await sandbox.load(compiled);
    const rule = exports.rule === undefined ? null : parseRule(exports.rule);
    return {
      script: compiled.name,
      ok: true,
      version: compiled.version,
      events: exports.handlers,
      priority: exports.priority ?? null,
      rule: exports.rule ?? null,
      onFault: exports.onFault ?? null,
      enabled: exports.enabled ?? null,
      warnings: rule?.warnings ?? [],
      fault: null,
    };
  } catch (error) {
    if (error instanceof ScriptFaultError) return { script, ok: false, ...nothing, fault: error.fault };
    // A rule that cannot be read: its text is an export of the script, and has no place of its own.
    if (error instanceof Fault)
      return {
        script,
        ok: false,
        ...nothing,
        fault: { code: "script.exports", message: error.message, at: null, stack: "" },
      };
    throw error;
  }
}

/** `scripts/tag-external.ts`, as listings and the log call it. */
function nameOf(path: string, folder: string): string {
  const root = rootOf(path, folder);
  return `${basename(root)}/${relative(root, path)}`;
}

/** Folder a script's imports may not leave: the configured one where the script is in it, else the script's own. */
export function rootOf(path: string, folder: string): string {
  const below = relative(folder, path);
  return below !== "" && !below.startsWith("..") && !below.startsWith("/") ? folder : dirname(path);
}

export function formatCheck(
  { script, ok, version, events, priority, rule, enabled, warnings, fault }: ScriptCheck,
  out: Output,
  nameWidth = 0,
): string {
  const name = plain(script).padEnd(nameWidth);
  const lines = [];
  if (ok) {
    const facts = [
      events.join(", "),
      ...(priority === null ? [] : [`priority ${priority}`]),
      ...(rule === null ? [] : [`rule ${plain(rule)}`]),
      ...(enabled === false ? ["disabled"] : []),
    ];
    lines.push(
      `${out.paint("green", "ok")}     ${name}  ${out.paint("dim", shortVersion(version))}  ${facts.join(" · ")}`,
    );
  } else {
    lines.push(`${out.paint("red", "broken")} ${name}  ${out.paint("red", fault?.code ?? "")}`);
    lines.push(`       ${fault?.at ? `${plain(fault.at)}: ` : ""}${plain(fault?.message ?? "")}`);
  }
  for (const warning of warnings) lines.push(`       ${out.paint("yellow", "warning")} ${plain(warning)}`);
  return lines.map((line) => `${line}\n`).join("");
}
