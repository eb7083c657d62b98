/** Answers what the verifying thread asks of DNS, from the server's own resolver; and the client's name, looked up both ways. */
import { isIP } from "node:net";
import type { IprevFacts } from "../mail/auth-facts.ts";
import type { Answer, Resolver } from "../platform/resolver.ts";
import type { DnsQuestion, DnsReply } from "./verify-work.ts";

export type VerifyResolver = Pick<Resolver, "address" | "mx" | "txt" | "reverse">;

/** In the form of node:dns, which the library in the thread expects. A type the resolver does not know has no records. */
export async function answerQuestion(resolver: VerifyResolver, { name, type }: DnsQuestion): Promise<DnsReply> {
  switch (type) {
    case "A":
      return replyOf(await resolver.address(name, 4));
    case "AAAA":
      return replyOf(await resolver.address(name, 6));
    case "TXT":
      return replyOf(await resolver.txt(name), (text) => [text]);
    case "MX":
      return replyOf(await resolver.mx(name), ({ preference, host }) => ({ priority: preference, exchange: host }));
    case "PTR": {
      const ip = addressOf(name);
      return ip === undefined ? { kind: "failed", code: "ENOTFOUND" } : replyOf(await resolver.reverse(ip));
    }
    default:
      return { kind: "failed", code: "ENODATA" };
  }
}

function replyOf<T>(answer: Answer<T>, shape: (value: T) => unknown = (value) => value): DnsReply {
  switch (answer.kind) {
    case "found":
      return { kind: "found", values: answer.values.map(shape) };
    case "none":
      return { kind: "failed", code: answer.nameExists ? "ENODATA" : "ENOTFOUND" };
    case "failed":
      return { kind: "failed", code: "ESERVFAIL" };
  }
}

/** The address that `7.2.0.192.in-addr.arpa` or its long sister asks about. RFC 1035 §3.5, RFC 3596 §2.5. */
export function addressOf(reverseName: string): string | undefined {
  const match = /^([0-9a-f.]+)\.(in-addr|ip6)\.arpa\.?$/i.exec(reverseName);
  if (!match) return undefined;
  const labels = match[1]!.split(".").reverse();
  const ip =
    match[2]!.toLowerCase() === "in-addr"
      ? labels.join(".")
      : labels.length === 32 && labels.every((label) => label.length === 1)
        ? labels.join("").replace(/.{4}(?=.)/g, "$&:")
        : "";
  return isIP(ip) === 0 ? undefined : ip;
}

/** Names of one address that are followed, and time for each look-up: whoever owns the address decides how many there are. */
const namesMax = 3;
const lookupTimeoutMs = 2_000;

/** RFC 8601 §2.7.3: a name counts only where it leads back to the address. */
export async function lookUpHost(resolver: VerifyResolver, ip: string): Promise<IprevFacts> {
  const options = { timeoutMs: lookupTimeoutMs };
  const names = await resolver.reverse(ip, options);
  if (names.kind === "none") return { result: "permerror", host: null };
  if (names.kind === "failed") return { result: "temperror", host: null };
  const wanted = comparable(ip);
  const family = wanted.includes(":") ? 6 : 4;
  const answers = await Promise.all(
    names.values
      .slice(0, namesMax)
      .map(async (host) => ({ host, answer: await resolver.address(host, family, options) })),
  );
  const right = answers.find(
    ({ answer }) => answer.kind === "found" && answer.values.some((one) => comparable(one) === wanted),
  );
  if (right) return { result: "pass", host: right.host };
  return { result: answers.some(({ answer }) => answer.kind === "failed") ? "temperror" : "fail", host: null };
}

/** One spelling for each address: IPv6 has many, and an IPv4 address may come as one. */
function comparable(ip: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip);
  if (mapped) return mapped[1]!;
  return isIP(ip) === 6 ? new URL(`http://[${ip.replace(/%.*$/, "")}]`).hostname.slice(1, -1) : ip;
}
