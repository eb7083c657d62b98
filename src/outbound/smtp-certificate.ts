/** What a peer's certificate is worth: how it is checked, and what reports about TLS call the result. RFC 8460 §4.3. Pure but for the socket it looks at. */
import type { DetailedPeerCertificate, TLSSocket } from "node:tls";

export interface CertificateCheck {
  /** The certificate has to prove the host's name; without, any will do. */
  readonly check: boolean;
  /** Certificates to trust in place of the system's; PEM. */
  readonly authorities?: string;
  /** In the place of names and authorities, as with DANE: whether this chain (DER, the host's own first) is the one. RFC 7672 §3.1. */
  readonly proves?: ((chain: readonly Buffer[]) => boolean) | undefined;
}

/** RFC 8460 §4.3.1 and §4.3.2.1, as far as a session tells. */
export type TlsResult =
  | "success"
  | "starttls-not-supported"
  | "certificate-host-mismatch"
  | "certificate-expired"
  | "certificate-not-trusted"
  | "validation-failure";

/** How TLS went in a session. `encrypted` without `success`: with a certificate that proves nothing. */
export interface TlsHeard {
  readonly encrypted: boolean;
  readonly result: TlsResult;
}

/** Certificates of one chain, at most. */
const chainMax = 16;

/** What the peer showed, DER, its own first. */
export function certificateChain(socket: TLSSocket): readonly Buffer[] {
  const chain: Buffer[] = [];
  let certificate: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (certificate?.raw && chain.length < chainMax) {
    chain.push(certificate.raw);
    // The issuer of a root is itself.
    if (certificate.issuerCertificate === certificate) break;
    certificate = certificate.issuerCertificate;
  }
  return chain;
}

/** The name of what a handshake, or the check of a certificate, ended with: an error, what caused it, or its code. */
export function tlsResultOf(thrown: unknown): TlsResult {
  switch (codeOf(thrown)) {
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return "certificate-host-mismatch";
    case "CERT_HAS_EXPIRED":
      return "certificate-expired";
    case "CERT_UNTRUSTED":
    case "CERT_REJECTED":
    case "CERT_SIGNATURE_FAILURE":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
      return "certificate-not-trusted";
    default:
      return "validation-failure";
  }
}

function codeOf(thrown: unknown): unknown {
  for (let error = thrown; error instanceof Error; error = error.cause) if ("code" in error) return error.code;
  return thrown;
}
