/**
 * MTA-STS policies of domains: discovered through DNS, fetched over HTTPS, kept on disk for as long as they say. RFC 8461. Who can make DNS or the policy
 * host fail for us does not make us forget a policy that we know (§10.2).
 */
import { readFile } from "node:fs/promises";
import type { Clock } from "../platform/clock.ts";
import { writeDurably } from "../platform/durable-file.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { Resolver } from "../platform/resolver.ts";
import type { FetchedPolicy } from "./mta-sts-fetch.ts";
import { formatStsPolicy, parseStsPolicy, parseStsRecords, type StsPolicy } from "./mta-sts-policy.ts";

export type StsAnswer =
  /** `unheard`: DNS did not say whether there is one; for mail that is the same. */
  | { readonly kind: "none"; readonly unheard?: string }
  | { readonly kind: "policy"; readonly policy: StsPolicy }
  /** The domain says that there is a policy, and it cannot be had: mail goes as without (RFC 8461 §5.1), and that is counted. */
  | Extract<FetchedPolicy, { readonly kind: "failed" }>;

export interface StsPoliciesOptions {
  /** The file they are kept in. */
  readonly path: string;
  readonly resolver: Pick<Resolver, "txt">;
  readonly clock: Clock;
  readonly log: Log;
  /** Never throws, and ends within its time. */
  readonly fetchPolicy: (domain: string) => Promise<FetchedPolicy>;
  /** Policies kept; the one not asked for longest goes first. */
  readonly policiesMax?: number;
}

interface Known {
  readonly id: string;
  /** Milliseconds since the Unix epoch. */
  readonly fetchedAt: number;
  readonly policy: StsPolicy;
}

interface Failure {
  readonly id: string;
  readonly at: number;
  readonly failed: Extract<FetchedPolicy, { readonly kind: "failed" }>;
}

const minuteMs = 60_000;
/** RFC 8461 §3.3: a policy host that fails is left alone for five minutes. */
const failedMs = 5 * minuteMs;
/** (stricter: a policy that says less is still kept so long, or each message would fetch it.) */
const keptMsMin = 5 * minuteMs;
/** RFC 8461 §10.2: fetched again about daily, long before it is over. */
const refreshedMs = 24 * 60 * minuteMs;
const saveAfterMs = 1_000;
/** Policies kept, and octets that are read back of them: all of them fit, however long they are. */
export const policiesMaxDefault = 5_000;
export const fileOctetsMax = 64 * 1024 * 1024;

