/** The envelope of a pickup file, from its first fields and from its header. */
import { describe, expect, test } from "vitest";
import { addressedByPickup } from "../../../src/inbound/pickup-envelope.ts";
import { parseMailbox } from "../../../src/mail/mailbox.ts";
import { headerOf, shown } from "../../support/addressed.ts";
import { faultOf } from "../../support/fault-of.ts";

describe("addressedByPickup", () => {
  test.each<[why: string, lines: string, expected: string]>([
    [
      "X-Sender and X-Receiver go; To is no recipient then",
      "X-Sender: a@example.org\nX-Receiver: b@example.org\nX-Receiver: <c@example.org>\nTo: d@example.org",
      "a@example.org > b@example.org c@example.org | To: d@example.org/",
    ],
    [
      "in small letters and any order",
      "x-receiver: b@example.org\nx-sender: <a@example.org>\nSubject: x",
      "a@example.org > b@example.org | Subject: x/",
    ],
    [
      "the null reverse-path",
      "X-Sender: <>\nX-Receiver: b@example.org\nFrom: z@example.org",
      "<> > b@example.org | From: z@example.org/",
    ],
    [
      "the null reverse-path, said by nothing",
      "X-Sender:\nX-Receiver: b@example.org\nA: b",
      "<> > b@example.org | A: b/",
    ],
    [
      "the sender from From",
      "X-Receiver: b@example.org\nFrom: Z <z@example.org>",
      "z@example.org > b@example.org | From: Z <z@example.org>/",
    ],
    [
      "recipients from To",
      "X-Sender: a@example.org\nTo: b@example.org",
      "a@example.org > b@example.org | To: b@example.org/",
    ],
    [
      "neither: all from the header; Bcc goes",
      "From: a@example.org\nTo: b@example.org\nCc: c@example.org\nBcc: d@example.org",
      "a@example.org > b@example.org c@example.org d@example.org | From: a@example.org/To: b@example.org/Cc: c@example.org/",
    ],
    [
      "an X-Sender below is a field like others",
      "From: a@example.org\nX-Sender: list@example.org\nTo: b@example.org",
      "a@example.org > b@example.org | From: a@example.org/X-Sender: list@example.org/To: b@example.org/",
    ],
    [
      "the line of a mailbox file above it goes",
      "From a@example.org Mon Jan  5 12:00:00 2026\nX-Sender: a@example.org\nX-Receiver: b@example.org\nA: b",
      "a@example.org > b@example.org | A: b/",
    ],
  ])("takes %s", (_why, lines, expected) => {
    expect(shown(addressedByPickup(headerOf(lines)))).toBe(expected);
  });

  test.each<[why: string, lines: string]>([
    ["X-Sender twice", "X-Sender: a@example.org\nX-Sender: b@example.org\nX-Receiver: c@example.org"],
    ["an X-Sender that is no address", "X-Sender: ann\nX-Receiver: c@example.org"],
    ["an X-Receiver that is no address", "X-Sender: a@example.org\nX-Receiver: bob"],
    ["an X-Receiver that is nobody", "X-Sender: a@example.org\nX-Receiver:"],
    ["no sender at all", "X-Receiver: c@example.org\nSubject: x"],
    ["no recipient at all", "X-Sender: a@example.org\nSubject: x"],
    ["a To that cannot be read", "From: a@example.org\nTo: b@example.org, <"],
  ])("refuses %s", (_why, lines) => {
    expect(faultOf(() => addressedByPickup(headerOf(lines))).code).toBe("submission.malformed");
  });

  test("takes other recipients in the place of its own, and then nobody for a sender that cannot be read", () => {
    const to = [parseMailbox("z@example.org")];
    expect(shown(addressedByPickup(headerOf("X-Sender: ann\nX-Receiver: bob\nA: b"), to))).toBe(
      "<> > z@example.org | A: b/",
    );
    expect(shown(addressedByPickup(headerOf("From: a@example.org\nTo: bob"), to))).toMatch(
      /^a@example.org > z@example.org/,
    );
  });

  test.each<[why: string, lines: string, envelope: object]>([
    [
      "what is asked for the message",
      "X-Sender: <a@example.org> BODY=7bit RET=hdrs ENVID=QQ+2B314159 AUTH=<> SIZE=10\nX-Receiver: b@example.org",
      { options: { body: "7BIT", ret: "HDRS", envelopeId: "QQ+314159" } },
    ],
    [
      "nothing but a size",
      "X-Sender: <> SIZE=10\nX-Receiver: b@example.org",
      { reversePath: null, options: undefined },
    ],
    [
      "what is asked for a recipient, on a folded line",
      "X-Sender: a@example.org\nX-Receiver: <b@example.org>\n NOTIFY=success,DELAY\n ORCPT=rfc822;c@example.org\nX-Receiver: D <d@example.org>, <e@example.org>",
      {
        recipients: [
          {
            mailbox: parseMailbox("b@example.org"),
            options: {
              notify: ["success", "delay"],
              originalRecipient: { type: "rfc822", address: "c@example.org" },
            },
          },
          { mailbox: parseMailbox("d@example.org") },
          { mailbox: parseMailbox("e@example.org") },
        ],
      },
    ],
    [
      "an address that looks like a parameter",
      'X-Sender: <"a> RET=FULL"@example.org>\nX-Receiver: <b@example.org>, c=d@example.org',
      {
        reversePath: { localPart: "a> RET=FULL", domain: "example.org" },
        recipients: [{ mailbox: parseMailbox("b@example.org") }, { mailbox: parseMailbox("c=d@example.org") }],
        options: undefined,
      },
    ],
  ])("takes %s", (_why, lines, envelope) => {
    const read = addressedByPickup(headerOf(lines)).envelope;
    expect({ options: undefined, ...read }).toMatchObject(envelope);
  });

  test.each<[why: string, lines: string, words: RegExp]>([
    ["a RET there is not", "X-Sender: <a@example.org> RET=HALF", /X-Sender .*RET is FULL or HDRS/],
    ["an ENVID that is none", "X-Sender: <a@example.org> ENVID=+00", /X-Sender .*ENVID needs xtext/],
    ["binary octets", "X-Sender: <a@example.org> BODY=BINARYMIME", /X-Sender .*BODY is 7BIT or 8BITMIME/],
    ["what nobody knows", "X-Sender: <a@example.org> COLOUR=blue", /X-Sender .*A parameter is not known here/],
    [
      "a NOTIFY there is not",
      "X-Sender: a@example.org\nX-Receiver: <b@example.org> NOTIFY=OFTEN",
      /X-Receiver .*NOTIFY is NEVER, or some of/,
    ],
    [
      "NEVER and something",
      "X-Sender: a@example.org\nX-Receiver: <b@example.org> NOTIFY=NEVER,DELAY",
      /X-Receiver .*NOTIFY is NEVER, or some of/,
    ],
    ["a RET of a recipient", "X-Sender: a@example.org\nX-Receiver: <b@example.org> RET=FULL", /X-Receiver .*not known/],
    ["a parameter without brackets", "X-Sender: a@example.org\nX-Receiver: b@example.org NOTIFY=NEVER", /X-Receiver /],
    [
      "a parameter twice",
      "X-Sender: a@example.org\nX-Receiver: <b@example.org> NOTIFY=NEVER NOTIFY=NEVER",
      /X-Receiver .*words behind an address/,
    ],
    [
      "a parameter behind several addresses",
      "X-Sender: a@example.org\nX-Receiver: <b@example.org>, <c@example.org> NOTIFY=NEVER",
      /X-Receiver .*words behind an address/,
    ],
  ])("refuses %s, and says so", (_why, lines, words) => {
    const fault = faultOf(() => addressedByPickup(headerOf(`${lines}\nX-Receiver: z@example.org`)));
    expect(fault.code).toBe("submission.malformed");
    expect(fault.message).toMatch(words);
  });
});
