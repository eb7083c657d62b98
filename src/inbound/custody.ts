/**
 * Custody: carries out what was decided of a message that is here, whichever entrance it came by, and says so. 250 is custody (RFC 5321 §4.2.5, §6.1): it is
 * said only behind the spool's word, and what was answered 4yz or 5yz is never delivered.
 */
import type { Binding } from "../events/binding.ts";
import type { Dispatcher } from "../events/dispatcher.ts";
import type { Verdict } from "../events/verdict.ts";
import { type Body, Message, type Submission } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import { crashPoint } from "../platform/crash-point.ts";
import { describeThrown, type Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { BadMail } from "../spool/badmail.ts";
import type { Spool } from "../spool/spool.ts";
import { type Answer, objection, queued, spoolFault } from "./answer.ts";
import { ArrivalRecord, type ArrivalResult } from "./arrival-record.ts";
import type { InboundSession } from "./session.ts";

export interface CustodyOptions {
  readonly dispatcher: Dispatcher;
  readonly spool: Spool;
  readonly badmail: Pick<BadMail, "keep">;
  readonly clock: Clock;
  readonly log: Log;
  /** Called with a message in custody: from here on it is the queue's. */
  readonly enqueue: (message: Message) => void;
  readonly count?: (result: ArrivalResult, sizeOctets: number) => void;
  /** Shown each message before anybody is asked about it; what it gives back is called when it is decided. Absent: nobody looks. */
  readonly onMessage?: (message: Message) => (() => void) | undefined;
  /** Called where the spool had no room. */
  readonly onFull?: () => void;
}

/** What became of a message, and the reply that says so. */
export interface Settled {
  readonly result: ArrivalResult;
  readonly answer: Answer;
  /** Bodies that are the spool's now. */
  readonly bodies: readonly Body[];
}

const noBodies: readonly Body[] = [];

export class Custody {
  readonly record: ArrivalRecord;
  readonly #options: CustodyOptions;

  constructor(options: CustodyOptions) {
    this.#options = options;
    this.record = new ArrivalRecord(options);
  }

  /**
   * Does with the message what the verdict says. The object that native sinks had is revoked: what is done to it now would be done to nothing.
   * @throws {Fault} `spool.full`, `spool.failed`, `spool.closed`; then nothing was taken
   */
  async carryOut(session: InboundSession, message: Message, verdict: Verdict): Promise<Settled> {
    const kept = new Message(message);
    if (this.#mayBeHeld()) message.revoke();
    switch (verdict.kind) {
      case "refuse":
      case "defer":
      case "drop": {
        const result = verdict.kind === "refuse" ? "refused" : "deferred";
        const { code, status, text: reason, by } = verdict;
        this.record.finished(session, kept, result, { code, status, reason, by });
        return { result, answer: objection(verdict)!, bodies: noBodies };
      }
      case "discard":
        return await this.#discard(session, kept, verdict.reason, verdict.by);
      case "quarantine":
        return await this.#quarantine(session, kept, verdict);
      case "proceed":
        if (kept.envelope.recipients.length === 0) return await this.#discard(session, kept, "no recipient is left");
        return await this.accept(session, kept);
    }
  }

  /** Takes the message into the spool, and hands it to the queue. @throws {Fault} as `carryOut` */
  async accept(
    session: InboundSession,
    message: Message,
    facts: Readonly<Record<string, unknown>> = {},
  ): Promise<Settled> {
    const { spool, clock, enqueue } = this.#options;
    const made = message.takeSubmissions();
    crashPoint("arrival.before-accept");
    await this.#take(session, () => spool.accept([message, ...made.map((one) => one.message)], clock.now()));
    crashPoint("arrival.accepted");
    session.messagesAccepted++;
    this.#inCustody(message, () => this.record.finished(session, message, "accepted", facts));
    this.#inCustody(message, () => enqueue(message));
    this.#submitted(message, made);
    return { result: "accepted", answer: queued(message.id), bodies: [message.body, ...bodiesOf(made)] };
  }

  async #quarantine(
    session: InboundSession,
    message: Message,
    { reason, by }: Extract<Verdict, { readonly reason: string }>,
  ): Promise<Settled> {
    const { badmail, clock } = this.#options;
    const why = { reason, binding: by ?? null, ...this.#factsOf(by, reason), at: clock.now() };
    await this.#take(session, () =>
      badmail.keep(message, why).catch((error: unknown) => {
        throw spoolFault(error);
      }),
    );
    const bodies = await this.#takeMade(session, message);
    session.messagesAccepted++;
    this.#inCustody(message, () => this.record.finished(session, message, "quarantined", { reason, by }));
    return { result: "quarantined", answer: queued(message.id), bodies };
  }

  /** Whether a sink may still hold the message. The server's own do not, and scripts have a copy: where there are no others nothing has to be paid for. */
  #mayBeHeld(): boolean {
    const { dispatcher } = this.#options;
    return dispatcher.bindingsOf("onArrival").some(isForeign) || dispatcher.bindingsOf("onEndOfData").some(isForeign);
  }

  /** Of the binding that decided: its rule, and the fault where it was that which decided. */
  #factsOf(by: string | undefined, reason: string): { readonly rule: string | null; readonly fault: string | null } {
    const { dispatcher } = this.#options;
    const bindings = [...dispatcher.bindingsOf("onArrival"), ...dispatcher.bindingsOf("onEndOfData")];
    const binding = bindings.find(({ id }) => id === by);
    if (binding === undefined) return { rule: null, fault: null };
    // In the words of events/on-fault.ts.
    const failed = binding.onFault === "quarantine" && reason === `${binding.name} failed`;
    return {
      rule: binding.rule?.text ?? null,
      fault: failed ? (dispatcher.healthOf(binding.id).lastFault?.code ?? null) : null,
    };
  }

  /** From here on it may be in custody at any moment: whoever waits has to wait for the end. */
  async #take(session: InboundSession, keep: () => Promise<unknown>): Promise<void> {
    session.taking = true;
    try {
      await keep();
    } catch (error) {
      if ((error as Partial<Fault>).code === "spool.full") this.#options.onFull?.();
      throw error;
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

  /** What was made of a message that itself is not kept. */
  async #takeMade(session: InboundSession, message: Message): Promise<readonly Body[]> {
    const made = message.takeSubmissions();
    if (made.length === 0) return noBodies;
    const { spool, clock } = this.#options;
    const messages = made.map((one) => one.message);
    await this.#take(session, () => spool.accept(messages, clock.now()));
    this.#submitted(message, made);
    return bodiesOf(made);
  }

  #submitted({ id }: Message, made: readonly Submission[]): void {
    const { log, enqueue } = this.#options;
    for (const { message, taken } of made) {
      this.#inCustody(message, () => taken?.());
      log.info("message.submitted", { message: message.id, of: id, recipients: message.envelope.recipients.length });
      this.#inCustody(message, () => enqueue(message));
    }
  }

  async #discard(session: InboundSession, message: Message, reason: string, by?: string): Promise<Settled> {
    const bodies = await this.#takeMade(session, message);
    session.messagesAccepted++;
    this.record.finished(session, message, "discarded", { reason, by });
    return { result: "discarded", answer: queued(message.id), bodies };
  }
}

function bodiesOf(made: readonly Submission[]): readonly Body[] {
  return made.map(({ message }) => message.body);
}

function isForeign({ source, target }: Binding): boolean {
  return source !== "server" && target.kind === "native";
}
