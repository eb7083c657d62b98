/** Subjects of delivery's tell events: how an attempt ended, and every step in a message's life. */
import type { Mailbox } from "../mail/mailbox.ts";
import type { Reply } from "../mail/status.ts";
import type { MessageSubject } from "./subject.ts";

/** How an attempt for one recipient ended. */
export interface OutcomeSubject extends MessageSubject {
  readonly attemptId: string;
  readonly forwardPath: Mailbox;
  /** "" where nobody was asked, as with mail that is held. */
  readonly nextHop: string;
  /** The peer's last word, where there was one. */
  readonly reply: Reply | null;
}

export interface DeferredSubject extends OutcomeSubject {
  readonly reason: string;
  /** Milliseconds since the Unix epoch. */
  readonly nextAttemptAt: number;
}

export interface FailedSubject extends OutcomeSubject {
  readonly reason: string;
}

/** The steps onTrack tells, with the numbers that name them for good. */
export const trackCodes = {
  received: 1000,
  refused: 1010,
  deferredAtArrival: 1011,
  discarded: 1020,
  quarantined: 1021,
  spooled: 1030,
  categorized: 1035,
  attempted: 1040,
  delivered: 1050,
  deferred: 1051,
  failed: 1052,
  reported: 1060,
  finished: 1070,
} as const;

export type TrackStep = keyof typeof trackCodes;

export interface TrackSubject {
  readonly messageId: string;
  readonly step: TrackStep;
  readonly code: number;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  readonly facts: Readonly<Record<string, unknown>>;
}
