/**
 * The server's side of a session, without sockets: octets in, steps and replies out. It knows the order of commands and the shape of
 * replies; it decides nothing. A step is handed out by `next`, one at a time, and has to be answered before there is another, so replies leave
 * in the order of the commands, also where a client pipelines them (RFC 2920 §3.2).
 */
import type { Reply } from "../mail/status.ts";
import { type Command, type CommandError, commandOctetsMax, parseCommandLine } from "./command.ts";
import { MailDataDecoder } from "./mail-data.ts";
import { OctetQueue } from "./octet-queue.ts";
import { checkMailParameters, checkRcptParameters } from "./parameter.ts";
import { ReplyBuffer } from "./reply-buffer.ts";
import { SaslExchange } from "./sasl.ts";
import { offeredExtensions, type ServerSettings } from "./server-settings.ts";
import type { ServerStep } from "./server-step.ts";

/** Where the octets go. */
type Mode = "commands" | "data" | "chunk" | "sasl" | "closed";

export class ServerSession {
  readonly #settings: ServerSettings;
  readonly #octets = new OctetQueue();
  readonly #replies = new ReplyBuffer();
  #mode: Mode = "commands";
  /** The step that waits for its answer. */
  #pending: ServerStep | null = null;
  /** What an answer to the pending step changes. */
  #settle: ((reply: Reply) => void) | null = null;
  #decoder: MailDataDecoder | null = null;
  #dataEnded = false;
  #chunkRest = 0;
  #chunkLast = false;
  #chunkSize = 0;
  #sasl: SaslExchange | null = null;
  #greeted = false;
  #extended = false;
  #secure = false;
  #authenticated = false;
  #transaction: "none" | "mail" | "rcpt" | "bdat" = "none";
  #errors = 0;

  constructor(settings: ServerSettings) {
    this.#settings = settings;
  }

  /** What the session speaks, for trace fields. RFC 3848; RFC 6531 §4.3 for the UTF8 forms. */
  protocol(utf8: boolean): string {
    if (!this.#extended) return this.#secure ? "SMTPS" : "SMTP";
    return `${utf8 ? "UTF8" : "E"}SMTP${this.#secure ? "S" : ""}${this.#authenticated ? "A" : ""}`;
  }

  /** Octets from the client. */
  receive(chunk: Buffer): void {
    if (this.#mode !== "closed") this.#octets.push(chunk);
  }

  /** The first reply. RFC 5321 §3.1. */
  greet(): void {
    this.#replies.write(220, `${this.#settings.hostname} ESMTP OnArrival`);
  }

  /** Says a reply nobody asked for and ends the session: 421 at shutdown or time-out, or a refusal of the connection. RFC 5321 §3.8. */
  end(reply: Reply): void {
    if (this.#mode === "closed") return;
    this.#replies.say(reply);
    this.#close();
  }

  /** What is to be written to the client by now; "" where there is nothing. */
  takeOutput(): string {
    return this.#replies.take();
  }

  /** The next thing to do; null where octets are missing, or an answer is owed. */
  next(): ServerStep | null {
    while (this.#pending === null) {
      const step = this.#advance();
      if (step === "more") return null;
      if (step !== null) return step;
    }
    return null;
  }

  /** The reply to the step in hand. `close`: nothing follows it. */
  answer(reply: Reply, close = false): void {
    const settle = this.#settle;
    this.#pending = null;
    this.#settle = null;
    if (close || !settle) this.#replies.say(reply);
    if (close) this.#close();
    else settle?.(reply);
  }

  /** The step in hand is done, and owes no answer. */
  goOn(): void {
    this.#pending = null;
    this.#settle = null;
  }

  /** The handshake of STARTTLS is done: everything from before it is forgotten. RFC 3207 §4.2. */
  secured(): void {
    this.#pending = null;
    this.#octets.clear();
    this.#secure = true;
    this.#greeted = false;
    this.#extended = false;
    this.#authenticated = false;
    this.#transaction = "none";
  }

  #advance(): ServerStep | "more" | null {
    switch (this.#mode) {
      case "data":
        return this.#advanceData();
      case "chunk":
        return this.#advanceChunk();
      case "closed":
        return "more";
      default: {
        const line = this.#octets.takeLine(commandOctetsMax);
        if (line === null) return "more";
        if (line === "endless") return this.#sendAway({ code: 421, status: "4.5.0", text: "The line has no end" });
        if (line === "overlong") return this.#fail({ code: 500, status: "5.5.2", text: "The line is too long" });
        return this.#mode === "sasl" ? this.#continueSasl(line.toString("latin1")) : this.#take(line);
      }
    }
  }

  #take(line: Buffer): ServerStep | null {
    const parsed = parseCommandLine(line);
    // A browser that was made to talk to us has nothing to say here.
    if ("error" in parsed && /^(?:GET|HEAD|POST|PUT|CONNECT|OPTIONS)$/.test(parsed.verb)) {
      return this.#sendAway({ code: 421, status: "4.7.0", text: "This is a mail server" });
    }
    if ("error" in parsed) return this.#fail(parsed.error);
    return this.#command(parsed.command);
  }

