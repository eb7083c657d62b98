/**
 * The spool: what exists, durably. One contract, several back ends (sqlite.ts, memory.ts), one contract suite for all of them
 * (test/contracts/spool.ts). The spool knows messages and recipients; when something is due is the queue's affair.
 */
import type { RecipientOptions } from "../mail/envelope.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import type { Body, Envelope, Message } from "../mail/message.ts";
import type { PageStart, SpoolPage, SpoolSelection } from "./selection.ts";

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

/** Who holds a recipient: the operator until he releases it, a route until the queue looks at it again. */
export type HeldBy = "operator" | "route";

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
  /** Absent where nobody does. */
  readonly heldBy?: HeldBy;
  /** The sender was told that it is late. */
  readonly delayTold?: true;
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
  /** Its recipients were resolved, or one of them was tried: they are not resolved anew by themselves. */
  readonly categorized: boolean;
}

/** How a recipient stands after an attempt, or after somebody changed it. */
export interface RecipientUpdate {
  readonly index: number;
  readonly state: RecipientState;
  readonly attempts: number;
  readonly nextAttemptAt: number;
  readonly lastOutcome: string;
  /** Absent: by nobody from now on. */
  readonly heldBy?: HeldBy;
  /** Absent: as it was. */
  readonly delayTold?: true;
  /** Absent: true. */
  readonly categorized?: boolean;
}

export interface RecordedChange {
  readonly messageId: string;
  readonly updates: readonly RecipientUpdate[];
}

/** What a message became when its recipients were resolved. */
export interface Replacement {
  /** Of the id that is replaced. Its recipients are the whole of it from now on, none of them tried. */
  readonly message: Message;
  /** Messages of their own beside it, resolved already. */
  readonly forks: readonly Message[];
  /** How some of the new recipients stand at once. Where none is left that is queued, the message goes. */
  readonly updates: readonly RecipientUpdate[];
  readonly reports: readonly Message[];
  /** When the message and its forks are due. */
  readonly nextAttemptAt: number;
}

export interface SelectedEntry extends QueueEntry {
  /** Places of the recipients that are meant. */
  readonly meant: readonly number[];
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
  /** Every message with a recipient that is still queued, or a page of them; oldest first. A page may be short and not the last (page.ts). @throws {Fault} `spool.failed` */
  list(page?: { readonly limit: number; readonly after?: PageStart }): Promise<QueueEntry[]>;
  /** A page of the messages that are meant, as `list` gives them, and how many there are in all, where they are counted. @throws {Fault} `spool.failed` */
  query(
    selection: SpoolSelection,
    page: SpoolPage,
  ): Promise<{ readonly entries: SelectedEntry[]; readonly total: number }>;
  /** One message's entry with all of its recipients, or with those at these places alone: then whether it is resolved is what they say. */
  find(messageId: string, places?: readonly number[]): Promise<QueueEntry | undefined>;
  /**
   * Persists how recipients stand, and takes `reports` (DSNs) into custody in the same commit. A message none of whose recipients is queued any more
   * goes, with its body. @throws {Fault} `spool.failed`, `spool.closed`
   */
  record(messageId: string, updates: readonly RecipientUpdate[], reports?: readonly Message[]): Promise<void>;
  /** The same for many messages in one commit, without reports; a message that is gone is passed over. Keep them few: nobody else is served meanwhile. */
  recordAll(changes: readonly RecordedChange[]): Promise<void>;
  /**
   * Puts a message in the place of what was accepted under its id, in one commit with its forks and reports.
   * @throws {Fault} `spool.unknown-message`, `spool.full`, `spool.failed`, `spool.closed`; then all is as it was
   */
  replace(replacement: Replacement): Promise<void>;
  /** What is in custody now. */
  counts(): SpoolCounts;
  /** Why the last message could not be taken, where that is less than half a minute ago; else null. */
  failing(): string | null;
  /** Waits for what is under way and lets go of every file. Later calls throw `spool.closed`. */
  close(): Promise<void>;
}
