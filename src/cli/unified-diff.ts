/** The difference of two texts, line by line, as `diff -u` writes it; in colours on a terminal. */
import { type Output, plain } from "./terminal.ts";

interface DiffSide {
  readonly title: string;
  /** null: there is no such text. */
  readonly text: string | null;
}

type Mark = " " | "-" | "+";
interface Line {
  readonly mark: Mark;
  readonly text: string;
}

/** Lines shown around a change. */
const contextLines = 3;
/** Changes up to which the shortest difference is looked for; beyond, what lies between what is alike at both ends is shown as replaced. */
const editsMax = 2_000;

/** Empty where the two are the same. */
export function unifiedDiff(from: DiffSide, to: DiffSide, out: Output): string {
  if (from.text === to.text) return "";
  const lines = compareLines(linesOf(from.text), linesOf(to.text));
  const head = [
    out.paint("bold", `--- ${from.text === null ? "nothing" : from.title}`),
    out.paint("bold", `+++ ${to.text === null ? "nothing" : to.title}`),
  ];
  return [...head, ...hunksOf(lines).flatMap((hunk) => formatHunk(lines, hunk, out))]
    .map((line) => `${line}\n`)
    .join("");
}

/** A last line without an end is told apart from one with it. */
function linesOf(text: string | null): readonly string[] {
  if (text === null || text === "") return [];
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  else lines[lines.length - 1] += " (no line end)";
  return lines;
}

function compareLines(from: readonly string[], to: readonly string[]): readonly Line[] {
  let start = 0;
  while (start < from.length && start < to.length && from[start] === to[start]) start++;
  let end = 0;
  while (end < from.length - start && end < to.length - start && from.at(-1 - end) === to.at(-1 - end)) end++;
  const as = (mark: Mark) => (text: string) => ({ mark, text });
  const [removed, added] = [from.slice(start, from.length - end), to.slice(start, to.length - end)];
  return [
    ...from.slice(0, start).map(as(" ")),
    ...(shortestEdit(removed, added) ?? [...removed.map(as("-")), ...added.map(as("+"))]),
    ...from.slice(from.length - end).map(as(" ")),
  ];
}

/** Myers, "An O(ND) Difference Algorithm and Its Variations" (1986), the greedy one; undefined where the texts are too far apart. */
function shortestEdit(from: readonly string[], to: readonly string[]): readonly Line[] | undefined {
  const longest = Math.min(from.length + to.length, editsMax);
  /** The farthest line of `from` that is reached on each diagonal, for every number of edits. */
  const reached: Map<number, number>[] = [];
  let farthest = new Map([[1, 0]]);
  for (let edits = 0; edits <= longest; edits++) {
    reached.push(new Map(farthest));
    const next = new Map(farthest);
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      let x = isDown(next, diagonal, edits) ? next.get(diagonal + 1)! : next.get(diagonal - 1)! + 1;
      while (x < from.length && x - diagonal < to.length && from[x] === to[x - diagonal]) x++;
      next.set(diagonal, x);
      if (x >= from.length && x - diagonal >= to.length) return walkBack(reached, from, to);
    }
    farthest = next;
  }
  return undefined;
}

function isDown(reached: ReadonlyMap<number, number>, diagonal: number, edits: number): boolean {
  return (
    diagonal === -edits || (diagonal !== edits && (reached.get(diagonal - 1) ?? -1) < (reached.get(diagonal + 1) ?? -1))
  );
}

function walkBack(
  reached: readonly ReadonlyMap<number, number>[],
  from: readonly string[],
  to: readonly string[],
): readonly Line[] {
  const lines: Line[] = [];
  let [x, y] = [from.length, to.length];
  for (let edits = reached.length - 1; edits >= 0; edits--) {
    const diagonal = x - y;
    const down = isDown(reached[edits]!, diagonal, edits);
    const before = diagonal + (down ? 1 : -1);
    const beforeX = edits === 0 ? 0 : reached[edits]!.get(before)!;
    const beforeY = edits === 0 ? 0 : beforeX - before;
    while (x > beforeX && y > beforeY) {
      lines.push({ mark: " ", text: from[--x]! });
      y--;
    }
    if (edits > 0) lines.push(down ? { mark: "+", text: to[--y]! } : { mark: "-", text: from[--x]! });
  }
  return lines.reverse();
}

/** Ranges of lines that are shown: changes with what is around them, those that are near each other together. */
function hunksOf(lines: readonly Line[]): readonly { readonly start: number; readonly end: number }[] {
  const hunks: { start: number; end: number }[] = [];
  for (const [index, { mark }] of lines.entries()) {
    if (mark === " ") continue;
    const [start, end] = [Math.max(0, index - contextLines), Math.min(lines.length, index + contextLines + 1)];
    const last = hunks.at(-1);
    if (last && start <= last.end) last.end = end;
    else hunks.push({ start, end });
  }
  return hunks;
}

const styles = { "-": "red", "+": "green" } as const;

function formatHunk(
  lines: readonly Line[],
  { start, end }: { readonly start: number; readonly end: number },
  out: Output,
): readonly string[] {
  const count = (part: readonly Line[], mark: Mark) => part.filter((line) => line.mark !== mark).length;
  const [before, within] = [lines.slice(0, start), lines.slice(start, end)];
  const range = (mark: Mark) => {
    const length = count(within, mark);
    return `${count(before, mark) + (length === 0 ? 0 : 1)},${length}`;
  };
  return [
    out.paint("cyan", `@@ -${range("+")} +${range("-")} @@`),
    ...within.map(({ mark, text }) => {
      // Tabs stay; what could steer the terminal does not.
      const line = `${mark}${text.split("\t").map(plain).join("\t")}`;
      return mark === " " ? line : out.paint(styles[mark], line);
    }),
  ];
}
