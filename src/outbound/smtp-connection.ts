/**
 * One connection to a next hop, as promises over nodemailer's SMTPConnection. That class stuffs dots and would turn bare CR and LF into CRLF, and end a
 * last line that has no end; what reception took has neither, so messages arrive as they are. It keeps no promise of ours: deadlines are set here.
 */
import { Readable } from "node:stream";
import SMTPConnection, {
  type SMTPConnectionEnvelope,
  type SMTPConnectionOptions,
} from "nodemailer/lib/smtp-connection";
import type { Message } from "../mail/message.ts";
import type { Reply } from "../mail/status.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import { formatSmarthost, type Smarthost } from "./next-hop.ts";
import { parsePeerReply, type ReplyStage } from "./peer-reply.ts";

export interface ConnectionSettings {
  readonly smarthost: Smarthost;
  /** Our name, for EHLO. */
  readonly hostName: string;
  readonly clock: Clock;
  /** Certificates to trust in place of the system's; PEM. */
  readonly certificateAuthorities?: string;
  readonly limits: ConnectionLimits;
}

export interface ConnectionLimits {
  /** From the look-up of the name to the end of the TLS handshake. */
  readonly connectMsMax: number;
  /** Silence of the peer, the reply to the final dot included. RFC 5321 §4.5.3.2.6. */
  readonly silenceMsMax: number;
  /** A whole transaction, beside what its size needs. */
  readonly transactionMsMax: number;
  /** Least speed at which we wait for a message to be taken, in octets a second. */
  readonly octetsPerSecondMin: number;
  /** Octets of one reply. */
  readonly replyOctetsMax: number;
}

export const connectionLimits: ConnectionLimits = {
  connectMsMax: 2 * 60_000,
  silenceMsMax: 10 * 60_000,
  transactionMsMax: 20 * 60_000,
  octetsPerSecondMin: 1_024,
  replyOctetsMax: 64 * 1024,
};

/** A transaction or session that did not go through. */
export class PeerFailure extends Error {
  /** The peer's last word, or undefined where it said nothing. */
  readonly reply: Reply | undefined;
  readonly stage: ReplyStage;
  /** The TLS handshake failed. */
  readonly tls: boolean;

  constructor(
    message: string,
    facts: {
      readonly reply?: Reply | undefined;
      readonly stage: ReplyStage;
      readonly tls?: boolean;
      readonly cause?: unknown;
    },
  ) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = "PeerFailure";
    this.reply = facts.reply;
    this.stage = facts.stage;
    this.tls = facts.tls ?? false;
  }
}

export interface TransactionEnvelope {
  /** As the wire has it, "" for the null reverse-path. */
  readonly from: string;
  readonly to: readonly string[];
  readonly sizeOctets: number;
  readonly eightBit: boolean;
}

export interface TransactionResult {
  /** The reply to the final dot; undefined where the transaction did not come that far. */
  readonly reply: Reply | undefined;
  /** Recipients the peer refused, with its words. */
  readonly refused: ReadonlyMap<string, Reply>;
  /** Why the transaction failed, for every recipient that was not refused by itself. */
  readonly failure: PeerFailure | undefined;
  /** Whether octets of the message were given out. */
  readonly dataBegun: boolean;
}

export class PeerConnection {
  readonly #connection: SMTPConnection;
  readonly #settings: ConnectionSettings;
  readonly #extensions: ReadonlyMap<string, string>;
  #failPending: ((failure: Error) => void) | undefined;
  #transactions = 0;
  /** Called once when the connection is over. */
  onEnd: () => void = () => {};

