/**
 * The grammar of the alias file (docs/addresses.md): which address stands for which others. Pure: who reads the files, and when, is src/sinks/address-files.ts;
 * what an address finds in them is src/sinks/address-table.ts.
 *
 *     sales: ann, bob@example.com         a name at every local domain, or one address
 *     @example.test: ann                  everybody there who is named nowhere else
 *     @old.example: @example.test         the same local part at another domain
 *     team: :include:team.txt             members in a file of their own
 *     gone: :fail: has left               refused with these words
 */
import { findOutsideQuotes, type LineProblem, type Piece, readEntries, splitItems } from "./alias-lines.ts";
import { type Mailbox, normalizeDomain, tryParseMailbox } from "./mailbox.ts";

/** One of those an address stands for. */
export type AliasMember =
  | { readonly kind: "mailbox"; readonly mailbox: Mailbox }
  /** A local part whose domain is that of the address it stands for. */
  | { readonly kind: "name"; readonly localPart: string }
  | { readonly kind: "include"; readonly path: string; readonly line: number; readonly column: number };

export type AliasTarget =
  | { readonly kind: "members"; readonly members: readonly AliasMember[] }
  /** The same local part there. */
  | { readonly kind: "domain"; readonly domain: string }
  /** Nobody, and why: one line, for senders. */
  | { readonly kind: "fail"; readonly reason: string };

/** What stands on the left: an address, a local part at every local domain, or all of a domain. */
export type AliasKey =
  | { readonly kind: "address" | "name"; readonly key: string }
  | { readonly kind: "domain"; readonly key: string };

export interface AliasEntry {
  readonly left: AliasKey;
  readonly target: AliasTarget;
  readonly line: number;
}

export interface AliasFile {
  readonly entries: readonly AliasEntry[];
  readonly problems: readonly LineProblem[];
}

/** Members of one entry. */
export const membersMax = 10_000;
/** Characters of the words behind `:fail:`: they go into a reply. */
const reasonLengthMax = 200;

/** How addresses are compared (mailbox.ts, `sameMailbox`), as a text. */
export function mailboxKey({ localPart, domain }: Mailbox): string {
  return `${localPart.toLowerCase()}@${domain}`;
}

/** Reads all of it; of an entry with a problem nothing is taken. */
export function parseAliasFile(text: string): AliasFile {
  const entries: AliasEntry[] = [];
  const problems: LineProblem[] = [];
  const lines = new Map<string, number>();
  for (const pieces of readEntries(text)) {
    const first = pieces[0]!;
    const found: LineProblem[] = [];
    const problem = (piece: Pick<Piece, "line" | "column">, message: string) =>
      found.push({ line: piece.line, column: piece.column, message });
    const colon = findOutsideQuotes(first.text, ":");
    const left = first.text.slice(0, colon).trim();
    if (first.column > 1) problem(first, "a line that begins with a blank goes on with an entry, and there is none");
    else if (colon === first.text.length) problem(first, `expected "NAME: ADDRESS, …"; there is no ":"`);
    else {
      const key = readKey(left);
      if (typeof key === "string") problem(first, key);
      else {
        const known = `${key.kind} ${key.key}`;
        const before = lines.get(known);
        if (before !== undefined) problem(first, `${left} stands in line ${before} already`);
        else lines.set(known, first.line);
        const rest: Piece = { ...first, text: first.text.slice(colon + 1), column: first.column + colon + 1 };
        const target = readTarget(key, [rest, ...pieces.slice(1)], problem);
        if (found.length === 0 && target) entries.push({ left: key, target, line: first.line });
      }
    }
    problems.push(...found);
  }
  return { entries, problems };
}

