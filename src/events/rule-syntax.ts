/**
 * A rule's text taken apart: `KEY = pattern; KEY = pattern`. Finds where conditions, keys and patterns begin and end, and says what is wrong
 * with its column. What a pattern means stands in rule-pattern.ts and glob.ts, how conditions combine in rule.ts.
 */
import { Fault } from "../platform/fault.ts";
import type { PatternText } from "./glob.ts";

/** Octets of a rule. */
export const ruleOctetsMax = 4096;
/** Conditions of a rule. */
export const ruleConditionsMax = 100;

export type RuleKey =
  | "EHLO"
  | "MAIL FROM"
  | "RCPT TO"
  | "CLIENT"
  | "USER"
  | "LISTENER"
  | "SUBJECT"
  | "HEADER"
  | "SIZE"
  | "SPF"
  | "DKIM"
  | "DMARC"
  | "ARC"
  | "VERB";

const ruleKeys: readonly RuleKey[] = [
  "EHLO",
  "MAIL FROM",
  "RCPT TO",
  "CLIENT",
  "USER",
  "LISTENER",
  "SUBJECT",
  "HEADER",
  "SIZE",
  "SPF",
  "DKIM",
  "DMARC",
  "ARC",
  "VERB",
];

/** One condition as it was written. */
export interface ConditionText {
  readonly key: RuleKey;
  /** For HEADER, the field's name as written. */
  readonly fieldName: string;
  /** Undefined where the condition has no "=": `HEADER X-Loop`, and a verb alone. */
  readonly pattern: PatternText | undefined;
  /** The condition as it was written, blanks around it removed. */
  readonly text: string;
  /** Where key and pattern begin, from 1. */
  readonly column: number;
  readonly patternColumn: number;
}

/**
 * Splits a rule into its conditions, at least one. `takesVerbs`: a word alone is a VERB condition, as it is for protocol events.
 * @throws {Fault} `rule.syntax`
 */
export function splitRule(text: string, takesVerbs: boolean): readonly ConditionText[] {
  if (Buffer.byteLength(text) > ruleOctetsMax) throw ruleFault(1, `it is longer than ${ruleOctetsMax} octets`);
  const control = /[^\t\r\n -\u{10ffff}]|\x7f/u.exec(text);
  if (control) throw ruleFault(control.index + 1, "it holds a control character");
  const conditions: ConditionText[] = [];
  for (let at = skipBlanks(text, 0); at < text.length; ) {
    const { condition, end } = readCondition(text, at, takesVerbs);
    conditions.push(condition);
    if (conditions.length > ruleConditionsMax)
      throw ruleFault(at + 1, `it has more than ${ruleConditionsMax} conditions`);
    at = skipBlanks(text, end + 1);
  }
  if (conditions.length === 0) throw ruleFault(1, "it is empty; a binding without a rule is asked about everything");
  return conditions;
}

/** What is wrong with a rule, and where; `column` counts from 1. */
export function ruleFault(column: number, words: string): Fault {
  return new Fault("rule.syntax", `Cannot read the rule at column ${column}: ${words}`, { facts: { column } });
}

/** The condition that begins at `start`; `end` is the offset of the ";" behind it, or of the end of the rule. */
function readCondition(
  text: string,
  start: number,
  takesVerbs: boolean,
): { readonly condition: ConditionText; readonly end: number } {
  if (text[start] === ";") throw ruleFault(start + 1, 'expected a condition before ";"');
  const keyEnd = indexOfAny(text, "=;", start);
  // SIZE > 10MB reads better than SIZE = >10MB, and can mean nothing else.
  const size = /^SIZE\s*(?=[<>])/i.exec(text.slice(start, keyEnd));
  const hasPattern = size !== null || text[keyEnd] === "=";
  const { key, fieldName } = readKey(text.slice(start, size ? start + size[0].length : keyEnd), {
    start,
    hasPattern,
    takesVerbs,
  });
  const patternStart = size ? start + size[0].length : skipBlanks(text, keyEnd + 1);
  if (!hasPattern) {
    const word = text.slice(start, keyEnd).trim();
    const pattern = key === "VERB" ? { text: word, literalStars: null, quoted: false } : undefined;
    return {
      condition: { key, fieldName, pattern, text: word, column: start + 1, patternColumn: start + 1 },
      end: keyEnd,
    };
  }
  const { pattern, end } = readPattern(text, patternStart, key === "MAIL FROM" || key === "RCPT TO");
  return {
    condition: {
      key,
      fieldName,
      pattern,
      text: text.slice(start, end).trim(),
      column: start + 1,
      patternColumn: patternStart + 1,
    },
    end,
  };
}

