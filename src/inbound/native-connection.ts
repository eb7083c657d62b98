/** One connection of the native engine: octets between its socket and its session, one step at a time. */
import type { Socket } from "node:net";
import { type SecureContext, TLSSocket } from "node:tls";
import type { DisconnectSubject } from "../events/subject.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { passwordMechanisms } from "../smtp/sasl.ts";
import { ServerSession } from "../smtp/server-session.ts";
import type { ServerStep } from "../smtp/server-step.ts";
import type { Answer } from "./answer.ts";
import type { ListenerOptions } from "./listener.ts";
import type { MailDataReceiver } from "./mail-data.ts";
import type { Reception } from "./reception.ts";
import { InboundSession } from "./session.ts";

export interface ConnectionParts {
  readonly options: ListenerOptions;
  readonly reception: Reception;
  readonly clock: Clock;
  readonly log: Log;
  readonly secureContext: SecureContext | undefined;
  /** Nobody more is let in. */
  readonly isFull: boolean;
  readonly onClose: () => void;
}

/** Errors of syntax and order before a client is sent away. */
const errorsMax = 20;
const handshakeMsMax = 30_000;
/** Time for a client to take our last words and close. */
const lingerMs = 5_000;

export class NativeConnection {
  readonly #parts: ConnectionParts;
  readonly #smtp: ServerSession;
  readonly #session: InboundSession;
  #socket: Socket;
  #receiver: MailDataReceiver | null = null;
  #running = false;
  #draining = false;
  #inputEnded = false;
  #ending = false;
  #ended = false;
  #closed = false;
  /** Whether the reception knows of it. */
  #announced = false;
  #reason: DisconnectSubject["reason"] = "closed";

