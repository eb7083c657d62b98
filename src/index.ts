/** What an embedder and the author of a native sink may import. Everything else is private and may change without a word. */

export { loadConfig } from "./config/load.ts";
export type { EventName, SubjectOf } from "./events/event.ts";
export type { AskHandler, Handlers, Sink, SinkContext, TellHandler } from "./events/sink.ts";
export { defer, discard, drop, proceed, quarantine, refuse, settle, type Verdict } from "./events/verdict.ts";
export { Header } from "./mail/header.ts";
export { formatMailbox, type Mailbox, parseMailbox } from "./mail/mailbox.ts";
export type { Envelope, Message, Recipient } from "./mail/message.ts";
export { type RunningServer, type StartOptions, startServer } from "./main.ts";
export { Fault, type FaultCode } from "./platform/fault.ts";
