/** Subjects of outbound protocol events: our conversation with a next hop. The SMTP client fills them and does what sinks ask. */
import type { Mailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import type { Reply } from "../mail/status.ts";
import type { TlsFacts } from "./subject.ts";

/** How much TLS a connection needs. */
export type TlsPolicy =
  /** Never. */
  | "off"
  /** Where it is offered, any certificate; in the clear where the handshake fails. RFC 7435. */
  | "opportunistic"
  /** Always, any certificate. */
  | "required"
  /** Always, and the certificate proves the host's name. */
  | "verified";

/** A session of ours with a next hop; it may carry several messages. */
export interface OutboundSession {
  readonly id: string;
  /** As the queue names it: `smtp.example:587`. */
  readonly nextHop: string;
  readonly host: string;
  readonly port: number;
  /** Address we are connected to; null before. */
  readonly ip: string | null;
  readonly tls: TlsFacts | null;
  /** What the peer announced, keyword in upper case to parameters; empty before EHLO. */
  readonly extensions: ReadonlyMap<string, string>;
  /** Messages it has carried. */
  readonly messages: number;
  /** For sinks to remember things until the session ends. */
  readonly notes: Map<string, unknown>;
}

export interface OutboundSubject {
  readonly session: OutboundSession;
}

/** Commands of a sink's own, sent before the one the event stands before. */
export interface Insertable {
  /**
   * Sends this line first; its reply comes by onServerResponse, and a negative one changes nothing unless a sink says so.
   * @throws {Fault} `command.not-allowed` for what is no line, or a verb that the session's state hangs on (EHLO, MAIL, RCPT, DATA, BDAT, RSET, QUIT, STARTTLS, AUTH)
   */
  insert(line: string): void;
}

export interface SessionChoice {
  /** Our name behind EHLO. */
  readonly name: string;
  readonly tls: TlsPolicy;
  /** Local address to connect from; null leaves it to the system. */
  readonly sourceAddress: string | null;
  /** null: do not authenticate. */
  readonly credentials: { readonly user: string; readonly password: string } | null;
}

/**
 * Fires before the connection is made, so that all of it can be chosen. What is inserted goes out behind the greeting, before EHLO. Where a sink drops the
 * session, its messages are deferred. Whatever is chosen, a password goes into the clear only where the smarthost's own `tls` is `off`.
 */
export interface SessionStartSubject extends OutboundSubject, Insertable {
  readonly choice: SessionChoice;
  /** @throws {Fault} `command.not-allowed` for a name or an address that is none */
  choose(choice: Partial<SessionChoice>): void;
}

export interface OutboundMessageSubject extends OutboundSubject, Insertable {
  /** As it goes out. It is on its way: an edit of this copy changes nothing. */
  readonly message: Message;
  readonly attemptId: string;
}

/** MAIL or RCPT as it will be sent. */
export interface Rewritable {
  /** The line without its CRLF. */
  readonly command: string;
  /** Sets a parameter, or with null takes it away. @throws {Fault} `command.not-allowed` */
  setParameter(keyword: string, value: string | null): void;
  /** Another line in its place; it has to begin with the same verb. @throws {Fault} `command.not-allowed` */
  setCommand(line: string): void;
}

/** A verdict answers for every recipient: refuse for good, defer for now; drop closes the connection besides. The peer hears nothing of the message. */
export interface MessageStartSubject extends OutboundMessageSubject, Rewritable {
  readonly recipients: readonly Mailbox[];
}

/**
 * A verdict answers for this recipient, and the peer is not asked about him; drop gives the whole transaction up. Where commands are pipelined, all
 * recipients are asked about before the first command leaves.
 */
export interface PerRecipientSubject extends OutboundMessageSubject, Rewritable {
  readonly forwardPath: Mailbox;
  /** From 0, within this transaction. */
  readonly index: number;
}

/** A verdict answers for all of `recipients`; the transaction is reset, and with drop the connection is closed. */
export interface BeforeDataSubject extends OutboundMessageSubject {
  /** Those the peer has accepted. */
  readonly recipients: readonly Mailbox[];
}

export interface SessionEndSubject extends OutboundSubject, Insertable {
  /**
   * Keeps the connection for the next message instead of QUIT, for as long as idle connections are kept; then the event fires again. Not where the
   * next hop has changed, the server stops, or the peer takes no more (RFC 9422).
   */
  keep(): void;
}

/**
 * While a sink is bound here nothing is pipelined, so that each reply is heard before the next command. A verdict says what the reply counts as: refuse for
 * good, defer for now; drop closes the connection. Before MAIL it ends the session, whose messages are deferred. A recipient the peer took and a sink does
 * not want is left out, and the transaction begun anew. From 2yz at the end of data the message is the peer's: nothing takes that back.
 */
export interface ServerResponseSubject extends OutboundSubject {
  /** The verb it answers; "" for the greeting, `_EOD` for the end of data. */
  readonly verb: string;
  /** The line we sent, secrets masked; "" for the greeting. */
  readonly command: string;
  readonly reply: Reply;
  /** Whether a sink inserted the command. */
  readonly inserted: boolean;
  readonly message: Message | null;
  readonly attemptId: string | null;
  /** For RCPT. */
  readonly forwardPath: Mailbox | null;
  /**
   * Takes a negative reply for a positive one.
   * @throws {Fault} `reply.custody` at the greeting, EHLO, STARTTLS, MAIL, RCPT, DATA and the end of data: what the peer did not take is not delivered
   */
  accept(): void;
  /** What follows: the transaction is given up with RSET, or the session with QUIT. The recipients without an answer are deferred. */
  goOn(by: "reset" | "quit"): void;
}
