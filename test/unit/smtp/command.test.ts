import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeLine, maskSecret, parseCommandLine } from "../../../src/smtp/command.ts";

const parse = (line: string) => parseCommandLine(line);

describe("parseCommandLine", () => {
  test.each<[why: string, line: string, command: object]>([
    ["a plain verb", "DATA", { verb: "DATA" }],
    ["any case", "qUiT", { verb: "QUIT" }],
    ["a name", "EHLO client.example", { verb: "EHLO", name: "client.example" }],
    ["blanks around", "NOOP  a b ", { verb: "NOOP", argument: "a b" }],
    ["the null reverse-path", "MAIL FROM:<>", { verb: "MAIL", path: "<>" }],
    ["a blank behind the colon", "MAIL FROM: <a@b.example>", { verb: "MAIL", path: "<a@b.example>" }],
    ["a > in quotes", 'RCPT TO:<"a>b"@c.example>', { verb: "RCPT", path: '<"a>b"@c.example>' }],
    ["an escaped quote", 'RCPT TO:<"a\\">b"@c.example>', { verb: "RCPT", path: '<"a\\">b"@c.example>' }],
    ["a chunk", "BDAT 86 LAST", { verb: "BDAT", sizeOctets: 86, last: true }],
    ["blanks in front of FROM", "MAIL \t from:<a@b.example> ", { verb: "MAIL", path: "<a@b.example>" }],
    ["a backslash outside quotes", "RCPT TO:<a\\>", { verb: "RCPT", path: "<a\\>" }],
    ["LMTP's name", "lhlo a.example", { verb: "LHLO", name: "a.example" }],
    [
      "a chunk of fifteen digits",
      "BDAT 999999999999999",
      { verb: "BDAT", sizeOctets: 999_999_999_999_999, last: false },
    ],
    ["a mechanism", "AUTH plain =", { verb: "AUTH", mechanism: "PLAIN", initial: "=" }],
  ])("reads %s", (_why, line, command) => {
    expect(parse(line)).toEqual({ command: expect.objectContaining(command) as object });
  });

  test("reads parameters", () => {
    const parsed = parse("MAIL FROM:<a@b.example> SIZE=10 body=8BITMIME SMTPUTF8");
    if (!("command" in parsed) || parsed.command.verb !== "MAIL") throw new Error("not read");
    expect([...parsed.command.parameters]).toEqual([
      ["SIZE", "10"],
      ["BODY", "8BITMIME"],
      ["SMTPUTF8", ""],
    ]);
  });

  test.each<[why: string, line: string, code: number]>([
    ["nothing", "", 500],
    ["a verb nobody knows", "FOO", 500],
    ["a verb with something behind it", "QUIT now", 501],
    ["EHLO without a name", "EHLO", 501],
    ["MAIL without FROM", "MAIL <a@b.example>", 501],
    ["no brackets", "MAIL FROM:a@b.example", 501],
    ["no closing bracket", "MAIL FROM:<a@b.example", 501],
    ["text behind the path", "RCPT TO:<a@b.example>x", 501],
    ["a parameter twice", "MAIL FROM:<> SIZE=1 SIZE=2", 501],
    ["an empty value", "MAIL FROM:<> SIZE=", 501],
    ["a NUL", "MAIL FROM:<a\0@b.example>", 501],
    ["a lone LF", "NOOP\nNOOP", 501],
    ["a chunk without a size", "BDAT LAST", 501],
    ["a chunk of sixteen digits", "BDAT 1000000000000000", 501],
    ["a quote that does not end", 'RCPT TO:<"a>b@c.example>', 501],
    ["nothing behind the colon", "MAIL FROM:", 501],
  ])("answers %s", (_why, line, code) => {
    expect(parse(line)).toMatchObject({ error: { code } });
  });

  test("never throws, whatever comes", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 80 }),
        fc.constantFrom("", "MAIL FROM:", "RCPT TO:<", "BDAT ", "AUTH "),
        (octets, begin) => {
          const parsed = parseCommandLine(decodeLine(begin + Buffer.from(octets).toString("latin1")));
          expect("command" in parsed || "error" in parsed).toBe(true);
        },
      ),
      { numRuns: 3_000 },
    );
  });
});

describe("decodeLine", () => {
  test.each<[why: string, octets: string, line: string]>([
    ["ASCII", "NOOP a", "NOOP a"],
    ["UTF-8", "NOOP \xc3\xa4", "NOOP ä"],
    ["what is no UTF-8, as Latin-1", "NOOP \xe4", "NOOP ä"],
  ])("reads %s", (_why, octets, line) => {
    expect(decodeLine(octets)).toBe(line);
  });
});

describe("maskSecret", () => {
  test.each<[why: string, line: string, masked: string]>([
    ["hides what AUTH says", "auth  PLAIN\tAGFubgBz x", "auth  PLAIN\t****"],
    ["leaves a mechanism alone", "AUTH LOGIN", "AUTH LOGIN"],
    ["leaves other commands", "MAIL FROM:<a@b.example> SIZE=1", "MAIL FROM:<a@b.example> SIZE=1"],
  ])("%s", (_why, line, masked) => {
    expect(maskSecret(line)).toBe(masked);
  });
});
