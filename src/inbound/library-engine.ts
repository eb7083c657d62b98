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
import { formatReply } from "../mail/status.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { Answer } from "./answer.ts";
import { listenFault } from "./listen-fault.ts";
import type { Listener, ListenerOptions } from "./listener.ts";
import type { MailDataReceiver } from "./mail-data.ts";
import type { Reception } from "./reception.ts";
import { InboundSession } from "./session.ts";

/** Command lines up to this length are taken; RFC 5321 §4.5.3.1.4 asks for 512, extensions and AUTH for more (RFC 4954 §4). */
const commandOctetsMax = 12_288;

/** Parameters of the extensions this engine offers: RFC 1870, RFC 6152, RFC 6531, RFC 4954. */
const mailParameters: ReadonlySet<string> = new Set(["SIZE", "BODY", "SMTPUTF8", "AUTH"]);
const rcptParameters: ReadonlySet<string> = new Set();

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
    if (!options.tls) disabledCommands.push("STARTTLS");
    // No credentials in the clear: without a certificate there is no AUTH either. RFC 4954 §4.
    if (!options.tls || !reception.authenticates) disabledCommands.push("AUTH");
    this.#server = new SMTPServer({
      name: options.hostname,
      banner: "OnArrival",
      logger: false,
      ...(options.tls ? { cert: options.tls.cert, key: options.tls.key } : {}),
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
      onConnect: (session, done) => this.#answerTo(session, done, this.#connect(session)),
      onSecure: (socket, session, done) => this.#secure(socket, session, done),
      onAuth: (auth, session, done) => void this.#authenticate(auth, session, done),
      onMailFrom: (address, session, done) => this.#answerTo(session, done, this.#mailFrom(address, session)),
      onRcptTo: (address, session, done) => this.#answerTo(session, done, this.#rcptTo(address, session)),
      onData: (stream, session, done) => void this.#data(stream, session, done),
      onClose: (session) => this.#close(session),
    });
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

  async #connect(client: SMTPServerSession): Promise<Answer | null> {
    const session = new InboundSession({
      listener: this.name,
      role: this.#options.role,
      ip: client.remoteAddress.replace(/^::ffff:(?=\d+\.)/, ""),
      port: client.remotePort,
      startedAt: this.#clock.now(),
    });
    this.#sessions.set(client.id, session);
    return await this.#reception.connect(session);
  }

  #secure(socket: Socket | TLSSocket, client: SMTPServerSession, done: Done): void {
    const session = this.#sessionOf(client);
    // Nothing said before the handshake counts. RFC 3207 §4.2.
    session.helo = "";
    session.user = null;
    session.transaction = null;
    const secured = socket as Partial<TLSSocket>;
    session.tls = {
      version: secured.getProtocol?.() ?? "TLS",
      cipher: secured.getCipher?.().name ?? "",
      serverName: typeof client.servername === "string" && client.servername !== "" ? client.servername : null,
    };
    this.#reception.secured(session);
    done();
  }

  async #authenticate(
    auth: SMTPServerAuthentication,
    client: SMTPServerSession,
    done: (error: Error | null | undefined, response?: SMTPServerAuthenticationResponse) => void,
  ): Promise<void> {
    try {
      const session = this.#sessionOf(client);
      const refusal = await this.#helo(session, client);
      const answer =
        refusal ??
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
    const refusal = (await this.#helo(session, client)) ?? unknownParameter(address, mailParameters);
    return refusal ?? (await this.#reception.mailFrom(session, address.address, parametersOf(address)));
  }

  async #rcptTo(address: SMTPServerAddress, client: SMTPServerSession): Promise<Answer> {
    const refusal = unknownParameter(address, rcptParameters);
    return refusal ?? (await this.#reception.rcptTo(this.#sessionOf(client), address.address, parametersOf(address)));
  }

  /** The API shows no HELO: the event fires before the first command behind it that the API does show. */
  async #helo(session: InboundSession, client: SMTPServerSession): Promise<Answer | null> {
    const name = client.hostNameAppearsAs || "";
    return name === session.helo ? null : await this.#reception.helo(session, name);
  }

  async #data(
    stream: SMTPServerDataStream,
    client: SMTPServerSession,
    done: (error?: Error | null, message?: string) => void,
  ): Promise<void> {
    const session = this.#sessionOf(client);
    this.#transactionsInHand++;
    let receiver: MailDataReceiver | undefined;
    try {
      receiver = this.#reception.receiveData();
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        const more = receiver.write(chunk);
        if (more) await more;
      }
      this.#deciding.add(client.id);
      const answer = await this.#reception.endOfData(session, receiver, client.transmissionType);
      if (answer.code === 250) done(null, `${answer.status} ${answer.text}`);
      else done(asError(session, answer));
    } catch (error) {
      await receiver?.abort();
      // The client went away in the middle of the data: nobody is left to be answered.
      if (stream.errored || stream.destroyed)
        done(asError(session, { code: 451, status: "4.4.2", text: "Connection lost", close: false }));
      else done(this.#bug(error));
    } finally {
      this.#deciding.delete(client.id);
      this.#transactionsInHand--;
    }
  }

  #close(client: SMTPServerSession): void {
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
    return asError(undefined, {
      code: 451,
      status: "4.3.0",
      text: "Temporary problem, please try again later",
      close: false,
    });
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

/** RFC 5321 §4.1.1.11: a parameter of an extension that was not offered is answered 555. */
function unknownParameter(address: SMTPServerAddress, known: ReadonlySet<string>): Answer | null {
  const unknown = Object.keys(address.args || {}).find((keyword) => !known.has(keyword));
  return unknown === undefined
    ? null
    : { code: 555, status: "5.5.4", text: "A parameter is not known here", close: false };
}

function parametersOf(address: SMTPServerAddress): ReadonlyMap<string, string> {
  return new Map(Object.entries(address.args || {}).map(([keyword, value]) => [keyword, value === true ? "" : value]));
}
