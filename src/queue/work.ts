/**
 * What the queue keeps in mind: of every message its recipients that are queued, grouped by destination. A message and one destination are a unit of work,
 * attempted and settled by itself. There may be very many of these, so they hold no words and no addresses: those are read from the spool when they are needed.
 */
import type { HeldBy, QueueEntry, StoredRecipient } from "../spool/spool.ts";
import type { Due } from "./due-heap.ts";

/** A recipient that is queued. */
export interface Pending {
  /** Place on the envelope. */
  readonly index: number;
  readonly attempts: number;
  /** Milliseconds since the Unix epoch. */
  readonly nextAttemptAt: number;
  readonly heldBy: HeldBy | undefined;
  readonly delayTold: boolean;
  /** Where a route holds it: its last outcome, to be told apart from the next. "" for all others. */
  readonly heldWords: string;
}

/** A message with one destination. In a lane while it waits, in none while it runs, is changed, or the operator holds all of it. */
export interface Unit extends Due {
  readonly item: Item;
  /** Its destination; `unresolved` while nobody knows whom the message is for. */
  readonly laneName: string;
  pending: readonly Pending[];
  state: "waiting" | "running" | "changing";
}

export interface Item {
  readonly messageId: string;
  /** Never in the future: a clock that was ahead when it came would keep it for ever. */
  receivedAt: number;
  units: readonly Unit[];
}

/** The lane of messages whose recipients are not resolved yet; no destination has such a name. */
export const unresolved = "\0unresolved";

/** By destination; all of them together where `laneOf` is not to be asked yet. */
export function unitsOf(
  item: Item,
  recipients: readonly StoredRecipient[],
  laneOf: ((recipient: StoredRecipient) => string) | undefined,
): Unit[] {
  const [only] = recipients;
  if (only === undefined) return [];
  // Most mail has one recipient.
  if (recipients.length === 1)
    return only.state === "queued" ? [createUnit(item, laneOf ? laneOf(only) : unresolved, [pendingOf(only)])] : [];
  const lanes = new Map<string, Pending[]>();
  for (const recipient of recipients) {
    if (recipient.state !== "queued") continue;
    const laneName = laneOf ? laneOf(recipient) : unresolved;
    const others = lanes.get(laneName);
    if (others) others.push(pendingOf(recipient));
    else lanes.set(laneName, [pendingOf(recipient)]);
  }
  return Array.from(lanes, ([laneName, pending]) => createUnit(item, laneName, pending));
}

export function createUnit(item: Item, laneName: string, pending: readonly Pending[]): Unit {
  return { item, laneName, pending, dueAt: 0, order: 0, place: -1, state: "waiting" };
}

export function pendingOf(recipient: Omit<StoredRecipient, "mailbox" | "options" | "state">): Pending {
  const { index, attempts, nextAttemptAt, heldBy, delayTold = false, lastOutcome } = recipient;
  return { index, attempts, nextAttemptAt, heldBy, delayTold, heldWords: heldBy === "route" ? lastOutcome : "" };
}

/** Recipients as the spool has them, with what the queue knows better: when they are due. */
export function withPending(entry: QueueEntry, item: Item | undefined): StoredRecipient[] {
  if (!item) return [...entry.recipients];
  const known = new Map(item.units.flatMap(({ pending }) => pending.map((each) => [each.index, each])));
  return entry.recipients.map((recipient) => {
    const better = known.get(recipient.index);
    return better ? { ...recipient, nextAttemptAt: better.nextAttemptAt } : recipient;
  });
}

/**
 * When the first of its recipients that the operator does not hold is due; Infinity where he holds them all. What is not resolved yet is resolved as a whole: one
 * that is held holds the others.
 */
export function dueAtOf({ laneName, pending }: Unit): number {
  let dueAt = Number.POSITIVE_INFINITY;
  for (const { heldBy, nextAttemptAt } of pending) {
    if (heldBy !== "operator") dueAt = Math.min(dueAt, nextAttemptAt);
    else if (laneName === unresolved) return Number.POSITIVE_INFINITY;
  }
  return dueAt;
}

/** Not tried before: it goes before what was. */
export function isFirstAttempt({ pending }: Unit): boolean {
  return pending.every(({ attempts, heldBy }) => attempts === 0 && heldBy !== "route");
}
