/** Subjects of inbound protocol events: what an event is about. Sessions and transactions are ours, not a library's; sinks see them, listeners fill them. */
import type { MailOptions, RecipientOptions } from "../mail/envelope.ts";
import type { Header } from "../mail/header.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import type { ReversePath } from "../mail/path.ts";
import type { Reply } from "../mail/status.ts";
import type { Parameters } from "../smtp/command.ts";
import type { ScramCredentials } from "../smtp/scram.ts";
import type { Dialogue } from "./dialogue.ts";
import type { Verdict } from "./verdict.ts";

export interface TlsFacts {
  /** Such as `TLSv1.3`. */
  readonly version: string;
  readonly cipher: string;
  /** Server name the client asked for, or we did. */
  readonly serverName: string | null;
  /** Certificate of the other side; null where it showed none. */
  readonly certificate: PeerCertificateFacts | null;
}

export interface PeerCertificateFacts {
  /** Common name, or the first alternative name. */
  readonly subject: string;
  /** SHA-256, upper-case hexadecimal with colons. */
  readonly fingerprint: string;
  /** Whether it leads to an authority we trust. */
  readonly verified: boolean;
}

/** A connection's conversation. Its facts grow while it lasts; only the listener writes them. */
export interface Session {
  readonly id: string;
  readonly listener: string;
  readonly role: "mx" | "submission" | "lmtp";
  /** The client's address without brackets: the connection's, or what a trusted peer says by PROXY or XCLIENT. */
  readonly ip: string;
  readonly port: number;
  /** Name of the client, where a trusted peer says it by XCLIENT. */
  readonly host: string | null;
  /** The other end of the connection itself. */
  readonly peer: { readonly ip: string; readonly port: number };
  readonly startedAt: number;
  /** What the client said behind HELO, EHLO or LHLO; empty before. */
  readonly helo: string;
  readonly user: string | null;
  readonly tls: TlsFacts | null;
  /** What a trusted peer says of the client it has the mail from, keyword in upper case to value; for logs, not for access. XFORWARD. */
  readonly forwarded: ReadonlyMap<string, string>;
  /** For sinks to remember things until the session ends. */
  readonly notes: Map<string, unknown>;
}

export type { Parameters };

/** From MAIL to the end of data. */
export interface Transaction {
  /** The id the message will have. */
  readonly id: string;
  readonly reversePath: ReversePath;
  readonly recipients: readonly Mailbox[];
  readonly parameters: Parameters;
  readonly options: MailOptions;
}

export interface SessionSubject {
  readonly session: Session;
}

export interface ConnectSubject extends SessionSubject {
  /** The words of the greeting behind our name, in the place of `ESMTP OnArrival`. @throws {Fault} `reply.invalid` */
  setBanner(text: string): void;
}

export interface HeloSubject extends SessionSubject {
  readonly verb: "HELO" | "EHLO" | "LHLO";
  readonly name: string;
  /** What EHLO will be answered with, a keyword and its parameters each, such as `SIZE 26214400`; empty for HELO. */
  readonly keywords: readonly string[];
  /** Adds a keyword, or parameters to one that is there: `offer("AUTH", "X-TOKEN")`. @throws {Fault} `reply.invalid` */
  offer(keyword: string, ...parameters: readonly string[]): void;
  /** Takes a keyword away. The command behind it is still understood. */
  hide(keyword: string): void;
}

export interface AuthSubject extends SessionSubject {
  readonly mechanism: string;
  readonly user: string;
  /** null where the mechanism proves it without telling it: answer with `verifyWith`. */
  readonly secret: string | null;
  /** The exchange succeeded: the session goes on as this user. Without it the client is refused 535 5.7.8. */
  acceptAs(user: string): void;
  /** Whom `acceptAs` named last; null: nobody yet. */
  readonly acceptedAs: string | null;
  /**
   * For SCRAM: what the user's proof is checked against; who passes goes on as `user`. Not called, the exchange goes on to the same end
   * as with a wrong password. RFC 5802 §5.
   */
  verifyWith(credentials: ScramCredentials, user?: string): void;
}

export interface MailFromSubject extends SessionSubject {
  readonly reversePath: ReversePath;
  readonly parameters: Parameters;
  readonly options: MailOptions;
  /** Another reverse-path for this transaction. */
  rewrite(reversePath: ReversePath): void;
}

export interface RcptToSubject extends SessionSubject {
  readonly transaction: Transaction;
  /** As the client gave it, or as the last `rewrite` left it. */
  readonly forwardPath: Mailbox;
  readonly parameters: Parameters;
  readonly options: RecipientOptions;
  /** Another recipient in its place; several to expand it. */
  rewrite(...forwardPaths: readonly [Mailbox, ...Mailbox[]]): void;
  /** Takes the recipient whatever the relay control says: as one of ours, or to be relayed. */
  accept(as: "local" | "relay"): void;
  /** What `accept` said last. */
  readonly accepted: "local" | "relay" | null;
}

export interface DataSubject extends SessionSubject {
  readonly transaction: Transaction;
}

export interface HeadersSubject extends DataSubject {
  readonly header: Header;
  /** Spools the header alone: the body is thrown away as it comes, and the message arrives with an empty one. */
  dropBody(): void;
}

export interface MessageSubject {
  readonly message: Message;
}

export interface EndOfDataSubject extends SessionSubject, MessageSubject {
  /** Whether the client hears a reply for each recipient: LMTP, or PRDR was asked for. */
  readonly perRecipient: boolean;
  /**
   * Refuses or defers the message for one recipient alone; it is taken off the envelope.
   * @throws {Fault} `recipient.not-alone` where the client hears one reply for all, or the mailbox is no recipient
   */
  answerRecipient(mailbox: Mailbox, verdict: Verdict): void;
}

export interface CommandSubject extends SessionSubject, Dialogue {
  /** In upper case; "" where the line has none. */
  readonly verb: string;
  /** Behind the verb, without blanks around it. */
  readonly argument: string;
  /** The whole line without its CRLF; an AUTH line holds a secret: never log it. */
  readonly line: string;
  readonly transaction: Transaction | null;
}

export interface ReplySubject extends SessionSubject {
  /** The command it answers; "" for the greeting, `_EOD` for the end of data. */
  readonly verb: string;
  /** As it stands after what sinks did to it. */
  readonly reply: Reply;
  /** Other words; several lines with "\n" between them. @throws {Fault} `reply.invalid` */
  replaceText(text: string): void;
  /** One line more. @throws {Fault} `reply.invalid` */
  append(line: string): void;
  /**
   * Another code, of the same class or a stricter one. What has handed over custody (2yz at the end of data) keeps its class.
   * @throws {Fault} `reply.invalid`, `reply.custody`
   */
  setCode(code: number, status?: string): void;
}

export interface ResetSubject extends SessionSubject {
  /** What was under way. */
  readonly transaction: Transaction;
  /** RSET, a second EHLO, STARTTLS, or a command's reply that ended it. */
  readonly by: "RSET" | "HELO" | "STARTTLS" | "reply";
}

export interface DisconnectSubject extends SessionSubject {
  readonly reason: "quit" | "closed" | "error" | "timeout" | "dropped" | "shutdown";
  readonly messagesAccepted: number;
  readonly durationMs: number;
}
