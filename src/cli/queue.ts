/** `onarrival queue list` and `onarrival queue show`: what is in custody and when it is tried again. */
import type { QueueItemView, QueueRecipientView } from "../admin/server-view.ts";
import { formatSize } from "../platform/value.ts";
import { askServer } from "./control-client.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { formatDistance, formatTable } from "./table.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";

export async function listQueue(
  flags: SettingsFlags & {
    readonly json?: boolean;
    readonly from?: string;
    readonly to?: string;
    readonly limit: string;
  },
  context: CommandContext,
): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const query = new URLSearchParams({
    limit: flags.limit,
    ...(flags.from !== undefined && { from: flags.from }),
    ...(flags.to !== undefined && { to: flags.to }),
  });
  const { items } = await askServer<{ items: readonly QueueItemView[] }>({
    data: config.data,
    cwd: context.cwd,
    path: `/api/v1/queue?${query}`,
  });
  const { out, err } = context.terminal;
  if (flags.json) for (const item of items) out.write(`${JSON.stringify(item)}\n`);
  else if (items.length === 0)
    err.write(
      flags.from === undefined && flags.to === undefined ? "The queue is empty.\n" : "Nothing in the queue matches.\n",
    );
  else {
    out.write(formatQueue(items, Date.now(), out));
    if (items.length === Number(flags.limit))
      err.write(`Only the ${flags.limit} oldest are shown; --limit shows more.\n`);
  }
  return exitStatus.done;
}

export async function showQueueItem(
  id: string,
  flags: SettingsFlags & { readonly json?: boolean },
  context: CommandContext,
): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const { item } = await askServer<{ item: QueueItemView }>({
    data: config.data,
    cwd: context.cwd,
    path: `/api/v1/queue/${encodeURIComponent(id)}`,
  });
  const { out } = context.terminal;
  out.write(flags.json ? `${JSON.stringify(item)}\n` : formatQueueItem(item, Date.now(), out));
  return exitStatus.done;
}

/** One line for each message: its next attempt is the earliest of its recipients'. */
export function formatQueue(items: readonly QueueItemView[], nowMs: number, out: Output): string {
  const rows = items.map(({ id, from, receivedAt, sizeOctets, recipients }) => {
    const waiting = recipients.filter((recipient) => recipient.state === "queued");
    const first = waiting[0] ?? recipients[0];
    const others = waiting.length > 1 ? out.paint("dim", ` +${waiting.length - 1}`) : "";
    const next = waiting
      .map((recipient) => recipient.nextAttemptAt)
      .filter((time) => time !== null)
      .sort()[0];
    return [
      id,
      formatDistance(receivedAt, nowMs),
      shownSize(sizeOctets),
      plain(from),
      plain(first?.address ?? "") + others,
      next === undefined ? "" : formatDistance(next, nowMs),
      plain(first?.lastOutcome ?? ""),
    ];
  });
  return formatTable(["id", "received", "size", "from", "to", "next attempt", "last outcome"], rows, out);
}

export function formatQueueItem(
  { id, from, receivedAt, sizeOctets, recipients }: QueueItemView,
  nowMs: number,
  out: Output,
): string {
  const facts = [
    ["message", out.paint("bold", id)],
    ["from", plain(from)],
    ["received", `${receivedAt} (${formatDistance(receivedAt, nowMs)})`],
    ["size", `${sizeOctets} octets`],
  ].map(([name, value]) => `${out.paint("dim", name!.padEnd(10))}${value}\n`);
  const rows = recipients.map((recipient) => [
    plain(recipient.address),
    out.paint(styles[recipient.state], recipient.state),
    String(recipient.attempts),
    recipient.nextAttemptAt === null ? "" : formatDistance(recipient.nextAttemptAt, nowMs),
    plain(recipient.lastOutcome),
  ]);
  return `${facts.join("")}\n${formatTable(["recipient", "state", "attempts", "next attempt", "last outcome"], rows, out)}`;
}

const styles = { queued: "yellow", delivered: "green", failed: "red" } as const satisfies Record<
  QueueRecipientView["state"],
  string
>;

function shownSize(octets: number): string {
  return octets < 1024
    ? `${octets}B`
    : formatSize(octets < 1024 ** 2 ? Math.round(octets / 1024) * 1024 : Math.round(octets / 1024 ** 2) * 1024 ** 2);
}
