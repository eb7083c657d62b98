/** What handlers of the events of a session are given: a client talks to us, and there is no message yet. Types only. */
import type { Answers, ReadableHeaders, ReplyOptions, Session } from "./api-mail.ts";

/** What each of them may answer. */
export interface SessionAnswers extends Answers {
  /** A reply, 421 unless given, and the connection is closed. */
  drop(text?: string, reply?: ReplyOptions): void;
  /** Sinks behind this script are not asked; the server's own handling is. */
  settle(): void;
}

interface InSession extends SessionAnswers {
  readonly session: Session;
}

/** onConnect: `refuse` answers in the place of the greeting. */
export interface ConnectEvent extends InSession {
  /** The words of the greeting behind the server's name. */
  setBanner(text: string): void;
}

/** onHelo. */
export interface HeloEvent extends InSession {
  readonly verb: "HELO" | "EHLO" | "LHLO";
  /** What the client calls itself. */
  readonly name: string;
  /** What EHLO will be answered with, such as "SIZE 26214400". */
  readonly keywords: readonly string[];
  /** Adds a keyword, or parameters to one that is there. */
  offer(keyword: string, ...parameters: readonly string[]): void;
  /** Takes a keyword away. */
  hide(keyword: string): void;
}

/** Keyword in upper case to value; "" where it has none. */
export type Parameters = Readonly<Record<string, string>>;

/** onMailFrom. */
export interface MailFromEvent extends InSession {
  /** The reverse-path; null is `<>`. */
  readonly from: string | null;
  readonly parameters: Parameters;
  /** What the client says the message will have in octets; null where it does not. */
  readonly size: number | null;
  /** Another reverse-path for this message. */
  rewrite(from: string | null): void;
}

interface InTransaction extends InSession {
  readonly envelope: { readonly from: string | null; readonly to: readonly string[] };
}

/** onRcptTo. `envelope.to` are the recipients taken so far. */
export interface RcptToEvent extends InTransaction {
  readonly recipient: string;
  readonly parameters: Parameters;
  /** Another recipient in its place; several to expand it. */
  rewrite(...recipients: readonly [string, ...string[]]): void;
  /** Takes the recipient whatever the relay control says: as one of ours, or to be relayed. */
  accept(as: "local" | "relay"): void;
}

/** onData. */
export interface DataEvent extends InTransaction {}

/** onHeaders. */
export interface HeadersEvent extends InTransaction {
  readonly headers: ReadableHeaders;
  readonly subject: string;
  /** The body is thrown away as it comes; the message arrives with an empty one. */
  dropBody(): void;
}
