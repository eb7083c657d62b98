/** The smarthost and other servers we speak SMTP or LMTP to, and how much TLS they need. Which recipients go there says router.ts. Pure. */
import type { TlsPolicy } from "../events/subject-outbound.ts";

/** The server that takes what is not for a local domain. */
export interface Smarthost {
  /** Name or address. */
  readonly host: string;
  readonly port: number;
  /** Path of a socket of this machine, in the place of host and port. */
  readonly socket?: string;
  /** LMTP gives a reply for each recipient. RFC 2033. */
  readonly protocol?: "smtp" | "lmtp";
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

export interface TlsOverride {
  /** Name of the next hop; `*.example.org` is every name below. */
  readonly host: string;
  readonly policy: TlsPolicy;
}

/** What the operator says of a host; the first that matches holds. */
export function tlsOverrideOf(host: string, overrides: readonly TlsOverride[]): TlsPolicy | undefined {
  const name = host.toLowerCase();
  const found = overrides.find((override) => {
    const pattern = override.host.toLowerCase();
    return pattern.startsWith("*.")
      ? name.endsWith(pattern.slice(1)) && name.length >= pattern.length
      : name === pattern;
  });
  return found?.policy;
}

/** How much TLS a smarthost needs. */
export function tlsPolicyOf({ host, tls }: Smarthost, overrides: readonly TlsOverride[] = []): TlsPolicy {
  return tlsOverrideOf(host, overrides) ?? (tls === "required" ? "verified" : tls);
}

/** A smarthost as logs, listings and reports name it. */
export function formatSmarthost({ host, port, socket, protocol = "smtp" }: Smarthost): string {
  if (socket !== undefined) return `${protocol}:${socket}`;
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
