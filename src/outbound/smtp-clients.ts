/**
 * SMTP clients that are kept while they are of use: one for each host, address and way of TLS, whichever domains it serves, so that mail for several domains
 * with the same mail exchanger goes over the same connections. Never more of them than the limit.
 */
import type { TlsPolicy } from "../events/subject-outbound.ts";
import type { TlsaRecord } from "../platform/resolver.ts";
import { matchesTlsa } from "./dane.ts";
import type { Smarthost } from "./next-hop.ts";
import { SmtpClient, type SmtpClientOptions } from "./smtp.ts";

/** Where a connection goes, and what it needs. Two that are alike share connections. */
export interface Place {
  readonly smarthost: Smarthost;
  /** One of the host's. */
  readonly address: string;
  readonly tlsPolicy: TlsPolicy;
  /** With `verified`: records of which the certificate has to match one, in the place of names and authorities. */
  readonly tlsa?: {
    readonly records: readonly TlsaRecord[];
    readonly domain: string | null;
    /** The name they stand at, where it is not the host's own. RFC 7672 §2.2.2. */
    readonly base?: string;
  };
}

export interface SmtpClientsOptions
  extends Omit<SmtpClientOptions, "smarthost" | "address" | "tlsPolicy" | "serverName" | "proves"> {
  /** Clients kept; of more, the one that was used longest ago is left. */
  readonly clientsMax?: number;
  /** How long one without a connection is remembered, and with it that its host is down. */
  readonly quietMs?: number;
}

interface Kept {
  readonly client: SmtpClient;
  /** On the monotonic clock. */
  usedAt: number;
}

export class SmtpClients {
  readonly #options: SmtpClientsOptions;
  readonly #clientsMax: number;
  readonly #quietMs: number;
  /** The one used last at the end. */
  readonly #kept = new Map<string, Kept>();
  /** Left, and not done yet. */
  readonly #retired = new Set<SmtpClient>();

  constructor({ clientsMax = 1_000, quietMs = 60_000, ...options }: SmtpClientsOptions) {
    this.#options = options;
    this.#clientsMax = clientsMax;
    this.#quietMs = quietMs;
  }

  /** Use it at once: it may be left as soon as it is quiet. */
  get(place: Place): SmtpClient {
    const key = JSON.stringify(place);
    const now = this.#options.clock.monotonicMs();
    const kept = this.#kept.get(key) ?? { client: this.#create(place), usedAt: now };
    kept.usedAt = now;
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    this.#sweep(now);
    return kept.client;
  }

  /** A connection to there stands and waits for mail. */
  isReady(place: Place): boolean {
    return this.#kept.get(JSON.stringify(place))?.client.ready === true;
  }

  /** Clients that are kept. */
  get size(): number {
    return this.#kept.size;
  }

  /** Uses none of them again; each ends when it is done. */
  retire(): void {
    for (const [key, { client }] of this.#kept) this.#leave(key, client);
  }

  /** Ends every connection now. */
  close(): void {
    for (const { client } of this.#kept.values()) client.close();
    for (const client of this.#retired) client.close();
    this.#kept.clear();
  }

  #create({ smarthost, address, tlsPolicy, tlsa }: Place): SmtpClient {
    const { clock } = this.#options;
    const host = tlsa?.base ?? smarthost.host;
    return new SmtpClient({
      ...this.#options,
      smarthost,
      address,
      tlsPolicy,
      ...(tlsa && {
        serverName: host,
        proves: (chain) => matchesTlsa(chain, tlsa.records, { host, domain: tlsa.domain, at: clock.now() }),
      }),
    });
  }

  #sweep(now: number): void {
    for (const [key, { client, usedAt }] of this.#kept) {
      const old = now - usedAt >= this.#quietMs;
      if (this.#kept.size > this.#clientsMax || (old && client.quiet)) this.#leave(key, client);
      else if (!old) return;
    }
  }

  #leave(key: string, client: SmtpClient): void {
    this.#kept.delete(key);
    this.#retired.add(client);
    client.retire(() => this.#retired.delete(client));
  }
}