  #command(command: Command): ServerStep | null {
    // Between the chunks of a message only these make sense. RFC 3030 §2.
    if (this.#transaction === "bdat" && !["BDAT", "RSET", "QUIT", "NOOP", "EHLO", "HELO"].includes(command.verb)) {
      return this.#outOfOrder("BDAT or RSET first");
    }
    switch (command.verb) {
      case "EHLO":
      case "HELO":
        return this.#helo(command.verb, command.name);
      case "MAIL":
        if (!this.#greeted) return this.#outOfOrder("EHLO first");
        if (this.#transaction !== "none") return this.#outOfOrder("There is a transaction already");
        return this.#mail(command);
      case "RCPT":
        if (this.#transaction === "none") return this.#outOfOrder("MAIL first");
        return this.#rcpt(command);
      case "DATA":
        return this.#data();
      case "BDAT":
        return this.#bdat(command);
      case "RSET": {
        this.#replies.write(250, "2.0.0 Reset");
        return this.#reset();
      }
      case "NOOP":
        this.#replies.write(250, "2.0.0 Nothing done");
        return null;
      case "HELP":
        this.#replies.write(214, "2.0.0 See RFC 5321");
        return null;
      case "VRFY":
        // RFC 5321 §7.3: who is here is nobody's business.
        this.#replies.write(252, "2.1.5 Send mail, and it will be tried");
        return null;
      case "EXPN":
        return this.#fail({ code: 502, status: "5.5.1", text: "EXPN is not there" });
      case "STARTTLS":
        return this.#startTls();
      case "AUTH":
        return this.#auth(command.mechanism, command.initial);
      case "QUIT":
        this.#replies.write(221, "2.0.0 Bye");
        this.#close();
        return { kind: "close", reason: "quit" };
    }
  }

  #helo(verb: "EHLO" | "HELO", name: string): ServerStep {
    this.#transaction = "none";
    this.#pending = { kind: "helo", name };
    this.#settle = (reply) => {
      this.#greeted = reply.code === 250;
      this.#extended = verb === "EHLO";
      if (this.#greeted) this.#replies.writeLines(250, this.#abilities());
      else this.#replies.say(reply);
    };
    return this.#pending;
  }

  #abilities(): readonly string[] {
    const { hostname } = this.#settings;
    if (!this.#extended) return [hostname];
    return [
      hostname,
      ...offeredExtensions(this.#settings, { secure: this.#secure, authenticated: this.#authenticated }),
    ];
  }

  #mail(command: Command & { readonly verb: "MAIL" | "RCPT" }): ServerStep | null {
    const error = checkMailParameters(command.parameters, this.#settings.sizeOctetsMax);
    if (error) return this.#fail(error, false);
    return this.#ask({ kind: "mail", path: command.path, parameters: command.parameters }, (reply) => {
      if (reply.code < 300) this.#transaction = "mail";
    });
  }

