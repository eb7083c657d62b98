/**
 * Rehearsals: sessions through the server's own engine, reception, dispatcher and sandbox, with nothing behind them. What is accepted is
 * forgotten at once; sinks are told that nothing is real.
 */
import type { Binding, ListName } from "./events/binding.ts";
import { Dispatcher } from "./events/dispatcher.ts";
import { eventNames } from "./events/event-table.ts";
import type { BindingHealth } from "./events/health.ts";
import type { Observation, Skip } from "./events/observation.ts";
import type { ScriptRunner } from "./events/script-runner.ts";
import { Tracer } from "./events/trace.ts";
import type { ListenerOptions } from "./inbound/listener.ts";
import { type ArrivalResult, Reception } from "./inbound/reception.ts";
import { RehearsedSession } from "./inbound/rehearsal.ts";
import type { Message } from "./mail/message.ts";
import {
  type Destination,
  describeDestination,
  rehearseAttempt,
  type TransportStage,
} from "./main-rehearsal-transport.ts";
import type { Clock } from "./platform/clock.ts";
import { Fault } from "./platform/fault.ts";
import { silentLog } from "./platform/log.ts";
import { createMemorySpool } from "./spool/memory.ts";

/** Whose bindings are rehearsed, and with what. */
export interface Stage {
  /** Whether they are a running server's. */
  readonly live: boolean;
  readonly bindingsOf: (list: ListName) => readonly Binding[];
  readonly healthOf: (bindingId: string) => BindingHealth;
  readonly scripts: ScriptRunner;
  readonly listeners: readonly ListenerOptions[];
  readonly postmasterDomain: string;
  /** Which way mail goes; absent: a rehearsal ends where the message is taken. */
  readonly own?: TransportStage;
  readonly clock: Clock;
}

/** Every list of bindings there is. */
export const listNames: readonly ListName[] = [...eventNames, "onArrival/queue"];

/** The client of a rehearsal, before it says a word. */
export interface RehearsalSession {
  readonly ip: string;
  readonly user: string | null;
  /** As if a handshake had been done. */
  readonly tls: boolean;
}

export interface RehearsalOptions {
  readonly bindings: readonly Binding[];
  /** Name of the listener. */
  readonly listener: string;
  readonly session: RehearsalSession;
  readonly observe: (observation: Observation) => void;
  readonly observeSkip?: (skip: Skip) => void;
  readonly tracer?: Tracer;
}

export interface Rehearsal {
  readonly session: RehearsedSession;
  /** What became of the last message; null before there is one. */
  result(): ArrivalResult | null;
  /** Makes a first attempt at what was taken since the last time; where it would end, which those who follow the tracer are told, too. */
  attempt(): Promise<readonly Destination[]>;
  /** Ends the session and lets go of the bindings, once nothing uses them any more. */
  release(): Promise<void>;
}

/** Faults do not add up in a rehearsal: each message shows what would happen to it. */
const noBreaker = { faults: Number.POSITIVE_INFINITY, withinMs: 1, suspendMs: 1 };

/** Begins one. @throws {Fault} `config.invalid` where there is no such listener */
export function rehearse(stage: Stage, options: RehearsalOptions): Rehearsal {
  const listener = listenerOf(stage, options.listener);
  const { clock, own } = stage;
  const dispatcher = createDispatcher(stage, options);
  const spool = createMemorySpool();
  const tracer = options.tracer ?? new Tracer();
  let last: ArrivalResult | null = null;
  let taken: Message[] = [];
  const reception = new Reception(listener, {
    dispatcher,
    // Custody of nothing: what is accepted is gone when the reply is said.
    spool: { ...spool, createBody: () => spool.createBody(), accept: () => Promise.resolve() },
    badmail: { keep: () => Promise.resolve() },
    clock,
    log: silentLog,
    tracer,
    overloaded: () => false,
    postmasterDomain: stage.postmasterDomain,
    enqueue: (message) => taken.push(message),
    count: (result) => {
      last = result;
    },
  });
  const tls = { version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", serverName: null, certificate: null };
  const session = new RehearsedSession(
    listener,
    { reception, clock },
    { ip: options.session.ip, port: 50_000, tls: options.session.tls ? tls : null, user: options.session.user },
  );
  return {
    session,
    result: () => last,
    async attempt() {
      const destinations: Destination[] = [];
      const messages = taken;
      taken = [];
      if (!own) return destinations;
      for (const message of messages) {
        const found = await rehearseAttempt({ events: dispatcher, own, clock }, message);
        for (const destination of found) {
          const text = describeDestination(destination);
          tracer.publish({ kind: "note", session: message.origin.sessionId, text, at: clock.now() });
        }
        destinations.push(...found);
      }
      return destinations;
    },
    async release() {
      session.end();
      await new Promise<void>((resolve) => dispatcher.replaceBindings([], resolve));
    },
  };
}

/** A dispatcher that tells sinks that nothing is real, and suspends none of them. */
export function createDispatcher(
  { clock, scripts }: Pick<Stage, "clock" | "scripts">,
  { bindings, observe, observeSkip }: Pick<RehearsalOptions, "bindings" | "observeSkip"> & Partial<RehearsalOptions>,
): Dispatcher {
  const dispatcher = new Dispatcher({
    log: silentLog,
    clock,
    scripts,
    rehearsal: true,
    breaker: noBreaker,
    ...(observe && { observe }),
    ...(observeSkip && { observeSkip }),
  });
  dispatcher.replaceBindings(bindings);
  return dispatcher;
}

/** @throws {Fault} `config.invalid` */
export function listenerOf({ listeners }: Pick<Stage, "listeners">, name: string): ListenerOptions {
  const listener = listeners.find((one) => one.name === name);
  if (listener) return listener;
  const names = listeners.map((one) => one.name).join(" or ");
  throw new Fault("config.invalid", `There is no listener ${JSON.stringify(name)}: expected ${names}`);
}
