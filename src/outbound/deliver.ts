/** Delivery: the queue's port to the world. Recipients are grouped by next hop, the groups go side by side, each recipient gets its outcome. */

import type { Tracer } from "../events/trace.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Deliver, Outcome } from "../queue/attempt.ts";
import type { StoredRecipient } from "../spool/spool.ts";
import { MaildirStore } from "./maildir.ts";
import { chooseNextHop, formatSmarthost, type NextHop, type Routing, type Smarthost, tlsPolicyOf } from "./next-hop.ts";
import { SmtpClient, type SmtpClientOptions } from "./smtp.ts";
import type { OutboundEvents } from "./smtp-conversation.ts";

export interface DeliveryOptions extends Routing {
  /** Folder of the Maildirs: `<root>/<domain>/<user>`. */
  readonly maildirRoot: string;
  /** Our name, for EHLO. */
  readonly hostName: string;
  readonly clock: Clock;
  readonly certificateAuthorities?: string;
  readonly smtpLimits?: SmtpClientOptions["limits"];
  /** The dispatcher: who is asked about our sessions with next hops. */
  readonly events?: OutboundEvents;
  /** Who follows them. */
  readonly tracer?: Tracer;
}

export interface Delivery {
  readonly deliver: Deliver;
  /** The queue's lane for what these recipients need: what may be slow does not wait before what is quick. */
  laneOf(recipients: readonly StoredRecipient[]): string;
  /** Other routes from now on, as after a reload; call the queue's `recheckHeld` then. Connections to a smarthost that changed are ended when they are done. */
  reroute(routing: Routing): void;
  /** Ends every connection; attempts under way are deferred. */
  close(): void;
}

/** Maildirs of one message written at one time. */
const maildirsAtOnceMax = 10;

export function createDelivery(options: DeliveryOptions): Delivery {
  const { clock, hostName } = options;
  const maildirs = new MaildirStore({ root: options.maildirRoot, clock });
  let routing: Routing = options;
  let client: { readonly key: string; readonly smtp: SmtpClient } | undefined;
  /** Clients of former smarthosts whose last connection is not over yet. */
  const retired = new Set<SmtpClient>();

  function clientOf(smarthost: Smarthost): SmtpClient {
    const tlsPolicy = tlsPolicyOf(smarthost, routing.tlsPolicies);
    const key = JSON.stringify([smarthost, tlsPolicy]);
    if (client?.key === key) return client.smtp;
    if (client) {
      const former = client.smtp;
      retired.add(former);
      former.retire(() => retired.delete(former));
    }
    const { certificateAuthorities, smtpLimits, events, tracer } = options;
    const smtp = new SmtpClient({
      smarthost,
      tlsPolicy,
      hostName,
      clock,
      ...(events === undefined ? {} : { events }),
      ...(tracer === undefined ? {} : { tracer }),
      ...(certificateAuthorities === undefined ? {} : { certificateAuthorities }),
      ...(smtpLimits === undefined ? {} : { limits: smtpLimits }),
    });
    client = { key, smtp };
    return smtp;
  }

  async function deliverToMaildirs(message: Message, recipients: readonly StoredRecipient[]): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    const todo = [...recipients];
    const work = async () => {
      for (let recipient = todo.shift(); recipient; recipient = todo.shift())
        outcomes.push(await deliverToMaildir(message, recipient));
    };
    await Promise.all(Array.from({ length: Math.min(maildirsAtOnceMax, recipients.length) }, work));
    return outcomes;
  }

  async function deliverToMaildir(message: Message, { index, mailbox }: StoredRecipient): Promise<Outcome> {
    const nextHop = `maildir:${formatMailbox(mailbox)}`;
    try {
      await maildirs.deliver(message, mailbox);
      return { index, kind: "delivered", nextHop, reply: null, reason: "written to the Maildir", status: "2.0.0" };
    } catch (error) {
      // The disk is the operator's to mend: the sender hears nothing of it until the mail is given up.
      return {
        index,
        kind: "deferred",
        nextHop,
        reply: null,
        reason: `cannot write to the Maildir: ${describeThrown(error)}`,
        status: "4.3.0",
      };
    }
  }

  function deliverBy({ hop, recipients }: Group, message: Message, attemptId: string): Promise<Outcome[]> {
    switch (hop.kind) {
      case "maildir":
        return deliverToMaildirs(message, recipients);
      case "smtp":
        return clientOf(hop.smarthost).deliver(message, recipients, attemptId);
      case "held":
        return Promise.resolve(
          recipients.map(({ index }) => ({
            index,
            kind: "held" as const,
            nextHop: "",
            reply: null,
            reason: hop.reason,
          })),
        );
    }
  }

  return {
    async deliver({ message, recipients, attemptId }) {
      const groups = groupByHop(recipients, routing);
      const outcomes = await Promise.all(groups.map((group) => deliverBy(group, message, attemptId)));
      return outcomes.flat();
    },
    laneOf(recipients) {
      let lane = "maildir";
      for (const { mailbox } of recipients) {
        const { kind } = chooseNextHop(mailbox, routing);
        if (kind === "smtp") return kind;
        if (kind === "held") lane = kind;
      }
      return lane;
    },
    reroute(changed) {
      const { localDomains, smarthost, tlsPolicies = routing.tlsPolicies ?? [] } = changed;
      routing = { localDomains, smarthost, tlsPolicies };
    },
    close() {
      for (const smtp of [...retired, ...(client ? [client.smtp] : [])]) smtp.close();
    },
  };
}

interface Group {
  readonly hop: NextHop;
  readonly recipients: StoredRecipient[];
}

function groupByHop(recipients: readonly StoredRecipient[], routing: Routing): Group[] {
  const groups = new Map<string, Group>();
  for (const recipient of recipients) {
    const hop = chooseNextHop(recipient.mailbox, routing);
    const key = hop.kind === "smtp" ? formatSmarthost(hop.smarthost) : hop.kind;
    const group = groups.get(key);
    if (group) group.recipients.push(recipient);
    else groups.set(key, { hop, recipients: [recipient] });
  }
  return [...groups.values()];
}
