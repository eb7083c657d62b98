/** Which messages of the queue a command means: ids and flags, as the server is asked for them. */
import { type QueueSelection, queueStates } from "../admin/queue-selection.ts";
import { idPattern } from "../mail/ids.ts";
import { readDuration } from "./duration.ts";
import { UsageError } from "./failure.ts";

export interface QueueFilterFlags {
  readonly domain?: string;
  readonly recipient?: string;
  readonly from?: string;
  /** An address, or `@domain`: from before the two had names of their own. */
  readonly to?: string;
  readonly destination?: string;
  readonly older?: string;
  readonly newer?: string;
  readonly state?: string;
}

/** Ids that fit into one request for a list: they stand in its first line. */
export const listedIdsMax = 500;

/** @throws {UsageError} */
export function selectionOf(ids: readonly string[], flags: QueueFilterFlags): QueueSelection {
  const { domain, recipient, from, to, destination, older, newer, state } = flags;
  if (to !== undefined && (domain !== undefined || recipient !== undefined))
    throw new UsageError("--to goes without --domain and --recipient: it is one of them, by whether it begins with @");
  const known = queueStates.find((one) => one === state);
  if (state !== undefined && known === undefined)
    throw new UsageError(`--state: expected ${queueStates.join(", ")}, not ${JSON.stringify(state)}`);
  const wantedDomain = domain ?? (to?.startsWith("@") ? to.slice(1) : undefined);
  const wantedRecipient = recipient ?? (to?.startsWith("@") ? undefined : to);
  return {
    ...(ids.length > 0 && { ids: readIds(ids) }),
    ...(wantedDomain !== undefined && { domain: wantedDomain }),
    ...(wantedRecipient !== undefined && { recipient: wantedRecipient }),
    ...(from !== undefined && { sender: from }),
    ...(destination !== undefined && { destination }),
    ...(older !== undefined && { olderThanMs: readDuration("--older", older) }),
    ...(newer !== undefined && { newerThanMs: readDuration("--newer", newer) }),
    ...(known !== undefined && { state: known }),
  };
}

/** Each once; small letters are taken for the large ones ids have. @throws {UsageError} */
export function readIds(ids: readonly string[]): readonly string[] {
  return [
    ...new Set(
      ids.map((text) => {
        const id = text.trim().toUpperCase();
        if (!idPattern.test(id))
          throw new UsageError(`${JSON.stringify(text)} is no id of a message: expected 16 letters and digits`);
        return id;
      }),
    ),
  ];
}

/** As the query of a request for a list. @throws {UsageError} */
export function queryOf({ ids, ...selection }: QueueSelection): URLSearchParams {
  if (ids !== undefined && ids.length > listedIdsMax)
    throw new UsageError(`Cannot list more than ${listedIdsMax} ids at once`);
  const query = new URLSearchParams(ids && { ids: ids.join(",") });
  for (const [key, value] of Object.entries(selection)) if (value !== undefined) query.set(key, String(value));
  return query;
}
