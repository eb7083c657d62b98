/**
 * Questions to the name servers we have: each in turn until one answers, again where none did, and on along aliases. Those whose word on signatures is believed
 * go before the others. What is kept of answers stands in resolver.ts.
 */
import type { Clock } from "./clock.ts";
import { askServer, type Exchange } from "./dns-exchange.ts";
import type { NameServer } from "./dns-machine.ts";
import { aliasesMax, isAskable, type Question } from "./dns-message.ts";

export interface DnsClientOptions {
  readonly clock: Clock;
  /** At least one; asked for anew for each question. */
  readonly servers: () => readonly NameServer[];
  /** Whether what it says of signatures is believed. */
  readonly isTrusted: (server: NameServer) => boolean;
  /** For a question with all that belongs to it. */
  readonly timeoutMs: number;
}

export type LookedUp =
  | { readonly kind: "failed"; readonly reason: string }
  | {
      readonly kind: "answer";
      /** Data of the records; none where there are none. */
      readonly data: readonly unknown[];
      readonly nameExists: boolean;
      /** Whose records they are: the name that was asked for, or the last its aliases lead to. */
      readonly canonical: string;
      /** Signed, by the word of a server that is believed: each answer on the way. */
      readonly authentic: boolean;
      /** null where nobody said. */
      readonly ttlSeconds: number | null;
    };

/** Least times each question is sent, if nobody answers. */
const triesMin = 3;
/** A server that was silent is asked behind the others for so long. */
const avoidedMs = 30_000;

export class DnsClient {
  readonly #options: DnsClientOptions;
  readonly #closing = new AbortController();
  /** On the monotonic clock, by address and port: until when it is asked last. */
  readonly #avoided = new Map<string, number>();

  constructor(options: DnsClientOptions) {
    this.#options = options;
  }

  /** Never throws. */
  async lookUp(question: Question): Promise<LookedUp> {
    const { clock, timeoutMs } = this.#options;
    const until = clock.monotonicMs() + timeoutMs;
    let [name, authentic, ttlSeconds] = [question.name, true, null as number | null];
    // RFC 1034 §5.2.2: a server that does not follow an alias leaves that to us.
    for (let hops = 0; hops <= aliasesMax; hops++) {
      if (!isAskable(name))
        return { kind: "answer", data: [], nameExists: false, canonical: name, authentic: false, ttlSeconds };
      const heard = await this.#ask({ name, type: question.type }, until);
      if (heard.kind !== "answer") return heard;
      authentic &&= heard.authentic;
      ttlSeconds = lesserOf(ttlSeconds, heard.ttlSeconds);
      if (heard.alias === null) return { ...heard, authentic, ttlSeconds };
      name = heard.alias;
    }
    return { kind: "failed", reason: "aliases that lead in a circle, or too far" };
  }

  /** Ends the questions under way; they have failed then, and so do all later ones. */
  close(): void {
    this.#closing.abort();
  }

  async #ask(question: Question, until: number): Promise<Extract<Exchange, { kind: "answer" }> | Failure> {
    const { clock, isTrusted, timeoutMs } = this.#options;
    const { signal } = this.#closing;
    let servers = this.#inOrder();
    const rounds = Math.max(2, Math.ceil(triesMin / servers.length));
    const tryMs = timeoutMs / (rounds * servers.length);
    let reason = "no name server";
    let mayBeForged = false;
    for (let round = 0; round < rounds; round++) {
      const silent: NameServer[] = [];
      for (const server of servers) {
        const leftMs = until - clock.monotonicMs();
        if (signal.aborted) return { kind: "failed", reason: "closed" };
        if (leftMs <= 0) return { kind: "failed", reason };
        const dnssec = isTrusted(server);
        if (mayBeForged && !dnssec) continue;
        const heard = await askServer(server, question, { clock, timeoutMs: Math.min(tryMs, leftMs), dnssec, signal });
        if (heard.kind !== "unusable") this.#remember(server, heard.kind === "silent");
        if (heard.kind === "answer") return { ...heard, authentic: heard.authentic && dnssec };
        reason = `${heard.reason} from ${keyOf(server)}`;
        // One that answered would say the same again.
        if (heard.kind === "silent") silent.push(server);
        // RFC 4035 §5.5: so it says that signatures are wrong, and one that checks none would give the forgery.
        else mayBeForged ||= dnssec && heard.rcode === "SERVFAIL";
      }
      servers = silent;
    }
    return { kind: "failed", reason };
  }

  /** Those that are believed first, or who made them wait would have the others' word taken; among them as configured, the silent ones of late last. */
  #inOrder(): NameServer[] {
    const { clock, isTrusted } = this.#options;
    const now = clock.monotonicMs();
    const isAvoided = (server: NameServer) => (this.#avoided.get(keyOf(server)) ?? now) > now;
    const rankOf = (server: NameServer) => (isTrusted(server) ? 0 : 2) + (isAvoided(server) ? 1 : 0);
    return this.#options.servers().toSorted((one, other) => rankOf(one) - rankOf(other));
  }

  #remember(server: NameServer, wasSilent: boolean): void {
    if (wasSilent) this.#avoided.set(keyOf(server), this.#options.clock.monotonicMs() + avoidedMs);
    else this.#avoided.delete(keyOf(server));
  }
}

interface Failure {
  readonly kind: "failed";
  readonly reason: string;
}

function keyOf({ address, port }: NameServer): string {
  return `${address.includes(":") ? `[${address}]` : address}:${port}`;
}

function lesserOf(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : Math.min(one, other);
}
