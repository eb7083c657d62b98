/**
 * Delivery to other servers: a next hop becomes hosts and their addresses, which are tried in order until one of them talks to us. RFC 5321 §5.1. What a host
 * says of a recipient or of the mail itself is the answer; other hosts are asked only where it could not be reached, did not let us in, or takes no mail now.
 */
import type { TlsPolicy } from "../events/subject-outbound.ts";
import type { Message } from "../mail/message.ts";
import { formatNextHop, formatServer } from "../mail/next-hop.ts";
import { describeThrown } from "../platform/fault.ts";
import type { TlsaRecord } from "../platform/resolver.ts";
import { describeOutcome, type Outcome } from "../queue/attempt.ts";
import type { StoredRecipient } from "../spool/spool.ts";
import type { HopResolver, RemoteHop, Target } from "./hop-targets.ts";
import { type Smarthost, type TlsOverride, tlsPolicyOf } from "./next-hop.ts";
import { needsNoTls, noTlsStatus, type Tried } from "./smtp.ts";
import type { TlsHeard } from "./smtp-certificate.ts";
import { type Place, SmtpClients, type SmtpClientsOptions } from "./smtp-clients.ts";
import { timeOver } from "./smtp-pool.ts";
import type { TlsReason } from "./tls-report.ts";
import type { Doubt, TlsRequirement, TlsRequirements } from "./tls-requirement.ts";

export interface RemoteWork {
  readonly hop: RemoteHop;
  readonly message: Message;
  readonly recipients: readonly StoredRecipient[];
  readonly attemptId: string;
  readonly signal?: AbortSignal | undefined;
}

/** What may change while the server runs. */
export interface RemoteSettings {
  readonly smarthost: Smarthost | null;
  /** How much TLS the smarthost needs, in the place of what it says itself; of other hosts `tls` knows. The first that matches holds. */
  readonly tlsPolicies: readonly TlsOverride[];
}

export interface RemoteOptions extends Omit<SmtpClientsOptions, "clientsMax" | "quietMs"> {
  readonly settings: RemoteSettings;
  readonly hops: Pick<HopResolver, "resolve">;
  readonly tls: Pick<TlsRequirements, "of" | "doubtOf" | "record">;
  readonly search?: Partial<SearchLimits>;
}

/** How far an attempt goes. */
export interface SearchLimits {
  /** Hosts that are tried, and addresses of all of them. */
  readonly hostsMax: number;
  readonly addressesMax: number;
  /** No other address is begun with when the attempt is so old. */
  readonly searchMsMax: number;
}

export interface Remote {
  /** One attempt; an outcome for each recipient. Never throws. */
  deliver(work: RemoteWork): Promise<Outcome[]>;
  /** Other settings from now on. Where they differ, connections end when they are done. */
  reconfigure(settings: RemoteSettings): void;
  /** Every host is asked again, also one that was down a moment ago; connections end when they are done. */
  askAnew(): void;
  /** Ends every connection; attempts under way are deferred. */
  close(): void;
}

const searchLimits: SearchLimits = { hostsMax: 5, addressesMax: 10, searchMsMax: 5 * 60_000 };
/** RFC 5321 §4.5.3.2 says nothing of the connection itself; an address that does not answer must not take the time of those behind it. */
const connectMsMax = 30_000;

/** Stands for a host that is not talked to. */
interface Obstacle {
  readonly outcome: Omit<Outcome, "index">;
  /** Called where the search comes by. */
  readonly onPassed?: () => void;
}

interface Way {
  readonly place: Place;
  readonly onTls: (heard: TlsHeard) => void;
}

/** What was tried for a recipient, in order, and whether that was all. */
interface Trail {
  readonly outcomes: Outcome[];
  settled: boolean;
}

