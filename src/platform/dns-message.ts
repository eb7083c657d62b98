/**
 * DNS messages: a question as octets, and what came back, checked to be an answer to that question. dns-packet knows the octets of records; what they
 * mean together is here. RFC 1035 §4, RFC 6891 (EDNS), RFC 2308 (that there is none). Pure.
 */
import { AUTHENTIC_DATA, DNSSEC_OK, type Answer as DnsRecord, decode, encode, RECURSION_DESIRED } from "dns-packet";

export type QuestionType = "A" | "AAAA" | "MX" | "TXT" | "PTR" | "TLSA";

export interface Question {
  /** As `plainName` makes it. */
  readonly name: string;
  readonly type: QuestionType;
}

export interface QuestionOptions {
  /** Without, for servers that do not understand it. RFC 6891 §7. */
  readonly edns: boolean;
  /** Asks whether the answer is signed. RFC 4035 §3.2.1, RFC 6840 §5.7. */
  readonly dnssec: boolean;
}

export type Reading =
  /** No answer to this question: somebody else's, or a forgery. RFC 5452 §9.1. */
  | { readonly kind: "stray" }
  /** Does not fit a datagram; to be asked over TCP. RFC 7766 §5. */
  | { readonly kind: "truncated" }
  /** An answer that says nothing about the name. `rcode` where the server said one. */
  | { readonly kind: "unusable"; readonly reason: string; readonly rcode: string | null }
  | ReadAnswer;

export interface ReadAnswer {
  readonly kind: "answer";
  /** Data of the records that were asked for, as dns-packet gives them. */
  readonly data: readonly unknown[];
  /** Where the last alias leads, if the answer does not have its records. */
  readonly alias: string | null;
  /** Whose records they are: the name that was asked for, or the last its aliases lead to. */
  readonly canonical: string;
  /** False for NXDOMAIN. */
  readonly nameExists: boolean;
  /** The AD bit, believed by nobody here. RFC 4035 §3.2.3. */
  readonly authentic: boolean;
  /** How long it may be kept; null where it does not say. */
  readonly ttlSeconds: number | null;
}

/** Fits every path without fragments: the flag day of 2020. */
const udpOctetsMax = 1_232;
/** CNAMEs followed for one question, over all its answers. */
export const aliasesMax = 8;

const nameOctetsMax = 253;
const hostNamePattern = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** In lower case, without a dot at the end. */
export function plainName(name: string): string {
  return (name.endsWith(".") ? name.slice(0, -1) : name).toLowerCase();
}

/** Whether it can be asked for: labels of 1 to 63 octets, 253 in all, no octets but those of ASCII that print. RFC 1035 §2.3.4. */
export function isAskable(name: string): boolean {
  return name.length <= nameOctetsMax && /^[\x21-\x2d\x2f-\x7e]{1,63}(?:\.[\x21-\x2d\x2f-\x7e]{1,63})*$/.test(name);
}

/** Whether a host may be called so. (lenient: underscores, which RFC 952 does not have; hosts do.) */
export function isHostName(name: string): boolean {
  return name.length <= nameOctetsMax && hostNamePattern.test(name);
}

export function writeQuestion(id: number, { name, type }: Question, { edns, dnssec }: QuestionOptions): Buffer {
  return encode({
    type: "query",
    id,
    flags: RECURSION_DESIRED | (dnssec ? AUTHENTIC_DATA : 0),
    questions: [{ name, type, class: "IN" }],
    additionals: edns
      ? [
          {
            type: "OPT",
            name: ".",
            udpPayloadSize: udpOctetsMax,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: dnssec ? DNSSEC_OK : 0,
            flag_do: dnssec,
            options: [],
          },
        ]
      : [],
  });
}

