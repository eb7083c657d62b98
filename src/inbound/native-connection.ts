/**
 * One connection of the native engine: octets between its socket and its session, and the deadlines of both. What is said stands in
 * conversation.ts. Before a word is said there may be a PROXY header and a handshake.
 */
import type { Socket } from "node:net";
import type { DisconnectSubject } from "../events/subject.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { readProxyHeader } from "../smtp/proxy-header.ts";
import { ServerSession } from "../smtp/server-session.ts";
import type { ServerStep } from "../smtp/server-step.ts";
import { temporary, tooBusy } from "./answer.ts";
import { Conversation } from "./conversation.ts";
import { type Handshakes, tlsFactsOf } from "./handshakes.ts";
import type { ListenerOptions } from "./listener.ts";
import type { Reception } from "./reception.ts";
import { InboundSession } from "./session.ts";
import { settingsOf } from "./session-settings.ts";
import { SessionTrace } from "./session-trace.ts";

export interface ConnectionParts {
  readonly options: ListenerOptions;
  readonly reception: Reception;
  readonly clock: Clock;
  readonly log: Log;
  readonly handshakes: Handshakes | null;
  /** The other end of the connection. */
  readonly ip: string;
  readonly onClose: (connection: NativeConnection) => void;
}

/** Time for a client to take our last words and close. */
const lingerMs = 5_000;
/** A rate is measured over so long at least: the first packets say little. */
const rateMeasuredMs = 30_000;

export class NativeConnection {
  readonly #parts: ConnectionParts;
  readonly #smtp: ServerSession;
  readonly #session: InboundSession;
  readonly #talk: Conversation;
  #trace: SessionTrace | null = null;
  #socket: Socket;
  #phase: "proxy" | "handshake" | "talk" | "end" | "closed" = "talk";
  /** Octets of a PROXY header that is not all there. */
  #header: Buffer | null = null;
  /** Something is waited for that is ours to do. */
  #busy = false;
  #draining = false;
  #inputEnded = false;
  /** Whether the reception knows of it. */
  #announced = false;
  #reason: DisconnectSubject["reason"] | null = null;
  /** When what the deadlines are about began, in milliseconds of the monotonic clock. */
  #sinceMs: number;
  /** When the mail data, or the chunk, that is coming began, and octets of it; -1 where none is. */
  #dataBeganMs = -1;
  #dataOctets = 0;

