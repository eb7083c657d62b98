/**
 * Answers what scripts ask of the server while they run: HTTP, names, their store, secrets. Every question is looked at against the grants of its step and against what
 * the configuration allows now, and counted; only then it goes to whoever can answer it. docs/grants.md is written for those who ask.
 */
import type { Json } from "../../sandbox/api.ts";
import { type Asker, type HostAnswer, type HostCalls, type HostQuestion, sleep } from "../../sandbox/host-call.ts";
import { objectionTo } from "../platform/address-policy.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { Resolver } from "../platform/resolver.ts";
import { isListed, lookUp } from "./calls-dns.ts";
import { callHttp } from "./calls-http.ts";
import { coversOrigin } from "./origins.ts";
import type { Secrets } from "./secrets.ts";

/** What may be asked at all, `[scripts.grants]`. */
export interface CallLimits {
  readonly http: readonly string[];
  readonly privateAddresses: boolean;
  readonly httpRequestsMax: number;
  readonly httpOctetsMax: number;
  readonly httpTimeoutMs: number;
  readonly dns: boolean;
  readonly kv: boolean;
  readonly secrets: readonly string[];
}

/** The scripts' store, by name of the script. May throw a Fault `kv.failed`, `kv.full` or `script.action-invalid`. */
export interface KvStore {
  get(script: string, key: string): Promise<Json>;
  set(
    script: string,
    key: string,
    value: Json,
    options: { readonly ttlS: number | null; readonly ifAbsent: boolean },
  ): Promise<boolean>;
  delete(script: string, key: string): Promise<boolean>;
  increment(script: string, key: string, by: number, ttlS: number | null): Promise<number>;
  list(
    script: string,
    prefix: string,
    options: { readonly limit: number; readonly after: string },
  ): Promise<readonly string[]>;
}

export type CallResolver = Pick<Resolver, "address" | "mx" | "txt" | "reverse">;
export type NetworkQuestion = HostQuestion & { readonly kind: "http" | "dns" | "dns.listed" };

export interface CallPorts {
  /** Asked for anew with each question. */
  readonly limits: () => CallLimits;
  readonly resolver: CallResolver;
  readonly kv: KvStore;
  readonly secrets: Secrets;
  readonly log: Log;
  /** Answers in the place of HTTP and DNS, behind the same checks; for tests. */
  readonly network?: (question: NetworkQuestion, body: Uint8Array | null) => Promise<HostAnswer>;
  /** Certificates to trust in place of the system's; PEM. */
  readonly certificateAuthorities?: string;
}

/** Look-ups of one run. */
export const dnsLookupsMax = 20;

interface Counts {
  http: number;
  dns: number;
}

