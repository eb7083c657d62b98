/** Envelopes read from headers, of programs that leave it to the header. */
import { describe, expect, test } from "vitest";
import { addressedByHeader } from "../../../src/mail/addressed.ts";
import { headerOf, shown } from "../../support/addressed.ts";
import { faultOf } from "../../support/fault-of.ts";

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
