import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeWords, parseContentField, withCharset } from "../../../sandbox/content-field.ts";
import {
  decodeTransfer,
  encodeBase64,
  encodeQuotedPrintable,
  parseTransferEncoding,
} from "../../../sandbox/transfer-encoding.ts";

describe("parseContentField", () => {
  it.each([
    ["plain", "Text/Plain; Charset=UTF-8", "text/plain", { charset: "UTF-8" }],
    [
      "quoted, with a semicolon and an escape",
      'attachment; filename="a;\\"b\\".txt"',
      "attachment",
      { filename: 'a;"b".txt' },
    ],
    ["comments", "text/plain (a (b) \\) c); charset=(x)us-ascii(y)", "text/plain", { charset: "us-ascii" }],
    ["RFC 2231, one piece", "attachment; filename*=utf-8'de'gr%C3%BCn.pdf", "attachment", { filename: "grün.pdf" }],
    [
      "RFC 2231, pieces out of order",
      "attachment; filename*1=\"b.pdf\"; filename*0*=iso-8859-1''%FCa",
      "attachment",
      { filename: "üab.pdf" },
    ],
    [
      "RFC 2231 beside the plain form",
      "attachment; filename=old.pdf; filename*=utf-8''new.pdf",
      "attachment",
      { filename: "new.pdf" },
    ],
    ["RFC 2231 up to a gap", "attachment; filename*0=a; filename*2=c", "attachment", { filename: "a" }],
    [
      "an encoded word where none belongs",
      'attachment; filename="=?utf-8?Q?gr=C3=BCn?="',
      "attachment",
      { filename: "grün" },
    ],
    ["the first of a name", "text/plain; charset=a; charset=b", "text/plain", { charset: "a" }],
    [
      "a name that means something to objects",
      "text/plain; __proto__=x; constructor=y",
      "text/plain",
      { __proto: undefined, constructor: "y" },
    ],
    ["nothing", "", "", {}],
    ["an open quote", 'a/b; c="d', "a/b", { c: "d" }],
  ])("%s", (_why, text, value, parameters) => {
    const field = parseContentField(text);
    expect(field.value).toBe(value);
    for (const [name, expected] of Object.entries(parameters)) expect(field.parameters.get(name)).toBe(expected);
  });

  it("never throws, and keeps its bounds", () => {
    fc.assert(fc.property(fc.string(), (text) => void parseContentField(text)));
    expect(parseContentField(`a/b; ${"x=1; ".repeat(100_000)}`).parameters.size).toBe(1);
    expect(parseContentField(`a/b; x="${"y".repeat(60_000)}"`).parameters.get("x")).toHaveLength(4_096);
    expect(parseContentField(Array.from({ length: 999 }, (_, i) => `; p${i}=1`).join("")).parameters.size).toBe(200);
  });
});

describe("withCharset", () => {
  it.each([
    [
      "another",
      'text/plain; charset="iso-8859-1"; format=flowed; delsp=yes',
      "text/plain; charset=utf-8; format=flowed; delsp=yes",
    ],
    ["none yet", "text/plain", "text/plain; charset=utf-8"],
    ["in the RFC 2231 form", "text/plain; charset*=us-ascii''x", "text/plain; charset=utf-8"],
  ])("%s", (_why, text, expected) => {
    expect(withCharset(text, "utf-8")).toBe(expected);
  });
});

describe("decodeWords", () => {
  it.each([
    ["none", "a = ? b", "a = ? b"],
    ["base64", "=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße"],
    ["quoted", "Re: =?iso-8859-1?q?caf=E9_ol=e9?= !", "Re: café olé !"],
    ["neighbours join", "=?utf-8?q?a?=  =?utf-8?q?b?=", "ab"],
    ["a character split over two", "=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"],
    ["two charsets", "=?utf-8?q?=C3=BC?= =?iso-8859-1?q?=FC?=", "üü"],
    ["unknown charset", "=?x-unknown?q?=FC?=", "ü"],
    ["broken", "=?utf-8?x?abc?=", "=?utf-8?x?abc?="],
  ])("%s", (_why, text, expected) => {
    expect(decodeWords(text)).toBe(expected);
  });

  it("is quick on a flood of words", () => {
    const started = performance.now();
    decodeWords("=?utf-8?q?a?= ".repeat(20_000));
    decodeWords("=?".repeat(100_000));
    decodeWords(`=?utf-8?q?${"=".repeat(100_000)}`);
    expect(performance.now() - started).toBeLessThan(1_000);
  });
});

describe("transfer encodings", () => {
  it.each([
    ["", "identity"],
    ["8BIT", "identity"],
    [" Base64 ", "base64"],
    ["quoted-printable (comment)", "quoted-printable"],
    ["x-uuencode", "unknown"],
  ])("parseTransferEncoding(%j) is %s", (text, expected) => {
    expect(parseTransferEncoding(text)).toBe(expected);
  });

  it("give back any octets, in lines that are short enough", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (octets) => {
        const lines = Buffer.from(octets.filter((octet) => octet !== 0x0a));
        for (const [encoding, encoded] of [
          ["quoted-printable", encodeQuotedPrintable(lines, "\r\n")],
          ["base64", encodeBase64(lines, "\r\n")],
        ] as const) {
          expect(decodeTransfer(encoded, encoding).equals(lines)).toBe(true);
          expect(
            Math.max(
              ...encoded
                .toString("latin1")
                .split("\r\n")
                .map((line) => line.length),
            ),
          ).toBeLessThanOrEqual(76);
          expect(encoded.every((octet) => octet < 0x80)).toBe(true);
        }
      }),
    );
  });

  it.each([
    ["soft line ends", "a=\r\nb= \t\nc=", "abc"],
    ["white space in front of a line end", "a  \r\nb\t\n", "a\r\nb\n"],
    ["what is no escape", "100=% =g1", "100=% =g1"],
    ["lower case", "=c3=bc", "ü"],
  ])("decodeTransfer, quoted-printable: %s", (_why, text, expected) => {
    expect(decodeTransfer(Buffer.from(text), "quoted-printable").toString()).toBe(expected);
  });

  it("keeps line ends of a text in quoted-printable", () => {
    expect(encodeQuotedPrintable(Buffer.from("a \r\nü\r\n"), "\r\n").toString()).toBe("a=20\r\n=C3=BC\r\n");
  });
});
