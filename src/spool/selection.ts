/** Which messages of the spool are meant, by their facts. What runs or waits where only the queue knows. */

/** All that is given has to hold. Conditions on recipients are those on one and the same recipient, and mean those still queued. */
export interface SpoolSelection {
  readonly ids?: readonly string[];
  /** Recipient's domain as mailboxes have it; with a dot before it: every name below. */
  readonly domain?: string;
  /** Recipient's mailbox; local parts compare without case. */
  readonly recipient?: { readonly localPart: string; readonly domain: string };
  /** The reverse-path; without a local part: its domain. */
  readonly sender?: { readonly localPart: string | null; readonly domain: string } | null;
  /** Milliseconds since the Unix epoch. */
  readonly receivedBefore?: number;
  readonly receivedAfter?: number;
  readonly state?: "new" | "deferred" | "held";
  /** Nobody but these: message and place on the envelope. */
  readonly among?: readonly (readonly [messageId: string, place: number])[];
}

/** Where a page begins: behind this message, in the order of `receivedAt` and id. */
export interface PageStart {
  readonly receivedAt: number;
  readonly messageId: string;
}

export type SpoolPage =
  /** All are counted. */
  | { readonly limit: number; readonly offset: number }
  /** From one page to the next; nobody counts. */
  | { readonly limit: number; readonly after: PageStart | undefined };
