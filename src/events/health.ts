/** How a binding is doing: what it did so far, and whether it may be asked. The dispatcher keeps one for each binding. */
import type { Fault } from "../platform/fault.ts";
import type { Binding } from "./binding.ts";
import type { Breaker, BreakerState } from "./breaker.ts";
import type { SinkContext } from "./sink.ts";

/** How a binding is doing, for others to look at. */
export interface BindingHealth {
  readonly firings: number;
  readonly faults: number;
  readonly breaker: BreakerState;
  readonly lastFault: Fault | null;
  /** Milliseconds since the Unix epoch; 0 without one. */
  readonly lastFaultAt: number;
}

export interface Health {
  firings: number;
  faults: number;
  lastFault: Fault | null;
  lastFaultAt: number;
  /** Of the version it judges. */
  breaker: Breaker;
  version: string | null;
  context: SinkContext;
}

/** A binding that never did anything. */
export const freshHealth: BindingHealth = { firings: 0, faults: 0, breaker: "closed", lastFault: null, lastFaultAt: 0 };

export function isUsedUp(binding: Binding, health: Pick<BindingHealth, "firings">): boolean {
  return binding.maxFirings > 0 && health.firings >= binding.maxFirings;
}

/** What is bound, where it can be replaced while the server runs. */
export function versionOf({ target }: Binding): string | null {
  return target.kind === "script" ? target.version : null;
}