export function createServerCalls(ports: CallPorts): HostCalls {
  const counts = new WeakMap<Asker, Counts>();
  const countsOf = (asker: Asker): Counts => {
    let found = counts.get(asker);
    if (!found) counts.set(asker, (found = { http: 0, dns: 0 }));
    return found;
  };

  async function answer(
    asker: Asker,
    question: HostQuestion,
    body: Uint8Array | null,
    signal: AbortSignal,
  ): Promise<HostAnswer> {
    const limits = ports.limits();
    const { grants, script } = asker;
    switch (question.kind) {
      case "http": {
        const origin = URL.parse(question.url)?.origin;
        if (origin === undefined) return { ok: false, code: "invalid", message: "The URL is none" };
        const isGranted = (wanted: string) => covers(grants.http, wanted) && covers(limits.http, wanted);
        if (!isGranted(origin))
          return missing(
            `http ${shown(origin)}`,
            covers(grants.http, origin),
            `{ http: [${JSON.stringify(shown(origin))}] }`,
          );
        if (++countsOf(asker).http > limits.httpRequestsMax)
          return overLimit(`${limits.httpRequestsMax} HTTP requests`, "http_requests_max");
        if (ports.network) return ports.network(question, body);
        return callHttp(question, body, signal, {
          isGranted,
          resolver: ports.resolver,
          objectionTo: limits.privateAddresses ? () => undefined : objectionTo,
          octetsMax: limits.httpOctetsMax,
          timeoutMs: limits.httpTimeoutMs,
          ...(ports.certificateAuthorities === undefined
            ? {}
            : { certificateAuthorities: ports.certificateAuthorities }),
        });
      }
      case "dns":
      case "dns.listed":
        if (!grants.dns || !limits.dns) return missing("dns", grants.dns === true, "{ dns: true }");
        if (++countsOf(asker).dns > dnsLookupsMax) return overLimit(`${dnsLookupsMax} look-ups`);
        if (ports.network) return ports.network(question, body);
        return question.kind === "dns" ? lookUp(question, ports.resolver) : isListed(question, ports.resolver);
      case "kv.get":
      case "kv.set":
      case "kv.delete":
      case "kv.increment":
      case "kv.list":
        if (!grants.kv || !limits.kv) return missing("kv", grants.kv === true, "{ kv: true }");
        return { ok: true, value: await askStore(ports.kv, script, question) };
      case "secret": {
        const { name } = question;
        const has = grants.secrets?.includes(name) === true;
        if (!has || !limits.secrets.includes(name))
          return missing(`secret ${shown(name)}`, has, `{ secrets: [${JSON.stringify(shown(name))}] }`);
        return await ports.secrets.read(name);
      }
      case "sleep":
        return sleep(question.ms, signal);
      case "cancel":
        return { ok: true, value: null };
    }
  }

  return {
    async answer(asker, question, body, signal) {
      try {
        return await answer(asker, question, body, signal);
      } catch (thrown) {
        if (thrown instanceof Fault) return { ok: false, code: codeOf(thrown), message: thrown.message };
        ports.log.error("script.call-failed", {
          script: asker.script,
          kind: question.kind,
          reason: describeThrown(thrown),
          ...(thrown instanceof Error && { stack: thrown.stack }),
        });
        return { ok: false, code: "failed", message: `${question.kind} failed in the server` };
      }
    },
  };
}

async function askStore(
  kv: KvStore,
  script: string,
  question: HostQuestion & { readonly kind: `kv.${string}` },
): Promise<Json> {
  switch (question.kind) {
    case "kv.get":
      return kv.get(script, question.key);
    case "kv.set":
      return kv.set(script, question.key, question.value, { ttlS: question.ttlS, ifAbsent: question.ifAbsent });
    case "kv.delete":
      return kv.delete(script, question.key);
    case "kv.increment":
      return kv.increment(script, question.key, question.by, question.ttlS);
    case "kv.list":
      return kv.list(script, question.prefix, { limit: question.limit, after: question.after });
  }
}

function covers(granted: readonly string[] | undefined, origin: string): boolean {
  return granted?.some((one) => coversOrigin(one, origin)) === true;
}

/** The end of the run: a script must know what it is granted. */
function missing(what: string, isAsked: boolean, grant: string): HostAnswer {
  const message = isAsked
    ? `${what} is granted to the script, and not allowed by [scripts.grants] of the configuration any more`
    : `${what} is not granted: it takes export const grants = ${grant}`;
  return { ok: false, code: "not-granted", message, fatal: "grant.missing" };
}

function overLimit(what: string, option?: string): HostAnswer {
  const message = `More than ${what} in one run${option === undefined ? "" : ` (scripts.grants.${option})`}`;
  return { ok: false, code: "limit", message, fatal: "grant.limit" };
}

/** `full` of `kv.full`. */
function codeOf({ code }: Fault): string {
  return code === "script.action-invalid" ? "invalid" : code.slice(code.indexOf(".") + 1);
}

function shown(text: string): string {
  return text.replace(/[^\x21-\x7e]/g, "?").slice(0, 200);
}
