/** What is bound of a script: a binding for each handler of the version that is live, or one that shows that none can run. */
import type { Grants, ScriptExports } from "../../sandbox/protocol.ts";
import { type Binding, checkBinding, type OnFault, onFaults, priorityDefault } from "../events/binding.ts";
import { isEventName } from "../events/event-table.ts";
import type { Rule } from "../events/rule.ts";
import { Fault } from "../platform/fault.ts";

/** A version that runs. */
export interface LiveVersion {
  readonly version: string;
  readonly exports: ScriptExports;
  readonly rule: Rule | null;
  /** Milliseconds since the Unix epoch. */
  readonly since: number;
}

// Scripts of one priority go by their names: in the same order after a restart, and in a test run.
const shared = { maxFirings: 0, properties: {}, source: "script", createdOrder: 0 } as const;

/** @throws {Fault} `script.exports`, `binding.invalid` where no binding can be made of what a script exports */
export function checkBindings(name: string, live: LiveVersion): void {
  for (const handler of live.exports.handlers)
    if (!isEventName(handler)) throw new Fault("script.exports", `There is no event ${handler}`);
  for (const binding of bindingsOf(name, live, {})) checkBinding(binding);
}

export function bindingsOf(name: string, { exports, rule, version }: LiveVersion, grants: Grants): readonly Binding[] {
  return exports.handlers.filter(isEventName).map((event) => ({
    ...shared,
    name,
    id: `${name}#${event}`,
    event,
    enabled: exports.enabled ?? true,
    priority: exports.priority ?? priorityDefault,
    rule,
    ...(exports.phase === "queue" && event === "onArrival" && { phase: exports.phase }),
    onFault: onFaults.find((policy): policy is OnFault => policy === exports.onFault) ?? "defer",
    target: { kind: "script", version, grants },
  }));
}

/** Visible in every listing, never asked. */
export function brokenBinding(name: string, reason: string): Binding {
  return {
    ...shared,
    name,
    id: `${name}#onArrival`,
    event: "onArrival",
    enabled: true,
    priority: priorityDefault,
    rule: null,
    onFault: "defer",
    target: { kind: "broken", reason },
  };
}
