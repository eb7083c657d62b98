/**
 * The server's side of a session, without sockets: octets in, steps and replies out. It knows the order of commands and the shape of
 * replies; it decides nothing. A step is handed out by `next`, one at a time, and has to be answered before there is another, so replies leave
 * in the order of the commands, also where a client pipelines them (RFC 2920 §3.2). What a command changes is changed when its reply is said.
 */
import type { Reply } from "../mail/status.ts";
import {
  argumentOf,
  authOctetsMax,
  commandOctetsMax,
  decodeLine,
  hasControls,
  maskSecret,
  parseCommandLine,
  verbOf,
} from "./command.ts";
import { findOutcome } from "./command-outcome.ts";
import { IncomingBody } from "./incoming-body.ts";
import { OctetQueue } from "./octet-queue.ts";
import { ownReplies } from "./own-replies.ts";
import { ReplyBuffer } from "./reply-buffer.ts";
import { applyEffect, type Effect, effectOfAnswer, type OwedReply } from "./reply-effect.ts";
import { SaslExchange } from "./sasl.ts";
import { createScramNonce, type ScramCredentials } from "./scram.ts";
import { countUp, createSessionState, forgetDialogue, forgetTransaction, protocolName } from "./server-order.ts";
import type { ServerSettings } from "./server-settings.ts";
import type { ServerStep } from "./server-step.ts";

/** Where the octets go. `captured`: the next line is a sink's. */
type Mode = "command" | "captured" | "sasl" | "body" | "closed";

export class ServerSession {
  /** Told each line taken from the client, what is or may be secret in it masked; set only while somebody follows. */
  onLine: ((line: string) => void) | null = null;
  readonly #settings: ServerSettings;
  readonly #createNonce: () => string;
  readonly #octets = new OctetQueue();
  readonly #replies = new ReplyBuffer();
  readonly #body = new IncomingBody();
  readonly #state = createSessionState();
  /** What comes before more octets are read: steps to hand out, replies to say. */
  readonly #agenda: (ServerStep | OwedReply)[] = [];
  #mode: Mode = "command";
  /** The step that waits for its answer; where it is a reply, what saying it changes. */
  #step: ServerStep | null = null;
  #effect: Effect = "none";
  /** Of the command in hand; `_EOD` at the end of data. */
  #verb = "";
  #sasl: SaslExchange | null = null;

  /** `createNonce` is for tests with known answers. */
  constructor(settings: ServerSettings, createNonce: () => string = createScramNonce) {
    this.#settings = settings;
    this.#createNonce = createNonce;
  }

