/** Look-ups for scripts, by the server's own resolver: what is not there is an empty answer, what could not be found out is an error. */
import { isIP } from "node:net";
import type { Json } from "../../sandbox/api.ts";
import type { HostAnswer, HostQuestion } from "../../sandbox/host-call.ts";
import { comparableAddress } from "../platform/address-policy.ts";
import { reverseNameOf } from "../platform/dns-address.ts";
import { isHostName, plainName } from "../platform/dns-message.ts";
import type { Answer, Resolver } from "../platform/resolver.ts";

type Names = Pick<Resolver, "address" | "mx" | "txt" | "reverse">;

const reasonLengthMax = 1_000;

export async function lookUp(question: HostQuestion & { readonly kind: "dns" }, names: Names): Promise<HostAnswer> {
  const asked = question.name;
  if (question.type === "PTR") {
    if (isIP(asked) === 0) return invalid("dns.ptr takes an IP address");
    return told(await names.reverse(asked), (host) => host);
  }
  if (!isHostName(plainName(asked)))
    return invalid(`${JSON.stringify(asked.slice(0, 60))} is no name that DNS could have`);
  switch (question.type) {
    case "A":
      return told(await names.address(asked, 4), (ip) => ip);
    case "AAAA":
      return told(await names.address(asked, 6), (ip) => ip);
    case "MX":
      return told(await names.mx(asked), ({ preference, host }) => ({ preference, host }));
    case "TXT":
      return told(await names.txt(asked), (text) => text);
  }
}

/** Whether a list has an address (RFC 5782 §2.1, §2.4) or a domain (§3), and why. */
export async function isListed(
  { list, subject }: HostQuestion & { readonly kind: "dns.listed" },
  names: Names,
): Promise<HostAnswer> {
  const zone = plainName(list);
  const wanted = `${labelsOf(subject)}.${zone}`;
  if (!isHostName(zone) || !isHostName(wanted))
    return invalid("dns.listed takes the name of a list, and an IP address or a domain");
  const answer = await names.address(wanted, 4);
  if (answer.kind === "none") return { ok: true, value: null };
  if (answer.kind === "failed") return unanswered(answer.reason);
  // Many lists tell so whom they do not serve; it is no listing.
  if (answer.values.some((ip) => ip.startsWith("127.255.255.")))
    return unanswered(`${zone} refuses to answer us: ${answer.values.join(", ")}`);
  // RFC 5782 §2.1: anything else than 127.0.0.0/8 is no list's word.
  const addresses = answer.values.filter((ip) => ip.startsWith("127."));
  if (addresses.length === 0) return { ok: true, value: null };
  const words = await names.txt(wanted);
  const reason = words.kind === "found" ? words.values.join("; ").slice(0, reasonLengthMax) : "";
  return { ok: true, value: { addresses, reason } };
}

/** The labels in front of a list's own: an address backwards, a domain as it is. */
function labelsOf(subject: string): string {
  const reverse = reverseNameOf(comparableAddress(subject));
  return reverse === undefined ? plainName(subject) : reverse.replace(/\.(?:in-addr|ip6)\.arpa$/, "");
}

function told<T>(answer: Answer<T>, show: (value: T) => Json): HostAnswer {
  if (answer.kind === "failed") return unanswered(answer.reason);
  return { ok: true, value: answer.kind === "found" ? answer.values.map(show) : [] };
}

function unanswered(reason: string): HostAnswer {
  return { ok: false, code: "unanswered", message: `DNS gives no answer: ${reason}` };
}

function invalid(message: string): HostAnswer {
  return { ok: false, code: "invalid", message };
}
