/**
 * The library engine: a listener over the smtp-server package, through its public API only. It parses commands; every decision is the
 * reception's. What that API cannot show or correct stands in docs/listeners.md.
 */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type {
  SMTPServerAddress,
  SMTPServerAuthentication,
  SMTPServerAuthenticationResponse,
  SMTPServerDataStream,
  SMTPServerError,
  SMTPServerSession,
} from "smtp-server";
import { SMTPServer } from "smtp-server";
import type { EventName } from "../events/event.ts";
import { formatReply } from "../mail/status.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { CommandError } from "../smtp/command.ts";
import { readMailOptions, readRcptOptions } from "../smtp/parameter.ts";
import { passwordMechanisms } from "../smtp/sasl.ts";
import { encodeXtext } from "../smtp/xtext.ts";
import { type Answer, no, temporary, tooBusy } from "./answer.ts";
import { tlsFactsOf } from "./handshakes.ts";
import { listenFault } from "./listen-fault.ts";
import { type Listener, type ListenerOptions, plainAddress } from "./listener.ts";
import type { MailDataReceiver } from "./mail-data.ts";
import type { Reception } from "./reception.ts";
import type { EndOfData } from "./recipient-answers.ts";
import { InboundSession } from "./session.ts";

/** Command lines up to this length are taken; RFC 5321 §4.5.3.1.4 asks for 512, extensions and AUTH for more (RFC 4954 §4). */
const commandOctetsMax = 12_288;

/** Inbound events that happen on a listener of this engine; the library's API does not show the others. */
export const libraryEvents: ReadonlySet<EventName> = new Set<EventName>([
  "onConnect",
  "onTls",
  "onHelo",
  "onAuth",
  "onMailFrom",
  "onRcptTo",
  "onData",
  "onHeaders",
  "onEndOfData",
  "onDisconnect",
]);

type Done = (error?: Error | null) => void;

/**
 * Starts listening.
 * @throws {Fault} `listen.failed` where the address or port cannot be had
 */
export async function startLibraryListener(
  options: ListenerOptions,
  reception: Reception,
  ports: { readonly clock: Clock; readonly log: Log },
): Promise<Listener> {
  const engine = new LibraryEngine(options, reception, ports);
  await engine.listen();
  return engine;
}

class LibraryEngine implements Listener {
  readonly name: string;
  readonly address: string;
  readonly #options: ListenerOptions;
  readonly #reception: Reception;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #server: SMTPServer;
  /** By the library's own session id. */
  readonly #sessions = new Map<string, InboundSession>();
  /** Handshakes of connections that are not shown yet, by the same id. */
  readonly #securedEarly = new Map<string, TLSSocket>();
  #port = 0;
  #transactionsInHand = 0;
  /** The library's ids of the sessions whose message is here and not answered. */
  readonly #deciding = new Set<string>();

