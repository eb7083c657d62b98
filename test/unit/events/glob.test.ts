import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compileGlob, foldCase, matchesGlob } from "../../../src/events/glob.ts";

describe("matchesGlob", () => {
  test("agrees with a matcher that tries everything", () => {
    const pattern = fc
      .array(fc.constantFrom("a", "b", "*", "ab", "B"), { maxLength: 10 })
      .map((pieces) => pieces.join(""));
    const text = fc.array(fc.constantFrom("a", "b", "A", "ab"), { maxLength: 14 }).map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(pattern, text, (globText, value) => {
        const glob = compileGlob({ text: globText, literalStars: null, quoted: false });
        expect(matchesGlob(glob, foldCase(value))).toBe(tryEverything(globText.toLowerCase(), value.toLowerCase()));
      }),
      { numRuns: 5000 },
    );
  });

  test("takes time in proportion to the text, on the input that hurts a naive search", () => {
    const glob = compileGlob({ text: `*${"a".repeat(2000)}b*`, literalStars: null, quoted: false });
    const text = "a".repeat(1_000_000);
    const started = process.cpuUsage();
    expect(matchesGlob(glob, text)).toBe(false);
    const { user } = process.cpuUsage(started);
    // About 5 ms of computing; a naive search compares two thousand million characters.
    expect(user / 1000).toBeLessThan(500);
  });
});

function tryEverything(glob: string, text: string): boolean {
  if (glob === "") return text === "";
  if (glob[0] === "*") return tryEverything(glob.slice(1), text) || (text !== "" && tryEverything(glob, text.slice(1)));
  return text !== "" && glob[0] === text[0] && tryEverything(glob.slice(1), text.slice(1));
}
