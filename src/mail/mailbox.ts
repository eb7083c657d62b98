/**
 * Mailboxes: `local-part@domain` as SMTP writes it. RFC 5321 §4.1.2, RFC 6531 §3.3 for the international forms.
 * One strict parser decides both policy and wire: what it refuses never reaches a rule, a sink or the spool.
 */
import { isIP } from "node:net";
import { domainToASCII, domainToUnicode } from "node:url";
import { Fault } from "../platform/fault.ts";

/** Octets, RFC 5321 §4.5.3.1.1. */
export const localPartOctetsMax = 64;
/** Octets, RFC 5321 §4.5.3.1.2. */
export const domainOctetsMax = 255;

/** An address on the envelope. Compare with `sameMailbox`; print with `formatMailbox`. */
export interface Mailbox {
  /** Unquoted: `"a b"@c` has the local part `a b`. Case is kept; RFC 5321 §2.4. */
  readonly localPart: string;
  /** Lower case; an IDN in its ASCII form; an address literal with its brackets. */
  readonly domain: string;
}

// Beyond ASCII all but half a character: a lone surrogate has no octets. RFC 6531 §3.3.
const international = "\\u0080-\\ud7ff\\ue000-\\u{10ffff}";
const atext = `A-Za-z0-9!#$%&'*+/=?^_\`{|}~\\-${international}`;
const dotString = new RegExp(`^[${atext}]+(?:\\.[${atext}]+)*$`, "u");
const quotedString = new RegExp(`^"((?:[\\x20\\x21\\x23-\\x5b\\x5d-\\x7e${international}]|\\\\[\\x20-\\x7e])*)"$`, "u");
const hostName =
  /^(?=.{1,255}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/;
const addressLiteral = /^\[(?:(?<four>[\d.]{7,15})|IPv6:(?<six>[0-9A-Fa-f:.]{2,45}))\]$/i;

/**
 * Parses `local-part@domain`, without angle brackets.
 * @throws {Fault} `address.syntax`, `address.too-long`
 */
export function parseMailbox(text: string): Mailbox {
  const at = text.startsWith('"') ? text.indexOf("@", closingQuote(text)) : text.indexOf("@");
  if (at < 1)
    throw new Fault("address.syntax", `Cannot read the address ${quoteForLog(text)}: expected local-part@domain`);
  const localText = text.slice(0, at);
  const domainText = text.slice(at + 1);
  const localPart = dotString.test(localText) ? localText : quotedString.exec(localText)?.[1]?.replace(/\\(.)/gu, "$1");
  if (localPart === undefined || localPart === "") {
    throw new Fault(
      "address.syntax",
      `Cannot read the local part of ${quoteForLog(text)}: expected a dot-string or a quoted string`,
    );
  }
  if (Buffer.byteLength(localText) > localPartOctetsMax) {
    throw new Fault(
      "address.too-long",
      `Cannot take the local part of ${quoteForLog(text)}: longer than ${localPartOctetsMax} octets`,
    );
  }
  if (Buffer.byteLength(domainText) > domainOctetsMax) {
    throw new Fault(
      "address.too-long",
      `Cannot take the domain of ${quoteForLog(text)}: longer than ${domainOctetsMax} octets`,
    );
  }
  const domain = normalizeDomain(domainText);
  if (domain === undefined)
    throw new Fault(
      "address.syntax",
      `Cannot read the domain of ${quoteForLog(text)}: expected a host name or [address]`,
    );
  return { localPart, domain };
}

/** The mailbox in `text`, or undefined where there is none; for places that guess. */
export function tryParseMailbox(text: string): Mailbox | undefined {
  try {
    return parseMailbox(text);
  } catch {
    return undefined;
  }
}

/** A domain in the form we compare and store: lower-case ASCII, no trailing dot. Undefined if it is not a domain. */
export function normalizeDomain(text: string): string | undefined {
  if (text.startsWith("[")) return isAddressLiteral(text) ? text.toLowerCase() : undefined;
  if (hostName.test(text)) return text.toLowerCase();
  // What domainToASCII would cut off or decode ("/x", "%61") is no part of a domain.
  if (!/[^\x00-\x7f]/.test(text) || /[\x00-\x2c/\x3a-\x40\x5b-\x60\x7b-\x7f]/.test(text)) return undefined;
  const ascii = domainToASCII(text);
  return ascii !== "" && hostName.test(ascii) ? ascii : undefined;
}

/** The mailbox as the wire carries it; the local part quoted only where it must be. */
export function formatMailbox({ localPart, domain }: Mailbox): string {
  const local = dotString.test(localPart) ? localPart : `"${localPart.replace(/["\\]/g, "\\$&")}"`;
  return `${local}@${domain}`;
}

/** The domain as people read it: `xn--bcher-kva.example` is `bücher.example`. */
export function displayDomain(domain: string): string {
  return domain.startsWith("[") ? domain : domainToUnicode(domain) || domain;
}

/** Domains compare without case; so do local parts here (lenient: RFC 5321 §2.4 leaves their case to the owner). */
export function sameMailbox(one: Mailbox, other: Mailbox): boolean {
  return one.domain === other.domain && one.localPart.toLowerCase() === other.localPart.toLowerCase();
}

/** RFC 5321 §4.1.3. */
function isAddressLiteral(text: string): boolean {
  const { four, six } = addressLiteral.exec(text)?.groups ?? {};
  return four === undefined ? six !== undefined && isIP(six) === 6 : isIP(four) === 4;
}

function closingQuote(text: string): number {
  for (let i = 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === '"') return i;
  }
  return text.length;
}

/** Somebody else's words in our message: quoted, escaped, cut. */
export function quoteForLog(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
