/** The end of data: makes the message of what a client sent, asks what becomes of it, and answers; custody.ts carries it out. */
import type { Verdict } from "../events/verdict.ts";
import type { AuthFacts } from "../mail/auth-facts.ts";
import { envelopeOptionsOf } from "../mail/envelope.ts";
import { Message } from "../mail/message.ts";
import { Fault } from "../platform/fault.ts";
import { answerOf, queued } from "./answer.ts";
import type { ArrivalRecord } from "./arrival-record.ts";
import { Custody, type CustodyOptions } from "./custody.ts";
import type { Room } from "./disk-space.ts";
import type { ListenerOptions } from "./listener.ts";
import type { MailDataReceiver, ReceivedMail } from "./mail-data.ts";
import { answerAll, type EndOfData, EndOfDataDecision } from "./recipient-answers.ts";
import type { InboundSession, InboundTransaction } from "./session.ts";
import { withMissingFields } from "./submitted-mail.ts";
import { withReceived } from "./trace-fields.ts";
import { shouldVerify, type Verifier, withResults } from "./verify.ts";

export interface ArrivalOptions extends CustodyOptions {
  /** Whether there is room for mail; absent: always. */
  readonly room?: Room;
  /** Checks SPF, DKIM, DMARC and ARC; absent: nothing is checked. */
  readonly verifier?: Pick<Verifier, "verify">;
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
  readonly #custody: Custody;
  readonly #record: ArrivalRecord;

  constructor(listener: ListenerOptions, options: ArrivalOptions) {
    this.#listener = listener;
    this.#options = options;
    this.#custody = new Custody(options);
    this.#record = this.#custody.record;
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
    let isTaken = false;
    let decided: (() => void) | undefined;
    try {
      const received = await receiver.finish();
      if (!("body" in received)) {
        this.#record.refusedEarly(session, transaction, received);
        return answerAll(transaction.rcpts, perRecipient, received);
      }
      checkTurn();
      // It may have got less while the data came.
      if (this.#options.room?.refusal(0)) throw new Fault("spool.full", "Cannot take the message: the disk is short");
      const auth = await this.#verify(session, transaction, received);
      checkTurn();
      const message = this.#createMessage(session, transaction, received, { protocol, auth });
      this.#record.received(session, message);
      decided = this.#options.onMessage?.(message);
      const decision = this.#createDecision(session, message, transaction, perRecipient);
      const verdict = await this.#decide(decision, message, session);
      decision?.takeOff();
      checkTurn();
      if (decision?.allAnswered) {
        this.#record.finished(session, message, "refused", { reason: "each recipient was refused" });
        return decision.finish(queued(message.id));
      }
      const { answer, bodies } = await this.#custody.carryOut(session, message, verdict);
      isTaken = bodies.includes(received.body);
      return decision ? decision.finish(answer) : answerAll(transaction.rcpts, perRecipient, answer);
    } catch (error) {
      const answer = answerOf(error);
      this.#record.failed(session, transaction, answer, error);
      return answerAll(transaction.rcpts, perRecipient, answer);
    } finally {
      decided?.();
      // A body that is in custody is the spool's.
      if (!isTaken) await receiver.abort();
    }
  }

  /** Undefined where this client's mail is not checked; and in a rehearsal, which waits for nothing. */
  async #verify(
    session: InboundSession,
    { reversePath }: InboundTransaction,
    { header, body }: ReceivedMail,
  ): Promise<AuthFacts | undefined> {
    const { verifier } = this.#options;
    if (!verifier || session.rehearsal || !shouldVerify(session, this.#listener.verify ?? "off")) return undefined;
    const { ip, helo } = session;
    return await verifier.verify({ ip, helo, reversePath, header, body });
  }

  #createMessage(
    session: InboundSession,
    transaction: InboundTransaction,
    received: ReceivedMail,
    { protocol, auth }: { readonly protocol: string; readonly auth: AuthFacts | undefined },
  ): Message {
    const at = this.#options.clock.now();
    const { id, reversePath } = transaction;
    const { hostname } = this.#listener;
    // RFC 6409 §8; mail of other servers stays as it came.
    const isSubmitted = session.role === "submission";
    const whole = isSubmitted ? withMissingFields(received.header, { id, hostname, reversePath, at }) : received.header;
    const traced = withReceived(whole, {
      helo: session.helo,
      host: session.host,
      ip: session.ip,
      by: hostname,
      protocol,
      id,
      recipients: transaction.recipients,
      at,
    });
    const isTrusted = session.user === null && this.#listener.trusted.results(session.speaker);
    const header = withResults(traced, { hostname, auth, isTrusted });
    const { envelopeRecipients: recipients, parameters } = transaction;
    const options = parameters.size > 0 ? envelopeOptionsOf(transaction.options) : undefined;
    const asked = options !== undefined && Object.keys(options).length > 0;
    return new Message({
      id,
      receivedAt: at,
      origin: auth ? { ...session.origin, auth } : session.origin,
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
}
