/** How much one page of a listing holds: nobody else is served while it is read, and a message may have thousands of recipients. Pure. */
import type { QueueEntry } from "./spool.ts";

/** A page ends behind the message that brings it to so many recipients. */
export const pageRecipientsMax = 10_000;

/** The entries of the first rows, as many as a page holds: one at least where there is any. */
export function fillPage<Row, Entry extends QueueEntry>(rows: Iterable<Row>, read: (row: Row) => Entry): Entry[] {
  const entries: Entry[] = [];
  let recipients = 0;
  for (const row of rows) {
    if (recipients >= pageRecipientsMax) break;
    const entry = read(row);
    recipients += entry.recipients.length;
    entries.push(entry);
  }
  return entries;
}

/** Whether nothing was left behind a page of at most `limit` messages when it was read. */
export function isLastPage(entries: readonly QueueEntry[], limit: number): boolean {
  return entries.length < limit && countRecipients(entries) < pageRecipientsMax;
}

function countRecipients(entries: readonly QueueEntry[]): number {
  return entries.reduce((count, { recipients }) => count + recipients.length, 0);
}
