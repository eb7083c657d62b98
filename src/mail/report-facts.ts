/** What a report is made of: its kind, whom it is about, and its words. Pure. */
import type { OriginalRecipient } from "./envelope.ts";
import type { Mailbox } from "./mailbox.ts";
import type { Message } from "./message.ts";
import type { Reply } from "./status.ts";

/** What a report says of its recipients; the words are those of the field Action. RFC 3464 §2.3.3. */
export const reportKinds = ["failed", "delayed", "delivered", "relayed", "expanded"] as const;
export type ReportKind = (typeof reportKinds)[number];

/** One recipient that is reported on. */
export interface ReportedRecipient {
  readonly mailbox: Mailbox;
  /** What the sender calls it, where it was told. RFC 3461 §4.2. */
  readonly originalRecipient?: OriginalRecipient;
  /** Enhanced status code, such as `5.1.1`. RFC 3463. */
  readonly status: string;
  /** For the sender: one line, without facts of this server's inside; "" where the reply says it all. */
  readonly reason: string;
  /** Who said so, where a peer did. */
  readonly nextHop: string;
  readonly reply: Reply | null;
  readonly lastAttemptAt: number;
}

export interface ReportFacts {
  readonly kind: ReportKind;
  readonly original: Message;
  readonly reversePath: Mailbox;
  readonly recipients: readonly ReportedRecipient[];
  /** Name of this server. */
  readonly hostName: string;
  readonly now: number;
  /** Of what is delayed: how long it is tried. RFC 3464 §2.3.9. */
  readonly retryUntil?: number;
  /** For people; absent: ours. */
  readonly words?: ReportWords;
}

/** What a report says to people. */
export interface ReportWords {
  /** One line. */
  readonly subject: string;
  /** Lines with "\n" between them, none at the end. */
  readonly text: string;
}
