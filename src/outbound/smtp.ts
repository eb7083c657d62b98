/** Delivery over SMTP to one next hop: transactions in, an outcome for each recipient out. RFC 5321 §4.5.4, RFC 3463. */
import { isAscii } from "node:buffer";
import { formatMailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import type { Reply } from "../mail/status.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Outcome } from "../queue/attempt.ts";
import type { StoredRecipient } from "../spool/spool.ts";
import { formatSmarthost, type Smarthost } from "./next-hop.ts";
import { isPermanent, type ReplyStage } from "./peer-reply.ts";
import {
  type ConnectionLimits,
  connectionLimits,
  type PeerConnection,
  PeerFailure,
  type TransactionResult,
} from "./smtp-connection.ts";
import { type PoolLimits, poolLimits, SmtpPool } from "./smtp-pool.ts";

/** Recipients of one transaction: as many as every server must take. RFC 5321 §4.5.3.1.8. */
const recipientsMax = 100;

export interface SmtpClientOptions {
  readonly smarthost: Smarthost;
  /** Our name, for EHLO. */
  readonly hostName: string;
  readonly clock: Clock;
  /** Certificates to trust in place of the system's; PEM. */
  readonly certificateAuthorities?: string;
  readonly limits?: Partial<ConnectionLimits & PoolLimits>;
}

export class SmtpClient {
  readonly #pool: SmtpPool;
  readonly #nextHop: string;

  constructor(options: SmtpClientOptions) {
    const { limits = {}, ...settings } = options;
    this.#nextHop = formatSmarthost(options.smarthost);
    this.#pool = new SmtpPool(
      { ...settings, limits: { ...connectionLimits, ...limits } },
      { ...poolLimits, ...limits },
    );
  }

  /** One attempt for these recipients of a message; an outcome for each. Never throws. */
  async deliver(message: Message, recipients: readonly StoredRecipient[]): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    for (let at = 0; at < recipients.length; at += recipientsMax) {
      outcomes.push(...(await this.#transact(message, recipients.slice(at, at + recipientsMax))));
    }
    return outcomes;
  }

  /** Ends what is idle, and the rest when it is done. */
  retire(): void {
    this.#pool.retire();
  }

  /** Ends every connection now. */
  close(): void {
    this.#pool.close();
  }

  async #transact(message: Message, recipients: readonly StoredRecipient[]): Promise<Outcome[]> {
    let connection: PeerConnection | undefined;
    try {
      for (let fresh = false; ; fresh = true) {
        connection = await this.#pool.acquire(fresh);
        const reused = connection.transactions > 0;
        const { objections, willing } = this.#examine(connection, message, recipients);
        if (willing.length === 0) return objections;
        const result = await connection.send(envelopeOf(message, willing), message);
        // An old connection may end just when it is used again; that is no answer to this message.
        if (reused && !fresh && !result.dataBegun && isFarewell(result.failure)) {
          this.#pool.release(connection);
          connection = undefined;
          continue;
        }
        return [...objections, ...willing.map((recipient) => this.#outcomeOf(recipient, result))];
      }
    } catch (error) {
      const reply = error instanceof PeerFailure ? (error.reply ?? null) : null;
      return recipients.map(({ index }) => ({
        index,
        kind: "deferred",
        nextHop: this.#nextHop,
        reply,
        reason: describeThrown(error),
      }));
    } finally {
      if (connection) this.#pool.release(connection);
    }
  }

  /** What the peer could not take, told without asking it. */
  #examine(
    connection: PeerConnection,
    message: Message,
    recipients: readonly StoredRecipient[],
  ): { readonly objections: Outcome[]; readonly willing: StoredRecipient[] } {
    const { sizeOctetsMax } = connection;
    if (sizeOctetsMax > 0 && message.sizeOctets > sizeOctetsMax) {
      const reason = `the message has ${message.sizeOctets} octets, ${this.#nextHop} takes ${sizeOctetsMax}`;
      return { objections: recipients.map(({ index }) => this.#refuse(index, "5.3.4", reason)), willing: [] };
    }
    if (connection.supports("SMTPUTF8")) return { objections: [], willing: [...recipients] };
    // RFC 6531 §3.2: an international address may not be given to a server that does not know them. A header with octets beyond ASCII is another matter
    // (lenient: RFC 6531 §3.5): mail like that was there long before, came without SMTPUTF8, and arrives as it came wherever it goes.
    const { reversePath } = message.envelope;
    if (reversePath && !isAsciiText(formatMailbox(reversePath))) {
      const reason = `the message needs SMTPUTF8, which ${this.#nextHop} does not offer`;
      return { objections: recipients.map(({ index }) => this.#refuse(index, "5.6.7", reason)), willing: [] };
    }
    const willing = recipients.filter(({ mailbox }) => isAsciiText(formatMailbox(mailbox)));
    const objections = recipients
      .filter((recipient) => !willing.includes(recipient))
      .map(({ index }) =>
        this.#refuse(index, "5.6.7", `the address needs SMTPUTF8, which ${this.#nextHop} does not offer`),
      );
    return { objections, willing };
  }

  #refuse(index: number, status: string, reason: string): Outcome {
    return { index, kind: "failed", nextHop: this.#nextHop, reply: null, reason, status };
  }

  #outcomeOf({ index, mailbox }: StoredRecipient, { reply, refused, failure }: TransactionResult): Outcome {
    const own = refused.get(formatMailbox(mailbox));
    if (own) return this.#answered(index, own, "rcpt", "");
    if (!failure) return { index, kind: "delivered", nextHop: this.#nextHop, reply: reply ?? null, reason: "" };
    if (failure.reply) return this.#answered(index, failure.reply, failure.stage, "");
    // No answer, not even to the final dot: it may be there by now, but only a reply hands the message over. RFC 5321 §4.2.5, §6.1.
    return { index, kind: "deferred", nextHop: this.#nextHop, reply: null, reason: failure.message };
  }

  #answered(index: number, reply: Reply, stage: ReplyStage, reason: string): Outcome {
    return { index, kind: isPermanent(reply, stage) ? "failed" : "deferred", nextHop: this.#nextHop, reply, reason };
  }
}

/** Whether the peer ended the session rather than answered: gone without a word, or 421. */
function isFarewell(failure: PeerFailure | undefined): boolean {
  return failure !== undefined && (failure.reply === undefined || failure.reply.code === 421);
}

function envelopeOf(message: Message, recipients: readonly StoredRecipient[]) {
  const { reversePath } = message.envelope;
  const { inline } = message.body;
  return {
    from: reversePath === null ? "" : formatMailbox(reversePath),
    // A mailbox that is there twice gets the message once.
    to: [...new Set(recipients.map(({ mailbox }) => formatMailbox(mailbox)))],
    sizeOctets: message.sizeOctets,
    // A long body is not read for this alone: 8BITMIME may be said of any. RFC 6152 §3.
    eightBit: inline === undefined || !isAscii(inline) || !isAscii(message.header.octets),
  };
}

function isAsciiText(text: string): boolean {
  return !/[^\x00-\x7f]/.test(text);
}
