/**
 * Next hops: where a recipient's mail goes from here, as a value and as the text that configuration, sinks and scripts write:
 * `maildir` · `drop` · `mx` · `mx:other.example` · `smarthost` · `smtp://a.example:2525,b.example` · `smtps://…` · `lmtp://127.0.0.1:24` · `lmtp:/run/lmtp` ·
 * `https://app.example/mail` · `hold` · `hold:reason`. Pure.
 */
import { isIP } from "node:net";
import { Fault } from "../platform/fault.ts";
import { normalizeDomain } from "./mailbox.ts";

export type NextHop =
  /** The mailbox's own Maildir. */
  | { readonly kind: "maildir" }
  /** A file in the drop folder. */
  | { readonly kind: "drop" }
  /** The mail exchangers of a domain. RFC 5321 §5.1. */
  | { readonly kind: "mx"; readonly domain: string }
  /** The one the configuration names, with its credentials. */
  | { readonly kind: "smarthost" }
  /** These servers, in this order; no MX is looked up. */
  | { readonly kind: "smtp"; readonly servers: readonly Server[]; readonly implicitTls: boolean }
  | { readonly kind: "lmtp"; readonly server: Server | { readonly socket: string } }
  | { readonly kind: "http"; readonly url: string }
  /** Nothing is tried until somebody acts. */
  | { readonly kind: "hold"; readonly reason: string };

export interface Server {
  /** Name in lower case, or address without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Servers of one hop. */
const serversMax = 20;
const urlLengthMax = 2_000;
const reasonLengthMax = 200;

/** Ports where none is written: RFC 5321 §4.5.4.2, RFC 8314 §7.3, RFC 2033 §5 (which leaves it open; 24 is the custom). */
const ports = { smtp: 25, smtps: 465, lmtp: 24 } as const;

/**
 * @param domain the recipient's, for `mx` by itself
 * @throws {Fault} `next-hop.syntax`
 */
export function parseNextHop(text: string, domain = ""): NextHop {
  const written = text.trim();
  const fail = (expected: string) =>
    new Fault(
      "next-hop.syntax",
      `Cannot read the next hop ${JSON.stringify(text.slice(0, 100))}: expected ${expected}`,
    );
  switch (written) {
    case "maildir":
    case "drop":
    case "smarthost":
      return { kind: written };
    case "mx":
      return { kind: "mx", domain };
    case "hold":
      return { kind: "hold", reason: "held by a route" };
  }
  const [, scheme = "", rest = ""] = /^([a-z]+):(.*)$/s.exec(written) ?? [];
  switch (scheme) {
    case "hold": {
      const reason = rest.trim().slice(0, reasonLengthMax);
      if (reason === "" || /[\x00-\x1f\x7f]/.test(reason)) throw fail("words behind hold:");
      return { kind: "hold", reason };
    }
    case "mx": {
      const other = normalizeDomain(rest.trim());
      if (other === undefined) throw fail("a domain behind mx:");
      return { kind: "mx", domain: other };
    }
    case "smtp":
    case "smtps": {
      if (!rest.startsWith("//")) throw fail(`${scheme}://HOST[:PORT][,HOST[:PORT]…]`);
      const parts = rest.slice(2).split(",");
      if (parts.length > serversMax) throw fail(`${serversMax} servers at most`);
      const servers = parts.map((part) => parseServer(part, ports[scheme]));
      if (!servers.every((server) => server !== undefined)) throw fail(`${scheme}://HOST[:PORT][,HOST[:PORT]…]`);
      return { kind: "smtp", servers, implicitTls: scheme === "smtps" };
    }
    case "lmtp": {
      if (/^\/[^/\x00-\x1f\x7f][^\x00-\x1f\x7f]*$/.test(rest)) return { kind: "lmtp", server: { socket: rest } };
      const server = rest.startsWith("//") ? parseServer(rest.slice(2), ports.lmtp) : undefined;
      if (!server) throw fail("lmtp://HOST[:PORT], or lmtp:/PATH of a socket");
      return { kind: "lmtp", server };
    }
    case "http":
    case "https": {
      const url = URL.parse(written);
      if (!url || url.hostname === "" || url.hash !== "" || url.username !== "" || written.length > urlLengthMax)
        throw fail("an http or https URL without user and fragment");
      return { kind: "http", url: url.href };
    }
    default:
      throw fail("maildir, drop, mx, smarthost, smtp://…, lmtp://…, https://… or hold");
  }
}

/** As `parseNextHop` reads it; what logs, listings and reports call it. */
export function formatNextHop(hop: NextHop): string {
  switch (hop.kind) {
    case "maildir":
    case "drop":
    case "smarthost":
      return hop.kind;
    case "mx":
      return hop.domain === "" ? "mx" : `mx:${hop.domain}`;
    case "smtp":
      return `${hop.implicitTls ? "smtps" : "smtp"}://${hop.servers.map(formatServer).join(",")}`;
    case "lmtp":
      return "socket" in hop.server ? `lmtp:${hop.server.socket}` : `lmtp://${formatServer(hop.server)}`;
    case "http":
      return hop.url;
    case "hold":
      return `hold:${hop.reason}`;
  }
}

/** `host:port`, an IPv6 address in brackets. */
export function formatServer({ host, port }: Server): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function parseServer(text: string, portDefault: number): Server | undefined {
  const [, bracketed, plain, portText] = /^\s*(?:\[([^\]]*)\]|([^:[\]]+))(?::(\d{1,5}))?\s*$/.exec(text) ?? [];
  const port = portText === undefined ? portDefault : Number(portText);
  if (port < 1 || port > 65_535) return undefined;
  if (bracketed !== undefined) return isIP(bracketed) > 0 ? { host: bracketed, port } : undefined;
  if (plain === undefined) return undefined;
  if (isIP(plain) > 0) return { host: plain, port };
  const host = normalizeDomain(plain);
  return host === undefined || host.startsWith("[") ? undefined : { host, port };
}
