/** `onarrival queue list --summary`: the queue counted by age, a line for each domain, sender's domain or destination. */
import { type QueueSummary, type SummaryKey, summaryKeys } from "../admin/queue-summary.ts";
import type { AskForChange } from "./bindings-change.ts";
import { UsageError } from "./failure.ts";
import { type Output, plain, widthOf } from "./terminal.ts";

/** What the rows stand for; a bare flag means recipients' domains. @throws {UsageError} */
export function readSummaryKey(flag: boolean | string): SummaryKey {
  const key = summaryKeys.find((one) => one === (typeof flag === "string" ? flag : "domain"));
  if (!key) throw new UsageError(`--summary: expected ${summaryKeys.join(", ")}, not ${JSON.stringify(flag)}`);
  return key;
}

export async function summaryOf(ask: AskForChange, query: URLSearchParams, by: SummaryKey): Promise<QueueSummary> {
  query.set("by", by);
  return await ask<QueueSummary>({ path: `/api/v1/queue/summary?${query}`, timeoutMs: 60_000 });
}

const nameColumnsMax = 30;

/** Recipients that have waited so many minutes and less; numbers to the right, so that a column can be read downwards. */
export function formatQueueSummary({ by, minutes, rows, counted, messages }: QueueSummary, out: Output): string {
  const heads = ["all", ...minutes.map(String), `${minutes.at(-1)}+`];
  const sums = rows.reduce<number[]>(
    (totals, row) => [row.total, ...row.counts].map((count, i) => count + (totals[i] ?? 0)),
    [],
  );
  const lines: readonly (readonly [name: string, cells: readonly string[]])[] = [
    ["all", sums.map(shownCount)],
    ...rows.map((row) => [cutName(plain(row.name)), [row.total, ...row.counts].map(shownCount)] as const),
  ];
  const nameWidth = Math.max(by.length, ...lines.map(([name]) => widthOf(name)));
  const widths = heads.map((head, i) => Math.max(head.length, ...lines.map(([, cells]) => cells[i]!.length)));
  const line = (name: string, cells: readonly string[]) =>
    `${name}${" ".repeat(nameWidth - widthOf(name))}  ${cells.map((cell, i) => cell.padStart(widths[i]!)).join("  ")}\n`;
  const rest = counted < messages ? out.paint("dim", `Counted: the ${counted} oldest of ${messages} messages.\n`) : "";
  return [
    out.paint("dim", line(by, heads)),
    ...lines.map(([name, cells]) => line(name, cells)),
    out.paint("dim", "Recipients by minutes since their message was received.\n"),
    rest,
  ].join("");
}

/** Nothing is a dot: what is there stands out. */
function shownCount(count: number): string {
  return count === 0 ? "." : String(count);
}

function cutName(name: string): string {
  return widthOf(name) <= nameColumnsMax ? name : `…${[...name].slice(1 - nameColumnsMax).join("")}`;
}
