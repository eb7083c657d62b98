/**
 * A listener on a loopback port with all that stands behind it (reception, dispatcher, relay control, a spool in memory), for transcripts.
 * Local domains are example.org and bücher.example, mail is relayed for relay.example; the server calls itself mx.example.test.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Binding } from "../../src/events/binding.ts";
import { Dispatcher } from "../../src/events/dispatcher.ts";
import { isEventName } from "../../src/events/event-table.ts";
import { parseRule } from "../../src/events/rule.ts";
import type { AnyHandler } from "../../src/events/sink.ts";
import type { AuthSubject, DisconnectSubject } from "../../src/events/subject.ts";
import { defer, discard, drop, quarantine, refuse, settle, type Verdict } from "../../src/events/verdict.ts";
import { startLibraryListener } from "../../src/inbound/library-engine.ts";
import type { ListenerOptions } from "../../src/inbound/listener.ts";
import { startNativeListener } from "../../src/inbound/native-engine.ts";
import { Reception } from "../../src/inbound/reception.ts";
import { normalizeDomain } from "../../src/mail/mailbox.ts";
import type { Message } from "../../src/mail/message.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { relayControl } from "../../src/sinks/relay-control.ts";
import { BadMail } from "../../src/spool/badmail.ts";
import { createMemorySpool } from "../../src/spool/memory.ts";
import { createBinding } from "./events.ts";
import { createRecordingLog } from "./recording-log.ts";

/** What a transcript may ask for. */
export interface SubjectOptions {
  /** Which engine speaks; the library where none is named. */
  readonly engine?: "library" | "native";
  readonly sizeOctetsMax?: number;
  readonly recipientsMax?: number;
  readonly connectionsPerClientMax?: number;
  readonly idleTimeoutMs?: number;
  readonly lineEnds?: "refuse" | "normalize";
  /** Sinks in words: see `readSink`. */
  readonly sinks?: readonly string[];
}

/** What a transcript is played against. */
export interface Subject {
  readonly port: number;
  /** Messages in custody, in the order they came. */
  accepted(): Promise<Message[]>;
  /** How many messages are in badmail. */
  quarantined(): Promise<number>;
  /** Events told and asked so far by name, in order, with what is worth knowing of them. */
  readonly events: readonly string[];
  close(): Promise<void>;
}

export async function startSubject(options: SubjectOptions = {}): Promise<Subject> {
  const folder = await mkdtemp(join(tmpdir(), "onarrival-transcript-"));
  const log = createRecordingLog();
  const spool = createMemorySpool();
  const badmail = new BadMail(join(folder, "badmail"));
  const accepted: Message[] = [];
  const events: string[] = [];
  const dispatcher = new Dispatcher({
    log,
    clock: systemClock,
    scripts: {
      async run() {
        throw new Error("transcripts bind no scripts");
      },
    },
  });
  const relay = relayControl({
    localDomains: new Set(["example.org", normalizeDomain("bücher.example")!]),
    relayDomains: new Set(["relay.example"]),
  });
  dispatcher.replaceBindings([
    createBinding("onRcptTo", relay.onRcptTo!, { id: "relay-control", source: "server" }),
    createBinding("onDisconnect", ({ reason, messagesAccepted }: DisconnectSubject) =>
      events.push(`onDisconnect ${reason} ${messagesAccepted}`),
    ),
    ...(options.sinks ?? []).map(readSink),
  ]);
  const listenerOptions: ListenerOptions = {
    name: "mx",
    address: "127.0.0.1",
    port: 0,
    role: "mx",
    hostname: "mx.example.test",
    limits: {
      sizeOctetsMax: options.sizeOctetsMax ?? 1_000_000,
      recipientsMax: options.recipientsMax ?? 100,
      connectionsMax: 100,
      connectionsPerClientMax: options.connectionsPerClientMax ?? 50,
      idleTimeoutMs: options.idleTimeoutMs ?? 60_000,
    },
    lineEnds: options.lineEnds ?? "refuse",
  };
  const reception = new Reception(listenerOptions, {
    dispatcher,
    spool,
    badmail,
    clock: systemClock,
    log,
    postmasterDomain: "example.org",
    enqueue: (message) => void accepted.push(message),
  });
  const start = options.engine === "native" ? startNativeListener : startLibraryListener;
  const listener = await start(listenerOptions, reception, { clock: systemClock, log });
  return {
    port: listener.port,
    events,
    async accepted() {
      const stored = await Promise.all(accepted.map(({ id }) => spool.load(id)));
      return stored.map((message, i) => {
        if (!message) throw new Error(`${accepted[i]!.id} was handed to the queue and is not in the spool`);
        return message;
      });
    },
    async quarantined() {
      return (await badmail.ids()).length;
    },
    async close() {
      await listener.close(0);
      await spool.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/**
 * A sink in words: `EVENT [RULE] VERB REST`, the rule in brackets and not needed. Verbs: `refuse`, `defer` and `drop` with `CODE STATUS text` behind
 * them, `discard` and `quarantine` with a reason, `settle`, `accept` (a user called ann whose secret is `secret`).
 */
function readSink(words: string, index: number): Binding {
  const match = /^(\w+)\s+(?:\[(.*)\]\s+)?(\w+)(?:\s+(.*))?$/.exec(words);
  const event = match?.[1] ?? "";
  if (!match || !isEventName(event)) throw new Error(`cannot read the sink ${JSON.stringify(words)}`);
  const handler = createHandler(match[3]!, match[4] ?? "");
  return createBinding(event, handler, {
    id: `sink-${index}`,
    rule: match[2] === undefined ? null : parseRule(match[2], event),
  });
}

function createHandler(verb: string, rest: string): AnyHandler {
  if (verb === "accept") {
    return (subject) => {
      const { user, secret, acceptAs } = subject as AuthSubject;
      if (user === "ann" && secret === "secret") acceptAs(user);
    };
  }
  const verdict = createVerdict(verb, rest);
  return () => verdict;
}

function createVerdict(verb: string, rest: string): Verdict {
  const [, code, status, text] = /^(\d{3}) (\d\.\d+\.\d+) (.*)$/.exec(rest) ?? [undefined, undefined, undefined, rest];
  const codes = { ...(code === undefined ? {} : { code: Number(code) }), ...(status === undefined ? {} : { status }) };
  switch (verb) {
    case "refuse":
      return refuse(text!, codes);
    case "defer":
      return defer(text!, codes);
    case "drop":
      return drop(text!, codes);
    case "discard":
      return discard(rest);
    case "quarantine":
      return quarantine(rest);
    case "settle":
      return settle;
    default:
      throw new Error(`there is no verb ${verb}`);
  }
}