export function createRemote({ settings: first, hops, tls, search, limits, ...options }: RemoteOptions): Remote {
  const { clock } = options;
  const { hostsMax, addressesMax, searchMsMax } = { ...searchLimits, ...search };
  const clients = new SmtpClients({ ...options, limits: { connectMsMax, ...limits } });
  let settings = first;
  let closed = false;

  async function deliver(work: RemoteWork): Promise<Outcome[]> {
    const { hop, message, recipients } = work;
    const nextHop = formatNextHop(hop);
    const { smarthost, tlsPolicies } = settings;
    const startedAt = clock.monotonicMs();
    const forAll = (outcome: Pick<Outcome, "kind" | "reason"> & Partial<Outcome>): Outcome[] =>
      recipients.map(({ index }) => ({ nextHop, reply: null, ...outcome, index }));
    if (closed) return forAll({ kind: "deferred", reason: "the server stops" });
    if (hop.kind === "smarthost" && !smarthost) return forAll({ kind: "held", reason: "no smarthost is configured" });
    try {
      const resolved = await hops.resolve(hop, smarthost);
      if (resolved.kind !== "targets") {
        const { kind, status, reason } = resolved;
        return forAll({ kind, status, reason, ...(kind === "deferred" && { destinationDown: true }) });
      }
      const { targets, domain, fromMx } = resolved;
      const requirements =
        hop.kind === "smarthost"
          ? targets.map((): TlsRequirement => ({ policy: tlsPolicyOf(smarthost!, tlsPolicies), by: "config" }))
          : await tls.of(domain, targets, fromMx);
      const server = hop.kind === "smarthost" ? smarthost! : serverOf(hop);
      const lenient = needsNoTls(message);
      // RFC 8689 §4.2.1. What somebody wrote down is the operator's word, and needs no other.
      const unproven = fromMx && message.envelope.options?.requireTls === true ? domain : null;
      const doubts = await Promise.all(
        targets.map(({ host }) => (unproven === null ? null : tls.doubtOf(unproven, host))),
      );
      const steps = targets.flatMap((target, i) =>
        stepsTo(target, server, requirements[i]!, { domain, lenient, doubt: doubts[i]! }),
      );
      return await trySteps(steps, work, startedAt);
    } catch (error) {
      return forAll({ kind: "deferred", status: "4.3.0", reason: `cannot deliver: ${describeThrown(error)}` });
    }
  }

  /** What there is to try at one host. */
  function stepsTo(
    { host, port, addresses }: Target,
    server: Pick<Smarthost, "tls"> & Partial<Smarthost>,
    requirement: TlsRequirement,
    {
      domain,
      lenient,
      doubt,
    }: { readonly domain: string | null; readonly lenient: boolean; readonly doubt: Doubt | null },
  ): (Way | Obstacle)[] {
    const nextHop = formatServer({ host, port });
    const { refused, failed, tlsa, tlsaBase } = requirement;
    const count = (policy: TlsReason, result: string) => {
      if (domain !== null) tls.record({ domain, policy, host, result });
    };
    const countFailure = () => failed && count(failed.policy, failed.result);
    const down = { kind: "deferred", nextHop, reply: null, destinationDown: true } as const;
    // RFC 8689 §5: a sender who needs no TLS overrides what the domain asks for.
    if (refused && !lenient)
      return [{ outcome: { ...down, status: "4.7.5", reason: refused }, onPassed: countFailure }];
    if (addresses.length === 0)
      return [{ outcome: { ...down, status: "4.4.3", reason: `the addresses of ${host} cannot be looked up` } }];
    if (doubt) {
      const status = doubt.kind === "failed" ? noTlsStatus : "4.7.5";
      return [{ outcome: { ...doubt, nextHop, reply: null, status } }];
    }
    // A session that goes without its policy counts as one that has none.
    const by = failed || lenient ? "default" : requirement.by;
    const onTls = ({ encrypted, result }: TlsHeard) => {
      countFailure();
      // Without a policy any certificate is a success. RFC 8460 §4.2.
      count(by, encrypted && by !== "dane" && by !== "mta-sts" ? "success" : result);
    };
    const smarthost = { ...server, host, port };
    const tlsPolicy = policyOf(requirement, smarthost);
    const dane = tlsa && { tlsa: { ...daneOf(tlsa, domain), ...(tlsaBase !== undefined && { base: tlsaBase }) } };
    const places = addresses.map((address): Place => ({ smarthost, address, tlsPolicy, ...dane }));
    // DNS tells the addresses of a host in no order that counts: an open connection to one of them is worth more.
    const [ready, others] = [true, false].map((wanted) => places.filter((place) => clients.isReady(place) === wanted));
    return [...ready!, ...others!].map((place) => ({ place, onTls }));
  }

  /** Goes from one to the next while somebody is left who has no answer. */
  async function trySteps(steps: readonly (Way | Obstacle)[], work: RemoteWork, startedAt: number): Promise<Outcome[]> {
    const { message, recipients, attemptId, signal } = work;
    const trails = new Map(recipients.map(({ index }): [number, Trail] => [index, { outcomes: [], settled: false }]));
    const hosts = new Set<string>();
    let addresses = 0;
    for (const step of steps) {
      const rest = recipients.filter(({ index }) => !trails.get(index)!.settled);
      if (rest.length === 0 || signal?.aborted) break;
      let tried: Tried[];
      if ("outcome" in step) {
        step.onPassed?.();
        tried = rest.map(({ index }) => ({ outcome: { ...step.outcome, index }, elsewhere: true }));
      } else {
        hosts.add(formatServer(step.place.smarthost));
        addresses += 1;
        if (hosts.size > hostsMax || addresses > addressesMax) break;
        if (addresses > 1 && clock.monotonicMs() - startedAt >= searchMsMax) break;
        const { place, onTls } = step;
        tried = await clients.get(place).attempt({ message, recipients: rest, attemptId, signal, onTls });
      }
      for (const { outcome, elsewhere } of tried) {
        const trail = trails.get(outcome.index)!;
        trail.outcomes.push(outcome);
        trail.settled = !elsewhere;
      }
    }
    return recipients.map(({ index }) => sumUp(index, trails.get(index)!, formatNextHop(work.hop)));
  }

  return {
    deliver,
    reconfigure(changed) {
      if (JSON.stringify(changed) !== JSON.stringify(settings)) clients.retire();
      settings = changed;
    },
    askAnew() {
      clients.retire();
    },
    close() {
      closed = true;
      clients.close();
    },
  };
}

