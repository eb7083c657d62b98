import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeWords, encodeUnstructured, encodeWords } from "../../../src/mail/encoded-word.ts";

describe("decodeWords", () => {
  const rows: readonly [why: string, value: string, text: string][] = [
    ["nothing to do", "plain", "plain"],
    ["quoted-printable", "=?UTF-8?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"],
    ["base64", "=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße"],
    ["base64 without its padding", "=?UTF-8?B?R3LDvMOfZQ?=", "Grüße"],
    ["lower-case encoding and charset", "=?utf-8?q?a=20b?=", "a b"],
    ["underscore is a blank", "=?US-ASCII?Q?a_b?=", "a b"],
    ["a Latin charset", "=?ISO-8859-1?Q?Gr=FC=DFe?=", "Grüße"],
    ["a Windows charset", "=?windows-1252?Q?=80?=", "€"],
    ["a Japanese charset", "=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=", "日本"],
    ["a language behind the charset (RFC 2231 §5)", "=?UTF-8*de?Q?=C3=BC?=", "ü"],
    ["text around a word", "Re: =?UTF-8?Q?=C3=BC?= ok", "Re: ü ok"],
    ["a blank between two words is not text", "=?UTF-8?Q?a?= =?UTF-8?Q?b?=", "ab"],
    ["a fold between two words is not text", "=?UTF-8?Q?a?=\r\n =?UTF-8?Q?b?=", "ab"],
    ["a blank between words of two charsets is not text", "=?UTF-8?Q?=C3=BC?= =?ISO-8859-1?Q?=FC?=", "üü"],
    ["a blank behind the last word is text", "=?UTF-8?Q?a?= b =?UTF-8?Q?c?=", "a b c"],
    ["the end of a word that is none keeps its blank", "a?= =?UTF-8?Q?b?=", "a?= b"],
    ["a character split over two words", "=?UTF-8?Q?=C3?= =?UTF-8?Q?=BC?=", "ü"],
    ["an unknown charset that is UTF-8", "=?X-UNKNOWN?Q?=C3=BC?=", "ü"],
    ["an unknown charset that is not", "=?X-UNKNOWN?Q?=FC?=", "ü"],
    ["octets that are no UTF-8", "=?UTF-8?Q?=FF?=", "\ufffd"],
    ["an unknown encoding stays", "=?UTF-8?X?abc?=", "=?UTF-8?X?abc?="],
    ["a word cut off stays", "=?UTF-8?Q?abc", "=?UTF-8?Q?abc"],
    ["an equals sign without two digits stays", "=?UTF-8?Q?a=b=4?=", "a=b=4"],
    ["an empty word", "x=?UTF-8?Q??=y", "xy"],
  ];
  test.each(rows)("%s", (_why, value, text) => {
    expect(decodeWords(value)).toBe(text);
  });

  const floods: readonly [why: string, value: string][] = [
    ["100,000 words", "=?UTF-8?Q?a?= ".repeat(100_000)],
    ["one megabyte of beginnings", "=?".repeat(500_000)],
    ["beginnings with an encoding", "=?a?q?".repeat(160_000)],
    ["ends and blanks", `${"?= ".repeat(300_000)}=?a?q?`],
    ["one word with a megabyte in it", `=?UTF-8?B?${"QUJD".repeat(250_000)}?=`],
    ["a megabyte of blanks between two words", `=?UTF-8?Q?a?=${" ".repeat(1_000_000)}=?UTF-8?Q?a?=`],
  ];
  test.each(floods)("a flood is read within two seconds: %s", (_why, value) => {
    const started = performance.now();
    expect(typeof decodeWords(value)).toBe("string");
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test("any text is read without throwing", () => {
    const piece = fc.oneof(
      fc.constantFrom("=?", "?=", "?Q?", "?B?", "UTF-8", "=C3", " ", "\r\n ", "x"),
      fc.string({ unit: "binary", maxLength: 5 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        expect(typeof decodeWords(pieces.join(""))).toBe("string");
      }),
    );
  });
});

describe("encodeUnstructured", () => {
  test("ASCII stays as it is", () => {
    expect(encodeUnstructured("Hello, World! (1) <a@b>")).toBe("Hello, World! (1) <a@b>");
  });
  test("only the words that need it are encoded, and the blanks between them with them", () => {
    expect(encodeUnstructured("Re: Grüße  ü end")).toMatch(/^Re: =\?UTF-8\?[QB]\?[^? ]+\?= end$/);
  });
  test.each([
    ["as long as an address may be", 330, true],
    ["longer", 331, false],
  ])("a word in angle brackets, %s, is an address and stays", (_why, length, stays) => {
    const word = `<a@${"b".repeat(length - 4)}>`;
    expect(encodeUnstructured(`ü ${word} ü`).includes(word)).toBe(stays);
  });

  test("a word of signs that could be in an address is written within two seconds", () => {
    const started = performance.now();
    encodeUnstructured(`ü <${"@".repeat(100_000)}`);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test("text that looks like an encoded word is encoded, so that it is read as it was", () => {
    expect(decodeWords(encodeUnstructured("=?UTF-8?Q?a?="))).toBe("=?UTF-8?Q?a?=");
  });
  test("the result is ASCII in words of at most 75, and reads back as the text", () => {
    const piece = fc.oneof(
      fc.constantFrom("=?", "?=", "ü", "日本", "😀", " ", "  ", "\t", "abc", "=?UTF-8?Q?a?=", "\u0007"),
      fc.string({ unit: "grapheme", maxLength: 4 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const text = pieces.join("").replace(/[\r\n]/g, "");
        const encoded = encodeUnstructured(text);
        expect(encoded).toMatch(/^[\x20-\x7e\t]*$/);
        for (const word of encoded.match(/=\?UTF-8\?\S*/g) ?? []) expect(word.length).toBeLessThanOrEqual(75);
        expect(decodeWords(encoded)).toBe(text.toWellFormed());
      }),
      { numRuns: 2000 },
    );
  });
});

test("encodeWords takes the shorter encoding and never splits a character", () => {
  expect(encodeWords("Müller")).toBe("=?UTF-8?Q?M=C3=BCller?=");
  expect(encodeWords("日本")).toBe("=?UTF-8?B?5pel5pys?=");
  for (const word of encodeWords("😀".repeat(50)).split(" ")) expect(decodeWords(word)).toMatch(/^(?:😀)+$/u);
});
