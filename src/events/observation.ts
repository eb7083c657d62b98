/** What the dispatcher tells those who watch: metrics, traces, explanations. */
import type { Message } from "../mail/message.ts";
import { describeThrown, type Fault } from "../platform/fault.ts";
import type { Binding } from "./binding.ts";
import type { EventName, Events } from "./event.ts";
import type { TraceEntry } from "./trace.ts";
import { describeVerdict, type Verdict } from "./verdict.ts";

/** One answer of one sink, for metrics and traces. */
export interface Observation {
  readonly event: EventName;
  readonly subject: Events[EventName]["subject"];
  readonly binding: Binding;
  readonly verdict: Verdict;
  readonly fault: Fault | null;
  /** What it did beside that, in words; made only when asked for, and then at once. */
  readonly did: () => readonly string[];
}

export const nothingDone = (): readonly string[] => [];

/** What a sink did and answered, in one line: `hide CHUNKING`, `edit header: Subject; quarantine: spam`. */
export function describeAnswer({ verdict, did }: Pick<Observation, "verdict" | "did">): string {
  const deeds = did();
  const isPlain = verdict.kind === "proceed" && !verdict.settled;
  return [...deeds, ...(isPlain && deeds.length > 0 ? [] : [describeVerdict(verdict)])].join("; ");
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

/** The same for those who follow the trace. */
export function traceOf(observation: Observation, at: number): TraceEntry {
  const { event, subject, binding, fault } = observation;
  // What a subject does not carry is simply not there.
  const { session, message } = subject as {
    readonly session?: { readonly id: string };
    readonly message?: Message | null;
  };
  return {
    kind: "decision",
    session: session?.id ?? message?.origin.sessionId ?? "",
    message: message?.id ?? null,
    event,
    binding: binding.id,
    verdict: describeAnswer(observation),
    fault: fault === null ? null : describeThrown(fault),
    at,
  };
}
