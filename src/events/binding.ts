/** Bindings: which sink or script answers which event, when, and what happens when it fails. One ordered list per event. */
import { Fault } from "../platform/fault.ts";
import type { EventName } from "./event.ts";
import { eventTable } from "./event-table.ts";
import type { Rule } from "./rule.ts";
import type { AnyHandler } from "./sink.ts";

/** 0 is asked first. */
export const priorityMax = 32_767;
export const priorityDefault = 24_575;

/** What a fault of the sink means for the message. */
export type OnFault = "defer" | "proceed" | "quarantine" | "refuse";
export const onFaults: readonly OnFault[] = ["defer", "proceed", "quarantine", "refuse"];

/** When onArrival asks: before the client hears a reply, or behind the 250. */
export type Phase = "session" | "queue";
export const phases: readonly Phase[] = ["session", "queue"];

export interface Binding {
  /** Stable: the same sink or script keeps it over restarts. */
  readonly id: string;
  /** Name of the sink, or `scripts/x.ts`. */
  readonly name: string;
  readonly event: EventName;
  readonly enabled: boolean;
  readonly priority: number;
  readonly rule: Rule | null;
  /** Of onArrival alone; absent: `session`. */
  readonly phase?: Phase;
  readonly onFault: OnFault;
  /** Time for an answer of a native sink; then `onFault` decides. Scripts have limits of their own. */
  readonly timeoutMs?: number;
  /** Disabled after so many firings; 0 = never. */
  readonly maxFirings: number;
  readonly properties: Readonly<Record<string, unknown>>;
  /** Where it comes from: the server itself, the config, `onarrival bindings add`, or a script's exports. */
  readonly source: "server" | "config" | "added" | "script";
  /** Names of what an admin set in the place of what config or script say; absent where nothing is. */
  readonly overridden?: readonly string[];
  /** Counts up: of two bindings made alike, the earlier goes first. */
  readonly createdOrder: number;
  readonly target: NativeTarget | ScriptTarget | BrokenTarget;
}

export interface NativeTarget {
  readonly kind: "native";
  readonly handler: AnyHandler;
}
export interface ScriptTarget {
  readonly kind: "script";
  /** `sha256:…` of the version that is live. */
  readonly version: string;
  /** What this version may use beside the message, as it was granted; absent: nothing. */
  readonly grants?: ScriptGrants;
}
/** As sandbox/protocol.ts has it: what is absent is not granted. */
export interface ScriptGrants {
  readonly http?: readonly string[];
  readonly dns?: true;
  readonly kv?: true;
  readonly submit?: { readonly max: number; readonly to: readonly string[] | null };
  readonly secrets?: readonly string[];
}
/** A sink or script that could not be loaded: visible in every listing, never asked, never a reason to refuse mail. */
export interface BrokenTarget {
  readonly kind: "broken";
  readonly reason: string;
}

/** The order of EVENTS.md §2: priority, user sinks before the server's own, native before script, creation, id. */
export function compareBindings(one: Binding, other: Binding): number {
  return (
    one.priority - other.priority ||
    Number(one.source === "server") - Number(other.source === "server") ||
    Number(one.target.kind === "script") - Number(other.target.kind === "script") ||
    one.createdOrder - other.createdOrder ||
    (one.id < other.id ? -1 : one.id > other.id ? 1 : 0)
  );
}

/** Names a list of bindings that are asked together. */
export type ListName = EventName | "onArrival/queue";

/** The lists of all these bindings, each in its order. @throws {Fault} `binding.invalid` */
export function orderBindings(bindings: readonly Binding[]): Partial<Record<ListName, readonly Binding[]>> {
  const lists: Partial<Record<ListName, Binding[]>> = {};
  for (const binding of bindings) {
    checkBinding(binding);
    (lists[binding.phase === "queue" ? "onArrival/queue" : binding.event] ??= []).push(binding);
  }
  for (const list of Object.values(lists)) list.sort(compareBindings);
  return lists;
}

/** @throws {Fault} `binding.invalid` where a number is out of bounds or the event takes no such sink */
export function checkBinding(binding: Binding): void {
  const { priority, maxFirings, event, name, target, rule, source, overridden } = binding;
  if (!Number.isInteger(priority) || priority < 0 || priority > priorityMax) {
    throw new Fault(
      "binding.invalid",
      `Cannot bind ${name} to ${event}: priority ${String(priority)}, expected a whole number from 0 to ${priorityMax}`,
    );
  }
  if (!Number.isInteger(maxFirings) || maxFirings < 0) {
    throw new Fault(
      "binding.invalid",
      `Cannot bind ${name} to ${event}: maxFirings ${String(maxFirings)}, expected a whole number from 0`,
    );
  }
  if (binding.phase === "queue" && event !== "onArrival") {
    throw new Fault("binding.invalid", `Cannot bind ${name} to ${event} in the phase queue: only onArrival has phases`);
  }
  if (target.kind === "script" && !eventTable[event].scripts) {
    throw new Fault(
      "binding.invalid",
      `Cannot bind ${name} to ${event}: scripts cannot handle it, expected a native sink`,
    );
  }
  // A script's own rule is for all its handlers. What an admin set is his to answer for: he was warned, and mail does not stop for it.
  const never = source === "script" && !overridden?.includes("rule") ? rule?.neverHoldsAt(event) : null;
  if (never) throw new Fault("binding.invalid", `Cannot bind ${name} to ${event}: ${never}`);
}
