/** What a rule can ask of an event's subject. Made only where a bound rule is about to be tested. */
import type { MailOptions, RecipientOptions } from "../mail/envelope.ts";
import type { Header } from "../mail/header.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import type { EventName, SubjectOf } from "./event.ts";
import type { RuleFacts } from "./rule.ts";
import type { Session, Transaction } from "./subject.ts";
import type { OutboundSession } from "./subject-outbound.ts";

/** The facts of a message at hand: onArrival and every event behind it. */
export function messageFacts(message: Message): RuleFacts {
  return {
    client: message.origin.ip,
    helo: message.origin.helo,
    user: message.origin.user,
    listener: message.origin.listener,
    reversePath: message.envelope.reversePath,
    recipients: message.envelope.recipients.map((recipient) => recipient.mailbox),
    header: message.header,
    sizeOctets: message.sizeOctets,
    verb: null,
    auth: message.origin.auth ?? null,
  };
}

/** The verb a protocol event stands for, so that `VERB = …` and bare keywords in rules mean it. */
const verbs: Partial<Record<EventName, string>> = {
  onHelo: "EHLO",
  onSessionStart: "EHLO",
  onMessageStart: "MAIL",
  onPerRecipient: "RCPT",
  onBeforeData: "DATA",
  onSessionEnd: "QUIT",
  onAuth: "AUTH",
  onMailFrom: "MAIL",
  onRcptTo: "RCPT",
  onData: "DATA",
  onEndOfData: "_EOD",
};

/** What subjects may carry, of whatever event: what one does not have is simply unknown to rules. */
interface Carried {
  readonly message: Message | null;
  readonly session: Session | OutboundSession;
  readonly transaction: Transaction | null;
  readonly reversePath: Transaction["reversePath"];
  readonly forwardPath: Mailbox | null;
  /** A report's have more to them than the mailbox. */
  readonly recipients: readonly (Mailbox | { readonly mailbox: Mailbox })[];
  readonly header: Header;
  readonly verb: string;
  readonly options: MailOptions | RecipientOptions;
}

export function ruleFacts<Name extends EventName>(event: Name, subject: SubjectOf<Name>): RuleFacts {
  // Narrowing by event name would need a case for each.
  const carried = subject as Partial<Carried>;
  const { message, session, transaction } = carried;
  const verb = verbs[event] ?? carried.verb ?? null;
  const recipients = carried.forwardPath ? [carried.forwardPath] : carried.recipients?.map(mailboxOf);
  if (message) {
    const facts = messageFacts(message);
    return { ...facts, verb, recipients: recipients ?? facts.recipients };
  }
  // A session of ours has no client; its peer is no LISTENER either.
  const client = session && "listener" in session ? session : null;
  return {
    client: client?.ip ?? null,
    helo: client?.helo ?? "",
    user: client?.user ?? null,
    listener: client?.listener ?? "",
    reversePath: transaction ? transaction.reversePath : carried.reversePath,
    recipients: recipients ?? transaction?.recipients ?? [],
    header: carried.header ?? null,
    // What the client says it will have. RFC 1870.
    sizeOctets: (transaction?.options ?? (carried.options as MailOptions | undefined))?.sizeOctets ?? null,
    verb,
  };
}

/** Of a recipient, or of what a report says of one. */
export function mailboxOf(recipient: Mailbox | { readonly mailbox: Mailbox }): Mailbox {
  return "mailbox" in recipient ? recipient.mailbox : recipient;
}
