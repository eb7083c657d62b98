/**
 * DANE for SMTP: does a certificate chain match the TLSA records of a host? RFC 6698, RFC 7671, RFC 7672. Pure; whether the records may be believed (DNSSEC)
 * is for the asker to know.
 */
import { createHash, createPublicKey, X509Certificate } from "node:crypto";
import type { TlsaRecord } from "../platform/resolver.ts";
import { pathLengthMaxOf } from "./path-length.ts";

/** Certificate usages of mail between servers; the two of PKIX are unusable here. RFC 7672 §3.1.3. */
const usages = { anchor: 2, endEntity: 3 } as const;
/** RFC 6698 §2.1.3; the number is the digest's size in octets. */
const digests = new Map([
  [1, { name: "sha256", sizeOctets: 32 }],
  [2, { name: "sha512", sizeOctets: 64 }],
]);
/** More of either is nobody's honest set-up; what comes above does not count. */
const recordsMax = 20;
const certificatesMax = 10;

/** For server authentication, or for anything. RFC 5280 §4.2.1.12. */
const serverPurposes = ["1.3.6.1.5.5.7.3.1", "2.5.29.37.0"];

export interface DaneCheck {
  /** The MX host: the TLSA base domain. */
  readonly host: string;
  /** The domain whose MX it is: a certificate may name that instead. RFC 7672 §3.2.2. */
  readonly domain?: string | null;
  /** Milliseconds since the Unix epoch. */
  readonly at?: number;
}

/**
 * The records that say something we can check, of each usage and selector those with the strongest digest only (RFC 7671 §9). None left of some: the host
 * has to be spoken to with TLS, and its certificate is not checked. RFC 7672 §2.2.
 */
export function usableTlsa(records: readonly TlsaRecord[]): readonly TlsaRecord[] {
  const usable = records.filter(isUsable);
  return usable
    .filter(
      ({ usage, selector, matchingType }) =>
        // The certificate or key itself is no digest, and counts beside any.
        matchingType === 0 ||
        !usable.some(
          (other) => other.usage === usage && other.selector === selector && other.matchingType > matchingType,
        ),
    )
    .slice(0, recordsMax);
}

/**
 * Whether the chain a server has shown matches one of its records. Usage 3: the server's own certificate or key, whatever its name and dates say (RFC 7671
 * §5.1). Usage 2: an authority above it, through signatures, dates and lengths of path that hold, and a name that fits (RFC 7671 §5.2).
 * @param chain DER, the server's own first, the others in any order
 */
export function matchesTlsa(
  chain: readonly Buffer[],
  records: readonly TlsaRecord[],
  { host, domain = null, at = Date.now() }: DaneCheck,
): boolean {
  const [leaf, ...others] = readCertificates(chain.slice(0, certificatesMax));
  if (!leaf) return false;
  const usable = usableTlsa(records);
  if (usable.some((record) => record.usage === usages.endEntity && isAbout(record, leaf))) return true;
  const anchors = usable.filter(({ usage }) => usage === usages.anchor);
  if (anchors.length === 0) return false;
  const names = domain === null ? [host] : [host, domain];
  return (
    names.some((name) => leaf.checkHost(name, { partialWildcards: false }) !== undefined) &&
    isForServers(leaf) &&
    isAnchored(leaf, others, anchors, at)
  );
}

function isUsable({ usage, selector, matchingType, data }: TlsaRecord): boolean {
  if (usage !== usages.anchor && usage !== usages.endEntity) return false;
  if (selector !== 0 && selector !== 1) return false;
  if (matchingType === 0) return (selector === 0 ? readCertificate(data) : readKey(data)) !== null;
  return digests.get(matchingType)?.sizeOctets === data.length;
}

function isAbout({ selector, matchingType, data }: TlsaRecord, certificate: X509Certificate): boolean {
  const selected = selector === 0 ? certificate.raw : certificate.publicKey.export({ type: "spki", format: "der" });
  const digest = digests.get(matchingType);
  return (digest ? createHash(digest.name).update(selected).digest() : selected).equals(data);
}

/** Follows issuers up from the leaf, those with the fewest between first; each certificate is looked at once, however they sign each other. */
function isAnchored(
  leaf: X509Certificate,
  others: readonly X509Certificate[],
  anchors: readonly TlsaRecord[],
  at: number,
): boolean {
  const whole = anchors.filter(({ matchingType }) => matchingType === 0);
  // An authority that is written out in DNS need not be sent, nor a key that has no certificate.
  const written = readCertificates(whole.filter(({ selector }) => selector === 0).map(({ data }) => data));
  const keys = whole.filter(({ selector }) => selector === 1).map(({ data }) => readKey(data)!);
  const above = new Set([...others, ...written]);
  const reached = [{ certificate: leaf, between: 0 }];
  for (const [place, { certificate, between }] of reached.entries()) {
    if (!isCurrent(certificate, at)) continue;
    if (keys.some((key) => isSignedWith(certificate, key))) return true;
    for (const issuer of above) {
      if (!issuer.ca || !certificate.checkIssued(issuer) || !isSignedWith(certificate, issuer.publicKey)) continue;
      // RFC 5280 §6.1.4 (l), (m): an authority of its own name is a new key of the same, and does not count.
      if (between > pathLengthMaxOf(issuer.raw)) continue;
      if (isCurrent(issuer, at) && anchors.some((record) => isAbout(record, issuer))) return true;
      above.delete(issuer);
      if (issuer.subject === issuer.issuer) reached.splice(place + 1, 0, { certificate: issuer, between });
      else reached.push({ certificate: issuer, between: between + 1 });
    }
  }
  return false;
}

function isSignedWith(certificate: X509Certificate, key: X509Certificate["publicKey"]): boolean {
  try {
    return certificate.verify(key);
  } catch {
    // A key of another kind than the signature.
    return false;
  }
}

function isCurrent(certificate: X509Certificate, at: number): boolean {
  return certificate.validFromDate.getTime() <= at && at <= certificate.validToDate.getTime();
}

/** A certificate that says nothing of purposes is for all. */
function isForServers({ keyUsage }: X509Certificate): boolean {
  // Node's `keyUsage` holds the purposes of the extended key usage.
  return !keyUsage?.length || keyUsage.some((purpose) => serverPurposes.includes(purpose));
}

/** Those that can be read; empty where the first cannot. */
function readCertificates(chain: readonly Buffer[]): readonly X509Certificate[] {
  const read = chain.map(readCertificate);
  return read[0] ? read.filter((certificate) => certificate !== null) : [];
}

function readCertificate(der: Buffer): X509Certificate | null {
  try {
    const certificate = new X509Certificate(der);
    // Its key is read late; one of no known kind must not throw in the middle of a check. PEM is not what a TLSA record holds.
    return certificate.publicKey && certificate.raw.equals(der) ? certificate : null;
  } catch {
    return null;
  }
}

function readKey(der: Buffer): X509Certificate["publicKey"] | null {
  try {
    return createPublicKey({ key: der, format: "der", type: "spki" });
  } catch {
    return null;
  }
}
