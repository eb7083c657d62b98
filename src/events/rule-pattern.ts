/**
 * The patterns on the right of a rule's conditions, compiled: mailboxes, clients and sizes. Globs over text are in glob.ts; what the keys are
 * and how conditions are joined stands in rule.ts.
 */
import { BlockList, isIP } from "node:net";
import { type Mailbox, normalizeDomain } from "../mail/mailbox.ts";
import type { ReversePath } from "../mail/path.ts";
import { foldCase, isAscii, type PatternText } from "./glob.ts";

/** Why a pattern cannot be read, in words that follow "Cannot read the rule at column N: "; `at` is the place in the pattern, from 0. */
export class PatternError extends Error {
  readonly at: number;
  constructor(message: string, at = 0) {
    super(message);
    this.at = at;
  }
}

// -- Mailboxes ------------------------------------------------------------------------------------------------------------------------

type Part =
  | { readonly how: "any" }
  | { readonly how: "equals" | "prefix" | "suffix" | "contains"; readonly text: string };

/** Which reverse-paths or recipients a condition means. Compare with `matchesMailbox`, `matchesReversePath`. */
export interface MailboxPattern {
  /** `*`: everything, the null reverse-path included. `<>`: nothing but that. */
  readonly whole: "any" | "null" | "parts";
  readonly localPart: Part;
  readonly domain: Part;
}

const any: Part = { how: "any" };
const localPartText = /^[A-Za-z0-9!#$%&'+/=?^_`{|}~.\-\u0080-\u{10ffff}]*$/u;

/**
 * Reads `sales@example.org`, `*@example.org`, `info*@*.example.org`, `@example.org`, `*.example.org`, `<>`, `*`.
 * @throws {PatternError}
 */
export function compileMailboxPattern({ text: written }: PatternText): MailboxPattern {
  if (written === "*") return { whole: "any", localPart: any, domain: any };
  if (written === "<>") return { whole: "null", localPart: any, domain: any };
  const bracketed = written.startsWith("<") && written.endsWith(">");
  const text = bracketed ? written.slice(1, -1) : written;
  const at = text.startsWith('"') ? closingQuote(text) + 1 : text.indexOf("@");
  if (text[at] !== "@")
    return { whole: "parts", localPart: any, domain: compileDomain(domainWithoutLocalPart(text), 0) };
  // "@example.org" can only mean everybody there: a local part is never empty.
  const localPart = at === 0 ? any : compileLocalPart(text.slice(0, at));
  return { whole: "parts", localPart, domain: compileDomain(text.slice(at + 1), at + 1 + Number(bracketed)) };
}

/** Allocates nothing, unless the local part has characters beyond ASCII. */
export function matchesMailbox({ whole, localPart, domain }: MailboxPattern, mailbox: Mailbox): boolean {
  if (whole !== "parts") return whole === "any";
  return matchesDomain(domain, mailbox.domain) && matchesLocalPart(localPart, mailbox.localPart);
}

export function matchesReversePath(pattern: MailboxPattern, path: ReversePath): boolean {
  return path === null ? pattern.whole !== "parts" : pattern.whole !== "null" && matchesMailbox(pattern, path);
}

function domainWithoutLocalPart(text: string): string {
  // As text, "*.example.org" covers the end of an address, and that can only be its domain; "first.last" may be either half.
  if (/^\*.*\./su.test(text) && !text.endsWith("*")) return text;
  const domain = text.replace(/\*/g, "");
  throw new PatternError(
    domain.includes(".")
      ? `expected an "@" in the pattern; write *@${domain} for everybody there`
      : `expected an "@" in the pattern; write ${text}@* for that local part at every domain`,
  );
}

function compileLocalPart(text: string): Part {
  if (text === '""') throw new PatternError("expected a local part between the quotes");
  if (text.startsWith('"')) return { how: "equals", text: foldCase(text.slice(1, -1).replace(/\\(.)/gu, "$1")) };
  const { how, core } = splitStars(text);
  const star = core.indexOf("*");
  if (star !== -1)
    throw new PatternError(
      'a "*" in a local part stands at its beginning or its end; quote the local part to mean the character',
      text.indexOf(core) + star,
    );
  if (!localPartText.test(core))
    throw new PatternError("expected a local part; one with blanks or special characters stands in double quotes");
  return how === "any" ? any : { how, text: foldCase(core) };
}

function compileDomain(text: string, offset: number): Part {
  if (text === "*") return any;
  if (text === "") throw new PatternError('expected a domain behind "@"', offset);
  const core = text.startsWith("*") ? text.slice(1) : text;
  const star = core.indexOf("*");
  if (star !== -1)
    throw new PatternError('a "*" in a domain stands at its beginning', offset + star + text.length - core.length);
  if (core === text) {
    const domain = normalizeDomain(text);
    if (domain === undefined) throw new PatternError("expected a domain, such as example.org or *.example.org", offset);
    return { how: "equals", text: domain };
  }
  // Behind "*" stands a dot and a domain, or the rest of a label: that has to be a domain with a letter in front.
  const label = core.startsWith(".") ? "." : "";
  const rest = core.slice(label.length);
  const suffix = label === "" && isAscii(rest) ? normalizeDomain(`a${rest}`)?.slice(1) : normalizeDomain(rest);
  if (!suffix) throw new PatternError('expected a domain behind "*", such as *.example.org', offset + 1);
  return { how: "suffix", text: label + suffix };
}

function splitStars(text: string): { readonly how: Part["how"]; readonly core: string } {
  const leading = text.startsWith("*");
  const trailing = text.length > 1 && text.endsWith("*");
  const core = text.slice(Number(leading), text.length - Number(trailing));
  if (core === "") return { how: "any", core };
  return { how: leading ? (trailing ? "contains" : "suffix") : trailing ? "prefix" : "equals", core };
}

function matchesDomain(part: Part, domain: string): boolean {
  switch (part.how) {
    case "any":
      return true;
    case "equals":
      return domain === part.text;
    default:
      return domain.endsWith(part.text);
  }
}

function matchesLocalPart(part: Part, localPart: string): boolean {
  if (part.how === "any") return true;
  const text = isAscii(localPart) ? localPart : foldCase(localPart);
  const spare = text.length - part.text.length;
  if (spare < 0) return false;
  switch (part.how) {
    case "equals":
      return spare === 0 && foldedAt(text, 0, part.text);
    case "prefix":
      return foldedAt(text, 0, part.text);
    case "suffix":
      return foldedAt(text, spare, part.text);
    case "contains":
      // At most 64 octets long (RFC 5321 §4.5.3.1.1): trying every place is cheap.
      for (let at = 0; at <= spare; at++) if (foldedAt(text, at, part.text)) return true;
      return false;
  }
}

/** Whether `folded` stands in `text` at `at`, without regard to the case of ASCII letters. */
function foldedAt(text: string, at: number, folded: string): boolean {
  for (let i = 0; i < folded.length; i++) {
    const code = text.charCodeAt(at + i);
    if ((code >= 0x41 && code <= 0x5a ? code | 0x20 : code) !== folded.charCodeAt(i)) return false;
  }
  return true;
}

function closingQuote(text: string): number {
  for (let i = 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === '"') return i;
  }
  return text.length;
}

