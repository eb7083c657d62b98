import { describe, expect, test } from "vitest";
import {
  defer,
  describeVerdict,
  discard,
  drop,
  proceed,
  quarantine,
  refuse,
  settle,
  type Verdict,
  verdictTextOctetsMax,
} from "../../../src/events/verdict.ts";
import type { FaultCode } from "../../../src/platform/fault.ts";
import { faultOf } from "../../support/fault-of.ts";

const good: readonly [why: string, make: () => Verdict, words: string][] = [
  ["proceed", () => proceed, "proceed"],
  ["settle", () => settle, "proceed (settled)"],
  ["refuse without codes", () => refuse("Not here"), "refuse 550 5.7.1 Not here"],
  ["refuse with codes", () => refuse("Too big", { code: 552, status: "5.3.4" }), "refuse 552 5.3.4 Too big"],
  ["refuse with the highest code", () => refuse("x", { code: 599 }), "refuse 599 5.7.1 x"],
  ["refuse with the lowest code", () => refuse("x", { code: 500 }), "refuse 500 5.7.1 x"],
  ["refuse beyond ASCII", () => refuse("Müll"), "refuse 550 5.7.1 Müll"],
  ["defer without codes", () => defer("Later"), "defer 451 4.7.1 Later"],
  ["defer with codes", () => defer("Full", { code: 452, status: "4.3.1" }), "defer 452 4.3.1 Full"],
  ["drop without anything", () => drop(), "drop 421 4.7.0 Closing connection"],
  ["drop for good", () => drop("Go away", { code: 554 }), "drop 554 5.7.0 Go away"],
  ["discard", () => discard("spam"), "discard: spam"],
  ["quarantine", () => quarantine("virus"), "quarantine: virus"],
  ["a text at the limit", () => refuse("x".repeat(verdictTextOctetsMax)), `refuse 550 5.7.1 ${"x".repeat(480)}`],
];
test.each(good)("%s", (_why, make, words) => {
  expect(describeVerdict(make())).toBe(words);
  expect(Object.isFrozen(make())).toBe(true);
});

describe("a verdict that cannot be a reply is refused", () => {
  const bad: readonly [why: string, make: () => Verdict, code: FaultCode][] = [
    ["refuse with 4yz", () => refuse("x", { code: 450 }), "verdict.code"],
    ["refuse with 600", () => refuse("x", { code: 600 }), "verdict.code"],
    ["refuse with 499", () => refuse("x", { code: 499 }), "verdict.code"],
    ["refuse with a fraction", () => refuse("x", { code: 550.5 }), "verdict.code"],
    ["refuse with what is no number", () => refuse("x", { code: Number.NaN }), "verdict.code"],
    ["defer with 5yz", () => defer("x", { code: 550 }), "verdict.code"],
    ["drop with 250", () => drop("x", { code: 250 }), "verdict.code"],
    ["refuse with a status of another class", () => refuse("x", { status: "4.7.1" }), "verdict.status"],
    ["defer with a status of another class", () => defer("x", { status: "5.7.1" }), "verdict.status"],
    ["a status that is none", () => refuse("x", { status: "5.7" }), "verdict.status"],
    ["a status with a line end", () => refuse("x", { status: "5.7.1\r\n250 ok" }), "verdict.status"],
    ["no words", () => refuse(""), "verdict.text"],
    ["blanks for words", () => defer("  "), "verdict.text"],
    ["a line end in the words", () => refuse("x\r\n250 ok"), "verdict.text"],
    ["a line feed in the words", () => refuse("x\n250 ok"), "verdict.text"],
    ["NUL in the words", () => refuse("x\0"), "verdict.text"],
    ["an escape character in the words", () => refuse("\u001b[2J"), "verdict.text"],
    ["a C1 control character in the words", () => refuse("\u0085"), "verdict.text"],
    ["no reason to discard", () => discard(""), "verdict.text"],
    ["a line end in a reason", () => quarantine("a\nb"), "verdict.text"],
    ["words above the limit", () => refuse("x".repeat(verdictTextOctetsMax + 1)), "verdict.text"],
    ["words above the limit in octets", () => refuse("ü".repeat(verdictTextOctetsMax / 2 + 1)), "verdict.text"],
    ["what is no text, from JavaScript", () => refuse(5 as unknown as string), "verdict.text"],
  ];
  test.each(bad)("%s", (_why, make, code) => {
    expect(faultOf(make).code).toBe(code);
  });
});
