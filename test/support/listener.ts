/**
 * A listener on a loopback port with all that stands behind it (reception, dispatcher, relay control, a spool in memory), for transcripts and tests.
 * Local domains are example.org and bücher.example, mail is relayed for relay.example; the server calls itself mx.example.test.
 */
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Binding } from "../../src/events/binding.ts";
import { Dispatcher } from "../../src/events/dispatcher.ts";
import { compileNetworks } from "../../src/events/network.ts";
import type { ScriptRunner } from "../../src/events/script-runner.ts";
import type { DisconnectSubject, ResetSubject, SessionSubject } from "../../src/events/subject.ts";
import { Tracer } from "../../src/events/trace.ts";
import { noRoom } from "../../src/inbound/answer.ts";
import type { Room } from "../../src/inbound/disk-space.ts";
import { startLibraryListener } from "../../src/inbound/library-engine.ts";
import type { Listener, ListenerLimits, ListenerOptions } from "../../src/inbound/listener.ts";
import { startNativeListener } from "../../src/inbound/native-engine.ts";
import { Reception, type ReceptionOptions } from "../../src/inbound/reception.ts";
import { normalizeDomain } from "../../src/mail/mailbox.ts";
import type { Message } from "../../src/mail/message.ts";
import { type Clock, systemClock } from "../../src/platform/clock.ts";
import { silentLog } from "../../src/platform/log.ts";
import { relayControl } from "../../src/sinks/relay-control.ts";
import { BadMail } from "../../src/spool/badmail.ts";
import { createMemorySpool } from "../../src/spool/memory.ts";
import { createBinding } from "./events.ts";
import { createFakeClock, type FakeClock } from "./fake-clock.ts";
import { listenerLimits, listenerOptions } from "./listener-options.ts";
import { createRecordingLog, type RecordingLog } from "./recording-log.ts";
import { readSink } from "./sink-words.ts";
import { bindSubmission } from "./submission-users.ts";

export type EngineName = "native" | "library";
export const engineNames: readonly EngineName[] = ["native", "library"];
export const engines = { native: startNativeListener, library: startLibraryListener };

export const testLimits: ListenerLimits = {
  ...listenerLimits,
  connectionsPerClientMax: 50,
  idleTimeoutMs: 60_000,
  dataTimeoutMs: 60_000,
  dataOctetsPerSecondMin: 0,
  decisionTimeoutMs: 60_000,
};

export const testCertificate = {
  cert: readFileSync(join(import.meta.dirname, "../fixtures/tls/cert.pem")),
  key: readFileSync(join(import.meta.dirname, "../fixtures/tls/key.pem")),
};

/** Options of a listener on a free loopback port; without TLS, trusting nobody. */
export function createListenerOptions(
  options: Partial<Omit<ListenerOptions, "limits">> & { readonly limits?: Partial<ListenerLimits> } = {},
): ListenerOptions {
  return listenerOptions({ ...options, limits: { ...testLimits, ...options.limits } });
}

/** What a reception needs: a spool in memory, silence, no bindings. */
export function createReceptionOptions(options: Partial<ReceptionOptions> = {}): ReceptionOptions {
  const { log = silentLog, clock = systemClock } = options;
  return {
    dispatcher: createDispatcher(log, clock),
    spool: createMemorySpool(),
    badmail: new BadMail("/nowhere"),
    clock,
    log,
    tracer: new Tracer(),
    postmasterDomain: "example.org",
    overloaded: () => false,
    enqueue: () => {},
    ...options,
  };
}

/** A disk on which new mail may have so many octets. */
export function createRoom(freeOctets = Number.POSITIVE_INFINITY): Room {
  return {
    refusal: (sizeOctets) => (sizeOctets > freeOctets || freeOctets < 0 ? noRoom : null),
    short: () => (freeOctets < 0 ? "the disk is short" : null),
  };
}

const noScripts: ScriptRunner = { run: () => Promise.reject(new Error("no script is bound")) };

export function createDispatcher(log = silentLog, clock: Clock = systemClock, scripts = noScripts): Dispatcher {
  return new Dispatcher({ log, clock, scripts });
}

/** What a transcript may ask for, by `# config: key=value`. */
export interface SubjectOptions extends Partial<ListenerLimits> {
  /** Which engine speaks; the native one where none is named. */
  readonly engine?: EngineName;
  readonly role?: ListenerOptions["role"];
  readonly lineEnds?: "refuse" | "normalize";
  readonly binaryMime?: boolean;
  readonly tls?: "starttls" | "implicit";
  /** With implicit TLS: the dialogue says itself when the handshake comes. */
  readonly rawStart?: boolean;
  readonly askCertificate?: boolean;
  /** With commas between them. */
  readonly mechanisms?: string;
  readonly inClear?: boolean;
  /** Networks with commas between them. */
  readonly proxy?: string;
  readonly xclient?: string;
  readonly xforward?: string;
  readonly overloaded?: boolean;
  /** Octets that new mail may have on the disk; absent: any number. */
  readonly freeOctets?: number;
  /** `fake`: time moves by `clock` steps alone. */
  readonly clock?: "fake";
  /** The server's own sinks of submission, with the users of submission-users.ts. */
  readonly users?: boolean;
  /** Sinks in words: see sink-words.ts. */
  readonly sinks?: readonly string[];
  /** Scripts, and who runs them. */
  readonly scripts?: { readonly runner: ScriptRunner; readonly bindings: readonly Binding[] };
}

