/** Which way a recipient's mail goes: into a Maildir, to the smarthost, or nowhere yet. Pure. */
import type { Mailbox } from "../mail/mailbox.ts";

export type NextHop =
  | { readonly kind: "maildir" }
  | { readonly kind: "smtp"; readonly smarthost: Smarthost }
  /** Nobody is there to take it, and only the operator can change that. */
  | { readonly kind: "held"; readonly reason: string };

/** The server that takes what is not for a local domain. */
export interface Smarthost {
  /** Name or address. */
  readonly host: string;
  readonly port: number;
  /**
   * STARTTLS: `opportunistic` takes it where it is offered and asks for no certificate; `required` goes on only with it, and only with a certificate
   * that proves the host's name; `off` never asks. RFC 3207.
   */
  readonly tls: "opportunistic" | "required" | "off";
  /** TLS from the first octet on, as on port 465; the certificate is checked unless `tls` is `opportunistic`. RFC 8314 §3.3. */
  readonly implicitTls?: boolean;
  /** With a password: SASL. Never sent in the clear unless `tls` is `off`. RFC 4954. */
  readonly user?: string;
  readonly password?: string;
}

export interface Routing {
  /** In the form of `normalizeDomain`. */
  readonly localDomains: ReadonlySet<string>;
  readonly smarthost: Smarthost | null;
}

export function chooseNextHop(mailbox: Mailbox, { localDomains, smarthost }: Routing): NextHop {
  if (localDomains.has(mailbox.domain)) return { kind: "maildir" };
  if (smarthost) return { kind: "smtp", smarthost };
  return { kind: "held", reason: "no smarthost is configured" };
}

/** A smarthost as logs, listings and reports name it. */
export function formatSmarthost({ host, port }: Smarthost): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
