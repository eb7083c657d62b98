/** What goes between the spool (sqlite.ts) and the thread that holds its database (sqlite-worker.ts): one batch there, one answer back. */
import type { Envelope } from "../mail/message.ts";
import type { FaultCode } from "../platform/fault.ts";
import type { PageStart, SpoolPage, SpoolSelection } from "./selection.ts";
import type { QueueEntry, RecipientUpdate, RecordedChange, SelectedEntry, SpoolCounts } from "./spool.ts";
import type { StoredMessage } from "./stored-message.ts";

export type Operation =
  | { readonly kind: "accept"; readonly messages: readonly StoredMessage[]; readonly nextAttemptAt: number }
  | {
      readonly kind: "record";
      readonly messageId: string;
      readonly updates: readonly RecipientUpdate[];
      readonly reports: readonly StoredMessage[];
    }
  | {
      readonly kind: "replace";
      readonly message: StoredMessage;
      readonly forks: readonly StoredMessage[];
      readonly reports: readonly StoredMessage[];
      readonly updates: readonly RecipientUpdate[];
      readonly nextAttemptAt: number;
    }
  | { readonly kind: "recordAll"; readonly changes: readonly RecordedChange[] }
  | { readonly kind: "load"; readonly messageId: string }
  | { readonly kind: "find"; readonly messageId: string; readonly places?: readonly number[] }
  | { readonly kind: "list"; readonly limit?: number; readonly after?: PageStart }
  | { readonly kind: "query"; readonly selection: SpoolSelection; readonly page: SpoolPage };

/** The messages an operation brings, in the order their pieces are packed. */
export function messagesOf(operation: Operation): readonly StoredMessage[] {
  switch (operation.kind) {
    case "accept":
      return operation.messages;
    case "record":
      return operation.reports;
    case "replace":
      return [operation.message, ...operation.forks, ...operation.reports];
    default:
      return [];
  }
}

/** Operations for one transaction. `octets` holds the pieces of all their messages, one behind the other, in the order of the operations. */
export interface Batch {
  readonly kind: "batch";
  readonly operations: readonly Operation[];
  readonly octets: ArrayBuffer;
}
interface Close {
  readonly kind: "close";
}
export type ToWorker = Batch | Close;

/** A message as it was stored; octets are copies of their own. */
export interface LoadedMessage {
  readonly id: string;
  readonly receivedAt: number;
  readonly envelope: Envelope;
  readonly origin: string;
  readonly notes: string;
  readonly header: Uint8Array;
  readonly separator: Uint8Array;
  readonly body: Uint8Array;
  readonly bodyFile: string | null;
  readonly bodyOctets: number;
}

export interface Selected {
  readonly entries: SelectedEntry[];
  readonly total: number;
}

export type Value = LoadedMessage | QueueEntry | QueueEntry[] | Selected | undefined;

/** A fault as data. */
export interface StoredFault {
  readonly code: FaultCode;
  readonly message: string;
}
export type Result = { readonly value: Value } | { readonly fault: StoredFault };

/** What was found when the database was opened. */
export interface Recovery {
  readonly orphansRemoved: number;
  readonly bodiesMissing: readonly { readonly messageId: string; readonly file: string }[];
}

export type FromWorker =
  | { readonly kind: "opened"; readonly counts: SpoolCounts; readonly recovery: Recovery }
  | { readonly kind: "refused"; readonly fault: StoredFault }
  | { readonly kind: "results"; readonly results: readonly Result[]; readonly counts: SpoolCounts }
  /** The disk failed: every operation fails until the next start. */
  | { readonly kind: "broken"; readonly fault: StoredFault }
  | { readonly kind: "checkpoint-failed"; readonly fault: StoredFault }
  | { readonly kind: "closed" };

export interface WorkerSetup {
  readonly folder: string;
}
