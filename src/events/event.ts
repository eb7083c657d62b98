/**
 * THE event table: every event there is, as types and as facts. A new event is a new line here; the compiler then points at all that
 * must follow, and the reference page (docs/events.md) is made from it.
 */

import type { Mailbox } from "../mail/mailbox.ts";
import type {
  AuthSubject,
  CommandSubject,
  DeferredSubject,
  DisconnectSubject,
  FailedSubject,
  HeadersSubject,
  MailFromSubject,
  MessageSubject,
  OutboundSubject,
  OutcomeSubject,
  RcptToSubject,
  ReplySubject,
  SessionSubject,
  TrackSubject,
  Transaction,
} from "./subject.ts";
import type { VerdictKind } from "./verdict.ts";

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
  onConnect: Ask<SessionSubject>;
  /** A TLS handshake is done. RFC 3207. */
  onTls: Tell<SessionSubject>;
  /** HELO, EHLO or LHLO was parsed. RFC 5321 §4.1.1.1. */
  onHelo: Ask<SessionSubject & { readonly name: string }>;
  /** A SASL exchange is complete. RFC 4954. */
  onAuth: Ask<AuthSubject>;
  /** MAIL was parsed, no reply has been sent. RFC 5321 §4.1.1.2. */
  onMailFrom: Ask<MailFromSubject>;
  /** RCPT was parsed, once per recipient. RFC 5321 §4.1.1.3. */
  onRcptTo: Ask<RcptToSubject>;
  /** DATA was parsed, before 354. RFC 5321 §4.1.1.4. */
  onData: Ask<SessionSubject & { readonly transaction: Transaction }>;
  /** The header section is complete, the body still arriving. */
  onHeaders: Ask<HeadersSubject>;
  /** End of data; the message can be read. RFC 5321 §4.1.1.4. */
  onEndOfData: Ask<SessionSubject & MessageSubject>;
  /** Any verb, before its typed event. */
  onCommand: Ask<CommandSubject>;
  /** A reply is about to be written. RFC 5321 §4.2. */
  onReply: Ask<ReplySubject>;
  /** The transaction was reset. RFC 5321 §4.1.1.5. */
  onReset: Tell<SessionSubject>;
  /** The connection is over. */
  onDisconnect: Tell<DisconnectSubject>;

  /** Before our EHLO to a next hop. */
  onSessionStart: Ask<OutboundSubject>;
  /** Before our MAIL. */
  onMessageStart: Ask<OutboundSubject & MessageSubject>;
  /** Before each of our RCPTs. */
  onPerRecipient: Ask<OutboundSubject & MessageSubject & { readonly forwardPath: Mailbox }>;
  /** Before our DATA. */
  onBeforeData: Ask<OutboundSubject & MessageSubject>;
  /** Before our QUIT. */
  onSessionEnd: Ask<OutboundSubject>;
  /** After each reply of the peer. */
  onServerResponse: Ask<OutboundSubject & { readonly command: string }>;

  /** A message came in, by whatever entrance; first of all transport events. */
  onArrival: Ask<MessageSubject>;
  /** Before recipients are resolved. */
  onPreCategorize: Ask<MessageSubject>;
  /** Resolve sender and recipients. */
  onCategorize: Ask<MessageSubject>;
  /** The final recipients are known. */
  onPostCategorize: Ask<MessageSubject & { readonly attemptId: string }>;
  /** Choose the next hop of a recipient's domain. */
  onRoute: Ask<MessageSubject & { readonly domain: string }>;
  /** A next hop becomes addresses. */
  onResolve: Ask<{ readonly nextHop: string }>;
  /** A local recipient is about to get the message. */
  onLocalDelivery: Ask<MessageSubject & { readonly forwardPath: Mailbox }>;
  /** The message exceeds the size limit. */
  onOversize: Ask<SessionSubject & { readonly sizeOctets: number }>;
  /** A DSN is about to be made. RFC 3461. */
  onDsn: Ask<MessageSubject>;
  /** The next hop took responsibility for one recipient. RFC 5321 §6.1. */
  onDelivered: Tell<OutcomeSubject>;
  /** An attempt failed for now. RFC 5321 §4.5.4.1. */
  onDeferred: Tell<DeferredSubject>;
  /** An attempt failed for good. */
  onFailed: Tell<FailedSubject>;
  /** Every step in a message's life, with a numeric code and the time. */
  onTrack: Tell<TrackSubject>;
  /** A log line of level warn or error. */
  onLog: Tell<{ readonly level: "warn" | "error"; readonly event: string }>;
}

