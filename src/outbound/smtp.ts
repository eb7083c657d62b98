/** Delivery over SMTP to one next hop: transactions in, an outcome for each recipient out. RFC 5321 §4.5.4, RFC 3463. */
import { isAscii } from "node:buffer";
import type { TlsPolicy } from "../events/subject-outbound.ts";
import type { Tracer } from "../events/trace.ts";
import { proceed } from "../events/verdict.ts";
import type { EnvelopeOptions } from "../mail/envelope.ts";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Outcome } from "../queue/attempt.ts";
import type { StoredRecipient } from "../spool/spool.ts";
import { formatSmarthost, type Smarthost, tlsPolicyOf } from "./next-hop.ts";
import type { TlsHeard } from "./smtp-certificate.ts";
import type { PeerConnection } from "./smtp-connection.ts";
import type { OutboundEvents } from "./smtp-conversation.ts";
import { PeerFailure } from "./smtp-failure.ts";
import { type ConnectionLimits, connectionLimits } from "./smtp-limits.ts";
import type { ConnectionSettings } from "./smtp-opening.ts";
import { type PoolLimits, poolLimits, SmtpPool, timeOver } from "./smtp-pool.ts";

/** Recipients of one transaction: as many as every server must take. RFC 5321 §4.5.3.1.8. */
const recipientsMax = 100;

/** REQUIRETLS is needed and not to be had. RFC 8689 §5. */
export const noTlsStatus = "5.7.30";

export interface SmtpClientOptions {
  readonly smarthost: Smarthost;
  /** The host's, where it was looked up already; TLS goes by the host's name all the same. */
  readonly address?: string;
  /** In the place of what the smarthost says. */
  readonly tlsPolicy?: TlsPolicy;
  /** In TLS, the name to ask for and to find in the certificate, where it is not the host's own. */
  readonly serverName?: string;
  /** Whether a chain of certificates proves who the host is, in the place of its name and of authorities; asked where the policy is `verified`. */
  readonly proves?: (chain: readonly Buffer[]) => boolean;
  /** Our name, for EHLO. */
  readonly hostName: string;
  readonly clock: Clock;
  /** Certificates to trust in place of the system's; PEM. */
  readonly certificateAuthorities?: string;
  readonly limits?: Partial<ConnectionLimits & PoolLimits>;
  readonly events?: OutboundEvents;
  readonly tracer?: Tracer;
}

export interface SmtpWork {
  readonly message: Message;
  readonly recipients: readonly StoredRecipient[];
  readonly attemptId: string;
  /** Ends the work when it fires: who has no outcome by then is deferred. */
  readonly signal?: AbortSignal | undefined;
  /** Hears how TLS went, where a connection is made for this. */
  readonly onTls?: (heard: TlsHeard) => void;
}

/** How it went for one recipient. */
export interface Tried {
  readonly outcome: Outcome;
  /** Nothing was said about the recipient or the mail: another host of the same next hop may be asked. RFC 5321 §5.1. */
  readonly elsewhere: boolean;
}

/** Nobody is bound to anything. */
const noEvents: OutboundEvents = { ask: () => proceed, bindingsOf: () => [] };

export class SmtpClient {
  readonly #pool: SmtpPool;
  /** For mail whose sender needs no TLS: only made where the policy asks for more than it can have. */
  #lenientPool: SmtpPool | undefined;
  readonly #createLenientPool: () => SmtpPool | undefined;
  readonly #nextHop: string;
  readonly #lmtp: boolean;
  #deliveries = 0;
  #onDone: (() => void) | undefined;

  constructor(options: SmtpClientOptions) {
    const { limits = {}, smarthost, events = noEvents, tlsPolicy = tlsPolicyOf(smarthost), ...rest } = options;
    this.#nextHop = formatSmarthost(smarthost);
    this.#lmtp = smarthost.protocol === "lmtp";
    const settings: ConnectionSettings = {
      ...rest,
      smarthost,
      tlsPolicy,
      events,
      limits: { ...connectionLimits, ...limits },
    };
    const createPool = (settings: ConnectionSettings) => {
      const pool = new SmtpPool(settings, { ...poolLimits, ...limits });
      pool.onEmpty = () => this.#checkDone();
      return pool;
    };
    this.#pool = createPool(settings);
    // A password is not for the message's sender to risk.
    const mayBeLenient = (tlsPolicy === "required" || tlsPolicy === "verified") && smarthost.user === undefined;
    this.#createLenientPool = () =>
      mayBeLenient
        ? createPool({ ...settings, serverName: undefined, proves: undefined, tlsPolicy: "opportunistic" })
        : undefined;
  }

