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
import { expandedMax, expansionDepthMax } from "./queue/categorize-recipients.ts";
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
  const seen = new Set<string>();
  let left = expandedMax;

  async function explain(mailbox: Mailbox, path: readonly Mailbox[]): Promise<RouteExplanation> {
    const resolution: { by: string; words: string }[] = [];
    const found = { address: formatMailbox(mailbox), resolution, expandedTo: [] };
    const failed = (error: string): RouteExplanation => ({ ...found, route: null, error });
    seen.add(mailboxKey(mailbox));
    const { decision, verdict, by } = await askAbout(mailbox, path);
    const said = decision.resolution;
    if (said) resolution.push({ by, words: describeResolution(said) });
    if (decision.isSplit) resolution.push({ by, words: "gets a message of its own" });
    if (verdict.kind !== "proceed") return failed(`${describeVerdict(verdict)} (${verdict.by ?? "a sink"})`);
    if (said?.kind === "unknown") return failed(said.reason ?? "No such mailbox here");
    if (said?.kind !== "expand") return await explainHop(mailbox, resolution);

    if (path.length >= expansionDepthMax) return failed(`It leads on more than ${expansionDepthMax} times`);
    const expandedTo: RouteExplanation[] = [];
    const members = new Map(said.to.map((member) => [mailboxKey(member), member]));
    const itself = members.delete(mailboxKey(mailbox));
    left -= members.size;
    if (left < 0) return failed(`It has more than ${expandedMax} addresses`);
    for (const [key, member] of [...members].slice(0, membersShownMax)) {
      if (seen.has(key)) expandedTo.push({ ...elsewhere, address: formatMailbox(member) });
      else expandedTo.push(await explain(member, [...path, mailbox]));
    }
    if (members.size > membersShownMax)
      resolution.push({ by, words: `of ${members.size} addresses the first ${membersShownMax} are shown` });
    if (!itself) return { ...found, expandedTo, route: null, error: null };
    resolution.push({ by, words: "and stays itself" });
    return { ...(await explainHop(mailbox, resolution)), expandedTo };
  }

  async function askAbout(mailbox: Mailbox, expandedFrom: readonly Mailbox[]) {
    const message = createEmptyMessage(mailbox);
    const attemptId = message.id;
    const decision = new CategorizeDecision({ message, attemptId, forwardPath: mailbox, expandedFrom });
    const verdict = await parts.events.ask("onCategorize", decision);
    message.revoke();
    const binding = decision.resolvedBy ?? "nobody";
    const by = binding === ownCategorizer ? (parts.book?.resolve(mailbox, expandedFrom).by ?? binding) : binding;
    return { decision, verdict, by };
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

  return await explain(address, []);
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
