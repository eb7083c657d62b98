/** The envelope read from a header, however odd the header is. */
import { describe, expect, test } from "vitest";
import { findMailboxes, guessRecipients, guessReversePath } from "../../../src/mail/envelope-guess.ts";
import { splitMessage } from "../../../src/mail/header.ts";
import { formatMailbox } from "../../../src/mail/mailbox.ts";
import { formatReversePath } from "../../../src/mail/path.ts";

const headerOf = (text: string) => splitMessage(Buffer.from(`${text.replaceAll("\n", "\r\n")}\r\n\r\n`)).header;

test.each([
  ["Return-Path before all", "From: a@x.test\nSender: b@x.test\nReturn-Path: <c@x.test>", "c@x.test"],
  ["a null Return-Path is the null reverse-path", "From: a@x.test\nReturn-Path: <>", "<>"],
  ["Sender before From", "From: a@x.test\nSender: B <b@x.test>", "b@x.test"],
  ["the first of several in From", "From: A <a@x.test>, b@x.test", "a@x.test"],
  ["nothing that is an address", "From: undisclosed", "sender@example.com"],
  ["no header", "X: y", "sender@example.com"],
])("guessReversePath: %s", (_why, header, path) => {
  expect(formatReversePath(guessReversePath(headerOf(header)))).toBe(path);
});

test.each([
  [
    "Delivered-To and X-Original-To before To",
    "To: a@x.test\nDelivered-To: b@x.test\nX-Original-To: c@x.test",
    ["b@x.test", "c@x.test"],
  ],
  ["To, Cc and Bcc together", "To: a@x.test\nCc: b@x.test\nBcc: c@x.test", ["a@x.test", "b@x.test", "c@x.test"]],
  ["the same one once", "To: a@x.test\nCc: A@X.test", ["a@x.test"]],
  ["a group", "To: friends: a@x.test, B <b@x.test>;", ["a@x.test", "b@x.test"]],
  ["an empty group", "To: undisclosed-recipients:;", ["recipient@example.test"]],
  ["nothing", "Subject: x", ["recipient@example.test"]],
])("guessRecipients: %s", (_why, header, found) => {
  expect(guessRecipients(headerOf(header)).map(formatMailbox)).toEqual(found);
});

describe("findMailboxes", () => {
  test.each([
    ["a name that holds an address", '"a@b.test" <c@d.test>', ["c@d.test"]],
    ["a quoted local part", '"a b"@c.test', ['"a b"@c.test']],
    ["a comment that holds an address", "(a@b.test) c@d.test", ["c@d.test"]],
    ["a comment in a comment", "((a@b.test) x) c@d.test", ["c@d.test"]],
    ["a quote that is never closed", '"a@b.test, c@d.test', []],
    ["a backslash at the end", '"\\', []],
    ["no address", "hello", []],
    ["two at signs", "a@b@c.test", []],
  ])("%s", (_why, value, found) => {
    expect(findMailboxes(value).map(formatMailbox)).toEqual(found);
  });

  test.each([
    ["no at sign", "a".repeat(1_000_000)],
    ["brackets without end", "(".repeat(1_000_000)],
    ["quotes", '"'.repeat(1_000_000)],
    ["a hundred thousand addresses", "a@b.test,".repeat(100_000)],
  ])("is quick with a megabyte of %s", (_why, value) => {
    const startedMs = performance.now();
    expect(findMailboxes(value).length).toBeLessThanOrEqual(1_000);
    expect(performance.now() - startedMs).toBeLessThan(2_000);
  });
});
