/** Files of addresses, line by line: comments, continuation lines, lists with commas, and where each piece stands. Shared by the files of aliases, members and mailboxes. Pure. */

/** What cannot be read. Lines and columns from 1. */
export interface LineProblem {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** A piece of text and where it begins. */
export interface Piece {
  readonly text: string;
  readonly line: number;
  readonly column: number;
}

/** Characters of an entry with all its continuation lines. */
const entryLengthMax = 1_000_000;

/**
 * The entries of a file: what stands on a line, with the lines behind it that begin with a blank. `#` at the start of a line, or behind a blank, begins a comment
 * (a local part may hold one: RFC 5321 §4.1.2).
 */
export function* readEntries(text: string): Generator<readonly Piece[]> {
  let entry: Piece[] = [];
  let lengthTotal = 0;
  let number = 0;
  for (const raw of text.replace(/^\ufeff/, "").split("\n")) {
    number += 1;
    const line = withoutComment(raw).trimEnd();
    const content = line.trimStart();
    if (content === "") continue;
    const piece: Piece = { text: content, line: number, column: line.length - content.length + 1 };
    lengthTotal += content.length;
    if (piece.column > 1 && entry.length > 0 && lengthTotal <= entryLengthMax) {
      entry.push(piece);
      continue;
    }
    if (entry.length > 0) yield entry;
    entry = [piece];
    lengthTotal = content.length;
  }
  if (entry.length > 0) yield entry;
}

/** The items of a list with commas; empty ones are left out. A comma in quotes or brackets is part of its item. */
export function splitItems({ text, line, column }: Piece): Piece[] {
  const items: Piece[] = [];
  let start = 0;
  while (start <= text.length) {
    const end = findOutsideQuotes(text, ",", start);
    const raw = text.slice(start, end);
    const item = raw.trim();
    if (item !== "") items.push({ text: item, line, column: column + start + raw.indexOf(item) });
    start = end + 1;
  }
  return items;
}

/** Place of the first `wanted` at or behind `from` that stands in no quotes or brackets; the text's length where there is none. */
export function findOutsideQuotes(text: string, wanted: string, from = 0): number {
  let quoted = false;
  let bracketed = false;
  for (let at = from; at < text.length; at++) {
    const character = text[at]!;
    if (quoted) {
      if (character === "\\") at += 1;
      else if (character === '"') quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === "[") bracketed = true;
    else if (character === "]") bracketed = false;
    else if (character === wanted && !bracketed) return at;
  }
  return text.length;
}

function withoutComment(line: string): string {
  let from = 0;
  for (;;) {
    const at = findOutsideQuotes(line, "#", from);
    if (at === line.length) return line;
    if (at === 0 || /\s/.test(line[at - 1]!)) return line.slice(0, at);
    from = at + 1;
  }
}
