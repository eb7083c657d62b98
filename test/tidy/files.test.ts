import { describe, expect, test } from "vitest";
import { readSourceFiles } from "./source-files.ts";

const files = readSourceFiles("src", "sandbox", "scripts", "test");
const own = files.filter(({ path }) => /^(?:src|sandbox)\//.test(path));

/** Lines beyond which a file is two files. Tests are long by their tables. */
const linesMax = 400;
const testLinesMax = 600;

// Written in pieces, so that this file is none of those it looks for.
const unfinished = new RegExp(`\\b(?:${["TO" + "DO", "FIX" + "ME", "XX" + "X"].join("|")})\\b`);
const focused = new RegExp(`\\b(?:test|it|describe)(?:\\.\\w+)*\\.${"on" + "ly"}\\b`);

/** Paths of the files of which this is true: an empty list is what is wanted. */
function those(
  list: readonly { readonly path: string; readonly text: string }[],
  isSo: (file: { readonly path: string; readonly text: string }) => boolean,
): string[] {
  return list.filter(isSo).map(({ path }) => path);
}

describe("source files", () => {
  test("are there", () => {
    expect(own.length).toBeGreaterThan(20);
  });

  test("are named for what they hold", () => {
    const banned = /(?:^|[/.-])(?:utils?|helpers?|common|types?|managers?|misc)(?:[./-]|$)/;
    expect(those(files, ({ path }) => banned.test(path))).toEqual([]);
    expect(
      those(files, ({ path }) => !/(?:^|\/)_?[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9-]+)*\.[a-z]+$/.test(path)),
    ).toEqual([]);
    expect(banned.test("src/mail/utils.ts")).toBe(true);
    expect(banned.test("src/mail/string-helpers.ts")).toBe(true);
    expect(banned.test("test/support/tools.ts")).toBe(false);
  });

  test("open with their contract in a comment", () => {
    const opens = (text: string) => /^(?:#!.*\n)?\/(?:\*\*|\/)/.test(text);
    expect(those(own, ({ text }) => !opens(text))).toEqual([]);
    expect(
      those(
        files.filter(({ path }) => /^(?:test\/(?:support|tidy)|scripts)\//.test(path)),
        ({ path, text }) => !path.endsWith(".test.ts") && !opens(text),
      ),
    ).toEqual([]);
  });

  test(`are not longer than ${linesMax} lines, tests ${testLinesMax}`, () => {
    const isLong = (path: string, text: string) =>
      text.trimEnd().split("\n").length > (path.endsWith(".test.ts") ? testLinesMax : linesMax);
    expect(those(files, ({ path, text }) => isLong(path, text))).toEqual([]);
  });

  test("leave nothing for later", () => {
    expect(those(files, ({ text }) => unfinished.test(text))).toEqual([]);
    expect(unfinished.test(`// ${"TO" + "DO"}: x`)).toBe(true);
  });

  test("run all tests", () => {
    expect(those(files, ({ text }) => focused.test(text))).toEqual([]);
    expect(focused.test(`test.${"on" + "ly"}("x", …)`)).toBe(true);
    expect(focused.test(`describe.concurrent.${"on" + "ly"}("x", …)`)).toBe(true);
  });

  test("name no machine of ours", () => {
    const machine = new RegExp(["/wo" + "rk/", "/ho" + "me/\\w", "/Us" + "ers/\\w"].join("|"));
    expect(those(files, ({ text }) => machine.test(text))).toEqual([]);
  });
});
