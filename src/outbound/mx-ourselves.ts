/** Whether a server that DNS names is this one: mail that we would send to ourselves goes round in a circle. RFC 5321 §5.1. */
import { networkInterfaces } from "node:os";
import { comparableAddress } from "../platform/address-policy.ts";

/** @param ip "" where it is not known */
export type IsOurselves = (host: string, ip: string, port: number) => boolean;

export interface OurselvesOptions {
  /** Our own names, in any case. */
  readonly names: readonly string[];
  /** Where listeners are; asked for anew each time. Addresses of all interfaces (`0.0.0.0`, `::`) stand for each of them. */
  readonly listeners: () => readonly { readonly address: string; readonly port: number }[];
  /** Addresses of the machine; for tests. */
  readonly machine?: () => readonly string[];
}

/** By name whatever the port is: behind a router that passes ports on, ours are not those the world sees. By address only at a port of ours. */
export function createIsOurselves({ names, listeners, machine = machineAddresses }: OurselvesOptions): IsOurselves {
  const ours = new Set(names.map((name) => name.toLowerCase().replace(/\.$/, "")));
  return (host, ip, port) => {
    if (ours.has(host)) return true;
    if (ip === "") return false;
    const address = comparableAddress(ip);
    const bound = listeners()
      .filter((listener) => listener.port === port)
      .map((listener) => comparableAddress(listener.address));
    if (bound.includes(address)) return true;
    const isEverywhere = bound.some((one) => one === "0.0.0.0" || one === everywhere);
    return isEverywhere && (isLoopback(address) || machine().map(comparableAddress).includes(address));
  };
}

const everywhere = comparableAddress("::");
const loopback = comparableAddress("::1");

function isLoopback(address: string): boolean {
  // 0.0.0.0 as a destination is this machine as well.
  return /^(?:127\.|0\.0\.0\.0$)/.test(address) || address === loopback || address === everywhere;
}

function machineAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
}
