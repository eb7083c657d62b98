/**
 * Keys for DKIM signatures: `DOMAIN/SELECTOR.pem` in a folder of the operator's. The folder is looked at again every few seconds, so that a key that was made,
 * replaced or removed counts without a restart. A key that cannot be used is said in the log, and its mail goes out without that signature.
 */
import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject, randomUUID } from "node:crypto";
import { link, mkdir, readdir, readFile, rm, rmdir, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { algorithmOf, type DkimAlgorithm } from "../mail/dkim-signature.ts";
import { normalizeDomain } from "../mail/mailbox.ts";
import type { Clock } from "../platform/clock.ts";
import { syncFolder, writeDurably } from "../platform/durable-file.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";

export interface DkimKey {
  readonly domain: string;
  readonly selector: string;
  readonly algorithm: DkimAlgorithm;
  readonly privateKey: KeyObject;
}

/** A file in the place of a key that is none. */
export interface UnusableKey {
  readonly domain: string;
  readonly selector: string;
  readonly reason: string;
}

/** Keys of one domain that sign: two algorithms, and two of each while one makes way for another. */
export const keysMax = 4;
/** One label, or several, of a DNS name. RFC 6376 §3.1. */
const selectorPattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
const lookEveryMs = 5_000;
const complainEveryMs = 60_000;

/** In the form a key's file has it; undefined where it is no selector. */
export function normalizeSelector(text: string): string | undefined {
  const selector = text.toLowerCase();
  return selectorPattern.test(selector) && selector.length <= 100 ? selector : undefined;
}

/** The domains that have a folder, sorted; none where there is no folder at all. */
export async function listDomains(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return entries
    .flatMap((entry) => (entry.isDirectory() && normalizeDomain(entry.name) === entry.name ? [entry.name] : []))
    .sort();
}

/** What there is for a domain, by selector. */
export async function readKeys(folder: string, domain: string): Promise<(DkimKey | UnusableKey)[]> {
  const names = await readdir(join(folder, domain)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const selectors = names.filter((name) => name.endsWith(".pem")).map((name) => name.slice(0, -".pem".length));
  return Promise.all(selectors.sort().map((selector) => readKey(folder, { domain, selector })));
}

async function readKey(
  folder: string,
  { domain, selector }: { readonly domain: string; readonly selector: string },
): Promise<DkimKey | UnusableKey> {
  if (normalizeSelector(selector) !== selector)
    return { domain, selector, reason: "its name is no selector: lower-case letters, digits and hyphens" };
  try {
    const privateKey = createPrivateKey(await readFile(keyPath(folder, { domain, selector })));
    const algorithm = algorithmOf(privateKey);
    if (algorithm) return { domain, selector, algorithm, privateKey };
    return { domain, selector, reason: "it is neither an RSA key of 1,024 bits or more nor an Ed25519 key" };
  } catch (error) {
    return { domain, selector, reason: describeThrown(error, 200) };
  }
}

export function isUsable(key: DkimKey | UnusableKey): key is DkimKey {
  return "privateKey" in key;
}

export function keyPath(
  folder: string,
  { domain, selector }: { readonly domain: string; readonly selector: string },
): string {
  return join(folder, domain, `${selector}.pem`);
}

/**
 * Makes a key and writes it, readable for its owner alone; whole or not at all, and never over another one.
 * @throws {Error} with the code `EEXIST` where there is one of that selector
 */
export async function createKey(
  folder: string,
  key: { readonly domain: string; readonly selector: string; readonly type: "rsa" | "ed25519"; readonly bits: number },
): Promise<DkimKey> {
  const path = keyPath(folder, key);
  if (await exists(path)) throw Object.assign(new Error(`there is a key in ${path} already`), { code: "EEXIST" });
  const generate = promisify(generateKeyPair);
  const { privateKey } =
    key.type === "rsa" ? await generate("rsa", { modulusLength: key.bits }) : await generate("ed25519");
  await mkdir(join(folder, key.domain), { recursive: true, mode: 0o700 });
  const aside = `${path}.${randomUUID()}`;
  try {
    await writeDurably(aside, [Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" }))], 0o600);
    // Unlike a rename it leaves what somebody else has made meanwhile.
    await link(aside, path);
  } finally {
    await unlink(aside).catch(() => {});
  }
  await syncFolder(join(folder, key.domain));
  await syncFolder(folder);
  const { domain, selector } = key;
  return { domain, selector, algorithm: algorithmOf(privateKey)!, privateKey };
}

/** Removes a key, and its domain's folder with the last one. Gives false where there was none. */
export async function removeKey(
  folder: string,
  key: { readonly domain: string; readonly selector: string },
): Promise<boolean> {
  const path = keyPath(folder, key);
  if (!(await exists(path))) return false;
  await rm(path);
  // Not empty: it stays.
  await rmdir(join(folder, key.domain)).catch(() => {});
  return true;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** The name the record of a key stands at. RFC 6376 §3.6.2.1. */
export function recordName({ domain, selector }: Pick<DkimKey, "domain" | "selector">): string {
  return `${selector}._domainkey.${domain}`;
}

/** What stands there. RFC 6376 §3.6.1, RFC 8463 §4.2: an Ed25519 key is its 32 octets alone. */
export function recordText({ algorithm, privateKey }: Pick<DkimKey, "algorithm" | "privateKey">): string {
  const octets = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  return algorithm === "rsa-sha256"
    ? `v=DKIM1; k=rsa; p=${octets.toString("base64")}`
    : `v=DKIM1; k=ed25519; p=${octets.subarray(-32).toString("base64")}`;
}

/** The same as a zone file has it: quoted strings of at most 255 octets. RFC 1035 §3.3.14. */
export function recordStrings(text: string): string {
  return (text.match(/.{1,255}/g) ?? []).map((piece) => `"${piece}"`).join(" ");
}

interface Known {
  readonly keys: readonly DkimKey[];
  /** On the monotonic clock. */
  readonly readAt: number;
}

/** The keys as the server uses them. */
export class DkimKeys {
  readonly #options: { readonly folder: string; readonly clock: Clock; readonly log: Log };
  #domains: ReadonlySet<string> = new Set();
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | null = null;
  readonly #known = new Map<string, Known>();
  readonly #complaints = new Map<string, number>();

  constructor(options: { readonly folder: string; readonly clock: Clock; readonly log: Log }) {
    this.#options = options;
  }

  /**
   * The keys that sign for a domain: its own, else those of the nearest domain above it that has some, which DMARC takes for its own unless it is strict. At most
   * `keysMax`. At once where it is known that there are none.
   */
  keysFor(domain: string): readonly DkimKey[] | Promise<readonly DkimKey[]> {
    if (this.#options.clock.monotonicMs() - this.#lookedAt >= lookEveryMs)
      return this.#look().then(() => this.#find(domain));
    return this.#find(domain);
  }

  #find(domain: string): readonly DkimKey[] | Promise<readonly DkimKey[]> {
    for (let name = domain; name.includes("."); name = name.slice(name.indexOf(".") + 1)) {
      if (!this.#domains.has(name)) continue;
      const known = this.#known.get(name);
      return known && this.#options.clock.monotonicMs() - known.readAt < lookEveryMs ? known.keys : this.#read(name);
    }
    return [];
  }

  #look(): Promise<void> {
    this.#looking ??= listDomains(this.#options.folder)
      .then(
        (domains) => {
          this.#domains = new Set(domains);
          for (const name of this.#known.keys()) if (!this.#domains.has(name)) this.#known.delete(name);
        },
        (error: unknown) => this.#complain("dkim.folder-unreadable", this.#options.folder, describeThrown(error)),
      )
      .finally(() => {
        this.#lookedAt = this.#options.clock.monotonicMs();
        this.#looking = null;
      });
    return this.#looking;
  }

  async #read(domain: string): Promise<readonly DkimKey[]> {
    const { folder, clock } = this.#options;
    let all: readonly (DkimKey | UnusableKey)[] = [];
    try {
      all = await readKeys(folder, domain);
    } catch (error) {
      this.#complain("dkim.folder-unreadable", join(folder, domain), describeThrown(error));
    }
    for (const key of all) if (!isUsable(key)) this.#complain("dkim.key-unusable", keyPath(folder, key), key.reason);
    const usable = all.filter(isUsable);
    for (const key of usable.slice(keysMax))
      this.#complain("dkim.key-unusable", keyPath(folder, key), `${domain} has more than ${keysMax} keys`);
    const keys = usable.slice(0, keysMax);
    await this.#checkModes(keys);
    this.#known.set(domain, { keys, readAt: clock.monotonicMs() });
    return keys;
  }

  /** Whoever reads a key can write in the domain's name. */
  async #checkModes(keys: readonly DkimKey[]): Promise<void> {
    for (const key of keys) {
      const path = keyPath(this.#options.folder, key);
      const { mode } = await stat(path).catch(() => ({ mode: 0 }));
      if ((mode & 0o077) !== 0)
        this.#complain(
          "dkim.key-exposed",
          path,
          `others may read it (mode ${(mode & 0o777).toString(8)}, expected 600)`,
        );
    }
  }

  /** Not more than once a minute for each file. */
  #complain(event: string, path: string, reason: string): void {
    const now = this.#options.clock.monotonicMs();
    const at = this.#complaints.get(path);
    if (at !== undefined && now - at < complainEveryMs) return;
    this.#complaints.set(path, now);
    const { log } = this.#options;
    if (event === "dkim.key-exposed") log.warn(event, { path, reason });
    else log.error(event, { path, reason });
  }
}
