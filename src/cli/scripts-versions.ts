/** `onarrival scripts history` and `diff`: what was live when, and what differs. They read the data folder, and need no server. */
import { join } from "node:path";
import { compileScript, stopCompiler } from "../../sandbox/compile.ts";
import type { CompiledScript } from "../../sandbox/protocol.ts";
import { readScriptFile } from "../../sandbox/script-files.ts";
import type { Config } from "../config/schema.ts";
import { createLog } from "../platform/log.ts";
import { describeGrants } from "../scripting/grants.ts";
import { findVersion } from "../scripting/version-words.ts";
import { type ScriptHistory, VersionStore } from "../scripting/versions.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { findScript, knownScripts } from "./script-names.ts";
import { shortVersion } from "./script-places.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { formatDistance, formatTable } from "./table.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";
import { unifiedDiff } from "./unified-diff.ts";

type Flags = SettingsFlags & { readonly json?: boolean };

/** One time that a version went live. */
interface HistoryLine {
  readonly script: string;
  readonly version: string;
  /** RFC 3339. */
  readonly at: string;
  readonly author: string | null;
  readonly by: string;
  /** Whether it runs now, or ran when the server stopped. */
  readonly live: boolean;
  readonly pinned: boolean;
  /** What it asks for, in words. */
  readonly grants: readonly string[];
}

/** What a side of a difference is made of: texts of files by their names. */
type Sources = Readonly<Record<string, string>>;

export async function showHistory(name: string, flags: Flags, context: CommandContext): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const { out, err } = context.terminal;
  const { versions, history } = await openHistory(name, config);
  const lines = await linesOf(history, versions);
  if (flags.json) for (const line of lines) out.write(`${JSON.stringify(line)}\n`);
  else if (lines.length === 0) err.write(`No version of ${plain(history.script)} was ever live.\n`);
  else {
    out.write(formatHistory(lines, Date.now(), out));
    if (history.removedAt !== null)
      err.write(`The file is gone since ${formatDistance(new Date(history.removedAt).toISOString(), Date.now())}.\n`);
  }
  return exitStatus.done;
}

/** Latest first. */
function formatHistory(lines: readonly HistoryLine[], nowMs: number, out: Output): string {
  const rows = lines.map(({ version, at, author, by, live, pinned, grants }) => [
    shortVersion(version),
    live ? out.paint("green", pinned ? "live, pinned" : "live") : "",
    formatDistance(at, nowMs),
    by,
    plain(author ?? "?"),
    plain(grants.join("; ")),
  ]);
  return formatTable(["version", "", "since", "by", "author", "grants"], rows, out);
}

/**
 * Without versions: what runs against the file; where these are the same, the version before against what runs. With one: that against what runs.
 * `file` and `live` name those two.
 */
export async function diffScript(
  name: string,
  wanted: readonly string[],
  flags: Flags,
  context: CommandContext,
): Promise<ExitStatus> {
  if (wanted.length > 2) throw new UsageError("Cannot compare more than two versions");
  const { config } = loadSettings(flags, context);
  const { out, err } = context.terminal;
  const { versions, history } = await openHistory(name, config);
  const { script, live, activations } = history;
  const kept = async (version: string): Promise<Side> => {
    const found = await versions.version(script, version);
    if (!found) throw new UsageError(`Version ${shortVersion(version)} of ${script} cannot be read any more`);
    return { title: shortVersion(version), version, sources: textsOf(found.compiled) };
  };
  const running = async (): Promise<Side> => {
    if (live === null) throw new UsageError(`No version of ${script} runs`);
    return await kept(live);
  };
  const sideOf = async (word: string): Promise<Side> => {
    if (word === "file") return await savedSide(script, config, live === null ? undefined : await kept(live));
    if (word === "live") return await running();
    return await kept(findVersion(script, activations, word, live));
  };
  const [first, second] = wanted;
  let sides: readonly [Side, Side];
  if (first !== undefined) sides = [await sideOf(first), second === undefined ? await running() : await sideOf(second)];
  else {
    sides = [await running(), await sideOf("file")];
    // What is saved runs: then the last change is what can be meant.
    const before = [...activations].reverse().find(({ version }) => version !== live)?.version;
    if (sameSources(...sides) && before !== undefined) sides = [await kept(before), sides[0]];
  }
  const [from, to] = sides;
  const text = diffSources(from, to, out);
  if (flags.json) out.write(`${JSON.stringify({ script, from: from.version, to: to.version, diff: text })}\n`);
  else if (text === "") err.write(`${from.title} and ${to.title} of ${plain(script)} are the same.\n`);
  else out.write(text);
  return exitStatus.done;
}

interface Side {
  /** A short version, or `file`. */
  readonly title: string;
  /** null: a file that was not live. */
  readonly version: string | null;
  readonly sources: Sources;
}

/** The file as it is, with what it imports; where it cannot be compiled, with what the other side imports. */
async function savedSide(
  script: string,
  { scripts: { folder, packages } }: Config,
  other: Side | undefined,
): Promise<Side> {
  const pathOf = (name: string) => join(folder, name.slice(name.indexOf("/") + 1));
  try {
    const compiled = await compileScript({ root: folder, file: pathOf(script), packages });
    return { title: "file", version: compiled.version, sources: textsOf(compiled) };
  } catch {
    const sources: Record<string, string> = {};
    for (const name of new Set([script, ...Object.keys(other?.sources ?? {})])) {
      const text = await readScriptFile(folder, pathOf(name)).catch(() => undefined);
      if (text !== undefined) sources[name] = text;
    }
    return { title: "file", version: null, sources };
  } finally {
    await stopCompiler();
  }
}

/** Its files; and a line for each package, whose own files nobody wants to read here. */
function textsOf({ sources, packages = [] }: CompiledScript): Sources {
  return packages.length === 0 ? sources : { ...sources, "npm packages": `${packages.join("\n")}\n` };
}

function diffSources(from: Side, to: Side, out: Output): string {
  const names = [...new Set([...Object.keys(from.sources), ...Object.keys(to.sources)])].sort();
  return names
    .map((name) =>
      unifiedDiff(
        { title: `${plain(name)} (${from.title})`, text: from.sources[name] ?? null },
        { title: `${plain(name)} (${to.title})`, text: to.sources[name] ?? null },
        out,
      ),
    )
    .join("");
}

function sameSources({ sources: one }: Side, { sources: other }: Side): boolean {
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}

async function linesOf({ script, live, pinned, activations }: ScriptHistory, versions: VersionStore) {
  const lines: HistoryLine[] = [];
  const latest = activations.findLastIndex(({ version }) => version === live);
  for (const [index, { version, at, author, by }] of activations.entries()) {
    const kept = await versions.version(script, version);
    // One that cannot be read was told, and is nothing to go back to.
    if (!kept) continue;
    const isLive = index === latest;
    lines.push({
      script,
      version,
      at: new Date(at).toISOString(),
      author,
      by,
      live: isLive,
      pinned: isLive && pinned !== null,
      grants: describeGrants(kept.grants),
    });
  }
  return lines.reverse();
}

/** @throws {UsageError} where there is no such script */
async function openHistory(name: string, config: Config) {
  const { folder } = config.scripts;
  const versions = new VersionStore({
    folder: join(config.data, "scripts"),
    versionsMax: () => config.scripts.versionsMax,
    log: createLog({ level: "warn", destination: process.stderr }),
  });
  const script = findScript(name, await knownScripts(folder, versions));
  return { versions, history: await versions.history(script) };
}