function serverOf(hop: RemoteHop): Pick<Smarthost, "tls" | "implicitTls"> {
  return { tls: "opportunistic", ...(hop.kind === "smtp" && hop.implicitTls && { implicitTls: true }) };
}

/** The domain's own name may be on a certificate too, where an authority vouches for names: RFC 7672 §3.2.2. Else the records alone count. */
function daneOf(records: readonly TlsaRecord[], domain: string | null): NonNullable<Place["tlsa"]> {
  return { records, domain: records.some(({ usage }) => usage === 2) ? domain : null };
}

/** (stricter: who writes `smtps://` wants to be sure of the server, so its certificate is checked where nothing else is said.) */
function policyOf({ policy, by }: TlsRequirement, { implicitTls }: Smarthost): TlsPolicy {
  return by === "default" && implicitTls ? "verified" : policy;
}

/**
 * The outcome of all that was tried for a recipient. Where any host may still take the mail later it is deferred; it fails where each of them said no. The
 * words name every host that did not talk to us, since the last alone is seldom the one to mend.
 */
function sumUp(index: number, { outcomes, settled }: Trail, nextHop: string): Outcome {
  const last = outcomes.at(-1);
  if (!last) return { index, kind: "deferred", nextHop, reply: null, reason: timeOver };
  if (settled || outcomes.length === 1) return last;
  const counts = outcomes.findLast(({ kind }) => kind === "deferred") ?? last;
  const { destinationDown: _, ...outcome } = counts;
  const others = outcomes.filter((other) => other !== counts).map(wordsOf);
  const words = [...new Set([...others, counts.reply ? counts.reason || counts.nextHop : counts.reason])];
  const down = outcomes.every((each) => each.destinationDown) ? { destinationDown: true as const } : {};
  return { ...outcome, ...down, reason: words.join("; ") };
}

function wordsOf(outcome: Outcome): string {
  const words = describeOutcome(outcome);
  return outcome.reason === "" ? `${outcome.nextHop}: ${words}` : words;
}
