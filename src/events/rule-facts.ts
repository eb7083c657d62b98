/** What a rule can ask of an event's subject. Made only where a bound rule is about to be tested. */
import type { Message } from "../mail/message.ts";
import type { EventName, SubjectOf } from "./event.ts";
import type { RuleFacts } from "./rule.ts";
import type { DisconnectSubject, RcptToSubject, Session, Transaction } from "./subject.ts";

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
  };
}

/** The verb a protocol event stands for, so that `VERB = …` and bare keywords in rules mean it. */
const verbs: Partial<Record<EventName, string>> = {
  onHelo: "EHLO",
  onAuth: "AUTH",
  onMailFrom: "MAIL",
  onRcptTo: "RCPT",
  onData: "DATA",
  onEndOfData: "_EOD",
};

export function ruleFacts<Name extends EventName>(event: Name, subject: SubjectOf<Name>): RuleFacts {
  const verb = verbs[event] ?? null;
  const { message, session } = subject as Partial<{ message: Message; session: Session }>;
  if (message) return { ...messageFacts(message), verb };
  // Narrowing by event name would need a case for each; what a subject does not carry is simply unknown to rules.
  const { transaction, forwardPath, reversePath } = subject as Partial<
    RcptToSubject & DisconnectSubject & { reversePath: Transaction["reversePath"] }
  >;
  return {
    client: session?.ip ?? null,
    helo: session?.helo ?? "",
    user: session?.user ?? null,
    listener: session?.listener ?? "",
    reversePath: transaction ? transaction.reversePath : reversePath,
    recipients: forwardPath ? [forwardPath] : (transaction?.recipients ?? []),
    header: null,
    sizeOctets: null,
    verb,
  };
}
