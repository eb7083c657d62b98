import { describe, expect, test } from "vitest";
import { membersMax, parseAliasFile, parseMemberFile } from "../../../src/mail/alias-file.ts";
import { findOutsideQuotes, readEntries, splitItems } from "../../../src/mail/alias-lines.ts";
import { formatMailbox } from "../../../src/mail/mailbox.ts";
import { parseMailboxFile } from "../../../src/mail/mailbox-file.ts";

/** The entries in short: `name sales: ann, bob@example.com`. */
function short(text: string): string[] {
  return parseAliasFile(text).entries.map(({ left, target }) => {
    const right =
      target.kind === "fail"
        ? `:fail:${target.reason}`
        : target.kind === "domain"
          ? `@${target.domain}`
          : target.members
              .map((member) =>
                member.kind === "mailbox"
                  ? formatMailbox(member.mailbox)
                  : member.kind === "name"
                    ? member.localPart
                    : `<${member.path}>`,
              )
              .join(", ");
    return `${left.kind} ${left.key}: ${right}`;
  });
}

describe("parseAliasFile", () => {
  test.each([
    ["a name for a name", "sales: ann", ["name sales: ann"]],
    ["a name in capitals", "Sales: Ann", ["name sales: Ann"]],
    ["several members", "sales: ann, bob@example.com", ["name sales: ann, bob@example.com"]],
    ["one address", "sales@EXAMPLE.test: ann", ["address sales@example.test: ann"]],
    ["a whole domain", "@example.test: ann", ["domain example.test: ann"]],
    ["a domain for a domain", "@old.example: @example.test", ["domain old.example: @example.test"]],
    ["an international domain", "@bücher.example: ann", ["domain xn--bcher-kva.example: ann"]],
    ["a file", "team: :include:team.txt", ["name team: <team.txt>"]],
    ["a file in quotes, for its comma", 'team: ":include:/a,b.txt", ann', ["name team: </a,b.txt>, ann"]],
    ["nobody, with words", "gone: :fail: has left, write to bob", ["name gone: :fail:has left, write to bob"]],
    ["nobody, without words", "gone: :fail:", ["name gone: :fail:"]],
    ["a quoted name with a colon", '"a:b": ann', ["name a:b: ann"]],
    ["a quoted address with a comma", 'x: "a, b"@example.com, c', ['name x: "a, b"@example.com, c']],
    ["an address literal", "x@[IPv6:::1]: ann", ["address x@[ipv6:::1]: ann"]],
    ["lines that go on", "sales: ann,\n  bob,\n\tcarla", ["name sales: ann, bob, carla"]],
    ["lines that go on without commas", "sales: ann\n  bob", ["name sales: ann, bob"]],
    ["comments", "# all\nsales: ann # she\n\n  # more\n  , bob\n", ["name sales: ann, bob"]],
    ["a hash in a name", "a#b: c#d", ["name a#b: c#d"]],
    ["CRLF and a byte order mark", "\ufeffsales: ann\r\nx: y\r\n", ["name sales: ann", "name x: y"]],
    ["nothing", "", []],
  ])("reads %s", (_why, text, expected) => {
    expect(parseAliasFile(text).problems).toEqual([]);
    expect(short(text)).toEqual(expected);
  });

  test.each([
    ["no colon", "sales ann", 1, 1, /no ":"/],
    ["nobody on the right", "sales:", 1, 7, /somebody/],
    ["only commas", "sales: ,,", 1, 7, /somebody/],
    ["no name on the left", ": ann", 1, 1, /in front of the colon/],
    ["two names on the left", "ann, bob: carla", 1, 1, /in front of the colon/],
    ["a bad domain on the left", "@: ann", 1, 1, /domain behind/],
    ["a bad address", "x: ann, b ob", 1, 9, /"b ob"/],
    ["a bad address on a line that goes on", "x: ann,\n   @@", 2, 4, /stands alone/],
    ["a program", "x: |/bin/cat", 1, 4, /programs/],
    ["a program in quotes", 'x: "|/bin/cat a"', 1, 4, /programs/],
    ["a file to write", "x: /var/mail/x", 1, 4, /files and backslashes/],
    ["a backslash", "x: \\x", 1, 4, /backslashes/],
    ["a domain for a name", "x: @example.com", 1, 4, /all of a domain/],
    ["a domain among others", "@a.example: @b.example, ann", 1, 13, /stands alone/],
    ["a domain for itself", "@a.example: @a.example", 1, 13, /itself/],
    ["no path", "x: :include:", 1, 4, /path/],
    ["unknown words between colons", "x: :blackhole:", 1, 4, /:include:/],
    [":fail: among others", "x: ann, :fail: no", 1, 9, /alone/],
    ["words of :fail: that no reply takes", "x: :fail: naïve", 1, 3, /ASCII/],
    ["the same name again", "x: a\nX: b", 2, 1, /line 1 already/],
    ["a line that begins with a blank", "  x: a", 1, 3, /begins with a blank/],
  ])("tells the place of %s", (_why, text, line, column, message) => {
    const { problems } = parseAliasFile(text);
    expect(problems).toEqual([{ line, column, message: expect.stringMatching(message) }]);
  });

  test("takes what is right around a problem, and tells every problem", () => {
    const file = parseAliasFile("a: b\nbad\nc: |x, d\ne: f\n");
    expect(file.problems.map(({ line }) => line)).toEqual([2, 3]);
    expect(file.entries.map(({ left }) => left.key)).toEqual(["a", "e"]);
  });

  test.each([
    ["at", membersMax, 0],
    ["above", membersMax + 1, 1],
  ])("takes members %s the limit or says so", (_why, count, problems) => {
    const names = Array.from({ length: count }, (_, at) => `m${at}`).join(",");
    expect(parseAliasFile(`all: ${names}`).problems).toHaveLength(problems);
    expect(parseMemberFile(names.replaceAll(",", "\n")).problems).toHaveLength(problems);
  });
});