function readKey(
  written: string,
  place: { readonly start: number; readonly hasPattern: boolean; readonly takesVerbs: boolean },
): { readonly key: RuleKey; readonly fieldName: string } {
  const words = written.trim().split(/\s+/);
  const key = words.join(" ").toUpperCase();
  const column = place.start + 1;
  if (words[0]!.toUpperCase() === "HEADER") {
    const fieldName = (words[1] ?? "").replace(/:$/, "");
    if (words.length !== 2 || !/^[!-9<>-~]+$/.test(fieldName))
      throw ruleFault(column, "expected the name of one field behind HEADER, such as HEADER X-Spam-Flag = YES");
    return { key: "HEADER", fieldName };
  }
  if (!place.hasPattern && place.takesVerbs && words.length === 1) {
    if (!/^[A-Z0-9_*-]+$/.test(key)) throw ruleFault(column, `${show(written)} is no verb`);
    return { key: "VERB", fieldName: "" };
  }
  const known = ruleKeys.find((one) => one === key);
  if (known && place.hasPattern) return { key: known, fieldName: "" };
  if (known) throw ruleFault(column, `expected "=" and a pattern behind ${known}`);
  if (key === "") throw ruleFault(column, 'expected a key before "="');
  if (/!$/.test(key))
    throw ruleFault(column, 'there is no "!=": a rule says what is meant, and a handler may look further');
  const near = nearestKey(key);
  const all = ruleKeys.map((one) => (one === "HEADER" ? "HEADER <name>" : one)).join(", ");
  throw ruleFault(
    column,
    `there is no key ${show(written)}; ${near ? `did you mean ${near}?` : `expected one of ${all}`}`,
  );
}

/** The pattern that begins at `start`. A quote counts only at the very beginning: what it encloses may hold ";". */
function readPattern(
  text: string,
  start: number,
  isMailbox: boolean,
): { readonly pattern: PatternText; readonly end: number } {
  if (text[start] !== '"') {
    const end = indexOfAny(text, ";", start);
    const written = text.slice(start, end).trimEnd();
    if (written === "") throw ruleFault(start + 1, 'expected a pattern behind "="; write "" for the empty text');
    const lineEnd = /[\r\n]/.exec(written);
    if (lineEnd) throw ruleFault(start + lineEnd.index + 1, 'expected ";" before the next line');
    return { pattern: { text: written, literalStars: null, quoted: false }, end };
  }
  const { value, literalStars, end: quoteEnd } = readQuoted(text, start);
  const end = indexOfAny(text, ";", quoteEnd);
  const rest = text.slice(quoteEnd, end).trimEnd();
  if (rest === "") return { pattern: { text: value, literalStars, quoted: true }, end };
  // A quoted local part keeps its quotes: "a b"@example.org. RFC 5321 §4.1.2.
  if (isMailbox && rest.startsWith("@"))
    return { pattern: { text: text.slice(start, quoteEnd) + rest, literalStars: null, quoted: false }, end };
  throw ruleFault(quoteEnd + 1, 'expected ";" or the end behind the closing quote');
}

/** Inside quotes a backslash makes the next character literal, a "*" too. */
function readQuoted(
  text: string,
  start: number,
): { readonly value: string; readonly literalStars: ReadonlySet<number> | null; readonly end: number } {
  let value = "";
  const literalStars = new Set<number>();
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at]!;
    if (character === '"') return { value, literalStars: literalStars.size > 0 ? literalStars : null, end: at + 1 };
    if (character === "\\" && at + 1 < text.length) {
      at++;
      if (text[at] === "*") literalStars.add(value.length);
      value += text[at];
    } else value += character;
  }
  throw ruleFault(start + 1, "the quote that begins here is never closed");
}

// What people write who know another program.
const otherWords: Readonly<Record<string, RuleKey | "HEADER <name>">> = {
  HELO: "EHLO",
  LHLO: "EHLO",
  HOST: "EHLO",
  FROM: "MAIL FROM",
  SENDER: "MAIL FROM",
  "MAIL FROM:": "MAIL FROM",
  MAIL: "MAIL FROM",
  MAILFROM: "MAIL FROM",
  "MAIL-FROM": "MAIL FROM",
  TO: "RCPT TO",
  RCPT: "RCPT TO",
  RECIPIENT: "RCPT TO",
  "RCPT TO:": "RCPT TO",
  RCPTTO: "RCPT TO",
  "RCPT-TO": "RCPT TO",
  IP: "CLIENT",
  ADDRESS: "CLIENT",
  NETWORK: "CLIENT",
  LOGIN: "USER",
  AUTH: "USER",
  PORT: "LISTENER",
  FIELD: "HEADER <name>",
  COMMAND: "VERB",
};

function nearestKey(written: string): string | undefined {
  if (Object.hasOwn(otherWords, written)) return otherWords[written];
  if (/^X-/.test(written)) return `HEADER ${written}`;
  let nearest: string | undefined;
  let distanceMin = 3;
  for (const key of ruleKeys) {
    const distance = editDistance(written.slice(0, 20), key);
    if (distance < distanceMin) {
      nearest = key === "HEADER" ? "HEADER <name>" : key;
      distanceMin = distance;
    }
  }
  return nearest;
}

/** Insertions, deletions and replacements from one word to the other: Levenshtein's distance. */
function editDistance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, i) => i);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + Number(one[i - 1] !== other[j - 1])));
    }
    row = next;
  }
  return row.at(-1)!;
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (at < text.length && /\s/.test(text[at]!)) at++;
  return at;
}

function indexOfAny(text: string, characters: string, from: number): number {
  let at = from;
  while (at < text.length && !characters.includes(text[at]!)) at++;
  return at;
}

function show(text: string): string {
  return JSON.stringify(text.trim().slice(0, 40));
}
