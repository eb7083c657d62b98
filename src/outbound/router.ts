/**
 * The router: which next hop a recipient's mail goes to. The table says it, in this order: what a sink chose for the recipient, routes, local domains, the smarthost,
 * and what becomes of the rest. Sinks at onRoute are asked before it, once for each domain. How a next hop is reached is not its affair.
 */
import type { Binding } from "../events/binding.ts";
import type { Dispatcher } from "../events/dispatcher.ts";
import { compileMailboxPattern, type MailboxPattern, matchesMailbox, PatternError } from "../events/rule-pattern.ts";
import type { Sink } from "../events/sink.ts";
import type { RouteSubject } from "../events/subject-transport.ts";
import { Revocable, remember } from "../events/undo.ts";
import type { Verdict } from "../events/verdict.ts";
import type { RecipientOptions } from "../mail/envelope.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import { Message } from "../mail/message.ts";
import { formatNextHop, type NextHop, parseNextHop } from "../mail/next-hop.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Outcome } from "../queue/attempt.ts";
import type { StoredRecipient } from "../spool/spool.ts";

export interface RouteTable {
  /** In the form of `normalizeDomain`; looked at anew each time. */
  readonly localDomains: ReadonlySet<string>;
  /** The first that matches holds. */
  readonly routes: readonly Route[];
  /** Of local domains. */
  readonly local: NextHop;
  /** Whether there is one. */
  readonly smarthost: boolean;
  /** Of all else. */
  readonly remote: "hold" | "mx";
}

/** Made by `compileRoutes`. */
export interface Route {
  readonly match: MailboxPattern;
  /** `mx` without a domain is that of the recipient's. */
  readonly hop: NextHop;
}

/** Recipients that go one way. */
export interface Routed {
  readonly recipients: readonly StoredRecipient[];
  readonly hop: NextHop;
  /** Who chose: `route 2`, `smarthost`, a binding's id. */
  readonly by: string;
}

/** Recipients that a sink at onRoute refused or deferred. */
export interface RouteRefusal {
  readonly recipients: readonly StoredRecipient[];
  readonly outcome: Pick<Outcome, "kind" | "reply" | "reason" | "status">;
}

export interface RouteWork {
  readonly message: Message;
  readonly recipients: readonly StoredRecipient[];
  readonly attemptId: string;
}

type Addressed = Pick<StoredRecipient, "mailbox"> & { readonly options?: RecipientOptions };

/** A next hop and who chose it. */
export interface Choice {
  readonly hop: NextHop;
  readonly by: string;
}

/** Names of lanes that are kept, so that each is one string however many messages wait in it. */
const lanesKnownMax = 50_000;

/**
 * Reads routes as the configuration has them: mailbox patterns as in rules, or a domain by itself.
 * @throws {Fault} `config.invalid`, `next-hop.syntax`
 */
export function compileRoutes(written: readonly { readonly match: string; readonly to: string }[]): Route[] {
  return written.map(({ match, to }, index) => {
    const text = match.includes("@") || match === "*" ? match : `@${match}`;
    try {
      return { match: compileMailboxPattern({ text, quoted: false, literalStars: null }), hop: parseNextHop(to) };
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      throw new Fault(
        "config.invalid",
        `routes[${index}].match: cannot read ${JSON.stringify(match)}: ${error.message}`,
        {
          cause: error,
        },
      );
    }
  });
}

export class Router {
  readonly #events: Pick<Dispatcher, "ask" | "bindingsOf">;
  #table: RouteTable;
  #lanes = new Map<string, string>();

  constructor(options: { readonly events: Pick<Dispatcher, "ask" | "bindingsOf">; readonly table: RouteTable }) {
    this.#events = options.events;
    this.#table = options.table;
  }

  /** After a reload. */
  replaceTable(table: RouteTable): void {
    this.#table = table;
    this.#lanes.clear();
  }

  /** The server's own sink at onRoute: the table's choice, where nobody before it has chosen. */
  sink(): Sink {
    return {
      name: "router",
      onRoute: (subject) => {
        if (subject.nextHop !== null) return;
        const { hop, by } = this.choose({ mailbox: subject.recipients[0]! });
        if (subject instanceof RouteDecision) subject.choose(hop, by);
        else subject.to(hop);
      },
    };
  }

  /** What the table says, sinks aside. */
  choose({ mailbox, options }: Addressed): Choice {
    const { localDomains, routes, local, smarthost, remote } = this.#table;
    const { domain } = mailbox;
    if (options?.route !== undefined) return readChoice(options.route, domain);
    for (let at = 0; at < routes.length; at++) {
      const route = routes[at]!;
      if (matchesMailbox(route.match, mailbox)) return { hop: forDomain(route.hop, domain), by: `route ${at + 1}` };
    }
    if (localDomains.has(domain)) return { hop: forDomain(local, domain), by: "local domain" };
    if (smarthost) return { hop: { kind: "smarthost" }, by: "smarthost" };
    if (remote === "mx") return { hop: { kind: "mx", domain }, by: "delivery.remote" };
    return { hop: { kind: "hold", reason: "no smarthost is configured" }, by: "delivery.remote" };
  }

  /** The lane of a recipient, by the table alone: `local`, `smarthost`, `mx:example.org`, `smtp://…`, `hold`. */
  laneOf(recipient: Addressed): string {
    const { hop } = this.choose(recipient);
    switch (hop.kind) {
      case "maildir":
      case "drop":
        return "local";
      case "smarthost":
      case "hold":
        return hop.kind;
      default:
        return this.#keptLane(formatNextHop(hop));
    }
  }

