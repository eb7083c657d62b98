/**
 * What a rehearsal goes on with once a message is taken: the queue's own categorising, routing and local delivery over the rehearsal's bindings, with nothing at their
 * ends. No file is written, no name is looked up, no peer is spoken to.
 */
import type { Binding, ListName } from "./events/binding.ts";
import type { Dispatcher } from "./events/dispatcher.ts";
import { createId } from "./mail/ids.ts";
import { formatMailbox, type Mailbox } from "./mail/mailbox.ts";
import type { Message } from "./mail/message.ts";
import { formatNextHop } from "./mail/next-hop.ts";
import { formatReply, type Reply } from "./mail/status.ts";
import { type ExplainRouteParts, explainRoute, type RouteExplanation } from "./main-route.ts";
import { createDelivery } from "./outbound/deliver.ts";
import { LocalDelivery } from "./outbound/local.ts";
import { type Choice, Router, type RouteTable } from "./outbound/router.ts";
import type { Clock } from "./platform/clock.ts";
import { describeThrown } from "./platform/fault.ts";
import { type Log, type LogFields, silentLog } from "./platform/log.ts";
import { describeOutcome, type Outcome } from "./queue/attempt.ts";
import { createCategorizer } from "./queue/categorize.ts";
import type { AddressBook } from "./sinks/address-files.ts";
import { queuedRecipients, type StoredRecipient } from "./spool/spool.ts";

/** Where a recipient's mail would end. */
export interface Destination {
  readonly recipient: string;
  /** `delivered` here, `sent` to a server; or why neither. */
  readonly fate: "delivered" | "sent" | "held" | "deferred" | "failed" | "discarded" | "quarantined";
  /** As formatNextHop has it; null where it was not asked for. */
  readonly hop: string | null;
  /** Who chose that, or decided otherwise; null where nobody did. */
  readonly by: string | null;
  /** The reason, the reply or the place; "" where there is nothing more to say. */
  readonly words: string;
}

export interface TransportStage {
  readonly router: Pick<Router, "choose">;
  readonly book: Pick<AddressBook, "mailboxOf" | "resolve">;
}

interface Parts {
  readonly events: Pick<Dispatcher, "ask" | "bindingsOf">;
  readonly own: TransportStage;
  readonly clock: Clock;
}

/** A first attempt at a message; one destination for each recipient that is left, and for each that was taken out with a word. Never throws. */
export async function rehearseAttempt({ events, own, clock }: Parts, message: Message): Promise<Destination[]> {
  const destinations: Destination[] = [];
  const attemptId = createId(clock.now());
  const endAll = ({ envelope }: Message, end: Omit<Destination, "recipient" | "hop">) => {
    for (const { mailbox } of envelope.recipients)
      destinations.push({ recipient: formatMailbox(mailbox), hop: null, ...end });
  };
  const categorize = createCategorizer({
    events,
    clock,
    // Whom a sink drops is told to the log alone.
    log: listenTo("recipient.discarded", ({ to, reason, by }) => {
      for (const recipient of to as readonly string[])
        destinations.push({ recipient, fate: "discarded", hop: null, by: by as string | null, words: String(reason) });
    }),
    quarantine: async (kept, { reason, binding }) => endAll(kept, { fate: "quarantined", by: binding, words: reason }),
  });
  const said = await categorize(message, attemptId).catch((error: unknown) => {
    const reply: Reply = { code: 451, status: "4.3.0", text: describeThrown(error) };
    return { kind: "deferred", reply, by: null } as const;
  });
  const deliver = createDeliverer({ events: everybody(events), own, clock });
  switch (said.kind) {
    case "unchanged":
      return [...destinations, ...(await deliver(message, [], attemptId))];
    case "changed": {
      for (const one of [said.message, ...said.forks])
        destinations.push(...(await deliver(one, one === said.message ? said.failures : [], attemptId)));
      return destinations;
    }
    case "refused":
    case "deferred": {
      const fate = said.kind === "refused" ? "failed" : "deferred";
      endAll(message, { fate, by: said.by, words: formatReply(said.reply) });
      return destinations;
    }
    case "discarded":
    case "quarantined":
      endAll(message, { fate: said.kind, by: said.by, words: said.reason });
      return destinations;
  }
}

/** Where mail for an address would go by these bindings; hosts are not looked up. Never throws for what a sink or a file says. */
export function rehearseRoute(
  { events, own, clock }: Parts,
  address: Mailbox,
  options: Parameters<typeof explainRoute>[2] = {},
): Promise<RouteExplanation> {
  const router = new RehearsedRouter(events, own.router);
  const parts: ExplainRouteParts = { events, router, book: own.book, clock };
  return explainRoute(parts, address, options);
}

