/** Address lists of header fields, as people and programs write them. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseAddressList } from "../../../src/mail/address-list.ts";
import { formatMailbox } from "../../../src/mail/mailbox.ts";
import { Fault } from "../../../src/platform/fault.ts";
import { faultOf } from "../../support/fault-of.ts";

describe("parseAddressList", () => {
  test.each<[why: string, text: string, mailboxes: readonly string[]]>([
    ["nothing", "", []],
    ["one", "ann@example.org", ["ann@example.org"]],
    ["in brackets, behind a name", "Ann B. <ann@example.org>", ["ann@example.org"]],
    ["a quoted name with a comma and a bracket", '"B, <Ann>" <ann@example.org>', ["ann@example.org"]],
    ["an escaped quote in a name", '"a \\" b, c" <ann@example.org>', ["ann@example.org"]],
    ["several", "a@example.org, B <b@example.org>,c@example.org", ["a@example.org", "b@example.org", "c@example.org"]],
    ["semicolons between them", "a@example.org; b@example.org;", ["a@example.org", "b@example.org"]],
    ["commas with nothing between", ",, a@example.org,,", ["a@example.org"]],
    ["comments, one in another", "(x (y, z) \\) ) a@example.org (b@example.org)", ["a@example.org"]],
    [
      "a group",
      "Team: a@example.org, b@example.org; c@example.org",
      ["a@example.org", "b@example.org", "c@example.org"],
    ],
    ["an empty group", "undisclosed-recipients:;", []],
    ["a quoted local part", '"a, b"@example.org', ['"a, b"@example.org']],
    ["an at sign in a quoted local part", '"a@b"@example.org', ['"a@b"@example.org']],
    ["an address literal with colons", "a@[IPv6:2001:db8::1]", ["a@[ipv6:2001:db8::1]"]],
    ["a source route", "<@relay.example,@b.example:a@example.org>", ["a@example.org"]],
    ["blanks around dots and the at sign", "a . b @ example . org", ["a.b@example.org"]],
    ["an international address", "Jörg <jörg@bücher.example>", ["jörg@xn--bcher-kva.example"]],
  ])("reads %s", (_why, text, mailboxes) => {
    expect(parseAddressList(text).map(formatMailbox)).toEqual(mailboxes);
  });

  test.each<[why: string, text: string]>([
    ["no address", "Ann"],
    ["a name in front of a bare address", "Ann ann@example.org"],
    ["words behind an address", "<ann@example.org> Ann"],
    ["brackets without an end", "Ann <ann@example.org"],
    ["an end without brackets", "ann@example.org>"],
    ["brackets in brackets", "<a<b@example.org>>"],
    ["nothing in brackets", "Ann <>"],
    ["a quoted string without end", '"Ann <ann@example.org>'],
    ["a comment without end", "ann@example.org (Ann"],
    ["a literal without end", "ann@[192.0.2.1"],
    ["a colon behind an address", "ann@example.org: b@example.org;"],
    ["a domain that is none", "ann@exa mple"],
    ["a local part of 65 octets", `${"a".repeat(65)}@example.org`],
    ["a line end within", "a@example.org\r\nRCPT TO:<b@example.org>"],
  ])("refuses %s", (_why, text) => {
    expect(faultOf(() => parseAddressList(text)).code).toBe("submission.malformed");
  });

  test.each([
    ["a local part", `<a${" ".repeat(100_000)}b@example.org>`],
    ["a domain", `a@b${"\t".repeat(100_000)}c`],
    ["a quoted local part", `"a"${" ".repeat(100_000)}b@example.org`],
  ])("a flood of blanks in %s is read within two seconds", (_why, text) => {
    const started = performance.now();
    expect(faultOf(() => parseAddressList(text)).code).toBe("submission.malformed");
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test("gives mailboxes or a fault for any text, and nothing else", () => {
    const piece = fc.constantFrom(...'<>(),;:"\\@. [a]é\t', "a@example.org", "IPv6:");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        try {
          return Array.isArray(parseAddressList(pieces.join("")));
        } catch (error) {
          return error instanceof Fault && error.code === "submission.malformed";
        }
      }),
    );
  });
});
