/** Envelopes read from headers: those of pickup files, and of programs that leave it to the header. */
import { describe, expect, test } from "vitest";
import { type Addressed, addressedByHeader, addressedByPickup } from "../../../src/mail/addressed.ts";
import { splitMessage } from "../../../src/mail/header.ts";
import { formatMailbox, parseMailbox } from "../../../src/mail/mailbox.ts";
import { formatReversePath } from "../../../src/mail/path.ts";
import { faultOf } from "../../support/fault-of.ts";

const headerOf = (lines: string) => splitMessage(Buffer.from(`${lines.replaceAll("\n", "\r\n")}\r\n\r\n`)).header;

/** `from > to to | header`, in one line. */
function shown({ envelope, header }: Addressed): string {
  const to = envelope.recipients.map(({ mailbox }) => formatMailbox(mailbox)).join(" ");
  return `${formatReversePath(envelope.reversePath)} > ${to} | ${header.octets.toString().replaceAll("\r\n", "/")}`;
}

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
});

describe("addressedByHeader", () => {
  test.each<[why: string, lines: string, expected: string]>([
    [
      "Sender before From",
      "From: a@example.org, b@example.org\nSender: s@example.org\nTo: t@example.org",
      "s@example.org > t@example.org",
    ],
    [
      "the first of several in From",
      "From: a@example.org, b@example.org\nTo: t@example.org",
      "a@example.org > t@example.org",
    ],
    ["Bcc alone", "From: a@example.org\nBcc: t@example.org", "a@example.org > t@example.org"],
    [
      "To twice",
      "From: a@example.org\nTo: t@example.org\nTo: u@example.org",
      "a@example.org > t@example.org u@example.org",
    ],
    [
      "a message that is resent, by its topmost block",
      "Resent-From: r@example.org\nResent-To: s@example.org\nResent-Bcc: u@example.org\nReceived: x\nResent-From: q@example.org\nResent-To: p@example.org\nFrom: a@example.org\nTo: t@example.org",
      "r@example.org > s@example.org u@example.org",
    ],
    [
      "Resent- fields without a recipient are history",
      "Resent-From: r@example.org\nFrom: a@example.org\nTo: t@example.org",
      "a@example.org > t@example.org",
    ],
    [
      "X-Sender is no field of its own here",
      "X-Sender: x@example.org\nFrom: a@example.org\nTo: t@example.org",
      "a@example.org > t@example.org",
    ],
  ])("reads %s", (_why, lines, expected) => {
    expect(shown(addressedByHeader(headerOf(lines))).split(" | ")[0]).toBe(expected);
  });

  test("takes Bcc and Resent-Bcc out, and leaves every other octet", () => {
    const { header } = addressedByHeader(
      headerOf(
        "From:  a@example.org\nBcc: x@example.org\nto:\tt@example.org\nResent-From: r@example.org\nResent-Bcc: y@example.org",
      ),
    );
    expect(header.octets.toString()).toBe(
      "From:  a@example.org\r\nto:\tt@example.org\r\nResent-From: r@example.org\r\n",
    );
  });

  test("refuses one that is resent by nobody", () => {
    expect(faultOf(() => addressedByHeader(headerOf("Resent-To: s@example.org\nFrom: a@example.org"))).code).toBe(
      "submission.malformed",
    );
  });
});
