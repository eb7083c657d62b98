/** A client's session and its transaction, as this side keeps them. Sinks see the read-only faces in events/subject.ts. */
import type { Parameters, Session, TlsFacts, Transaction } from "../events/subject.ts";
import { createId } from "../mail/ids.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import type { Origin } from "../mail/message.ts";
import type { ReversePath } from "../mail/path.ts";

export class InboundSession implements Session {
  readonly id: string;
  readonly listener: string;
  readonly role: Session["role"];
  readonly ip: string;
  readonly port: number;
  readonly startedAt: number;
  readonly notes = new Map<string, unknown>();
  host: string | null = null;
  helo = "";
  user: string | null = null;
  tls: TlsFacts | null = null;
  transaction: InboundTransaction | null = null;
  messagesAccepted = 0;
  /** Set where a verdict closed the connection. */
  dropped = false;

  constructor(facts: {
    readonly listener: string;
    readonly role: Session["role"];
    readonly ip: string;
    readonly port: number;
    readonly startedAt: number;
  }) {
    this.id = createId(facts.startedAt);
    this.listener = facts.listener;
    this.role = facts.role;
    this.ip = facts.ip;
    this.port = facts.port;
    this.startedAt = facts.startedAt;
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
}

export class InboundTransaction implements Transaction {
  readonly id: string;
  readonly parameters: Parameters;
  reversePath: ReversePath;
  readonly recipients: Mailbox[] = [];
  /** Recipients in the form they are compared in; see sameMailbox. A look through the list for each would be long for a long one. */
  readonly #known = new Set<string>();

  constructor(id: string, reversePath: ReversePath, parameters: Parameters) {
    this.id = id;
    this.reversePath = reversePath;
    this.parameters = parameters;
  }

  /** One recipient more; nothing where it is there already. */
  add(mailbox: Mailbox): void {
    const key = `${mailbox.localPart.toLowerCase()}@${mailbox.domain}`;
    if (this.#known.has(key)) return;
    this.#known.add(key);
    this.recipients.push(mailbox);
  }
}
