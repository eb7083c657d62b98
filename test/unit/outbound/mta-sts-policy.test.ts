/** MTA-STS as it is written: records, policy files, patterns. RFC 8461 §3 and §4.1. */
import { describe, expect, test } from "vitest";
import {
  allowsMx,
  formatStsPolicy,
  parseStsPolicy,
  parseStsRecords,
  patternsLengthMax,
} from "../../../src/outbound/mta-sts-policy.ts";

describe("parseStsRecords", () => {
  test.each<[string, readonly string[], string | null]>([
    ["as usual", ["v=STSv1; id=20260105;"], "20260105"],
    ["without the last delimiter", ["v=STSv1;id=a1"], "a1"],
    ["spaces around", ["v=STSv1 ; \tid=a1 ; "], "a1"],
    ["fields of the future", ["v=STSv1; id=a1; x=y"], "a1"],
    ["the first id counts", ["v=STSv1; id=a1; id=a2;"], "a1"],
    ["other records beside it", ["v=spf1 -all", "v=STSv1; id=a1"], "a1"],
    ["two of them are none", ["v=STSv1; id=a1", "v=STSv1; id=a1"], null],
    ["another version", ["v=STSv2; id=a1"], null],
    ["the version in other case", ["v=stsv1; id=a1"], null],
    ["no id", ["v=STSv1;"], null],
    ["an empty id", ["v=STSv1; id=;"], null],
    ["the longest id", [`v=STSv1; id=${"a".repeat(32)}`], "a".repeat(32)],
    ["too long an id", [`v=STSv1; id=${"a".repeat(33)}`], null],
    ["no field", ["v=STSv1; id=a1; rubbish"], null],
    ["nothing", [], null],
  ])("%s: %j", (_why, records, id) => expect(parseStsRecords(records)).toBe(id));
});

test("parseStsRecords: a record full of blanks is read within two seconds", () => {
  const started = performance.now();
  expect(parseStsRecords([`v=STSv1; id=1; a${" ".repeat(60_000)}b;`])).toBeNull();
  expect(performance.now() - started).toBeLessThan(2000);
});

describe("parseStsPolicy", () => {
  const base = "version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 86400\n";
  const read = { mode: "enforce", mx: ["mx.example.org"], maxAgeSeconds: 86_400 };
  test.each<[string, string, object]>([
    ["as usual", base, read],
    ["CRLF", base.replaceAll("\n", "\r\n"), read],
    ["no space, no last line end", "version:STSv1\nmode:enforce\nmx:mx.example.org\nmax_age:86400", read],
    ["names in any case", base.replace("mx.example.org", "MX.Example.ORG"), read],
    [
      "several patterns",
      `${base}mx: *.example.net\nmx: mx.example.org\n`,
      { ...read, mx: ["mx.example.org", "*.example.net"] },
    ],
    ["unknown fields and odd lines", `${base}x-note: hello\n\nrubbish\n`, read],
    ["the first of two counts", `${base}mode: none\n`, read],
    ["none needs no mx", "version: STSv1\nmode: none\nmax_age: 0", { mode: "none", mx: [], maxAgeSeconds: 0 }],
    ["a year", base.replace("86400", "31557600"), { ...read, maxAgeSeconds: 31_557_600 }],
    ["more than a year is cut", base.replace("86400", "31557601"), { ...read, maxAgeSeconds: 31_557_600 }],
  ])("reads: %s", (_why, text, policy) => expect(parseStsPolicy(text)).toEqual(policy));

  test.each<[string, string, RegExp]>([
    ["empty", "", /^version/],
    ["a page of HTML", "<html>", /^version/],
    ["another version", base.replace("STSv1", "STSv2"), /^version/],
    ["another mode", base.replace("enforce", "Enforce"), /^mode/],
    ["no mode", base.replace("mode: enforce\n", ""), /^mode/],
    ["no max_age", base.replace("max_age: 86400\n", ""), /^max_age/],
    ["max_age with a sign", base.replace("86400", "-1"), /^max_age/],
    ["max_age of eleven digits", base.replace("86400", "00000086400"), /^max_age/],
    ["no mx", base.replace("mx: mx.example.org\n", ""), /^mx/],
    ["a star within", base.replace("mx.example", "mx*.example"), /^mx/],
    ["a star alone", base.replace("mx.example.org", "*"), /^mx/],
    ["an address", base.replace("mx.example.org", "[192.0.2.1]"), /^mx/],
  ])("refuses: %s", (_why, text, words) => {
    expect(parseStsPolicy(text)).toEqual({ invalid: expect.stringMatching(words) });
  });

  test("takes a hundred patterns and not one more", () => {
    const many = (count: number) =>
      base + Array.from({ length: count - 1 }, (_, i) => `mx: mx${i}.example.org\n`).join("");
    expect(parseStsPolicy(many(100))).toHaveProperty("mx.length", 100);
    expect(parseStsPolicy(many(101))).toHaveProperty("invalid");
  });

  test.each([
    ["as many characters as there may be", 0, true],
    ["one more", 1, false],
  ])("takes patterns of %s", (_why, more, taken) => {
    const label = "a".repeat(60);
    const name = (i: number) => `${label}.x${String(i).padStart(18, "0")}`;
    const patterns = Array.from({ length: patternsLengthMax / 80 }, (_, i) => `mx: ${name(i)}${i < more ? "b" : ""}\n`);
    const read = parseStsPolicy(base.replace(/^mx:.*\n/m, "") + patterns.join(""));
    expect("invalid" in read).toBe(!taken);
  });

  const blanks = " ".repeat(60_000);
  test.each([
    ["blanks before what is no value", `${base}mx:${blanks}\r`],
    ["blanks within a value", `${base}mx: a${blanks}b\n`],
    ["blanks within a field nobody knows", `${base}note: a${blanks}b\u2028`],
  ])("a flood is read within two seconds: %s", (_why, text) => {
    const started = performance.now();
    parseStsPolicy(text);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test("formatStsPolicy writes what is read back", () => {
    const policy = { mode: "testing", mx: ["*.example.org", "b.example"], maxAgeSeconds: 7 } as const;
    expect(parseStsPolicy(formatStsPolicy(policy))).toEqual(policy);
  });
});

test.each([
  ["the name", "mx.example.org", "mx.example.org", true],
  ["in any case, with a dot", "mx.example.org", "MX.example.org.", true],
  ["another", "mx.example.org", "mx2.example.org", false],
  ["one label for the star", "*.example.org", "mx.example.org", true],
  ["two labels are not one", "*.example.org", "a.mx.example.org", false],
  ["none is not one", "*.example.org", "example.org", false],
  ["the end of another name", "*.example.org", "mx.badexample.org", false],
  ["a host that calls itself star", "mx.example.org", "*.example.org", false],
] as const)("allowsMx: %s", (_why, pattern, host, allowed) => {
  expect(allowsMx({ mode: "enforce", mx: [pattern], maxAgeSeconds: 1 }, host)).toBe(allowed);
});
