import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MailDataEncoder } from "../../../src/smtp/client-data.ts";
import { MailDataDecoder } from "../../../src/smtp/mail-data.ts";

function encode(chunks: readonly Buffer[]): Buffer {
  const encoder = new MailDataEncoder();
  return Buffer.concat([...chunks.flatMap((chunk) => encoder.encode(chunk)), encoder.end()]);
}

function cut(octets: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...places.map((place) => place % (octets.length + 1))].sort((one, other) => one - other);
  return [0, ...sorted].map((from, i) => octets.subarray(from, sorted[i] ?? octets.length));
}

function decode(chunks: readonly Buffer[]): { readonly data: Buffer; readonly behind: number } {
  const decoder = new MailDataDecoder();
  const pieces: Buffer[] = [];
  for (const [i, chunk] of chunks.entries()) {
    const decoded = decoder.decode(chunk);
    pieces.push(...decoded.pieces);
    if (decoded.end !== -1) {
      const rest = chunks.slice(i + 1).reduce((sum, { length }) => sum + length, chunk.length - decoded.end);
      return { data: Buffer.concat(pieces), behind: rest };
    }
  }
  throw new Error("no end");
}

describe("MailDataEncoder", () => {
  test.each([
    { why: "nothing", data: [""], wire: ".\r\n" },
    { why: "a line", data: ["a\r\n"], wire: "a\r\n.\r\n" },
    { why: "no end on the last line", data: ["a"], wire: "a\r\n.\r\n" },
    { why: "a dot alone", data: [".\r\n"], wire: "..\r\n.\r\n" },
    { why: "a dot behind a border", data: ["a\r\n", ".b\r\n"], wire: "a\r\n..b\r\n.\r\n" },
    { why: "a border within CRLF", data: ["a\r", "\n.b\r\n"], wire: "a\r\n..b\r\n.\r\n" },
    { why: "a border within CRLF, and one before the dot", data: ["a\r", "\n", ".\r\n"], wire: "a\r\n..\r\n.\r\n" },
    { why: "a dot within a line, behind a border", data: ["a", ".b\r\n"], wire: "a.b\r\n.\r\n" },
    { why: "a dot behind a bare LF is none of a line's start", data: ["a\n.b\r\n"], wire: "a\n.b\r\n.\r\n" },
    { why: "a dot behind a bare CR, and a border", data: ["a\r", ".b\r\n"], wire: "a\r.b\r\n.\r\n" },
    { why: "a CR at the end", data: ["a\r"], wire: "a\r\r\n.\r\n" },
  ])("$why", ({ data, wire }) => {
    expect(encode(data.map((text) => Buffer.from(text))).toString()).toBe(wire);
  });

  const octets = fc
    .array(fc.constantFrom(".", "\r", "\n", "\r\n", "a", "\r\n.", "\r\n.\r\n", "\x00", "\xff"), { maxLength: 60 })
    .map((words) => Buffer.from(words.join(""), "latin1"));
  const places = fc.array(fc.nat(), { maxLength: 20 });

  test("what a server decodes is the message, whatever it is and wherever the octets are cut, with an end for its last line", () => {
    fc.assert(
      fc.property(octets, places, places, (message, ours, theirs) => {
        const ended = message.length === 0 || message.subarray(-2).equals(Buffer.from("\r\n"));
        const wire = encode(cut(message, ours));
        const { data, behind } = decode(cut(wire, theirs));
        expect(data.equals(ended ? message : Buffer.concat([message, Buffer.from("\r\n")]))).toBe(true);
        expect(behind).toBe(0);
      }),
      { numRuns: 1_000 },
    );
  });
});
