/**
 * What an embedder and the author of a native sink may import: `import { refuse, type Sink } from "onarrival"`. Everything else is private and may change
 * without a word.
 */

export { loadConfig } from "./config/load.ts";
export type { CapturedLine, Dialogue, LineTaker } from "./events/dialogue.ts";
export type { AskName, EventName, Events, SubjectOf, TellName } from "./events/event.ts";
export { compileNetworks, type Networks } from "./events/network.ts";
export type { AskHandler, Handlers, Sink, SinkContext, TellHandler } from "./events/sink.ts";
export type {
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
  Parameters,
  RcptToSubject,
  ReplySubject,
  ResetSubject,
  Session,
  SessionSubject,
  TlsFacts,
  Transaction,
} from "./events/subject.ts";
export {
  type DeferredSubject,
  type FailedSubject,
  type OutcomeSubject,
  type TrackStep,
  type TrackSubject,
  trackCodes,
} from "./events/subject-delivery.ts";
export type {
  BeforeDataSubject,
  MessageStartSubject,
  OutboundSession,
  PerRecipientSubject,
  ServerResponseSubject,
  SessionEndSubject,
  SessionStartSubject,
  TlsPolicy,
} from "./events/subject-outbound.ts";
export type {
  CategorizeSubject,
  DsnSubject,
  HopTarget,
  LocalDeliverySubject,
  LogSubject,
  OversizeSubject,
  QueuedSubject,
  Resolution,
  ResolveSubject,
  RouteSubject,
} from "./events/subject-transport.ts";
export {
  defer,
  discard,
  drop,
  proceed,
  quarantine,
  refuse,
  settle,
  type Verdict,
  type VerdictKind,
} from "./events/verdict.ts";
export type { EnvelopeOptions, MailOptions, Notify, OriginalRecipient, RecipientOptions } from "./mail/envelope.ts";
export { type Field, Header } from "./mail/header.ts";
export { formatMailbox, type Mailbox, parseMailbox, sameMailbox, tryParseMailbox } from "./mail/mailbox.ts";
export type { Body, Envelope, Message, Origin, Recipient } from "./mail/message.ts";
export { inlineBody } from "./mail/message.ts";
export { formatNextHop, type NextHop, parseNextHop, type Server } from "./mail/next-hop.ts";
export { formatReversePath, parseReversePath, type ReversePath } from "./mail/path.ts";
export type { Reply } from "./mail/status.ts";
export { type RunningServer, type StartOptions, startServer } from "./main.ts";
export { type Clock, systemClock } from "./platform/clock.ts";
export { Fault, type FaultCode } from "./platform/fault.ts";
export type { Log } from "./platform/log.ts";
export {
  type Answer,
  createResolver,
  type DnsResolverOptions,
  type LookupOptions,
  type MxRecord,
  type Resolver,
  type TlsaRecord,
} from "./platform/resolver.ts";
export { deriveScramCredentials, type ScramCredentials } from "./smtp/scram.ts";
