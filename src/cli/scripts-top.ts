/** `onarrival scripts top`: what the versions of scripts did since the server started, and what they took; the dearest first. */
import { setTimeout as wait } from "node:timers/promises";
import type { ScriptFiguresView } from "../admin/script-watch-control.ts";
import { reachServer } from "./bindings-change.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { shortVersion } from "./script-places.ts";
import type { SettingsFlags } from "./settings.ts";
import { formatTable } from "./table.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";

export interface TopFlags extends SettingsFlags {
  readonly json?: boolean;
  readonly watch?: boolean;
}

const watchMs = 2_000;

/** With --watch until Ctrl-C. */
export async function showTop(flags: TopFlags, context: CommandContext): Promise<ExitStatus> {
  const ask = reachServer(flags, context);
  const { out, err } = context.terminal;
  const { signal = new AbortController().signal } = context;
  for (;;) {
    const { scripts } = await ask<{ scripts: readonly ScriptFiguresView[] }>({ path: "/api/v1/scripts/figures" });
    if (flags.json) for (const script of scripts) out.write(`${JSON.stringify(script)}\n`);
    else if (scripts.length === 0) err.write("No script has run since the server started.\n");
    else {
      // Where lines may redraw themselves: from the top of an empty screen.
      if (flags.watch && context.terminal.isLive) out.write("\x1b[H\x1b[2J");
      out.write(formatTop(scripts, out));
    }
    if (!flags.watch || signal.aborted) return exitStatus.done;
    await wait(watchMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) return exitStatus.done;
  }
}

export function formatTop(scripts: readonly ScriptFiguresView[], out: Output): string {
  const rows = scripts
    .flatMap(({ script, versions }) => versions.map((figures) => ({ script, ...figures })))
    .sort((one, other) => other.cpuMs.total - one.cpuMs.total)
    .map(({ script, version, role, runs, faultCount, refusals, verdicts, cpuMs, wallMs, waitMs, heapKiBMax }) => [
      plain(script),
      shortVersion(version),
      role === "live" ? role : out.paint(role === "canary" ? "yellow" : "dim", role),
      String(runs),
      faultCount === 0 ? "0" : out.paint("red", String(faultCount)),
      String(refusals),
      String((verdicts["discard"] ?? 0) + (verdicts["quarantine"] ?? 0)),
      time(cpuMs.total),
      time(cpuMs.p50),
      time(cpuMs.p99),
      time(wallMs.p99),
      time(waitMs.total),
      `${(heapKiBMax / 1_024).toFixed(1)} MiB`,
    ]);
  const heads = [
    ...["script", "version", "role", "runs", "faults", "refused", "kept back"],
    ...["cpu", "p50", "p99", "wall p99", "waited", "heap"],
  ];
  return formatTable(heads, rows, out);
}

function time(ms: number): string {
  if (ms === 0) return "0";
  if (ms < 1) return `${Math.max(1, Math.round(ms * 1_000))}µs`;
  if (ms < 1_000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)}ms`;
  return `${(ms / 1_000).toFixed(1)}s`;
}
