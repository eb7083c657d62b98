/**
 * THE event table: every event there is, as types and as facts. A new event is a new line here; the compiler then points at all that
 * must follow, and the reference page (docs/events.md) is made from it.
 */
import type {
  AuthSubject,
  CommandSubject,
  ConnectSubject,
  DataSubject,
  DisconnectSubject,
  EndOfDataSubject,
  HeadersSubject,
  HeloSubject,
  MailFromSubject,
  MessageSubject,
  RcptToSubject,
  ReplySubject,
  ResetSubject,
  SessionSubject,
} from "./subject.ts";
import type { DeferredSubject, FailedSubject, OutcomeSubject, TrackSubject } from "./subject-delivery.ts";
import type {
  BeforeDataSubject,
  MessageStartSubject,
  PerRecipientSubject,
  ServerResponseSubject,
  SessionEndSubject,
  SessionStartSubject,
} from "./subject-outbound.ts";
import type {
  CategorizeSubject,
  DsnSubject,
  LocalDeliverySubject,
  LogSubject,
  OversizeSubject,
  QueuedSubject,
  ResolveSubject,
  RouteSubject,
} from "./subject-transport.ts";

interface Ask<Subject> {
  readonly mode: "ask";
  readonly subject: Subject;
}
interface Tell<Subject> {
  readonly mode: "tell";
  readonly subject: Subject;
}

export interface Events {
  /** TCP accepted, no greeting sent yet. RFC 5321 §3.1. */
  onConnect: Ask<ConnectSubject>;
  /** A TLS handshake is done. RFC 3207. */
  onTls: Tell<SessionSubject>;
  /** HELO, EHLO or LHLO was parsed. RFC 5321 §4.1.1.1. */
  onHelo: Ask<HeloSubject>;
  /** A SASL exchange is complete. RFC 4954. */
  onAuth: Ask<AuthSubject>;
  /** MAIL was parsed, no reply has been sent. RFC 5321 §4.1.1.2. */
  onMailFrom: Ask<MailFromSubject>;
  /** RCPT was parsed, once per recipient. RFC 5321 §4.1.1.3. */
  onRcptTo: Ask<RcptToSubject>;
  /** DATA, or the first BDAT, was parsed; before 354. RFC 5321 §4.1.1.4, RFC 3030 §2. */
  onData: Ask<DataSubject>;
  /** The header section is complete, the body still arriving. */
  onHeaders: Ask<HeadersSubject>;
  /** End of data; the message can be read. RFC 5321 §4.1.1.4. */
  onEndOfData: Ask<EndOfDataSubject>;
  /** Any verb, before its typed event. */
  onCommand: Ask<CommandSubject>;
  /** A reply is about to be written. RFC 5321 §4.2. */
  onReply: Ask<ReplySubject>;
  /** The transaction was reset. RFC 5321 §4.1.1.5. */
  onReset: Tell<ResetSubject>;
  /** The connection is over. */
  onDisconnect: Tell<DisconnectSubject>;

  /** Before we connect to a next hop and say EHLO. */
  onSessionStart: Ask<SessionStartSubject>;
  /** Before our MAIL. */
  onMessageStart: Ask<MessageStartSubject>;
  /** Before each of our RCPTs. */
  onPerRecipient: Ask<PerRecipientSubject>;
  /** Before our DATA. */
  onBeforeData: Ask<BeforeDataSubject>;
  /** Before our QUIT. */
  onSessionEnd: Ask<SessionEndSubject>;
  /** After each reply of the peer. */
  onServerResponse: Ask<ServerResponseSubject>;

  /** A message came in, by whatever entrance; first of all transport events. */
  onArrival: Ask<MessageSubject>;
  /** Before recipients are resolved. */
  onPreCategorize: Ask<QueuedSubject>;
  /** Resolve sender and recipients. RFC 5321 §3.9. */
  onCategorize: Ask<CategorizeSubject>;
  /** The final recipients are known. */
  onPostCategorize: Ask<QueuedSubject>;
  /** Choose the next hop of a recipient's domain. RFC 5321 §5. */
  onRoute: Ask<RouteSubject>;
  /** A next hop becomes addresses. RFC 5321 §5.1. */
  onResolve: Ask<ResolveSubject>;
  /** A local recipient is about to get the message. */
  onLocalDelivery: Ask<LocalDeliverySubject>;
  /** The message exceeds the size limit. RFC 1870 §6. */
  onOversize: Ask<OversizeSubject>;
  /** A DSN is about to be made. RFC 3461. */
  onDsn: Ask<DsnSubject>;
  /** The next hop took responsibility for one recipient. RFC 5321 §6.1. */
  onDelivered: Tell<OutcomeSubject>;
  /** An attempt failed for now. RFC 5321 §4.5.4.1. */
  onDeferred: Tell<DeferredSubject>;
  /** An attempt failed for good. */
  onFailed: Tell<FailedSubject>;
  /** Every step in a message's life, with a numeric code and the time. */
  onTrack: Tell<TrackSubject>;
  /** A log line of level warn or error. */
  onLog: Tell<LogSubject>;
}

export type EventName = keyof Events;
export type AskName = { [Name in EventName]: Events[Name]["mode"] extends "ask" ? Name : never }[EventName];
export type TellName = Exclude<EventName, AskName>;
export type SubjectOf<Name extends EventName> = Events[Name]["subject"];
