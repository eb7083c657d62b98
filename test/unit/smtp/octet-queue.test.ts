import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OctetQueue } from "../../../src/smtp/octet-queue.ts";
import { cut } from "./session-driver.ts";

/** All lines that are there, in the order they come. */
function linesOf(pieces: readonly Buffer[], octetsMax: number): unknown[] {
  const queue = new OctetQueue();
  const lines: unknown[] = [];
  for (const piece of pieces) {
    queue.push(piece);
    for (let line = queue.takeLine(octetsMax); line !== null; line = queue.takeLine(octetsMax)) lines.push(line);
  }
  return lines;
}

describe("OctetQueue", () => {
  test.each<[why: string, text: string, lines: unknown[]]>([
    ["lines", "a\r\nb\r\n", ["a", "b"]],
    ["an empty line", "\r\n", [""]],
    ["none without its end", "a\r", []],
    ["a lone LF and a lone CR as they are", "a\nb\rc\r\n", ["a\nb\rc"]],
    ["CR CR LF", "a\r\r\n", ["a\r"]],
    ["a line at the limit", "12345678\r\n", ["12345678"]],
    ["one above it", "123456789\r\na\r\n", [{ trouble: "overlong" }, "a"]],
    ["one far above it", `${"x".repeat(100)}\r\na\r\n`, [{ trouble: "overlong" }, "a"]],
    ["octets beyond ASCII, a character each", "\xe4\r\n", ["\xe4"]],
  ])("takes %s, wherever it is cut", (_why, text, lines) => {
    const octets = Buffer.from(text, "latin1");
    expect(linesOf([octets], 10)).toEqual(lines);
    for (let at = 1; at < octets.length; at++) {
      expect(linesOf([octets.subarray(0, at), octets.subarray(at)], 10)).toEqual(lines);
    }
    expect(
      linesOf(
        [...octets].map((octet) => Buffer.of(octet)),
        10,
      ),
    ).toEqual(lines);
  });

  test("calls a line endless that does not end, and keeps little of it", () => {
    const queue = new OctetQueue();
    let thrown = 0;
    while (queue.takeLine(100) === null) {
      queue.push(Buffer.alloc(1_000, "x"));
      thrown += 1_000;
      expect(queue.length).toBeLessThanOrEqual(1_000);
    }
    expect(thrown).toBe(66_000);
    queue.clear();
    queue.push(Buffer.from("a\r\n"));
    expect(queue.takeLine(100)).toBe("a");
  });

  test("takes a long line that comes octet by octet behind another", () => {
    const octets = Buffer.from(`a\r\n${"0123456789".repeat(100)}\r\nb\r\n`);
    const single = [...octets.subarray(5)].map((octet) => Buffer.of(octet));
    expect(linesOf([octets.subarray(0, 5), ...single], 2_000)).toEqual(["a", "0123456789".repeat(100), "b"]);
  });

  test("hands out octets and lines in turn, none lost and none twice", () => {
    const text = fc
      .array(fc.constantFrom("ab", "\r\n", "\r", "\n", "c"), { maxLength: 30 })
      .map((words) => words.join(""));
    const turns = fc.array(fc.nat(6), { maxLength: 40 });
    fc.assert(
      fc.property(text, fc.array(fc.nat(60), { maxLength: 8 }), turns, (all, places, takes) => {
        const queue = new OctetQueue();
        for (const piece of cut(Buffer.from(all), places)) queue.push(piece);
        let taken = "";
        for (const octets of takes) {
          const line = octets === 0 ? queue.takeLine(1_000) : null;
          if (typeof line === "string") taken += `${line}\r\n`;
          const front = queue.front(octets);
          taken += front?.toString() ?? "";
          queue.drop(front?.length ?? 0);
          expect(queue.length).toBe(all.length - taken.length);
        }
        expect(all.startsWith(taken)).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });
});
