/** THE event table's facts: what the type of an event (event.ts) cannot say at run time. The reference page (docs/events.md) is made from it. */
import { Fault } from "../platform/fault.ts";
import type { EventName, Events, SubjectOf } from "./event.ts";
import type { Verdict, VerdictKind } from "./verdict.ts";

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
  /** Powers of its subject beside the verdicts, as a sink calls them. */
  readonly powers: readonly string[];
  /** The event of the Windows SMTP service it continues. */
  readonly ancestor: string | null;
}

const protocol = ["refuse", "defer", "drop"] as const;
const whole = ["refuse", "defer", "discard", "quarantine"] as const;

/** Names of the functions a subject has: the compiler knows which powers there are. */
type PowersOf<Subject> = {
  [Key in keyof Subject]-?: Subject[Key] extends (...args: never[]) => unknown ? Key : never;
}[keyof Subject];

export const eventTable: {
  readonly [Name in EventName]: EventFacts & {
    readonly mode: Events[Name]["mode"];
    readonly powers: readonly PowersOf<SubjectOf<Name>>[];
  };
} = {
  onConnect: {
    mode: "ask",
    family: "inbound",
    fired: true,
    scripts: true,
    verdicts: protocol,
    when: "TCP accepted, before the greeting",
    powers: ["setBanner"],
    ancestor: null,
  },
  onTls: {
    mode: "tell",
    family: "inbound",
    fired: true,
    scripts: false,
    verdicts: [],
    when: "TLS handshake done",
    powers: [],
    ancestor: null,
  },
  onHelo: {
    mode: "ask",
    family: "inbound",
    fired: true,
    scripts: true,
    verdicts: protocol,
    when: "HELO or EHLO parsed; with the library engine, before the first command that follows it",
    powers: ["offer", "hide"],
    ancestor: "OnInboundCommand EHLO",
  },
  onAuth: {
    mode: "ask",
    family: "inbound",
    fired: true,
    scripts: false,
    verdicts: protocol,
    when: "credentials are here, or a SCRAM exchange has told its user",
    powers: ["acceptAs", "verifyWith"],
    ancestor: "OnInboundCommand AUTH",
  },
  onMailFrom: {
    mode: "ask",
    family: "inbound",
    fired: true,
    scripts: true,
    verdicts: protocol,
    when: "MAIL parsed",
    powers: ["rewrite"],
    ancestor: "OnInboundCommand MAIL",
  },
  onRcptTo: {
    mode: "ask",
    family: "inbound",
    fired: true,
    scripts: true,
    verdicts: protocol,
    when: "RCPT parsed, once per recipient",
    powers: ["rewrite", "accept"],
    ancestor: "OnInboundCommand RCPT",
  },
  onData: {
    mode: "ask",
    family: "inbound",
    fired: true,
    scripts: true,
    verdicts: protocol,
    when: "DATA or the first BDAT parsed, before 354",
    powers: [],
    ancestor: "OnInboundCommand DATA",
  },
  onHeaders: {
    mode: "ask",
    family: "inbound",
    fired: true,
    scripts: true,
    verdicts: protocol,
    when: "header section complete, body still arriving",
    powers: ["dropBody"],
    ancestor: null,
  },
  onEndOfData: {
    mode: "ask",
    family: "inbound",
    fired: true,
    scripts: false,
    verdicts: [...whole, "drop"],
    when: "end of data, message readable",
    powers: ["answerRecipient"],
    ancestor: "OnInboundCommand _EOD",
  },
  onCommand: {
    mode: "ask",
    family: "inbound",
    fired: true,
    scripts: false,
    verdicts: protocol,
    when: "any verb, before its typed event; not with the library engine",
    powers: ["consume", "capture", "acceptAs"],
    ancestor: "OnInboundCommand",
  },
  onReply: {
    mode: "ask",
    family: "inbound",
    fired: true,
    scripts: false,
    verdicts: [],
    when: "a reply is about to be written; not with the library engine",
    powers: ["replaceText", "append", "setCode"],
    ancestor: "native response set and append",
  },
  onReset: {
    mode: "tell",
    family: "inbound",
    fired: true,
    scripts: false,
    verdicts: [],
    when: "transaction reset; not with the library engine",
    powers: [],
    ancestor: null,
  },
  onDisconnect: {
    mode: "tell",
    family: "inbound",
    fired: true,
    scripts: false,
    verdicts: [],
    when: "connection over",
    powers: [],
    ancestor: null,
  },
  onSessionStart: {
    mode: "ask",
    family: "outbound",
    fired: true,
    scripts: false,
    verdicts: ["defer", "drop"],
    when: "before we connect and say EHLO",
    powers: ["choose", "insert"],
    ancestor: "OnSessionStart",
  },
  onMessageStart: {
    mode: "ask",
    family: "outbound",
    fired: true,
    scripts: false,
    verdicts: ["refuse", "defer", "drop"],
    when: "before our MAIL",
    powers: ["setParameter", "setCommand", "insert"],
    ancestor: "OnMessageStart",
  },
  onPerRecipient: {
    mode: "ask",
    family: "outbound",
    fired: true,
    scripts: false,
    verdicts: ["refuse", "defer", "drop"],
    when: "before each of our RCPTs",
    powers: ["setParameter", "setCommand", "insert"],
    ancestor: "OnPerRecipient",
  },
  onBeforeData: {
    mode: "ask",
    family: "outbound",
    fired: true,
    scripts: false,
    verdicts: ["refuse", "defer", "drop"],
    when: "before our DATA",
    powers: ["insert"],
    ancestor: "OnBeforeData",
  },
  onSessionEnd: {
    mode: "ask",
    family: "outbound",
    fired: true,
    scripts: false,
    verdicts: [],
    when: "before our QUIT",
    powers: ["insert", "keep"],
    ancestor: "OnSessionEnd",
  },
  onServerResponse: {
    mode: "ask",
    family: "outbound",
    fired: true,
    scripts: false,
    verdicts: ["refuse", "defer", "drop"],
    when: "after each reply of the peer",
    powers: ["accept", "goOn"],
    ancestor: "OnServerResponse",
  },
  onArrival: {
    mode: "ask",
    family: "transport",
    fired: true,
    scripts: true,
    verdicts: whole,
    when: "once per message, from every entrance, first of all; with phase `queue`, after the 250",
    powers: [],
    ancestor: "OnArrival, OnTransportSubmission",
  },
  onPreCategorize: {
    mode: "ask",
    family: "transport",
    fired: true,
    scripts: true,
    verdicts: whole,
    when: "before recipients are resolved; recipients cannot be changed here",
    powers: [],
    ancestor: "OnPreCategorize",
  },
  onCategorize: {
    mode: "ask",
    family: "transport",
    fired: true,
    scripts: false,
    verdicts: whole,
    when: "once for each recipient, and each an expansion names, before the first attempt",
    powers: ["resolve", "split"],
    ancestor: "OnCategorize",
  },
  onPostCategorize: {
    mode: "ask",
    family: "transport",
    fired: true,
    scripts: true,
    verdicts: whole,
    when: "final recipients known, before the first attempt; again with another attempt id where a message is requeued",
    powers: [],
    ancestor: "OnPostCategorize",
  },
  onRoute: {
    mode: "ask",
    family: "transport",
    fired: true,
    scripts: true,
    verdicts: ["refuse", "defer"],
    when: "per recipient domain, to choose the next hop",
    powers: ["to"],
    ancestor: "OnGetMessageRouter",
  },
  onResolve: {
    mode: "ask",
    family: "transport",
    fired: true,
    scripts: false,
    verdicts: ["refuse", "defer"],
    when: "a next hop becomes addresses",
    powers: ["supply"],
    ancestor: "DnsResolver",
  },
  onLocalDelivery: {
    mode: "ask",
    family: "transport",
    fired: true,
    scripts: true,
    verdicts: whole,
    when: "per local recipient",
    powers: ["fileInto", "consume"],
    ancestor: "StoreDriver LocalDelivery",
  },
  onOversize: {
    mode: "ask",
    family: "transport",
    fired: true,
    scripts: false,
    verdicts: ["refuse"],
    when: "a message exceeds the size limit",
    powers: ["allow"],
    ancestor: "MaxMsgSize",
  },
  onDsn: {
    mode: "ask",
    family: "transport",
    fired: true,
    scripts: true,
    verdicts: ["discard"],
    when: "a DSN is about to be made",
    powers: ["setText", "setSubject"],
    ancestor: "DSN generation",
  },
  onDelivered: {
    mode: "tell",
    family: "transport",
    fired: true,
    scripts: true,
    verdicts: [],
    when: "an attempt delivered to a recipient",
    powers: [],
    ancestor: null,
  },
  onDeferred: {
    mode: "tell",
    family: "transport",
    fired: true,
    scripts: true,
    verdicts: [],
    when: "an attempt failed for now",
    powers: [],
    ancestor: null,
  },
  onFailed: {
    mode: "tell",
    family: "transport",
    fired: true,
    scripts: true,
    verdicts: [],
    when: "an attempt failed for good",
    powers: [],
    ancestor: null,
  },
  onTrack: {
    mode: "tell",
    family: "transport",
    fired: true,
    scripts: false,
    verdicts: [],
    when: "every tracking step, with a numeric code and time",
    powers: [],
    ancestor: "MsgTrackLog",
  },
  onLog: {
    mode: "tell",
    family: "transport",
    fired: true,
    scripts: false,
    verdicts: [],
    when: "a log line of level warn and up",
    powers: [],
    ancestor: "event log",
  },
};

export const eventNames = Object.keys(eventTable) as readonly EventName[];

export function isEventName(text: string): text is EventName {
  return Object.hasOwn(eventTable, text);
}

/** Whether an event takes such a verdict. @throws {Fault} `verdict.not-allowed` */
export function checkVerdict(event: EventName, { kind }: Pick<Verdict, "kind">): void {
  const { verdicts } = eventTable[event];
  if (kind === "proceed" || verdicts.includes(kind)) return;
  const expected = ["proceed", ...verdicts].join(", ");
  throw new Fault("verdict.not-allowed", `Cannot ${kind} at ${event}: expected one of ${expected}`);
}
