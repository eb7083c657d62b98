import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createField, fieldOctetsMax, fieldValue, Header, splitMessage } from "../../../src/mail/header.ts";
import type { FaultCode } from "../../../src/platform/fault.ts";
import { faultOf } from "../../support/fault-of.ts";

const headerOf = (text: string): Header => splitMessage(Buffer.from(text)).header;

describe("splitMessage", () => {
  const rows: readonly [why: string, data: string, header: string, separator: string, body: string][] = [
    ["the usual", "A: 1\r\nB: 2\r\n\r\nbody\r\n", "A: 1\r\nB: 2\r\n", "\r\n", "body\r\n"],
    ["line feeds only", "A: 1\nB: 2\n\nbody\n", "A: 1\nB: 2\n", "\n", "body\n"],
    ["mixed line ends", "A: 1\r\nB: 2\n\r\nbody", "A: 1\r\nB: 2\n", "\r\n", "body"],
    ["nothing", "", "", "", ""],
    ["no body", "A: 1\r\n\r\n", "A: 1\r\n", "\r\n", ""],
    ["no empty line", "A: 1\r\nB: 2\r\n", "A: 1\r\nB: 2\r\n", "", ""],
    ["no line end at all", "A: 1", "A: 1", "", ""],
    ["no header: an empty line first", "\r\nbody\r\n", "", "\r\n", "body\r\n"],
    ["no header: text first, which gets a separator", "just text\r\nA: 1\r\n", "", "\r\n", "just text\r\nA: 1\r\n"],
    ["no header: a continuation line first", " A: 1\r\nB: 2\r\n\r\nbody", "", "\r\n", " A: 1\r\nB: 2\r\n\r\nbody"],
    [
      "an mbox line in front",
      "From ann@example.org Mon Jan  1 10:00:00 2024\nA: 1\n\nbody",
      "From ann@example.org Mon Jan  1 10:00:00 2024\nA: 1\n",
      "\n",
      "body",
    ],
    [
      "a quoted mbox line in front",
      ">From ann@example.org\nA: 1\n\nbody",
      ">From ann@example.org\nA: 1\n",
      "\n",
      "body",
    ],
    [
      "a line that is no field in the middle",
      "A: 1\r\nwhat is this\r\nB: 2\r\n\r\nbody",
      "A: 1\r\nwhat is this\r\nB: 2\r\n",
      "\r\n",
      "body",
    ],
    ["folded lines", "A: 1\r\n 2\r\n\t3\r\nB: 4\r\n\r\nx", "A: 1\r\n 2\r\n\t3\r\nB: 4\r\n", "\r\n", "x"],
    [
      "a line of nothing but blanks continues the field",
      "A: 1\r\n \r\nB: 2\r\n\r\nx",
      "A: 1\r\n \r\nB: 2\r\n",
      "\r\n",
      "x",
    ],
    ["a bare CR ends no line", "A: 1\rB: 2\r\n\r\nx", "A: 1\rB: 2\r\n", "\r\n", "x"],
    ["empty lines in the body", "A: 1\r\n\r\n\r\n\r\nx", "A: 1\r\n", "\r\n", "\r\n\r\nx"],
  ];
  test.each(rows)("%s", (_why, data, headerText, separator, body) => {
    const parts = splitMessage(Buffer.from(data));
    expect([parts.header.octets.toString(), parts.separator.toString(), parts.body.toString()]).toEqual([
      headerText,
      separator,
      body,
    ]);
  });

  test("loses no octet of any input: header, separator and body are what came in", () => {
    const piece = fc.oneof(
      fc.constantFrom("A: 1", "Subject", ":", "\r\n", "\n", "\r", " ", "\t", "\r\n\r\n", "From x", "\0", "ü"),
      fc.uint8Array({ maxLength: 6 }).map((octets) => Buffer.from(octets).toString("latin1")),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        const data = Buffer.from(pieces.join(""), "latin1");
        const { header, separator, body } = splitMessage(data);
        const lent = header.fields.length === 0 && body.length === data.length ? separator.length : 0;
        expect(Buffer.concat([header.octets, separator, body]).subarray(lent).equals(data)).toBe(true);
        expect(Buffer.concat(header.fields.map((field) => field.octets)).equals(header.octets)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test("reads 100,000 fields, and one of a megabyte, within two seconds", () => {
    const started = performance.now();
    const many = headerOf(`${"X-A: 1\r\n".repeat(100_000)}\r\n`);
    expect(many.count("x-a")).toBe(100_000);
    const long = headerOf(`X-A: ${"v".repeat(1_000_000)}\r\n\r\n`);
    expect(long.get("X-A")).toHaveLength(1_000_000);
    const folds = headerOf(`X-A: ${"\r\n v".repeat(250_000)}\r\n\r\n`);
    expect(folds.get("X-A")).toHaveLength(499_999);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

describe("Header: reading", () => {
  const rows: readonly [why: string, field: string, name: string, value: string][] = [
    ["the usual", "Subject: Hello\r\n", "Subject", "Hello"],
    ["a name in other case", "SUBJECT: Hello\r\n", "subject", "Hello"],
    ["no blank behind the colon", "Subject:Hello\r\n", "Subject", "Hello"],
    ["a blank before the colon (RFC 5322 §4.5)", "Subject : Hello\r\n", "Subject", "Hello"],
    ["many blanks", "Subject:  \t Hello  \r\n", "Subject", "Hello"],
    ["empty", "Subject:\r\n", "Subject", ""],
    ["a colon in the value", "Subject: a: b\r\n", "Subject", "a: b"],
    ["unfolded: the line end goes, the blank stays", "Subject: a\r\n b\r\n\tc\r\n", "Subject", "a b\tc"],
    ["unfolded behind the name", "Subject:\r\n Hello\r\n", "Subject", "Hello"],
    ["unfolded with line feeds only", "Subject: a\n b\n", "Subject", "a b"],
    ["encoded words", "Subject: =?UTF-8?Q?=C3=BC?= x\r\n", "Subject", "ü x"],
    ["encoded words over a fold", "Subject: =?UTF-8?Q?a?=\r\n =?UTF-8?Q?b?=\r\n", "Subject", "ab"],
    ["raw UTF-8 (RFC 6532)", "Subject: ü\r\n", "Subject", "ü"],
    ["the name of an inherited property", "__proto__: x\r\n", "__proto__", "x"],
    ["the name of an inherited method", "constructor: x\r\n", "constructor", "x"],
  ];
  test.each(rows)("%s", (_why, field, name, value) => {
    const header = headerOf(`X-First: 1\r\n${field}\r\n`);
    expect(header.get(name)).toBe(value);
    expect(header.has(name)).toBe(true);
  });

  test("octets that are no UTF-8 are read as Latin-1", () => {
    const { header } = splitMessage(Buffer.from("Subject: Gr\xfc\xdfe\r\n\r\n", "latin1"));
    expect(header.get("Subject")).toBe("Grüße");
  });

  test("what is not there", () => {
    for (const name of ["Subject", "", "toString", "__proto__", "a b", "\r\n"]) {
      expect(Header.empty.get(name)).toBeUndefined();
      expect(headerOf("X-A: 1\r\nno field\r\n\r\n").has(name)).toBe(false);
    }
  });

  test("getAll and count go from top to bottom, get takes the first", () => {
    const header = headerOf("From: a\r\nX: 1\r\nfrom: b\r\n\r\n");
    expect(header.getAll("From")).toEqual(["a", "b"]);
    expect(header.count("From")).toBe(2);
    expect(header.get("From")).toBe("a");
    expect(header.getAll("To")).toEqual([]);
  });
});

describe("Header: editing", () => {
  const odd = "Received: a\r\n\tb\r\nSUBJECT :  x \r\nnot a field\r\nX-A: \xff\r\n";
  const before = (): Header => splitMessage(Buffer.from(`${odd}\r\n`, "latin1")).header;

  const edits: readonly [why: string, edit: (header: Header) => Header, after: string][] = [
    ["add puts a field at the end", (header) => header.add("X-B", "1"), `${odd}X-B: 1\r\n`],
    ["prepend puts a field on top", (header) => header.prepend("X-B", "1"), `X-B: 1\r\n${odd}`],
    [
      "set keeps the place",
      (header) => header.set("Subject", "new"),
      "Received: a\r\n\tb\r\nSubject: new\r\nnot a field\r\nX-A: \xff\r\n",
    ],
    ["set adds what is not there", (header) => header.set("X-B", "1"), `${odd}X-B: 1\r\n`],
    [
      "remove takes away that field alone",
      (header) => header.remove("received"),
      "SUBJECT :  x \r\nnot a field\r\nX-A: \xff\r\n",
    ],
    ["remove of what is not there changes nothing", (header) => header.remove("X-B"), odd],
    ["remove without a name leaves lines that are no field", (header) => header.remove(""), odd],
  ];
  test.each(edits)("%s, and every other octet stays", (_why, edit, after) => {
    const header = before();
    expect(edit(header).octets.toString("latin1")).toBe(after);
    expect(header.octets.toString("latin1")).toBe(odd);
  });

  test("set replaces the first of several fields and removes the others", () => {
    const header = headerOf("A: 1\r\nB: 2\r\na: 3\r\nC: 4\r\n\r\n").set("A", "9");
    expect(header.octets.toString()).toBe("A: 9\r\nB: 2\r\nC: 4\r\n");
  });

  test("a field is never glued to a last line that has no line end", () => {
    expect(headerOf("A: 1").add("B", "2").octets.toString()).toBe("A: 1\r\nB: 2\r\n");
    expect(headerOf("A: 1").set("B", "2").octets.toString()).toBe("A: 1\r\nB: 2\r\n");
    expect(headerOf("A: 1").set("A", "2").octets.toString()).toBe("A: 2\r\n");
    expect(headerOf("A: 1").prepend("B", "2").octets.toString()).toBe("B: 2\r\nA: 1");
  });
});

describe("createField", () => {
  const bad: readonly [why: string, name: string, value: string, code: FaultCode][] = [
    ["CR and LF in the value", "X-A", "1\r\nBcc: eve@example.org", "header.field-value"],
    ["LF alone in the value", "X-A", "1\nBcc: eve@example.org", "header.field-value"],
    ["CR alone in the value", "X-A", "1\rBcc: eve@example.org", "header.field-value"],
    ["a fold in the value", "X-A", "1\r\n 2", "header.field-value"],
    ["NUL in the value", "X-A", "a\0b", "header.field-value"],
    ["CR and LF in the name", "X-A: 1\r\nBcc", "1", "header.field-name"],
    ["a colon in the name", "X-A:", "1", "header.field-name"],
    ["a blank in the name", "X A", "1", "header.field-name"],
    ["an empty name", "", "1", "header.field-name"],
    ["a name beyond ASCII", "Größe", "1", "header.field-name"],
    ["a name of 77 characters", "X".repeat(77), "1", "header.field-name"],
    ["a word of 999 octets", "X-A", "a".repeat(999), "header.field-value"],
    ["a value above the limit", "X-A", "a b ".repeat(fieldOctetsMax / 4), "header.field-value"],
  ];
  test.each(bad)("%s is refused", (_why, name, value, code) => {
    expect(faultOf(() => createField(name, value)).code).toBe(code);
    expect(faultOf(() => Header.empty.set(name, value)).code).toBe(code);
    expect(faultOf(() => Header.empty.add(name, value)).code).toBe(code);
    expect(faultOf(() => Header.empty.prepend(name, value)).code).toBe(code);
  });

  test("limits: a name of 76 characters, and a value just below the limit", () => {
    expect(createField("X".repeat(76), "1").name).toHaveLength(76);
    const words = "a ".repeat(20_000);
    expect(createField("X-A", words).octets.length).toBeLessThan(fieldOctetsMax);
  });

  test("a value with a flood of blanks within it is answered within two seconds", () => {
    const started = performance.now();
    expect(faultOf(() => createField("Subject", `a${" ".repeat(100_000)}b`)).code).toBe("header.field-value");
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test("blanks at the end of a value make no line of nothing but blanks", () => {
    const { octets } = createField("X-A", `${"a".repeat(60)}${" ".repeat(200)}`);
    expect(octets.toString()).toBe(`X-A: ${"a".repeat(60)}\r\n`);
  });

  test("what is written reads back; lines are ASCII, of at most 998 octets, none of them blank, and make one field", () => {
    const piece = fc.oneof(
      fc.constantFrom("word", "ü", "日本語", "😀", " ", "  ", "\t", "=?", "?=", "a".repeat(70), ";", "\u0007"),
      fc.string({ unit: "grapheme", maxLength: 3 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        const value = pieces
          .join("")
          .replace(/[\r\n\0]/g, "")
          .trim()
          .toWellFormed();
        const field = createField("X-Field", value);
        const text = field.octets.toString();
        expect(text).toMatch(/^[\x20-\x7e\t\r\n]*$/);
        for (const line of text.slice(0, -2).split("\r\n")) {
          expect(line.length).toBeLessThanOrEqual(998);
          expect(line.trim()).not.toBe("");
        }
        const read = splitMessage(Buffer.from(`${text}\r\n`)).header;
        expect(read.fields).toHaveLength(1);
        expect(read.get("X-Field")).toBe(value);
      }),
      { numRuns: 2000 },
    );
  });

  test("fieldValue gives what was written, not decoded", () => {
    expect(fieldValue(createField("Subject", "ü"))).toBe("=?UTF-8?B?w7w=?=");
  });
});
