/** What rules can ask of each event's subject. */
import { expect, test } from "vitest";
import type { EventName } from "../../../src/events/event.ts";
import { parseRule } from "../../../src/events/rule.ts";
import { ruleFacts } from "../../../src/events/rule-facts.ts";
import { parseMailbox } from "../../../src/mail/mailbox.ts";
import { createMessage } from "../../support/events.ts";

const session = { listener: "mx", ip: "192.0.2.1", helo: "client.example.org", user: "ann" };
const outbound = { id: "1", nextHop: "mail.example.net:25", ip: "192.0.2.99" };
const [ann, bob, eve] = ["ann@example.org", "bob@example.test", "eve@example.test"].map(parseMailbox);
const transaction = { reversePath: ann, recipients: [bob] };
const message = createMessage("Subject: hi\n\nbody\n");

const rows: readonly [why: string, event: EventName, subject: object, rule: string, holds: boolean][] = [
  ["the verb of any command", "onCommand", { session, verb: "XLOG" }, "VERB = XLOG", true],
  ["a word alone is a verb", "onCommand", { session, verb: "XLOG" }, "XLOG", true],
  ["another verb", "onCommand", { session, verb: "NOOP" }, "XLOG", false],
  ["the verb a reply answers", "onReply", { session, verb: "RCPT" }, "VERB = RCPT", true],
  ["HELO counts as EHLO, as it did for the ancestor", "onHelo", { session, verb: "HELO" }, "VERB = EHLO", true],
  ["the transaction of DATA", "onData", { session, transaction }, "MAIL FROM = ann@*; RCPT TO = bob@*", true],
  [
    "the header before the body is here",
    "onHeaders",
    { session, transaction, header: message.header },
    "SUBJECT = hi",
    true,
  ],
  [
    "the size that is announced",
    "onMailFrom",
    { session, reversePath: ann, options: { sizeOctets: 11 } },
    "SIZE = >10",
    true,
  ],
  [
    "the size that was announced, at what follows",
    "onRcptTo",
    { session, transaction: { ...transaction, options: { sizeOctets: 11 } }, forwardPath: eve, options: {} },
    "SIZE = >10",
    true,
  ],
  [
    "the recipients of a report",
    "onDsn",
    { message, recipients: [{ mailbox: eve, status: "5.1.1" }] },
    "RCPT TO = eve@*",
    true,
  ],
  [
    "nobody else than those of a report",
    "onDsn",
    { message, recipients: [{ mailbox: eve }] },
    "RCPT TO = bob@*",
    false,
  ],
  ["no size where none is announced", "onMailFrom", { session, reversePath: ann, options: {} }, "SIZE = >0", false],
  ["the peer is no client of ours", "onSessionStart", { session: outbound }, "CLIENT = 192.0.2.99", false],
  ["the command we are about to send", "onSessionStart", { session: outbound }, "VERB = EHLO", true],
  [
    "one recipient of ours, not all of them",
    "onPerRecipient",
    { session: outbound, message, forwardPath: eve },
    "RCPT TO = bob@*",
    false,
  ],
  ["that recipient", "onPerRecipient", { session: outbound, message, forwardPath: eve }, "RCPT TO = eve@*", true],
  [
    "those of this transaction",
    "onMessageStart",
    { session: outbound, message, recipients: [bob] },
    "RCPT TO = eve@*",
    false,
  ],
  [
    "the verb the peer answers",
    "onServerResponse",
    { session: outbound, message: null, forwardPath: null, verb: "STARTTLS" },
    "VERB = STARTTLS",
    true,
  ],
];

test.each(rows)("ruleFacts gives %s", (_why, event, subject, rule, holds) => {
  expect(parseRule(rule, event).test(ruleFacts(event, subject as never))).toBe(holds);
});