  #rcpt(command: Command & { readonly verb: "MAIL" | "RCPT" }): ServerStep | null {
    const error = checkRcptParameters(command.parameters);
    if (error) return this.#fail(error, false);
    return this.#ask({ kind: "rcpt", path: command.path, parameters: command.parameters }, (reply) => {
      if (reply.code < 300) this.#transaction = "rcpt";
    });
  }

  #data(): ServerStep | null {
    if (this.#transaction === "none") return this.#outOfOrder("MAIL first");
    if (this.#transaction !== "rcpt") return this.#outOfOrder("RCPT first");
    // DATA ends a group of pipelined commands (RFC 2920 §3.1): whoever sends mail data unasked may mean it as commands, or the other way about.
    if (this.#octets.length > 0) {
      this.#replies.say({ code: 503, status: "5.5.0", text: "Wait for 354 before you send mail data" });
      this.#close();
      return { kind: "close", reason: "pipelining" };
    }
    return this.#ask({ kind: "data" }, (reply) => {
      if (reply.code !== 354) return;
      this.#mode = "data";
      this.#decoder = new MailDataDecoder();
      this.#dataEnded = false;
    });
  }

  #advanceData(): ServerStep | "more" {
    if (this.#dataEnded) {
      this.#mode = "commands";
      this.#decoder = null;
      this.#transaction = "none";
      return this.#ask({ kind: "end-of-data" });
    }
    const chunk = this.#octets.take(Number.MAX_SAFE_INTEGER);
    if (chunk === null) return "more";
    const { pieces, end } = this.#decoder!.decode(chunk);
    if (end !== -1) {
      this.#dataEnded = true;
      this.#octets.unshift(chunk.subarray(end));
    }
    if (pieces.length === 0) return this.#advanceData();
    return this.#ask({ kind: "octets", octets: pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces) });
  }

  /** RFC 3030 §2. */
  #bdat(command: Command & { readonly verb: "BDAT" }): ServerStep | null {
    if (this.#transaction !== "rcpt" && this.#transaction !== "bdat") {
      // The chunk comes whatever we say, and must not be read as commands.
      this.#beginChunk(command);
      return null;
    }
    const first = this.#transaction === "rcpt";
    this.#transaction = "bdat";
    this.#beginChunk(command);
    return first ? this.#ask({ kind: "chunking" }) : null;
  }

  #beginChunk({ sizeOctets, last }: { readonly sizeOctets: number; readonly last: boolean }): void {
    this.#mode = "chunk";
    this.#chunkRest = sizeOctets;
    this.#chunkSize = sizeOctets;
    this.#chunkLast = last;
  }

  #advanceChunk(): ServerStep | "more" | null {
    const inTransaction = this.#transaction === "bdat";
    if (this.#chunkRest > 0) {
      const octets = this.#octets.take(this.#chunkRest);
      if (octets === null) return "more";
      this.#chunkRest -= octets.length;
      return inTransaction ? this.#ask({ kind: "octets", octets }) : null;
    }
    this.#mode = "commands";
    if (!inTransaction) return this.#outOfOrder("MAIL and RCPT first");
    if (!this.#chunkLast) {
      this.#replies.write(250, `2.0.0 ${this.#chunkSize} octets taken`);
      return null;
    }
    this.#transaction = "none";
    return this.#ask({ kind: "end-of-data" });
  }

  #startTls(): ServerStep | null {
    if (!this.#settings.tls) return this.#fail({ code: 502, status: "5.5.1", text: "STARTTLS is not offered" });
    if (this.#secure) return this.#outOfOrder("TLS is there already");
    // What was sent behind STARTTLS came in the clear and is not heard. RFC 3207 §5, CVE-2011-0411.
    this.#octets.clear();
    this.#replies.write(220, "2.0.0 Go ahead");
    this.#transaction = "none";
    this.#pending = { kind: "starttls" };
    return this.#pending;
  }

  #auth(mechanism: string, initial: string | null): ServerStep | null {
    if (!this.#greeted) return this.#outOfOrder("EHLO first");
    if (this.#authenticated) return this.#outOfOrder("You are logged in already");
    if (this.#transaction !== "none") return this.#outOfOrder("Not within a transaction");
    const offered = this.#settings.mechanisms();
    if (offered.length === 0) {
      const error =
        this.#settings.tls && !this.#secure
          ? { code: 538, status: "5.7.11", text: "STARTTLS first" }
          : { code: 502, status: "5.5.1", text: "AUTH is not offered" };
      return this.#fail(error);
    }
    if (!offered.includes(mechanism))
      return this.#fail({ code: 504, status: "5.5.4", text: "The mechanism is not offered" });
    this.#sasl = new SaslExchange(mechanism);
    this.#mode = "sasl";
    if (initial !== null) return this.#continueSasl(initial === "=" ? "" : initial);
    this.#replies.write(334, this.#sasl.challenge);
    return null;
  }

  /** A line of a SASL exchange. RFC 4954 §4. */
  #continueSasl(line: string): ServerStep | null {
    const { mechanism } = this.#sasl!;
    const turn = this.#sasl!.take(line);
    if ("challenge" in turn) {
      this.#replies.write(334, turn.challenge);
      return null;
    }
    this.#endSasl();
    if ("error" in turn) return this.#fail(turn.error);
    return this.#ask({ kind: "auth", mechanism, ...turn.credentials }, (reply) => {
      if (reply.code === 235) this.#authenticated = true;
      else this.#countError();
    });
  }

  #endSasl(): void {
    this.#sasl = null;
    this.#mode = "commands";
  }

  #reset(): ServerStep | null {
    const before = this.#transaction !== "none";
    this.#transaction = "none";
    if (!before) return null;
    this.#pending = { kind: "reset" };
    return this.#pending;
  }

  #ask(step: ServerStep, settled?: (reply: Reply) => void): ServerStep {
    this.#pending = step;
    this.#settle = settled
      ? (reply) => {
          this.#replies.say(reply);
          settled(reply);
        }
      : null;
    return step;
  }

  #fail(error: CommandError, counts = true): ServerStep | null {
    this.#replies.say(error);
    return counts && this.#countError() ? { kind: "close", reason: "errors" } : null;
  }

  /** RFC 5321 §4.1.4. */
  #outOfOrder(text: string): ServerStep | null {
    return this.#fail({ code: 503, status: "5.5.1", text });
  }

  #sendAway(reply: Reply): ServerStep {
    this.#replies.say(reply);
    this.#close();
    return { kind: "close", reason: "errors" };
  }

  #countError(): boolean {
    this.#errors++;
    if (this.#errors < this.#settings.errorsMax) return false;
    this.#replies.say({ code: 421, status: "4.7.0", text: "Too many errors" });
    this.#close();
    return true;
  }

  #close(): void {
    this.#mode = "closed";
    this.#pending = null;
    this.#octets.clear();
  }
}