  constructor(connection: SMTPConnection, settings: ConnectionSettings, extensions: ReadonlyMap<string, string>) {
    this.#connection = connection;
    this.#settings = settings;
    this.#extensions = extensions;
    connection.on("error", (error: Error) => this.#failPending?.(error));
    connection.on("end", () => {
      // The error that ended it comes in the same turn and says more.
      setImmediate(() => this.#failPending?.(new Error("the connection was closed")));
      this.onEnd();
    });
  }

  /** Connects, encrypts and authenticates as the smarthost asks. @throws {PeerFailure} */
  static async open(settings: ConnectionSettings): Promise<PeerConnection> {
    const { smarthost } = settings;
    try {
      return await connect(settings, smarthost.tls === "off");
    } catch (error) {
      // A handshake that fails says nothing against the mail: opportunistic means that a clear connection is better than none. RFC 7435 §3.
      const mayBeClear =
        smarthost.tls === "opportunistic" && smarthost.implicitTls !== true && smarthost.user === undefined;
      if (!(error instanceof PeerFailure && error.tls && mayBeClear)) throw error;
      return connect(settings, true);
    }
  }

  get alive(): boolean {
    return !this.#connection.destroyed;
  }

  get transactions(): number {
    return this.#transactions;
  }

  /** Whether the peer announced an extension, by its keyword in upper case. */
  supports(keyword: string): boolean {
    return this.#extensions.has(keyword);
  }

  /** Octets of a message the peer takes, 0 where it does not say. RFC 1870 §4. */
  get sizeOctetsMax(): number {
    return Number(this.#extensions.get("SIZE")) || 0;
  }

  /** One transaction. Never throws: what went wrong is in the result. The connection is closed where it cannot be used again. */
  async send(envelope: TransactionEnvelope, message: Message): Promise<TransactionResult> {
    this.#transactions += 1;
    let dataBegun = false;
    const content = Readable.from(
      (async function* () {
        dataBegun = true;
        yield* message.chunks();
      })(),
      { objectMode: false },
    );
    // nodemailer keeps its accounts on this very object: the only place that has the refused recipients of a transaction that failed later.
    const account: Partial<SMTPConnectionEnvelope> = {
      from: envelope.from,
      to: [...envelope.to],
      size: envelope.sizeOctets,
      use8BitMime: envelope.eightBit,
    };
    const { limits } = this.#settings;
    const deadlineMs = limits.transactionMsMax + (envelope.sizeOctets / limits.octetsPerSecondMin) * 1_000;
    let failure: PeerFailure | undefined;
    let reply: Reply | undefined;
    try {
      const info = await this.#within(
        deadlineMs,
        (done: (error: Error | null, info?: { readonly response: string }) => void) =>
          this.#connection.send(account, content, done),
      );
      reply = parsePeerReply(info.response);
    } catch (error) {
      failure = describeFailure(error, "data");
    }
    content.destroy();
    const refused = new Map<string, Reply>();
    if (failure?.stage !== "mail") {
      for (const { recipient, response } of account.rejectedErrors ?? []) {
        const words = parsePeerReply(String(response ?? ""));
        if (recipient !== undefined && words) refused.set(recipient, words);
      }
    }
    if (failure) await this.#tidyUp(failure);
    return { reply, refused, failure, dataBegun };
  }

  /** Says QUIT, and closes at the latest a second later. */
  quit(): void {
    if (!this.alive) return;
    this.#connection.quit();
    this.#settings.clock.after(1_000, () => this.close());
  }

  close(): void {
    this.#connection.close();
  }

  /** After a failure: without a reply nobody knows where the session stands, with one RSET says it. */
  async #tidyUp(failure: PeerFailure): Promise<void> {
    if (!failure.reply || failure.reply.code === 421 || !this.alive) {
      this.close();
      return;
    }
    try {
      await this.#within(this.#settings.limits.connectMsMax, (done: (error: Error | null, result?: boolean) => void) =>
        this.#connection.reset(done),
      );
    } catch {
      this.close();
    }
  }

  /** A call with a callback as a promise that a lost connection and a deadline end too. */
  #within<Value>(
    deadlineMs: number,
    call: (done: (error: Error | null, value?: Value) => void) => void,
  ): Promise<Value> {
    return new Promise<Value>((resolve, reject) => {
      const cancel = this.#settings.clock.after(deadlineMs, () => {
        end(() => reject(new Error(`not done within ${Math.round(deadlineMs / 1_000)} s`)));
        this.close();
      });
      let ended = false;
      const end = (settle: () => void) => {
        if (ended) return;
        ended = true;
        cancel();
        this.#failPending = undefined;
        settle();
      };
      this.#failPending = (error) => end(() => reject(error));
      call((error, value) => end(() => (error ? reject(error) : resolve(value as Value))));
    });
  }
}

