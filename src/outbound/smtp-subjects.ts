/** What sinks see of our sessions and may do to them: the subjects of the outbound events, filled. Powers end where src/events/subject-outbound.ts says. */
import { isIP } from "node:net";
import type { TlsFacts } from "../events/subject.ts";
import type {
  BeforeDataSubject,
  Insertable,
  MessageStartSubject,
  OutboundMessageSubject,
  OutboundSession,
  PerRecipientSubject,
  Rewritable,
  ServerResponseSubject,
  SessionChoice,
  SessionEndSubject,
  SessionStartSubject,
  TlsPolicy,
} from "../events/subject-outbound.ts";
import { Revocable } from "../events/undo.ts";
import { type Mailbox, normalizeDomain } from "../mail/mailbox.ts";
import { Message } from "../mail/message.ts";
import type { Reply } from "../mail/status.ts";
import { Fault } from "../platform/fault.ts";
import { type ClientCommand, changedCommand, insertedCommand, withParameter } from "../smtp/client-command.ts";
import { isHello } from "../smtp/client-session.ts";

/** The session as sinks see it; its facts grow while it lasts, and the client writes them. */
export class SessionFacts implements OutboundSession {
  readonly id: string;
  readonly nextHop: string;
  readonly host: string;
  readonly port: number;
  ip: string | null = null;
  tls: TlsFacts | null = null;
  extensions: ReadonlyMap<string, string> = new Map();
  messages = 0;
  readonly notes = new Map<string, unknown>();

  constructor(init: Pick<OutboundSession, "id" | "nextHop" | "host" | "port">) {
    this.id = init.id;
    this.nextHop = init.nextHop;
    this.host = init.host;
    this.port = init.port;
  }
}

/** What a transaction's events are about. The message is a copy: it is on its way, and an edit would reach some of its recipients and others not. */
export interface Passage {
  readonly message: Message;
  readonly attemptId: string;
}

export function passageOf(message: Message, attemptId: string): Passage {
  return { message: new Message(message), attemptId };
}

/** Commands a sink may insert at one event. */
export const insertedMax = 20;

/** Powers are fields, so that a sink may take them out of its subject: `({ insert }) => …`. */
class Insertions extends Revocable implements Insertable {
  readonly session: SessionFacts;
  inserted: readonly ClientCommand[] = [];
  #over = false;

  constructor(session: SessionFacts) {
    super();
    this.session = session;
  }

  readonly insert = (line: string): void => {
    this.checkTime();
    if (this.inserted.length === insertedMax)
      throw new Fault("command.not-allowed", `Cannot insert more than ${insertedMax} commands at one event`);
    this.inserted = [...this.inserted, insertedCommand(line)];
    this.note(`insert ${line}`);
  };

  /** Nothing can be asked for any more: the commands go. */
  finish(): void {
    this.#over = true;
  }

  protected checkTime(): void {
    if (this.#over) throw new Fault("command.not-allowed", "Cannot change what was sent already: the event is over");
  }
}

export class SessionStart extends Insertions implements SessionStartSubject {
  choice: SessionChoice;

  constructor(session: SessionFacts, choice: SessionChoice) {
    super(session);
    this.choice = choice;
  }

  readonly choose = (choice: Partial<SessionChoice>): void => {
    this.checkTime();
    const chosen = { ...this.choice, ...choice };
    const { name, tls, sourceAddress, credentials } = chosen;
    const policies: readonly TlsPolicy[] = ["off", "opportunistic", "required", "verified"];
    const problem =
      typeof name !== "string" || normalizeDomain(name) === undefined
        ? `the name ${JSON.stringify(name)}: expected a host name or [address]`
        : !policies.includes(tls)
          ? `the TLS policy ${JSON.stringify(tls)}: expected one of ${policies.join(", ")}`
          : sourceAddress !== null && isIP(sourceAddress) === 0
            ? `the source address ${JSON.stringify(sourceAddress)}: expected an address, or null`
            : credentials !== null && !areCredentials(credentials)
              ? "these credentials: expected a user and a password without NUL, or null"
              : undefined;
    if (problem !== undefined) throw new Fault("command.not-allowed", `Cannot take ${problem}`);
    this.choice = chosen;
    this.note(`choose ${Object.keys(choice).join(", ")}`);
  };
}

function areCredentials(given: { readonly user: unknown; readonly password: unknown }): boolean {
  const isSecret = (text: unknown) => typeof text === "string" && text !== "" && !text.includes("\0");
  return isSecret(given.user) && isSecret(given.password);
}

export class SessionEnd extends Insertions implements SessionEndSubject {
  kept = false;