  constructor(socket: Socket, parts: ConnectionParts) {
    const { options, reception, clock, ip } = parts;
    this.#parts = parts;
    this.#socket = socket;
    this.#sinceMs = clock.monotonicMs();
    const session = new InboundSession({
      listener: options.name,
      role: options.role,
      ip,
      port: socket.remotePort ?? 0,
      startedAt: clock.now(),
    });
    this.#session = session;
    this.#smtp = new ServerSession(settingsOf(options, session, reception));
    this.#talk = new Conversation({
      smtp: this.#smtp,
      session,
      reception,
      note: (text) => this.#tracing?.note(text()),
    });
  }

  /** `sendAway`: nobody more is let in. */
  start(sendAway: boolean): void {
    this.#attach(this.#socket);
    if (sendAway) {
      // Without a handshake there are no words it could read.
      if (this.#parts.options.tls?.mode === "implicit") this.destroy();
      else {
        this.#smtp.end(tooBusy);
        this.#work();
      }
    } else if (this.#parts.options.trusted.proxy(this.#session.peer.ip)) this.#phase = "proxy";
    else this.#open();
  }

  /** Sends the client away as soon as no message is in hand. */
  drain(): void {
    this.#draining = true;
    if (this.#phase === "proxy" || this.#phase === "handshake") this.destroy();
    else if (!this.#busy && !this.#talk.inMessage)
      this.#endWith("shutdown", "4.3.2", "Shutting down, please try again later");
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Looks at the deadlines. */
  check(nowMs: number): void {
    const { limits } = this.#parts.options;
    const forMs = nowMs - this.#sinceMs;
    switch (this.#phase) {
      case "proxy":
      case "handshake":
        if (forMs >= limits.handshakeTimeoutMs) this.#lose("timeout");
        return;
      case "end":
        if (forMs >= lingerMs) this.destroy();
        return;
      case "talk":
        if (this.#busy) {
          if (forMs >= limits.decisionTimeoutMs && this.#talk.isDeciding) this.#giveUp();
        } else if (this.#socket.writableNeedDrain) {
          // It does not read what we say; to say more would be no use.
          if (forMs >= limits.idleTimeoutMs) this.#lose("timeout");
        } else if (this.#dataBeganMs < 0 ? forMs >= limits.idleTimeoutMs : this.#isSlow(forMs, nowMs)) {
          this.#endWith("timeout", "4.4.2", "Nothing was heard for too long");
        }
    }
  }

  /** RFC 5321 §4.5.3.2.5; and drop by drop is no way either. */
  #isSlow(silentMs: number, nowMs: number): boolean {
    const { dataTimeoutMs, dataOctetsPerSecondMin } = this.#parts.options.limits;
    const lastedMs = nowMs - this.#dataBeganMs;
    return (
      silentMs >= dataTimeoutMs ||
      (lastedMs >= rateMeasuredMs && this.#dataOctets * 1_000 < dataOctetsPerSecondMin * lastedMs)
    );
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#phase === "proxy") this.#readProxyHeader(chunk);
    else if (this.#phase === "talk") this.#receive(chunk);
  };

  readonly #onEnd = (): void => {
    this.#inputEnded = true;
    if (this.#phase === "proxy") this.destroy();
    else if (!this.#busy) this.#work();
  };

  readonly #onDrain = (): void => {
    this.#sinceMs = this.#parts.clock.monotonicMs();
    if (!this.#busy) this.#work();
  };

  readonly #onError = (error: Error): void => {
    this.#reason ??= "error";
    this.#parts.log.debug("session.error", { session: this.#session.id, reason: describeThrown(error) });
  };

  readonly #onClose = (): void => this.#gone();

  #receive(chunk: Buffer): void {
    if (this.#dataBeganMs >= 0) this.#dataOctets += chunk.length;
    if (this.#parts.reception.tracer.active || this.#trace) this.#smtp.onLine = this.#tracing?.got ?? null;
    this.#smtp.receive(chunk);
    // More than is being worked on stays in the kernel, and so with the client.
    if (this.#busy) this.#socket.pause();
    else this.#work();
  }

  #attach(socket: Socket): void {
    this.#socket = socket;
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("drain", this.#onDrain);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
  }

  /** A handshake where one comes first, then the greeting. */
  #open(): void {
    const { options, handshakes } = this.#parts;
    if (options.tls?.mode === "implicit" && handshakes) this.#shakeHands(handshakes, () => this.#greet());
    else this.#greet();
  }

  #greet(): void {
    this.#phase = "talk";
    this.#tracing?.open();
    this.#announced = true;
    this.#begin(() => this.#talk.greet());
    if (!this.#busy) this.#work();
  }

  /** Only what a listed peer says before anything else is believed, and without it there is nothing to believe. */
  #readProxyHeader(chunk: Buffer): void {
    const octets = this.#header === null ? chunk : Buffer.concat([this.#header, chunk]);
    const header = readProxyHeader(octets);
    this.#header = header === "more" ? octets : null;
    if (header === "more") return;
    if ("error" in header) {
      const { listener, peer } = this.#session;
      this.#parts.log.warn("session.refused", { listener, peer: peer.ip, reason: header.error });
      this.#lose("error");
      return;
    }
    if (header.client) {
      this.#session.ip = header.client.ip;
      this.#session.speaker = header.client.ip;
      this.#session.port = header.client.port;
    }
    this.#socket.pause();
    if (header.rest.length > 0) this.#socket.unshift(header.rest);
    this.#sinceMs = this.#parts.clock.monotonicMs();
    this.#open();
  }

  #shakeHands(handshakes: Handshakes, then: () => void): void {
    const plain = this.#socket;
    this.#phase = "handshake";
    this.#sinceMs = this.#parts.clock.monotonicMs();
    // Its end and its errors are still ours to hear, its octets are not.
    plain.off("data", this.#onData);
    plain.off("end", this.#onEnd);
    plain.off("drain", this.#onDrain);
    plain.pause();
    handshakes.begin(plain, (socket) => {
      this.#attach(socket);
      this.#phase = "talk";
      this.#sinceMs = this.#parts.clock.monotonicMs();
      // Nothing said before the handshake counts. RFC 3207 §4.2.
      this.#session.forget();
      this.#session.tls = tlsFactsOf(socket);
      this.#smtp.secured();
      this.#tracing?.note(`${this.#session.tls.version} ${this.#session.tls.cipher}`);
      this.#parts.reception.secured(this.#session);
      then();
    });
  }

  /** Does one step after the other, as long as there is one. */
  #work(): void {
    // The client went away while something was done for it: what came of its message goes too.
    if (this.#phase === "closed") this.#talk.dropMessage();
    if (this.#busy || (this.#phase !== "talk" && this.#phase !== "end")) return;
    let didSomething = false;
    for (let step = this.#next(); step !== null; step = this.#next()) {
      didSomething = true;
      if (step.kind === "starttls") this.#startTls();
      else this.#begin(() => this.#talk.perform(step));
      if (this.#busy || this.#isShakingHands) break;
    }
    const saidSomething = this.#flush();
    if (this.#busy || this.#isShakingHands) return;
    if (saidSomething || didSomething) this.#sinceMs = this.#parts.clock.monotonicMs();
    this.#measureData();
    if (this.#phase === "end") return;
    if (this.#talk.isOver) this.#end();
    // A client that does not listen is not heard either.
    else if (this.#socket.writableNeedDrain) this.#socket.pause();
    else if (this.#inputEnded) this.#end();
    else if (this.#draining && !this.#talk.inMessage) this.drain();
    else if (this.#socket.isPaused()) this.#socket.resume();
  }

  get #isShakingHands(): boolean {
    return this.#phase === "handshake";
  }

  /** 220 was said in the clear; what follows is not. RFC 3207. */
  #startTls(): void {
    this.#flush();
    if (this.#parts.handshakes) this.#shakeHands(this.#parts.handshakes, () => this.#work());
  }

  /** A client that does not listen is not worked for. */
  #next(): ServerStep | null {
    return this.#socket.writableNeedDrain ? null : this.#talk.next();
  }

  /** Begins what may take its time, and goes on with the work when it is done. */
  #begin(work: () => void | Promise<void>): void {
    const { turn } = this.#session;
    const done = () => {
      if (this.#session.turn !== turn) return;
      this.#goOn();
    };
    try {
      const later = work();
      if (!(later instanceof Promise)) return;
      this.#busy = true;
      this.#sinceMs = this.#parts.clock.monotonicMs();
      later.then(done, (error: unknown) => {
        if (this.#session.turn === turn) this.#failed(error);
        done();
      });
    } catch (error) {
      this.#failed(error);
    }
  }

  #goOn(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    this.#busy = false;
    // What we took for ourselves is not the client's slowness.
    if (this.#dataBeganMs >= 0) this.#dataBeganMs += nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
    this.#work();
  }

  /** A bug of ours: the client is told to try again. */
  #failed(error: unknown): void {
    this.#parts.log.error("listener.failed", {
      listener: this.#parts.options.name,
      session: this.#session.id,
      reason: describeThrown(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
    this.#smtp.end({ ...temporary, code: 421 });
  }

  #giveUp(): void {
    this.#parts.log.warn("session.decision-late", { session: this.#session.id, listener: this.#session.listener });
    this.#talk.giveUp();
    this.#goOn();
  }

  #measureData(): void {
    const { state } = this.#smtp;
    if (state !== "data" && state !== "chunk") this.#dataBeganMs = -1;
    else if (this.#dataBeganMs < 0) {
      this.#dataBeganMs = this.#sinceMs;
      this.#dataOctets = 0;
    }
  }

  #endWith(reason: DisconnectSubject["reason"], status: string, text: string): void {
    if (this.#phase !== "talk") return;
    this.#reason = reason;
    this.#smtp.end({ code: 421, status, text });
    this.#flush();
    this.#end();
  }

  /** Whether there was something to say. */
  #flush(): boolean {
    const output = this.#smtp.takeOutput();
    if (output === "") return false;
    this.#tracing?.sent(output);
    if (this.#socket.writable) this.#socket.write(output);
    return true;
  }

  /** Nothing more is said to a client that reads nothing, or that did not begin as it has to. */
  #lose(reason: DisconnectSubject["reason"]): void {
    this.#reason = reason;
    this.destroy();
  }

  #end(): void {
    if (this.#phase !== "talk") return;
    this.#phase = "end";
    this.#sinceMs = this.#parts.clock.monotonicMs();
    if (this.#socket.writable) this.#socket.end();
    // What still comes is read and thrown away, so that our last words are not lost to a reset.
    this.#socket.resume();
  }

  #gone(): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    // Where the end of data is being decided, the reception still has the octets.
    if (!this.#busy) this.#talk.dropMessage();
    const reason = this.#reason ?? this.#talk.reason;
    if (this.#announced) this.#parts.reception.disconnect(this.#session, reason);
    this.#trace?.closed(reason);
    this.#parts.onClose(this);
  }

  /** null while nobody follows. */
  get #tracing(): SessionTrace | null {
    const { tracer } = this.#parts.reception;
    if (!tracer.active) return null;
    return (this.#trace ??= new SessionTrace(this.#session, tracer, this.#parts.clock));
  }
}
