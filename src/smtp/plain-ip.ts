/** Addresses a peer tells, in one form each: what is compared and counted by later must not have two spellings. Pure. */
import { isIP, SocketAddress } from "node:net";

/** IPv6 in its short form, and IPv4 inside IPv6 as IPv4. RFC 5952, RFC 4291 §2.5.5.2. null for what is no address, or one with a zone. */
export function plainIp(text: string): string | null {
  const family = isIP(text);
  if (family === 0 || text.includes("%")) return null;
  if (family === 4) return text;
  return new SocketAddress({ address: text, family: "ipv6" }).address.replace(/^::ffff:(?=\d+\.)/, "");
}
