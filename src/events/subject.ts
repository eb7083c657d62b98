/** Subjects: what an event is about. Sessions and transactions are ours, not a library's; sinks see them, listeners fill them. */
import type { Header } from "../mail/header.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import type { ReversePath } from "../mail/path.ts";
import type { Reply } from "../mail/status.ts";

export interface TlsFacts {
  /** Such as `TLSv1.3`. */
  readonly version: string;
  readonly cipher: string;
  /** Server name the client asked for. */
  readonly serverName: string | null;
}

/** A connection's conversation. Its facts grow while it lasts; only the listener writes them. */
export interface Session {
  readonly id: string;
  readonly listener: string;
  readonly role: "mx" | "submission" | "lmtp";
  /** The client's address without brackets. */
  readonly ip: string;
  readonly port: number;
  readonly host: string | null;
  readonly startedAt: number;
  /** What the client said behind HELO or EHLO; empty before. */
  readonly helo: string;
  readonly user: string | null;
  readonly tls: TlsFacts | null;
  /** For sinks to remember things until the session ends. */
  readonly notes: Map<string, unknown>;
}

/** Parameters of MAIL and RCPT, keyword in upper case to value; a keyword alone has the value "". RFC 5321 §4.1.1.11. */
export type Parameters = ReadonlyMap<string, string>;

/** From MAIL to the end of data. */
export interface Transaction {
  /** The id the message will have. */
  readonly id: string;
  readonly reversePath: ReversePath;
  readonly recipients: readonly Mailbox[];
  readonly parameters: Parameters;
}

export interface SessionSubject {
  readonly session: Session;
}

export interface MailFromSubject extends SessionSubject {
  readonly reversePath: ReversePath;
  readonly parameters: Parameters;
  /** Another reverse-path for this transaction. */
  rewrite(reversePath: ReversePath): void;
}

export interface RcptToSubject extends SessionSubject {
  readonly transaction: Transaction;
  /** As the client gave it, or as the last `rewrite` left it. */
  readonly forwardPath: Mailbox;
  readonly parameters: Parameters;
  /** Another recipient in its place; several to expand it. */
  rewrite(...forwardPaths: readonly [Mailbox, ...Mailbox[]]): void;
  /** Takes the recipient whatever the relay control says: as one of ours, or to be relayed. */
  accept(as: "local" | "relay"): void;
  /** What `accept` said last. */
  readonly accepted: "local" | "relay" | null;
}

export interface AuthSubject extends SessionSubject {
  readonly mechanism: string;
  readonly user: string;
  readonly secret: string;
  /** The exchange succeeded: the session goes on as this user. Without it the client is refused 535 5.7.8. */
  acceptAs(user: string): void;
}

export interface MessageSubject {
  readonly message: Message;
}

/** How an attempt for one recipient ended. */
export interface OutcomeSubject extends MessageSubject {
  readonly attemptId: string;
  readonly forwardPath: Mailbox;
  readonly nextHop: string;
  /** The peer's last word, where there was one. */
  readonly reply: Reply | null;
}

export interface DeferredSubject extends OutcomeSubject {
  readonly reason: string;
  /** Milliseconds since the Unix epoch. */
  readonly nextAttemptAt: number;
}

export interface FailedSubject extends OutcomeSubject {
  readonly reason: string;
}

/** The steps onTrack tells, with the numbers that name them for good. */
export const trackCodes = {
  received: 1000,
  refused: 1010,
  deferredAtArrival: 1011,
  discarded: 1020,
  quarantined: 1021,
  spooled: 1030,
  attempted: 1040,
  delivered: 1050,
  deferred: 1051,
  failed: 1052,
  reported: 1060,
  finished: 1070,
} as const;

export type TrackStep = keyof typeof trackCodes;

export interface TrackSubject {
  readonly messageId: string;
  readonly step: TrackStep;
  readonly code: number;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  readonly facts: Readonly<Record<string, unknown>>;
}

export interface DisconnectSubject extends SessionSubject {
  readonly reason: "quit" | "closed" | "error" | "timeout" | "dropped" | "shutdown";
  readonly messagesAccepted: number;
  readonly durationMs: number;
}

/** A conversation of ours with a next hop; made complete with the outbound events. */
export interface OutboundSubject {
  readonly nextHop: string;
  readonly attemptId: string;
}

export interface CommandSubject extends SessionSubject {
  readonly verb: string;
  readonly line: string;
}

export interface ReplySubject extends CommandSubject {
  readonly reply: Reply;
}

export interface HeadersSubject extends SessionSubject {
  readonly transaction: Transaction;
  readonly header: Header;
}