/** A destination in a line: `bob@example.test would be delivered to maildir by local domain: folder Junk`. */
export function describeDestination({ recipient, fate, hop, by, words }: Destination): string {
  const end = fate === "failed" ? "would fail" : `would be ${fate}`;
  const where = hop === null || fate === "held" ? "" : ` to ${hop}`;
  return `${recipient} ${end}${where}${by === null ? "" : ` by ${by}`}${words === "" ? "" : `: ${words}`}`;
}

/** Delivery with nothing at its ends. */
function createDeliverer(parts: Parts) {
  const { events, own, clock } = parts;
  const router = new RehearsedRouter(events, own.router);
  return async (message: Message, failures: readonly Outcome[], attemptId: string): Promise<Destination[]> => {
    const failed = new Map(failures.map((outcome) => [outcome.index, outcome]));
    const recipients = queuedRecipients(message.envelope, clock.now());
    /** What is known of a recipient beside his outcome, by his index. */
    const chosen = new Map<number, { readonly hop: string; readonly by: string }>();
    const places = new Map<string, string>();
    const delivered = ({ index }: StoredRecipient): Outcome => {
      return { index, kind: "delivered", nextHop: "", reply: null, reason: "" };
    };
    const hand = async (work: { readonly recipients: readonly StoredRecipient[] }) => work.recipients.map(delivered);
    const local = new LocalDelivery({
      events,
      log: silentLog,
      maildirs: {
        async deliver(_message, recipient, { owner = recipient, folder = null } = {}) {
          const inOf = formatMailbox(owner) === formatMailbox(recipient) ? [] : [`mailbox of ${formatMailbox(owner)}`];
          places.set(formatMailbox(recipient), [...inOf, ...(folder === null ? [] : [`folder ${folder}`])].join(", "));
          return "";
        },
      },
      drop: { deliver: async () => "" },
      lmtp: { deliver: hand },
      http: { deliver: hand },
      quarantine: async () => {},
      mailboxOf: ({ mailbox }) => own.book.mailboxOf(mailbox),
    });
    const { deliver } = createDelivery({
      router: {
        laneOf: (recipient) => router.laneOf(recipient),
        async route(work) {
          const groups = await router.route(work);
          for (const group of groups) {
            if (!("hop" in group)) continue;
            const { hop, by } = group;
            const choice = { hop: hop.kind === "hold" ? "hold" : formatNextHop(hop), by };
            for (const { index } of group.recipients) chosen.set(index, choice);
          }
          return groups;
        },
      },
      remote: { deliver: hand },
      local,
    });
    const due = recipients.filter(({ index }) => !failed.has(index));
    const outcomes = due.length === 0 ? [] : await deliver({ message, attemptId, recipients: due });
    const byIndex = new Map(outcomes.map((outcome) => [outcome.index, outcome]));
    return recipients.map(({ index, mailbox }) => {
      const recipient = formatMailbox(mailbox);
      const { hop = null, by = null } = chosen.get(index) ?? {};
      const outcome = failed.get(index) ?? byIndex.get(index)!;
      const isSent = outcome.kind === "delivered" && outcome.nextHop === "";
      const isPlain = places.has(recipient) || outcome.nextHop === "drop";
      const words = isPlain ? (places.get(recipient) ?? "") : describeOutcome(outcome);
      return { recipient, fate: isSent ? "sent" : outcome.kind, hop, by, words };
    });
  };
}

/** Routes by the table of another router, and asks the rehearsal's sinks. */
class RehearsedRouter extends Router {
  readonly #table: Pick<Router, "choose">;

  constructor(events: Parts["events"], table: Pick<Router, "choose">) {
    super({ events, table: emptyTable });
    this.#table = table;
  }

  override choose(recipient: Parameters<Router["choose"]>[0]): Choice {
    return this.#table.choose(recipient);
  }
}

/** Nobody looks at it. */
const emptyTable: RouteTable = {
  localDomains: new Set(),
  routes: [],
  local: { kind: "maildir" },
  smarthost: false,
  remote: "hold",
};

/** Where nobody but the server itself is bound, its sinks are not asked, since it knows what they would say. Whoever explains wants to see them all the same. */
function everybody(events: Parts["events"]): Parts["events"] {
  return {
    ask: (event, subject, phase) => events.ask(event, subject, phase),
    bindingsOf: (list: ListName) =>
      events.bindingsOf(list).map((binding): Binding => ({ ...binding, source: "config" })),
  };
}

/** A log that keeps nothing but hands the fields of one line on. */
function listenTo(wanted: string, hear: (fields: LogFields) => void): Log {
  return {
    ...silentLog,
    info: (event, fields = {}) => {
      if (event === wanted) hear(fields);
    },
  };
}