  /** Groups by next hop, in the order of the recipients. A promise only where a sink made one. */
  route(work: RouteWork): readonly (Routed | RouteRefusal)[] | Promise<readonly (Routed | RouteRefusal)[]> {
    const isAsked = this.#events.bindingsOf("onRoute").some(({ source }) => source !== "server");
    const groups = new Groups();
    if (!isAsked) {
      for (const recipient of work.recipients) groups.add([recipient], this.choose(recipient));
      return groups.all();
    }
    return this.#ask(work, groups);
  }

  async #ask(
    { message, recipients, attemptId }: RouteWork,
    groups: Groups,
  ): Promise<readonly (Routed | RouteRefusal)[]> {
    const refusals: RouteRefusal[] = [];
    for (const { recipients: some, choice, isSettled } of this.#questions(recipients)) {
      if (isSettled) {
        groups.add(some, choice);
        continue;
      }
      const seen = new Message(message);
      const decision = new RouteDecision({ message: seen, attemptId, recipients: some.map(({ mailbox }) => mailbox) });
      const verdict = await this.#events.ask("onRoute", decision);
      seen.revoke();
      if (verdict.kind === "proceed") groups.add(some, decision.choice ?? choice);
      else refusals.push({ recipients: some, outcome: outcomeOf(verdict) });
    }
    return [...groups.all(), ...refusals];
  }

  /** Recipients that are asked about together: of one domain, and with one choice of the table. Those for whom a sink has chosen already are not asked about. */
  #questions(recipients: readonly StoredRecipient[]): Iterable<Question> {
    const questions = new Map<string, Question>();
    for (const recipient of recipients) {
      const choice = this.choose(recipient);
      const isSettled = recipient.options?.route !== undefined;
      const key = JSON.stringify([recipient.mailbox.domain, formatNextHop(choice.hop), choice.by]);
      const question = questions.get(key);
      if (question) question.recipients.push(recipient);
      else questions.set(key, { recipients: [recipient], choice, isSettled });
    }
    return questions.values();
  }

  #keptLane(name: string): string {
    const known = this.#lanes.get(name);
    if (known !== undefined) return known;
    if (this.#lanes.size >= lanesKnownMax) this.#lanes.clear();
    this.#lanes.set(name, name);
    return name;
  }
}

interface Question {
  readonly recipients: StoredRecipient[];
  readonly choice: Choice;
  readonly isSettled: boolean;
}

class Groups {
  readonly #groups = new Map<string, { readonly recipients: StoredRecipient[] } & Choice>();

  add(recipients: readonly StoredRecipient[], { hop, by }: Choice): void {
    const key = formatNextHop(hop);
    const group = this.#groups.get(key);
    if (group) group.recipients.push(...recipients);
    else this.#groups.set(key, { recipients: [...recipients], hop, by });
  }

  all(): Routed[] {
    return [...this.#groups.values()];
  }
}

/** What sinks see at onRoute. Powers are fields, so that a sink may take them out of its subject. */
export class RouteDecision extends Revocable implements RouteSubject {
  readonly message: Message;
  readonly attemptId: string;
  readonly domain: string;
  readonly recipients: readonly Mailbox[];
  choice: Choice | null = null;
  /** Binding that is asked now. */
  asked = "";

  constructor(facts: Pick<RouteSubject, "message" | "attemptId" | "recipients">) {
    super();
    this.message = facts.message;
    this.attemptId = facts.attemptId;
    this.recipients = facts.recipients;
    this.domain = facts.recipients[0]!.domain;
  }

  override [remember](binding: Binding): () => void {
    this.asked = binding.id;
    return super[remember](binding);
  }

  get nextHop(): NextHop | null {
    return this.choice?.hop ?? null;
  }

  readonly to = (nextHop: NextHop | string): void => {
    const text = typeof nextHop === "string" ? nextHop : formatNextHop(nextHop);
    this.choose(parseNextHop(text, this.domain), this.asked);
  };

  readonly choose = (hop: NextHop, by: string): void => {
    this.choice = { hop, by };
    this.note(`route to ${formatNextHop(hop)}`);
  };
}

function forDomain(hop: NextHop, domain: string): NextHop {
  return hop.kind === "mx" && hop.domain === "" ? { kind: "mx", domain } : hop;
}

/** What was stored with a recipient; it was read when it was written, so what cannot be read any more is held, not lost. */
function readChoice(text: string, domain: string): Choice {
  try {
    return { hop: parseNextHop(text, domain), by: "the recipient's own route" };
  } catch (error) {
    return { hop: { kind: "hold", reason: describeThrown(error, 150) }, by: "the recipient's own route" };
  }
}

function outcomeOf(verdict: Exclude<Verdict, { readonly kind: "proceed" }>): RouteRefusal["outcome"] {
  const by = verdict.by ?? "a sink at onRoute";
  // The event takes no others; what would come all the same must not lose mail.
  if (!("code" in verdict))
    return { kind: "deferred", reply: null, reason: `${by}: ${verdict.reason}`, status: "4.3.0" };
  const { kind, code, status, text } = verdict;
  const isFinal = kind === "refuse";
  return {
    kind: isFinal ? "failed" : "deferred",
    reply: { code, status, text },
    reason: `${isFinal ? "refused" : "deferred"} by ${by}`,
    status,
  };
}
