import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  displayDomain,
  domainOctetsMax,
  formatMailbox,
  localPartOctetsMax,
  normalizeDomain,
  parseMailbox,
  sameMailbox,
  tryParseMailbox,
} from "../../../src/mail/mailbox.ts";
import type { FaultCode } from "../../../src/platform/fault.ts";
import { faultOf } from "../../support/fault-of.ts";

const label63 = "d".repeat(63);
const domain253 = `${label63}.${label63}.${label63}.${"d".repeat(61)}`;

describe("parseMailbox", () => {
  const good: readonly [why: string, text: string, localPart: string, domain: string][] = [
    ["the usual", "ann@example.org", "ann", "example.org"],
    ["the local part keeps its case, the domain does not", "Ann@Example.ORG", "Ann", "example.org"],
    ["every character of atext", "!#$%&'*+-/=?^_`{|}~a1@example.org", "!#$%&'*+-/=?^_`{|}~a1", "example.org"],
    ["dots between atoms", "a.b.c@example.org", "a.b.c", "example.org"],
    [
      "a per cent sign is a character like others, not a route",
      "u%other.example@example.org",
      "u%other.example",
      "example.org",
    ],
    ["an exclamation mark is a character like others, not a route", "other!u@example.org", "other!u", "example.org"],
    ["a quoted string is unquoted", '"a b"@example.org', "a b", "example.org"],
    ["an at sign in quotes stays in the local part", '"u@other.example"@example.org', "u@other.example", "example.org"],
    ["quoted pairs", '"a\\"b\\\\c"@example.org', 'a"b\\c', "example.org"],
    ["a quoted at sign behind a quoted quote", '"a\\"@b"@example.org', 'a"@b', "example.org"],
    ["a domain of one label", "ann@localhost", "ann", "localhost"],
    ["a domain in digits", "ann@192.0.2.1", "ann", "192.0.2.1"],
    ["an IPv4 literal", "ann@[192.0.2.1]", "ann", "[192.0.2.1]"],
    ["an IPv6 literal", "ann@[IPv6:2001:DB8::1]", "ann", "[ipv6:2001:db8::1]"],
    ["an international domain becomes ASCII", "ann@bücher.example", "ann", "xn--bcher-kva.example"],
    ["an international local part", "jürgen@example.org", "jürgen", "example.org"],
    ["an ideographic full stop is a dot", "ann@例え。example", "ann", "xn--r8jz45g.example"],
    ["the longest local part", `${"a".repeat(localPartOctetsMax)}@example.org`, "a".repeat(64), "example.org"],
    ["the longest domain", `ann@${domain253}`, "ann", domain253],
  ];
  test.each(good)("%s: %s", (_why, text, localPart, domain) => {
    expect(parseMailbox(text)).toEqual({ localPart, domain });
    expect(parseMailbox(formatMailbox({ localPart, domain }))).toEqual({ localPart, domain });
  });

  const bad: readonly [why: string, text: string, code: FaultCode][] = [
    ["nothing", "", "address.syntax"],
    ["no at sign", "ann", "address.syntax"],
    ["no local part", "@example.org", "address.syntax"],
    ["an empty quoted local part", '""@example.org', "address.syntax"],
    ["no domain", "ann@", "address.syntax"],
    ["two at signs", "ann@other.example@example.org", "address.syntax"],
    ["a source route", "@other.example:ann@example.org", "address.syntax"],
    ["a blank in the local part", "a b@example.org", "address.syntax"],
    ["a blank in front", " ann@example.org", "address.syntax"],
    ["a blank behind", "ann@example.org ", "address.syntax"],
    ["a dot in front", ".ann@example.org", "address.syntax"],
    ["a dot behind", "ann.@example.org", "address.syntax"],
    ["two dots", "a..b@example.org", "address.syntax"],
    ["a colon", "a:b@example.org", "address.syntax"],
    ["a bracket", "ann>@example.org", "address.syntax"],
    ["angle brackets", "<ann@example.org>", "address.syntax"],
    ["a name in front", "Ann <ann@example.org>", "address.syntax"],
    ["a comment", "ann(x)@example.org", "address.syntax"],
    ["CR and LF in the local part", "a\r\nb@example.org", "address.syntax"],
    ["CR and LF in a quoted local part", '"a\r\nb"@example.org', "address.syntax"],
    ["CR and LF in the domain", "ann@example.org\r\nRCPT", "address.syntax"],
    ["CR and LF at the end", "ann@example.org\r\n", "address.syntax"],
    ["NUL", "a\0b@example.org", "address.syntax"],
    ["a quote never closed", '"ann@example.org', "address.syntax"],
    ["a quote in the middle", 'a"b"@example.org', "address.syntax"],
    ["text behind a quote", '"a"b@example.org', "address.syntax"],
    ["half a character", "\ud800@example.org", "address.syntax"],
    ["half a character in quotes", '"\udc00"@example.org', "address.syntax"],
    ["an empty label", "ann@a..example", "address.syntax"],
    ["a dot at the end of the domain", "ann@example.org.", "address.syntax"],
    ["a hyphen in front of a label", "ann@-a.example", "address.syntax"],
    ["a hyphen behind a label", "ann@a-.example", "address.syntax"],
    ["an underscore in the domain", "ann@a_b.example", "address.syntax"],
    ["a port", "ann@example.org:25", "address.syntax"],
    ["a path behind an international domain", "ann@bücher.example/x", "address.syntax"],
    ["percent code in an international domain", "ann@b%75ch.exämple", "address.syntax"],
    ["an IPv4 literal with a number too large", "ann@[999.0.0.1]", "address.syntax"],
    ["an IPv6 literal that is none", "ann@[IPv6:::::]", "address.syntax"],
    ["an IPv6 literal without its tag", "ann@[2001:db8::1]", "address.syntax"],
    ["a literal never closed", "ann@[192.0.2.1", "address.syntax"],
    ["text behind a literal", "ann@[192.0.2.1]x", "address.syntax"],
    ["a label of 64", `ann@${"a".repeat(64)}.example`, "address.syntax"],
    ["a local part of 65 octets", `${"a".repeat(localPartOctetsMax + 1)}@example.org`, "address.too-long"],
    ["a local part of 66 octets in 33 characters", `${"ü".repeat(33)}@example.org`, "address.too-long"],
    ["a domain of 256 octets", `ann@${"a.".repeat(127)}ab`, "address.too-long"],
    ["273 KB without an at sign", "a".repeat(273 * 1024), "address.syntax"],
    ["273 KB of quotes", '"'.repeat(273 * 1024), "address.syntax"],
    ["273 KB of dots", `${"a.".repeat(136 * 1024)}@example.org`, "address.syntax"],
  ];
  test.each(bad)("%s is refused", (_why, text, code) => {
    const started = performance.now();
    const fault = faultOf(() => parseMailbox(text));
    expect(fault.code).toBe(code);
    expect(fault.message.length).toBeLessThan(300);
    expect(fault.message).not.toMatch(/[\r\n\0]/);
    expect(performance.now() - started).toBeLessThan(1000);
    expect(tryParseMailbox(text)).toBeUndefined();
  });

  test("the longest domain of 255 octets is one", () => {
    const domain = `${"a.".repeat(127)}b`;
    expect(domain).toHaveLength(domainOctetsMax);
    expect(parseMailbox(`ann@${domain}`).domain).toBe(domain);
  });

  test("what was read and written again is the same mailbox, for any text that is one", () => {
    const local = fc.string({
      minLength: 1,
      maxLength: 20,
      unit: fc.constantFrom("a", "B", ".", " ", '"', "\\", "@", "%", "ü", "+", "<", ">", ","),
    });
    fc.assert(
      fc.property(local, fc.domain(), (localPart, domain) => {
        const mailbox = { localPart, domain };
        const written = formatMailbox(mailbox);
        if (Buffer.byteLength(written.slice(0, written.lastIndexOf("@"))) > localPartOctetsMax) return;
        expect(parseMailbox(written)).toEqual(mailbox);
      }),
    );
  });
});

test("sameMailbox: domains and local parts compare without case", () => {
  expect(sameMailbox(parseMailbox("Ann@EXAMPLE.org"), parseMailbox("aNN@example.org"))).toBe(true);
  expect(sameMailbox(parseMailbox('"ann"@example.org'), parseMailbox("ann@example.org"))).toBe(true);
  expect(sameMailbox(parseMailbox("ann@example.org"), parseMailbox("ann@example.com"))).toBe(false);
  expect(sameMailbox(parseMailbox("ann@example.org"), parseMailbox("bob@example.org"))).toBe(false);
});

test("normalizeDomain and displayDomain are each other's way back", () => {
  expect(normalizeDomain("BÜCHER.example")).toBe("xn--bcher-kva.example");
  expect(displayDomain("xn--bcher-kva.example")).toBe("bücher.example");
  expect(displayDomain("example.org")).toBe("example.org");
  expect(displayDomain("[192.0.2.1]")).toBe("[192.0.2.1]");
  expect(normalizeDomain("")).toBeUndefined();
});