  /** What octets are expected. */
  get state(): "command" | "data" | "chunk" | "sasl" | "closed" {
    if (this.#mode === "body") return this.#body.isChunk ? "chunk" : "data";
    return this.#mode === "captured" ? "sasl" : this.#mode;
  }

  get authenticated(): boolean {
    return this.#state.authenticated;
  }

  /** What the session speaks, for trace fields. */
  protocol(utf8: boolean): string {
    return protocolName(this.#settings.protocol, this.#state, utf8);
  }

  /** Octets from the client. */
  receive(chunk: Buffer): void {
    if (this.#mode !== "closed") this.#octets.push(chunk);
  }

  /** What is to be written to the client by now; "" where there is nothing. */
  takeOutput(): string {
    return this.#replies.take();
  }

  /** The first reply. RFC 5321 §3.1. */
  greet(banner?: string): void {
    const { hostname, protocol } = this.#settings;
    const words = banner ?? `${protocol === "lmtp" ? "LMTP" : "ESMTP"} OnArrival`;
    this.#owe({ code: 220, status: undefined, text: `${hostname} ${words}` }, "greeting");
  }

  /** A refusal in the place of the greeting; nothing follows it. RFC 5321 §3.1, §3.8. */
  refuseGreeting(reply: Reply): void {
    this.#owe(reply, "close");
  }

  /** Says a reply nobody asked for and ends the session: 421 at shutdown or time-out. RFC 5321 §3.8. */
  end(reply: Reply): void {
    if (this.#mode === "closed") return;
    this.#close();
    this.#replies.say(reply);
  }

  /** The next thing to do; null where octets are missing, or an answer is owed. */
  next(): ServerStep | null {
    while (this.#step === null) {
      const due = this.#agenda.shift();
      if (due === undefined) {
        if (!this.#advance()) return null;
      } else if (due.kind !== "owed") {
        // Nothing is owed for the last step there is.
        if (due.kind !== "close") this.#step = due;
        return due;
      } else if (this.#settings.watchesReplies()) {
        this.#effect = due.effect;
        this.#step = { kind: "reply", verb: due.verb, reply: due.reply };
        return this.#step;
      } else this.#say(due.reply, due.effect);
    }
    return null;
  }

  /** Ends `command`, which is carried out now, `octets` and `reset`. */
  goOn(): void {
    const step = this.#finish();
    if (step?.kind === "command") this.#carryOut(step.line);
  }

  /** The reply to the step in hand. `close`: nothing follows it. */
  answer(reply: Reply, close = false): void {
    const step = this.#finish();
    if (step === null) return;
    if (step.kind === "xclient") this.#state.claimsLogin = step.attributes.get("LOGIN") != null;
    const effect = close ? "close" : effectOfAnswer(step.kind);
    if (step.kind !== "data" || step.by === "DATA" || close) this.#owe(reply, effect);
    else if (reply.code === 354) this.#state.transaction = "bdat";
    else this.#refuseChunk(reply, "none");
  }

  /**
   * Ends `end-of-data` with a reply for each recipient that was accepted, in their order. LMTP: `last` is null (RFC 2033 §4.2).
   * PRDR: 353 goes before them, and `last` is for the message (draft-hall-prdr).
   * @throws {Error} where there are not as many replies as recipients, which would tell the client wrong things of all that follows
   */
  answerEach(replies: readonly Reply[], last: Reply | null): void {
    if (this.#mode !== "closed" && replies.length !== this.#state.recipients) {
      throw new Error(`Cannot answer each recipient: ${replies.length} replies, expected ${this.#state.recipients}`);
    }
    if (this.#finish() === null) return;
    if (last) this.#owe(ownReplies.eachRecipient, "none");
    for (const reply of replies) this.#owe(reply, "message");
    if (last) this.#owe(last, "message");
  }

  /** Ends `helo` with 250; EHLO and LHLO list the keywords. RFC 5321 §4.1.1.1. */
  welcome(keywords: readonly string[]): void {
    const step = this.#finish();
    if (step?.kind !== "helo") return;
    const lines = [this.#settings.hostname, ...(step.verb === "HELO" ? [] : keywords)];
    this.#owe({ code: 250, status: undefined, text: lines.join("\n") }, "helo");
  }

  /** Ends `scram`; without credentials the exchange goes on to the same end as with a wrong password. RFC 5802. */
  challenge(credentials: ScramCredentials | null): void {
    if (this.#finish()?.kind === "scram") this.#enter(this.#sasl!.challenge(credentials));
  }

  /** Ends `command` and `captured`: this is the answer, and nothing is carried out. The octets behind BDAT are thrown away first. */
  consume(reply: Reply, close = false): void {
    this.#answerInstead(reply, close ? "close" : "consumed");
  }

  /** Ends `command` and `captured`: says a reply, and the client's next line comes as `captured`, whatever it is. */
  capture(reply: Reply): void {
    this.#answerInstead(reply, "capture");
  }

  /** Behind `consume` with 235: an exchange of a sink's own let the client in. */
  loggedIn(): void {
    const owed = this.#agenda.at(-1);
    if (owed?.kind === "owed") this.#agenda.splice(-1, 1, { ...owed, effect: "login" });
    else this.#state.authenticated = true;
  }

  /** Ends `reply`: it is written as given, and what it says holds. */
  say(reply: Reply): void {
    if (this.#finish() !== null) this.#say(reply, this.#effect);
  }

  /** TLS is on. After STARTTLS everything from before the handshake is forgotten (RFC 3207 §4.2); before the greeting there is nothing to forget. */
  secured(): void {
    if (this.#finish()?.kind === "starttls") {
      this.#octets.clear();
      forgetDialogue(this.#state);
      this.#state.authenticated = false;
    }
    this.#state.secure = true;
  }

  /** The step in hand is done. */
  #finish(): ServerStep | null {
    const step = this.#step;
    this.#step = null;
    return step;
  }

  /** Says a reply in its turn, by a `reply` step where they are watched. */
  #owe(reply: Reply, effect: Effect): void {
    if (this.#mode === "closed") return;
    if (this.#agenda.length === 0 && !this.#settings.watchesReplies()) this.#say(reply, effect);
    else this.#agenda.push({ kind: "owed", verb: this.#verb, reply, effect });
  }

  #say(reply: Reply, effect: Effect): void {
    this.#replies.say(reply);
    if (effect !== "none") this.#settle(effect, reply.code);
  }

  /** What a reply changes once it is said. */
  #settle(effect: Effect, code: number): void {
    const counted = applyEffect(effect, { code, verb: this.#verb }, this.#state);
    if (counted !== null) this.#count(counted);
    switch (effect) {
      case "greeting":
        if (code >= 400) this.#close();
        break;
      case "helo":
        // Refused, it leaves the transaction as it is. RFC 5321 §4.1.4.
        if (code < 300) this.#reset("HELO");
        break;
      case "data":
        if (code === 354) {
          this.#body.beginData();
          this.#mode = "body";
        } else if (this.#octets.length > 0) this.#settle("pipelining", code);
        break;
      case "challenge":
        if (code === 334) this.#mode = "sasl";
        else this.#count("error");
        break;
      case "capture":
        if (code < 400) this.#mode = "captured";
        break;
      case "starttls":
        if (code < 300) this.#beginTls();
        break;
      case "close":
        this.#close();
        break;
      case "quit":
      case "errors":
      case "pipelining":
        this.#close();
        this.#agenda.push({ kind: "close", reason: effect });
    }
  }

  /** What was sent behind STARTTLS came in the clear and is not heard. RFC 3207 §5, CVE-2011-0411. */
  #beginTls(): void {
    this.#octets.clear();
    this.#reset("STARTTLS");
    this.#agenda.push({ kind: "starttls" });
  }

  /** True where something was done, false where octets are missing. */
  #advance(): boolean {
    if (this.#mode === "closed") return false;
    if (this.#mode === "body") return this.#takeBody();
    const line = this.#octets.takeLine(authOctetsMax);
    if (line === null) return false;
    if (typeof line !== "string") this.#takeTrouble(line.trouble);
    else if (this.#mode === "command") this.#takeCommand(line);
    else this.#takeAnswer(line);
    return true;
  }

  /** A line that is no command: of a SASL exchange (RFC 4954 §4), or one a sink waits for. */
  #takeAnswer(line: string): void {
    const isSasl = this.#mode === "sasl";
    this.#mode = "command";
    // What a sink waits for may be a secret as well.
    this.onLine?.("****");
    if (isSasl) this.#enter(this.#sasl!.take(line));
    else this.#agenda.push({ kind: "captured", line: decodeLine(line) });
  }

  #takeTrouble(trouble: "overlong" | "endless"): void {
    if (this.#mode === "command") this.#verb = "";
    // What is too long ends an exchange too. RFC 4954 §4.
    this.#mode = "command";
    if (trouble === "endless") this.#owe(ownReplies.endless, "errors");
    else this.#owe(ownReplies.overlong, "error");
  }

  #takeCommand(octets: string): void {
    this.#verb = verbOf(octets);
    const line = decodeLine(octets);
    this.onLine?.(maskSecret(line));
    if (octets.length + 2 > commandOctetsMax && this.#verb !== "AUTH") this.#owe(ownReplies.overlong, "error");
    else if (!this.#settings.watchesCommands() || hasControls(line)) this.#carryOut(line);
    else this.#agenda.push({ kind: "command", verb: this.#verb, argument: argumentOf(line, this.#verb), line });
  }

  #carryOut(line: string): void {
    const outcome = findOutcome(line, this.#state, this.#settings);
    if (outcome.kind === "chunk") this.#bdat(outcome);
    else if (outcome.kind === "exchange") {
      this.#sasl = new SaslExchange(outcome.mechanism, this.#createNonce);
      const { initial } = outcome;
      // `=` is an initial answer that is empty. RFC 4954 §4.
      this.#enter(initial === null ? this.#sasl.begin() : this.#sasl.take(initial === "=" ? "" : initial));
    } else if (outcome.kind === "data" && this.#octets.length > 0) {
      // DATA ends a group of pipelined commands (RFC 2920 §3.1): whoever sends mail data unasked may mean it as commands, or the other way about.
      this.#owe(ownReplies.early, "pipelining");
    } else {
      if (outcome.kind === "owed" && outcome.reply === ownReplies.reset) this.#reset("RSET");
      this.#enter(outcome);
    }
  }

  /** Puts onto the agenda what is to be done next. */
  #enter(outcome: ServerStep | OwedReply): void {
    if (outcome.kind === "owed") this.#owe(outcome.reply, outcome.effect);
    else this.#agenda.push(outcome);
  }

  /** RFC 3030 §2. */
  #bdat(chunk: { readonly sizeOctets: number; readonly last: boolean }): void {
    this.#beginChunk(chunk);
    const { transaction } = this.#state;
    if (transaction === "rcpt") this.#agenda.push({ kind: "data", by: "BDAT" });
    else if (transaction === "spoiled") this.#refuseChunk(ownReplies.spoiled, "error");
    else if (transaction !== "bdat") this.#refuseChunk(ownReplies.noTransaction, "error");
  }

  /** The chunk comes whatever we say to it, and must not be read as commands. */
  #beginChunk(chunk: { readonly sizeOctets: number; readonly last: boolean }): void {
    this.#body.beginChunk(chunk);
    this.#mode = "body";
  }

  /** Throws the octets of the chunk away, and says this behind them. */
  #refuseChunk(reply: Reply, effect: Effect): void {
    this.#body.refusal = { reply, effect };
    const { transaction } = this.#state;
    if (transaction === "rcpt" || transaction === "bdat") this.#state.transaction = "spoiled";
  }

  #takeBody(): boolean {
    const part = this.#body.take(this.#octets);
    if (part === "end") this.#endBody(this.#body);
    else if (part !== "more") this.#agenda.push({ kind: "octets", octets: part });
    return part !== "more";
  }

  #endBody({ refusal, isChunk, isLast, chunkOctets }: IncomingBody): void {
    this.#mode = "command";
    const { transaction, recipients, prdr } = this.#state;
    const isLmtp = this.#settings.protocol === "lmtp";
    if (refusal !== null) {
      // LMTP owes a reply for each recipient behind BDAT LAST. RFC 2033 §4.3.
      const owed = isLmtp && isLast && transaction !== "none" ? recipients : 1;
      for (let i = 1; i < owed; i++) this.#owe(refusal.reply, "none");
      this.#owe(refusal.reply, refusal.effect);
    } else if (isChunk && !isLast) {
      this.#owe({ code: 250, status: "2.0.0", text: `${chunkOctets} octets taken` }, "chunk");
    } else {
      this.#state.transaction = "none";
      this.#verb = "_EOD";
      this.#agenda.push({ kind: "end-of-data", perRecipient: isLmtp || prdr });
    }
  }

  #answerInstead(reply: Reply, effect: Effect): void {
    const step = this.#finish();
    if (step === null) return;
    const parsed = step.kind === "command" ? parseCommandLine(step.line) : null;
    const command = parsed !== null && "command" in parsed ? parsed.command : null;
    if (command?.verb === "BDAT" && effect !== "close") {
      this.#beginChunk(command);
      this.#refuseChunk(reply, effect);
    } else this.#owe(reply, command?.verb === "DATA" && this.#octets.length > 0 ? "pipelining" : effect);
  }

  #reset(by: "RSET" | "HELO" | "STARTTLS"): void {
    if (this.#state.transaction === "none") return;
    forgetTransaction(this.#state);
    this.#agenda.push({ kind: "reset", by });
  }

  #count(what: "error" | "idle"): void {
    if (countUp(what, this.#state, this.#settings)) this.#owe(ownReplies.tooMany[what], "errors");
  }

  #close(): void {
    this.#mode = "closed";
    this.#step = null;
    this.#agenda.length = 0;
    this.#octets.clear();
  }
}
