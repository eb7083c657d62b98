/**
 * A client session on a socket: lines out, replies in, each within its time; TLS on top where it is wanted. Knows no order of commands. Once it failed it
 * is closed, and says so to whoever waits.
 */
import { connect as connectSocket, isIP, type NetConnectOpts, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { TlsFacts } from "../events/subject.ts";
import type { Tracer } from "../events/trace.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import type { ClientCommand } from "../smtp/client-command.ts";
import { ClientSession } from "../smtp/client-session.ts";
import type { PeerReply } from "../smtp/reply-reader.ts";
import { type CertificateCheck, certificateChain, type TlsResult, tlsResultOf } from "./smtp-certificate.ts";
import { PeerFailure } from "./smtp-failure.ts";
import type { ConnectionLimits } from "./smtp-limits.ts";

/** Time for one of a host's addresses, while there are others. */
const attemptMsMax = 5_000;

export interface WireTarget {
  /** Name, or address. */
  readonly host: string;
  readonly port: number;
  /** Path of a socket of this machine, in the place of all else. */
  readonly socket?: string | undefined;
  /** Of the host, where it was looked up already. */
  readonly address?: string | undefined;
  /** Local address to connect from; null leaves it to the system. */
  readonly sourceAddress: string | null;
}

export interface WireSettings {
  readonly clock: Clock;
  readonly limits: ConnectionLimits;
  readonly tracer: Tracer | undefined;
  readonly sessionId: string;
}

export interface Secured {
  readonly facts: TlsFacts;
  /** What the certificate is worth, also where nobody asked for it. */
  readonly result: TlsResult;
}

export interface Answered {
  readonly command: ClientCommand;
  readonly reply: PeerReply;
}

export class SmtpWire {
  readonly #settings: WireSettings;
  readonly #session: ClientSession;
  readonly #answers: Answered[] = [];
  #socket: Socket;
  #ended: PeerFailure | undefined;
  #wake: (() => void) | undefined;
  /** Called once when the connection is over. */
  onEnd: () => void = () => {};

  private constructor(socket: Socket, settings: WireSettings) {
    this.#socket = socket;
    this.#settings = settings;
    this.#session = new ClientSession(settings.limits.replyOctetsMax);
    socket.setNoDelay(true);
    this.#attach(socket);
  }

  /** Connects. @throws {PeerFailure} */
  static async connect(target: WireTarget, settings: WireSettings): Promise<SmtpWire> {
    const socket = connectSocket(placeOf(target));
    await ready(socket, "connect", settings, "no connection");
    return new SmtpWire(socket, settings);
  }

  get alive(): boolean {
    return this.#ended === undefined;
  }

  /** Address we are connected to. */
  get ip(): string | null {
    return this.#socket.remoteAddress ?? null;
  }

  get port(): number {
    return this.#socket.remotePort ?? 0;
  }

  get extensions(): ReadonlyMap<string, string> {
    return this.#session.extensions;
  }

  /** Whether a reply is here already. */
  get answered(): boolean {
    return this.#answers.length > 0;
  }

  /** Replies that were not heard yet. */
  get owed(): number {
    return this.#session.outstanding + this.#answers.length;
  }

  /** Whether the end of mail data has not gone out yet. */
  get sendingData(): boolean {
    return this.#session.sendingData;
  }

  /** Commands in one piece; a reply to each is owed. */
  send(...commands: readonly ClientCommand[]): void {
    for (const command of commands) {
      this.#session.send(command);
      this.#traceLine("sent", command.shown);
    }
    this.#flush();
  }

  /** Commands, BDAT and all of a message in one piece. RFC 3030 §2, RFC 2920 §3.1. */
  sendWithChunk(commands: readonly ClientCommand[], sizeOctets: number, octets: readonly Buffer[]): void {
    this.#socket.cork();
    this.send(...commands);
    this.beginChunk(sizeOctets);
    for (const piece of octets) this.#socket.write(piece);
    this.endData(sizeOctets);
    this.#socket.uncork();
  }

  /** Mail data follows behind 354; see ClientSession. */
  beginData(replies: number): void {
    this.#session.beginData({ replies });
  }

  /** The only chunk: BDAT says the size of a message, whatever it is, and nothing has to be looked for in it. */
  beginChunk(sizeOctets: number, replies = 1): void {
    const line = `BDAT ${sizeOctets} LAST`;
    this.#session.beginData({ line, replies });
    this.#traceLine("sent", line);
    this.#flush();
  }

  endData(sizeOctets: number): void {
    this.#session.endData();
    this.note(`${sizeOctets} octets of mail data`);
  }

  /** Writes mail data; resolves when more may come, or a reply is here. @throws {PeerFailure} */
  async write(pieces: readonly Buffer[]): Promise<void> {
    let room = true;
    for (const piece of pieces) {
      if (this.#ended) throw this.#ended;
      room = this.#socket.write(piece);
    }
    if (room || this.answered || this.#ended) return;
    const { clock, limits } = this.#settings;
    await new Promise<void>((resolve) => {
      const cancel = clock.after(limits.blockMsMax, () =>
        this.#end(new PeerFailure(`it takes no mail data for ${seconds(limits.blockMsMax)} s`)),
      );
      const done = () => {
        cancel();
        this.#wake = undefined;
        this.#socket.off("drain", done);
        resolve();
      };
      this.#wake = done;
      this.#socket.once("drain", done);
    });
  }

  /** The reply to the oldest command that has none. One call at a time. @throws {PeerFailure} */
  async reply(timeoutMs: number, what: string): Promise<Answered> {
    const { clock } = this.#settings;
    if (!this.answered && !this.#ended) {
      await new Promise<void>((resolve) => {
        const cancel = clock.after(timeoutMs, () =>
          this.#end(new PeerFailure(`no reply to ${what} within ${seconds(timeoutMs)} s`)),
        );
        this.#wake = () => {
          cancel();
          this.#wake = undefined;
          resolve();
        };
      });
    }
    // A peer that broke the protocol has lost its say, also for what is here already.
    const answer = this.#ended?.kind === "violation" ? undefined : this.#answers.shift();
    if (answer === undefined) throw this.#ended ?? new PeerFailure("no reply was asked for", { kind: "own" });
    return answer;
  }

  /** Ends the connection unless what it gives back is called within the time. */
  deadline(timeoutMs: number): () => void {
    return this.#settings.clock.after(timeoutMs, () =>
      this.#end(new PeerFailure(`not done within ${seconds(timeoutMs)} s`)),
    );
  }

  /** The handshake. @throws {PeerFailure} of kind `tls` */
  async secure(host: string, { check, authorities, proves }: CertificateCheck): Promise<Secured> {
    if (this.#ended) throw new PeerFailure(this.#ended.message, { kind: "tls", cause: this.#ended });
    const plain = this.#socket;
    plain.removeAllListeners();
    // What goes wrong with it goes wrong with what is on top of it.
    plain.on("error", () => {});
    const serverName = isIP(host) === 0 ? host : null;
    const socket = connectTls({
      socket: plain,
      host,
      servername: serverName ?? "",
      rejectUnauthorized: check && proves === undefined,
      ...(authorities === undefined ? {} : { ca: authorities }),
    });
    this.#socket = socket;
    try {
      await ready(socket, "secureConnect", this.#settings, "no TLS");
      if (check && proves?.(certificateChain(socket)) === false)
        throw new Error("its certificate matches no TLSA record");
    } catch (error) {
      const failure = new PeerFailure(describeThrown(error), { kind: "tls", status: "4.7.5", cause: error });
      // Whatever still comes of it is of no interest.
      socket.on("error", () => {});
      socket.destroy();
      plain.destroy();
      this.#end(failure);
      throw failure;
    }
    this.#session.secured();
    this.#attach(socket);
    const proven = check && proves !== undefined;
    const facts = tlsFacts(socket, serverName, proven || socket.authorized);
    this.note(`${facts.version} ${facts.cipher}`);
    return { facts, result: proven || socket.authorized ? "success" : tlsResultOf(socket.authorizationError) };
  }

  /** What happened besides lines, for whoever follows. */
  note(text: string): void {
    const { tracer, clock, sessionId } = this.#settings;
    if (tracer?.active) tracer.publish({ kind: "note", session: sessionId, text, at: clock.now() });
  }

  close(reason = "closed"): void {
    this.#end(new PeerFailure(reason, { kind: "own" }));
  }

  #attach(socket: Socket): void {
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#end(new PeerFailure(describeThrown(error), { cause: error })));
    socket.on("close", () => this.#end(new PeerFailure("the connection was closed")));
    socket.on("end", () => this.#end(new PeerFailure("the connection was closed")));
  }

  #receive(chunk: Buffer): void {
    this.#session.receive(chunk);
    for (let step = this.#session.next(); step !== null; step = this.#session.next()) {
      if (step.kind === "violation") {
        this.#end(new PeerFailure(step.reason, { kind: "violation" }));
        return;
      }
      this.#traceReply(step.reply);
      if (step.kind === "farewell") {
        this.#end(new PeerFailure("it closed the session", { reply: step.reply }));
        return;
      }
      this.#answers.push(step);
    }
    if (this.answered) this.#wake?.();
  }

  #flush(): void {
    const text = this.#session.takeOutput();
    if (text !== "" && !this.#ended) this.#socket.write(text);
  }

  #end(failure: PeerFailure): void {
    if (this.#ended) return;
    this.#ended = failure;
    this.#socket.destroy();
    const { tracer, clock, sessionId } = this.#settings;
    if (tracer?.active)
      tracer.publish({ kind: "closed", session: sessionId, reason: failure.message, at: clock.now() });
    this.#wake?.();
    this.onEnd();
  }

  #traceReply({ code, lines }: PeerReply): void {
    if (!this.#settings.tracer?.active) return;
    for (const [i, line] of lines.entries())
      this.#traceLine("got", `${code}${i < lines.length - 1 ? "-" : " "}${line}`.trimEnd());
  }

  #traceLine(way: "got" | "sent", text: string): void {
    const { tracer, clock, sessionId } = this.#settings;
    if (tracer?.active) tracer.publish({ kind: "line", session: sessionId, way, text, at: clock.now() });
  }
}

function placeOf({ host, port, socket, address, sourceAddress }: WireTarget): NetConnectOpts {
  if (socket !== undefined) return { path: socket };
  return {
    host: address ?? host,
    port,
    // Of several addresses, the next is tried after so long; a far server needs more than Node's quarter of a second.
    autoSelectFamilyAttemptTimeout: attemptMsMax,
    ...(sourceAddress === null ? {} : { localAddress: sourceAddress, family: isIP(sourceAddress) }),
  };
}

/** Waits for a socket to be of use. */
function ready(socket: Socket, event: string, { clock, limits }: WireSettings, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(limits.connectMsMax, () =>
      fail(new Error(`${what} within ${seconds(limits.connectMsMax)} s`)),
    );
    const fail = (error: Error) => {
      cancel();
      socket.destroy();
      // Where a host has several addresses, the last of them says why.
      const last: unknown = error instanceof AggregateError ? error.errors.at(-1) : error;
      reject(new PeerFailure(describeThrown(last), { cause: error }));
    };
    const closed = () => fail(new Error("the connection was closed"));
    socket.once("error", fail);
    socket.once("close", closed);
    socket.once(event, () => {
      cancel();
      socket.off("close", closed);
      // An error nobody listens for would end the process: the next listener is there before this one goes.
      queueMicrotask(() => socket.off("error", fail));
      resolve();
    });
  });
}

function tlsFacts(socket: TLSSocket, serverName: string | null, verified: boolean): TlsFacts {
  const certificate = socket.getPeerCertificate();
  const shown = certificate && Object.keys(certificate).length > 0;
  const alternative = shown ? certificate.subjectaltname?.split(", ")[0]?.replace(/^\w[\w ]*:/, "") : undefined;
  const commonName = shown ? [certificate.subject?.CN].flat()[0] : undefined;
  return {
    version: socket.getProtocol() ?? "",
    cipher: socket.getCipher().name,
    serverName,
    certificate: shown
      ? {
          subject: commonName ?? alternative ?? "",
          fingerprint: certificate.fingerprint256,
          verified,
        }
      : null,
  };
}

function seconds(ms: number): number {
  return Math.round(ms / 1_000);
}