  /** One attempt for these recipients of a message; an outcome for each. Never throws. */
  async deliver(message: Message, recipients: readonly StoredRecipient[], attemptId = ""): Promise<Outcome[]> {
    const tried = await this.attempt({ message, recipients, attemptId });
    return tried.map(({ outcome }) => outcome);
  }

  /** The same, for who knows other hosts. Never throws. */
  async attempt(work: SmtpWork): Promise<Tried[]> {
    this.#deliveries += 1;
    const all: Tried[] = [];
    let rest = work.recipients;
    while (rest.length > 0) {
      const settled = await this.#transact({ ...work, recipients: rest });
      // Never so: each transaction answers for somebody. Whoever has no outcome is deferred by the queue.
      if (settled.length === 0) break;
      all.push(...settled);
      const done = new Set(settled.map(({ outcome }) => outcome.index));
      rest = rest.filter(({ index }) => !done.has(index));
    }
    this.#deliveries -= 1;
    this.#checkDone();
    return all;
  }

  /** Nothing is under way, and no connection stands. */
  get quiet(): boolean {
    return this.#deliveries === 0 && this.#pool.size === 0 && (this.#lenientPool?.size ?? 0) === 0;
  }

  /** A connection stands and waits for mail. */
  get ready(): boolean {
    return this.#pool.idle > 0;
  }

  /** Ends what is idle, and the rest when it is done; then calls `onDone`. */
  retire(onDone: () => void = () => {}): void {
    this.#onDone = onDone;
    this.#pool.retire();
    this.#lenientPool?.retire();
    this.#checkDone();
  }

  /** Ends every connection now. */
  close(): void {
    this.#pool.close();
    this.#lenientPool?.close();
  }

