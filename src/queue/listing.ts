/** What of the queue is shown: items and destinations as a listing has them. Pure. */
import type { Rate } from "../platform/value.ts";
import type { QueueEntry, StoredRecipient } from "../spool/spool.ts";
import type { Lane } from "./lane.ts";

export interface QueueRecipient extends StoredRecipient {
  /** Where it goes, as destinations are named; null where it is done with. */
  readonly destination: string | null;
  readonly running: boolean;
}

/** A message in the queue. */
export interface QueueItem extends QueueEntry {
  readonly recipients: readonly QueueRecipient[];
  /** Milliseconds since the Unix epoch; the earliest of its recipients'. Infinity where the operator holds them all. */
  readonly nextAttemptAt: number;
  readonly running: boolean;
  /** One of its recipients is. */
  readonly held: boolean;
}

/** A destination with work, or with something to know of it. Times in milliseconds since the Unix epoch. */
export interface DestinationView {
  readonly name: string;
  /** Messages that wait, those due included; what the operator holds is not among them. */
  readonly waiting: number;
  readonly running: number;
  readonly due: number;
  readonly connectionsMax: number;
  readonly rate: Rate | null;
  readonly backOffUntil: number | null;
  /** Infinity: until somebody resumes it. */
  readonly suspendedUntil: number | null;
  readonly lastFailure: { readonly at: number; readonly reason: string } | null;
  readonly shapedBy: "config" | "operator" | null;
}

/** @param recipients those to be shown; a recipient that is done with is neither due nor held */
export function describeItem(entry: QueueEntry, recipients: readonly QueueRecipient[]): QueueItem {
  const { messageId, receivedAt, sizeOctets, reversePath, categorized } = entry;
  const queued = recipients.filter(({ state }) => state === "queued");
  const dues = queued.filter(({ heldBy }) => heldBy !== "operator").map(({ nextAttemptAt }) => nextAttemptAt);
  return {
    messageId,
    receivedAt,
    sizeOctets,
    reversePath,
    categorized,
    recipients,
    nextAttemptAt: Math.min(...dues),
    running: recipients.some(({ running }) => running),
    held: queued.some(({ heldBy }) => heldBy !== undefined),
  };
}

export function describeLane(lane: Lane, now: number, shapedBy: DestinationView["shapedBy"]): DestinationView {
  let due = 0;
  for (const unit of lane.units()) if (unit.dueAt <= now) due += 1;
  const { connectionsMax, rate, suspendedUntil } = lane.limits;
  return {
    name: lane.name,
    waiting: lane.waiting,
    running: lane.running,
    due,
    connectionsMax,
    rate,
    backOffUntil: lane.backOff?.until ?? null,
    suspendedUntil: suspendedUntil !== null && suspendedUntil > now ? suspendedUntil : null,
    lastFailure: lane.lastFailure,
    shapedBy,
  };
}
