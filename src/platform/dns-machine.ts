/** What the machine knows of names: its name servers in /etc/resolv.conf, and the addresses in /etc/hosts. Both are read again when they have changed. */
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { isIP } from "node:net";
import type { Clock } from "./clock.ts";
import { plainAddress } from "./dns-address.ts";
import { plainName } from "./dns-message.ts";
import { Fault } from "./fault.ts";

export interface NameServer {
  /** As `plainAddress` writes it. */
  readonly address: string;
  readonly port: number;
}

export interface MachineNamesOptions {
  readonly clock: Clock;
  readonly resolvConf?: string;
  readonly hosts?: string;
}

const dnsPort = 53;
/** As the C library takes. */
const serversMax = 3;
/** A file is not looked at more often than that. */
const lookEveryMs = 5_000;
/** Of a larger file, the rest is not read. */
const fileOctetsMax = 1024 * 1024;

export class MachineNames {
  readonly #servers: KeptFile<readonly NameServer[]>;
  readonly #hosts: KeptFile<ReadonlyMap<string, readonly string[]>>;

  constructor({ clock, resolvConf = "/etc/resolv.conf", hosts = "/etc/hosts" }: MachineNamesOptions) {
    this.#servers = new KeptFile(resolvConf, parseResolvConf, clock);
    this.#hosts = new KeptFile(hosts, parseHosts, clock);
  }

  /** At least one. */
  servers(): readonly NameServer[] {
    return this.#servers.value();
  }

  /** Undefined for a name the machine does not know itself. */
  addressesOf(name: string, family: 4 | 6): readonly string[] | undefined {
    const known = this.#hosts.value().get(name);
    if (known) return known.filter((ip) => isIP(ip) === family);
    // RFC 6761 §6.3: these are never asked of DNS.
    if (name === "localhost" || name.endsWith(".localhost")) return [family === 4 ? "127.0.0.1" : "::1"];
    return undefined;
  }
}

/**
 * Reads `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53`, `[2001:db8::53]:5353`.
 * @throws {Fault} `config.invalid`
 */
export function parseNameServer(text: string): NameServer {
  if (isIP(text) > 0) return { address: plainAddress(text), port: dnsPort };
  const [, six, four, portText] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const address = six ?? four ?? "";
  const port = portText === undefined ? dnsPort : Number(portText);
  if (isIP(address) !== (six === undefined ? 4 : 6) || port < 1 || port > 65_535)
    throw new Fault(
      "config.invalid",
      `cannot read the name server ${JSON.stringify(text)}: expected an address, such as 192.0.2.53 or [2001:db8::53]:5353`,
    );
  return { address: plainAddress(address), port };
}

/** resolv.conf(5): lines with `nameserver`. Without any, the one on this machine. */
function parseResolvConf(text: string): readonly NameServer[] {
  const addresses = text
    .split("\n")
    .map((line) => /^nameserver[ \t]+([^\s#;]+)/.exec(line)?.[1] ?? "")
    .filter((address) => isIP(address) > 0)
    .slice(0, serversMax);
  return (addresses.length > 0 ? addresses : ["127.0.0.1"]).map((address) => ({
    address: plainAddress(address),
    port: dnsPort,
  }));
}

/** hosts(5): an address, and names behind it. */
function parseHosts(text: string): ReadonlyMap<string, readonly string[]> {
  const hosts = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [ip = "", ...names] = line.replace(/#.*$/, "").trim().split(/\s+/);
    if (isIP(ip) === 0 || ip.includes("%")) continue;
    for (const name of names.map(plainName)) {
      const known = hosts.get(name);
      if (!known) hosts.set(name, [ip]);
      else if (!known.includes(ip)) known.push(ip);
    }
  }
  return hosts;
}

/** A small file, and what it means. One that cannot be read is empty. */
class KeptFile<T> {
  readonly #path: string;
  readonly #parse: (text: string) => T;
  readonly #clock: Clock;
  #lookAt = Number.NEGATIVE_INFINITY;
  #state: string | undefined;
  #value: T;

  constructor(path: string, parse: (text: string) => T, clock: Clock) {
    this.#path = path;
    this.#parse = parse;
    this.#clock = clock;
    this.#value = parse("");
  }

  value(): T {
    const now = this.#clock.monotonicMs();
    if (now < this.#lookAt) return this.#value;
    this.#lookAt = now + lookEveryMs;
    const state = stateOf(this.#path);
    if (state !== this.#state) {
      this.#value = this.#parse(readText(this.#path));
      this.#state = state;
    }
    return this.#value;
  }
}

function stateOf(path: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(path);
    return `${ino} ${size} ${mtimeMs}`;
  } catch {
    return "";
  }
}

/** At once, and waited for: it is small, local, and read when it has changed. */
function readText(path: string): string {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    const octets = Buffer.alloc(Math.min(fstatSync(file).size, fileOctetsMax));
    return octets.toString("utf8", 0, readSync(file, octets));
  } catch {
    return "";
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
