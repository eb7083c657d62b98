/** Native sinks: trusted TypeScript in the server's own process. A sink has a name and a handler for each event it may be bound to. */

import type { Log } from "../platform/log.ts";
import type { AskName, EventName, Events, SubjectOf, TellName } from "./event.ts";
import type { Verdict } from "./verdict.ts";

/** What a handler gets beside its subject. */
export interface SinkContext {
  /** The log, with the binding's id on each line. */
  readonly log: Log;
  readonly bindingId: string;
  /** Key-values of the binding, from the config. */
  readonly properties: Readonly<Record<string, unknown>>;
  /** A rehearsal (`onarrival session`, `explain`, `test`): decide as ever, but remember nothing, write nothing, and wait for nothing. */
  readonly rehearsal: boolean;
}

/** An ask event's handler. Nothing returned means `proceed`. An answer without a promise is the fast path. */
export type AskHandler<Name extends AskName> = (
  subject: SubjectOf<Name>,
  context: SinkContext,
) => Verdict | undefined | void | Promise<Verdict | undefined | void>;

/** A tell event's handler. Nobody waits for it; what it throws is logged under its name. */
export type TellHandler<Name extends TellName> = (
  subject: SubjectOf<Name>,
  context: SinkContext,
) => void | Promise<void>;

export type Handlers = { readonly [Name in AskName]?: AskHandler<Name> } & {
  readonly [Name in TellName]?: TellHandler<Name>;
};

export type Sink = Handlers & {
  /** Kebab-case, named for what it does; shown in listings and logs. */
  readonly name: string;
  /** Called once when the server stops. */
  readonly close?: () => void | Promise<void>;
};

/** The handler of an event, with its subject's type forgotten: the dispatcher calls it with the right one. */
export type AnyHandler = (subject: Events[EventName]["subject"], context: SinkContext) => unknown;
