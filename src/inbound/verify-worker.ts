/**
 * The thread that verifies: SPF, DKIM, DMARC and ARC by mailauth, which asks DNS through the main thread's resolver. Several messages are under way at a
 * time, for most of the time is waiting for DNS.
 */
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { arc } from "mailauth/lib/arc/index.js";
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
import { evaluateDmarc } from "mailauth/lib/dmarc/index.js";
import { spf } from "mailauth/lib/spf/index.js";
import {
  type ArcFacts,
  arcResults,
  type DkimFacts,
  type DmarcFacts,
  dkimResults,
  dmarcResults,
  type SpfFacts,
  spfResults,
} from "../mail/auth-facts.ts";
import { serveJobs } from "../platform/thread-jobs.ts";
import { type DnsQuestion, type DnsReply, lookupsMax, type VerifyResult, type VerifyWork } from "./verify-work.ts";

/** Bits of an RSA key below which a signature is worth nothing. RFC 8301 §3.2. */
const keyBitsMin = 1_024;
/** Time for SPF alone (RFC 7208 §4.6.4 wants 20 s at least for a whole evaluation; a client waits for us). */
const spfTimeoutMs = 8_000;
const textLengthMax = 255;
const reasonLengthMax = 120;

type Lookup = (name: string, type: string) => Promise<unknown[]>;

serveJobs<VerifyWork, VerifyResult, DnsQuestion, DnsReply>(async (work, ask) => {
  const resolver = createLookup(ask);
  const [sender, signed] = await Promise.all([verifySpf(work, resolver), verifySignatures(work, resolver)]);
  const chain = await verifyArc(signed, resolver);
  const passed = signed.results.filter(({ status }) => status.result === "pass");
  const { response, dkimAligned, reason } = await evaluateDmarc({
    headerFrom: signed.headerFrom,
    fromFields: signed.fromFields,
    spfDomains: sender.result === "pass" ? [sender.domain] : [],
    dkimDomains: passed.map(({ id, signingDomain }) => ({ id, domain: signingDomain })),
    arcResult: false,
    resolver,
  } as unknown as Parameters<typeof evaluateDmarc>[0]);
  const aligned = (domain: string) => dkimAligned?.has(domain.toLowerCase().replace(/\.$/, "")) ?? false;
  return {
    spf: sender,
    dkim: work.cut ? [notLookedAt] : signed.results.map((result) => dkimFacts(result, aligned)),
    dmarc: dmarcFacts(response, reason),
    arc: chain,
  };
});

const notLookedAt: DkimFacts = {
  result: "policy",
  domain: "",
  selector: "",
  algorithm: "",
  signature: "",
  aligned: false,
  reason: "the header is too large to look for signatures",
};

/** What mailauth asks of DNS, asked in the main thread. Errors carry the codes it knows from node:dns. */
function createLookup(ask: (question: DnsQuestion) => Promise<DnsReply>): Lookup {
  let lookups = 0;
  return async (name, type) => {
    if (++lookups > lookupsMax) throw dnsError("ESERVFAIL", `more than ${lookupsMax} look-ups for one message`);
    const reply = await ask({ name: String(name), type: String(type) }).catch(
      (): DnsReply => ({ kind: "failed", code: "ETIMEOUT" }),
    );
    if (reply.kind === "failed") throw dnsError(reply.code, `${type} ${name}: ${reply.code}`);
    return [...reply.values];
  };
}

function dnsError(code: string, words: string): Error {
  return Object.assign(new Error(words), { code });
}

async function verifySpf({ ip, helo, hostname, reversePath }: VerifyWork, resolver: Lookup): Promise<SpfFacts> {
  const { domain, status } = await spf({
    ip,
    // An address in brackets is no domain: it has no policy. RFC 7208 §2.3.
    helo,
    mta: hostname,
    ...(reversePath !== null && { sender: reversePath }),
    maxElapsedTime: spfTimeoutMs,
    resolver,
  } as Parameters<typeof spf>[0]);
  return {
    result: oneOf(spfResults, status.result, "temperror"),
    domain: plain(domain),
    identity: reversePath === null ? "helo" : "mailfrom",
  };
}

/** A signature's result as mailauth gives it: the parts that are read here. */
interface Signed {
  readonly id: string;
  readonly signingDomain: string;
  readonly selector: string;
  readonly algo: string;
  readonly signature: string;
  readonly status: {
    result: string;
    comment?: string;
    readonly underSized?: number;
    readonly policy?: Readonly<Record<string, string>>;
  };
}