export type EventName = keyof Events;
export type AskName = { [Name in EventName]: Events[Name]["mode"] extends "ask" ? Name : never }[EventName];
export type TellName = Exclude<EventName, AskName>;
export type SubjectOf<Name extends EventName> = Events[Name]["subject"];

/** What the type of an event cannot say at run time. */
export interface EventFacts {
  readonly mode: "ask" | "tell";
  readonly family: "inbound" | "outbound" | "transport";
  /** Whether this version of the server fires it; the reference says so. */
  readonly fired: boolean;
  /** Whether scripts may handle it. */
  readonly scripts: boolean;
  /** Verdicts it takes besides `proceed`; empty for tell events. */
  readonly verdicts: readonly VerdictKind[];
  /** When it fires, in one sentence. */
  readonly when: string;
  /** The event of the Windows SMTP service it continues. */
  readonly ancestor: string | null;
}

const protocol = ["refuse", "defer", "drop"] as const;
const whole = ["refuse", "defer", "discard", "quarantine"] as const;

export const eventTable: { readonly [Name in EventName]: EventFacts & { readonly mode: Events[Name]["mode"] } } = {
  onConnect: {
    mode: "ask",
    family: "inbound",
    fired: true,
    scripts: false,
    verdicts: protocol,
    when: "TCP accepted, before the greeting",
    ancestor: null,
  },
  onTls: {
    mode: "tell",
    family: "inbound",
    fired: true,
    scripts: false,
    verdicts: [],
    when: "TLS handshake done",
    ancestor: null,
  },
  onHelo: {
    mode: "ask",
    family: "inbound",
    fired: true,
    scripts: false,
    verdicts: protocol,
    when: "HELO or EHLO parsed; with the library engine, before the first command that follows it",
    ancestor: "OnInboundCommand EHLO",
  },
  onAuth: {
    mode: "ask",
    family: "inbound",
    fired: true,
    scripts: false,
    verdicts: protocol,
    when: "SASL exchange complete",
    ancestor: "OnInboundCommand AUTH",
  },
  onMailFrom: {
    mode: "ask",
    family: "inbound",
    fired: true,
    scripts: false,
    verdicts: protocol,
    when: "MAIL parsed",
    ancestor: "OnInboundCommand MAIL",
  },
  onRcptTo: {
    mode: "ask",
    family: "inbound",
    fired: true,
    scripts: false,
    verdicts: protocol,
    when: "RCPT parsed, once per recipient",
    ancestor: "OnInboundCommand RCPT",
  },
  onData: {
    mode: "ask",
    family: "inbound",
    fired: false,
    scripts: false,
    verdicts: protocol,
    when: "DATA parsed, before 354",
    ancestor: "OnInboundCommand DATA",
  },
  onHeaders: {
    mode: "ask",
    family: "inbound",
    fired: false,
    scripts: false,
    verdicts: protocol,
    when: "header section complete, body still arriving",
    ancestor: null,
  },
  onEndOfData: {
    mode: "ask",
    family: "inbound",
    fired: true,
    scripts: false,
    verdicts: [...whole, "drop"],
    when: "end of data, message readable",
    ancestor: "OnInboundCommand _EOD",
  },
  onCommand: {
    mode: "ask",
    family: "inbound",
    fired: false,
    scripts: false,
    verdicts: protocol,
    when: "any verb, before its typed event",
    ancestor: "OnInboundCommand",
  },
  onReply: {
    mode: "ask",
    family: "inbound",
    fired: false,
    scripts: false,
    verdicts: [],
    when: "a reply is about to be written",
    ancestor: "native response set and append",
  },
  onReset: {
    mode: "tell",
    family: "inbound",
    fired: false,
    scripts: false,
    verdicts: [],
    when: "transaction reset",
    ancestor: null,
  },
  onDisconnect: {
    mode: "tell",
    family: "inbound",
    fired: true,
    scripts: false,
    verdicts: [],
    when: "connection over",
    ancestor: null,
  },
  onSessionStart: {
    mode: "ask",
    family: "outbound",
    fired: false,
    scripts: false,
    verdicts: ["drop"],
    when: "before our EHLO",
    ancestor: "OnSessionStart",
  },
  onMessageStart: {
    mode: "ask",
    family: "outbound",
    fired: false,
    scripts: false,
    verdicts: ["refuse", "defer", "drop"],
    when: "before our MAIL",
    ancestor: "OnMessageStart",
  },
  onPerRecipient: {
    mode: "ask",
    family: "outbound",
    fired: false,
    scripts: false,
    verdicts: ["refuse", "defer", "drop"],
    when: "before each of our RCPTs",
    ancestor: "OnPerRecipient",
  },
  onBeforeData: {
    mode: "ask",
    family: "outbound",
    fired: false,
    scripts: false,
    verdicts: ["refuse", "defer", "drop"],
    when: "before our DATA",
    ancestor: "OnBeforeData",
  },
  onSessionEnd: {
    mode: "ask",
    family: "outbound",
    fired: false,
    scripts: false,
    verdicts: [],
    when: "before our QUIT",
    ancestor: "OnSessionEnd",
  },
  onServerResponse: {
    mode: "ask",
    family: "outbound",
    fired: false,
    scripts: false,
    verdicts: ["refuse", "defer", "drop"],
    when: "after each reply of the peer",
    ancestor: "OnServerResponse",
  },
  onArrival: {
    mode: "ask",
    family: "transport",
    fired: true,
    scripts: true,
    verdicts: whole,
    when: "once per message, from every entrance, first of all",
    ancestor: "OnArrival, OnTransportSubmission",
  },
  onPreCategorize: {
    mode: "ask",
    family: "transport",
    fired: false,
    scripts: false,
    verdicts: whole,
    when: "before recipients are resolved",
    ancestor: "OnPreCategorize",
  },
  onCategorize: {
    mode: "ask",
    family: "transport",
    fired: false,
    scripts: false,
    verdicts: whole,
    when: "resolve sender and recipients",
    ancestor: "OnCategorize",
  },
  onPostCategorize: {
    mode: "ask",
    family: "transport",
    fired: false,
    scripts: false,
    verdicts: whole,
    when: "final recipients known",
    ancestor: "OnPostCategorize",
  },
  onRoute: {
    mode: "ask",
    family: "transport",
    fired: false,
    scripts: false,
    verdicts: ["refuse", "defer"],
    when: "per recipient domain, to choose the next hop",
    ancestor: "OnGetMessageRouter",
  },
  onResolve: {
    mode: "ask",
    family: "transport",
    fired: false,
    scripts: false,
    verdicts: ["refuse", "defer"],
    when: "a next hop becomes addresses",
    ancestor: "DnsResolver",
  },
  onLocalDelivery: {
    mode: "ask",
    family: "transport",
    fired: false,
    scripts: false,
    verdicts: whole,
    when: "per local recipient",
    ancestor: "StoreDriver LocalDelivery",
  },
  onOversize: {
    mode: "ask",
    family: "transport",
    fired: false,
    scripts: false,
    verdicts: ["refuse"],
    when: "a message exceeds the size limit",
    ancestor: "MaxMsgSize",
  },
  onDsn: {
    mode: "ask",
    family: "transport",
    fired: false,
    scripts: false,
    verdicts: ["discard"],
    when: "a DSN is about to be made",
    ancestor: "DSN generation",
  },
  onDelivered: {
    mode: "tell",
    family: "transport",
    fired: true,
    scripts: false,
    verdicts: [],
    when: "an attempt delivered to a recipient",
    ancestor: null,
  },
  onDeferred: {
    mode: "tell",
    family: "transport",
    fired: true,
    scripts: false,
    verdicts: [],
    when: "an attempt failed for now",
    ancestor: null,
  },
  onFailed: {
    mode: "tell",
    family: "transport",
    fired: true,
    scripts: false,
    verdicts: [],
    when: "an attempt failed for good",
    ancestor: null,
  },
  onTrack: {
    mode: "tell",
    family: "transport",
    fired: true,
    scripts: false,
    verdicts: [],
    when: "every tracking step, with a numeric code and time",
    ancestor: "MsgTrackLog",
  },
  onLog: {
    mode: "tell",
    family: "transport",
    fired: false,
    scripts: false,
    verdicts: [],
    when: "a log line of level warn and up",
    ancestor: "event log",
  },
};

export const eventNames = Object.keys(eventTable) as readonly EventName[];

export function isEventName(text: string): text is EventName {
  return Object.hasOwn(eventTable, text);
}
