/** `onarrival badmail …`: what was kept apart and why, and the two ways out of it. */
import type { BadMailChange, BadMailView } from "../admin/badmail-control.ts";
import { reachServer } from "./bindings-change.ts";
import { type AnswerSource, confirm } from "./confirm.ts";
import { readDuration } from "./duration.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { columnsOf } from "./queue.ts";
import { writeContent } from "./queue-content.ts";
import { readIds } from "./queue-filter.ts";
import { cutAddress, cutEnd, shownSize } from "./queue-listing.ts";
import type { SettingsFlags } from "./settings.ts";
import { formatDistance, formatTable } from "./table.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";

const path = "/api/v1/badmail";

interface BadMailPage {
  readonly items: readonly BadMailView[];
  readonly total: number;
}

export async function listBadMail(
  flags: SettingsFlags & {
    readonly older?: string;
    readonly binding?: string;
    readonly limit: string;
    readonly json?: boolean;
  },
  context: CommandContext,
): Promise<ExitStatus> {
  const query = new URLSearchParams({
    limit: flags.limit,
    ...(flags.older !== undefined && { olderThanMs: String(readDuration("--older", flags.older)) }),
    ...(flags.binding !== undefined && { binding: flags.binding }),
  });
  const { items, total } = await reachServer(flags, context)<BadMailPage>({ path: `${path}?${query}` });
  const { out, err } = context.terminal;
  if (flags.json) for (const item of items) out.write(`${JSON.stringify(item)}\n`);
  else if (items.length === 0)
    err.write(query.size > 1 ? "Nothing in badmail matches.\n" : "There is nothing in badmail.\n");
  else {
    out.write(formatBadMail(items, Date.now(), out, columnsOf()));
    if (items.length < total) err.write(`Only the ${items.length} oldest of ${total} are shown; --limit shows more.\n`);
  }
  return exitStatus.done;
}

export async function showBadMail(
  idText: string,
  flags: SettingsFlags & { readonly json?: boolean; readonly header?: boolean; readonly raw?: boolean },
  context: CommandContext,
): Promise<ExitStatus> {
  const id = encodeURIComponent(idText.trim().toUpperCase());
  const wanted = (["json", "header", "raw"] as const).filter((flag) => flags[flag]);
  if (wanted.length > 1) throw new UsageError(`--${wanted.join(" and --")} do not go together`);
  if (flags.header || flags.raw)
    return await writeContent(`${path}/${id}/${flags.raw ? "raw" : "header"}`, flags, context);
  const { item } = await reachServer(flags, context)<{ item: BadMailView }>({ path: `${path}/${id}` });
  const { out } = context.terminal;
  out.write(flags.json ? `${JSON.stringify(item)}\n` : formatBadMailItem(item, Date.now(), out));
  return exitStatus.done;
}

export async function releaseBadMail(
  idTexts: readonly string[],
  flags: SettingsFlags & { readonly to?: readonly string[]; readonly again?: boolean; readonly json?: boolean },
  context: CommandContext,
): Promise<ExitStatus> {
  const ids = readIds(idTexts);
  const body = { ids, ...(flags.to && { to: flags.to }), ...(flags.again && { again: true }) };
  const question = { method: "POST", path: `${path}/release`, body, timeoutMs } as const;
  return tell("Released", await reachServer(flags, context)<BadMailChange>(question), flags, context);
}

/** A release reads every message and takes it into the spool again. */
const timeoutMs = 10 * 60_000;
/** Messages shown before a question. */
const shownMax = 5;

export async function removeBadMail(
  idTexts: readonly string[],
  flags: SettingsFlags & {
    readonly older?: string;
    readonly binding?: string;
    readonly all?: boolean;
    readonly dryRun?: boolean;
    readonly yes?: boolean;
    readonly json?: boolean;
  },
  context: CommandContext,
  input?: AnswerSource,
): Promise<ExitStatus> {
  const selection = {
    ...(idTexts.length > 0 && { ids: readIds(idTexts) }),
    ...(flags.older !== undefined && { olderThanMs: readDuration("--older", flags.older) }),
    ...(flags.binding !== undefined && { binding: flags.binding }),
  };
  const isAll = Object.keys(selection).length === 0;
  if (isAll && !flags.all)
    throw new UsageError("Cannot remove without knowing what: expected ids, --older, --binding, or --all");
  if (!isAll && flags.all) throw new UsageError("--all means all of badmail and goes without ids and filters");
  const ask = reachServer(flags, context);
  const remove = (chosen: object, dryRun: boolean) => {
    const body = { selection: chosen, ...(flags.all && { all: true }), ...(dryRun && { dryRun }) };
    return ask<BadMailChange>({ method: "POST", path: `${path}/remove`, body, timeoutMs });
  };
  const { err } = context.terminal;
  if (flags.dryRun) {
    const status = tell("Would remove", await remove(selection, true), flags, context);
    if (!flags.json) err.write(`${err.paint("dim", "Nothing was removed: this was a dry run.")}\n`);
    return status;
  }
  let chosen: object = selection;
  if (!flags.yes) {
    const preview = await remove(selection, true);
    if (preview.ids.length > 0) {
      for (const id of preview.ids.slice(0, shownMax)) {
        const { item } = await ask<{ item: BadMailView }>({ path: `${path}/${id}` });
        err.write(`  ${id}  ${plain(item.from ?? item.file ?? "?")}  ${plain(item.reason)}\n`);
      }
      if (preview.ids.length > shownMax) err.write(`  … and ${preview.ids.length - shownMax} more\n`);
      if (!(await confirm(`Remove ${messages(preview.ids.length)} for ever`, flags, context, input))) {
        err.write("Nothing was removed.\n");
        return exitStatus.failed;
      }
      // What has come since was not shown, and is not meant.
      if (preview.ids.length <= idsMax) chosen = { ids: preview.ids };
    }
  }
  return tell("Removed", await remove(chosen, false), flags, context);
}