/** A file that `:include:` names: members, with commas or one a line. */
export function parseMemberFile(text: string): {
  readonly members: readonly AliasMember[];
  readonly problems: readonly LineProblem[];
} {
  const members: AliasMember[] = [];
  const problems: LineProblem[] = [];
  for (const item of [...readEntries(text)].flat().flatMap(splitItems)) {
    const member = readMember(item);
    if (typeof member === "string") problems.push({ line: item.line, column: item.column, message: member });
    else if (member.kind === "include")
      problems.push({ line: item.line, column: item.column, message: "an included file cannot include another" });
    else members.push(member);
  }
  if (members.length > membersMax) problems.push({ line: 1, column: 1, message: tooMany(members.length) });
  return { members, problems };
}

/** A local part by itself, quoted where it has to be; undefined where it is none. */
export function readLocalPart(text: string): string | undefined {
  return findOutsideQuotes(text, "@") === text.length ? tryParseMailbox(`${text}@name.invalid`)?.localPart : undefined;
}

/** The key, or why it is none. */
function readKey(text: string): AliasKey | string {
  if (text.startsWith("@")) {
    const domain = normalizeDomain(text.slice(1));
    return domain === undefined ? `expected a domain behind "@"` : { kind: "domain", key: domain };
  }
  const mailbox = tryParseMailbox(text);
  if (mailbox) return { kind: "address", key: mailboxKey(mailbox) };
  const localPart = readLocalPart(text);
  if (localPart !== undefined) return { kind: "name", key: localPart.toLowerCase() };
  return "expected a name, an address or @domain in front of the colon";
}

function readTarget(
  key: AliasKey,
  pieces: readonly Piece[],
  problem: (piece: Piece, message: string) => void,
): AliasTarget | undefined {
  const [, words] = /^\s*:fail:(.*)$/s.exec(pieces.map(({ text }) => text).join(" ")) ?? [];
  if (words !== undefined) {
    const reason = words.trim();
    if (reason.length > reasonLengthMax || /[^\x20-\x7e]/.test(reason))
      problem(pieces[0]!, `expected at most ${reasonLengthMax} characters of plain ASCII behind :fail:`);
    return { kind: "fail", reason };
  }
  const items = pieces.flatMap(splitItems);
  if (items.length === 0) problem(pieces[0]!, "expected somebody behind the colon");
  if (items.length > membersMax) problem(items[membersMax]!, tooMany(items.length));
  const [only] = items;
  if (only && items.length === 1 && only.text.startsWith("@")) {
    const domain = normalizeDomain(only.text.slice(1));
    if (key.kind !== "domain") problem(only, `"${only.text}" takes all of a domain: expected @domain on the left, too`);
    else if (domain === undefined) problem(only, `expected a domain behind "@"`);
    else if (domain === key.key) problem(only, `@${domain} leads to itself`);
    else return { kind: "domain", domain };
    return undefined;
  }
  const members: AliasMember[] = [];
  for (const item of items.slice(0, membersMax)) {
    const member = readMember(item);
    if (typeof member === "string") problem(item, member);
    else members.push(member);
  }
  return { kind: "members", members };
}

/** One member, or why it is none. */
function readMember({ text, line, column }: Piece): AliasMember | string {
  const [, path] = /^"?:include:\s*(.*?)"?$/s.exec(text) ?? [];
  if (path !== undefined)
    return path === "" ? "expected the path of a file behind :include:" : { kind: "include", path, line, column };
  if (text.startsWith(":"))
    return `expected an address; of words between colons there are :include: and, alone, :fail:`;
  if (/^"?\|/.test(text)) return "mail is not given to programs here: bind a sink or a script, or deliver by HTTP";
  if (/^"?[/\\]/.test(text)) return "expected an address: files and backslashes mean nothing here";
  if (text.startsWith("@")) return "@domain stands alone, behind another @domain";
  const mailbox = tryParseMailbox(text);
  if (mailbox) return { kind: "mailbox", mailbox };
  const localPart = readLocalPart(text);
  if (localPart !== undefined) return { kind: "name", localPart };
  return `expected an address or a name, found ${JSON.stringify(text.slice(0, 80))}`;
}

function tooMany(count: number): string {
  return `${count} members, expected at most ${membersMax}`;
}
