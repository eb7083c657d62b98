/** Subjects of the transport events: what sinks see and may say while we hold a message, from the first attempt on. */
import type { ReportedRecipient, ReportKind } from "../mail/dsn.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import type { NextHop } from "../mail/next-hop.ts";
import type { MessageSubject, SessionSubject, Transaction } from "./subject.ts";

/** A message the queue has in hand. */
export interface QueuedSubject extends MessageSubject {
  /** One try of the queue at this message; the event may fire again for the same message under another id. */
  readonly attemptId: string;
}

/** What a recipient is. */
export type Resolution =
  /** A mailbox of ours. */
  | { readonly kind: "local" }
  /** Somebody else's: it goes on by its route. */
  | { readonly kind: "relay" }
  /**
   * Others in its place: an alias, a list, a forward; each of them is asked about in its turn. `owner` becomes the reverse-path of what goes to them, as
   * lists want it (RFC 5321 §3.9.2); absent: it stays.
   */
  | { readonly kind: "expand"; readonly to: readonly Mailbox[]; readonly owner?: Mailbox }
  /** Nobody. The sender hears 5.1.1. */
  | { readonly kind: "unknown"; readonly reason?: string };

/**
 * Asked once for each recipient, and for each that an expansion names. A verdict answers for this recipient: refuse reports to the sender, defer asks about the
 * whole message again later, discard drops him, quarantine keeps a copy for him in badmail.
 */
export interface CategorizeSubject extends QueuedSubject {
  readonly forwardPath: Mailbox;
  /** The addresses it was expanded from, the envelope's own first; empty for that one. */
  readonly expandedFrom: readonly Mailbox[];
  /** What was said last; null: nobody has yet. */
  readonly resolution: Resolution | null;
  /** @throws {Fault} `resolution.invalid` for an expansion to nobody or to what is no mailbox */
  resolve(resolution: Resolution): void;
  /** Gives the recipient a message of its own, so that later edits can tell them apart. */
  split(): void;
}

/** Asked once for each domain among the recipients an attempt is for; routers behind see what those before chose. */
export interface RouteSubject extends QueuedSubject {
  readonly domain: string;
  readonly recipients: readonly Mailbox[];
  /** null: nobody has chosen yet. */
  readonly nextHop: NextHop | null;
  /** As a value, or in words: `smtp://relay.example:2525`. @throws {Fault} `next-hop.syntax` */
  to(nextHop: NextHop | string): void;
}

/** A server to try: a name, and where it is. */
export interface HopTarget {
  readonly host: string;
  readonly port: number;
  /** In the order they are tried. */
  readonly addresses: readonly string[];
}

/** Asked before a look-up, each time a next hop has to become addresses. */
export interface ResolveSubject {
  readonly nextHop: NextHop;
  /** null: DNS is asked. */
  readonly targets: readonly HopTarget[] | null;
  /** These in the place of what DNS says, in this order. @throws {Fault} `next-hop.syntax` where there is none, or an address is none */
  supply(...targets: readonly HopTarget[]): void;
}

export interface LocalDeliverySubject extends QueuedSubject {
  readonly forwardPath: Mailbox;
  readonly nextHop: NextHop;
  /** Folder in the mailbox; null is the inbox. */
  readonly folder: string | null;
  /** Another folder of the mailbox, made where it is not there: `Junk`, `Lists/dev`. @throws {Fault} `folder.invalid` */
  fileInto(folder: string | null): void;
  /** The sink has delivered it itself; the words go to the log. Custody is the sink's: say it only behind a sync. */
  consume(words?: string): void;
}

/** A message is larger than its listener takes: by MAIL's SIZE, or by what came. RFC 1870 §6. */
export interface OversizeSubject extends SessionSubject {
  /** null where it is not begun. */
  readonly transaction: Transaction | null;
  /** What was announced, or has come so far. */
  readonly sizeOctets: number;
  readonly announced: boolean;
  readonly sizeOctetsMax: number;
  /** Lets this message have as many octets. Otherwise it is refused, 552 5.3.4. @throws {Fault} `size.invalid` */
  allow(sizeOctetsMax: number): void;
}

/** discard suppresses the report; the log says so. */
export interface DsnSubject extends MessageSubject {
  readonly kind: ReportKind;
  /** Whom it is about. */
  readonly recipients: readonly ReportedRecipient[];
  /** The part for people, lines with "\n" between them. */
  readonly text: string;
  readonly subject: string;
  /** @throws {Fault} `report.invalid` */
  setText(text: string): void;
  /** @throws {Fault} `report.invalid` */
  setSubject(subject: string): void;
}

export interface LogSubject {
  readonly level: "warn" | "error";
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
}
