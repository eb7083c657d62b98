/** What a queue is given, and what it counts. */
import type { Clock } from "../platform/clock.ts";
import type { Log } from "../platform/log.ts";
import type { Spool, StoredRecipient } from "../spool/spool.ts";
import type { Deliver } from "./attempt.ts";
import type { Tell } from "./consequences.ts";
import type { Categorize, CreateReports, Quarantine } from "./ports.ts";
import type { RetrySchedule } from "./retry-schedule.ts";
import type { ConfiguredShape } from "./shapes.ts";

export interface QueueOptions {
  readonly spool: Spool;
  readonly clock: Clock;
  readonly log: Log;
  readonly schedule: RetrySchedule;
  readonly deliver: Deliver;
  readonly tell: Tell;
  /** Name of this server, for failure reports. */
  readonly hostName: string;
  /** Resolves recipients before the first attempt. Absent: they are whom the envelope names. */
  readonly categorize?: Categorize;
  /** Default: reports in our own words, nobody asked. */
  readonly createReports?: CreateReports;
  readonly quarantine?: Quarantine;
  /** Attempts at one time. Default 100. */
  readonly attemptsMax?: number;
  /** Time for one attempt. Default an hour. */
  readonly attemptTimeoutMs?: number;
  /** Age at which a sender is told that his message is late; 0, the default: never. */
  readonly delayWarningMs?: number;
  /** The destination a recipient's mail goes to: its lane. Cheap, asked at every planning. Default: one for all. */
  readonly laneOf?: (recipient: StoredRecipient) => string;
  /** Attempts at one time to one destination. Default: half of `attemptsMax` where there are destinations. */
  readonly laneAttemptsMax?: number;
  /** What single destinations may be given. */
  readonly shapes?: readonly ConfiguredShape[];
  /** File that keeps what the operator gives them. Absent: it is forgotten at the end. */
  readonly destinationsFile?: string;
  /** Messages kept in memory for their first attempt. Default 1,000. */
  readonly cachedMessagesMax?: number;
  /** Octets of them. Default 64 MiB. */
  readonly cachedOctetsMax?: number;
}

export interface QueueCounts {
  readonly messages: number;
  /** Attempts under way. */
  readonly running: number;
  /** Messages that are due at a destination and wait for a place; one for each destination. */
  readonly due: number;
  readonly held: number;
  /** Messages in memory for their first attempt. */
  readonly cached: number;
}
