/** `onarrival queue shape`: where mail goes, how it goes there, and other limits for one destination. */
import type { DestinationChange, DestinationView } from "../admin/queue-control.ts";
import { formatDuration, rate } from "../platform/value.ts";
import { reachServer } from "./bindings-change.ts";
import { formatSpan, readDuration } from "./duration.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { columnsOf } from "./queue.ts";
import { cutEnd } from "./queue-listing.ts";
import type { SettingsFlags } from "./settings.ts";
import { formatDistance, formatTable } from "./table.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";

export interface ShapeFlags extends SettingsFlags {
  readonly connections?: string;
  readonly rate?: string;
  readonly suspend?: boolean;
  readonly for?: string;
  readonly resume?: boolean;
  readonly wake?: boolean;
  readonly json?: boolean;
}

const path = "/api/v1/destinations";

export async function shapeQueue(
  name: string | undefined,
  flags: ShapeFlags,
  context: CommandContext,
): Promise<ExitStatus> {
  const change = changeOf(flags);
  const isChange = Object.keys(change).length > 0;
  if (isChange && name === undefined) throw new UsageError("Cannot change a destination without its name");
  const ask = reachServer(flags, context);
  const { out, err } = context.terminal;
  if (isChange) {
    const question = { method: "PATCH", path: `${path}/${encodeURIComponent(name!)}`, body: change } as const;
    const { destination } = await ask<{ destination: DestinationView }>(question);
    out.write(flags.json ? `${JSON.stringify(destination)}\n` : format([destination], out));
    return exitStatus.done;
  }
  const { destinations: all } = await ask<{ destinations: readonly DestinationView[] }>({ path });
  const shown = name === undefined ? all : all.filter((one) => one.name === name);
  if (flags.json) for (const destination of shown) out.write(`${JSON.stringify(destination)}\n`);
  else if (shown.length > 0) out.write(format(shown, out));
  else if (name === undefined) err.write("Nothing waits, and no destination has limits of its own.\n");
  if (shown.length > 0 || name === undefined) return exitStatus.done;
  err.write(`Nothing waits for ${plain(name)}, and it has no limits of its own; onarrival queue shape lists them.\n`);
  return exitStatus.failed;
}

/** Flags as the server takes them; what is not said stays. @throws {UsageError} */
export function changeOf(flags: ShapeFlags): DestinationChange {
  const { connections, rate: rateText, suspend, resume, wake } = flags;
  if (suspend && resume) throw new UsageError("--suspend and --resume do not go together");
  if (flags.for !== undefined && !suspend) throw new UsageError("--for goes with --suspend");
  return {
    ...(connections !== undefined && { connectionsMax: readConnections(connections) }),
    ...(rateText !== undefined && { rate: readRate(rateText) }),
    ...(suspend && { suspend: { forMs: flags.for === undefined ? null : readDuration("--for", flags.for) } }),
    ...(resume && { suspend: null }),
    ...(wake && { wake: true as const }),
  };
}

function readConnections(text: string): number | null {
  if (text === "default") return null;
  if (!/^[1-9]\d{0,4}$/.test(text))
    throw new UsageError(`--connections: expected a number from 1, or default, not ${JSON.stringify(text)}`);
  return Number(text);
}

function readRate(text: string): (DestinationChange["rate"] & object) | null {
  if (text === "none") return null;
  const read = rate.parse(text);
  if ("value" in read) return read.value;
  throw new UsageError(`--rate: expected ${read.expected}, or none, not ${JSON.stringify(text)}`);
}

function format(destinations: readonly DestinationView[], out: Output): string {
  return formatDestinations(destinations, Date.now(), out, columnsOf());
}

/** A line for each destination; why nobody could be reached stands below it. */
export function formatDestinations(
  destinations: readonly DestinationView[],
  nowMs: number,
  out: Output,
  columns: number | null = null,
): string {
  const rows = destinations.map((one) => [
    cutEnd(plain(one.name), columns === null ? Number.POSITIVE_INFINITY : Math.max(20, columns - 60)),
    String(one.waiting),
    String(one.due),
    String(one.running),
    limitsOf(one),
    stateOf(one, nowMs, out),
  ]);
  const heads = ["destination", "waiting", "due", "running", "limits", "state"];
  const [head, ...lines] = formatTable(heads, rows, out).split("\n");
  const table = lines.flatMap((line, i) => {
    const failure = destinations[i]?.lastFailure;
    if (!failure) return [line];
    const words = `  ${formatDistance(failure.at, nowMs)}: ${plain(failure.reason)}`;
    return [line, out.paint("dim", cutEnd(words, columns ?? Number.POSITIVE_INFINITY))];
  });
  return [head, ...table].join("\n");
}

function limitsOf({ connectionsMax, rate: limit, shapedBy }: DestinationView): string {
  const words = `${connectionsMax} at a time${limit === null ? "" : `, ${limit.times}/${formatDuration(limit.withinMs)}`}`;
  return shapedBy === "operator" ? `${words} (set)` : words;
}

function stateOf(destination: DestinationView, nowMs: number, out: Output): string {
  const { suspendedUntil, backOffUntil } = destination;
  if (suspendedUntil === "resumed") return out.paint("red", "suspended");
  if (suspendedUntil !== null) {
    // A second that has begun counts: `--for 2h` is answered with 2h.
    const leftMs = Math.max(1_000, Math.ceil((Date.parse(suspendedUntil) - nowMs) / 1_000) * 1_000);
    return out.paint("red", `suspended for ${formatSpan(leftMs)} more`);
  }
  if (backOffUntil !== null) return out.paint("yellow", `down, ${nextTry(destination, backOffUntil, nowMs)}`);
  return "";
}

function nextTry({ due, running }: DestinationView, backOffUntil: string, nowMs: number): string {
  if (Date.parse(backOffUntil) - nowMs >= 1_000) return `tried again ${formatDistance(backOffUntil, nowMs)}`;
  if (running > 0) return "being tried";
  return due > 0 ? "about to be tried" : "tried again with the next message that is due";
}
