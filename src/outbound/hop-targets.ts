/**
 * A next hop becomes servers with their addresses, in the order they are to be tried: what sinks at onResolve supply, or what DNS says. RFC 5321 §5.1. Whether
 * anybody is reached there, and how much TLS it takes, is not known here.
 */
import { isIP } from "node:net";
import type { Dispatcher } from "../events/dispatcher.ts";
import type { Verdict } from "../events/verdict.ts";
import type { NextHop, Server } from "../mail/next-hop.ts";
import { objectionTo } from "../platform/address-policy.ts";
import { isHostName } from "../platform/dns-message.ts";
import type { Answer, MxRecord, Resolver } from "../platform/resolver.ts";
import { ResolveDecision } from "./hop-targets-subject.ts";
import type { IsOurselves } from "./mx-ourselves.ts";
import type { Smarthost } from "./next-hop.ts";

/** A server to try. */
export interface Target {
  /** Name or address. */
  readonly host: string;
  readonly port: number;
  /** In the order they are tried. None: they could not be looked up for now. */
  readonly addresses: readonly string[];
  /** The MX record and the addresses were signed, and checked by a name server that is believed. RFC 7672 §2.2. */
  readonly authentic: boolean;
  /** The name behind the host's, where that is an alias, and all of it is authentic. RFC 7672 §2.2.2. */
  readonly canonicalHost?: string;
  readonly preference?: number;
}

export type Resolved =
  | {
      readonly kind: "targets";
      /** At least one, and at least one of them with an address. */
      readonly targets: readonly Target[];
      /** They are the mail exchangers of `domain`, or the domain's own host where it names none. */
      readonly fromMx: boolean;
      readonly domain: string | null;
    }
  | {
      readonly kind: "failed" | "deferred";
      /** RFC 3463. */
      readonly status: string;
      readonly reason: string;
    };

export interface HopSettings {
  /** TCP port of mail exchangers. */
  readonly mxPort: number;
  readonly addresses: "any" | "ipv4" | "ipv6";
  /** Lets DNS lead to addresses that are not the public Internet's. */
  readonly privateAddresses: boolean;
  readonly isOurselves: IsOurselves;
}

export interface HopResolverOptions {
  readonly resolver: Pick<Resolver, "address" | "mx">;
  readonly events: Pick<Dispatcher, "ask" | "bindingsOf">;
  /** Asked for anew each time. */
  readonly settings: () => HopSettings;
  /** From 0 to below 1. */
  readonly random?: () => number;
}

export type RemoteHop = Extract<NextHop, { readonly kind: "mx" | "smtp" | "smarthost" }>;

/** Exchangers whose addresses are looked up, the best ones: a domain can name hundreds. */
const lookedUpMax = 10;
/** Hosts that are handed out, and addresses of each. RFC 5321 §5.1 asks for two at least. */
const hostsMax = 5;
const addressesPerHostMax = 5;

type Refused = Exclude<Resolved, { readonly kind: "targets" }>;

/** Addresses of one host. */
interface Located {
  readonly addresses: readonly string[];
  readonly authentic: boolean;
  readonly canonicalHost?: string;
  /** Why there are none: for now, or for good. */
  readonly lacks?: { readonly kind: "failed" | "none"; readonly reason: string };
}

export class HopResolver {
  readonly #options: HopResolverOptions;
  readonly #random: () => number;

  constructor(options: HopResolverOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
  }

  /** Never throws. */
  async resolve(hop: RemoteHop, smarthost: Smarthost | null): Promise<Resolved> {
    const { events } = this.#options;
    if (events.bindingsOf("onResolve").length > 0) {
      const decision = new ResolveDecision(hop);
      const verdict = await events.ask("onResolve", decision);
      if (verdict.kind !== "proceed") return refusalOf(verdict);
      if (decision.targets) return this.#supplied(decision.targets);
    }
    switch (hop.kind) {
      case "mx":
        return hop.domain.startsWith("[") ? this.#literal(hop.domain) : this.#exchangers(hop.domain);
      case "smtp":
        return this.#servers(hop.servers);
      case "smarthost":
        if (!smarthost) return { kind: "deferred", status: "4.3.5", reason: "no smarthost is configured" };
        return this.#servers([smarthost]);
    }
  }

