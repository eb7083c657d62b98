/** How the time of regular expressions grows: what is told, what is not, and that the engine agrees. */
import { describe, expect, test } from "vitest";
import { growthOf } from "../../../src/scripting/regex-growth.ts";

describe("growthOf", () => {
  test.each<[why: string, regex: RegExp, around: string]>([
    ["a repetition in a repetition", /(a+)+$/, "a"],
    ["the same with classes", /^(\w+\s?)*$/, "\\w"],
    ["alternatives that are one", /(a|a)*$/, "a"],
    ["alternatives one of which begins as the other", /^(a|ab|b)*c/, "b"],
    ["alternatives that share a character", /^(\w|\d)+$/, "\\w"],
    ["neighbours in a repetition", /(x+x+)+y/, "x"],
    ["blanks around words", /(?:\s*\w+\s*)*;/, "\\w"],
    ["nothing, again and again", /(a*)*b/, "a"],
    ["a count that is high", /(a{1,30}){1,30}b/, "a"],
    ["a count without an end", /([a-z]{2,}){3,}!/, "[a-z]"],
    ["in what is looked for", /(?=(a+)+b)a/, "a"],
    ["in what must not be before", /(?<!(a+)+b)a/, "a"],
    ["where case does not count", /^(a|A)*$/i, "a"],
    ["of other scripts", /^(Ж|\p{L})*$/u, "Ж"],
    ["a line end that may be there", /(?:.+\n?)*$/, "."],
    ["a dot for all", /^(?:.|\n)*x$/s, "."],
    ["what a group by name holds", /^(?<word>\w+)*$/, "\\w"],
    ["classes in classes", /^([[a-z]--[b]]|[ac])*$/v, "[[a-z]--[b]]"],
  ])("tells of %s", (_why, { source, flags }, around) => {
    expect(growthOf(source, flags)).toEqual({ degree: Infinity, around });
  });

  test.each<[why: string, regex: RegExp, degree: number]>([
    ["two rows that begin anywhere", /a*a*b/, 3],
    ["columns", /(.*),(.*),(.*),(.*),/, 5],
    ["columns from the beginning", /^(.*),(.*),(.*),(.*),$/, 4],
    ["a trim by hand", /^\s*(.*?)\s*$/, 3],
  ])("tells the power of %s", (_why, { source, flags }, degree) => {
    expect(growthOf(source, flags)).toMatchObject({ degree });
  });

  test.each<[why: string, regex: RegExp]>([
    ["blanks at the end", /\s+$/],
    ["two rows from the beginning", /^a*a*b/],
    ["markup", /<[^>]*>/g],
    ["an address", /^[\w.+-]+@[\w-]+(\.[\w-]+)*$/],
    ["a domain", /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$/i],
    ["an IPv4 address", /^(?:\d{1,3}\.){3}\d{1,3}$/],
    ["replies", /^((re|aw|fwd?):\s*)+/i],
    ["quotes", /^(?:[^"\\]|\\.)*"$/],
    ["quotes within a list", /("[^"]*"|[^",]*)(,|$)/g],
    ["ends of files", /\.(exe|scr|bat|cmd|com|js|vbs|jar|msi)$/i],
    ["a repetition in a repetition that nothing follows", /(a+)+/],
    ["one whose end may be left out", /(a+)+b?/],
    ["conditions on one place", /^(?=.*\d)(?=.*[a-z]).{4,8}$/],
    ["a repetition of a fixed count", /^(?:[a-z]{4}){4}$/],
    ["alternatives apart from each other", /^(?:[a-z]|[A-Z]|\d)*$/],
    ["a back reference", /(["'])[^"']*\1/],
    ["nothing at all", /(?:)/],
  ])("leaves alone %s", (_why, { source, flags }) => {
    expect(growthOf(source, flags)).toBeNull();
  });

  test.each<[why: string, source: string]>([
    ["none", "("],
    ["too large", "(a|b)".repeat(600)],
    ["a loop too large to look at", `(?:${Array.from({ length: 600 }, () => ".").join("|")})*x`],
  ])("says nothing of one that is %s", (_why, source) => {
    const growth = growthOf(source, "");
    expect(growth === null || growth.degree === Infinity).toBe(true);
  });

  // The steps of the engine cannot be counted; but a text of 26 characters takes a moment by one and nothing by the other.
  test.each<[regex: RegExp, text: string]>([
    [/^(\w+\s?)*$/, `${"a".repeat(26)}!`],
    [/^(a|ab|b)*c/, "ab".repeat(20)],
    [/(?:\s*\w+\s*)*;$/, "a".repeat(24)],
  ])("agrees with the engine on %s", (regex, text) => {
    const ms = (length: number) => {
      const from = performance.now();
      regex.test(text.slice(-length));
      return performance.now() - from;
    };
    ms(8);
    expect(ms(text.length)).toBeGreaterThan(5 * ms(Math.floor(text.length / 2)));
  });
});
