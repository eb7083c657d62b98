import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { RelaxedBodyHash, relaxedField } from "../../../src/mail/dkim-canonical.ts";

const hashOf = (text: string) => createHash("sha256").update(Buffer.from(text, "latin1")).digest("base64");

/** In pieces of every size up to the whole, each must give the same. */
function hashesInPieces(text: string): Set<string> {
  const octets = Buffer.from(text, "latin1");
  const hashes = new Set<string>();
  for (let size = 1; size <= Math.max(octets.length, 1); size++) {
    const hash = new RelaxedBodyHash();
    for (let at = 0; at < octets.length; at += size) hash.update(octets.subarray(at, at + size));
    hashes.add(hash.digest());
  }
  return hashes;
}

describe("RelaxedBodyHash", () => {
  const rows: readonly [why: string, body: string, canonical: string][] = [
    ["the example of RFC 6376 §3.4.5", " C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"],
    ["an empty body", "", ""],
    ["empty lines alone", "\r\n\r\n", ""],
    ["a line without its end gets one", "x", "x\r\n"],
    ["empty lines within stay", "a\r\n\r\n\r\nb\r\n", "a\r\n\r\n\r\nb\r\n"],
    ["blanks alone on lines at the end are empty lines", "a\r\n  \r\n\t\r\n", "a\r\n"],
    ["blanks behind the last line end", "a\r\n \t", "a\r\n"],
    ["a lone line feed is a line end", "a\nb\n", "a\r\nb\r\n"],
    ["a lone CR is an octet", "a\rb\r\n", "a\rb\r\n"],
    ["a CR at the very end", "a\r\n\r", "a\r\n\r\r\n"],
    ["two CRs before a line feed", "a\r\r\n", "a\r\r\n"],
    ["blanks before a lone CR", "a \rb", "a \rb\r\n"],
    ["octets above ASCII", "\xe4 \xff\r\n", "\xe4 \xff\r\n"],
    ["NUL", "\0\r\n", "\0\r\n"],
  ];
  test.each(rows)("%s", (_why, body, canonical) => {
    expect(hashesInPieces(body)).toEqual(new Set([hashOf(canonical)]));
  });

  test("a million empty lines that something follows, and none that nothing does", () => {
    const many = "\r\n".repeat(1_000_000);
    const hash = (text: string) => {
      const one = new RelaxedBodyHash();
      one.update(Buffer.from(text));
      return one.digest();
    };
    expect(hash(`a${many}b`)).toBe(hashOf(`a${many}b\r\n`));
    expect(hash(`a${many}`)).toBe(hashOf("a\r\n"));
  });
});

describe("relaxedField", () => {
  const rows: readonly [why: string, name: string, octets: string, canonical: string][] = [
    ["the example of RFC 6376 §3.4.5", "A", "A: X\r\n", "a:X\r\n"],
    ["white space before the colon, folds, runs", "B", "B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"],
    ["empty", "Subject", "Subject:\r\n", "subject:\r\n"],
    [
      "folded with nothing in the first line",
      "To",
      "To:\r\n a@b.example,\r\n c@d.example\r\n",
      "to:a@b.example, c@d.example\r\n",
    ],
    ["without a line end", "X", "X: y", "x:y\r\n"],
    ["octets above ASCII", "X", "X: \xc3\xa4\r\n", "x:\xc3\xa4\r\n"],
  ];
  test.each(rows)("%s", (_why, name, octets, canonical) => {
    expect(relaxedField({ name, octets: Buffer.from(octets, "latin1") })).toBe(canonical);
  });
});
