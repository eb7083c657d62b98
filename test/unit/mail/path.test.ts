import { describe, expect, test } from "vitest";
import { formatReversePath, parseForwardPath, parseReversePath, pathOctetsMax } from "../../../src/mail/path.ts";
import type { FaultCode } from "../../../src/platform/fault.ts";
import { faultOf } from "../../support/fault-of.ts";

describe("parseForwardPath", () => {
  const good: readonly [why: string, text: string, localPart: string, domain: string][] = [
    ["the usual", "<ann@example.org>", "ann", "example.org"],
    ["without brackets", "ann@example.org", "ann", "example.org"],
    ["a source route is dropped", "<@one.example:ann@example.org>", "ann", "example.org"],
    ["a source route of two is dropped", "<@one.example,@two.example:ann@example.org>", "ann", "example.org"],
    ["a bracket in quotes", '<"a>b"@example.org>', "a>b", "example.org"],
    // The list of relay tricks: every one is either refused or means the domain behind the last "@", which is what policy looks at.
    [
      "relay by per cent: the domain is the last one",
      "<u%other.example@example.org>",
      "u%other.example",
      "example.org",
    ],
    ["relay by source route: the domain is the last one", "<@a.example,@b.example:u@c.example>", "u", "c.example"],
    [
      "relay by quotes: the domain is the last one",
      '<"u@other.example"@example.org>',
      "u@other.example",
      "example.org",
    ],
    ["relay by address literal: it is a domain of its own", "<u@[127.0.0.1]>", "u", "[127.0.0.1]"],
    ["relay by bang: the domain is the last one", "<other.example!u@example.org>", "other.example!u", "example.org"],
  ];
  test.each(good)("%s: %s", (_why, text, localPart, domain) => {
    expect(parseForwardPath(text)).toEqual({ localPart, domain });
  });

  const bad: readonly [why: string, text: string, code: FaultCode][] = [
    ["nothing", "", "address.syntax"],
    ["the null path", "<>", "address.syntax"],
    ["no closing bracket", "<ann@example.org", "path.syntax"],
    ["no opening bracket", "ann@example.org>", "address.syntax"],
    ["text behind the bracket", "<ann@example.org>extra", "path.syntax"],
    ["a second path behind the bracket", "<ann@example.org>,<u@other.example>", "address.syntax"],
    ["a bracket inside", "<ann@example.org>u@other.example>", "address.syntax"],
    ["two brackets", "<<ann@example.org>>", "address.syntax"],
    ["a blank inside", "< ann@example.org>", "address.syntax"],
    ["a source route without mailbox", "<@one.example:>", "address.syntax"],
    ["a source route without domain", "<@:ann@example.org>", "path.syntax"],
    ["a source route with a hop that is none", "<@one.example,two.example:ann@example.org>", "path.syntax"],
    ["a source route with a mailbox for a hop", "<@u@one.example:ann@example.org>", "path.syntax"],
    ["a source route without brackets", "@one.example:ann@example.org", "address.syntax"],
    ["two at signs", "<u@other.example@example.org>", "address.syntax"],
    ["CR and LF", "<ann@example.org>\r\nRCPT TO:<u@other.example>", "address.syntax"],
    ["NUL", "<ann\0@example.org>", "address.syntax"],
  ];
  test.each(bad)("%s is refused: %j", (_why, text, code) => {
    expect(faultOf(() => parseForwardPath(text)).code).toBe(code);
  });

  test("length: at the limit it is read, above it is refused", () => {
    const path = (octets: number) =>
      `<${"u".repeat(64)}@${"d".repeat(60)}.${"d".repeat(60)}.${"d".repeat(octets - 64 - 60 - 60 - 5)}>`;
    expect(path(240)).toHaveLength(240);
    const longest = `<${"u".repeat(64)}@${"d".repeat(63)}.${"d".repeat(63)}.${"d".repeat(pathOctetsMax - 64 - 63 - 63 - 5)}>`;
    expect(longest).toHaveLength(pathOctetsMax);
    expect(parseForwardPath(longest).localPart).toHaveLength(64);
    expect(faultOf(() => parseForwardPath(longest.replace("<", "<@a.example:"))).code).toBe("path.too-long");
    expect(faultOf(() => parseForwardPath("a".repeat(pathOctetsMax + 1))).code).toBe("path.too-long");
  });
});

describe("parseReversePath", () => {
  test("the null reverse-path, as it is written and as libraries hand it on", () => {
    expect(parseReversePath("<>")).toBeNull();
    expect(parseReversePath("")).toBeNull();
    expect(formatReversePath(null)).toBe("<>");
  });
  test("a mailbox, and what is none", () => {
    expect(parseReversePath("<ann@example.org>")).toEqual({ localPart: "ann", domain: "example.org" });
    expect(formatReversePath(parseReversePath("<Ann@EXAMPLE.org>"))).toBe("Ann@example.org");
    expect(faultOf(() => parseReversePath("< >")).code).toBe("address.syntax");
    expect(faultOf(() => parseReversePath("<ann>")).code).toBe("address.syntax");
  });
});
