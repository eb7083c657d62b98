/**
 * Reception: what we do at each step of a client's session, whichever engine parsed it. Asks the events, keeps the transaction, takes
 * custody of the message, and says the reply. It knows no sockets.
 */
import type { Dispatcher } from "../events/dispatcher.ts";
import type {
  AuthSubject,
  DisconnectSubject,
  MailFromSubject,
  Parameters,
  RcptToSubject,
  TrackStep,
} from "../events/subject.ts";
import { trackCodes } from "../events/subject.ts";
import type { Verdict } from "../events/verdict.ts";
import { createId } from "../mail/ids.ts";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";
import { Message } from "../mail/message.ts";
import { formatReversePath, parseForwardPath, parseReversePath, type ReversePath } from "../mail/path.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { BadMail } from "../spool/badmail.ts";
import type { Spool } from "../spool/spool.ts";
import {
  type Answer,
  answerOf,
  needsUtf8,
  no,
  noUtf8,
  objection,
  ok,
  queued,
  spoolFault,
  syntaxAnswer,
} from "./answer.ts";
import type { ListenerOptions } from "./listener.ts";
import { headerOctetsMax, MailDataReceiver, type ReceivedMail } from "./mail-data.ts";
import { type InboundSession, InboundTransaction } from "./session.ts";
import { receivedValue } from "./trace-fields.ts";

export type ArrivalResult = "accepted" | "discarded" | "quarantined" | "refused" | "deferred";

export interface ReceptionOptions {
  readonly dispatcher: Dispatcher;
  readonly spool: Spool;
  readonly badmail: BadMail;
  readonly clock: Clock;
  readonly log: Log;
  /** Where `<Postmaster>` without a domain goes. RFC 5321 §4.5.1. */
  readonly postmasterDomain: string;
  /** Called with a message in custody: from here on it is the queue's. */
  readonly enqueue: (message: Message) => void;
  readonly count?: (result: ArrivalResult, sizeOctets: number) => void;
  readonly countSession?: () => void;
}

/** Recipients of a message that its log line names. */
const recipientsLogged = 10;

export class Reception {
  readonly #options: ReceptionOptions;
  readonly #listener: ListenerOptions;
  readonly #sessionsByClient = new Map<string, number>();

  constructor(listener: ListenerOptions, options: ReceptionOptions) {
    this.#listener = listener;
    this.#options = options;
  }

