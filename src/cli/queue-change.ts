/** `onarrival queue retry|hold|release|bounce|remove|requeue`: one change to all messages that are meant, and what became of it. */
import type { QueueChange, QueuePage, QueueVerb } from "../admin/queue-control.ts";
import { type QueueSelection, selectsAll } from "../admin/queue-selection.ts";
import { type AskForChange, reachServer } from "./bindings-change.ts";
import { type AnswerSource, confirm } from "./confirm.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { type QueueFilterFlags, selectionOf } from "./queue-filter.ts";
import { formatQueue } from "./queue-listing.ts";
import type { SettingsFlags } from "./settings.ts";
import { type CommandContext, plain } from "./terminal.ts";

export interface QueueChangeFlags extends SettingsFlags, QueueFilterFlags {
  readonly all?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
  /** `hold` */
  readonly reason?: string;
  /** `bounce` */
  readonly text?: string;
}

/** What cannot be taken back is asked about first. */
const verbs = {
  retry: { isFinal: false, would: "Would retry", does: "Due now:" },
  hold: { isFinal: false, would: "Would hold", does: "Held:" },
  release: { isFinal: false, would: "Would release", does: "Released:" },
  bounce: { isFinal: true, would: "Would bounce", does: "Bounced, and their senders told:" },
  remove: { isFinal: true, would: "Would remove", does: "Removed, and nobody told:" },
  requeue: { isFinal: false, would: "Would resolve anew", does: "Resolved anew with the next attempt:" },
} as const satisfies Record<QueueVerb, { readonly isFinal: boolean; readonly would: string; readonly does: string }>;

/** Messages shown before a question. */
const shownMax = 5;
/** Skipped messages that are named. */
const skippedMax = 20;
/** A change of a long queue takes its time. */
const timeoutMs = 10 * 60_000;

export async function changeQueue(
  verb: QueueVerb,
  ids: readonly string[],
  flags: QueueChangeFlags,
  context: CommandContext,
  input?: AnswerSource,
): Promise<ExitStatus> {
  const selection = selectionOf(ids, flags);
  if (selectsAll(selection) && !flags.all)
    throw new UsageError(`Cannot ${verb} without knowing what: expected ids, a filter, or --all`);
  if (!selectsAll(selection) && flags.all)
    throw new UsageError("--all means the whole queue and goes without ids and filters");
  const ask = reachServer(flags, context);
  const request = (chosen: QueueSelection, dryRun: boolean) =>
    ask<QueueChange>({
      method: "POST",
      path: `/api/v1/queue/${verb}`,
      body: {
        selection: chosen,
        ...(flags.all && { all: true }),
        ...(dryRun && { dryRun }),
        ...(flags.reason !== undefined && { reason: flags.reason }),
        ...(flags.text !== undefined && { text: flags.text }),
      },
      timeoutMs,
    });
  if (flags.dryRun) return tell(verb, await request(selection, true), { ids: selection.ids, ...flags }, context);
  let chosen = selection;
  if (verbs[verb].isFinal && !flags.yes) {
    const preview = await request(selection, true);
    if (preview.messages > 0) {
      await showSome(preview, ask, context);
      const question = `${verb[0]!.toUpperCase()}${verb.slice(1)} ${amountOf(preview)}`;
      if (!(await confirm(question, flags, context, input))) {
        context.terminal.err.write("Nothing was changed.\n");
        return exitStatus.failed;
      }
      // What has come since was not shown, and is not meant.
      if (preview.messages === preview.ids.length) chosen = { ...selection, ids: preview.ids };
    }
  }
  return tell(verb, await request(chosen, false), { ids: selection.ids, ...flags }, context);
}

/** Says what was done. 1 where something that was meant could not be changed. */
function tell(
  verb: QueueVerb,
  change: QueueChange,
  flags: { readonly ids: readonly string[] | undefined; readonly json?: boolean; readonly dryRun?: boolean },
  { terminal: { out, err } }: CommandContext,
): ExitStatus {
  const skipped = [...change.skipped, ...missingOf(change, flags.ids)];
  if (flags.json) out.write(`${JSON.stringify({ verb, dryRun: flags.dryRun ?? false, ...change, skipped })}\n`);
  else {
    const { would, does } = verbs[verb];
    if (change.messages > 0) out.write(`${flags.dryRun ? would : does} ${amountOf(change)}.\n`);
    else if (skipped.length === 0) err.write("Nothing in the queue matches; nothing was changed.\n");
    for (const { id, reason } of skipped.slice(0, skippedMax))
      err.write(`${err.paint("yellow", "skipped")} ${plain(id)}: ${plain(reason)}\n`);
    if (skipped.length > skippedMax) err.write(`… and ${skipped.length - skippedMax} more were skipped.\n`);
    if (flags.dryRun) err.write(`${err.paint("dim", "Nothing was changed: this was a dry run.")}\n`);
  }
  return skipped.length > 0 ? exitStatus.failed : exitStatus.done;
}

/** Ids that were named, were not changed, and of which the server says nothing: all of a change's ids are told up to 1,000. */
function missingOf(change: QueueChange, ids: readonly string[] = []): QueueChange["skipped"] {
  if (change.messages > change.ids.length) return [];
  const told = new Set([...change.ids, ...change.skipped.map(({ id }) => id)]);
  return ids.filter((id) => !told.has(id)).map((id) => ({ id, reason: "it is not in the queue, or does not match" }));
}

async function showSome(preview: QueueChange, ask: AskForChange, { terminal }: CommandContext): Promise<void> {
  const ids = preview.ids.slice(0, shownMax);
  const { items } = await ask<QueuePage>({ path: `/api/v1/queue?ids=${ids.join(",")}` });
  terminal.err.write(formatQueue(items, Date.now(), terminal.err, terminal.columns));
  if (preview.messages > items.length) terminal.err.write(`… and ${preview.messages - items.length} more\n`);
}

function amountOf({ messages, recipients }: QueueChange): string {
  return `${messages === 1 ? "1 message" : `${messages} messages`} with ${recipients === 1 ? "1 recipient" : `${recipients} recipients`}`;
}