  constructor(
    options: ListenerOptions,
    reception: Reception,
    { clock, log }: { readonly clock: Clock; readonly log: Log },
  ) {
    this.name = options.name;
    this.address = options.address;
    this.#options = options;
    this.#reception = reception;
    this.#clock = clock;
    this.#log = log;
    const disabledCommands = ["XCLIENT", "XFORWARD", "WIZ", "SHELL", "KILL"];
    if (options.tls?.mode !== "starttls") disabledCommands.push("STARTTLS");
    const authMethods = options.auth.mechanisms.filter((mechanism) => passwordMechanisms.includes(mechanism));
    // No credentials in the clear, unless told so: without a certificate there is no AUTH either. RFC 4954 §4.
    const mayAuthenticate = options.tls !== undefined || options.auth.inClear;
    if (!mayAuthenticate || !reception.authenticates || authMethods.length === 0) disabledCommands.push("AUTH");
    this.#server = new SMTPServer({
      name: options.hostname,
      banner: "OnArrival",
      logger: false,
      ...(options.tls && {
        cert: options.tls.cert,
        key: options.tls.key,
        minVersion: "TLSv1.2",
        requestCert: options.tls.askCertificate,
        rejectUnauthorized: false,
      }),
      secure: options.tls?.mode === "implicit",
      lmtp: options.role === "lmtp",
      hideDSN: false,
      hideREQUIRETLS: false,
      authMethods,
      allowInsecureAuth: options.auth.inClear,
      disabledCommands,
      authOptional: true,
      disableReverseLookup: true,
      size: options.limits.sizeOctetsMax,
      maxClients: options.limits.connectionsMax,
      maxCommandLength: commandOctetsMax,
      maxAllowedUnauthenticatedCommands: false,
      socketTimeout: options.limits.idleTimeoutMs,
      closeTimeout: 0x7fffffff,
      // Replies carry the enhanced codes of our verdicts in their texts; the library's own cannot be chosen per reply.
      hideENHANCEDSTATUSCODES: true,
      onConnect: (client, done) => this.#answerTo(client, done, this.#connect(client)),
      onSecure: (socket, session, done) => this.#secure(socket, session, done),
      onAuth: (auth, session, done) => void this.#authenticate(auth, session, done),
      onMailFrom: (address, session, done) => this.#answerTo(session, done, this.#mailFrom(address, session)),
      onRcptTo: (address, session, done) => this.#answerTo(session, done, this.#rcptTo(address, session)),
      onData: (stream, session, done) => void this.#data(stream, session, done),
      onClose: (session) => this.#close(session),
    });
    options.tls?.renewals?.onRenewed(({ cert, key }) => this.#server.updateSecureContext({ cert, key }));
    this.#server.on("error", (error: Error) =>
      log.debug("session.error", { listener: options.name, reason: describeThrown(error) }),
    );
  }

  get port(): number {
    return this.#port;
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      const { server } = this.#server;
      const failed = (error: NodeJS.ErrnoException) => reject(listenFault(this.#options, error));
      server.once("error", failed);
      server.listen(this.#options.port, this.#options.address, () => {
        server.off("error", failed);
        const address = server.address();
        this.#port = address !== null && typeof address === "object" ? address.port : this.#options.port;
        resolve();
      });
    });
  }

  async close(deadlineMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const deadline = this.#clock.monotonicMs() + deadlineMs;
    // The end of a message in hand is worth waiting for; a client that only sits there is not.
    while (this.#transactionsInHand > 0 && this.#clock.monotonicMs() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    for (const connection of this.#server.connections) {
      // A message that is still decided on may come into custody: 421 would say that it never does. RFC 5321 §4.2.5.
      if (!this.#deciding.has(connection.id)) connection.send(421, "4.3.2 Shutting down, please try again later");
      connection.close();
    }
    await closed;
  }

  async #connect(client: SMTPServerSession): Promise<Answer> {
    if (this.#reception.overloaded) return tooBusy;
    const session = new InboundSession({
      listener: this.name,
      role: this.#options.role,
      ip: plainAddress(client.remoteAddress),
      port: client.remotePort,
      startedAt: this.#clock.now(),
    });
    this.#sessions.set(client.id, session);
    const socket = this.#securedEarly.get(client.id);
    this.#securedEarly.delete(client.id);
    if (socket) this.#secured(session, socket);
    return await this.#reception.connect(session);
  }

  #secure(socket: Socket | TLSSocket, client: SMTPServerSession, done: Done): void {
    // With implicit TLS the handshake comes before the connection is shown: there is no session yet.
    const session = this.#sessions.get(client.id);
    if (session) this.#secured(session, socket as TLSSocket);
    else this.#securedEarly.set(client.id, socket as TLSSocket);
    done();
  }

  #secured(session: InboundSession, socket: TLSSocket): void {
    // Nothing said before the handshake counts. RFC 3207 §4.2.
    session.forget();
    session.tls = tlsFactsOf(socket);
    this.#reception.secured(session);
  }

  async #authenticate(
    auth: SMTPServerAuthentication,
    client: SMTPServerSession,
    done: (error: Error | null | undefined, response?: SMTPServerAuthenticationResponse) => void,
  ): Promise<void> {
    try {
      const session = this.#sessionOf(client);
      const answer =
        (await this.#helo(session, client)) ??
        (await this.#reception.auth(session, {
          mechanism: auth.method,
          user: auth.username ?? "",
          secret: auth.password ?? "",
        }));
      if (answer.code === 235) done(null, { user: session.user });
      else done(asError(session, answer));
    } catch (error) {
      done(this.#bug(error));
    }
  }

  async #mailFrom(address: SMTPServerAddress, client: SMTPServerSession): Promise<Answer> {
    const session = this.#sessionOf(client);
    const refusal = await this.#helo(session, client);
    if (refusal) return refusal;
    const parameters = parametersOf(address);
    const options = readMailOptions(parameters, {
      // There is no CHUNKING for it.
      binaryMime: false,
      secure: session.tls !== null,
      prdr: false,
    });
    if (isError(options)) return { ...options, close: false };
    return await this.#reception.mailFrom(session, { path: address.address, parameters, options });
  }

  async #rcptTo(address: SMTPServerAddress, client: SMTPServerSession): Promise<Answer> {
    const parameters = parametersOf(address);
    const options = readRcptOptions(parameters);
    if (isError(options)) return { ...options, close: false };
    return await this.#reception.rcptTo(this.#sessionOf(client), { path: address.address, parameters, options });
  }

  /** The API shows no HELO: the event fires before the first command behind it that the API does show; keywords cannot be changed. */
  async #helo(session: InboundSession, client: SMTPServerSession): Promise<Answer | null> {
    const name = client.hostNameAppearsAs || "";
    if (name === session.helo) return null;
    const verb = this.#options.role === "lmtp" ? "LHLO" : client.openingCommand === "HELO" ? "HELO" : "EHLO";
    const given = await this.#reception.helo(session, { verb, name, keywords: [] });
    return "code" in given ? given : null;
  }

  async #data(
    stream: SMTPServerDataStream,
    client: SMTPServerSession,
    done: (error?: Error | null, message?: string | (string | Error)[]) => void,
  ): Promise<void> {
    const session = this.#sessionOf(client);
    this.#transactionsInHand++;
    let receiver: MailDataReceiver | undefined;
    try {
      // 354 was said before the API shows anything: a refusal is told at the end.
      const given = await this.#reception.data(session);
      receiver = this.#reception.receiveData(session);
      if (given.code !== 354) receiver.refuse(given);
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        const more = receiver.write(chunk);
        if (more) await more;
      }
      this.#deciding.add(client.id);
      const protocol = protocolOf(client.transmissionType, session);
      const perRecipient = this.#options.role === "lmtp";
      this.#answerData(await this.#reception.endOfData(session, receiver, { protocol, perRecipient }), session, done);
    } catch (error) {
      await receiver?.abort();
      // The client went away in the middle of the data: nobody is left to be answered.
      if (stream.errored || stream.destroyed) done(asError(session, no(451, "4.4.2", "Connection lost")));
      else done(this.#bug(error));
    } finally {
      this.#deciding.delete(client.id);
      this.#transactionsInHand--;
    }
  }

  #answerData(
    { answer, each }: EndOfData,
    session: InboundSession,
    done: (error?: Error | null, message?: string | (string | Error)[]) => void,
  ): void {
    const words = ({ status, text }: Answer) => formatReply({ code: 250, status, text }).slice(4);
    if (each)
      done(
        null,
        each.map((one) => (one.code === 250 ? words(one) : asError(session, one))),
      );
    else if (answer.code === 250) done(null, words(answer));
    else done(asError(session, answer));
  }

  #close(client: SMTPServerSession): void {
    this.#securedEarly.delete(client.id);
    const session = this.#sessions.get(client.id);
    if (!session) return;
    this.#sessions.delete(client.id);
    this.#reception.disconnect(session, "closed");
  }

  #answerTo(client: SMTPServerSession, done: Done, answer: Promise<Answer | null>): void {
    answer.then(
      (given) => done(given && given.code >= 400 ? asError(this.#sessions.get(client.id), given) : null),
      (error: unknown) => done(this.#bug(error)),
    );
  }

  #sessionOf(client: SMTPServerSession): InboundSession {
    const session = this.#sessions.get(client.id);
    if (!session) throw new Error(`Cannot find the session ${client.id}`);
    return session;
  }

  #bug(error: unknown): Error {
    this.#log.error("listener.failed", {
      listener: this.name,
      reason: describeThrown(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
    return asError(undefined, temporary);
  }
}

