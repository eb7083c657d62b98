/**
 * `onarrival route ADDRESS`: where mail for an address would go and who says so. It asks what a message would be asked about, with nothing in hand: sinks at
 * onCategorize and onRoute see a message without content. Nothing is sent, nothing is kept.
 */

import type { Dispatcher } from "./events/dispatcher.ts";
import { describeVerdict } from "./events/verdict.ts";
import { mailboxKey } from "./mail/alias-file.ts";
import { Header } from "./mail/header.ts";
import { createId } from "./mail/ids.ts";
import { formatMailbox, type Mailbox } from "./mail/mailbox.ts";
import { inlineBody, Message } from "./mail/message.ts";
import { formatNextHop, type NextHop } from "./mail/next-hop.ts";
import type { ReversePath } from "./mail/path.ts";
import { formatReply } from "./mail/status.ts";
import type { Router } from "./outbound/router.ts";
import type { Clock } from "./platform/clock.ts";
import { describeThrown } from "./platform/fault.ts";
import { type AddressNode, type Answer, askAboutAll, circle } from "./queue/categorize-recipients.ts";
import { CategorizeDecision, describeResolution } from "./queue/categorize-subject.ts";
import type { AddressBook } from "./sinks/address-files.ts";
import type { StoredRecipient } from "./spool/spool.ts";

/** A server mail would be offered to. */
export interface RouteTarget {
  readonly host: string;
  readonly addresses: readonly string[];
  /** The TLS policy there, in words. */
  readonly tls: string;
}

/** Where mail for one address goes. */
export interface RouteExplanation {
  readonly address: string;
  /** What was found out on the way, and whose word it is. */
  readonly resolution: readonly { readonly by: string; readonly words: string }[];
  /** What it stands for; empty where it stands for itself. */
  readonly expandedTo: readonly RouteExplanation[];
  /** null where nothing would go anywhere. */
  readonly route: {
    readonly hop: string;
    readonly by: string;
    /** The lane in the queue. */
    readonly destination: string;
    readonly targets?: readonly RouteTarget[];
  } | null;
  /** Why mail for it would fail or wait; null where it would not. */
  readonly error: string | null;
}

export interface ExplainRouteParts {
  /** Best a dispatcher that rehearses: sinks then remember nothing of it. */
  readonly events: Pick<Dispatcher, "ask" | "bindingsOf">;
  readonly router: Pick<Router, "route" | "laneOf">;
  /** Says which line of which file; absent where there are none. */
  readonly book: Pick<AddressBook, "resolve" | "mailboxOf"> | null;
  /** The servers of a next hop, by DNS; absent: they are not looked up. What it throws is told. */
  readonly targetsOf?: (hop: NextHop) => Promise<readonly RouteTarget[]>;
  readonly clock: Clock;
}

/** Members of a list that are explained one by one; of more than that it is said how many there are. */
const membersShownMax = 100;
/** Id of the server's own binding at onCategorize: the book knows better than that where it has an answer from. */
const ownCategorizer = "server/categorizer#onCategorize";