  constructor(socket: Socket, parts: ConnectionParts) {
    const { options, reception, clock } = parts;
    this.#parts = parts;
    this.#socket = socket;
    this.#session = new InboundSession({
      listener: options.name,
      role: options.role,
      ip: (socket.remoteAddress ?? "").replace(/^::ffff:(?=\d+\.)/, ""),
      port: socket.remotePort ?? 0,
      startedAt: clock.now(),
    });
    this.#smtp = new ServerSession({
      hostname: options.hostname,
      sizeOctetsMax: options.limits.sizeOctetsMax,
      recipientsMax: options.limits.recipientsMax,
      tls: parts.secureContext !== undefined,
      // No credentials in the clear. RFC 4954 §4.
      mechanisms: () => (this.#session.tls !== null && reception.authenticates ? passwordMechanisms : []),
      errorsMax,
    });
  }

  start(): void {
    this.#attach(this.#socket);
    this.#running = true;
    void this.#greet().finally(() => {
      this.#running = false;
      this.#work();
    });
  }

  /** Sends the client away as soon as no message is in hand. */
  drain(): void {
    this.#draining = true;
    if (!this.#running && this.#receiver === null) this.#endForDrain();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  async #greet(): Promise<void> {
    if (this.#parts.isFull) {
      this.#smtp.end({ code: 421, status: "4.3.2", text: "Too many connections, please try again later" });
      this.#ending = true;
      return;
    }
    this.#announced = true;
    const refusal = await this.#decide(() => this.#parts.reception.connect(this.#session));
    if (refusal === null) this.#smtp.greet();
    // Refused at the greeting a client hears 554, or 421. RFC 5321 §3.1, §3.8.
    else this.#smtp.end(refusal.code >= 500 && !refusal.close ? { ...refusal, code: 554 } : refusal);
    if (refusal?.close) this.#session.dropped = true;
    this.#ending = refusal !== null;
  }

  #attach(socket: Socket): void {
    this.#socket = socket;
    socket.setTimeout(this.#parts.options.limits.idleTimeoutMs, () => this.#timeOut());
    socket.on("data", (chunk: Buffer) => {
      this.#smtp.receive(chunk);
      // More than is being worked on stays in the kernel, and so with the client.
      if (this.#running) socket.pause();
      else this.#work();
    });
    socket.on("end", () => {
      this.#inputEnded = true;
      if (!this.#running) this.#work();
    });
    socket.on("error", (error) => {
      this.#reason = "error";
      this.#parts.log.debug("session.error", { session: this.#session.id, reason: describeThrown(error) });
    });
    socket.on("close", () => this.#gone());
  }

  /** Does one step after the other, as long as there is one. */
  #work(): void {
    if (this.#running) return;
    // The client went away while something was done for it: what came of its message goes too.
    if (this.#closed) return void this.#dropMessage();
    for (let step = this.#smtp.next(); step !== null; step = this.#smtp.next()) {
      const done = this.#perform(step);
      if (done === undefined) continue;
      this.#running = true;
      done.then(
        () => {
          this.#running = false;
          this.#work();
        },
        (error: unknown) => {
          this.#reportBug(error);
          this.#running = false;
          this.#smtp.end({ code: 421, status: "4.3.0", text: "Temporary problem, please try again later" });
          this.#ending = true;
          this.#work();
        },
      );
      return;
    }
    this.#flush();
    if (this.#ending || this.#inputEnded) this.#end();
    else if (this.#draining && this.#receiver === null) this.#endForDrain();
    else if (this.#socket.isPaused()) this.#socket.resume();
  }

  #perform(step: ServerStep): Promise<void> | undefined {
    const { reception } = this.#parts;
    const session = this.#session;
    switch (step.kind) {
      case "helo":
        return this.#reply(async () => {
          await this.#dropMessage();
          return (await reception.helo(session, step.name)) ?? { code: 250, status: undefined, text: "", close: false };
        });
      case "mail":
        return this.#reply(() => reception.mailFrom(session, step.path, step.parameters));
      case "rcpt":
        return this.#reply(() => reception.rcptTo(session, step.path, step.parameters));
      case "auth":
        return this.#reply(() => reception.auth(session, step));
      case "data":
        this.#receiver = reception.receiveData();
        this.#smtp.answer({ code: 354, status: undefined, text: "Send the message, end with <CRLF>.<CRLF>" });
        return undefined;
      case "chunking":
        this.#receiver = reception.receiveData();
        this.#smtp.goOn();
        return undefined;
      case "octets": {
        const more = this.#receiver?.write(step.octets);
        if (more) return more.then(() => this.#smtp.goOn());
        this.#smtp.goOn();
        return undefined;
      }
      case "end-of-data":
        return this.#reply(async () => {
          const receiver = this.#receiver!;
          const utf8 = session.transaction?.parameters.has("SMTPUTF8") ?? false;
          const answer = await reception.endOfData(session, receiver, this.#smtp.protocol(utf8));
          this.#receiver = null;
          return answer;
        });
      case "reset":
        return this.#dropMessage().then(() => this.#smtp.goOn());
      case "starttls":
        return this.#secure();
      case "close":
        this.#ending = true;
        if (step.reason === "quit") this.#reason = "quit";
        return undefined;
    }
  }

  async #reply(decide: () => Promise<Answer>): Promise<void> {
    const answer = await this.#decide(decide);
    this.#smtp.answer(answer, answer.close);
    if (!answer.close) return;
    this.#session.dropped = true;
    this.#ending = true;
  }

  /** What the reception says; where it fails, which is a bug of ours, the client is told to try again. */
  async #decide<Result extends Answer | null>(decide: () => Promise<Result>): Promise<Result | Answer> {
    try {
      return await decide();
    } catch (error) {
      this.#reportBug(error);
      return { code: 451, status: "4.3.0", text: "Temporary problem, please try again later", close: false };
    }
  }

  #reportBug(error: unknown): void {
    this.#parts.log.error("listener.failed", {
      listener: this.#parts.options.name,
      session: this.#session.id,
      reason: describeThrown(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
  }

  async #dropMessage(): Promise<void> {
    const receiver = this.#receiver;
    this.#receiver = null;
    this.#session.transaction = null;
    await receiver?.abort();
  }

  /** RFC 3207. */
  async #secure(): Promise<void> {
    this.#flush();
    const plain = this.#socket;
    for (const event of ["data", "end", "error", "close", "timeout"]) plain.removeAllListeners(event);
    plain.setTimeout(0);
    const socket = new TLSSocket(plain, { isServer: true, secureContext: this.#parts.secureContext! });
    await new Promise<void>((resolve) => {
      const cancel = this.#parts.clock.after(handshakeMsMax, () => socket.destroy());
      const done = () => {
        cancel();
        resolve();
      };
      socket.once("secure", done);
      socket.once("close", done);
      socket.once("error", (error) => {
        this.#reason = "error";
        this.#parts.log.debug("session.error", { session: this.#session.id, reason: describeThrown(error) });
        socket.destroy();
      });
      plain.once("close", () => socket.destroy());
    });
    if (socket.destroyed) {
      this.#socket = socket;
      this.#gone();
      return;
    }
    const session = this.#session;
    session.helo = "";
    session.user = null;
    session.transaction = null;
    const { servername } = socket as { readonly servername?: string | false };
    session.tls = {
      version: socket.getProtocol() ?? "TLS",
      cipher: socket.getCipher().name,
      serverName: servername || null,
    };
    this.#smtp.secured();
    this.#parts.reception.secured(session);
    this.#attach(socket);
  }

  #timeOut(): void {
    // While we ourselves take our time, nobody can blame the client.
    if (this.#running) return;
    this.#reason = "timeout";
    this.#smtp.end({ code: 421, status: "4.4.2", text: "Nothing was heard for too long" });
    this.#ending = true;
    this.#work();
  }

  #endForDrain(): void {
    this.#reason = "shutdown";
    this.#smtp.end({ code: 421, status: "4.3.2", text: "Shutting down, please try again later" });
    this.#flush();
    this.#end();
  }

  #flush(): void {
    const output = this.#smtp.takeOutput();
    if (output !== "" && this.#socket.writable) this.#socket.write(output);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#socket.writable) this.#socket.end();
    // What still comes is read and thrown away, so that our last words are not lost to a reset.
    this.#socket.resume();
    this.#parts.clock.after(lingerMs, () => this.#socket.destroy());
  }

  #gone(): void {
    if (this.#closed) return;
    this.#closed = true;
    // Where the end of data is being decided, the reception still has the octets.
    if (!this.#running) void this.#dropMessage();
    if (this.#announced) this.#parts.reception.disconnect(this.#session, this.#reason);
    this.#parts.onClose();
  }
}
