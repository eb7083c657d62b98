/** What the running server shows of itself, put together from its parts: the admin port's and the control socket's window into it. */
import type { Grants } from "../sandbox/protocol.ts";
import type { BindingView, ListenerView, ScriptState, ScriptView, ServerView } from "./admin/server-view.ts";
import type { Config } from "./config/schema.ts";
import { type Binding, priorityDefault } from "./events/binding.ts";
import type { Dispatcher } from "./events/dispatcher.ts";
import type { EventName } from "./events/event.ts";
import { eventNames, isEventName } from "./events/event-table.ts";
import type { Metrics } from "./platform/metrics.ts";
import { describeGrants } from "./scripting/grants.ts";
import type { ScriptRegistry } from "./scripting/registry.ts";
import type { Spool } from "./spool/spool.ts";
import { version } from "./version.ts";

export interface ViewParts {
  readonly dispatcher: Dispatcher;
  readonly registry: ScriptRegistry;
  readonly spool: Pick<Spool, "counts" | "failing">;
  /** Why new mail is refused for want of room; null: it is not. */
  readonly short: () => string | null;
  readonly metrics: Metrics;
  readonly facts: { readonly startedAt: number; readonly configFile: string | null; readonly config: Config };
  readonly listeners: readonly ListenerView[];
  readonly draining: () => boolean;
  readonly sessions: () => number;
  /** What is left of a script's grants under the configuration as it is now. */
  readonly granted: (grants: Grants) => Grants;
  /** Of changes whose binding is not there now. */
  readonly missing?: () => readonly BindingView[];
}

export function createServerView(
  parts: ViewParts,
): ServerView & { scriptCounts(): { live: number; broken: number; suspended: number } } {
  const { dispatcher, registry, spool, short, metrics, facts, listeners, draining, sessions, granted } = parts;
  const scripts = () =>
    registry.states().map((state) => scriptView({ ...state, grants: granted(state.grants) }, dispatcher));
  return {
    scripts,
    bindings() {
      const missing = parts.missing?.() ?? [];
      return [
        ...eventNames.flatMap((event) => [
          ...boundTo(event, dispatcher).map((binding) => bindingView(binding, dispatcher)),
          ...missing.filter((binding) => binding.event === event),
        ]),
        ...missing.filter((binding) => !isEventName(binding.event)),
      ];
    },
    status: () => ({
      version,
      pid: process.pid,
      startedAt: new Date(facts.startedAt).toISOString(),
      hostname: facts.config.hostname,
      configFile: facts.configFile,
      data: facts.config.data,
      scripts: facts.config.scripts.folder,
      listeners,
      queue: spool.counts(),
      draining: draining(),
    }),
    ready() {
      const reasons: string[] = [];
      if (draining()) reasons.push("The server is stopping.");
      if (listeners.length < facts.config.listeners.length) reasons.push("Not every listener is up yet.");
      const failing = spool.failing();
      if (failing !== null) reasons.push(`The last message could not be taken: ${failing}.`);
      const scarce = short();
      if (scarce !== null) reasons.push(scarce);
      return { ready: reasons.length === 0, reasons };
    },
    async metrics() {
      metrics.sessionsOpen = sessions();
      return await metrics.text();
    },
    scriptCounts() {
      const present = scripts();
      const count = (...wanted: ScriptState[]) => present.filter(({ state }) => wanted.includes(state)).length;
      return {
        live:
          count("live", "broken-edit", "pinned") +
          present.filter(({ state, version }) => state === "pending" && version !== null).length,
        broken: count("broken", "broken-edit"),
        suspended: count("suspended"),
      };
    },
  };
}

/** All of an event's bindings; of onArrival those behind the reply too. */
function boundTo(event: EventName, dispatcher: Dispatcher): readonly Binding[] {
  const bound = dispatcher.bindingsOf(event);
  return event === "onArrival" ? [...bound, ...dispatcher.bindingsOf("onArrival/queue")] : bound;
}

function scriptView(
  { name, live, broken, pending, pinned, grants, warnings }: ReturnType<ScriptRegistry["states"]>[number],
  dispatcher: Dispatcher,
): ScriptView {
  const events = live?.exports.handlers ?? [];
  const id = `${name}#${events[0] ?? "onArrival"}`;
  const health = dispatcher.healthOf(id);
  // As it is asked: an admin may have set something else than its exports say.
  const bound = eventNames.flatMap((event) => boundTo(event, dispatcher)).find((binding) => binding.id === id);
  const enabled = bound?.enabled ?? live?.exports.enabled ?? true;
  const running = !enabled ? "disabled" : health.breaker !== "closed" ? "suspended" : pinned ? "pinned" : "live";
  const state: ScriptState = pending ? "pending" : !live ? "broken" : broken ? "broken-edit" : running;
  const edit =
    broken ?? (pending && { code: "grant.pending", message: pending.message, at: null, since: pending.since });
  const { lastFault } = health;
  return {
    name,
    state,
    version: live?.version ?? null,
    events,
    priority: bound?.priority ?? priorityDefault,
    rule: bound?.rule?.text ?? null,
    onFault: bound?.onFault ?? "defer",
    runs: health.firings,
    faults: health.faults,
    lastFault: edit
      ? { code: edit.code, message: edit.message, at: edit.at, time: timeOf(edit.since) }
      : lastFault && {
          code: lastFault.code,
          message: lastFault.message,
          at: typeof lastFault.facts["at"] === "string" ? lastFault.facts["at"] : null,
          time: timeOf(health.lastFaultAt),
        },
    since: live && timeOf(live.since),
    pinned: pinned && { version: pinned.version, time: timeOf(pinned.at), author: pinned.author },
    pending: pending && { version: pending.version, time: timeOf(pending.since), added: pending.added },
    grants: describeGrants(grants),
    warnings,
  };
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}

function bindingView(binding: Binding, dispatcher: Dispatcher): BindingView {
  const { id, event, name, source, target, priority, rule, enabled, onFault, maxFirings, properties } = binding;
  const health = dispatcher.healthOf(id);
  const reason =
    target.kind === "broken"
      ? target.reason
      : !enabled
        ? "disabled"
        : maxFirings > 0 && health.firings >= maxFirings
          ? `has fired as often as it may (${maxFirings})`
          : health.breaker === "closed"
            ? null
            : "suspended after too many faults";
  return {
    id,
    event,
    name,
    source,
    kind: target.kind,
    priority,
    rule: rule?.text ?? null,
    enabled,
    phase: binding.phase ?? "session",
    onFault,
    timeoutMs: binding.timeoutMs ?? null,
    maxFirings,
    properties,
    overridden: binding.overridden ?? [],
    firings: health.firings,
    faults: health.faults,
    breaker: health.breaker,
    lastFault: health.lastFault && {
      code: health.lastFault.code,
      message: health.lastFault.message,
      time: new Date(health.lastFaultAt).toISOString(),
    },
    reason,
  };
}
