/**
 * Which sessions a follower of the trace sees: those for which a rule holds. What a session said before the rule could hold (a recipient comes
 * late) is kept, up to a bound for all sessions together, and shown then.
 */
import type { Rule, RuleFacts } from "../events/rule.ts";
import type { TraceEntry } from "../events/trace.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import { parseForwardPath, parseReversePath, type ReversePath } from "../mail/path.ts";
import { Fault } from "../platform/fault.ts";

export interface TraceWish {
  /** CLIENT, LISTENER (or the next hop), EHLO, MAIL FROM and RCPT TO can be asked for; null: every session. */
  readonly rule: Rule | null;
  /** undefined: both. */
  readonly direction: "in" | "out" | undefined;
}

/** Entries of one session that are kept until its rule holds; the oldest go first. */
const keptMax = 500;
/** Characters of all entries kept, about; above it the session that waits longest loses its own. Clients choose how much they say. */
const keptCharactersMax = 16 * 1024 * 1024;
/** What an entry takes beside its words. */
const entryCharacters = 256;
/** Recipients of one session that a rule is tested against; a client may name any number that is refused. */
const recipientsMax = 1_000;
/** Sessions that are kept in mind; the oldest go first. */
const sessionsMax = 10_000;

interface Followed {
  readonly direction: "in" | "out";
  readonly client: string;
  readonly listener: string;
  helo: string;
  reversePath: ReversePath | undefined;
  recipients: Mailbox[];
  shown: boolean;
  kept: TraceEntry[];
  keptCharacters: number;
}

export class TraceFilter {
  readonly #wish: TraceWish;
  readonly #sessions = new Map<string, Followed>();
  /** Those of which something is kept; the one that began longest ago, or lost its entries longest ago, is the first. */
  readonly #waiting = new Set<Followed>();
  #keptCharacters = 0;

  constructor(wish: TraceWish) {
    this.#wish = wish;
  }

  /** The entries to show now, this one among them or not. */
  take(entry: TraceEntry): readonly TraceEntry[] {
    if (entry.kind === "opened") this.#remember(entry);
    const session = this.#sessions.get(entry.session);
    // A session from before the trace began, or a decision that belongs to none.
    if (!session) return this.#wish.rule === null && this.#wish.direction === undefined ? [entry] : [];
    if (entry.kind === "closed") this.#sessions.delete(entry.session);
    if (this.#wish.direction !== undefined && this.#wish.direction !== session.direction) return [];
    if (session.shown) return [entry];
    if (entry.kind === "line") learn(session, entry);
    if (this.#wish.rule === null || this.#wish.rule.test(factsOf(session))) {
      session.shown = true;
      return [...this.#release(session), entry];
    }
    if (entry.kind === "closed") this.#release(session);
    else this.#keep(session, entry);
    return [];
  }

  #keep(session: Followed, entry: TraceEntry): void {
    if (session.kept.length >= keptMax) this.#count(session, -charactersOf(session.kept.shift()!));
    session.kept.push(entry);
    this.#waiting.add(session);
    this.#count(session, charactersOf(entry));
    for (const longest of this.#waiting) {
      if (this.#keptCharacters <= keptCharactersMax) return;
      this.#release(longest);
    }
  }

  /** What was kept of a session; nothing of it is from here on. */
  #release(session: Followed): readonly TraceEntry[] {
    this.#waiting.delete(session);
    this.#count(session, -session.keptCharacters);
    return session.kept.splice(0);
  }

  #count(session: Followed, characters: number): void {
    session.keptCharacters += characters;
    this.#keptCharacters += characters;
  }

  #remember({ session, direction, ip, place }: TraceEntry & { readonly kind: "opened" }): void {
    if (this.#sessions.size >= sessionsMax) this.#forget(this.#sessions.keys().next().value!);
    this.#sessions.set(session, {
      direction,
      client: ip,
      listener: place,
      helo: "",
      reversePath: undefined,
      recipients: [],
      shown: false,
      kept: [],
      keptCharacters: 0,
    });
  }

  #forget(id: string): void {
    const session = this.#sessions.get(id);
    if (session) this.#release(session);
    this.#sessions.delete(id);
  }
}

function charactersOf(entry: TraceEntry): number {
  return entryCharacters + ("text" in entry ? entry.text.length : 0);
}

/** What a line of the client's end says of the envelope. */
function learn(session: Followed, { way, text }: TraceEntry & { readonly kind: "line" }): void {
  if (way !== (session.direction === "in" ? "got" : "sent")) return;
  const helo = /^(?:HELO|EHLO|LHLO)\s+(\S+)/i.exec(text)?.[1];
  if (helo !== undefined) session.helo = helo;
  const path = /^(MAIL FROM|RCPT TO):\s*(<[^>]*>)/i.exec(text);
  if (!path) return;
  try {
    if (path[1]!.toUpperCase() === "MAIL FROM") {
      session.reversePath = parseReversePath(path[2]!);
      session.recipients = [];
    } else {
      if (session.recipients.length >= recipientsMax) session.recipients.shift();
      session.recipients.push(parseForwardPath(path[2]!));
    }
  } catch (error) {
    // What is no address matches no pattern.
    if (!(error instanceof Fault)) throw error;
  }
}

function factsOf({ client, listener, helo, reversePath, recipients }: Followed): RuleFacts {
  return {
    client,
    listener,
    helo,
    reversePath,
    recipients,
    user: null,
    header: null,
    sizeOctets: null,
    verb: null,
  };
}
