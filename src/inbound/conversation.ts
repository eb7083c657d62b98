/**
 * A client's conversation: the steps of its session (src/smtp), each done by the reception and answered in the session's terms. No sockets
 * here, and no time: whoever has both calls `giveUp` where a decision takes too long.
 */
import type { DisconnectSubject } from "../events/subject.ts";
import type { ServerSession } from "../smtp/server-session.ts";
import type { ServerStep } from "../smtp/server-step.ts";
import { type Answer, no, temporary } from "./answer.ts";
import { type Eventual, whenHere } from "./eventual.ts";
import type { Capture, LineOutcome } from "./line-dialogue.ts";
import type { MailDataReceiver } from "./mail-data.ts";
import type { Reception } from "./reception.ts";
import type { EndOfData } from "./recipient-answers.ts";
import type { InboundSession } from "./session.ts";

/** The greeting, or one in the middle of a session, is not decided in time. */
const tooLate = no(421, temporary.status!, temporary.text, true);

export interface ConversationParts {
  readonly smtp: ServerSession;
  readonly session: InboundSession;
  readonly reception: Reception;
  /** Tells whoever follows what is no line. */
  readonly note: (text: () => string) => void;
}

export class Conversation {
  /** How it ended, as far as the client and the verdicts go. */
  reason: DisconnectSubject["reason"] = "closed";
  readonly #smtp: ServerSession;
  readonly #session: InboundSession;
  readonly #reception: Reception;
  readonly #note: ConversationParts["note"];
  #receiver: MailDataReceiver | null = null;
  /** The step that is being decided; null: the greeting is. */
  #step: ServerStep | null = null;
  /** Replies the client is owed at the end of data, where it is owed one for each recipient. */
  #repliesOwed = 0;
  /** Whose the next line is. */
  #capturing: Capture | null = null;
  /** The replies to the end of data are the last words. */
  #isCutOff = false;

  constructor({ smtp, session, reception, note }: ConversationParts) {
    this.#smtp = smtp;
    this.#session = session;
    this.#reception = reception;
    this.#note = note;
  }

  /** Whether a message is under way. */
  get inMessage(): boolean {
    return this.#receiver !== null;
  }

  /** Whether nothing follows what was said so far. */
  get isOver(): boolean {
    return this.#isCutOff || this.#smtp.state === "closed";
  }

