/**
 * The PROXY header: what a load balancer says of the connection it passes on, in front of everything else. Version 1 (text) and 2 (binary). Pure.
 * https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt
 */
import { isIPv4, isIPv6 } from "node:net";
import { plainIp } from "./plain-ip.ts";

/** Who connects to the load balancer, and where. */
export interface ProxiedClient {
  readonly ip: string;
  readonly port: number;
  readonly localIp: string;
  readonly localPort: number;
}

/**
 * `more`: the header is not all there. `error`: there is none, or none we take; the connection has to be closed. Else what it says, and what
 * came behind it; client null: the load balancer speaks for itself, or does not know, and the connection's own addresses hold.
 */
export type ProxyHeader =
  | "more"
  | { readonly error: string }
  | { readonly client: ProxiedClient | null; readonly rest: Buffer };

/** Octets of version 1, CRLF included. §2.1. */
const textOctetsMax = 107;
/** Octets of version 2 behind its fixed part. (stricter: the format goes to 65,535; addresses and all extensions in use have room here) */
export const proxyPayloadOctetsMax = 4_096;

const textSignature = Buffer.from("PROXY ");
const binarySignature = Buffer.from("\r\n\r\n\0\r\nQUIT\n");
const binaryFixedOctets = 16;

/** Reads the header from all octets that have come so far. There is an answer before they are more than the longest header. */
export function readProxyHeader(octets: Buffer): ProxyHeader {
  if (beginsLike(octets, textSignature)) return octets.length < textSignature.length ? "more" : readText(octets);
  if (beginsLike(octets, binarySignature)) return octets.length < binaryFixedOctets ? "more" : readBinary(octets);
  return { error: "there is no PROXY header" };
}

/** Whether one is the beginning of the other. */
function beginsLike(octets: Buffer, signature: Buffer): boolean {
  const length = Math.min(octets.length, signature.length);
  return octets.compare(signature, 0, length, 0, length) === 0;
}

/** `PROXY TCP4 192.0.2.1 192.0.2.2 56324 25`. §2.1. */
function readText(octets: Buffer): ProxyHeader {
  const end = octets.subarray(0, textOctetsMax).indexOf("\r\n");
  if (end === -1) return octets.length < textOctetsMax ? "more" : { error: "the PROXY line is too long" };
  const rest = octets.subarray(end + 2);
  const line = octets.toString("latin1", textSignature.length, end);
  // What may stand behind UNKNOWN is not looked at.
  if (/^UNKNOWN(?: |$)/.test(line)) return { client: null, rest };
  const [family, ip = "", localIp = "", port = "", localPort = "", ...more] = line.split(" ");
  const isAddress = family === "TCP4" ? isIPv4 : family === "TCP6" ? isUnscopedIPv6 : undefined;
  if (isAddress === undefined || more.length > 0) return { error: "the PROXY line cannot be read" };
  if (!isAddress(ip) || !isAddress(localIp)) return { error: "the PROXY line has no addresses of its family" };
  if (!isPort(port) || !isPort(localPort)) return { error: "the PROXY line has no ports" };
  const client = { ip: plainIp(ip)!, port: Number(port), localIp: plainIp(localIp)!, localPort: Number(localPort) };
  return { client, rest };
}

/** §2.2. */
function readBinary(octets: Buffer): ProxyHeader {
  const versionAndCommand = octets[12]!;
  const familyAndTransport = octets[13]!;
  const payloadOctets = octets.readUInt16BE(14);
  const command = versionAndCommand & 0x0f;
  if (versionAndCommand >> 4 !== 2 || command > 1) return { error: "the PROXY version or command is not known" };
  if (payloadOctets > proxyPayloadOctetsMax) return { error: "the PROXY header is too long" };
  const end = binaryFixedOctets + payloadOctets;
  if (octets.length < end) return "more";
  const rest = octets.subarray(end);
  // LOCAL; and UNSPEC, of which nothing can be said.
  if (command === 0 || familyAndTransport === 0x00) return { client: null, rest };
  // TCP over IPv4 or IPv6: no mail comes by UDP or a UNIX socket.
  const addressOctets = familyAndTransport === 0x11 ? 4 : familyAndTransport === 0x21 ? 16 : 0;
  if (addressOctets === 0) return { error: "the PROXY header is for another transport" };
  if (payloadOctets < 2 * addressOctets + 4) return { error: "the PROXY header is too short" };
  const addresses = octets.subarray(binaryFixedOctets, end);
  // What stands behind the ports are extensions, and not looked at.
  const client = {
    ip: formatAddress(addresses.subarray(0, addressOctets)),
    port: addresses.readUInt16BE(2 * addressOctets),
    localIp: formatAddress(addresses.subarray(addressOctets, 2 * addressOctets)),
    localPort: addresses.readUInt16BE(2 * addressOctets + 2),
  };
  return { client, rest };
}

function formatAddress(octets: Buffer): string {
  if (octets.length === 4) return octets.join(".");
  return plainIp(octets.toString("hex").replace(/(....)(?!$)/g, "$1:"))!;
}

function isUnscopedIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes("%");
}

function isPort(text: string): boolean {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;
}
