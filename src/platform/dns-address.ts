/** Addresses as DNS and comparisons need them: the groups of IPv6, and the names that addresses are looked up by. Pure. */
import { isIP } from "node:net";

/** The eight groups of an IPv6 address; a zone is left out. */
export function ipv6Groups(ip: string): readonly number[] {
  // The URL parser turns an IPv4 ending into groups.
  const [front = "", back = ""] = new URL(`http://[${ip.replace(/%.*$/, "")}]`).hostname.slice(1, -1).split("::");
  const [before, after] = [groupsIn(front), groupsIn(back)];
  return [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
}

/** One spelling for each address: IPv6 in its short form, RFC 5952; one with a zone as it is. */
export function plainAddress(ip: string): string {
  return isIP(ip) === 6 && !ip.includes("%") ? new URL(`http://[${ip}]`).hostname.slice(1, -1) : ip;
}

/** `1.2.0.192.in-addr.arpa` of 192.0.2.1, and its long sister; undefined for what is no address, and with a zone, which only this machine knows. RFC 1035 §3.5, RFC 3596 §2.5. */
export function reverseNameOf(ip: string): string | undefined {
  if (isIP(ip) === 4) return `${ip.split(".").reverse().join(".")}.in-addr.arpa`;
  if (isIP(ip) === 0 || ip.includes("%")) return undefined;
  const digits = ipv6Groups(ip).map((group) => group.toString(16).padStart(4, "0"));
  return `${[...digits.join("")].reverse().join(".")}.ip6.arpa`;
}

function groupsIn(text: string): readonly number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}