  /** The next step to do; null where there is none by now. */
  next(): ServerStep | null {
    if (!this.#isCutOff) return this.#smtp.next();
    // What is still to be said may be looked at; what the client pipelined is not heard.
    const step = this.#reception.watchesReplies ? this.#smtp.next() : null;
    return step?.kind === "reply" && step.verb === "_EOD" ? step : null;
  }

  /** The first reply, or why there is none. RFC 5321 §3.1. */
  greet(): Eventual<void> {
    return this.#when(this.#reception.connect(this.#session), (answer) => this.#welcome(answer));
  }

  /** Does one step. What is asked of sinks that do not answer at once comes later; then a promise is given. */
  perform(step: ServerStep): Eventual<void> {
    const smtp = this.#smtp;
    const session = this.#session;
    const reception = this.#reception;
    this.#step = step;
    switch (step.kind) {
      case "command":
        return this.#when(reception.command(session, step), (outcome) => this.#answerLine(outcome));
      case "captured": {
        const captured = this.#capturing;
        this.#capturing = null;
        if (captured === null) return smtp.consume(temporary);
        const taken = reception.captured(session, { ...captured, line: step.line });
        return this.#when(taken, (outcome) => this.#answerLine(outcome));
      }
      case "reply":
        return this.#when(reception.reply(session, step.verb, step.reply), (reply) => {
          if (step.reply.code === 354 && reply.code !== 354) this.#dropReceiver();
          smtp.say(reply);
        });
      case "helo":
        return this.#when(reception.helo(session, step), (given) =>
          "code" in given ? this.#answer(given) : smtp.welcome(given),
        );
      case "mail":
        return this.#when(reception.mailFrom(session, step), (answer) => this.#answer(answer));
      case "rcpt":
        return this.#when(reception.rcptTo(session, step), (answer) => this.#answer(answer));
      case "data":
        return this.#when(reception.data(session), (answer) => {
          if (answer.code === 354) this.#receiver = reception.receiveData(session);
          this.#answer(answer);
        });
      case "octets":
        return this.#take(step.octets);
      case "end-of-data":
        return this.#endData(step.perRecipient);
      case "auth":
        return this.#when(reception.auth(session, step), (answer) => this.#answer(answer));
      case "scram":
        return this.#when(reception.scram(session, step), (given) =>
          given !== null && "code" in given ? this.#answer(given) : smtp.challenge(given),
        );
      case "proved":
        return this.#answer(reception.proved(session));
      case "xclient":
        this.#dropReceiver();
        return this.#when(reception.xclient(session, step.attributes), (answer) => this.#welcomeAgain(answer));
      case "xforward":
        return this.#answer(reception.xforward(session, step.attributes));
      case "reset":
        this.#dropReceiver();
        reception.reset(session, step.by);
        return smtp.goOn();
      case "starttls":
        // Whoever has the socket does that.
        return;
      case "close":
        if (step.reason === "quit") this.reason = "quit";
    }
  }

  /** Whether it is the sinks' answer that is waited for: a disk is given its time, and custody is never given up. */
  get isDeciding(): boolean {
    if (this.#session.taking) return false;
    return this.#step?.kind !== "octets" || (this.#receiver?.asking ?? false);
  }

  /** Answers the step in hand without whoever is late; what is decided after all changes nothing. Only where `isDeciding`. */
  giveUp(): void {
    this.#session.turn++;
    const step = this.#step;
    const smtp = this.#smtp;
    switch (step?.kind) {
      case undefined:
        this.#welcome(tooLate);
        break;
      case "xclient":
        this.#welcomeAgain(tooLate);
        break;
      case "command":
      case "captured":
        smtp.consume(temporary);
        break;
      case "reply":
        smtp.say(step.reply);
        break;
      case "octets":
        this.#receiver?.refuse(temporary);
        smtp.goOn();
        break;
      case "end-of-data": {
        const each = Array.from({ length: this.#repliesOwed }, () => temporary);
        this.#answerEnd({ answer: temporary, each: step.perRecipient ? each : null });
        break;
      }
      default:
        if (step?.kind === "helo") this.#session.unsayHelo();
        this.#answer(temporary);
    }
  }

  /** The message under way comes to nothing. */
  dropMessage(): void {
    this.#dropReceiver();
    this.#session.transaction = null;
  }

  #welcome(answer: Answer): void {
    const { code, close, text } = answer;
    if (close) this.#session.dropped = true;
    if (code === 220) this.#smtp.greet(text === "" ? undefined : text);
    // Refused at the greeting a client hears 554, or 421. RFC 5321 §3.1, §3.8.
    else this.#smtp.refuseGreeting(code >= 500 && !close ? { ...answer, code: 554 } : answer);
  }

  /** As `#welcome`, in the middle of a session. */
  #welcomeAgain(answer: Answer): void {
    if (answer.code !== 220) this.#answer({ ...answer, close: true });
    else this.#smtp.answer({ ...answer, text: this.#reception.greetingText(answer.text) });
  }

  #answer(answer: Answer): void {
    if (answer.close) this.#session.dropped = true;
    this.#smtp.answer(answer, answer.close);
  }

  #answerLine(outcome: LineOutcome): void {
    if (outcome === null) this.#smtp.goOn();
    else if (outcome.capture !== null) {
      this.#capturing = outcome.capture;
      this.#smtp.capture(outcome.answer);
    } else this.#sayInstead(outcome.answer, outcome.user);
  }

  /** What a sink answers in the place of the server. */
  #sayInstead(answer: Answer, user: string | null): void {
    if (answer.close) this.#session.dropped = true;
    this.#smtp.consume(answer, answer.close);
    if (user === null || answer.code !== 235) return;
    this.#session.user = user;
    this.#smtp.loggedIn();
  }

  #take(octets: Buffer): Eventual<void> {
    return this.#when(this.#receiver?.write(octets), () => {
      const refusal = this.#receiver?.refusal;
      if (!refusal?.close) return this.#smtp.goOn();
      // Dropped at its header: the rest is not waited for.
      this.#session.dropped = true;
      this.#smtp.end(refusal);
    });
  }

  #endData(perRecipient: boolean): Eventual<void> {
    const receiver = this.#receiver!;
    this.#receiver = null;
    const { transaction } = this.#session;
    this.#repliesOwed = transaction?.rcpts.length ?? 0;
    this.#note(() => `${receiver.sizeOctets.toLocaleString("en")} octets of mail data`);
    const protocol = this.#smtp.protocol(transaction?.options.smtpUtf8 === true);
    return this.#when(this.#reception.endOfData(this.#session, receiver, { protocol, perRecipient }), (end) =>
      this.#answerEnd(end),
    );
  }

  #answerEnd({ answer, each }: EndOfData): void {
    if (each === null) this.#answer(answer);
    else {
      this.#smtp.answerEach(each, this.#session.role === "lmtp" ? null : answer);
      this.#isCutOff = answer.close;
      if (answer.close) this.#session.dropped = true;
    }
  }

  #dropReceiver(): void {
    void this.#receiver?.abort();
    this.#receiver = null;
  }

  /** Goes on once it is decided, unless that was given up meanwhile. */
  #when<T>(decided: Eventual<T>, goOn: (decided: T) => Eventual<void>): Eventual<void> {
    if (!(decided instanceof Promise)) return goOn(decided);
    const { turn } = this.#session;
    return whenHere(decided, (value) => (this.#session.turn === turn ? goOn(value) : undefined));
  }
}
