/** `onarrival queue list` and `onarrival queue show`: what is in custody and when it is tried again. */
import type { QueueItemView, QueuePage } from "../admin/queue-control.ts";
import { reachServer } from "./bindings-change.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { writeContent } from "./queue-content.ts";
import { formatQueueSummary, readSummaryKey, summaryOf } from "./queue-counts.ts";
import { type QueueFilterFlags, queryOf, selectionOf } from "./queue-filter.ts";
import { formatQueue, formatQueueItem } from "./queue-listing.ts";
import type { SettingsFlags } from "./settings.ts";
import type { CommandContext } from "./terminal.ts";

export interface QueueListFlags extends SettingsFlags, QueueFilterFlags {
  readonly json?: boolean;
  readonly limit: string;
  readonly summary?: boolean | string;
}

export async function listQueue(
  ids: readonly string[],
  flags: QueueListFlags,
  context: CommandContext,
): Promise<ExitStatus> {
  const selection = selectionOf(ids, flags);
  const query = queryOf(selection);
  const ask = reachServer(flags, context);
  const { out, err } = context.terminal;
  if (flags.summary !== undefined && flags.summary !== false) {
    const summary = await summaryOf(ask, query, readSummaryKey(flags.summary));
    if (flags.json) out.write(`${JSON.stringify(summary)}\n`);
    else if (summary.rows.length === 0) err.write(emptyWords(selection));
    else out.write(formatQueueSummary(summary, out));
    return exitStatus.done;
  }
  query.set("limit", flags.limit);
  const { items, total } = await ask<QueuePage>({ path: `/api/v1/queue?${query}` });
  if (flags.json) for (const item of items) out.write(`${JSON.stringify(item)}\n`);
  else if (items.length === 0) err.write(emptyWords(selection));
  else {
    out.write(formatQueue(items, Date.now(), out, columnsOf()));
    if (items.length < total) err.write(`Only the ${items.length} oldest of ${total} are shown; --limit shows more.\n`);
  }
  return exitStatus.done;
}

export async function showQueueItem(
  idText: string,
  flags: SettingsFlags & { readonly json?: boolean; readonly header?: boolean; readonly raw?: boolean },
  context: CommandContext,
): Promise<ExitStatus> {
  const wanted = (["json", "header", "raw"] as const).filter((flag) => flags[flag]);
  if (wanted.length > 1) throw new UsageError(`--${wanted.join(" and --")} do not go together`);
  const path = `/api/v1/queue/${encodeURIComponent(idText.trim().toUpperCase())}`;
  if (flags.header || flags.raw) return await writeContent(`${path}/${flags.raw ? "raw" : "header"}`, flags, context);
  const { item } = await reachServer(flags, context)<{ item: QueueItemView }>({ path });
  const { out } = context.terminal;
  out.write(flags.json ? `${JSON.stringify(item)}\n` : formatQueueItem(item, Date.now(), out));
  return exitStatus.done;
}

/** Columns a listing may take; null where it does not go to a terminal: nothing is cut that a program may look for. */
export function columnsOf(): number | null {
  return process.stdout.isTTY === true ? (process.stdout.columns ?? 80) : null;
}

function emptyWords(selection: object): string {
  return Object.keys(selection).length === 0 ? "The queue is empty.\n" : "Nothing in the queue matches.\n";
}