/** What a transcript is played against. */
export interface Subject {
  readonly port: number;
  /** Whether a connection begins with a handshake. */
  readonly shakesHandsFirst: boolean;
  readonly log: RecordingLog;
  readonly tracer: Tracer;
  readonly listener: Listener;
  /** Messages in custody, in the order they came. */
  accepted(): Promise<Message[]>;
  /** How many messages are in badmail. */
  quarantined(): Promise<number>;
  /** Events told so far by name, in order, with what is worth knowing of them. */
  readonly events: readonly string[];
  /** Moves a fake clock on. */
  advance(ms: number): Promise<void>;
  close(): Promise<void>;
}

export async function startSubject(options: SubjectOptions = {}): Promise<Subject> {
  const folder = await mkdtemp(join(tmpdir(), "onarrival-transcript-"));
  const log = createRecordingLog();
  const clock: Clock = options.clock === "fake" ? createFakeClock() : systemClock;
  const spool = createMemorySpool();
  const badmail = new BadMail(join(folder, "badmail"));
  const accepted: Message[] = [];
  const events: string[] = [];
  const dispatcher = createDispatcher(log, clock, options.scripts?.runner);
  const relay = relayControl({
    localDomains: new Set(["example.org", normalizeDomain("bücher.example")!]),
    relayDomains: new Set(["relay.example"]),
  });
  const readOptions = readListenerOptions(options);
  const told = [
    createBinding("onDisconnect", ({ reason, messagesAccepted }: DisconnectSubject) =>
      events.push(`onDisconnect ${reason} ${messagesAccepted}`),
    ),
    createBinding("onReset", ({ by }: ResetSubject) => events.push(`onReset ${by}`)),
    createBinding("onTls", ({ session }: SessionSubject) => events.push(`onTls ${session.tls!.version}`)),
  ];
  dispatcher.replaceBindings([
    createBinding("onRcptTo", relay.onRcptTo!, { id: "relay-control", source: "server" }),
    ...told,
    ...(options.sinks ?? []).map(readSink),
    ...(options.scripts?.bindings ?? []),
    ...(options.users ? bindSubmission(readOptions.name, clock) : []),
  ]);
  const tracer = new Tracer();
  const reception = new Reception(
    readOptions,
    createReceptionOptions({
      dispatcher,
      spool,
      badmail,
      clock,
      log,
      tracer,
      overloaded: () => options.overloaded ?? false,
      ...(options.freeOctets !== undefined && { room: createRoom(options.freeOctets) }),
      enqueue: (message) => void accepted.push(message),
    }),
  );
  const listener = await engines[options.engine ?? "native"](readOptions, reception, { clock, log });
  return {
    port: listener.port,
    shakesHandsFirst: options.tls === "implicit" && options.rawStart !== true,
    log,
    tracer,
    listener,
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
    async advance(ms) {
      if (clock === systemClock) throw new Error("the clock does not move: write `# config: clock=fake`");
      // The listener's clock is the fake one, as just looked at.
      await (clock as FakeClock).advance(ms);
    },
    async close() {
      const closed = listener.close(0);
      if (clock !== systemClock) await (clock as FakeClock).advance(0);
      await closed;
      await spool.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function readListenerOptions(options: SubjectOptions): ListenerOptions {
  const limits = Object.fromEntries(
    Object.keys(testLimits).flatMap((key) => {
      const value = options[key as keyof ListenerLimits];
      return value === undefined ? [] : [[key, value]];
    }),
  );
  const networks = (text: string | undefined) => compileNetworks(text === undefined ? [] : text.split(","));
  return createListenerOptions({
    role: options.role ?? "mx",
    lineEnds: options.lineEnds ?? "refuse",
    binaryMime: options.binaryMime ?? false,
    ...(options.tls && {
      tls: { ...testCertificate, mode: options.tls, askCertificate: options.askCertificate ?? false, more: [] },
    }),
    auth: { mechanisms: (options.mechanisms ?? "PLAIN,LOGIN").split(","), inClear: options.inClear ?? false },
    trusted: {
      proxy: networks(options.proxy),
      xclient: networks(options.xclient),
      xforward: networks(options.xforward),
      results: networks(undefined),
    },
    limits,
  });
}
