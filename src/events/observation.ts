/** What the dispatcher tells those who watch: metrics, traces, explanations. */
import type { Fault } from "../platform/fault.ts";
import type { Binding } from "./binding.ts";
import type { EventName, Events } from "./event.ts";
import type { Verdict } from "./verdict.ts";

/** One answer of one sink, for metrics and traces. */
export interface Observation {
  readonly event: EventName;
  readonly subject: Events[EventName]["subject"];
  readonly binding: Binding;
  readonly verdict: Verdict;
  readonly fault: Fault | null;
}

/** Why a binding of an event was passed by. */
export type SkipReason = "broken" | "settled" | "rule" | "disabled" | "used-up";

/** A binding that was not asked, for those who explain. */
export interface Skip {
  readonly event: EventName;
  readonly subject: Events[EventName]["subject"];
  readonly binding: Binding;
  readonly reason: SkipReason;
}