/** Ids that fit into one request. */
const idsMax = 10_000;

function tell(
  what: string,
  change: BadMailChange,
  flags: { readonly json?: boolean },
  { terminal: { out, err } }: CommandContext,
): ExitStatus {
  if (flags.json) out.write(`${JSON.stringify(change)}\n`);
  else {
    if (change.ids.length > 0) out.write(`${what} ${messages(change.ids.length)}.\n`);
    else if (change.skipped.length === 0) err.write("Nothing in badmail matches; nothing was changed.\n");
    for (const { id, reason } of change.skipped)
      err.write(`${err.paint("yellow", "skipped")} ${plain(id)}: ${plain(reason)}\n`);
  }
  return change.skipped.length > 0 ? exitStatus.failed : exitStatus.done;
}

function messages(count: number): string {
  return count === 1 ? "1 message" : `${count} messages`;
}

/** A line for each message; why it is there stands below it where the terminal is narrow. */
export function formatBadMail(
  items: readonly BadMailView[],
  nowMs: number,
  out: Output,
  columns: number | null = null,
): string {
  const width =
    columns === null ? Number.POSITIVE_INFINITY : Math.max(12, Math.min(40, Math.floor((columns - 40) / 2)));
  const rows = items.map(({ id, quarantinedAt, sizeOctets, from, to, file }) => {
    const more = to.length > 1 ? ` +${to.length - 1}` : "";
    return [
      id,
      quarantinedAt === null ? "" : formatDistance(quarantinedAt, nowMs),
      shownSize(sizeOctets),
      cutAddress(plain(from ?? file ?? "?"), width),
      cutAddress(plain(to[0] ?? ""), width - more.length) + out.paint("dim", more),
    ];
  });
  const [head, ...lines] = formatTable(["id", "since", "size", "from", "to"], rows, out).split("\n");
  const table = lines.flatMap((line, i) => {
    const item = items[i];
    if (!item) return [line];
    const because = plain([item.problem ?? item.reason, item.binding].filter((text) => text).join(", by "));
    return [line, out.paint(item.problem ? "red" : "dim", cutEnd(`  ${because}`, columns ?? Number.POSITIVE_INFINITY))];
  });
  return [head, ...table].join("\n");
}

export function formatBadMailItem(item: BadMailView, nowMs: number, out: Output): string {
  const time = (at: string | null) => (at === null ? "unknown" : `${plain(at)} (${formatDistance(at, nowMs)})`);
  const facts: readonly (readonly [name: string, value: string])[] = [
    ["message", out.paint("bold", item.id)],
    ...(item.origin === null ? [] : [["came by", plain(item.origin)] as const]),
    ...(item.file === null ? [] : [["file", plain(item.file)] as const]),
    ["from", plain(item.from ?? "unknown")],
    ...item.to.map((address, i) => [i === 0 ? "to" : "", plain(address)] as const),
    ["received", time(item.receivedAt)],
    ["kept", time(item.quarantinedAt)],
    ["size", `${item.sizeOctets} octets`],
    ["because", plain(item.reason)],
    ...(item.binding === null ? [] : [["by", plain(item.binding)] as const]),
    ...(item.rule === null ? [] : [["rule", plain(item.rule)] as const]),
    ...(item.fault === null ? [] : [["fault", plain(item.fault)] as const]),
    ...(item.problem === null ? [] : [["problem", out.paint("red", plain(item.problem))] as const]),
  ];
  return facts.map(([name, value]) => `${out.paint("dim", name.padEnd(10))}${value}\n`).join("");
}
