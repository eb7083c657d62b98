/** A client's session and its transaction, as this side keeps them. Sinks see the read-only faces in events/subject.ts. */
import type { Parameters, Session, TlsFacts, Transaction } from "../events/subject.ts";
import type { MailOptions, RecipientOptions } from "../mail/envelope.ts";
import { createId } from "../mail/ids.ts";
import { type Mailbox, sameMailbox } from "../mail/mailbox.ts";
import type { Origin, Recipient } from "../mail/message.ts";
import type { ReversePath } from "../mail/path.ts";

const nothingForwarded: ReadonlyMap<string, string> = new Map();

export class InboundSession implements Session {
  readonly id: string;
  readonly listener: string;
  readonly role: Session["role"];
  readonly peer: { readonly ip: string; readonly port: number };
  /** Address of who speaks to us: the peer, or whom a trusted peer's PROXY header names. XCLIENT does not change it. */
  speaker: string;
  readonly startedAt: number;
  readonly rehearsal: boolean;
  ip: string;
  port: number;
  host: string | null = null;
  helo = "";
  user: string | null = null;
  tls: TlsFacts | null = null;
  forwarded = nothingForwarded;
  transaction: InboundTransaction | null = null;
  messagesAccepted = 0;
  /** Who a SCRAM exchange under way would log in. */
  provedAs = "";
  /** Set where a verdict closed the connection. */
  dropped = false;
  /** Counts the decisions that were given up: what is decided for an earlier turn comes too late. */
  turn = 0;
  /** A message is on its way into custody: what becomes of it must be waited for. RFC 5321 §6.1. */
  taking = false;
  #notes: Map<string, unknown> | null = null;
  #formerHelo = "";

  constructor(facts: {
    readonly listener: string;
    readonly role: Session["role"];
    readonly ip: string;
    readonly port: number;
    readonly startedAt: number;
    readonly rehearsal?: boolean;
  }) {
    this.id = createId(facts.startedAt);
    this.listener = facts.listener;
    this.role = facts.role;
    this.ip = facts.ip;
    this.port = facts.port;
    this.peer = { ip: facts.ip, port: facts.port };
    this.speaker = facts.ip;
    this.startedAt = facts.startedAt;
    this.rehearsal = facts.rehearsal ?? false;
  }

  get notes(): Map<string, unknown> {
    return (this.#notes ??= new Map());
  }

  /** The client says its name: it holds while it is asked about, and unless `unsayHelo` says otherwise. */
  sayHelo(name: string): void {
    this.#formerHelo = this.helo;
    this.helo = name;
  }

  /** A name that was refused was not said; the one before it holds. RFC 5321 §4.1.4. */
  unsayHelo(): void {
    this.helo = this.#formerHelo;
  }

  /** What a message keeps of the session it came in by. */
  get origin(): Origin {
    return {
      sessionId: this.id,
      listener: this.listener,
      ip: this.ip,
      host: this.host,
      helo: this.helo,
      user: this.user,
      tls: this.tls?.version ?? null,
    };
  }

  /** Everything said so far is forgotten: behind a handshake (RFC 3207 §4.2), and where another client speaks from here on. */
  forget(): void {
    this.helo = "";
    this.#formerHelo = "";
    this.user = null;
    this.transaction = null;
  }

  /** Another client speaks from here on: the one these attributes of XCLIENT are about. null is what the peer does not know. */
  become(attributes: ReadonlyMap<string, string | null>): void {
    const text = (name: string) => attributes.get(name) ?? null;
    this.forget();
    // What sinks noted was about somebody else.
    this.notes.clear();
    this.ip = text("ADDR") ?? this.ip;
    this.port = Number(text("PORT") ?? this.port);
    if (attributes.has("NAME")) this.host = text("NAME");
    this.helo = text("HELO") ?? "";
    this.user = text("LOGIN");
  }

  /** What a trusted peer says by XFORWARD of the client it has the mail from. */
  forward(attributes: ReadonlyMap<string, string | null>): void {
    const forwarded = new Map(this.forwarded);
    for (const [name, value] of attributes) {
      if (value === null) forwarded.delete(name);
      else forwarded.set(name, value);
    }
    this.forwarded = forwarded;
  }

  /** What its log lines say of it. */
  get logFields(): Readonly<Record<string, unknown>> {
    return {
      session: this.id,
      ip: this.ip,
      ...(this.ip !== this.peer.ip && { peer: this.peer.ip }),
      ...(this.forwarded.size > 0 && { forwarded: Object.fromEntries(this.forwarded) }),
    };
  }
}

/** One RCPT that was taken, and the recipients it stands for. */
export interface TakenRcpt {
  /** One as a rule; several where a sink expanded it. */
  readonly mailboxes: readonly Mailbox[];
  /** Undefined where the client asked for nothing. */
  readonly options: RecipientOptions | undefined;
}

export class InboundTransaction implements Transaction {
  readonly id: string;
  readonly reversePath: ReversePath;
  readonly parameters: Parameters;
  readonly options: MailOptions;
  /** Each RCPT that was taken, in order: LMTP owes each a reply. RFC 2033 §4.2. */
  readonly rcpts: TakenRcpt[] = [];
  /** Octets a sink allowed this message at MAIL; null: as many as the listener takes. */
  readonly sizeOctetsMax: number | null;
  #recipients: Recipient[] = [];
  #mailboxes: Mailbox[] = [];
  /** Recipients in the form they are compared in; see sameMailbox. A look through the list for each would be long for a long one. */
  #known: Set<string> | null = null;

  constructor(
    facts: Pick<Transaction, "id" | "reversePath" | "parameters" | "options"> & {
      readonly sizeOctetsMax?: number | null;
    },
  ) {
    this.id = facts.id;
    this.sizeOctetsMax = facts.sizeOctetsMax ?? null;
    this.reversePath = facts.reversePath;
    this.parameters = facts.parameters;
    this.options = facts.options;
  }

  get recipients(): readonly Mailbox[] {
    return this.#mailboxes;
  }

  /** As the envelope has them: a mailbox once, with the options of the first RCPT that named it. */
  get envelopeRecipients(): readonly Recipient[] {
    return this.#recipients;
  }

  add(rcpt: TakenRcpt): void {
    this.rcpts.push(rcpt);
    for (const mailbox of rcpt.mailboxes) this.#addMailbox(mailbox, rcpt.options);
  }

  /** The RCPT taken last was refused after all. */
  takeBackLast(): void {
    const rcpts = this.rcpts.splice(0).slice(0, -1);
    this.#recipients = [];
    this.#mailboxes = [];
    this.#known = null;
    for (const rcpt of rcpts) this.add(rcpt);
  }

  #addMailbox(mailbox: Mailbox, options: RecipientOptions | undefined): void {
    if (this.#mailboxes.length > 0) {
      this.#known ??= new Set(this.#mailboxes.map(keyOf));
      const key = keyOf(mailbox);
      if (this.#known.has(key)) return;
      this.#known.add(key);
    }
    this.#mailboxes.push(mailbox);
    this.#recipients.push(options === undefined ? { mailbox } : { mailbox, options });
  }
}

/** Equal where `sameMailbox` is true. */
export function keyOf({ localPart, domain }: Mailbox): string {
  return `${localPart.toLowerCase()}@${domain}`;
}

/** Whether an RCPT stands for this recipient. */
export function standsFor({ mailboxes }: TakenRcpt, mailbox: Mailbox): boolean {
  return mailboxes.some((one) => sameMailbox(one, mailbox));
}
