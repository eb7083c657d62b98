/**
 * How much TLS a host has to have before mail goes there: what the operator says of it, else DANE, else the domain's MTA-STS policy, else as much as there
 * is. RFC 7672, RFC 8461, RFC 7435. docs/tls.md. How a session then went is counted here too.
 */
import { join } from "node:path";
import type { TlsPolicy } from "../events/subject-outbound.ts";
import type { Clock } from "../platform/clock.ts";
import type { Log } from "../platform/log.ts";
import type { Resolver, TlsaRecord } from "../platform/resolver.ts";
import { usableTlsa } from "./dane.ts";
import type { Target } from "./hop-targets.ts";
import { type StsAnswer, StsPolicies } from "./mta-sts.ts";
import { type FetchSettings, fetchStsPolicy } from "./mta-sts-fetch.ts";
import { allowsMx } from "./mta-sts-policy.ts";
import { type TlsOverride, tlsOverrideOf } from "./next-hop.ts";
import { type RecordedTls, TlsCounts, type TlsReason, type TlsReport } from "./tls-report.ts";

/** Whose policy, and why it failed. */
type PolicyFailure = Pick<RecordedTls, "policy" | "result">;

export interface TlsRequirement {
  readonly policy: TlsPolicy;
  readonly by: TlsReason;
  /** With `verified`: what the chain has to match in the place of names and authorities (`matchesTlsa`). Never empty. */
  readonly tlsa?: readonly TlsaRecord[];
  /** With `tlsa`: the name they stand at, where it is not the host's own: asked for in the handshake, and to be found in the certificate. RFC 7672 §2.2.2. */
  readonly tlsaBase?: string;
  /** Why no mail may go to this host now. Where that is so of all hosts, mail is deferred: 4.7.5. */
  readonly refused?: string;
  /** What of a policy fails before anything is said to the host: to be counted with each session there, or where the host is passed over. RFC 8460 §4.3.2. */
  readonly failed?: PolicyFailure;
}

/** Why it is not sure that a host takes mail for a domain. `deferred`: it cannot be found out now. */
export interface Doubt {
  readonly kind: "failed" | "deferred";
  readonly reason: string;
}

export interface TlsSettings {
  /** The first that matches a host's name holds. */
  readonly overrides: readonly TlsOverride[];
  readonly mtaSts: boolean;
  readonly dane: boolean;
}

export interface TlsRequirementsOptions {
  readonly resolver: Pick<Resolver, "tlsa" | "mx">;
  /** Asked each time, so that a reload counts at once. */
  readonly settings: () => TlsSettings;
  readonly sts: Pick<StsPolicies, "policyOf" | "close">;
  readonly counts: Pick<TlsCounts, "record" | "report" | "close">;
}

export interface OpenTlsOptions extends Pick<FetchSettings, "mayConnect" | "certificateAuthorities"> {
  /** Where `mta-sts.json` and `tls-report.json` are. */
  readonly folder: string;
  readonly resolver: Pick<Resolver, "tlsa" | "mx" | "txt" | "address">;
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: () => TlsSettings;
}

const opportunistic: TlsRequirement = { policy: "opportunistic", by: "default" };

/** Requirements over the policies and counts that are kept in a folder. */
export async function openTlsRequirements({ folder, settings, ...parts }: OpenTlsOptions): Promise<TlsRequirements> {
  const { resolver, clock, log } = parts;
  const ending = new AbortController();
  const sts = await StsPolicies.open({
    path: join(folder, "mta-sts.json"),
    resolver,
    clock,
    log,
    fetchPolicy: (domain) => fetchStsPolicy(domain, { ...parts, signal: ending.signal }),
  });
  const counts = await TlsCounts.open({ path: join(folder, "tls-report.json"), clock, log });
  const close = () => {
    ending.abort(new Error("the server stops"));
    return sts.close();
  };
  return new TlsRequirements({
    resolver,
    settings,
    counts,
    sts: { policyOf: (domain) => sts.policyOf(domain), close },
  });
}

export class TlsRequirements {
  readonly #options: TlsRequirementsOptions;

  constructor(options: TlsRequirementsOptions) {
    this.#options = options;
  }

