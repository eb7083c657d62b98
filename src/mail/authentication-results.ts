/**
 * The Authentication-Results field: writes ours, and removes those that only say they are. RFC 8601. Whoever wrote a field is its authserv-id; mail
 * readers believe the one of their own server, so a field with our name that came in from outside is a forgery, or might as well be.
 */
import type { AuthFacts } from "./auth-facts.ts";
import { type Field, fieldValue, Header } from "./header.ts";
import { normalizeDomain } from "./mailbox.ts";

const name = "Authentication-Results";
/** Characters of one value somebody else wrote. */
const valueLengthMax = 255;
/** Characters of a result in one line. RFC 5322 §2.1.1. */
const resultLengthMax = 900;

/** The header with what was found out on top of it, above all other trace fields (RFC 8601 §5), and without any other field of that authserv-id. */
export function withAuthenticationResults(header: Header, authservId: string, facts: AuthFacts): Header {
  const { fields } = withoutResultsOf(header, authservId);
  return new Header([createResultsField(authservId, facts), ...fields]);
}

/**
 * The header without the Authentication-Results that claim to be `authservId`'s. Every other field keeps its octets: other hosts' results, and
 * ARC-Authentication-Results, which seals cover. RFC 8601 §5, RFC 8617 §4.1.1.
 */
export function withoutResultsOf(header: Header, authservId: string): Header {
  if (!header.has(name)) return header;
  const own = plainDomain(authservId);
  const fields = header.fields.filter((field) => {
    if (field.name.toLowerCase() !== name.toLowerCase()) return true;
    const claimed = readAuthservId(fieldValue(field));
    // (stricter: what cannot be read says nothing to anybody, and some reader may read our name into it)
    return claimed !== null && plainDomain(claimed) !== own;
  });
  return fields.length === header.fields.length ? header : new Header(fields);
}

/** Who a field's value says it is of; null where that cannot be read. RFC 8601 §2.2. */
export function readAuthservId(value: string): string | null {
  const at = skipComments(value, 0);
  if (at === null) return null;
  if (value[at] !== '"') return /^[^\s;()"/=]+/.exec(value.slice(at, at + 1_000))?.[0] ?? null;
  let text = "";
  for (let i = at + 1; i < value.length; i++) {
    if (value[i] === '"') return text.trim();
    if (value[i] === "\\") i++;
    text += value[i] ?? "";
  }
  return null;
}

/** The offset behind blanks and comments, which nest (RFC 5322 §3.2.2); null where one is never closed. */
function skipComments(value: string, from: number): number | null {
  let depth = 0;
  let at = from;
  for (; at < value.length; at++) {
    const character = value[at]!;
    if (character === "(") depth++;
    else if (depth === 0 && !/\s/.test(character)) return at;
    else if (character === ")") depth--;
    else if (character === "\\") at++;
  }
  return depth === 0 ? at : null;
}

/** Without what nobody sees, and some readers leave out. */
function plainDomain(text: string): string {
  const plain = text.replace(/\p{C}+/gu, "").replace(/\.$/, "");
  return normalizeDomain(plain) ?? plain.toLowerCase();
}

/** One line for each result, several where somebody else wrote that much into it. RFC 8601 §2.2. */
export function createResultsField(authservId: string, facts: AuthFacts): Field {
  const text = `${name}: ${[word(authservId), ...describeResults(facts).map(foldLong)].join(";\r\n ")}\r\n`;
  return { name, octets: Buffer.from(text, "latin1") };
}

function foldLong(result: string): string {
  return result.length <= resultLengthMax ? result : result.replace(/ (?=header\.[a-z]+=)/g, "\r\n  ");
}

function describeResults({ spf, dkim, dmarc, arc, iprev }: AuthFacts): string[] {
  const signatures =
    dkim.length === 0
      ? ["dkim=none"]
      : dkim.map(
          (one) =>
            `dkim=${one.result}${reason(one.reason)}${property("header.d", one.domain)}${property("header.s", one.selector)}${property("header.a", one.algorithm)}${property("header.b", one.signature)}`,
        );
  return [
    `spf=${spf.result}${property(spf.identity === "helo" ? "smtp.helo" : "smtp.mailfrom", spf.domain)}`,
    ...signatures,
    `dmarc=${dmarc.result}${dmarc.policy === null ? "" : ` (p=${dmarc.policy})`}${reason(dmarc.reason)}${property("header.from", dmarc.domain)}`,
    `arc=${arc.result}`,
    `iprev=${iprev.result}${iprev.host === null ? "" : ` (${iprev.host.replace(/[^A-Za-z0-9._-]/g, "")})`}`,
  ];
}

function reason(text: string): string {
  return text === "" ? "" : ` reason=${quoted(text)}`;
}

function property(key: string, value: string): string {
  return value === "" ? "" : ` ${key}=${word(value)}`;
}

/** As it is where it is a token, else quoted: these are other people's words, and must not end the field or begin another result. */
function word(value: string): string {
  return value.length <= valueLengthMax && /^[A-Za-z0-9._@+-]+$/.test(value) ? value : quoted(value);
}

function quoted(value: string): string {
  const plain = value.slice(0, valueLengthMax).replace(/[^\x20-\x7e]/g, "?");
  return `"${plain.replace(/["\\]/g, "\\$&")}"`;
}