/** The library takes a refusal as an error, and closes the connection behind a 421 alone. */
function asError(session: InboundSession | undefined, answer: Answer): Error {
  if (answer.close && session) session.dropped = true;
  const code = answer.close ? 421 : answer.code;
  const status = answer.close && answer.status?.startsWith("5") ? `4${answer.status.slice(1)}` : answer.status;
  const error: SMTPServerError = new Error(formatReply({ code, status, text: answer.text }).slice(4));
  error.responseCode = code;
  return error;
}

function isError(options: object): options is CommandError {
  return "code" in options;
}

/** The library decodes xtext in every value; those that are xtext are put back, to be read like the native engine's. RFC 3461 §4. */
function parametersOf(address: SMTPServerAddress): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(address.args || {}).map(([keyword, value]) => {
      if (value === true) return [keyword, ""];
      if (keyword === "ORCPT") return [keyword, value.replace(/(?<=;).*$/s, encodeXtext)];
      return [keyword, (keyword === "ENVID" || keyword === "AUTH") && value !== "<>" ? encodeXtext(value) : value];
    }),
  );
}

/** In the words of RFC 3848 and RFC 6531 §4.3: the library knows neither of the UTF8 forms, and has `ELMTP`. */
function protocolOf(said: string, { transaction }: InboundSession): string {
  const base = said.replace("ELMTP", "LMTP");
  return transaction?.options.smtpUtf8
    ? base.replace(/^E?SMTP|^LMTP/, (word) => `UTF8${word.replace(/^E/, "")}`)
    : base;
}
