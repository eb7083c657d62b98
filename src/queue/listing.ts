/** What of the queue is shown: items as a listing has them, and the filter that chooses. Pure. */
import { formatMailbox } from "../mail/mailbox.ts";
import type { QueueEntry, StoredRecipient } from "../spool/spool.ts";
import { heldPrefix } from "./attempt.ts";

/** A message in the queue. */
export interface QueueItem extends QueueEntry {
  /** Milliseconds since the Unix epoch; the earliest of its recipients'. */
  readonly nextAttemptAt: number;
  readonly running: boolean;
  readonly held: boolean;
}

export interface QueueFilter {
  /** Recipient's or sender's mailbox contains this, without case. */
  readonly mailbox?: string;
  readonly held?: boolean;
  /** At most so many, those due first. Default 1,000. */
  readonly countMax?: number;
}

const countMaxDefault = 1_000;

/** @param recipients those to be shown; a recipient that is done with is neither due nor held */
export function describeItem(entry: QueueEntry, recipients: readonly StoredRecipient[], running: boolean): QueueItem {
  return {
    messageId: entry.messageId,
    receivedAt: entry.receivedAt,
    sizeOctets: entry.sizeOctets,
    reversePath: entry.reversePath,
    recipients,
    nextAttemptAt: earliestAttempt(recipients),
    running,
    held: recipients.some(isHeld),
  };
}

export function selectItems(items: readonly QueueItem[], filter: QueueFilter): QueueItem[] {
  const wanted = filter.mailbox?.toLowerCase();
  return items
    .filter((item) => filter.held === undefined || item.held === filter.held)
    .filter(
      (item) => wanted === undefined || mailboxesOf(item).some((mailbox) => mailbox.toLowerCase().includes(wanted)),
    )
    .sort((one, other) => one.nextAttemptAt - other.nextAttemptAt || one.receivedAt - other.receivedAt)
    .slice(0, filter.countMax ?? countMaxDefault);
}

/** When the first of the queued recipients is due; Infinity where none is queued. */
export function earliestAttempt(recipients: readonly StoredRecipient[]): number {
  return recipients.reduce(
    (earliest, { state, nextAttemptAt }) => (state === "queued" ? Math.min(earliest, nextAttemptAt) : earliest),
    Number.POSITIVE_INFINITY,
  );
}

export function isHeld(recipient: StoredRecipient): boolean {
  return recipient.state === "queued" && recipient.lastOutcome.startsWith(heldPrefix);
}

function mailboxesOf(item: QueueItem): string[] {
  return [item.reversePath, ...item.recipients.map((recipient) => formatMailbox(recipient.mailbox))];
}
