/** Lengths of time on the command line: how people write them, and how they are shown. */
import { duration } from "../platform/value.ts";
import { UsageError } from "./failure.ts";

const longestMs = 3_650 * 86_400_000;
const kind = duration({ minMs: 0, maxMs: longestMs });

/** `2h`, `30m`, `90s`, `7d`, in milliseconds. @throws {UsageError} */
export function readDuration(flag: string, text: string): number {
  const read = kind.parse(text.trim());
  if ("value" in read) return read.value;
  throw new UsageError(`${flag}: expected a time such as "30m", "2h" or "7d", not ${JSON.stringify(text)}`);
}

/** The two largest units: `3d 4h`, `12m 5s`, `0s`. For how long something took or takes. */
export function formatSpan(ms: number): string {
  let rest = Math.max(0, Math.floor(ms / 1_000));
  const pieces: string[] = [];
  for (const [unit, seconds] of [
    ["d", 86_400],
    ["h", 3_600],
    ["m", 60],
    ["s", 1],
  ] as const) {
    const count = Math.floor(rest / seconds);
    rest -= count * seconds;
    if (count > 0) pieces.push(`${count}${unit}`);
    else if (pieces.length > 0) break;
    if (pieces.length === 2) break;
  }
  return pieces.length === 0 ? "0s" : pieces.join(" ");
}