  /** A client is here; null lets it in. */
  async connect(session: InboundSession): Promise<Answer | null> {
    this.#options.countSession?.();
    const sessions = (this.#sessionsByClient.get(session.ip) ?? 0) + 1;
    this.#sessionsByClient.set(session.ip, sessions);
    if (sessions > this.#listener.limits.connectionsPerClientMax) {
      return no(421, "4.7.0", "Too many connections from your address", true);
    }
    const verdict = await this.#options.dispatcher.ask("onConnect", { session });
    return objection(verdict);
  }

  secured(session: InboundSession): void {
    this.#options.dispatcher.tell("onTls", { session });
  }

  async helo(session: InboundSession, name: string): Promise<Answer | null> {
    session.helo = name;
    const refusal = objection(await this.#options.dispatcher.ask("onHelo", { session, name }));
    // Refused, it has not been said: whatever comes next is asked again.
    if (refusal) session.helo = "";
    return refusal;
  }

  /** Whether anybody checks credentials; without one AUTH is not offered. */
  get authenticates(): boolean {
    return this.#options.dispatcher.bindingsOf("onAuth").length > 0;
  }

  async auth(
    session: InboundSession,
    exchange: { readonly mechanism: string; readonly user: string; readonly secret: string },
  ): Promise<Answer> {
    let acceptedAs: string | undefined;
    const subject: AuthSubject = { session, ...exchange, acceptAs: (user) => void (acceptedAs = user) };
    const refusal = objection(await this.#options.dispatcher.ask("onAuth", subject));
    if (refusal) return refusal;
    if (acceptedAs === undefined) return no(535, "5.7.8", "Authentication credentials invalid");
    session.user = acceptedAs;
    return { code: 235, status: "2.7.0", text: "Authentication successful", close: false };
  }

  /** MAIL, its argument without parameters. */
  async mailFrom(session: InboundSession, path: string, parameters: Parameters): Promise<Answer> {
    let reversePath: ReversePath;
    try {
      reversePath = parseReversePath(path);
    } catch (error) {
      return syntaxAnswer(error, "5.1.7", "The reverse-path is not an address");
    }
    if (needsUtf8(reversePath) && !parameters.has("SMTPUTF8")) return noUtf8;
    const subject: MailFromSubject = {
      session,
      reversePath,
      parameters,
      rewrite: (other) => void (reversePath = other),
    };
    const refusal = objection(await this.#options.dispatcher.ask("onMailFrom", subject));
    if (refusal) return refusal;
    session.transaction = new InboundTransaction(createId(this.#options.clock.now()), reversePath, parameters);
    return ok("Sender accepted", "2.1.0");
  }

  /** RCPT, its argument without parameters. */
  async rcptTo(session: InboundSession, path: string, parameters: Parameters): Promise<Answer> {
    const { transaction } = session;
    if (!transaction) return no(503, "5.5.1", "MAIL first");
    let forwardPaths: readonly Mailbox[];
    try {
      // The one address without a domain. RFC 5321 §4.5.1.
      const isPostmaster = /^<?postmaster>?$/i.test(path);
      forwardPaths = [
        isPostmaster ? { localPart: "postmaster", domain: this.#options.postmasterDomain } : parseForwardPath(path),
      ];
    } catch (error) {
      return syntaxAnswer(error, "5.1.3", "The forward-path is not an address");
    }
    if (needsUtf8(forwardPaths[0]!) && !transaction.parameters.has("SMTPUTF8")) return noUtf8;
    if (transaction.recipients.length >= this.#listener.limits.recipientsMax)
      return no(452, "4.5.3", "Too many recipients");
    let accepted: RcptToSubject["accepted"] = null;
    const subject: RcptToSubject = {
      session,
      transaction,
      parameters,
      get forwardPath() {
        return forwardPaths[0]!;
      },
      get accepted() {
        return accepted;
      },
      rewrite: (...others) => void (forwardPaths = others),
      accept: (as) => void (accepted = as),
    };
    const refusal = objection(await this.#options.dispatcher.ask("onRcptTo", subject));
    if (refusal) return refusal;
    for (const forwardPath of forwardPaths) transaction.add(forwardPath);
    return ok("Recipient accepted", "2.1.5");
  }

  /** A receiver for the mail data of the transaction in hand; then `endOfData`. */
  receiveData(): MailDataReceiver {
    return new MailDataReceiver(this.#options.spool.createBody(), {
      sizeOctetsMax: this.#listener.limits.sizeOctetsMax,
      headerOctetsMax,
      lineEnds: this.#listener.lineEnds,
    });
  }

  /** The end of data: asks onEndOfData and onArrival, takes custody, and says how it went. 250 is custody. RFC 5321 §4.2.5, §6.1. */
  async endOfData(session: InboundSession, receiver: MailDataReceiver, protocol: string): Promise<Answer> {
    const { transaction } = session;
    session.transaction = null;
    if (!transaction) {
      await receiver.abort();
      return no(503, "5.5.1", "MAIL first");
    }
    let received: ReceivedMail;
    try {
      received = await receiver.finish();
    } catch (error) {
      return this.#cannotTake(transaction, session, error);
    }
    const message = this.#createMessage(session, transaction, received, protocol);
    this.#track(message.id, "received", { session: session.id, sizeOctets: message.sizeOctets });
    let inCustody = false;
    try {
      const verdict = await this.#decide(session, message);
      const answer = await this.#carryOut(session, message, verdict);
      inCustody =
        verdict.kind === "proceed" && message.body === received.body && message.envelope.recipients.length > 0;
      return answer;
    } catch (error) {
      return this.#cannotTake(transaction, session, error);
    } finally {
      if (!inCustody) await receiver.abort();
    }
  }

  disconnect(session: InboundSession, reason: DisconnectSubject["reason"]): void {
    const sessions = (this.#sessionsByClient.get(session.ip) ?? 1) - 1;
    if (sessions > 0) this.#sessionsByClient.set(session.ip, sessions);
    else this.#sessionsByClient.delete(session.ip);
    const durationMs = this.#options.clock.now() - session.startedAt;
    this.#options.dispatcher.tell("onDisconnect", {
      session,
      reason: session.dropped ? "dropped" : reason,
      messagesAccepted: session.messagesAccepted,
      durationMs,
    });
    this.#options.log.info("session.closed", {
      session: session.id,
      ip: session.ip,
      helo: session.helo,
      messagesAccepted: session.messagesAccepted,
      durationMs,
    });
  }

  #createMessage(
    session: InboundSession,
    transaction: InboundTransaction,
    received: ReceivedMail,
    protocol: string,
  ): Message {
    const at = this.#options.clock.now();
    const value = receivedValue({
      helo: session.helo,
      host: session.host,
      ip: session.ip,
      by: this.#listener.hostname,
      // RFC 6531 §3.7.3, §4.3.
      protocol: transaction.parameters.has("SMTPUTF8") ? protocol.replace(/^E?SMTP/, "UTF8SMTP") : protocol,
      id: transaction.id,
      user: session.user,
      recipients: transaction.recipients,
      at,
    });
    return new Message({
      id: transaction.id,
      receivedAt: at,
      origin: session.origin,
      envelope: {
        reversePath: transaction.reversePath,
        recipients: transaction.recipients.map((mailbox) => ({ mailbox })),
      },
      header: received.header.prepend("Received", value),
      separator: received.separator,
      body: received.body,
      notes: {},
    });
  }

  async #decide(session: InboundSession, message: Message): Promise<Verdict> {
    const { dispatcher } = this.#options;
    const atEnd = await dispatcher.ask("onEndOfData", { session, message });
    return atEnd.kind === "proceed" ? await dispatcher.ask("onArrival", { message }) : atEnd;
  }

  async #carryOut(session: InboundSession, message: Message, verdict: Verdict): Promise<Answer> {
    switch (verdict.kind) {
      case "refuse":
      case "defer":
      case "drop": {
        this.#finish(session, message, verdict.kind === "refuse" ? "refused" : "deferred", {
          code: verdict.code,
          status: verdict.status,
          reason: verdict.text,
          by: verdict.by,
        });
        return objection(verdict)!;
      }
      case "discard":
        return this.#discarded(session, message, verdict.reason, verdict.by);
      case "quarantine": {
        const now = this.#options.clock.now();
        await this.#options.badmail
          .keep(message, { reason: verdict.reason, binding: verdict.by ?? null, at: now })
          .catch((error: unknown) => {
            throw spoolFault(error);
          });
        session.messagesAccepted++;
        this.#finish(session, message, "quarantined", { reason: verdict.reason, by: verdict.by });
        return queued(message.id);
      }
      case "proceed": {
        if (message.envelope.recipients.length === 0) return this.#discarded(session, message, "no recipient is left");
        await this.#options.spool.accept([message], this.#options.clock.now());
        session.messagesAccepted++;
        this.#finish(session, message, "accepted", {});
        this.#enqueue(message);
        return queued(message.id);
      }
    }
  }

