/** The queue for people: a line for each message, or one message with all of its recipients. */
import type { QueueItemView, QueueRecipientView } from "../admin/queue-control.ts";
import { formatSize } from "../platform/value.ts";
import { formatSpan } from "./duration.ts";
import { shortVersion } from "./script-places.ts";
import { formatDistance, formatTable } from "./table.ts";
import { type Output, plain, type Style, widthOf } from "./terminal.ts";

/** From here on a message is one line; on a narrower terminal recipient and outcome stand below. */
const wideColumns = 120;
/** An address is not cut below this. */
const addressColumnsMin = 12;
/** Columns of an outcome in the line of its message, at least. */
const outcomeColumnsMin = 30;
/** Columns beside the addresses and the outcome: id, received, size, next attempt, and the spaces between. */
const fixedColumns = 16 + 8 + 6 + 12 + 6 * 2;

/**
 * The messages, each with the earliest attempt of its recipients and the last outcome of the first.
 * @param columns null where nothing may be cut: then each is one line, however long
 */
export function formatQueue(
  items: readonly QueueItemView[],
  nowMs: number,
  out: Output,
  columns: number | null = null,
): string {
  const shown = items.map((item) => describe(item, nowMs));
  return columns === null || columns >= wideColumns
    ? formatWide(shown, out, columns)
    : formatNarrow(shown, out, columns);
}

/** A message in the words of a listing, nothing in them that could steer a terminal. */
interface ShownItem {
  readonly facts: readonly [id: string, received: string, size: string];
  readonly from: string;
  readonly to: string;
  /** ` +2` where others wait too. */
  readonly more: string;
  readonly next: string;
  readonly outcome: string;
}

function describe(item: QueueItemView, nowMs: number): ShownItem {
  const waiting = item.recipients.filter((recipient) => recipient.state === "queued");
  const first = waiting[0] ?? item.recipients[0];
  return {
    facts: [item.id, formatDistance(item.receivedAt, nowMs), shownSize(item.sizeOctets)],
    from: plain(item.from),
    to: plain(first?.address ?? ""),
    more: waiting.length > 1 ? ` +${waiting.length - 1}` : "",
    next: item.running ? "running" : nextWords(waiting, nowMs),
    outcome: plain(first?.lastOutcome ?? ""),
  };
}

function formatWide(shown: readonly ShownItem[], out: Output, columns: number | null): string {
  const widths = shareColumns(shown, columns === null ? null : columns - fixedColumns - outcomeColumnsMin);
  const heads = ["id", "received", "size", "from", "to", "next attempt", "last outcome"];
  const rows = shown.map(({ facts, from, to, more, next, outcome }) => [
    ...facts,
    cutAddress(from, widths.from),
    cutAddress(to, widths.to - more.length) + out.paint("dim", more),
    next,
    outcome,
  ]);
  if (columns === null) return formatTable(heads, rows, out);
  // The outcome has what is left: as wide as the widest line would have it.
  const widest = heads
    .slice(0, -1)
    .map((head, i) => rows.reduce((most, row) => Math.max(most, widthOf(row[i]!)), head.length));
  const left = columns - widest.reduce((sum, width) => sum + width + 2, 0);
  return formatTable(
    heads,
    rows.map((row) => [...row.slice(0, -1), cutEnd(row.at(-1)!, left)]),
    out,
  );
}

function formatNarrow(shown: readonly ShownItem[], out: Output, columns: number): string {
  const heads = ["id", "received", "size", "next attempt", "from"];
  const rows = shown.map(({ facts, from, next }) => [...facts, next, cutAddress(from, columns - fixedColumns)]);
  const [head, ...lines] = formatTable(heads, rows, out).split("\n");
  const below = shown.map(({ to, more, outcome }) => {
    const address = `  → ${cutAddress(to, Math.floor(columns / 2) - more.length)}${more}`;
    if (outcome === "") return address;
    return `${address}  ${out.paint("dim", cutEnd(outcome, columns - widthOf(address) - 2))}`;
  });
  return [head, ...lines.flatMap((line, i) => (below[i] === undefined ? [line] : [line, below[i]]))].join("\n");
}

