/**
 * Globs over text: `*` for any run of characters, without regard to case. Matching is linear in the text it reads, whatever the pattern, so
 * that no subject line can keep the server busy; no regular expressions.
 */
import { domainToASCII } from "node:url";
import { normalizeDomain } from "../mail/mailbox.ts";

/** A pattern's text, with what quotes and backslashes said about it. */
export interface PatternText {
  readonly text: string;
  /** Places in `text` where a `*` is meant literally; null where there is none. */
  readonly literalStars: ReadonlySet<number> | null;
  readonly quoted: boolean;
}

/** `*` stands for any run of characters, the empty one included; everything else for itself, without regard to case. */
export interface Glob {
  /** Text in front of the first `*`, between, and behind the last one. One literal: the pattern has no `*`. All folded. */
  readonly literals: readonly string[];
  /** For each literal, how far a search may fall back after a mismatch: Knuth, Morris and Pratt's table. Only those in the middle have one. */
  readonly fallbacks: readonly (Uint16Array | null)[];
}

/** Two texts that differ only in case, or in how an accent is composed, fold to the same text. */
export function foldCase(text: string): string {
  // A sigma's lower case depends on what stands behind it, and a pattern is folded in pieces: one form for both.
  return isAscii(text) ? text.toLowerCase() : text.normalize("NFC").toLowerCase().replaceAll("ς", "σ");
}

export function compileGlob({ text, literalStars }: PatternText): Glob {
  const literals: string[] = [];
  let start = 0;
  for (let at = 0; at <= text.length; at++) {
    if (at < text.length && (text[at] !== "*" || literalStars?.has(at))) continue;
    literals.push(foldCase(text.slice(start, at)));
    start = at + 1;
  }
  return {
    literals,
    fallbacks: literals.map((literal, i) => (i === 0 || i === literals.length - 1 ? null : fallbackTable(literal))),
  };
}

/** Whether the glob covers all of `folded`, a text that went through `foldCase`. */
export function matchesGlob({ literals, fallbacks }: Glob, folded: string): boolean {
  const first = literals[0]!;
  if (literals.length === 1) return folded === first;
  const last = literals.at(-1)!;
  if (folded.length < first.length + last.length || !folded.startsWith(first) || !folded.endsWith(last)) return false;
  const end = folded.length - last.length;
  let at = first.length;
  for (let i = 1; i < literals.length - 1; i++) {
    at = find(literals[i]!, fallbacks[i]!, folded, at, end);
    if (at === -1) return false;
  }
  return true;
}

/** The offset behind the first `literal` in `text[from..end)`, or -1. */
function find(literal: string, fallback: Uint16Array, text: string, from: number, end: number): number {
  let matched = 0;
  if (literal.length === 0) return from;
  for (let at = from; at < end; at++) {
    const code = text.charCodeAt(at);
    while (matched > 0 && literal.charCodeAt(matched) !== code) matched = fallback[matched - 1]!;
    if (literal.charCodeAt(matched) === code) matched++;
    if (matched === literal.length) return at + 1;
  }
  return -1;
}

function fallbackTable(literal: string): Uint16Array {
  const table = new Uint16Array(literal.length);
  for (let at = 1, matched = 0; at < literal.length; at++) {
    while (matched > 0 && literal.charCodeAt(matched) !== literal.charCodeAt(at)) matched = table[matched - 1]!;
    if (literal.charCodeAt(matched) === literal.charCodeAt(at)) matched++;
    table[at] = matched;
  }
  return table;
}

/** A glob over the name a client gives with EHLO; international labels in their ASCII form, so that either form matches. */
export function compileHostGlob(pattern: PatternText): Glob {
  if (isAscii(pattern.text)) return compileGlob(pattern);
  const labels = pattern.text
    .split(".")
    .map((label) => (isAscii(label) || label.includes("*") ? label : domainToASCII(label) || label));
  return compileGlob({ ...pattern, text: labels.join("."), literalStars: null });
}

/** A name from EHLO, ready for a glob made by `compileHostGlob`. */
export function foldHost(name: string): string {
  return isAscii(name) ? name.toLowerCase() : (normalizeDomain(name) ?? foldCase(name));
}

export function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}
