/** Tables for people: columns as wide as their widest cell, two spaces between, nothing drawn. */
import { type Output, widthOf } from "./terminal.ts";

export function formatTable(heads: readonly string[], rows: readonly (readonly string[])[], out: Output): string {
  const widths = heads.map((head, i) => Math.max(widthOf(head), ...rows.map((row) => widthOf(row[i] ?? ""))));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i === cells.length - 1 ? cell : cell + " ".repeat(widths[i]! - widthOf(cell))))
      .join("  ")
      .trimEnd();
  return [out.paint("dim", line(heads)), ...rows.map(line)].map((text) => `${text}\n`).join("");
}

/** A time as far away as it is: `in 4m`, `2h ago`. */
export function formatDistance(iso: string, nowMs: number): string {
  const distanceMs = Date.parse(iso) - nowMs;
  const words = roughly(Math.abs(distanceMs));
  return words === "0s" ? "now" : distanceMs > 0 ? `in ${words}` : `${words} ago`;
}

function roughly(ms: number): string {
  for (const [unit, factor] of [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["m", 60_000],
  ] as const) {
    if (ms >= factor) return `${Math.floor(ms / factor)}${unit}`;
  }
  return `${Math.floor(ms / 1_000)}s`;
}
