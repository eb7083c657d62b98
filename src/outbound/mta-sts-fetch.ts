/** Fetches the MTA-STS policy file of a domain over HTTPS. RFC 8461 §3.3. What is kept of it, and for how long, is in mta-sts.ts. */
import { X509Certificate } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import type { PeerCertificate } from "node:tls";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Resolver } from "../platform/resolver.ts";
import { parseStsPolicy, type StsPolicy } from "./mta-sts-policy.ts";

export type FetchedPolicy =
  | { readonly kind: "fetched"; readonly policy: StsPolicy }
  /** `result` as TLS reports name it. RFC 8460 §4.3.2.1. */
  | {
      readonly kind: "failed";
      readonly result: "sts-policy-fetch-error" | "sts-policy-invalid" | "sts-webpki-invalid";
      readonly reason: string;
    };

export interface FetchSettings {
  readonly resolver: Pick<Resolver, "address">;
  readonly clock: Clock;
  /** Whether a domain's policy host may have this address: not one of our own network. */
  readonly mayConnect: (ip: string) => boolean;
  /** Certificates to trust in place of the system's; PEM. */
  readonly certificateAuthorities?: string;
  readonly port?: number;
  /** For all of it. RFC 8461 §3.3 names a minute; mail waits for it, so less here. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** RFC 8461 §3.3 names 64 kilobytes. */
export const policyOctetsMax = 64 * 1024;

/** One GET, no redirects, a certificate that names the policy host. Never throws. */
export async function fetchStsPolicy(domain: string, settings: FetchSettings): Promise<FetchedPolicy> {
  const { clock, timeoutMs = 20_000, signal } = settings;
  const deadline = new AbortController();
  const cancel = clock.after(timeoutMs, () => deadline.abort(new Error(`no policy within ${timeoutMs} ms`)));
  const ended = signal ? AbortSignal.any([deadline.signal, signal]) : deadline.signal;
  try {
    const text = await Promise.race([fetchText(`mta-sts.${domain}`, settings, ended), aborted(ended)]);
    const policy = parseStsPolicy(text);
    if ("invalid" in policy) return { kind: "failed", result: "sts-policy-invalid", reason: policy.invalid };
    return { kind: "fetched", policy };
  } catch (error) {
    const result = isAboutCertificate(error) ? "sts-webpki-invalid" : "sts-policy-fetch-error";
    return { kind: "failed", result, reason: describeThrown(error) };
  } finally {
    cancel();
    // Whatever of the connection is still there goes with it.
    deadline.abort();
  }
}

async function fetchText(host: string, settings: FetchSettings, signal: AbortSignal): Promise<string> {
  const { certificateAuthorities, port = 443 } = settings;
  const addresses = await findAddresses(host, settings);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request({
      host,
      port,
      path: "/.well-known/mta-sts.txt",
      headers: { "User-Agent": "OnArrival", Accept: "text/plain" },
      agent: false,
      signal,
      lookup: answerWith(addresses),
      checkServerIdentity,
      // Node's own default is the environment's to change.
      rejectUnauthorized: true,
      ...(certificateAuthorities === undefined ? {} : { ca: certificateAuthorities }),
    })
      .on("response", resolve)
      .on("error", reject)
      .end();
  });
  // RFC 8461 §3.3: redirects are not followed, so nothing but 200 is a policy.
  if (response.statusCode !== 200) throw new Error(`the policy host answered ${response.statusCode}`);
  // RFC 8461 §3.2: a host where anybody may put a page must not give him its policy.
  if (!/^text\/plain[ \t]*(;|$)/i.test(response.headers["content-type"] ?? ""))
    throw new Error("the policy is not text/plain");
  const chunks: Buffer[] = [];
  let sizeOctets = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    sizeOctets += chunk.length;
    if (sizeOctets > policyOctetsMax) throw new Error(`the policy is longer than ${policyOctetsMax} octets`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** @throws {Error} where there is none we may use */
async function findAddresses(host: string, { resolver, mayConnect }: FetchSettings): Promise<readonly string[]> {
  const answers = await Promise.all([resolver.address(host, 6), resolver.address(host, 4)]);
  const found = answers.flatMap((answer) => (answer.kind === "found" ? answer.values : []));
  const usable = found.filter(mayConnect);
  if (usable.length > 0) return usable;
  if (found.length > 0) throw new Error(`${host} has private addresses alone`);
  const failed = answers.find((answer) => answer.kind === "failed");
  throw new Error(failed ? `${host} cannot be looked up: ${failed.reason}` : `${host} has no address`);
}

/** Our resolver in the place of the system's, which would not know what we may connect to. */
function answerWith(addresses: readonly string[]): LookupFunction {
  const list = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_host, { all }, callback) => {
    if (all) callback(null, list);
    else callback(null, list[0]!.address, list[0]!.family);
  };
}

/** Names of the certificate are its DNS-IDs alone. RFC 8461 §3.3. */
function checkServerIdentity(host: string, { raw }: PeerCertificate): Error | undefined {
  const fits = new X509Certificate(raw).checkHost(host, { subject: "never", partialWildcards: false });
  if (fits !== undefined) return undefined;
  return Object.assign(new Error(`the certificate is not for ${host}`), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const end = () => reject(signal.reason);
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
}

/** Codes of OpenSSL's verification name a certificate, an issuer or a signature. */
function isAboutCertificate(error: unknown): boolean {
  const { code = "" } = error as NodeJS.ErrnoException;
  return /CERT|CRL|ISSUER|SIGNATURE/.test(code);
}
