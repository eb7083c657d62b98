/** `onarrival scripts list`: which version of each script runs, and why one does not. Asks the server. */
import type { ScriptView } from "../admin/server-view.ts";
import { askServer } from "./control-client.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { shortVersion } from "./script-places.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { formatTable } from "./table.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";

type Flags = SettingsFlags & { readonly json?: boolean };

export async function listScriptStates(flags: Flags, context: CommandContext): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const { scripts } = await askServer<{ scripts: readonly ScriptView[] }>({
    data: config.data,
    cwd: context.cwd,
    path: "/api/v1/scripts",
  });
  const { out, err } = context.terminal;
  if (flags.json) for (const script of scripts) out.write(`${JSON.stringify(script)}\n`);
  else if (scripts.length === 0) err.write(`There are no scripts in ${config.scripts.folder}.\n`);
  else out.write(formatScripts(scripts, out));
  return exitStatus.done;
}

/** A line for each script, and below it why an edit does not run or how the last failed run failed. */
export function formatScripts(scripts: readonly ScriptView[], out: Output): string {
  const rows = scripts.map((script) => [
    plain(script.name),
    out.paint(stateStyles[script.state], script.state),
    shortVersion(script.version),
    String(script.priority),
    String(script.runs),
    script.faults === 0 ? "0" : out.paint("red", String(script.faults)),
    plain(script.rule ?? ""),
  ]);
  const [head, ...lines] = formatTable(
    ["script", "state", "version", "priority", "runs", "faults", "rule"],
    rows,
    out,
  ).split("\n");
  const text = [head!];
  for (const [i, script] of scripts.entries()) {
    text.push(lines[i]!);
    if (script.pinned) {
      const { time, author } = script.pinned;
      text.push(
        out.paint(
          "dim",
          `  pinned since ${plain(time)}${author === null ? "" : ` by ${plain(author)}`}: its file says otherwise`,
        ),
      );
    }
    const [warning, ...more] = script.warnings;
    if (warning !== undefined) {
      const others = more.length === 0 ? "" : ` (and ${more.length} more)`;
      text.push(`  ${out.paint("yellow", "warning")} ${plain(warning)}${others}`);
    }
    if (script.lastFault === null) continue;
    const { code, message, at } = script.lastFault;
    const runs = script.state === "broken-edit" || (script.state === "pending" && script.version !== null);
    const kept = runs ? out.paint("dim", " (the version before runs)") : "";
    text.push(`  ${out.paint("red", code)} ${at === null ? "" : `${plain(at)}: `}${plain(message)}${kept}`);
  }
  return `${text.join("\n")}\n`;
}

const stateStyles = {
  live: "green",
  "broken-edit": "yellow",
  pending: "yellow",
  pinned: "yellow",
  broken: "red",
  suspended: "red",
  disabled: "dim",
} as const;
