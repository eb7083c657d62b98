/**
 * Reception: what we do at each step of a client's session, whichever engine parsed it. Asks the events, keeps the transaction, and says the
 * reply; what becomes of a message at the end of its data is arrival.ts. It knows no sockets. What is decided at once is answered at once.
 */
import type { EventName } from "../events/event.ts";
import type { CommandSubject, DisconnectSubject, HeloSubject, Parameters, ResetSubject } from "../events/subject.ts";
import type { Tracer } from "../events/trace.ts";
import type { Verdict } from "../events/verdict.ts";
import type { MailOptions, RecipientOptions } from "../mail/envelope.ts";
import { createId } from "../mail/ids.ts";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";
import { formatReversePath, parseForwardPath, parseReversePath, type ReversePath } from "../mail/path.ts";
import type { Reply } from "../mail/status.ts";
import type { ScramCredentials } from "../smtp/scram.ts";
import {
  type Answer,
  goAhead,
  needsUtf8,
  no,
  noUtf8,
  objection,
  ok,
  syntaxAnswer,
  temporary,
  welcome,
} from "./answer.ts";
import { Arrival, type ArrivalOptions, type EndOfDataFacts } from "./arrival.ts";
import { ClientCount } from "./client-count.ts";
import { type Eventual, whenHere } from "./eventual.ts";
import { askCommand, type Capture, handLine, type LineOutcome } from "./line-dialogue.ts";
import type { ListenerOptions } from "./listener.ts";
import { type AskHeaders, headerOctetsMax, MailDataReceiver } from "./mail-data.ts";
import { SizePolicy } from "./oversize.ts";
import type { EndOfData } from "./recipient-answers.ts";
import { type InboundSession, InboundTransaction } from "./session.ts";
import {
  AuthDecision,
  ConnectDecision,
  HeadersDecision,
  HeloDecision,
  MailFromDecision,
  RcptToDecision,
  ReplyDecision,
} from "./subjects.ts";

export type { ArrivalResult } from "./arrival-record.ts";

export interface ReceptionOptions extends ArrivalOptions {
  readonly tracer: Tracer;
  /** Where `<Postmaster>` without a domain goes. RFC 5321 §4.5.1. */
  readonly postmasterDomain: string;
  /** Whether the server's own work is so late that new clients are better sent away. */
  readonly overloaded: () => boolean;
  readonly countSession?: () => void;
}

/** A command of MAIL or RCPT, taken apart; `path` is its argument without parameters. */
interface PathCommand<Options> {
  readonly path: string;
  readonly parameters: Parameters;
  readonly options: Options;
}

/** What MAIL says, and how large its message may be where a sink allowed more. */
interface MailFacts {
  readonly reversePath: ReversePath;
  readonly parameters: Parameters;
  readonly options: MailOptions;
  readonly sizeOctetsMax: number | null;
}

export class Reception {
  readonly #options: ReceptionOptions;
  readonly #listener: ListenerOptions;
  readonly #arrival: Arrival;
  readonly #sizes: SizePolicy;
  readonly #clients = new ClientCount();

  constructor(listener: ListenerOptions, options: ReceptionOptions) {
    this.#listener = listener;
    this.#options = options;
    this.#arrival = new Arrival(listener, options);
    const { dispatcher, room } = options;
    this.#sizes = new SizePolicy({ dispatcher, room, sizeOctetsMax: listener.limits.sizeOctetsMax });
  }

  get tracer(): Tracer {
    return this.#options.tracer;
  }

  get overloaded(): boolean {
    return this.#options.overloaded();
  }