/** Never throws for what a sink, a file or DNS says. */
export async function explainRoute(
  parts: ExplainRouteParts,
  address: Mailbox,
  { from = null }: { readonly from?: ReversePath } = {},
): Promise<RouteExplanation> {
  const words = new Map<string, Word[]>();
  const shown = new Set<AddressNode>();

  async function ask(forwardPath: Mailbox, expandedFrom: readonly Mailbox[]): Promise<Answer> {
    const message = createEmptyMessage(forwardPath);
    const decision = new CategorizeDecision({ message, attemptId: message.id, forwardPath, expandedFrom });
    const verdict = await parts.events.ask("onCategorize", decision);
    message.revoke();
    const { resolution, resolvedBy, isSplit } = decision;
    const own = resolvedBy === ownCategorizer ? parts.book?.resolve(forwardPath, expandedFrom).by : undefined;
    const by = own ?? resolvedBy ?? "nobody";
    const key = mailboxKey(forwardPath);
    const said = words.get(key) ?? [];
    if (said.length > 0) said.push({ by, words: "leads back to itself" });
    if (resolution) said.push({ by, words: describeResolution(resolution) });
    if (isSplit) said.push({ by, words: "gets a message of its own" });
    words.set(key, said);
    return { verdict, resolution, isSplit, message };
  }

  async function explain(node: AddressNode): Promise<RouteExplanation> {
    shown.add(node);
    const { mailbox, said, children } = node;
    const resolution = words.get(mailboxKey(mailbox)) ?? [];
    const found = { address: formatMailbox(mailbox), resolution, expandedTo: [] };
    const failed = (error: string): RouteExplanation => ({ ...found, route: null, error });
    switch (said?.kind) {
      case "failed":
        return failed(describeObjection(formatReply(said.reply), said.by));
      case "discarded":
      case "quarantined":
        return failed(describeObjection(`${said.kind}: ${said.reason}`, said.by));
      case "stays":
      case undefined:
        return await explainHop(mailbox, resolution);
      case "expands": {
        const expandedTo: RouteExplanation[] = [];
        for (const child of children.slice(0, membersShownMax)) {
          const isShown = shown.has(child);
          expandedTo.push(isShown ? { ...elsewhere, address: formatMailbox(child.mailbox) } : await explain(child));
        }
        if (children.length > membersShownMax)
          resolution.push({
            by: "onarrival",
            words: `of ${children.length} addresses the first ${membersShownMax} are shown`,
          });
        if (said.stays) {
          resolution.push({ by: "onarrival", words: "stays itself, too" });
          return { ...(await explainHop(mailbox, resolution)), expandedTo };
        }
        return { ...found, expandedTo, route: null, error: node.ends ? null : formatReply(circle) };
      }
    }
  }

  async function explainHop(mailbox: Mailbox, resolution: { by: string; words: string }[]): Promise<RouteExplanation> {
    const found = { address: formatMailbox(mailbox), resolution, expandedTo: [] };
    const message = createEmptyMessage(mailbox);
    const recipient: StoredRecipient = {
      index: 0,
      mailbox,
      state: "queued",
      attempts: 0,
      nextAttemptAt: message.receivedAt,
      lastOutcome: "",
    };
    const [first] = await parts.router.route({ message, recipients: [recipient], attemptId: message.id });
    if (!first || !("hop" in first)) {
      const { reply, reason } = first?.outcome ?? { reply: null, reason: "nobody routes it" };
      return { ...found, route: null, error: [reason, reply && formatReply(reply)].filter(Boolean).join(": ") };
    }
    const { hop, by } = first;
    if (hop.kind === "maildir" && parts.book) {
      const owner = parts.book.mailboxOf(mailbox);
      if (mailboxKey(owner) !== mailboxKey(mailbox))
        resolution.push({ by: "domains.plus", words: `in the mailbox of ${formatMailbox(owner)}` });
    }
    const route = { hop: formatNextHop(hop), by, destination: parts.router.laneOf(recipient) };
    if (hop.kind === "hold") return { ...found, route, error: `held: ${hop.reason}` };
    if (!parts.targetsOf || !isFar(hop)) return { ...found, route, error: null };
    try {
      return { ...found, route: { ...route, targets: await parts.targetsOf(hop) }, error: null };
    } catch (error) {
      return { ...found, route, error: describeThrown(error) };
    }
  }

  function createEmptyMessage(mailbox: Mailbox): Message {
    const now = parts.clock.now();
    const origin = { sessionId: "", listener: "route", ip: "127.0.0.1", host: null, helo: "", user: null, tls: null };
    return new Message({
      id: createId(now),
      receivedAt: now,
      origin,
      envelope: { reversePath: from, recipients: [{ mailbox }] },
      header: Header.empty,
      separator: Buffer.from("\r\n"),
      body: inlineBody(Buffer.alloc(0)),
      notes: {},
    });
  }

  const asked = await askAboutAll([{ mailbox: address }], ask);
  if ("deferral" in asked) {
    const error = describeObjection(describeVerdict(asked.deferral), asked.deferral.by ?? null);
    return { address: formatMailbox(address), resolution: [], expandedTo: [], route: null, error };
  }
  const { node, failed } = asked.roots[0]!;
  if (!failed) return await explain(node);
  return {
    address: formatMailbox(address),
    resolution: words.get(mailboxKey(address)) ?? [],
    expandedTo: [],
    route: null,
    error: formatReply(failed),
  };
}

interface Word {
  readonly by: string;
  readonly words: string;
}

function describeObjection(words: string, by: string | null): string {
  return by === null ? words : `${words} (${by})`;
}

const elsewhere = {
  resolution: [{ by: "onarrival", words: "stands in this tree already, and gets one copy" }],
  expandedTo: [],
  route: null,
  error: null,
} as const;

/** Whether servers stand behind a next hop that have to be looked up. */
function isFar({ kind }: NextHop): boolean {
  return kind === "mx" || kind === "smtp" || kind === "smarthost";
}