  /** A sink's word is the operator's: any address will do but our own. */
  #supplied(supplied: readonly Omit<Target, "authentic">[]): Resolved {
    const targets = supplied
      .map((target) => ({ ...target, authentic: false, addresses: this.#withoutOurselves(target) }))
      .filter(({ addresses }) => addresses.length > 0);
    return targets.length > 0 ? { kind: "targets", targets, fromMx: false, domain: null } : circle("deferred");
  }

  /** `user@[192.0.2.1]`: the sender chose it, so it is held to the same as what DNS says. RFC 5321 §4.1.3. */
  #literal(domain: string): Resolved {
    const ip = domain.slice(1, -1).replace(/^ipv6:/i, "");
    const { mxPort, isOurselves } = this.#options.settings();
    const allowed = this.#allowed([ip]);
    if (allowed.lacks) return { kind: "failed", status: "5.4.4", reason: `${domain} ${allowed.lacks.reason}` };
    if (isOurselves(ip, ip, mxPort)) return circle("failed");
    const target = { host: ip, port: mxPort, addresses: [ip], authentic: false };
    return { kind: "targets", targets: [target], fromMx: false, domain: null };
  }

  /** Servers that somebody wrote down: wherever they are. What is wrong with them is the operator's to mend, so mail waits. */
  async #servers(servers: readonly Server[]): Promise<Resolved> {
    const located = await Promise.all(
      servers.map(async ({ host, port }) => {
        const found = isIP(host) > 0 ? { addresses: [host], authentic: false } : await this.#locate(host);
        const addresses = this.#withoutOurselves({ port, addresses: found.addresses });
        return { host, port, ...found, addresses, isCircle: found.addresses.length > 0 && addresses.length === 0 };
      }),
    );
    const targets = located
      .filter(({ lacks, isCircle }) => !isCircle && lacks?.kind !== "none")
      .map(({ host, port, addresses, authentic }) => ({ host, port, addresses, authentic }));
    if (targets.some(({ addresses }) => addresses.length > 0))
      return { kind: "targets", targets, fromMx: false, domain: null };
    const failed = located.find(({ lacks }) => lacks?.kind === "failed") ?? located.find(({ lacks }) => lacks);
    if (!failed?.lacks) return circle("deferred");
    const status = failed.lacks.kind === "failed" ? "4.4.3" : "4.4.4";
    return { kind: "deferred", status, reason: `${failed.host} ${failed.lacks.reason}` };
  }

  async #exchangers(domain: string): Promise<Resolved> {
    const answer = await this.#options.resolver.mx(domain);
    if (answer.kind === "failed")
      return { kind: "deferred", status: "4.4.3", reason: `the MX records of ${domain}: ${answer.reason}` };
    if (answer.kind === "none") {
      if (!answer.nameExists) return { kind: "failed", status: "5.1.2", reason: `the domain ${domain} does not exist` };
      // RFC 5321 §5.1: no MX record, so the domain itself is the host. Only then.
      return this.#ofHosts(domain, [{ preference: 0, host: domain }], { authentic: answer.authentic, implicit: true });
    }
    // RFC 7505 §3. (lenient: beside others it says nothing.)
    const named = answer.values.filter(({ host }) => host !== "");
    if (named.length === 0)
      return { kind: "failed", status: "5.1.10", reason: `the domain ${domain} takes no mail (null MX)` };
    return this.#ofHosts(domain, this.#inOrder(named), { authentic: answer.authentic, implicit: false });
  }

  async #ofHosts(
    domain: string,
    records: readonly MxRecord[],
    { authentic, implicit }: { readonly authentic: boolean; readonly implicit: boolean },
  ): Promise<Resolved> {
    const { mxPort, isOurselves } = this.#options.settings();
    // RFC 5321 §5.1: who is in the list himself gives mail only to those before him, or it would go round in a circle. Our own name counts wherever it stands.
    const named = beforeOurs(records, ({ host }) => isOurselves(host, "", mxPort));
    const located = await Promise.all(
      named.slice(0, lookedUpMax).map(async (record) => {
        const [found, unused] = await Promise.all([this.#locate(record.host), this.#unusedAddresses(record.host)]);
        const isOurs = [...found.addresses, ...unused].some((ip) => isOurselves(record.host, ip, mxPort));
        return { ...record, isOurs, allowed: this.#allowed(found.addresses, found) };
      }),
    );
    const before = beforeOurs(located, ({ isOurs }) => isOurs);
    if (before.length === 0) return circle("failed");
    const usable = before.filter(({ allowed }) => allowed.lacks?.kind !== "none");
    if (usable.some(({ allowed }) => allowed.addresses.length > 0)) {
      const targets = usable.slice(0, hostsMax).map(({ host, preference, allowed }) => ({
        host,
        port: mxPort,
        addresses: allowed.addresses,
        authentic: authentic && allowed.authentic,
        ...(authentic && allowed.canonicalHost !== undefined && { canonicalHost: allowed.canonicalHost }),
        preference,
      }));
      if (targets.some(({ addresses }) => addresses.length > 0))
        return { kind: "targets", targets, fromMx: true, domain };
    }
    const [lacking] = usable.length > 0 ? usable : before;
    const { kind, reason } = lacking!.allowed.lacks!;
    const words = implicit ? `${domain} ${reason}` : `${lacking!.host}, an MX of ${domain}, ${reason}`;
    if (kind === "failed") return { kind: "deferred", status: "4.4.3", reason: words };
    // Those that were not looked up may be better.
    if (named.length > lookedUpMax) return { kind: "deferred", status: "4.4.4", reason: words };
    return { kind: "failed", status: implicit ? "5.1.2" : "5.4.4", reason: words };
  }

  /** The lowest preference first, at random among equals; each host once, where it stands first. RFC 5321 §5.1. */
  #inOrder(records: readonly MxRecord[]): MxRecord[] {
    const shuffled = this.#shuffled(records).sort((one, other) => one.preference - other.preference);
    const hosts = new Set<string>();
    return shuffled.filter(({ host }) => hosts.size < hosts.add(host).size);
  }

  /** Addresses of a name in the order they are tried: IPv6 and IPv4 in turn. */
  async #locate(host: string): Promise<Located> {
    const { resolver, settings } = this.#options;
    const { addresses: wanted } = settings();
    if (!isHostName(host) || isIP(host) > 0) return lacking("none", "is no host name");
    const answers = await Promise.all(familiesOf[wanted].map((family) => resolver.address(host, family)));
    const [first = [], second = []] = answers.map((answer) =>
      answer.kind === "found" ? this.#shuffled(answer.values) : [],
    );
    const inTurn = Array.from({ length: Math.max(first.length, second.length) }, (_, i) => [first[i], second[i]]);
    const addresses = inTurn.flat().filter((ip) => ip !== undefined);
    if (addresses.length > 0) return { addresses, ...securityOf(answers) };
    const failed = answers.find((answer) => answer.kind === "failed");
    if (failed) return lacking("failed", `cannot be looked up: ${failed.reason}`);
    return lacking(
      "none",
      wanted === "any" ? "has no address" : `has no ${wanted === "ipv4" ? "IPv4" : "IPv6"} address`,
    );
  }

  /** Those of the kind that `delivery.addresses` leaves out: nobody goes there, and one of them may be ours. */
  async #unusedAddresses(host: string): Promise<readonly string[]> {
    const { resolver, settings } = this.#options;
    const unused = familiesOf.any.filter((family) => !familiesOf[settings().addresses].includes(family));
    if (!isHostName(host) || isIP(host) > 0) return [];
    const answers = await Promise.all(unused.map((family) => resolver.address(host, family)));
    return answers.flatMap((answer) => (answer.kind === "found" ? answer.values : []));
  }

  /** Of addresses that DNS told, those we may go to; no more than a few. */
  #allowed(addresses: readonly string[], found: Located = { addresses, authentic: false }): Located {
    if (addresses.length === 0) return found;
    const { privateAddresses } = this.#options.settings();
    const allowed = privateAddresses ? addresses : addresses.filter((ip) => objectionTo(ip) === undefined);
    if (allowed.length > 0) return { ...found, addresses: allowed.slice(0, addressesPerHostMax) };
    const [ip] = addresses as [string];
    return lacking("none", `leads to ${objectionTo(ip)} (${ip}), which delivery.private_addresses does not allow`);
  }

  #withoutOurselves({ port, addresses }: Pick<Target, "port" | "addresses">): readonly string[] {
    const { isOurselves } = this.#options.settings();
    // By address alone: a filter on this machine may have our name, at another port.
    return addresses.filter((ip) => !isOurselves(ip, ip, port));
  }

  /** Fisher and Yates. */
  #shuffled<T>(values: readonly T[]): T[] {
    const all = [...values];
    for (let left = all.length; left > 1; ) {
      const chosen = Math.floor(this.#random() * left--);
      [all[left], all[chosen]] = [all[chosen]!, all[left]!];
    }
    return all;
  }
}