  #checkDone(): void {
    if (!this.quiet) return;
    const done = this.#onDone;
    this.#onDone = undefined;
    done?.();
  }

  #poolFor(message: Message): SmtpPool {
    if (!needsNoTls(message)) return this.#pool;
    this.#lenientPool ??= this.#createLenientPool();
    return this.#lenientPool ?? this.#pool;
  }

  /** One transaction with as many of the recipients as it may have; at least one outcome. */
  async #transact({ message, recipients, attemptId, signal, onTls }: SmtpWork): Promise<Tried[]> {
    const pool = this.#poolFor(message);
    let connection: PeerConnection | undefined;
    const stop = () => connection?.close(timeOver);
    signal?.addEventListener("abort", stop);
    try {
      for (let fresh = false; ; fresh = true) {
        connection = await pool.acquire({ fresh, signal, onTls });
        const reused = connection.transactions > 0;
        const { objections, willing } = this.#examine(connection, message, takeBatch(connection, recipients));
        if (willing.length === 0) return objections;
        const { answers, gone } = await connection.send({
          message,
          attemptId,
          recipients: willing,
          lmtp: this.#lmtp,
          ...factsOf(message, willing),
        });
        // An old connection may end just when it is used again; that is no answer to this message.
        if (reused && !fresh && gone) {
          pool.release(connection);
          connection = undefined;
          continue;
        }
        const reports = connection.supports("DSN");
        const answered = willing.flatMap(({ index, mailbox }): Tried[] => {
          const answer = answers.get(formatMailbox(mailbox));
          if (!answer) return [];
          // Who offers DSN was told what is to be reported, and reports from here on. RFC 3461 §5.2.2.
          const passedOn = answer.kind === "delivered" && reports ? { dsnPassedOn: true } : {};
          const { elsewhere = false, ...how } = answer;
          return [{ outcome: { index, nextHop: this.#nextHop, ...how, ...passedOn }, elsewhere }];
        });
        return [...objections, ...answered];
      }
    } catch (error) {
      const { reply = null, kind = "own", status = undefined } = error instanceof PeerFailure ? error : {};
      const elsewhere = kind !== "own";
      const outcome = {
        kind: "deferred",
        nextHop: this.#nextHop,
        reply,
        reason: describeThrown(error),
        ...(status === undefined ? {} : { status }),
        ...(elsewhere ? { destinationDown: true } : {}),
      } as const;
      return recipients.map(({ index }) => ({ outcome: { index, ...outcome }, elsewhere }));
    } finally {
      signal?.removeEventListener("abort", stop);
      if (connection) pool.release(connection);
    }
  }

  /** What the peer could not take, told without asking it. */
  #examine(
    connection: PeerConnection,
    message: Message,
    recipients: readonly StoredRecipient[],
  ): { readonly objections: Tried[]; readonly willing: StoredRecipient[] } {
    const objection = this.#objectionTo(message, connection);
    if (objection) {
      const [status, reason] = objection;
      // RFC 8689 §4.2.1: of several hosts, one may have the TLS that the sender asks for.
      const elsewhere = status === noTlsStatus;
      return { objections: recipients.map(({ index }) => this.#refuse(index, status, reason, elsewhere)), willing: [] };
    }
    if (connection.supports("SMTPUTF8")) return { objections: [], willing: [...recipients] };
    const willing = recipients.filter(({ mailbox }) => isAsciiMailbox(mailbox));
    const reason = `the address needs SMTPUTF8, which ${this.#nextHop} does not offer`;
    const objections = recipients
      .filter(({ mailbox }) => !isAsciiMailbox(mailbox))
      .map(({ index }) => this.#refuse(index, "5.6.7", reason));
    return { objections, willing };
  }

  /** Why the whole message cannot go there; null where it can. */
  #objectionTo(message: Message, connection: PeerConnection): readonly [status: string, reason: string] | null {
    const { sizeOctets } = message;
    const { reversePath, options = {} } = message.envelope;
    const { sizeOctetsMax } = connection.limits;
    if (sizeOctets > sizeOctetsMax)
      return ["5.3.4", `the message has ${sizeOctets} octets, ${this.#nextHop} takes ${sizeOctetsMax}`];
    // RFC 6531 §3.2: an international address may not be given to a server that does not know them. A header with octets beyond ASCII is another matter
    // (lenient: RFC 6531 §3.5): mail like that was there long before, came without SMTPUTF8, and arrives as it came wherever it goes.
    if (reversePath && !isAsciiMailbox(reversePath) && !connection.supports("SMTPUTF8"))
      return ["5.6.7", `the message needs SMTPUTF8, which ${this.#nextHop} does not offer`];
    // RFC 3030 §3: octets that are no lines go by BDAT or not at all.
    if (options.body === "BINARYMIME" && !(connection.supports("CHUNKING") && connection.supports("BINARYMIME")))
      return ["5.6.1", `the message needs BINARYMIME, which ${this.#nextHop} does not offer`];
    if (options.requireTls) {
      // RFC 8689 §4.2.1.
      if (!connection.verified)
        return [
          noTlsStatus,
          `the message needs TLS with a certificate that proves the name, which ${this.#nextHop} has not`,
        ];
      if (!connection.supports("REQUIRETLS"))
        return [noTlsStatus, `the message needs REQUIRETLS, which ${this.#nextHop} does not offer`];
    }
    return null;
  }

  #refuse(index: number, status: string, reason: string, elsewhere = false): Tried {
    return { outcome: { index, kind: "failed", nextHop: this.#nextHop, reply: null, reason, status }, elsewhere };
  }
}

/** RFC 8689 §5: the field lowers what is asked of TLS, unless REQUIRETLS says the contrary. */
export function needsNoTls({ envelope, header }: Message): boolean {
  return envelope.options?.requireTls !== true && header.get("TLS-Required")?.trim().toLowerCase() === "no";
}

/** The first recipients, as many as one transaction may have. RFC 9422 §5.2, §5.3. */
function takeBatch({ limits }: PeerConnection, recipients: readonly StoredRecipient[]): readonly StoredRecipient[] {
  const batch: StoredRecipient[] = [];
  const domains = new Set<string>();
  for (const recipient of recipients) {
    if (batch.length === Math.min(recipientsMax, limits.recipientsMax)) break;
    const { domain } = recipient.mailbox;
    if (!domains.has(domain) && domains.size === limits.domainsMax) continue;
    domains.add(domain);
    batch.push(recipient);
  }
  return batch;
}

interface MessageFacts {
  readonly options: EnvelopeOptions;
  readonly eightBit: boolean;
  readonly international: boolean;
}

function factsOf(message: Message, recipients: readonly StoredRecipient[]): MessageFacts {
  const { reversePath, options = {} } = message.envelope;
  const { inline } = message.body;
  const addresses = [...(reversePath ? [reversePath] : []), ...recipients.map(({ mailbox }) => mailbox)];
  return {
    options,
    // A long body is not read for this alone: 8BITMIME may be said of any. RFC 6152 §3.
    eightBit:
      options.body === "8BITMIME" || inline === undefined || !isAscii(inline) || !isAscii(message.header.octets),
    international: options.smtpUtf8 === true || !addresses.every(isAsciiMailbox),
  };
}

function isAsciiMailbox(mailbox: Mailbox): boolean {
  return !/[^\x00-\x7f]/.test(formatMailbox(mailbox));
}
