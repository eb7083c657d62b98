/**
 * The end of data: asks what becomes of the message, carries it out, and says so. 250 is custody (RFC 5321 §4.2.5, §6.1): it is said only
 * behind the spool's word, and what was answered 4yz or 5yz is never delivered.
 */
import type { Dispatcher } from "../events/dispatcher.ts";
import type { Verdict } from "../events/verdict.ts";
import { envelopeOptionsOf } from "../mail/envelope.ts";
import { Message } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { BadMail } from "../spool/badmail.ts";
import type { Spool } from "../spool/spool.ts";
import { type Answer, answerOf, objection, queued, spoolFault } from "./answer.ts";
import { ArrivalRecord, type ArrivalResult } from "./arrival-record.ts";
import type { ListenerOptions } from "./listener.ts";
import type { MailDataReceiver, ReceivedMail } from "./mail-data.ts";
import { answerAll, type EndOfData, EndOfDataDecision } from "./recipient-answers.ts";
import type { InboundSession, InboundTransaction } from "./session.ts";
import { withReceived } from "./trace-fields.ts";

export interface ArrivalOptions {
  readonly dispatcher: Dispatcher;
  readonly spool: Spool;
  readonly badmail: Pick<BadMail, "keep">;
  readonly clock: Clock;
  readonly log: Log;
  /** Called with a message in custody: from here on it is the queue's. */
  readonly enqueue: (message: Message) => void;
  readonly count?: (result: ArrivalResult, sizeOctets: number) => void;
}

/** How the message came and how its client wants to hear of it. */
export interface EndOfDataFacts {
  /** For the Received field. RFC 3848. */
  readonly protocol: string;
  readonly perRecipient: boolean;
}

export class Arrival {
  readonly #listener: ListenerOptions;
  readonly #options: ArrivalOptions;
  readonly #record: ArrivalRecord;

  constructor(listener: ListenerOptions, options: ArrivalOptions) {
    this.#listener = listener;
    this.#options = options;
    this.#record = new ArrivalRecord(options);
  }

  /** Once it answers, the receiver is done with: what was not taken is discarded. */
  async endOfData(
    session: InboundSession,
    transaction: InboundTransaction,
    receiver: MailDataReceiver,
    { protocol, perRecipient }: EndOfDataFacts,
  ): Promise<EndOfData> {
    const { turn } = session;
    // Nobody waits any more, and the client heard 451: nothing may come of it.
    const checkTurn = () => {
      if (session.turn !== turn)
        throw new Fault("decision.timeout", "Cannot take the message: it was decided too late");
    };
    let taken: { readonly message: Message; readonly received: ReceivedMail } | undefined;
    try {
      const received = await receiver.finish();
      if (!("body" in received)) {
        this.#record.headersRefused(session, transaction, received);
        return answerAll(transaction.rcpts, perRecipient, received);
      }
      checkTurn();
      const message = this.#createMessage(session, transaction, received, protocol);
      this.#record.received(session, message);
      const decision = this.#createDecision(session, message, transaction, perRecipient);
      const verdict = await this.#decide(decision, message, session);
      decision?.takeOff();
      checkTurn();
      if (decision?.allAnswered) {
        this.#record.finished(session, message, "refused", { reason: "each recipient was refused" });
        return decision.finish(queued(message.id));
      }
      const answer = await this.#carryOut(session, message, verdict);
      if (verdict.kind === "proceed" && message.envelope.recipients.length > 0) taken = { message, received };
      return decision ? decision.finish(answer) : answerAll(transaction.rcpts, perRecipient, answer);
    } catch (error) {
      const answer = answerOf(error);
      this.#record.failed(session, transaction, answer, error);
      return answerAll(transaction.rcpts, perRecipient, answer);
    } finally {
      // A body that is in custody is the spool's.
      if (taken === undefined || taken.message.body !== taken.received.body) await receiver.abort();
    }
  }

  #createMessage(
    session: InboundSession,
    transaction: InboundTransaction,
    received: ReceivedMail,
    protocol: string,
  ): Message {
    const at = this.#options.clock.now();
    const header = withReceived(received.header, {
      helo: session.helo,
      host: session.host,
      ip: session.ip,
      by: this.#listener.hostname,
      protocol,
      id: transaction.id,
      recipients: transaction.recipients,
      at,
    });
    const { reversePath, envelopeRecipients: recipients, parameters } = transaction;
    const options = parameters.size > 0 ? envelopeOptionsOf(transaction.options) : undefined;
    const asked = options !== undefined && Object.keys(options).length > 0;
    return new Message({
      id: transaction.id,
      receivedAt: at,
      origin: session.origin,
      envelope: asked ? { reversePath, recipients, options } : { reversePath, recipients },
      header,
      separator: received.separator,
      body: received.body,
      notes: {},
    });
  }

  /** null where nobody is bound to the event. */
  #createDecision(
    session: InboundSession,
    message: Message,
    { rcpts }: InboundTransaction,
    perRecipient: boolean,
  ): EndOfDataDecision | null {
    if (this.#options.dispatcher.bindingsOf("onEndOfData").length === 0) return null;
    return new EndOfDataDecision(session, message, rcpts, perRecipient);
  }

  async #decide(decision: EndOfDataDecision | null, message: Message, { turn }: InboundSession): Promise<Verdict> {
    const { dispatcher } = this.#options;
    if (decision) {
      const atEnd = await dispatcher.ask("onEndOfData", decision);
      if (atEnd.kind !== "proceed" || decision.allAnswered || decision.session.turn !== turn) return atEnd;
      decision.takeOff();
    }
    return await dispatcher.ask("onArrival", { message });
  }

  async #carryOut(session: InboundSession, message: Message, verdict: Verdict): Promise<Answer> {
    switch (verdict.kind) {
      case "refuse":
      case "defer":
      case "drop": {
        this.#record.finished(session, message, verdict.kind === "refuse" ? "refused" : "deferred", {
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
        const kept = { reason: verdict.reason, binding: verdict.by ?? null, at: this.#options.clock.now() };
        await this.#take(session, () =>
          this.#options.badmail.keep(message, kept).catch((error: unknown) => {
            throw spoolFault(error);
          }),
        );
        session.messagesAccepted++;
        const facts = { reason: verdict.reason, by: verdict.by };
        this.#inCustody(message, () => this.#record.finished(session, message, "quarantined", facts));
        return queued(message.id);
      }
      case "proceed": {
        if (message.envelope.recipients.length === 0) return this.#discarded(session, message, "no recipient is left");
        // A sink that is late may still hold the message: what it does to that is not what was answered for.
        const kept = new Message(message);
        await this.#take(session, () => this.#options.spool.accept([kept], this.#options.clock.now()));
        session.messagesAccepted++;
        this.#inCustody(kept, () => this.#record.finished(session, kept, "accepted", {}));
        this.#inCustody(kept, () => this.#options.enqueue(kept));
        return queued(kept.id);
      }
    }
  }

  /** From here on it may be in custody at any moment: whoever waits has to wait for the end. */
  async #take(session: InboundSession, keep: () => Promise<unknown>): Promise<void> {
    session.taking = true;
    try {
      await keep();
    } finally {
      session.taking = false;
    }
  }

  /** It is in custody: what goes wrong now is no reason to say anything but 250. The queue finds it at the next start. */
  #inCustody(message: Message, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.log.error("queue.failed", { message: message.id, reason: describeThrown(error) });
    }
  }

  #discarded(session: InboundSession, message: Message, reason: string, by?: string): Answer {
    session.messagesAccepted++;
    this.#record.finished(session, message, "discarded", { reason, by });
    return queued(message.id);
  }
}