async function connect(settings: ConnectionSettings, clear: boolean): Promise<PeerConnection> {
  const { smarthost } = settings;
  const connection = new SMTPConnection(connectionOptions(settings, clear));
  // An error nobody listens for would end the process; after the first one the rest is noise.
  connection.on("error", () => {});
  try {
    await new Promise<void>((resolve, reject) => {
      connection.once("error", reject);
      connection.once("end", () => setImmediate(() => reject(new Error("the connection was closed"))));
      connection.connect((error) => (error ? reject(error) : resolve()));
    });
    const extensions = readExtensions(connection.lastServerResponse || "");
    if (smarthost.user !== undefined && smarthost.password !== undefined)
      await logIn(connection, smarthost, smarthost.user, smarthost.password);
    return new PeerConnection(connection, settings, extensions);
  } catch (error) {
    // A handshake may fail in many words; that it had begun and not ended is what they have in common.
    const tls = connection.upgrading === true || (error as { readonly code?: unknown }).code === "ETLS";
    connection.close();
    throw describeFailure(error, "session", { prefix: `Cannot talk to ${formatSmarthost(smarthost)}`, tls });
  }
}

function connectionOptions(
  { smarthost, hostName, limits, certificateAuthorities }: ConnectionSettings,
  clear: boolean,
): SMTPConnectionOptions {
  return {
    host: smarthost.host,
    port: smarthost.port,
    secure: smarthost.implicitTls ?? false,
    ignoreTLS: clear,
    requireTLS: smarthost.tls === "required" && smarthost.implicitTls !== true,
    opportunisticTLS: smarthost.tls === "opportunistic",
    name: hostName,
    connectionTimeout: limits.connectMsMax,
    greetingTimeout: limits.connectMsMax,
    dnsTimeout: Math.min(limits.connectMsMax, 30_000),
    socketTimeout: limits.silenceMsMax,
    maxResponseSize: limits.replyOctetsMax,
    allowInternalNetworkInterfaces: true,
    tls: {
      rejectUnauthorized: smarthost.tls !== "opportunistic",
      ...(certificateAuthorities === undefined ? {} : { ca: certificateAuthorities }),
    },
  };
}

async function logIn(connection: SMTPConnection, smarthost: Smarthost, user: string, pass: string): Promise<void> {
  if (!connection.secure && smarthost.tls !== "off")
    throw new Error("it offers no TLS, and the password is not sent in the clear");
  await new Promise<void>((resolve, reject) => {
    connection.once("error", reject);
    connection.once("end", () => setImmediate(() => reject(new Error("the connection was closed"))));
    connection.login({ user, pass }, (error) => (error ? reject(error) : resolve()));
  });
}

/** Keywords of an EHLO reply with what stands behind them; empty for HELO. RFC 5321 §4.1.1.1. */
function readExtensions(reply: string): Map<string, string> {
  const lines = reply.split(/\r?\n/).slice(1);
  return new Map(
    lines.map((line) => {
      const [keyword = "", ...rest] = line.slice(4).trim().split(/\s+/);
      return [keyword.toUpperCase(), rest.join(" ")];
    }),
  );
}

/** What nodemailer's error says, in our words. */
function describeFailure(
  error: unknown,
  stage: ReplyStage,
  facts: { readonly prefix?: string; readonly tls?: boolean } = {},
): PeerFailure {
  const { response, command } = error as { readonly response?: unknown; readonly command?: unknown };
  const said = typeof response === "string" ? response : undefined;
  // The message repeats the reply behind a colon; it is told by itself.
  const words = describeThrown(error)
    .replace(said === undefined ? "" : `: ${said}`, "")
    .replace(/ response=.*$/s, "");
  return new PeerFailure(facts.prefix ? `${facts.prefix}: ${words}` : words, {
    reply: said === undefined ? undefined : parsePeerReply(said),
    stage: stage === "session" ? stage : command === "MAIL FROM" ? "mail" : command === "RCPT TO" ? "rcpt" : stage,
    tls: facts.tls ?? false,
    cause: error,
  });
}
