/**
 * DNS as a port: every look-up ends within its time with one of three outcomes, and never throws. The real one asks name servers with a client of our own
 * (dns-client.ts) and keeps what it heard for a while; the fake one of the tests stands in test/support. What to do with an outcome is the asker's affair.
 */
import { isIP } from "node:net";
import type { Clock } from "./clock.ts";
import { reverseNameOf } from "./dns-address.ts";
import { DnsClient } from "./dns-client.ts";
import { MachineNames, type NameServer, parseNameServer } from "./dns-machine.ts";
import { isHostName, plainName, type QuestionType } from "./dns-message.ts";

/** `failed` is temporary: no name server gave an answer in time, or one could not. Who asks for mail's sake defers then, or goes on without. */
export type Answer<T> =
  | {
      readonly kind: "found";
      readonly values: readonly [T, ...T[]];
      readonly authentic: boolean;
      /** The name whose records they are, where that is another (CNAME) and all of it is authentic. */
      readonly canonical?: string;
    }
  /**
   * There is no such record. `nameExists`: the name has others (NODATA, not NXDOMAIN; RFC 2308 §2). `authentic`, as above: signed, and checked by a
   * name server that is believed. RFC 4035 §4.9.3.
   */
  | { readonly kind: "none"; readonly nameExists: boolean; readonly authentic: boolean }
  | { readonly kind: "failed"; readonly reason: string };

export interface MxRecord {
  /** The lowest goes first. RFC 5321 §5.1. */
  readonly preference: number;
  /** In lower case; "" is the null MX: this domain takes no mail. RFC 7505. */
  readonly host: string;
}

/** What a certificate has to match. The numbers as they stand in RFC 6698 §2.1. */
export interface TlsaRecord {
  readonly usage: number;
  readonly selector: number;
  readonly matchingType: number;
  readonly data: Buffer;
}

export interface LookupOptions {
  /** Time for this look-up; the resolver's own where absent. */
  readonly timeoutMs?: number;
}

/** Names may be written with or without a dot at the end, in any case; they come back in lower case without one. No name is completed: search lists are not used. */
export interface Resolver {
  /** Addresses of a name: A for family 4, AAAA for 6. What the machine knows itself (/etc/hosts) goes before DNS. */
  address(name: string, family: 4 | 6, options?: LookupOptions): Promise<Answer<string>>;
  /** Lowest preference first. */
  mx(name: string, options?: LookupOptions): Promise<Answer<MxRecord>>;
  /** The pieces of each record joined. RFC 7208 §3.3. */
  txt(name: string, options?: LookupOptions): Promise<Answer<string>>;
  /** Names of an address, not verified: whoever owns the address writes what he likes. RFC 1035 §3.5. */
  reverse(ip: string, options?: LookupOptions): Promise<Answer<string>>;
  /** Of `_25._tcp.mx.example.org`. RFC 6698 §3. */
  tlsa(name: string, options?: LookupOptions): Promise<Answer<TlsaRecord>>;
}

export interface DnsResolverOptions {
  readonly clock: Clock;
  /** `address` or `address:port`; those of the machine where absent or empty. Those that are believed are asked before the others. */
  readonly servers?: readonly string[];
  /** Of the servers, or the machine's, those whose word on signatures is believed; of those on this machine (loopback) it always is. */
  readonly trustedServers?: readonly string[];
  /** Time for a look-up that says nothing else. */
  readonly timeoutMs?: number;
  /** Answers kept; the one that was not asked for longest goes first. */
  readonly entriesMax?: number;
  /** Octets of them, about: whoever owns a domain chooses how long its records are. */
  readonly octetsMax?: number;
  /** Look-ups under way at a time; more of them fail at once. */
  readonly lookupsMax?: number;
  /** Where the machine's own names are; /etc/resolv.conf and /etc/hosts where absent. */
  readonly files?: { readonly resolvConf?: string; readonly hosts?: string };
}

/** How long answers are kept. The shortest (lenient: RFC 1035 §3.2.1 has 0 for "not at all") spares a server those who ask the same just now. */
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
  readonly octets: number;
}
/** What a value takes besides its octets. */
const valueOctets = 64;

/**
 * A resolver over name servers. `close` ends the look-ups under way; they have failed then.
 * @throws {Fault} `config.invalid` for a server that is none
 */
