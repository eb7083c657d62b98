/** `onarrival scripts log`: the last lines a script logged and how its runs failed; with --follow those to come. */
import type { ScriptLogLine } from "../scripting/script-log.ts";
import { reachServer } from "./bindings-change.ts";
import { followServer } from "./control-stream.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { shortVersion } from "./script-places.ts";
import { scriptNamed } from "./scripts-change.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { type CommandContext, type Output, plain, type Style } from "./terminal.ts";

export interface LogFlags extends SettingsFlags {
  readonly json?: boolean;
  readonly follow?: boolean;
  readonly level?: string;
  readonly lines?: string;
}

/** What a slow reader missed is counted. */
export type LogAnswer = ScriptLogLine | { readonly missed: number };

const levels: readonly string[] = ["debug", "info", "warn", "error"];

/** With --follow until the server stops, or Ctrl-C. @throws {UsageError} */
export async function showScriptLog(name: string, flags: LogFlags, context: CommandContext): Promise<ExitStatus> {
  const { level = "debug", lines = "20" } = flags;
  if (!levels.includes(level)) throw new UsageError(`--level: expected ${levels.join(", ")}`);
  if (!/^\d{1,4}$/.test(lines) || Number(lines) > 1_000) throw new UsageError("--lines: expected a number up to 1000");
  const { config } = loadSettings(flags, context);
  const { name: script } = await scriptNamed(name, reachServer(flags, context));
  const { out, err } = context.terminal;
  const query = new URLSearchParams({ script, level, lines, ...(flags.follow && { follow: "" }) });
  let shown = 0;
  await followServer<LogAnswer>(
    {
      data: config.data,
      cwd: context.cwd,
      path: `/api/v1/scripts/log?${query}`,
      signal: context.signal ?? new AbortController().signal,
    },
    (line) => {
      shown++;
      out.write(flags.json ? `${JSON.stringify(line)}\n` : formatLine(line, out));
    },
    () => {
      if (flags.follow && !flags.json) err.write(err.paint("dim", `Following ${plain(script)}; Ctrl-C ends.\n`));
    },
  );
  if (shown === 0 && !flags.follow && !flags.json)
    err.write(`${plain(script)} has logged nothing since the server started.\n`);
  return exitStatus.done;
}

const styles: Readonly<Record<ScriptLogLine["level"], Style>> = {
  debug: "dim",
  info: "green",
  warn: "yellow",
  error: "red",
};

/** `09:30:01.250 warn  01JABC… a6acbaa  words`; a fault names its code and its place. */
export function formatLine(line: LogAnswer, out: Output): string {
  if ("missed" in line) return `${out.paint("dim", `(${line.missed} lines were too many to follow)`)}\n`;
  const { at, level, about, version, text, fault } = line;
  const time = new Date(at).toISOString().slice(11, 23);
  const place = fault?.at ? `${plain(fault.at)}: ` : "";
  const words = fault ? `${out.paint("red", fault.code)} ${place}${plain(text)}` : plain(text);
  const head = `${out.paint("dim", time)} ${out.paint(styles[level], level.padEnd(5))}`;
  return `${head} ${out.paint("dim", `${plain(about ?? "-")} ${shortVersion(version)}`)}  ${words}\n`;
}
