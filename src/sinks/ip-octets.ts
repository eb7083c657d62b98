/** Addresses as octets: the network a client is in, and the name it has in a DNS list. RFC 4291 §2.2. */
import { isIP } from "node:net";

/** 4 or 16 octets; an IPv4 address in its IPv6 form is that IPv4 address. null where the text is no address. */
export function ipOctets(ip: string): Uint8Array | null {
  const text = ip.split("%", 1)[0]!;
  const family = isIP(text);
  if (family === 0) return null;
  if (family === 4) return Uint8Array.from(text.split("."), Number);
  const octets = new Uint8Array(16);
  const [front = "", back = ""] = text.split("::");
  const head = groupsOf(front);
  const tail = groupsOf(back);
  octets.set(head);
  octets.set(tail, 16 - tail.length);
  const isMapped = octets.subarray(0, 10).every((octet) => octet === 0) && octets[10] === 0xff && octets[11] === 0xff;
  return isMapped ? octets.slice(12) : octets;
}

/** The network an address is in, `192.0.2.0/24`; the text itself where it is no address. */
export function networkOf(ip: string, bits: { readonly v4: number; readonly v6: number }): string {
  const octets = ipOctets(ip);
  if (octets === null) return ip;
  const length = octets.length === 4 ? bits.v4 : bits.v6;
  const masked = octets.map((octet, i) => octet & (0xff00 >> Math.min(Math.max(length - i * 8, 0), 8)));
  if (masked.length === 4) return `${masked.join(".")}/${length}`;
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((masked[i]! << 8) | masked[i + 1]!).toString(16));
  return `${groups.join(":")}/${length}`;
}

/** The labels of an address in a DNS list, in front of its zone: octets, or nibbles, from the last to the first. RFC 5782 §2.1, §2.4. */
export function reversedLabels(octets: Uint8Array): string {
  const labels =
    octets.length === 4
      ? [...octets].map(String)
      : [...octets].flatMap((octet) => [(octet >> 4).toString(16), (octet & 15).toString(16)]);
  return labels.reverse().join(".");
}

function groupsOf(text: string): number[] {
  if (text === "") return [];
  return text
    .split(":")
    .flatMap((group) =>
      group.includes(".")
        ? group.split(".").map(Number)
        : [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff],
    );
}