export function createResolver({
  clock,
  servers = [],
  trustedServers = [],
  timeoutMs: timeoutMsDefault = 5_000,
  entriesMax = 10_000,
  octetsMax = 32 * 1024 * 1024,
  lookupsMax = 1_000,
  files = {},
}: DnsResolverOptions): Resolver & { close(): void } {
  const machine = new MachineNames({ clock, ...files });
  const configured = servers.map(parseNameServer);
  const trusted = trustedServers.map(parseNameServer);
  const dns = new DnsClient({
    clock,
    servers: () => (configured.length > 0 ? configured : machine.servers()),
    isTrusted: (server) =>
      isLoopback(server) || trusted.some(({ address, port }) => address === server.address && port === server.port),
    timeoutMs: timeoutMsDefault,
  });
  const kept = new Map<string, Kept>();
  let keptOctets = 0;
  const underWay = new Map<string, Promise<Answer<unknown>>>();

  function recall(key: string): Answer<unknown> | undefined {
    const found = kept.get(key);
    if (!found) return undefined;
    forget(key);
    if (found.until <= clock.monotonicMs()) return undefined;
    // Again at the end: the first key is the one not asked for longest.
    remember(key, found);
    return found.answer;
  }

  function remember(key: string, one: Kept): void {
    kept.set(key, one);
    keptOctets += one.octets;
  }

  function forget(key: string): void {
    keptOctets -= kept.get(key)?.octets ?? 0;
    kept.delete(key);
  }

  function keep(key: string, { answer, keptMs }: Heard<unknown>): void {
    if (answer.kind === "failed") return;
    forget(key);
    remember(key, { answer, until: clock.monotonicMs() + keptMs, octets: octetsOf(key, answer) });
    for (const oldest of kept.keys()) {
      if (kept.size <= entriesMax && keptOctets <= octetsMax) return;
      forget(oldest);
    }
  }

  /** One question: from memory, with those who ask the same just now, or from a name server. */
  function ask<T>(type: QuestionType, name: string, read: Read<T>, options: LookupOptions = {}): Promise<Answer<T>> {
    const asked = plainName(name);
    const key = `${type} ${asked}`;
    // A key names its record type, so what is kept under it has that type's values.
    const known = recall(key) as Answer<T> | undefined;
    if (known) return Promise.resolve(known);
    let answer = underWay.get(key) as Promise<Answer<T>> | undefined;
    if (!answer) {
      if (underWay.size >= lookupsMax)
        return Promise.resolve({ kind: "failed", reason: "too many look-ups at a time" });
      answer = query(type, asked, read)
        .then((heard) => {
          keep(key, heard);
          return heard.answer;
        })
        .finally(() => underWay.delete(key));
      underWay.set(key, answer);
    }
    return answeredWithin(answer, options.timeoutMs ?? timeoutMsDefault, clock);
  }

  async function query<T>(type: QuestionType, name: string, read: Read<T>): Promise<Heard<T>> {
    const heard = await dns.lookUp({ name, type });
    if (heard.kind === "failed") return { answer: heard, keptMs: 0 };
    const { data, nameExists, authentic, canonical, ttlSeconds } = heard;
    const keptMs = Math.min(Math.max((ttlSeconds ?? 0) * 1_000, keptMsMin), keptMsMax);
    const [first, ...rest] = data.flatMap(read);
    if (first !== undefined) {
      const behind = authentic && canonical !== name ? { canonical } : {};
      return { answer: { kind: "found", values: [first, ...rest], authentic, ...behind }, keptMs };
    }
    // Records that say nothing are not the same as none: with none, mail would go another way.
    if (data.length > 0) return { answer: { kind: "failed", reason: `no ${type} record can be used` }, keptMs };
    return { answer: { kind: "none", nameExists, authentic }, keptMs };
  }

  return {
    address(name, family, options) {
      const own = machine.addressesOf(plainName(name), family);
      if (own === undefined) return ask(family === 4 ? "A" : "AAAA", name, readAddress, options);
      const [first, ...rest] = own;
      return Promise.resolve(
        first === undefined
          ? { kind: "none", nameExists: true, authentic: false }
          : { kind: "found", values: [first, ...rest], authentic: false },
      );
    },
    async mx(name, options) {
      const answer = await ask("MX", name, readMx, options);
      if (answer.kind !== "found") return answer;
      const [first, ...rest] = answer.values.toSorted((one, other) => one.preference - other.preference);
      return { ...answer, values: [first!, ...rest] };
    },
    txt: (name, options) => ask("TXT", name, readText, options),
    reverse(ip, options) {
      const name = reverseNameOf(ip);
      if (name === undefined) return Promise.resolve({ kind: "none", nameExists: false, authentic: false });
      return ask("PTR", name, readName, options);
    },
    tlsa: (name, options) => ask("TLSA", name, readTlsa, options),
    close: () => dns.close(),
  };
}

/** About what an answer takes in memory. */
function octetsOf(key: string, answer: Answer<unknown>): number {
  const values = answer.kind === "found" ? answer.values : [];
  return values.reduce<number>((octets, value) => octets + valueOctets + lengthOf(value), valueOctets + key.length);
}

function lengthOf(value: unknown): number {
  if (typeof value === "string") return value.length;
  const { host = "", data } = value as Partial<MxRecord & TlsaRecord>;
  return host.length + (data?.length ?? 0);
}

/** The value in a record's data as dns-packet gives it; nothing where it is of no use. */
type Read<T> = (data: unknown) => readonly T[];

const readAddress: Read<string> = (data) => (typeof data === "string" && isIP(data) > 0 ? [data] : []);

const readName: Read<string> = (data) => {
  const name = plainName(String(data));
  return isHostName(name) ? [name] : [];
};

const readMx: Read<MxRecord> = (data) => {
  const { preference = 0, exchange } = data as { readonly preference?: number; readonly exchange: string };
  if (exchange === ".") return [{ preference, host: "" }];
  return readName(exchange).map((host) => ({ preference, host }));
};

const readText: Read<string> = (data) => [Buffer.concat(data as readonly Buffer[]).toString("utf8")];

const readTlsa: Read<TlsaRecord> = (data) => {
  const { usage, selector, matchingType, certificate } = data as Omit<TlsaRecord, "data"> & {
    readonly certificate: Buffer;
  };
  // A copy: what is kept must not hold the whole message.
  return [{ usage, selector, matchingType, data: Buffer.from(certificate) }];
};

function isLoopback({ address }: NameServer): boolean {
  return address === "::1" || (isIP(address) === 4 && address.startsWith("127."));
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
