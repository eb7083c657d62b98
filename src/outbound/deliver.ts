/**
 * Delivery: the queue's port to the world. The router says which recipients go which way; the groups go side by side, remote ones over SMTP, local ones into
 * the mailboxes and to programs; each recipient gets its outcome.
 */
import type { Message } from "../mail/message.ts";
import { formatNextHop, type NextHop } from "../mail/next-hop.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Deliver, Outcome } from "../queue/attempt.ts";
import type { StoredRecipient } from "../spool/spool.ts";
import type { LocalDelivery } from "./local.ts";
import type { Routed, RouteRefusal, Router } from "./router.ts";

/** What is left of an attempt for one group: whom for, and which way. */
interface Leg<Hop extends NextHop> {
  readonly hop: Hop;
  readonly message: Message;
  readonly recipients: readonly StoredRecipient[];
  readonly attemptId: string;
  readonly signal?: AbortSignal;
}

type RemoteHop = Extract<NextHop, { readonly kind: "mx" | "smtp" | "smarthost" }>;

export interface DeliveryOptions {
  readonly router: Pick<Router, "route" | "laneOf">;
  /** An outcome for each recipient. */
  readonly remote: { deliver(leg: Leg<RemoteHop>): Promise<readonly Outcome[]> };
  readonly local: Pick<LocalDelivery, "deliver">;
}

export interface Delivery {
  readonly deliver: Deliver;
  /** The queue's lane for a recipient: what may be slow does not wait before what is quick. */
  readonly laneOf: (recipient: StoredRecipient) => string;
}

export function createDelivery({ router, remote, local }: DeliveryOptions): Delivery {
  async function deliverGroup(
    group: Routed | RouteRefusal,
    work: Omit<Leg<NextHop>, "hop">,
  ): Promise<readonly Outcome[]> {
    const { recipients } = group;
    if (!("hop" in group)) return recipients.map(({ index }) => ({ index, nextHop: "", ...group.outcome }));
    const { hop } = group;
    try {
      return await deliverBy(hop, { ...work, recipients });
    } catch (error) {
      // A way that breaks is no reason to try the others again.
      const reason = `cannot deliver: ${describeThrown(error)}`;
      const nextHop = formatNextHop(hop);
      return recipients.map(({ index }) => ({
        index,
        kind: "deferred",
        nextHop,
        reply: null,
        reason,
        status: "4.3.0",
      }));
    }
  }

  async function deliverBy(hop: NextHop, work: Omit<Leg<NextHop>, "hop">): Promise<readonly Outcome[]> {
    switch (hop.kind) {
      case "maildir":
      case "drop":
      case "lmtp":
      case "http":
        return local.deliver({ ...work, hop });
      case "mx":
      case "smtp":
      case "smarthost":
        return remote.deliver({ ...work, hop });
      case "hold":
        return work.recipients.map(({ index }) => ({
          index,
          kind: "held",
          nextHop: "",
          reply: null,
          reason: hop.reason,
        }));
    }
  }

  return {
    async deliver(work) {
      const { message, recipients, attemptId } = work;
      const groups = await router.route({ message, recipients, attemptId });
      return (await Promise.all(groups.map((group) => deliverGroup(group, work)))).flat();
    },
    laneOf: (recipient) => router.laneOf(recipient),
  };
}