/** In the order they are tried. */
const familiesOf: Readonly<Record<HopSettings["addresses"], readonly (4 | 6)[]>> = {
  any: [6, 4],
  ipv4: [4],
  ipv6: [6],
};

/** What DNSSEC says of a host whose addresses these are. A failure says nothing: who can spoil one answer must not switch DANE off. RFC 7672 §2.1.1. */
function securityOf(answers: readonly Answer<string>[]): Pick<Located, "authentic" | "canonicalHost"> {
  const heard = answers.filter((answer) => answer.kind !== "failed");
  if (!heard.every(({ authentic }) => authentic)) return { authentic: false };
  const canonicalHost = heard.find((answer) => answer.kind === "found")?.canonical;
  return { authentic: true, ...(canonicalHost !== undefined && { canonicalHost }) };
}

/** Those with a lower preference than all that are ours. */
function beforeOurs<T extends MxRecord>(records: readonly T[], isOurs: (record: T) => boolean): readonly T[] {
  const lowest = Math.min(...records.filter(isOurs).map(({ preference }) => preference));
  return records.filter(({ preference }) => preference < lowest);
}

function lacking(kind: "failed" | "none", reason: string): Located {
  return { addresses: [], authentic: false, lacks: { kind, reason } };
}

/** A domain whose exchanger we are, and do not take mail for, is the recipient's trouble; a next hop of the configuration is the operator's. RFC 3463 §3.5. */
function circle(kind: "failed" | "deferred"): Refused {
  return { kind, status: kind === "failed" ? "5.4.6" : "4.4.6", reason: "mail for it loops back to ourselves" };
}

function refusalOf(verdict: Exclude<Verdict, { readonly kind: "proceed" }>): Refused {
  const by = verdict.by ?? "a sink at onResolve";
  // The event takes no others; what would come all the same must not lose mail.
  if (!("code" in verdict)) return { kind: "deferred", status: "4.3.0", reason: `${by}: ${verdict.reason}` };
  return {
    kind: verdict.kind === "refuse" ? "failed" : "deferred",
    status: verdict.status,
    reason: `${verdict.text} (${by})`,
  };
}
