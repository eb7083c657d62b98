/** The queue as the control socket shows and changes it: the queue's own items as plain data, times as RFC 3339. */
import type { DestinationView as DestinationJson, QueueControl, QueueItemView } from "./admin/queue-control.ts";
import { formatMailbox } from "./mail/mailbox.ts";
import { scriptRecords } from "./mail/script-record.ts";
import type { Clock } from "./platform/clock.ts";
import type { DestinationView, QueueItem } from "./queue/listing.ts";
import type { Queue } from "./queue/queue.ts";
import type { Spool } from "./spool/spool.ts";

export interface QueueControlParts {
  readonly queue: Pick<
    Queue,
    "list" | "show" | "retry" | "hold" | "release" | "bounce" | "remove" | "requeue" | "destinations" | "shape"
  >;
  readonly spool: Pick<Spool, "load">;
  readonly laneOf: (recipient: QueueItem["recipients"][number]) => string;
  readonly lifetimeMs: () => number;
  /** Before a retry: hosts that were down are asked again. */
  readonly askAnew: () => void;
  readonly clock: Clock;
}

export function createQueueControl({
  queue,
  spool,
  laneOf,
  lifetimeMs,
  askAnew,
  clock,
}: QueueControlParts): QueueControl {
  const viewOf = (item: QueueItem): QueueItemView => ({
    id: item.messageId,
    from: item.reversePath,
    receivedAt: timeOf(item.receivedAt),
    expiresAt: timeOf(item.receivedAt + lifetimeMs()),
    sizeOctets: item.sizeOctets,
    running: item.running,
    recipients: item.recipients.map((recipient) => {
      const { mailbox, state, attempts, nextAttemptAt, lastOutcome, heldBy } = recipient;
      const waits = state === "queued" && heldBy !== "operator";
      return {
        address: formatMailbox(mailbox),
        state,
        attempts,
        nextAttemptAt: waits && Number.isFinite(nextAttemptAt) ? timeOf(nextAttemptAt) : null,
        lastOutcome,
        destination: state === "queued" ? laneOf(recipient) : null,
        heldBy: state === "queued" ? (heldBy ?? null) : null,
      };
    }),
  });
  return {
    async list(selection, page) {
      const { items, total } = await queue.list(selection, page);
      return { items: items.map(viewOf), total };
    },
    async show(id) {
      const item = await queue.show(id);
      const message = item && (await spool.load(id));
      return item && { ...viewOf(item), ...(message && { scripts: scriptRecords(message) }) };
    },
    async content(id, part) {
      const message = await spool.load(id);
      return message && (part === "header" ? [message.header.octets] : message.chunks());
    },
    change(verb, selection, options) {
      // Who says "now" knows that the host is back.
      if (verb === "retry" && !options.dryRun) askAnew();
      return queue[verb](selection, options);
    },
    destinations: () => queue.destinations().map(destinationOf),
    async shape(name, { suspend, ...change }) {
      const untilMs = suspend
        ? suspend.forMs === null
          ? Number.POSITIVE_INFINITY
          : clock.now() + suspend.forMs
        : null;
      return destinationOf(
        await queue.shape(name, { ...change, ...(suspend !== undefined && { suspendedUntilMs: untilMs }) }),
      );
    },
  };
}

function destinationOf({ backOffUntil, suspendedUntil, lastFailure, ...view }: DestinationView): DestinationJson {
  return {
    ...view,
    backOffUntil: backOffUntil === null ? null : timeOf(backOffUntil),
    suspendedUntil:
      suspendedUntil === null ? null : Number.isFinite(suspendedUntil) ? timeOf(suspendedUntil) : "resumed",
    lastFailure: lastFailure && { at: timeOf(lastFailure.at), reason: lastFailure.reason },
  };
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