  readonly keep = (): void => {
    this.checkTime();
    this.kept = true;
    this.note("keep");
  };
}

class MessageInsertions extends Insertions implements OutboundMessageSubject {
  readonly message: Message;
  readonly attemptId: string;

  constructor(session: SessionFacts, { message, attemptId }: Passage) {
    super(session);
    this.message = message;
    this.attemptId = attemptId;
  }
}

abstract class Draft extends MessageInsertions implements Rewritable {
  command: string;
  protected abstract readonly verb: "MAIL" | "RCPT";

  constructor(session: SessionFacts, passage: Passage, command: string) {
    super(session, passage);
    this.command = command;
  }

  readonly setParameter = (keyword: string, value: string | null): void => {
    this.checkTime();
    this.command = withParameter(this.command, keyword, value);
    this.note(value === null ? `without ${keyword}` : `set ${keyword}=${value}`);
  };

  readonly setCommand = (line: string): void => {
    this.checkTime();
    this.command = changedCommand(this.verb, line);
    this.note(`command ${line}`);
  };
}

export class MessageStart extends Draft implements MessageStartSubject {
  protected readonly verb = "MAIL";
  readonly recipients: readonly Mailbox[];

  constructor(session: SessionFacts, passage: Passage, command: string, recipients: readonly Mailbox[]) {
    super(session, passage, command);
    this.recipients = recipients;
  }
}

export class PerRecipient extends Draft implements PerRecipientSubject {
  protected readonly verb = "RCPT";
  readonly forwardPath: Mailbox;
  readonly index: number;

  constructor(
    session: SessionFacts,
    passage: Passage,
    command: string,
    recipient: { readonly forwardPath: Mailbox; readonly index: number },
  ) {
    super(session, passage, command);
    this.forwardPath = recipient.forwardPath;
    this.index = recipient.index;
  }
}

export class BeforeData extends MessageInsertions implements BeforeDataSubject {
  readonly recipients: readonly Mailbox[];

  constructor(session: SessionFacts, passage: Passage, recipients: readonly Mailbox[]) {
    super(session, passage);
    this.recipients = recipients;
  }
}

/** Verbs whose no is a no: only the peer can take a message over. */
const custodyVerbs: ReadonlySet<string> = new Set(["", "STARTTLS", "MAIL", "RCPT", "DATA", "_EOD"]);

export class ServerResponse extends Revocable implements ServerResponseSubject {
  readonly session: SessionFacts;
  readonly verb: string;
  readonly command: string;
  readonly inserted: boolean;
  readonly reply: Reply;
  readonly message: Message | null;
  readonly attemptId: string | null;
  readonly forwardPath: Mailbox | null;
  accepted = false;
  next: "reset" | "quit" | null = null;

  constructor(
    session: SessionFacts,
    { command, reply }: { readonly command: ClientCommand; readonly reply: Reply },
    about: { readonly passage: Passage | null; readonly forwardPath: Mailbox | null },
  ) {
    super();
    this.session = session;
    this.verb = command.verb;
    this.command = command.shown;
    this.inserted = command.inserted;
    this.reply = { code: reply.code, status: reply.status, text: reply.text };
    this.message = about.passage?.message ?? null;
    this.attemptId = about.passage?.attemptId ?? null;
    this.forwardPath = about.forwardPath;
  }

  readonly accept = (): void => {
    if (custodyVerbs.has(this.verb) || isHello(this.verb)) {
      throw new Fault(
        "reply.custody",
        `Cannot take ${this.reply.code} to ${this.verb === "" ? "the connection" : this.verb} for a yes: what the peer did not take is not delivered`,
      );
    }
    this.accepted = true;
    this.note("accept");
  };

  readonly goOn = (by: "reset" | "quit"): void => {
    this.next = by;
    this.note(`go on by ${by}`);
  };
}
