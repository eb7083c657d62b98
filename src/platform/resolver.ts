/**
 * DNS as a port: every look-up ends within its time with one of three outcomes, and never throws. The real one asks the machine's name servers and
 * keeps what it heard for a while; the fake one of the tests stands in test/support. What to do with an outcome is the asker's affair.
 */
import { Resolver as NameServers } from "node:dns/promises";
import { isIP } from "node:net";
import type { Clock } from "./clock.ts";

/** `failed` is temporary: no name server gave an answer in time, or one could not. Who asks for mail's sake defers then, or goes on without. */
export type Answer<T> =
  | { readonly kind: "found"; readonly values: readonly [T, ...T[]] }
  /** There is no such record. `nameExists`: the name has others (NODATA, not NXDOMAIN; RFC 2308 §2). */
  | { readonly kind: "none"; readonly nameExists: boolean }
  | { readonly kind: "failed"; readonly reason: string };

export interface MxRecord {
  /** The lowest goes first. RFC 5321 §5.1. */
  readonly preference: number;
  /** In lower case; "" is the null MX: this domain takes no mail. RFC 7505. */
  readonly host: string;
}

export interface LookupOptions {
  /** Time for this look-up; the resolver's own where absent. */
  readonly timeoutMs?: number;
}

/** Names may be written with or without a dot at the end, in any case; they come back in lower case without one. */
export interface Resolver {
  /** Addresses of a name: A for family 4, AAAA for 6. */
  address(name: string, family: 4 | 6, options?: LookupOptions): Promise<Answer<string>>;
  /** Lowest preference first. */
  mx(name: string, options?: LookupOptions): Promise<Answer<MxRecord>>;
  /** The pieces of each record joined. RFC 7208 §3.3. */
  txt(name: string, options?: LookupOptions): Promise<Answer<string>>;
  /** Names of an address, not verified: whoever owns the address writes what he likes. RFC 1035 §3.5. */
  reverse(ip: string, options?: LookupOptions): Promise<Answer<string>>;
}

export interface DnsResolverOptions {
  readonly clock: Clock;
  /** `address` or `address:port`; the machine's own where absent. */
  readonly servers?: readonly string[];
  /** Time for a look-up that says nothing else. */
  readonly timeoutMs?: number;
  /** Answers kept; the one that was not asked for longest goes first. */
  readonly entriesMax?: number;
  /** Look-ups under way at a time; more of them fail at once. */
  readonly lookupsMax?: number;
}

/** How long answers are kept that come without a time to live: node:dns tells it of addresses alone. */
const keptMsDefault = 300_000;
/** RFC 2308 §5 lets a negative answer live as long as its zone says, which node:dns does not tell. */
const keptMsOfNone = 60_000;
const keptMsMin = 1_000;
const keptMsMax = 3_600_000;

interface Heard<T> {
  readonly answer: Answer<T>;
  readonly keptMs: number;
}
interface Kept {
  readonly answer: Answer<unknown>;
  /** On the monotonic clock. */
  readonly until: number;
}