describe("parseMemberFile", () => {
  test("reads one a line, and lists with commas", () => {
    const { members, problems } = parseMemberFile("# team\nann@example.com\nbob, carla\n");
    expect(problems).toEqual([]);
    expect(members).toHaveLength(3);
  });

  test("takes no file within a file", () => {
    expect(parseMemberFile("ann\n:include:x\n").problems).toMatchObject([{ line: 2, column: 1 }]);
  });
});

describe("parseMailboxFile", () => {
  test("reads names and addresses, folded", () => {
    const { names, addresses, problems } = parseMailboxFile("# here\nAnn\nbob@Example.test\n  carla # too\n");
    expect([[...names], [...addresses], problems]).toEqual([["ann", "carla"], ["bob@example.test"], []]);
  });

  test("tells the place of what is no mailbox", () => {
    expect(parseMailboxFile("ann\nb ob\n@x\n").problems.map(({ line, column }) => [line, column])).toEqual([
      [2, 1],
      [3, 1],
    ]);
  });
});

describe("splitItems and findOutsideQuotes", () => {
  test("a quote that is never closed takes the rest", () => {
    expect(findOutsideQuotes('a"b:c', ":")).toBe(5);
    expect(splitItems({ text: '"a,b', line: 1, column: 1 })).toMatchObject([{ text: '"a,b' }]);
  });

  test("an item knows its column", () => {
    expect(splitItems({ text: " a,  b ", line: 3, column: 5 })).toEqual([
      { text: "a", line: 3, column: 6 },
      { text: "b", line: 3, column: 10 },
    ]);
  });

  test("an entry with all its lines is bounded", () => {
    const entries = [...readEntries(`a: b\n${" x,\n".repeat(600_000)}`)];
    expect(entries.length).toBeGreaterThan(1);
  });
});
