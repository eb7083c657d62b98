/** What the queue asks of others beside delivery (attempt.ts): who a message is for, and what its sender is told. */
import type { Message, Submission } from "../mail/message.ts";
import type { Reply } from "../mail/status.ts";
import type { Outcome, Settlement } from "./attempt.ts";
import type { Expansion } from "./categorize-results.ts";

/**
 * What became of a message when its recipients were resolved. Nothing of it is persisted yet; the queue does that in one commit, and asks again, with another
 * attempt id, where it was killed before.
 */
export type Categorized = CategorizedKind & {
  /** Messages that sinks made of it, to be taken into custody in the same commit; absent: none. */
  readonly submissions?: readonly Submission[];
};

type CategorizedKind =
  /** As it was: nothing has to be written. */
  | { readonly kind: "unchanged" }
  /**
   * Another envelope or content. `message` keeps the id; where none of its recipients is left it goes. `forks` are messages of their own, ids and all, due now.
   * `failures` are outcomes of the kind `failed`, by index on the envelope of `message`. `expansions` are recipients of the envelope before, told to its sender;
   * absent: none.
   */
  | {
      readonly kind: "changed";
      readonly message: Message;
      readonly forks: readonly Message[];
      readonly failures: readonly Outcome[];
      readonly expansions?: readonly Expansion[];
    }
  /** For good, for every recipient: reported to the sender. */
  | { readonly kind: "refused"; readonly reply: Reply; readonly by: string | null }
  /** The whole of it again later; counts as an attempt. */
  | { readonly kind: "deferred"; readonly reply: Reply; readonly by: string | null }
  /** Dropped; the log has the reason. */
  | { readonly kind: "discarded"; readonly reason: string; readonly by: string | null }
  /** To badmail, as `message` has it. */
  | { readonly kind: "quarantined"; readonly message: Message; readonly reason: string; readonly by: string | null };

/** Asks onArrival in its phase `queue`, onPreCategorize, onCategorize and onPostCategorize. What it throws counts as deferred. */
export type Categorize = (message: Message, attemptId: string) => Promise<Categorized>;

/**
 * The reports that these settlements call for: of failures, of deliveries where they were asked for, of delay where `delayed` says so. They are persisted with the
 * settlements in one commit. Throws where one cannot be made; then nothing is settled yet.
 */
export type CreateReports = (message: Message, settlements: readonly Settlement[]) => Promise<readonly Message[]>;

/** Keeps a message in badmail, durably. */
export type Quarantine = (
  message: Message,
  reason: { readonly reason: string; readonly binding: string | null },
) => Promise<void>;
