/**
 * Which addresses DNS may lead us to. Whoever owns a domain writes its records, so without this anybody could make the server talk to machines of
 * its own network, or to itself. Pure.
 */
import { BlockList, isIP } from "node:net";
import { ipv6Groups } from "./dns-address.ts";

/** Networks that are not the public Internet's, by what they are. The registries of IANA: RFC 6890, and what came later. */
const networks: readonly (readonly [kind: string, ...blocks: readonly string[]])[] = [
  ["an unspecified address", "0.0.0.0/8", "::/128"],
  ["a loopback address", "127.0.0.0/8", "::1/128"],
  // 100.64/10: RFC 6598, behind a provider's address translation. 64:ff9b:1::/48: RFC 8215.
  ["a private address", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10"],
  ["a private address", "192.0.0.0/24", "198.18.0.0/15", "64:ff9b:1::/48"],
  // The services that tell virtual machines their credentials live here as well.
  ["a link-local address", "169.254.0.0/16", "fe80::/10"],
  ["a multicast or reserved address", "224.0.0.0/4", "240.0.0.0/4", "ff00::/8", "100::/64"],
  // RFC 4291 §2.5.5: never in DNS for good reason; a socket takes them for the IPv4 address inside.
  ["an IPv4 address in an IPv6 one", "::/96", "::ffff:0:0/96"],
];

/** Addresses of translators: the IPv4 address inside is where mail would go. RFC 6052 §2.1, RFC 3056 §2. */
const translators: readonly (readonly [prefix: readonly number[], at: number])[] = [
  [[0x0064, 0xff9b, 0, 0, 0, 0], 6],
  [[0x2002], 1],
];

const lists = networks.map(([kind, ...blocks]) => {
  const [four, six] = [new BlockList(), new BlockList()];
  for (const block of blocks) {
    const [address = "", bits] = block.split("/");
    if (isIP(address) === 4) four.addSubnet(address, Number(bits), "ipv4");
    else six.addSubnet(address, Number(bits), "ipv6");
  }
  return { kind, four, six };
});

/** What speaks against an address that DNS told: `a loopback address`; undefined where nothing does. */
export function objectionTo(ip: string): string | undefined {
  switch (isIP(ip)) {
    case 4:
      return lists.find(({ four }) => four.check(ip, "ipv4"))?.kind;
    case 6: {
      if (ip.includes("%")) return "an address with a zone";
      // Lists of their own for each family: one list would take an IPv4 network for the same addresses inside IPv6.
      const kind = lists.find(({ six }) => six.check(ip, "ipv6"))?.kind;
      const inside = kind === undefined ? addressInside(ip) : undefined;
      return inside === undefined ? kind : objectionTo(inside);
    }
    default:
      return "no address";
  }
}

/** One spelling for each address, as comparisons need it: IPv6 short and in lower case, and an IPv4 address inside as itself. RFC 5952 §4. */
export function comparableAddress(ip: string): string {
  if (isIP(ip) !== 6) return ip;
  const groups = ipv6Groups(ip);
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  return mapped ? dotted(groups, 6) : groups.map((group) => group.toString(16)).join(":");
}

function addressInside(ip: string): string | undefined {
  const groups = ipv6Groups(ip);
  const found = translators.find(([prefix]) => prefix.every((group, index) => groups[index] === group));
  return found && dotted(groups, found[1]);
}

function dotted(groups: readonly number[], at: number): string {
  const [high = 0, low = 0] = groups.slice(at, at + 2);
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join(".");
}