/** What one column of addresses does not need the other may have; null is no bound. */
function shareColumns(
  shown: readonly ShownItem[],
  room: number | null,
): { readonly from: number; readonly to: number } {
  if (room === null) return { from: Number.POSITIVE_INFINITY, to: Number.POSITIVE_INFINITY };
  let [wantedFrom, wantedTo] = [4, 4];
  for (const { from, to, more } of shown) {
    wantedFrom = Math.max(wantedFrom, widthOf(from));
    wantedTo = Math.max(wantedTo, widthOf(to) + more.length);
  }
  const from = Math.max(addressColumnsMin, Math.min(wantedFrom, Math.max(Math.floor(room / 2), room - wantedTo)));
  return { from, to: Math.max(addressColumnsMin, room - from) };
}

/** One message: who waits, since when and until when, and what was said last. */
export function formatQueueItem(
  { id, from, receivedAt, expiresAt, sizeOctets, running, recipients, scripts = [] }: QueueItemView,
  nowMs: number,
  out: Output,
): string {
  const facts = [
    ["message", out.paint("bold", id)],
    ["from", plain(from)],
    ["received", `${receivedAt} (${formatSpan(nowMs - Date.parse(receivedAt))} ago)`],
    ...(expiresAt ? [["given up", `${expiresAt} (${distanceWords(Date.parse(expiresAt) - nowMs)})`]] : []),
    ["size", `${sizeOctets} octets`],
    ...(running ? [["now", "an attempt is under way"]] : []),
    ...scripts.map(({ script, version, event }, i) => [
      i === 0 ? "scripts" : "",
      `${plain(script)} ${out.paint("dim", `${shortVersion(version)} at ${plain(event)}`)}`,
    ]),
  ].map(([name, value]) => `${out.paint("dim", name!.padEnd(10))}${value}\n`);
  const rows = recipients.map((recipient) => [
    plain(recipient.address),
    out.paint(stateStyle(recipient), stateOf(recipient)),
    String(recipient.attempts),
    recipient.nextAttemptAt === null ? "" : formatDistance(recipient.nextAttemptAt, nowMs),
    plain(recipient.destination ?? ""),
  ]);
  const heads = ["recipient", "state", "attempts", "next attempt", "destination"];
  const [head, ...lines] = formatTable(heads, rows, out).split("\n");
  const table = lines.flatMap((line, i) => {
    const outcome = recipients[i]?.lastOutcome;
    return outcome ? [line, `  ${out.paint("dim", plain(outcome))}`] : [line];
  });
  return `${facts.join("")}\n${[head, ...table].join("\n")}`;
}

/** Cut in the local part where the domain fits, which says more; otherwise at the end. */
export function cutAddress(address: string, columns: number): string {
  if (widthOf(address) <= columns) return address;
  const at = address.lastIndexOf("@");
  const domain = at === -1 ? "" : address.slice(at);
  const left = columns - widthOf(domain) - 1;
  return left >= 3 && domain !== "" ? `${[...address].slice(0, left).join("")}…${domain}` : cutEnd(address, columns);
}

/** Text without styles. */
export function cutEnd(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  return `${[...text].slice(0, Math.max(0, columns - 1)).join("")}…`;
}

/** `12KiB`, without a fraction. */
export function shownSize(octets: number): string {
  return octets < 1024
    ? `${octets}B`
    : formatSize(octets < 1024 ** 2 ? Math.round(octets / 1024) * 1024 : Math.round(octets / 1024 ** 2) * 1024 ** 2);
}

function nextWords(waiting: readonly QueueRecipientView[], nowMs: number): string {
  const free = waiting.filter((recipient) => !recipient.heldBy);
  if (waiting.length > 0 && free.length === 0) return "held";
  const next = free
    .map((recipient) => recipient.nextAttemptAt)
    .filter((time) => time !== null)
    .sort()[0];
  return next === undefined ? "" : distanceWords(Date.parse(next) - nowMs);
}

/** What is due is due now, however long it has been. */
function distanceWords(ms: number): string {
  return ms < 1_000 ? "now" : `in ${formatSpan(ms)}`;
}

function stateOf({ state, heldBy, attempts }: QueueRecipientView): string {
  if (state !== "queued") return state;
  if (heldBy) return heldBy === "operator" ? "held" : "held by a route";
  return attempts === 0 ? "new" : "deferred";
}

function stateStyle({ state, heldBy }: QueueRecipientView): Style {
  return state === "delivered" ? "green" : state === "failed" || heldBy ? "red" : "yellow";
}
