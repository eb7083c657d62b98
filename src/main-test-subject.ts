/** The subject of an event, made of a message from a file: what a script under test is asked about, as if the message were just there. */
import type { EventName } from "./events/event.ts";
import type { QueuedSubject } from "./events/subject-transport.ts";
import { InboundSession, InboundTransaction } from "./inbound/session.ts";
import {
  ConnectDecision,
  HeadersDecision,
  HeloDecision,
  MailFromDecision,
  RcptToDecision,
} from "./inbound/subjects.ts";
import type { Message } from "./mail/message.ts";
import type { ReportedRecipient } from "./mail/report-facts.ts";
import { LocalSubject } from "./outbound/local-subject.ts";
import { RouteDecision } from "./outbound/router.ts";
import { Fault } from "./platform/fault.ts";
import { DsnQuestion } from "./queue/reports.ts";

/** What a client of ours is offered, for scripts that look. */
const keywords = ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN"];
const attemptId = "TEST000000000001";
const refused = { code: 550, status: "5.1.1", text: "There is no such mailbox" };

/**
 * An event of a session is about the first recipient, or the session alone; an outcome is one that the event's name tells, with words that are always the same.
 * @throws {Fault} `binding.invalid` for an event scripts cannot handle
 */
export function createTestSubject(event: EventName, message: Message): object {
  const { reversePath, recipients } = message.envelope;
  const mailboxes = recipients.map(({ mailbox }) => mailbox);
  const forwardPath = mailboxes[0]!;
  const session = sessionOf(message);
  const sizeOctets = message.sizeOctets;
  const parameters = new Map([["SIZE", String(sizeOctets)]]);
  const transaction = new InboundTransaction({ id: message.id, reversePath, parameters, options: { sizeOctets } });
  const queued: QueuedSubject = { message, attemptId };
  const outcome = { ...queued, forwardPath, nextHop: `mx:${forwardPath.domain}` };
  switch (event) {
    case "onConnect":
      session.forget();
      return new ConnectDecision(session);
    case "onHelo":
      return new HeloDecision(session, { verb: "EHLO", name: session.helo, keywords });
    case "onMailFrom":
      return new MailFromDecision(session, { reversePath, parameters, options: { sizeOctets } });
    case "onRcptTo":
      return new RcptToDecision(session, { transaction, forwardPath, parameters: new Map(), options: {} });
    case "onData":
      transaction.add({ mailboxes: asPath(mailboxes), options: undefined });
      return { session, transaction };
    case "onHeaders":
      transaction.add({ mailboxes: asPath(mailboxes), options: undefined });
      return new HeadersDecision({ session, transaction, header: message.header });
    case "onArrival":
      return { message };
    case "onPreCategorize":
    case "onPostCategorize":
      return queued;
    case "onRoute":
      return new RouteDecision({
        ...queued,
        recipients: mailboxes.filter(({ domain }) => domain === forwardPath.domain),
      });
    case "onLocalDelivery":
      return new LocalSubject({ ...queued, forwardPath, nextHop: { kind: "maildir" }, folder: null });
    case "onDsn":
      return new DsnQuestion(message, "failed", mailboxes.map(reportedOf), {
        subject: "Undelivered mail",
        text: "The message could not be delivered.",
      });
    case "onDelivered":
      return { ...outcome, reply: { code: 250, status: "2.0.0", text: "queued" } };
    case "onDeferred":
      return {
        ...outcome,
        reply: { code: 451, status: "4.3.0", text: "Please try again later" },
        reason: "451 4.3.0 Please try again later",
        nextAttemptAt: message.receivedAt + 900_000,
      };
    case "onFailed":
      return { ...outcome, reply: refused, reason: "550 5.1.1 There is no such mailbox" };
    default:
      throw new Fault("binding.invalid", `Cannot test a script at ${event}: expected an event scripts can handle`);
  }
}

function sessionOf({ origin, receivedAt }: Message): InboundSession {
  const { listener, ip, helo, user } = origin;
  const session = new InboundSession({
    listener,
    role: "mx",
    ip,
    port: 50_000,
    startedAt: receivedAt,
    rehearsal: true,
  });
  session.sayHelo(helo);
  session.user = user;
  return session;
}

function asPath<Item>(items: readonly Item[]): readonly [Item, ...Item[]] {
  // A test message has one recipient at least.
  return items as readonly [Item, ...Item[]];
}

function reportedOf(mailbox: Message["envelope"]["recipients"][number]["mailbox"]): ReportedRecipient {
  return {
    mailbox,
    status: refused.status,
    reason: `${refused.text}.`,
    nextHop: `mx:${mailbox.domain}`,
    reply: refused,
    lastAttemptAt: 0,
  };
}