  /** Whether anybody checks credentials; without one AUTH is not offered. Our own users are those of submission. */
  get authenticates(): boolean {
    const bound = this.#options.dispatcher.bindingsOf("onAuth");
    return bound.some(({ source }) => source !== "server" || this.#listener.role === "submission");
  }

  get watchesCommands(): boolean {
    return this.#isBound("onCommand");
  }

  get watchesReplies(): boolean {
    return this.#isBound("onReply");
  }

  /** A client is here: 220 lets it in, with the words of the greeting or "" for the usual ones. `disconnect` ends what this begins. */
  connect(session: InboundSession): Eventual<Answer> {
    this.#options.countSession?.();
    return this.#admit(session);
  }

  /** The words of the greeting behind its code, where a session begins anew. RFC 5321 §4.2. */
  greetingText(banner: string): string {
    const { hostname, role } = this.#listener;
    return `${hostname} ${banner || `${role === "lmtp" ? "LMTP" : "ESMTP"} OnArrival`}`;
  }

  secured(session: InboundSession): void {
    if (this.#isBound("onTls")) this.#options.dispatcher.tell("onTls", { session });
  }

  /** The keywords for the reply to EHLO, or a refusal. */
  helo(
    session: InboundSession,
    command: Pick<HeloSubject, "verb" | "name" | "keywords">,
  ): Eventual<readonly string[] | Answer> {
    session.sayHelo(command.name);
    if (!this.#isBound("onHelo")) return command.keywords;
    const decision = new HeloDecision(session, command);
    return this.#whenDecided(session, this.#options.dispatcher.ask("onHelo", decision), (verdict) => {
      const refusal = this.#objection(session, "onHelo", verdict);
      if (refusal === null) return decision.keywords;
      session.unsayHelo();
      return refusal;
    });
  }

  auth(
    session: InboundSession,
    exchange: { readonly mechanism: string; readonly user: string; readonly secret: string },
  ): Eventual<Answer> {
    const decision = new AuthDecision(session, exchange);
    return this.#whenDecided(session, this.#options.dispatcher.ask("onAuth", decision), (verdict) => {
      const refusal = this.#objection(session, "onAuth", verdict, () => ({ user: exchange.user }));
      if (refusal) return refusal;
      if (decision.acceptedAs === null) {
        const unknown = no(535, "5.7.8", "Authentication credentials invalid");
        this.#refused(session, "onAuth", unknown, { user: exchange.user });
        return unknown;
      }
      return this.#logIn(session, decision.acceptedAs);
    });
  }

  /** SCRAM has told its user: what the proof is checked against, null for a user nobody knows, or a refusal. Then `proved`. RFC 5802. */
  scram(
    session: InboundSession,
    exchange: { readonly mechanism: string; readonly user: string },
  ): Eventual<ScramCredentials | Answer | null> {
    const decision = new AuthDecision(session, { ...exchange, secret: null });
    return this.#whenDecided(session, this.#options.dispatcher.ask("onAuth", decision), (verdict) => {
      session.provedAs = decision.provedAs;
      return this.#objection(session, "onAuth", verdict, () => ({ user: exchange.user })) ?? decision.credentials;
    });
  }

  proved(session: InboundSession): Answer {
    return this.#logIn(session, session.provedAs);
  }

  mailFrom(session: InboundSession, { path, parameters, options }: PathCommand<MailOptions>): Eventual<Answer> {
    // RFC 6409 §4.3.
    if (session.role === "submission" && session.user === null) return no(530, "5.7.0", "Authentication required");
    let reversePath: ReversePath;
    try {
      reversePath = parseReversePath(path);
    } catch (error) {
      return syntaxAnswer(error, "5.1.7", "The reverse-path is not an address");
    }
    if (needsUtf8(reversePath) && options.smtpUtf8 !== true) return noUtf8;
    return this.#whenDecided(session, this.#sizes.atMail(session, options.sizeOctets), (given) => {
      if (given === null || typeof given === "number")
        return this.#askMailFrom(session, { reversePath, parameters, options, sizeOctetsMax: given });
      const { sizeOctets } = options;
      this.#refused(session, "onMailFrom", given, { from: formatReversePath(reversePath), sizeOctets });
      return given;
    });
  }

  #askMailFrom(session: InboundSession, facts: MailFacts): Eventual<Answer> {
    if (!this.#isBound("onMailFrom")) return this.#begin(session, facts);
    const decision = new MailFromDecision(session, facts);
    return this.#whenDecided(
      session,
      this.#options.dispatcher.ask("onMailFrom", decision),
      (verdict) =>
        this.#objection(session, "onMailFrom", verdict, () => ({ from: formatReversePath(facts.reversePath) })) ??
        this.#begin(session, { ...facts, reversePath: decision.reversePath }),
    );
  }

  rcptTo(session: InboundSession, { path, parameters, options }: PathCommand<RecipientOptions>): Eventual<Answer> {
    const { transaction } = session;
    if (!transaction) return no(503, "5.5.1", "MAIL first");
    let forwardPath: Mailbox;
    try {
      // The one address without a domain. RFC 5321 §4.5.1.
      const isPostmaster = /^<?postmaster>?$/i.test(path);
      forwardPath = isPostmaster
        ? { localPart: "postmaster", domain: this.#options.postmasterDomain }
        : parseForwardPath(path);
    } catch (error) {
      return syntaxAnswer(error, "5.1.3", "The forward-path is not an address");
    }
    if (needsUtf8(forwardPath) && transaction.options.smtpUtf8 !== true) return noUtf8;
    // RCPTs count too: the same recipient may be named again and again.
    const { recipients, rcpts } = transaction;
    if (Math.max(recipients.length, rcpts.length) >= this.#listener.limits.recipientsMax)
      return no(452, "4.5.3", "Too many recipients");
    const decision = new RcptToDecision(session, { transaction, forwardPath, parameters, options });
    return this.#whenDecided(session, this.#options.dispatcher.ask("onRcptTo", decision), (verdict) => {
      const refusal = this.#objection(session, "onRcptTo", verdict, () => ({
        from: formatReversePath(transaction.reversePath),
        to: formatMailbox(forwardPath),
      }));
      if (refusal) return refusal;
      transaction.add({ mailboxes: decision.forwardPaths, options: decision.recipientOptions });
      return ok("Recipient accepted", "2.1.5");
    });
  }

  /** DATA, or the first BDAT: 354 and the data may come, or a refusal. */
  data(session: InboundSession): Eventual<Answer> {
    const { transaction } = session;
    if (!this.#isBound("onData") || !transaction) return goAhead;
    const verdict = this.#options.dispatcher.ask("onData", { session, transaction });
    return this.#whenDecided(session, verdict, (given) => this.#objection(session, "onData", given) ?? goAhead);
  }

  /** A receiver for the mail data of the transaction in hand; then `endOfData`. */
  receiveData(session: InboundSession): MailDataReceiver {
    const { transaction } = session;
    const limits = {
      sizeOctetsMax: transaction?.sizeOctetsMax ?? this.#listener.limits.sizeOctetsMax,
      headerOctetsMax,
      lineEnds: this.#listener.lineEnds,
      binary: transaction?.options.body === "BINARYMIME",
    };
    return new MailDataReceiver(this.#options.spool.createBody(), limits, {
      askHeaders: transaction && this.#isBound("onHeaders") ? this.#askHeaders(session, transaction) : null,
      askOversize: transaction && this.#sizes.dataAsk(session, transaction),
    });
  }

  /** Takes custody, or says why not: see arrival.ts. */
  async endOfData(session: InboundSession, receiver: MailDataReceiver, facts: EndOfDataFacts): Promise<EndOfData> {
    const { transaction } = session;
    session.transaction = null;
    if (transaction) return await this.#arrival.endOfData(session, transaction, receiver, facts);
    await receiver.abort();
    return { answer: no(503, "5.5.1", "MAIL first"), each: null };
  }

  /** The transaction in hand is over without a message. */
  reset(session: InboundSession, by: ResetSubject["by"]): void {
    const { transaction } = session;
    session.transaction = null;
    if (transaction && this.#isBound("onReset")) this.#options.dispatcher.tell("onReset", { session, transaction, by });
  }

  /** What sinks make of a line, before anything is done for it; null where they let it pass. */
  command(session: InboundSession, command: Pick<CommandSubject, "verb" | "argument" | "line">): Eventual<LineOutcome> {
    return whenHere(askCommand(this.#options.dispatcher, session, command), (outcome) => {
      if (outcome?.answer.by !== undefined) this.#refused(session, "onCommand", outcome.answer, { verb: command.verb });
      return outcome;
    });
  }

  /** What the sink that asked for a line makes of it. */
  captured(session: InboundSession, line: Capture & { readonly line: string }): Eventual<LineOutcome> {
    return handLine(this.#options.dispatcher, session, line);
  }

  /** The reply as it is to be said. What it takes back is taken back here. */
  reply(session: InboundSession, verb: string, reply: Reply): Eventual<Reply> {
    const decision = new ReplyDecision(session, verb, reply);
    const { turn } = session;
    return whenHere(this.#options.dispatcher.ask("onReply", decision), () => {
      // Given up meanwhile, it was said as it was: nothing is taken back.
      if (session.turn !== turn) return reply;
      const said = decision.reply;
      if (reply.code < 400 && said.code >= 400) this.#takeBack(session, verb, reply.code);
      return said;
    });
  }

  /** Another client speaks from here on: 220 begins the session anew. https://www.postfix.org/XCLIENT_README.html */
  xclient(session: InboundSession, attributes: ReadonlyMap<string, string | null>): Eventual<Answer> {
    this.#clients.leave(session.ip);
    session.become(attributes);
    // Whoever is let in by address is asked about the address that counts.
    return this.#admit(session);
  }

  /** https://www.postfix.org/XFORWARD_README.html */
  xforward(session: InboundSession, attributes: ReadonlyMap<string, string | null>): Answer {
    session.forward(attributes);
    return ok("Noted", "2.0.0");
  }

  disconnect(session: InboundSession, reason: DisconnectSubject["reason"]): void {
    this.#clients.leave(session.ip);
    const { messagesAccepted } = session;
    const durationMs = this.#options.clock.now() - session.startedAt;
    if (this.#isBound("onDisconnect")) {
      this.#options.dispatcher.tell("onDisconnect", {
        session,
        reason: session.dropped ? "dropped" : reason,
        messagesAccepted,
        durationMs,
      });
    }
    this.#options.log.info("session.closed", {
      ...session.logFields,
      helo: session.helo,
      messagesAccepted,
      durationMs,
    });
  }

  #isBound(event: EventName): boolean {
    return this.#options.dispatcher.bindingsOf(event).length > 0;
  }

  /** Counts the client in, and asks whether it may. */
  #admit(session: InboundSession): Eventual<Answer> {
    if (this.#clients.enter(session.ip) > this.#listener.limits.connectionsPerClientMax) {
      return no(421, "4.7.0", "Too many connections from your address", true);
    }
    if (!this.#isBound("onConnect")) return welcome();
    const decision = new ConnectDecision(session);
    return this.#whenDecided(
      session,
      this.#options.dispatcher.ask("onConnect", decision),
      (verdict) => this.#objection(session, "onConnect", verdict) ?? welcome(decision.banner),
    );
  }

  /** The reply a verdict stands for, and a line in the log; null where there is no objection. */
  #objection(session: InboundSession, trigger: EventName, verdict: Verdict, facts?: () => object): Answer | null {
    const answer = objection(verdict);
    if (answer) this.#refused(session, trigger, answer, facts?.());
    return answer;
  }

  #refused(session: InboundSession, trigger: EventName, answer: Answer, facts: object = {}): void {
    const { code, status, text: reason, by } = answer;
    this.#options.log.info("command.refused", { ...session.logFields, trigger, ...facts, code, status, reason, by });
  }

  #logIn(session: InboundSession, user: string): Answer {
    session.user = user;
    return { code: 235, status: "2.7.0", text: "Authentication successful", close: false };
  }

  #begin(session: InboundSession, facts: MailFacts): Answer {
    session.transaction = new InboundTransaction({ id: createId(this.#options.clock.now()), ...facts });
    return ok("Sender accepted", "2.1.0");
  }

  #askHeaders(session: InboundSession, transaction: InboundTransaction): AskHeaders {
    return (header) => {
      const decision = new HeadersDecision({ session, transaction, header });
      const verdict = this.#options.dispatcher.ask("onHeaders", decision);
      return whenHere(verdict, (given) => objection(given) ?? (decision.bodyIsWanted ? "keep" : "drop-body"));
    };
  }

  /** A command that was carried out is answered with a refusal after all: it has not been. */
  #takeBack(session: InboundSession, verb: string, code: number): void {
    if (code === 235) session.user = null;
    else if (verb === "MAIL") this.reset(session, "reply");
    else if (verb === "RCPT") session.transaction?.takeBackLast();
    else if (verb === "HELO" || verb === "EHLO" || verb === "LHLO") session.unsayHelo();
  }

  /** Goes on with what was decided, unless that was given up meanwhile: then it comes too late and changes nothing. */
  #whenDecided<Decided, Result>(
    session: InboundSession,
    decided: Eventual<Decided>,
    goOn: (decided: Decided) => Eventual<Result>,
  ): Eventual<Result | Answer> {
    if (!(decided instanceof Promise)) return goOn(decided);
    const { turn } = session;
    return decided.then((value) => (session.turn === turn ? goOn(value) : temporary));
  }
}