/** The `example.com` of a pattern that ends in `*example.com`, as people write who mean that domain and all below it. Else undefined. */
export function looseSuffix(pattern: string): string | undefined {
  return /(?:^|@)\*([^*.[@][^*@]*\.[^*@]*)$/u.exec(pattern)?.[1];
}

// -- Clients --------------------------------------------------------------------------------------------------------------------------

/** Addresses a condition means; `null` is `*`, every address. */
export type ClientPattern = BlockList | null;

/** Reads an address or a CIDR block, IPv4 or IPv6. @throws {PatternError} */
export function compileClientPattern({ text }: PatternText): ClientPattern {
  if (text === "*") return null;
  const slash = text.indexOf("/");
  const written = (slash === -1 ? text : text.slice(0, slash)).replace(/^\[(?:IPv6:)?(.*)\]$/i, "$1");
  if (written.includes("*")) throw new PatternError('addresses take no "*"; write a block such as 192.0.2.0/24');
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(written);
  const address = mapped ? mapped[1]! : written;
  const family = isIP(address);
  if (family === 0 || written.includes("%"))
    throw new PatternError("expected an IP address or a block such as 192.0.2.0/24 or 2001:db8::/32");
  const list = new BlockList();
  const name = family === 4 ? "ipv4" : "ipv6";
  if (slash === -1) {
    list.addAddress(address, name);
    return list;
  }
  const bitsMax = family === 4 ? 32 : 128;
  const digits = text.slice(slash + 1);
  const bits = /^\d{1,3}$/.test(digits) ? Number(digits) - (mapped ? 96 : 0) : -1;
  if (bits < 0 || bits > bitsMax)
    throw new PatternError(`expected a prefix length from 0 to ${bitsMax} behind "/"`, slash + 1);
  list.addSubnet(address, bits, name);
  return list;
}

/** An IPv4 address in its IPv6 form (`::ffff:192.0.2.1`) is the same address. */
export function matchesClient(pattern: ClientPattern, client: string): boolean {
  if (pattern === null) return true;
  const zone = client.indexOf("%");
  const address = zone === -1 ? client : client.slice(0, zone);
  const family = isIP(address);
  return family !== 0 && pattern.check(address, family === 4 ? "ipv4" : "ipv6");
}

// -- Sizes ----------------------------------------------------------------------------------------------------------------------------

export interface SizePattern {
  readonly operator: ">" | ">=" | "<" | "<=";
  readonly octets: number;
}

const unitOctets: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
};

/** Reads `>10MB`, `<= 512 KiB`, `>1.5GiB`; MB is 1,000,000 octets and MiB 1,048,576. @throws {PatternError} */
export function compileSizePattern({ text }: PatternText): SizePattern {
  const match = /^(>=|<=|>|<)\s*(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]*)$/i.exec(text);
  if (!match)
    throw new PatternError(
      'expected a comparison such as >10MB or <=512KiB: one of ">", ">=", "<", "<=", then a number and a unit',
    );
  const unit = unitOctets[match[3]!.toLowerCase()];
  if (unit === undefined)
    throw new PatternError(
      `there is no unit ${match[3]}; expected B, KB, MB, GB, KiB, MiB or GiB`,
      text.length - match[3]!.length,
    );
  return { operator: match[1] as SizePattern["operator"], octets: Number(match[2]) * unit };
}

export function matchesSize({ operator, octets }: SizePattern, sizeOctets: number): boolean {
  switch (operator) {
    case ">":
      return sizeOctets > octets;
    case ">=":
      return sizeOctets >= octets;
    case "<":
      return sizeOctets < octets;
    case "<=":
      return sizeOctets <= octets;
  }
}
