/** Reverse-paths and forward-paths: the addresses on the envelope. RFC 5321 §4.1.2. Header fields are another thing; see header.ts. */
import { Fault } from "../platform/fault.ts";
import { formatMailbox, type Mailbox, normalizeDomain, parseMailbox, quoteForLog } from "./mailbox.ts";

/** Longest path, in octets, brackets included. RFC 5321 §4.5.3.1.3. */
export const pathOctetsMax = 256;

/** Where failure reports go. `null` is the null reverse-path `<>`: report to nobody. RFC 5321 §4.5.5. */
export type ReversePath = Mailbox | null;

/**
 * Parses the argument of `MAIL FROM:`, without its ESMTP parameters; the brackets may be missing. A source route is accepted and dropped.
 * @throws {Fault} `path.syntax`, `path.too-long`, `address.syntax`, `address.too-long`; the session answers 501 5.1.7
 */
export function parseReversePath(text: string): ReversePath {
  return text === "<>" || text === "" ? null : parseForwardPath(text);
}

/**
 * Parses the argument of `RCPT TO:`, without its ESMTP parameters. RFC 5321 §4.1.1.3.
 * @throws {Fault} `path.syntax`, `path.too-long`, `address.syntax`, `address.too-long`; the session answers 501 5.1.3
 */
export function parseForwardPath(text: string): Mailbox {
  if (Buffer.byteLength(text) > pathOctetsMax) {
    throw new Fault("path.too-long", `Cannot take the path ${quoteForLog(text)}: longer than ${pathOctetsMax} octets`);
  }
  if (!text.startsWith("<")) return parseMailbox(text);
  if (!text.endsWith(">"))
    throw new Fault("path.syntax", `Cannot read the path ${quoteForLog(text)}: expected <local-part@domain>`);
  const inner = text.slice(1, -1);
  // RFC 5321 appendix C: "@one,@two:user@three" names relays nobody should obey any more.
  const route = /^(@[^:"]*):/.exec(inner);
  if (!route) return parseMailbox(inner);
  if (!route[1]!.split(",").every((hop) => hop.startsWith("@") && normalizeDomain(hop.slice(1)) !== undefined)) {
    throw new Fault("path.syntax", `Cannot read the source route of ${quoteForLog(text)}: expected @domain,@domain:`);
  }
  return parseMailbox(inner.slice(route[0].length));
}

/** The reverse-path as people and logs see it: `<>` for the null one. */
export function formatReversePath(path: ReversePath): string {
  return path === null ? "<>" : formatMailbox(path);
}
