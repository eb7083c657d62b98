/** Answers for single recipients at the end of data, where the client hears one for each: LMTP (RFC 2033 §4.2), PRDR (draft-hall-prdr). */
import type { EndOfDataSubject } from "../events/subject.ts";
import { Revocable } from "../events/undo.ts";
import { describeVerdict, readVerdict, type Verdict } from "../events/verdict.ts";
import { formatMailbox, type Mailbox, sameMailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import { Fault } from "../platform/fault.ts";
import { type Answer, no, objection } from "./answer.ts";
import { type InboundSession, keyOf, standsFor, type TakenRcpt } from "./session.ts";

/** What the client hears at the end of data. */
export interface EndOfData {
  /** The one reply, or the last where there is one for each recipient before it. */
  readonly answer: Answer;
  /** For each RCPT that was taken, in order; null where the client hears one reply for all. */
  readonly each: readonly Answer[] | null;
}

export class EndOfDataDecision extends Revocable implements EndOfDataSubject {
  readonly session: InboundSession;
  readonly message: Message;
  readonly perRecipient: boolean;
  readonly #rcpts: readonly TakenRcpt[];
  /** Objections, by mailbox. */
  answers: ReadonlyMap<string, Answer> | null = null;
  #over = false;

  constructor(session: InboundSession, message: Message, rcpts: readonly TakenRcpt[], perRecipient: boolean) {
    super();
    this.session = session;
    this.message = message;
    this.perRecipient = perRecipient;
    this.#rcpts = rcpts;
  }

  readonly answerRecipient = (mailbox: Mailbox, given: Verdict): void => {
    const verdict = readVerdict(given);
    const answer = objection(verdict);
    if (answer === null || verdict.kind === "drop") {
      throw new Fault(
        "verdict.not-allowed",
        `Cannot answer one recipient with ${describeVerdict(verdict)}: expected refuse or defer`,
      );
    }
    const named = this.#rcpts.filter((rcpt) => standsFor(rcpt, mailbox));
    const isAlone = named.length > 0 && named.every(({ mailboxes }) => mailboxes.length === 1);
    // Where its mail was sent elsewhere, it would arrive there though the client heard that it does not.
    const isThere =
      this.answers?.has(keyOf(mailbox)) ||
      this.message.envelope.recipients.some((recipient) => sameMailbox(recipient.mailbox, mailbox));
    if (this.#over || !this.perRecipient || !isAlone || !isThere) {
      const why = this.#over
        ? "the client has heard its reply"
        : !this.perRecipient
          ? "the client hears one reply for all"
          : isAlone
            ? "it is no recipient of the message any more"
            : "no RCPT stands for it alone";
      throw new Fault("recipient.not-alone", `Cannot answer for ${formatMailbox(mailbox)}: ${why}`);
    }
    this.answers = new Map([...(this.answers ?? []), [keyOf(mailbox), answer]]);
    this.note(`answer ${formatMailbox(mailbox)}: ${describeVerdict(verdict)}`);
    this.takeOff();
  };

  /** Those who were answered are no recipients any more, whatever a sink behind that made of the envelope. */
  takeOff(): void {
    const answers = this.answers;
    if (answers === null) return;
    const { envelope } = this.message;
    const recipients = envelope.recipients.filter(({ mailbox }) => !answers.has(keyOf(mailbox)));
    this.message.envelope = { ...envelope, recipients };
  }

  /** Whether every recipient was answered: nothing is left to decide. */
  get allAnswered(): boolean {
    return this.answers !== null && this.#rcpts.every((rcpt) => this.#answerTo(rcpt) !== undefined);
  }

  /** The replies, where `rest` is for those who got none of their own. */
  finish(rest: Answer): EndOfData {
    this.#over = true;
    return finishEach(this.#rcpts, this.perRecipient, rest, (rcpt) => this.#answerTo(rcpt));
  }

  #answerTo({ mailboxes }: TakenRcpt): Answer | undefined {
    const [mailbox, ...others] = mailboxes;
    return others.length === 0 ? this.answers?.get(keyOf(mailbox!)) : undefined;
  }
}

/** The same reply for all, as often as the client expects it. */
export function answerAll(rcpts: readonly TakenRcpt[], perRecipient: boolean, answer: Answer): EndOfData {
  return perRecipient ? finishEach(rcpts, true, answer, () => undefined) : { answer, each: null };
}

function finishEach(
  rcpts: readonly TakenRcpt[],
  perRecipient: boolean,
  rest: Answer,
  answerTo: (rcpt: TakenRcpt) => Answer | undefined,
): EndOfData {
  if (!perRecipient) return { answer: rest, each: null };
  const each = rcpts.map((rcpt) => answerTo(rcpt) ?? rest);
  // All of it is taken where one recipient is; else a client may try again where any could be served then.
  const answer =
    each.find(({ code }) => code < 400) ??
    (each.some(({ code }) => code < 500)
      ? no(451, "4.0.0", "No recipient was accepted", rest.close)
      : no(550, "5.0.0", "No recipient was accepted", rest.close));
  return { answer, each };
}