/** What came in reply to question `id`. Never throws, whatever the octets are. */
export function readAnswer(id: number, question: Question, octets: Buffer): Reading {
  // Another id is another's answer: not looked into. The highest bit says that it is an answer at all.
  if (octets.length < 12 || octets.readUInt16BE(0) !== id || (octets[2]! & 0x80) === 0) return { kind: "stray" };
  const message = tryDecode(octets);
  if (message === undefined) return { kind: "unusable", reason: "an answer that cannot be read", rcode: null };
  const [asked, ...others] = message.questions ?? [];
  if (asked) {
    const isSame = plainName(asked.name) === question.name && asked.type === question.type && asked.class === "IN";
    if (!isSame || others.length > 0) return { kind: "stray" };
  }
  const rcode = rcodeOf(message);
  // A server that did not understand the question may leave it out; one that answers may not.
  if (rcode !== "NOERROR" && rcode !== "NXDOMAIN") return { kind: "unusable", reason: rcode, rcode };
  if (!asked) return { kind: "stray" };
  if (message.flag_tc) return { kind: "truncated" };
  const found = follow(question, message.answers ?? []);
  if (found === undefined)
    return { kind: "unusable", reason: "aliases that lead in a circle, or too far", rcode: null };
  const ttlSeconds = found.data.length > 0 || found.alias !== null ? found.ttlSeconds : negativeTtlOf(message, found);
  return {
    kind: "answer",
    data: found.data,
    alias: found.data.length > 0 || rcode === "NXDOMAIN" ? null : found.alias,
    canonical: found.alias ?? question.name,
    // RFC 6604 §3: with aliases, the code is about the last name. There is nothing behind the first one then either.
    nameExists: rcode === "NOERROR",
    authentic: message.flag_ad,
    ttlSeconds,
  };
}

type Message = ReturnType<typeof decode> & { readonly rcode?: string };

function tryDecode(octets: Buffer): Message | undefined {
  try {
    const message = decode(octets);
    // A record may claim more octets than came.
    return decode.bytes > octets.length ? undefined : message;
  } catch {
    return undefined;
  }
}

/** With the upper bits that EDNS adds: without them BADVERS would be success. RFC 6891 §6.1.3. */
function rcodeOf({ rcode = "NOERROR", additionals = [] }: Message): string {
  const options = additionals.find((record) => record.type === "OPT");
  return options && options.extendedRcode !== 0 ? `extended code ${options.extendedRcode}` : rcode;
}

interface Followed {
  readonly data: readonly unknown[];
  readonly alias: string | null;
  readonly ttlSeconds: number;
}

/** The records behind all aliases that the answer tells; undefined for a circle. RFC 1034 §3.6.2. */
function follow({ name, type }: Question, answers: readonly DnsRecord[]): Followed | undefined {
  let [owner, alias, ttlSeconds] = [name, null as string | null, Number.POSITIVE_INFINITY];
  for (let hops = 0; hops <= aliasesMax; hops++) {
    const own = answers.filter((record) => isOf(record, owner));
    const records = own.filter((record) => record.type === type);
    const next = own.find((record) => record.type === "CNAME");
    ttlSeconds = Math.min(ttlSeconds, ...(records.length > 0 ? records : next ? [next] : []).map(ttlOf));
    if (records.length > 0 || !next) return { data: records.map(dataOf), alias, ttlSeconds };
    owner = plainName(String(dataOf(next)));
    alias = owner;
    if (owner === name) return undefined;
  }
  return undefined;
}

function isOf(record: DnsRecord, owner: string): boolean {
  return record.type !== "OPT" && (record.class ?? "IN") === "IN" && plainName(record.name) === owner;
}

function ttlOf(record: DnsRecord): number {
  const ttl = ("ttl" in record ? record.ttl : undefined) ?? 0;
  // RFC 2181 §8: what would be negative is zero.
  return ttl > 0x7fff_ffff ? 0 : ttl;
}

function dataOf(record: DnsRecord): unknown {
  return "data" in record ? record.data : undefined;
}

/** RFC 2308 §5: as long as the zone's SOA record says, and the aliases that led there. */
function negativeTtlOf({ authorities = [] }: Message, { ttlSeconds }: Followed): number | null {
  const zone = authorities.find((record) => record.type === "SOA");
  return zone ? Math.min(ttlOf(zone), zone.data.minimum ?? 0, ttlSeconds) : null;
}
