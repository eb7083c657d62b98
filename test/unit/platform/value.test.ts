/** Kinds of option values: what each takes, at, below and above its bounds, and what it expects in words. */
import { describe, expect, test } from "vitest";
import { domains, hostName } from "../../../src/config/value-net.ts";
import {
  choice,
  choices,
  count,
  duration,
  flag,
  formatDuration,
  formatSize,
  ipAddress,
  nearestWord,
  size,
  table,
  text,
  type ValueKind,
} from "../../../src/platform/value.ts";
import { networkList as networks } from "../../../src/sinks/property-kind.ts";

const mib = 1024 * 1024;
const sizes = size({ min: 1024, max: 25 * mib });
const durations = duration({ minMs: 1_000, maxMs: 86_400_000 });
const counts = count({ min: 1, max: 10 });

const taken: readonly [why: string, kind: ValueKind<unknown>, raw: unknown, value: unknown][] = [
  ["a number is octets", sizes, 2048, 2048],
  [
    "networks",
    networks,
    ["192.0.2.1", "192.0.2.0/24", "2001:db8::/32"],
    ["192.0.2.1", "192.0.2.0/24", "2001:db8::/32"],
  ],
  ["no network", networks, [], []],
  ["the least size", sizes, "1KiB", 1024],
  ["the largest size", sizes, "25MiB", 25 * mib],
  ["decimal units", sizes, "10MB", 10_000_000],
  ["a unit after a space", sizes, "2 KiB", 2048],
  ["units without regard to case", sizes, "2kib", 2048],
  ["half a unit", sizes, "1.5KiB", 1536],
  ["octets with their unit", sizes, "1024B", 1024],
  ["the shortest duration", durations, "1s", 1_000],
  ["the longest duration", durations, "1d", 86_400_000],
  ["milliseconds", durations, "1500ms", 1_500],
  ["half an hour", durations, "0.5h", 1_800_000],
  ["the least count", counts, 1, 1],
  ["the largest count", counts, 10, 10],
  ["a flag", flag, false, false],
  ["a word of the set", choice("role", ["mx", "submission"]), "mx", "mx"],
  ["words of the set", choices("event", ["onArrival", "onHelo"]), ["onHelo", "onArrival"], ["onHelo", "onArrival"]],
  ["a domain in lower case", domains, ["Example.TEST"], ["example.test"]],
  ["an IDN in its ASCII form", domains, ["bücher.example"], ["xn--bcher-kva.example"]],
  ["no domain at all", domains, [], []],
  ["a host name", hostName, "mx.example.org", "mx.example.org"],
  ["an IPv6 address", ipAddress, "::1", "::1"],
  ["any text", text("a text"), "x y", "x y"],
  ["a table as it is", table, { a: [1] }, { a: [1] }],
];