export class StsPolicies {
  readonly #options: StsPoliciesOptions;
  /** By domain; the one asked for last stands last. */
  readonly #known = new Map<string, Known>();
  readonly #failures = new Map<string, Failure>();
  readonly #underWay = new Map<string, Promise<FetchedPolicy>>();
  #cancelSave: (() => void) | null = null;
  #saving: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(options: StsPoliciesOptions) {
    this.#options = options;
  }

  /** Reads what is kept. A file that cannot be read is told to the log; its policies are discovered anew. */
  static async open(options: StsPoliciesOptions): Promise<StsPolicies> {
    const policies = new StsPolicies(options);
    const { path, log, clock } = options;
    try {
      const bytes = await readFile(path);
      if (bytes.length > fileOctetsMax) throw new Error(`larger than ${fileOctetsMax} octets`);
      for (const [domain, known] of parseKept(bytes.toString("utf8"))) {
        // A clock that was set back must not keep a policy for ever.
        const fetchedAt = Math.min(known.fetchedAt, clock.now());
        if (isFresh({ ...known, fetchedAt }, clock)) policies.#known.set(domain, { ...known, fetchedAt });
      }
      policies.#bound();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT")
        log.error("mta-sts.unreadable", { file: path, reason: describeThrown(error) });
    }
    return policies;
  }

  /** Policies that hold now; for listings. */
  get size(): number {
    return this.#known.size;
  }

  /**
   * The policy of a domain, as of now. RFC 8461 §3.3 and §5.1: a known one holds while it is fresh, whatever DNS says, until another has been fetched.
   * @param domain as `normalizeDomain` gives it
   */
  async policyOf(domain: string): Promise<StsAnswer> {
    // RFC 8461 §3: an address literal has no domain to ask.
    if (domain.startsWith("[")) return { kind: "none" };
    const txt = await this.#options.resolver.txt(`_mta-sts.${domain}`);
    const id = txt.kind === "found" ? parseStsRecords(txt.values) : null;
    const known = this.#recall(domain);
    if (known && (id === null || id === known.id)) {
      // Nobody waits for that: what is known holds.
      if (this.#isOld(known) && !this.#failedLately(domain, known.id)) void this.#fetch(domain, known.id);
      return { kind: "policy", policy: known.policy };
    }
    if (id === null) return { kind: "none", ...(txt.kind === "failed" && { unheard: txt.reason }) };
    const fetched = this.#failedLately(domain, id) ?? (await this.#fetch(domain, id));
    if (fetched.kind === "fetched") return { kind: "policy", policy: fetched.policy };
    // Another fetch may have gone well meanwhile.
    const kept = this.#recall(domain);
    return kept ? { kind: "policy", policy: kept.policy } : fetched;
  }

  /** What is known, to disk. Done by itself a second after each change. */
  save(): Promise<void> {
    this.#cancelSave?.();
    this.#cancelSave = null;
    this.#saving = this.#saving.then(async () => {
      const { path, log } = this.#options;
      try {
        await writeDurably(path, [Buffer.from(formatKept(this.#known))]);
      } catch (error) {
        log.error("mta-sts.not-saved", { file: path, reason: describeThrown(error) });
      }
    });
    return this.#saving;
  }

  /** Saves what has changed. Fetches under way end by themselves, and are not kept. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#cancelSave) await this.save();
    await this.#saving;
  }

  #fetch(domain: string, id: string): Promise<FetchedPolicy> {
    const same = this.#underWay.get(domain);
    if (same) return same;
    const fetching = this.#options.fetchPolicy(domain).then((fetched) => {
      this.#underWay.delete(domain);
      if (!this.#closed) this.#learn(domain, id, fetched);
      return fetched;
    });
    this.#underWay.set(domain, fetching);
    return fetching;
  }

  #learn(domain: string, id: string, fetched: FetchedPolicy): void {
    const { clock, log } = this.#options;
    this.#failures.delete(domain);
    if (fetched.kind === "failed") {
      const { result, reason } = fetched;
      this.#failures.set(domain, { id, at: clock.now(), failed: fetched });
      log.warn("mta-sts.fetch-failed", { domain, result, reason, kept: this.#known.has(domain) });
    } else {
      this.#known.delete(domain);
      this.#known.set(domain, { id, fetchedAt: clock.now(), policy: fetched.policy });
      this.#cancelSave ??= clock.after(saveAfterMs, () => void this.save());
    }
    this.#bound();
  }

  /** Known, fresh, and now the one asked for last. */
  #recall(domain: string): Known | null {
    const known = this.#known.get(domain);
    if (!known) return null;
    this.#known.delete(domain);
    if (!isFresh(known, this.#options.clock)) return null;
    this.#known.set(domain, known);
    return known;
  }

  #isOld({ fetchedAt, policy }: Known): boolean {
    return this.#options.clock.now() - fetchedAt >= Math.min(refreshedMs, keptMs(policy) / 2);
  }

  #failedLately(domain: string, id: string): Failure["failed"] | null {
    const failure = this.#failures.get(domain);
    // Another id means that somebody has been at work there.
    return failure?.id === id && this.#options.clock.now() - failure.at < failedMs ? failure.failed : null;
  }

  #bound(): void {
    const { policiesMax = policiesMaxDefault } = this.#options;
    for (const map of [this.#known, this.#failures]) {
      for (const domain of map.keys()) {
        if (map.size <= policiesMax) break;
        map.delete(domain);
      }
    }
  }
}

function isFresh({ fetchedAt, policy }: Known, clock: Clock): boolean {
  return clock.now() - fetchedAt < keptMs(policy);
}

function keptMs({ maxAgeSeconds }: StsPolicy): number {
  return Math.max(maxAgeSeconds * 1_000, keptMsMin);
}

function formatKept(known: ReadonlyMap<string, Known>): string {
  const policies = [...known].map(([domain, { id, fetchedAt, policy }]) => ({
    domain,
    id,
    fetchedAt: new Date(fetchedAt).toISOString(),
    policy: formatStsPolicy(policy),
  }));
  return `${JSON.stringify({ version: 1, policies }, null, 1)}\n`;
}

/** @throws {Error} for what `formatKept` has not written */
function parseKept(text: string): (readonly [string, Known])[] {
  const { version, policies } = JSON.parse(text) as { readonly version?: unknown; readonly policies?: unknown };
  if (version !== 1 || !Array.isArray(policies)) throw new Error("expected version 1, with policies");
  return policies.map((entry: Readonly<Record<string, unknown>>) => {
    const { domain, id, fetchedAt } = entry;
    const policy = parseStsPolicy(String(entry["policy"]));
    const at = Date.parse(String(fetchedAt));
    if (typeof domain !== "string" || typeof id !== "string" || Number.isNaN(at) || "invalid" in policy)
      throw new Error(`expected domain, id, fetchedAt and policy, not ${JSON.stringify(entry).slice(0, 100)}`);
    return [domain, { id, fetchedAt: at, policy }] as const;
  });
}
