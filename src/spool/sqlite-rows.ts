/** Rows of the spool's tables as values. Pure. */
import type { RecipientOptions } from "../mail/envelope.ts";
import type { Recipient } from "../mail/message.ts";
import { formatReversePath, type ReversePath } from "../mail/path.ts";
import type { HeldBy, QueueEntry, RecipientState, StoredRecipient } from "./spool.ts";

export type Row = Readonly<Record<string, unknown>>;

/** To be spread into what has options. */
export function optionsOf<Options>(row: Row): { readonly options?: Options } {
  return row.options === null ? {} : { options: JSON.parse(String(row.options)) as Options };
}

export function addresseeOf(row: Row): Recipient {
  return {
    mailbox: { localPart: String(row.local_part), domain: String(row.domain) },
    ...optionsOf<RecipientOptions>(row),
  };
}

export function reversePathOf(row: Row): ReversePath {
  return row.reverse_local === null
    ? null
    : { localPart: String(row.reverse_local), domain: String(row.reverse_domain) };
}

/** @param recipients rows of all of its recipients */
export function entryOf(row: Row, recipients: readonly Row[]): QueueEntry {
  return {
    messageId: String(row.id),
    receivedAt: Number(row.received_at),
    sizeOctets: Number(row.size_octets),
    reversePath: formatReversePath(reversePathOf(row)),
    recipients: recipients.map(recipientOf),
    categorized: recipients.some(({ state, categorized }) => state === "queued" && categorized === 1),
  };
}

function recipientOf(row: Row): StoredRecipient {
  return {
    ...addresseeOf(row),
    index: Number(row.place),
    state: row.state as RecipientState,
    attempts: Number(row.attempts),
    nextAttemptAt: Number(row.next_attempt_at),
    lastOutcome: String(row.last_outcome),
    ...(row.held_by === null ? {} : { heldBy: row.held_by as HeldBy }),
    ...(row.delay_told === 0 ? {} : { delayTold: true }),
  };
}
