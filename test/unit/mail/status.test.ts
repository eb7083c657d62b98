import { expect, test } from "vitest";
import { formatReply, isEnhancedStatus, splitStatus } from "../../../src/mail/status.ts";

const statuses: readonly [why: string, text: string, expected: boolean][] = [
  ["the usual", "5.7.1", true],
  ["three digits", "4.123.999", true],
  ["four digits", "4.1234.1", false],
  ["class 3 is none", "3.0.0", false],
  ["two numbers", "5.7", false],
  ["text behind", "5.7.1 x", false],
  ["a line end behind", "5.7.1\n", false],
  ["nothing", "", false],
];
test.each(statuses)("isEnhancedStatus: %s", (_why, text, expected) => {
  expect(isEnhancedStatus(text)).toBe(expected);
});

const replies: readonly [why: string, code: number, text: string, status: string | undefined, words: string][] = [
  ["status and words", 550, "5.7.1 Not here", "5.7.1", "Not here"],
  ["words alone", 550, "Not here", undefined, "Not here"],
  ["status alone", 250, "2.0.0", "2.0.0", ""],
  ["a number that is no status", 250, "2.0 x", undefined, "2.0 x"],
  ["words over two lines", 550, "5.7.1 one\ntwo", "5.7.1", "one\ntwo"],
];
test.each(replies)("splitStatus and formatReply: %s", (_why, code, text, status, words) => {
  const reply = splitStatus(code, text);
  expect(reply).toEqual({ code, status, text: words });
  expect(formatReply(reply)).toBe(`${code} ${text}`);
});
