/**
 * What a peer says of the client it speaks for: the attributes of XCLIENT and XFORWARD. Pure.
 * https://www.postfix.org/XCLIENT_README.html, https://www.postfix.org/XFORWARD_README.html
 */
import { isIPv6 } from "node:net";
import { plainIp } from "./plain-ip.ts";
import { decodeXtext } from "./xtext.ts";

/** Name in upper case to value; null where the peer does not know it. */
export type PeerAttributes = ReadonlyMap<string, string | null>;

const valueCharactersMax = 255;

/** What each attribute's value has to be, once decoded; the value as it is handed on, or null where it is none. */
type Check = (value: string) => string | null;

const checks: Readonly<Record<string, Check>> = {
  NAME: ifMatches(/^[A-Za-z0-9_](?:[A-Za-z0-9._-]*)$/),
  ADDR: readAddress,
  PORT: readPort,
  PROTO: ifMatches(/^[A-Za-z0-9]{1,64}$/),
  HELO: ifMatches(/^[^\s\x00-\x20\x7f]+$/),
  LOGIN: ifMatches(/^[^\x00-\x1f\x7f]+$/),
  DESTADDR: readAddress,
  DESTPORT: readPort,
  IDENT: ifMatches(/^[\x21-\x7e]+$/),
  SOURCE: ifMatches(/^(?:LOCAL|REMOTE)$/i),
};

/** Attributes by command, as EHLO lists them. */
export const peerAttributes = {
  XCLIENT: ["NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT"],
  XFORWARD: ["NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"],
} as const satisfies Record<string, readonly string[]>;

/** Reads `NAME=value …`; a sentence where something is wrong. (stricter: an attribute twice is wrong) */
export function readPeerAttributes(verb: "XCLIENT" | "XFORWARD", argument: string): PeerAttributes | string {
  const known: readonly string[] = peerAttributes[verb];
  const attributes = new Map<string, string | null>();
  if (argument === "") return `${verb} needs an attribute`;
  for (const word of argument.split(/[ \t]+/)) {
    const equals = word.indexOf("=");
    const name = word.slice(0, Math.max(equals, 0)).toUpperCase();
    if (!known.includes(name)) return `${verb} takes ${known.join(", ")}`;
    if (attributes.has(name)) return `${name} is there twice`;
    const value = decodeXtext(word.slice(equals + 1));
    if (value === null || value === "" || value.length > valueCharactersMax)
      return `The value of ${name} cannot be read`;
    if (/^\[(?:UNAVAILABLE|TEMPUNAVAIL)\]$/i.test(value)) {
      attributes.set(name, null);
      continue;
    }
    const checked = checks[name]!(value);
    if (checked === null) return `The value of ${name} cannot be read`;
    attributes.set(name, checked);
  }
  return attributes;
}

function ifMatches(pattern: RegExp): Check {
  return (value) => (pattern.test(value) ? value : null);
}

/** `192.0.2.1`, `IPV6:2001:db8::1`; (lenient: without the prefix too). */
function readAddress(value: string): string | null {
  if (!/^IPV6:/i.test(value)) return plainIp(value);
  return isIPv6(value.slice(5)) ? plainIp(value.slice(5)) : null;
}

function readPort(value: string): string | null {
  return /^\d{1,5}$/.test(value) && Number(value) <= 65_535 ? String(Number(value)) : null;
}