  /** It is in custody: what goes wrong now is no reason to say anything but 250. The queue finds it at the next start. */
  #enqueue(message: Message): void {
    try {
      this.#options.enqueue(message);
    } catch (error) {
      this.#options.log.error("queue.failed", { message: message.id, reason: describeThrown(error) });
    }
  }

  #discarded(session: InboundSession, message: Message, reason: string, by?: string): Answer {
    session.messagesAccepted++;
    this.#finish(session, message, "discarded", { reason, by });
    return queued(message.id);
  }

  #finish(
    session: InboundSession,
    message: Message,
    result: ArrivalResult,
    facts: Readonly<Record<string, unknown>>,
  ): void {
    const step: Record<ArrivalResult, TrackStep> = {
      accepted: "spooled",
      discarded: "discarded",
      quarantined: "quarantined",
      refused: "refused",
      deferred: "deferredAtArrival",
    };
    this.#options.count?.(result, message.sizeOctets);
    this.#options.log.info(`message.${result}`, {
      message: message.id,
      session: session.id,
      ip: session.ip,
      from: formatReversePath(message.envelope.reversePath),
      to: message.envelope.recipients.slice(0, recipientsLogged).map((recipient) => formatMailbox(recipient.mailbox)),
      recipients: message.envelope.recipients.length,
      sizeOctets: message.sizeOctets,
      messageId: message.header.get("Message-ID")?.slice(0, 200) ?? null,
      ...facts,
    });
    this.#track(message.id, step[result], facts);
  }

  /** Mail data that cannot be taken: the client keeps the message. */
  #cannotTake(transaction: InboundTransaction, session: InboundSession, error: unknown): Answer {
    const { id: messageId, reversePath, recipients } = transaction;
    const answer = answerOf(error);
    const code = error instanceof Fault ? error.code : "bug";
    const client = error instanceof Fault && error.blame === "client";
    this.#options.count?.(answer.code >= 500 ? "refused" : "deferred", 0);
    this.#options.log[client ? "info" : "error"](answer.code >= 500 ? "message.refused" : "message.deferred", {
      message: messageId,
      session: session.id,
      ip: session.ip,
      from: formatReversePath(reversePath),
      to: recipients.slice(0, recipientsLogged).map(formatMailbox),
      code: answer.code,
      status: answer.status,
      fault: code,
      reason: describeThrown(error),
      cause: error instanceof Error && error.cause !== undefined ? describeThrown(error.cause) : undefined,
      ...(error instanceof Fault ? {} : { stack: error instanceof Error ? error.stack : undefined }),
    });
    this.#track(messageId, answer.code >= 500 ? "refused" : "deferredAtArrival", { code: answer.code });
    return answer;
  }

  #track(messageId: string, step: TrackStep, facts: Readonly<Record<string, unknown>>): void {
    if (this.#options.dispatcher.bindingsOf("onTrack").length === 0) return;
    this.#options.dispatcher.tell("onTrack", {
      messageId,
      step,
      code: trackCodes[step],
      at: this.#options.clock.now(),
      facts,
    });
  }
}