const refused: readonly [why: string, kind: ValueKind<unknown>, raw: unknown, expected: string][] = [
  ["below the least size", sizes, 1023, 'a size such as "25MiB", from 1KiB to 25MiB'],
  ["above the largest size", sizes, 25 * mib + 1, 'a size such as "25MiB", from 1KiB to 25MiB'],
  ["an unknown unit", sizes, "25 parsec", 'a size such as "25MiB", from 1KiB to 25MiB'],
  ["a negative size", sizes, "-5KiB", 'a size such as "25MiB", from 1KiB to 25MiB'],
  ["a size that is a flag", sizes, true, 'a size such as "25MiB", from 1KiB to 25MiB'],
  ["a unit that is a property of every object", sizes, "5constructor", 'a size such as "25MiB", from 1KiB to 25MiB'],
  ["a duration without a unit", durations, 5, 'a duration such as "5s", from 1s to 1d'],
  ["a duration below the least", durations, "999ms", 'a duration such as "5s", from 1s to 1d'],
  ["a duration above the longest", durations, "25h", 'a duration such as "5s", from 1s to 1d'],
  ["a count below the least", counts, 0, "a whole number from 1 to 10"],
  ["a count above the largest", counts, 11, "a whole number from 1 to 10"],
  ["a count that is not whole", counts, 1.5, "a whole number from 1 to 10"],
  ["a count in quotes", counts, "5", "a whole number from 1 to 10"],
  ["a flag in quotes", flag, "true", "true or false"],
  ["a word outside the set", choice("role", ["mx", "submission"]), "relay", '"mx" or "submission"'],
  ["an empty list of words", choices("event", ["onArrival"]), [], "a list of events"],
  [
    "a list with something that is no domain",
    domains,
    ["ok.test", "not a domain"],
    'a list of domains ("not a domain" is none)',
  ],
  [
    "a list with something that is no network",
    networks,
    ["192.0.2.1", "192.0.2.0/33"],
    'a list of addresses and blocks such as ["192.0.2.0/24"] ("192.0.2.0/33" is none)',
  ],
  ["every network", networks, ["*"], 'a list of addresses and blocks such as ["192.0.2.0/24"] ("*" is none)'],
  ["a domain that is no list", domains, "example.test", 'a list of domains such as ["example.test"]'],
  ["a host name with a space", hostName, "a b", "a host name"],
  ["an address out of range", ipAddress, "256.1.1.1", "an IPv4 or IPv6 address"],
  ["a text of two lines", text("a text"), "x\ny", "a text"],
  ["an empty text", text("a text"), "", "a text"],
  ["a list for a table", table, [], "a table"],
];

describe("ValueKind.parse", () => {
  test.each(taken)("takes %s", (_why, kind, raw, value) => {
    expect(kind.parse(raw)).toEqual({ value });
  });

  test.each(refused)("refuses %s", (_why, kind, raw, expected) => {
    expect(kind.parse(raw)).toMatchObject({ expected });
    expect(kind.parse(raw)).not.toHaveProperty("value");
  });

  test("reads back what format wrote", () => {
    for (const [kind, value] of [
      [sizes, 1536],
      [durations, 90_000],
      [counts, 7],
      [flag, true],
      [domains, ["a.test"]],
    ] as const) {
      const written = (kind as ValueKind<unknown>).format(value);
      expect((kind as ValueKind<unknown>).parse(JSON.parse(written))).toEqual({ value });
    }
  });

  test("names the word that was meant", () => {
    expect(choice("role", ["mx", "submission"]).parse("submision")).toMatchObject({ nearest: "submission" });
  });
});

test.each([
  ["numbers", counts, "7", 7],
  ["words that are no number", counts, "seven", "seven"],
  ["flags", flag, "true", true],
  ["lists by commas", domains, "a.test, b.test", ["a.test", "b.test"]],
  ["an empty list", domains, "", []],
])("ValueKind.fromText reads %s", (_why, kind, written, raw) => {
  expect((kind as ValueKind<unknown>).fromText(written)).toEqual(raw);
});

test.each([
  ["a letter is missing", "hostnam", "hostname"],
  ["two letters changed places", "polrt", "port"],
  ["neighbours are swapped", "prot", "port"],
  ["a dash for an underscore", "line-ends", "line_ends"],
  ["the program's own name with its unit", "size_octets_max", "size_max"],
  ["the program's own name in one word", "idleTimeoutMs", "idle_timeout"],
  ["nothing is near", "zebra", undefined],
])("nearestWord: %s", (_why, written, nearest) => {
  expect(nearestWord(written, ["hostname", "port", "line_ends", "size_max", "idle_timeout", "recipients_max"])).toBe(
    nearest,
  );
});

test("formatSize and formatDuration use the largest unit that is exact", () => {
  expect([1536, 1024, 3 * mib, 1024 * mib, 5].map(formatSize)).toEqual(["1536B", "1KiB", "3MiB", "1GiB", "5B"]);
  expect([1, 1_500, 60_000, 5_400_000, 432_000_000].map(formatDuration)).toEqual(["1ms", "1500ms", "1m", "90m", "5d"]);
});