/** A resolver over node:dns. `close` ends the look-ups under way; they have failed then. */
export function createResolver({
  clock,
  servers,
  timeoutMs: timeoutMsDefault = 5_000,
  entriesMax = 10_000,
  lookupsMax = 1_000,
}: DnsResolverOptions): Resolver & { close(): void } {
  const dns = new NameServers({ timeout: Math.max(500, Math.floor(timeoutMsDefault / 3)), tries: 3 });
  if (servers) dns.setServers(servers);
  const kept = new Map<string, Kept>();
  const underWay = new Map<string, Promise<Answer<unknown>>>();

  function recall(key: string): Answer<unknown> | undefined {
    const found = kept.get(key);
    if (!found) return undefined;
    kept.delete(key);
    if (found.until <= clock.monotonicMs()) return undefined;
    // Again at the end: the first key is the one not asked for longest.
    kept.set(key, found);
    return found.answer;
  }

  function keep(key: string, { answer, keptMs }: Heard<unknown>): void {
    if (answer.kind === "failed") return;
    kept.delete(key);
    kept.set(key, { answer, until: clock.monotonicMs() + keptMs });
    if (kept.size > entriesMax) kept.delete(kept.keys().next().value!);
  }

  /** One question: from memory, with those who ask the same just now, or from a name server. */
  function ask<T>(key: string, query: () => Promise<Heard<T>>, options: LookupOptions = {}): Promise<Answer<T>> {
    // A key names its record type, so what is kept under it has that type's values.
    const known = recall(key) as Answer<T> | undefined;
    if (known) return Promise.resolve(known);
    let answer = underWay.get(key) as Promise<Answer<T>> | undefined;
    if (!answer) {
      if (underWay.size >= lookupsMax)
        return Promise.resolve({ kind: "failed", reason: "too many look-ups at a time" });
      answer = query()
        .catch((error: unknown): Heard<T> => ({ answer: outcomeOf(error), keptMs: keptMsOfNone }))
        .then((heard) => {
          keep(key, heard);
          return heard.answer;
        })
        .finally(() => underWay.delete(key));
      underWay.set(key, answer);
    }
    return answeredWithin(answer, options.timeoutMs ?? timeoutMsDefault, clock);
  }

  return {
    address(name, family, options) {
      const asked = plainName(name);
      return ask(
        `${family} ${asked}`,
        async () => {
          const records = await (family === 4
            ? dns.resolve4(asked, { ttl: true })
            : dns.resolve6(asked, { ttl: true }));
          const ttlMs = Math.min(...records.map(({ ttl }) => ttl)) * 1_000;
          return {
            answer: found(records.map(({ address }) => address)),
            keptMs: Math.min(Math.max(ttlMs, keptMsMin), keptMsMax),
          };
        },
        options,
      );
    },
    mx(name, options) {
      const asked = plainName(name);
      return ask(
        `mx ${asked}`,
        async () => {
          const records = await dns.resolveMx(asked);
          const sorted = records
            .map(({ priority, exchange }) => ({ preference: priority, host: plainName(exchange) }))
            .sort((one, other) => one.preference - other.preference);
          return { answer: found(sorted), keptMs: keptMsDefault };
        },
        options,
      );
    },
    txt(name, options) {
      const asked = plainName(name);
      return ask(
        `txt ${asked}`,
        async () => {
          const records = await dns.resolveTxt(asked);
          return { answer: found(records.map((pieces) => pieces.join(""))), keptMs: keptMsDefault };
        },
        options,
      );
    },
    reverse(ip, options) {
      if (isIP(ip) === 0) return Promise.resolve({ kind: "none", nameExists: false });
      return ask(
        `ptr ${ip}`,
        async () => ({ answer: found((await dns.reverse(ip)).map(plainName)), keptMs: keptMsDefault }),
        options,
      );
    },
    close: () => dns.cancel(),
  };
}

/** The answer, or `failed` after so long. The look-up itself goes on, and its answer is kept for who asks next. */
function answeredWithin<T>(answer: Promise<Answer<T>>, timeoutMs: number, clock: Clock): Promise<Answer<T>> {
  return new Promise((resolve) => {
    const cancel = clock.after(timeoutMs, () =>
      resolve({ kind: "failed", reason: `no answer within ${timeoutMs} ms` }),
    );
    void answer.then((value) => {
      cancel();
      resolve(value);
    });
  });
}

function found<T>(values: readonly T[]): Answer<T> {
  const [first, ...rest] = values;
  return first === undefined ? { kind: "none", nameExists: true } : { kind: "found", values: [first, ...rest] };
}

function outcomeOf(error: unknown): Answer<never> {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case "ENODATA":
      return { kind: "none", nameExists: true };
    // A name that cannot be asked for cannot exist either.
    case "ENOTFOUND":
    case "EBADNAME":
      return { kind: "none", nameExists: false };
    default:
      return { kind: "failed", reason: code ?? message };
  }
}

function plainName(name: string): string {
  return (name.endsWith(".") ? name.slice(0, -1) : name).toLowerCase();
}