async function verifySignatures({ header, body, cut }: VerifyWork, resolver: Lookup) {
  const octets = cut ? [header] : typeof body === "string" ? fileOctets(header, body) : [header, body];
  const verified = await dkimVerify(Readable.from(octets, { objectMode: true }), {
    resolver,
    minBitLength: keyBitsMin,
    // RFC 8301 §3.1.
    rejectRsaSha1: true,
  } as Parameters<typeof dkimVerify>[1]);
  // Typed wider than it is: without a signature there is one entry that says so.
  const results = (verified.results as unknown as Signed[]).filter(({ status }) => status.result !== "none");
  for (const { status } of results) {
    // (stricter: a signature that leaves a part of the body open lets anybody add to it; RFC 6376 §8.2 lets us not take it)
    if (status.result === "pass" && (status.underSized ?? 0) > 0) {
      status.result = "policy";
      status.comment = "only a part of the body is signed";
    }
    // RFC 6376 §6.1.3: a body that is not what was signed is a failure, whatever else is wrong.
    if (status.comment === "body hash did not verify") status.result = "fail";
  }
  const {
    headerFrom,
    fromFields,
    arc: chain,
  } = verified as unknown as {
    headerFrom: string[];
    fromFields: number;
    arc?: ArcData;
  };
  return { results, headerFrom, fromFields, chain };
}

async function* fileOctets(header: Uint8Array, path: string): AsyncIterable<Uint8Array> {
  yield header;
  yield* createReadStream(path) as AsyncIterable<Buffer>;
}

function dkimFacts(one: Signed, aligned: (domain: string) => boolean): DkimFacts {
  const { status } = one;
  const words = status.comment ?? Object.values(status.policy ?? {})[0] ?? "";
  return {
    result: oneOf(dkimResults, status.result, "neutral"),
    domain: plain(one.signingDomain).toLowerCase(),
    selector: plain(one.selector),
    algorithm: plain(one.algo),
    signature: plain(one.signature).slice(0, 8),
    aligned: status.result === "pass" && aligned(one.signingDomain),
    reason: typeof words === "string" ? plain(words).slice(0, reasonLengthMax) : "",
  };
}

function dmarcFacts(
  response: Awaited<ReturnType<typeof evaluateDmarc>>["response"],
  reason: string | undefined,
): DmarcFacts {
  // Without one domain there is nobody's policy to ask. RFC 9989 §5.3.1.
  if (!response) return { result: "permerror", domain: "", policy: null, alignedBy: [], reason: plain(reason ?? "") };
  const { status, policy, alignment } = response as unknown as {
    readonly status: { readonly result: string; readonly header?: { readonly from?: string } };
    readonly policy?: string;
    readonly alignment?: { readonly spf: { readonly result?: string }; readonly dkim: { readonly result?: string } };
  };
  return {
    result: oneOf(dmarcResults, status.result, "temperror"),
    domain: plain(status.header?.from),
    policy: policy === "none" || policy === "quarantine" || policy === "reject" ? policy : null,
    alignedBy: (["spf", "dkim"] as const).filter((one) => Boolean(alignment?.[one].result)),
    reason: "",
  };
}

interface ArcData {
  readonly chain?: readonly {
    readonly "arc-seal"?: { readonly parsed?: { readonly d?: { readonly value?: unknown } } };
  }[];
}

async function verifyArc({ chain }: { readonly chain: ArcData | undefined }, resolver: Lookup): Promise<ArcFacts> {
  if (!chain) return { result: "none", sealers: [] };
  const { status } = await arc(chain as Parameters<typeof arc>[0], { resolver, minBitLength: keyBitsMin } as never);
  const sealers = (chain.chain || []).map((set) => plain(set["arc-seal"]?.parsed?.d?.value).toLowerCase());
  return { result: oneOf(arcResults, status.result, "fail"), sealers };
}

function oneOf<Word extends string>(words: readonly Word[], said: string, otherwise: Word): Word {
  return words.find((word) => word === said) ?? otherwise;
}

/** Other people's words, cut and in one line. */
function plain(value: unknown): string {
  return typeof value === "string" ? value.slice(0, textLengthMax).replace(/[^\x20-\x7e\u00a0-\u{10ffff}]/gu, "?") : "";
}