  /**
   * Of all targets of a next hop, in their order. Never rejects: a host of which the requirement cannot be found out is refused. Counts nothing.
   * @param domain whose mail it is; null where the hosts are configured
   * @param fromMx the hosts stand for the domain in DNS, not in our configuration
   */
  async of(domain: string | null, targets: readonly Target[], fromMx: boolean): Promise<readonly TlsRequirement[]> {
    const settings = this.#options.settings();
    const configured = targets.map(({ host }): TlsRequirement | null => {
      const policy = tlsOverrideOf(host, settings.overrides);
      return policy === undefined ? null : { policy, by: "config" };
    });
    if (!configured.includes(null)) return configured.map((requirement) => requirement!);
    const [sts, ...dane] = await Promise.all([
      this.#stsOf(domain, settings),
      ...targets.map((target, i) => (configured[i] ? null : this.#daneOf(target, settings, fromMx))),
    ]);
    return targets.map(({ host }, i) => configured[i] ?? strictest(dane[i] ?? null, this.#underSts(host, domain, sts)));
  }

  /**
   * null where it is sure that the host takes mail for the domain: signed MX records say so, or an enforced policy of the domain. Without, whoever forges an
   * MX record may have a certificate for the host that he names there. RFC 8689 §4.2.1. Never rejects.
   */
  async doubtOf(domain: string, host: string): Promise<Doubt | null> {
    // Its certificate proves the domain itself.
    if (host === domain) return null;
    const { resolver, settings } = this.#options;
    const [mx, sts] = await Promise.all([resolver.mx(domain), this.#stsOf(domain, settings())]);
    if (mx.kind === "found" && mx.authentic && mx.values.some((record) => record.host === host)) return null;
    if (sts.kind === "policy" && sts.policy.mode === "enforce" && allowsMx(sts.policy, host)) return null;
    const unheard = sts.kind === "failed" ? sts.reason : sts.kind === "none" ? sts.unheard : undefined;
    if (unheard !== undefined)
      return { kind: "deferred", reason: `the MTA-STS policy of ${domain} cannot be had: ${unheard}` };
    if (mx.kind === "failed")
      return { kind: "deferred", reason: `the MX records of ${domain} cannot be looked up: ${mx.reason}` };
    const reason = `the message needs TLS, and neither DNSSEC nor MTA-STS proves that ${host} takes mail for ${domain}`;
    return { kind: "failed", reason };
  }

  /** Counts a session. RFC 8460. */
  record(result: RecordedTls): void {
    this.#options.counts.record(result);
  }

  report(): TlsReport {
    return this.#options.counts.report();
  }

  /** Ends fetches under way and saves what is kept. */
  async close(): Promise<void> {
    await Promise.all([this.#options.sts.close(), this.#options.counts.close()]);
  }

  async #stsOf(domain: string | null, { mtaSts }: TlsSettings): Promise<StsAnswer> {
    return domain === null || !mtaSts ? { kind: "none" } : await this.#options.sts.policyOf(domain);
  }

  #underSts(host: string, domain: string | null, sts: StsAnswer): TlsRequirement {
    if (domain === null || sts.kind === "none") return opportunistic;
    if (sts.kind === "failed") {
      // RFC 8461 §5.1: without a policy that is known from before, mail goes as if there were none.
      return { ...opportunistic, failed: { policy: "mta-sts", result: sts.result } };
    }
    const { mode } = sts.policy;
    if (mode === "none") return opportunistic;
    const requirement: TlsRequirement = { policy: mode === "testing" ? "opportunistic" : "verified", by: "mta-sts" };
    if (allowsMx(sts.policy, host)) return requirement;
    const failed: PolicyFailure = { policy: "mta-sts", result: "validation-failure" };
    if (mode === "testing") return { ...opportunistic, failed };
    return { ...requirement, refused: `the MTA-STS policy of ${domain} does not name ${host}`, failed };
  }

  /** null where DNS has nothing to say that is signed. RFC 7672 §2.2. */
  async #daneOf(
    { host, port, authentic, canonicalHost }: Target,
    { dane }: TlsSettings,
    fromMx: boolean,
  ): Promise<TlsRequirement | null> {
    // RFC 7672 §2.2.1: signed addresses of hosts that an unsigned MX names prove nothing; `authentic` knows of both.
    // A configured host has its TLS configured with it.
    if (!dane || !authentic || !fromMx) return null;
    // RFC 7672 §2.2.2: first at the name that signed aliases lead to.
    for (const base of canonicalHost === undefined ? [host] : [canonicalHost, host]) {
      const answer = await this.#options.resolver.tlsa(`_${port}._tcp.${base}`);
      if (answer.kind === "failed") {
        // RFC 7672 §2.1.1: who can suppress the answer must not get the mail.
        const refused = `the TLSA records of ${base} cannot be looked up: ${answer.reason}`;
        return { policy: "verified", by: "dane", refused, failed: { policy: "dane", result: "dnssec-invalid" } };
      }
      if (answer.kind === "none" || !answer.authentic) continue;
      const tlsa = usableTlsa(answer.values);
      if (tlsa.length === 0) return { policy: "required", by: "dane" };
      return { policy: "verified", by: "dane", tlsa, ...(base !== host && { tlsaBase: base }) };
    }
    return null;
  }
}

/** RFC 8461 §2: MTA-STS does not override DANE; where DANE asks for no more than encryption, a policy that asks for more is kept too. */
function strictest(dane: TlsRequirement | null, sts: TlsRequirement): TlsRequirement {
  if (!dane) return sts;
  return dane.policy === "required" && sts.policy === "verified" ? sts : dane;
}
