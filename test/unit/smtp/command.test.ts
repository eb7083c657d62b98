import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseCommandLine } from "../../../src/smtp/command.ts";

const parse = (line: string) => parseCommandLine(Buffer.from(line));

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
    ["a chunk too large", "BDAT 99999999999 LAST", 552],
  ])("answers %s", (_why, line, code) => {
    expect(parse(line)).toMatchObject({ error: { code } });
  });

  test("never throws, whatever comes", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 80 }),
        fc.constantFrom("", "MAIL FROM:", "RCPT TO:<", "BDAT ", "AUTH "),
        (octets, begin) => {
          const parsed = parseCommandLine(Buffer.concat([Buffer.from(begin), octets]));
          expect("command" in parsed || "error" in parsed).toBe(true);
        },
      ),
      { numRuns: 3_000 },
    );
  });
});
