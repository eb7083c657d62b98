/** The comparison behind the real-mail test can fail. */
import { describe, expect, test } from "vitest";
import { compareDelivered } from "./comparison.ts";

describe("compareDelivered", () => {
  const sent = Buffer.from("Subject: a\r\n\r\ntext\r\n");
  const trace = "Return-Path: <a@example.org>\r\nReceived: from b\r\n by c\r\n";
  test.each<[why: string, delivered: string, same: boolean]>([
    ["trace fields above, own field last", `${trace}Subject: a\r\nX-Read: 1\r\n\r\ntext\r\n`, true],
    ["own field first", `${trace}X-Read: 1\r\nSubject: a\r\n\r\ntext\r\n`, true],
    ["a changed octet of the header", `${trace}Subject: b\r\nX-Read: 1\r\n\r\ntext\r\n`, false],
    ["a changed octet of the body", `${trace}Subject: a\r\nX-Read: 1\r\n\r\ntexT\r\n`, false],
    ["a line more", `${trace}Subject: a\r\nX-Read: 1\r\n\r\ntext\r\n\r\n`, false],
    ["LF for CRLF", `${trace}Subject: a\r\nX-Read: 1\r\n\r\ntext\n`, false],
    ["a trace field too few", "Return-Path: <a@example.org>\r\nSubject: a\r\nX-Read: 1\r\n\r\ntext\r\n", false],
    ["without the script's field", `${trace}Subject: a\r\n\r\ntext\r\n`, false],
    ["the script's field in the body only", `${trace}Subject: a\r\n\r\nX-Read: 1\r\ntext\r\n`, false],
  ])("%s", (_why, delivered, same) => {
    expect(compareDelivered(sent, Buffer.from(delivered), { traceFields: 2, ownField: "X-Read" }) === undefined).toBe(
      same,
    );
  });

  test.each<[why: string, sent: string, delivered: string, same: boolean]>([
    ["a message that is header only", "Subject: a\r\n", "Subject: a\r\nX-Read: 1\r\n", true],
    ["a body alone gets the empty line of its new header", "Just text\r\n", "X-Read: 1\r\n\r\nJust text\r\n", true],
    ["a header gets no empty line", "Subject: a\r\n", "X-Read: 1\r\n\r\nSubject: a\r\n", false],
    [
      "a Return-Path that came along goes",
      "A: 1\r\nReturn-Path: <x>\r\n (y)\r\nB: 2\r\n\r\nReturn-Path: <z>\r\n",
      "A: 1\r\nB: 2\r\nX-Read: 1\r\n\r\nReturn-Path: <z>\r\n",
      true,
    ],
    [
      "a Return-Path that stays is a difference",
      "Return-Path: <x>\r\nB: 2\r\n\r\n",
      "Return-Path: <x>\r\nB: 2\r\nX-Read: 1\r\n\r\n",
      false,
    ],
    ["an empty line that was there stays one", "\r\nJust text\r\n", "X-Read: 1\r\n\r\nJust text\r\n", true],
  ])("%s", (_why, sent, delivered, same) => {
    const difference = compareDelivered(Buffer.from(sent), Buffer.from(`${trace}${delivered}`), {
      traceFields: 2,
      ownField: "X-Read",
    });
    expect(difference === undefined).toBe(same);
  });
});
