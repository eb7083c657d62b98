import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type PeerReply, ReplyReader, replyLineOctetsMax, replyLinesMax } from "../../../src/smtp/reply-reader.ts";

function readAll(octets: string | Buffer, pieces: readonly number[] = [], octetsMax?: number) {
  const reader = new ReplyReader(octetsMax);
  const all = Buffer.from(octets as string);
  const cuts = [0, ...[...pieces].sort((one, other) => one - other), all.length];
  const read: (PeerReply | string)[] = [];
  for (let i = 1; i < cuts.length; i++) {
    reader.push(all.subarray(cuts[i - 1], cuts[i]));
    for (let next = reader.next(); next !== null; next = reader.next()) {
      read.push(next);
      if (typeof next === "string") return read;
    }
  }
  return read;
}

describe("ReplyReader", () => {
  test.each([
    { why: "one line", text: "250 2.0.0 taken\r\n", reply: { code: 250, status: "2.0.0", text: "taken" } },
    { why: "no status", text: "550 nobody\r\n", reply: { code: 550, status: undefined, text: "nobody" } },
    {
      why: "several lines",
      text: "550-5.1.1 no\r\n550 5.1.1 body\r\n",
      reply: { code: 550, status: "5.1.1", text: "no body" },
    },
    { why: "the status on the first line alone", text: "550-5.1.1 no\r\n550 body\r\n", reply: { status: "5.1.1" } },
    { why: "a code alone", text: "354\r\n", reply: { code: 354, status: undefined, text: "" } },
    { why: "a bare LF", text: "250-one\n250 two\n", reply: { code: 250, text: "one two" } },
    { why: "control characters", text: "250 \x1b[31mred\x07 \x9b\r\n", reply: { text: "[31mred" } },
    { why: "octets that are no UTF-8", text: Buffer.from("250 gr\xfc\xdfe\r\n", "latin1"), reply: { text: "gr��e" } },
    { why: "UTF-8", text: "250 grüße\r\n", reply: { text: "grüße" } },
    { why: "blank lines of text", text: "250-\r\n250-a\r\n250 \r\n", reply: { text: "a", lines: ["", "a", ""] } },
  ])("reads $why", ({ text, reply }) => {
    expect(readAll(text)).toMatchObject([reply]);
  });

  test.each([
    { why: "words", text: "hello\r\n", reason: 'it said what is no reply: "hello"' },
    { why: "nothing", text: "\r\n", reason: 'it said what is no reply: ""' },
    { why: "a code below 200", text: "199 x\r\n", reason: "no reply" },
    { why: "a code above 599", text: "600 x\r\n", reason: "no reply" },
    { why: "a code of four digits", text: "2500 x\r\n", reason: "no reply" },
    { why: "a code of two", text: "25 x\r\n", reason: "no reply" },
    { why: "something else behind the code", text: "250+x\r\n", reason: "no reply" },
    { why: "two codes", text: "250-x\r\n550 y\r\n", reason: "its reply has two codes, 250 and 550" },
    { why: "words within a reply", text: "250-x\r\nhello\r\n", reason: "no reply" },
  ])("objects to $why", ({ text, reason }) => {
    expect(readAll(text)).toEqual([expect.stringContaining(reason)]);
  });

  const line = (octets: number) => `250 ${"x".repeat(octets - 6)}\r\n`;
  test.each([
    { why: "a line below its bound", text: line(replyLineOctetsMax - 1), ok: true },
    { why: "a line at its bound", text: line(replyLineOctetsMax), ok: true },
    { why: "a line above its bound", text: line(replyLineOctetsMax + 1), ok: false },
    { why: "a line without an end, at its bound", text: `250 ${"x".repeat(replyLineOctetsMax - 4)}`, ok: true },
    { why: "a line without an end, above it", text: `250 ${"x".repeat(replyLineOctetsMax - 3)}`, ok: false },
    { why: "as many lines as there may be", text: `${"250-x\r\n".repeat(replyLinesMax - 1)}250 x\r\n`, ok: true },
    { why: "one line more", text: `${"250-x\r\n".repeat(replyLinesMax)}250 x\r\n`, ok: false },
    { why: "a reply below its bound", text: "250-1234\r\n250 123\r\n", octetsMax: 20, ok: true },
    { why: "a reply at its bound", text: "250-1234\r\n250 1234\r\n", octetsMax: 20, ok: true },
    { why: "a reply above its bound", text: "250-1234\r\n250 12345\r\n", octetsMax: 20, ok: false },
    { why: "two replies, each within it", text: "250 123456789012\r\n".repeat(2), octetsMax: 20, ok: true },
  ])("bounds: $why", ({ text, octetsMax, ok }) => {
    const read = readAll(text, [], octetsMax);
    if (ok) expect(read.every((reply) => typeof reply !== "string")).toBe(true);
    else expect(read).toEqual([expect.stringContaining("exceeds")]);
  });

  test.each([
    { why: "at the bound", length: 400, cut: false },
    { why: "above the bound", length: 401, cut: true },
  ])("text $why is kept: cut $cut", ({ length, cut }) => {
    const [reply] = readAll(`250 ${"x".repeat(length)}\r\n`) as PeerReply[];
    expect(reply!.text.endsWith("…")).toBe(cut);
  });

  test("reads the same wherever the octets are cut", () => {
    const stream = "220 hi\r\n250-a\r\n250-PIPELINING\r\n250 SIZE 10\r\n550-5.1.1 no\n550 5.1.1 body\r\n";
    const whole = readAll(stream);
    expect(whole).toHaveLength(3);
    fc.assert(
      fc.property(fc.array(fc.nat(stream.length), { maxLength: 40 }), (cuts) => {
        expect(readAll(stream, cuts)).toEqual(whole);
      }),
    );
    expect(
      readAll(
        stream,
        Array.from({ length: stream.length }, (_, i) => i),
      ),
    ).toEqual(whole);
  });

  test("whatever comes is a reply, words of objection, or waited for; nothing is kept beyond the bounds", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 50 }), (chunks) => {
        const reader = new ReplyReader(500);
        for (const chunk of chunks) {
          reader.push(Buffer.from(chunk));
          for (let next = reader.next(); next !== null; next = reader.next()) if (typeof next === "string") return;
          expect(reader.waiting).toBeLessThanOrEqual(800);
        }
      }),
    );
  });
});
