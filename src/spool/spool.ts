/**
 * The spool: what exists, durably. One contract, several back ends (sqlite.ts, memory.ts), one contract suite for all of them
 * (test/contracts/spool.ts). The spool knows messages and recipients; when something is due is the queue's affair.
 */
import type { RecipientOptions } from "../mail/envelope.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import type { Body, Envelope, Message } from "../mail/message.ts";

/** Bodies up to this many octets are kept in the database, larger ones in files. */
export const inlineBodyOctetsMax = 256 * 1024;

/** Takes one body in while it arrives. Write in order, one call at a time; then `finish` or `discard`. */
export interface BodyWriter {
  /** Resolves when more may come; undefined where it may at once. @throws {Fault} `spool.full`, `spool.failed` */
  write(chunk: Buffer): Promise<void> | undefined;
  /** The body; a file behind it is synced by now, and its folder is. @throws {Fault} `spool.full`, `spool.failed` */
  finish(): Promise<Body>;
  /** Forgets it all, file included; also behind `finish`, where nobody took the body into custody. Never throws. */
  discard(): Promise<void>;
}

export type RecipientState = "queued" | "delivered" | "failed";

export interface StoredRecipient {
  /** Place on the envelope, from 0; names the recipient within its message. */
  readonly index: number;
  readonly mailbox: Mailbox;
  /** Absent where the client asked for nothing. */
  readonly options?: RecipientOptions;
  readonly state: RecipientState;
  readonly attempts: number;
  /** Milliseconds since the Unix epoch. */
  readonly nextAttemptAt: number;
  /** The last outcome in words, "" before the first attempt. */
  readonly lastOutcome: string;
}

/** The recipients of a message just taken: all of them queued, none tried yet. */
export function queuedRecipients({ recipients }: Envelope, nextAttemptAt: number): StoredRecipient[] {
  return recipients.map((recipient, index) => ({
    ...recipient,
    index,
    state: "queued",
    attempts: 0,
    nextAttemptAt,
    lastOutcome: "",
  }));
}

/** What the queue has to know of a message to keep it in mind. */
export interface QueueEntry {
  readonly messageId: string;
  readonly receivedAt: number;
  readonly sizeOctets: number;
  readonly reversePath: string;
  readonly recipients: readonly StoredRecipient[];
}

/** How a recipient stands after an attempt. */
export interface RecipientUpdate {
  readonly index: number;
  readonly state: RecipientState;
  readonly attempts: number;
  readonly nextAttemptAt: number;
  readonly lastOutcome: string;
}

export interface SpoolCounts {
  readonly messages: number;
  readonly recipients: number;
}

export interface Spool {
  /** A writer for one body. */
  createBody(): BodyWriter;
  /**
   * Takes custody of messages, all of them or none (a message and the report that replaces another are one commit): once this resolves they survive
   * a kill and a power cut. Every recipient is due at `nextAttemptAt`.
   * @throws {Fault} `spool.full`, `spool.failed`, `spool.closed`; then nothing was taken
   */
  accept(messages: readonly Message[], nextAttemptAt: number): Promise<void>;
  /** The message as it was accepted, or undefined where it is gone. @throws {Fault} `spool.failed` */
  load(messageId: string): Promise<Message | undefined>;
  /** Every message with a recipient that is still queued, oldest first. @throws {Fault} `spool.failed` */
  list(): Promise<QueueEntry[]>;
  /** One message's entry, with all of its recipients. */
  find(messageId: string): Promise<QueueEntry | undefined>;
  /**
   * Persists how recipients stand, and takes `reports` (DSNs) into custody in the same commit. A message none of whose recipients is queued any more
   * goes, with its body. @throws {Fault} `spool.failed`, `spool.closed`
   */
  record(messageId: string, updates: readonly RecipientUpdate[], reports?: readonly Message[]): Promise<void>;
  /** What is in custody now. */
  counts(): SpoolCounts;
  /** Why the last message could not be taken, where that is less than half a minute ago; else null. */
  failing(): string | null;
  /** Waits for what is under way and lets go of every file. Later calls throw `spool.closed`. */
  close(): Promise<void>;
}
