/** Places of keys in TOML texts, whatever way they are written. */
import fc from "fast-check";
import { parse, stringify } from "smol-toml";
import { describe, expect, test } from "vitest";
import { type KeyPath, locateKeys } from "../../../src/config/locate.ts";

const toml = `# a comment with key = 1
top = "x"
  indented = 'y'
[table]
key = 1
dotted.inner = 2
"quoted key" = 3
inline = { a = 1, b = { c = "}" } }
list = [
  1, # one
  { deep = true },
  [2, 3],
]
[table.sub]
text = """
not = "a key"
[neither]
"""
literal = '''
"""'''
date = 2026-11-02T09:30:00Z
[[items]]
name = "first"
[items.part]
x = 1
[[items]]
name = "second"
[items.part]
x = 2
`;

describe("locateKeys", () => {
  const places = locateKeys(toml);

  test.each<[why: string, path: KeyPath, line: number, column: number]>([
    ["a key at the top", ["top"], 2, 1],
    ["a key behind white space", ["indented"], 3, 3],
    ["a table's header", ["table"], 4, 1],
    ["a key in a table", ["table", "key"], 5, 1],
    ["the inner part of a dotted key", ["table", "dotted", "inner"], 6, 8],
    ["a quoted key", ["table", "quoted key"], 7, 1],
    ["a key of an inline table", ["table", "inline", "a"], 8, 12],
    ["a key of an inline table in another", ["table", "inline", "b", "c"], 8, 25],
    ["an item of a list", ["table", "list", 0], 10, 3],
    ["a key of a table in a list", ["table", "list", 1, "deep"], 11, 5],
    ["a key behind a long string", ["table", "sub", "literal"], 19, 1],
    ["a key behind quotes in a literal string", ["table", "sub", "date"], 21, 1],
    ["the second of an array of tables", ["items", 1], 26, 1],
    ["a key of the first", ["items", 0, "name"], 23, 1],
    ["a key of a table below the second", ["items", 1, "part", "x"], 29, 1],
  ])("finds %s", (_why, path, line, column) => {
    expect(places.has(path)).toBe(true);
    expect(places.of(path)).toEqual({ line, column });
  });

  test("gives the place of the table around a key that is not written", () => {
    expect(places.of(["items", 1, "missing"])).toEqual({ line: 26, column: 1 });
    expect(places.has(["items", 1, "missing"])).toBe(false);
    expect(places.of(["nowhere"])).toBeUndefined();
  });

  test("takes no key out of a string", () => {
    expect(places.has(["not"])).toBe(false);
    expect(places.has(["neither"])).toBe(false);
  });

  test("finds every key of whatever the TOML writer writes", () => {
    const key = fc.oneof(
      fc.constantFrom("a", "b", "key", "a.b", "c d", "é", 'q"', "'"),
      fc.string({ minLength: 1, maxLength: 6, unit: "grapheme-ascii" }),
    );
    const leaf = fc.oneof(
      fc.integer(),
      fc.boolean(),
      fc.string({ maxLength: 12 }),
      fc.constantFrom("# no", '"""', "a\nb = 1", "[x]"),
    );
    const tree = fc.letrec((tie) => ({
      table: fc.dictionary(
        key,
        fc.oneof({ depthSize: "small" }, leaf, tie("table"), fc.array(leaf, { maxLength: 3 })),
        { maxKeys: 4, noNullPrototype: true },
      ),
    })).table;
    fc.assert(
      fc.property(tree, (value) => {
        const text = stringify(value as Record<string, never>);
        const found = locateKeys(text);
        for (const path of pathsOf(parse(text))) {
          // An escape in a quoted key is told as it is written, and not looked up by this test.
          if (path.some((step) => typeof step === "string" && /["\\]/.test(JSON.stringify(step).slice(1, -1))))
            continue;
          expect(found.has(path), `${JSON.stringify(path)} in\n${text}`).toBe(true);
        }
      }),
    );
  });
});

function pathsOf(value: unknown, path: KeyPath = []): KeyPath[] {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Date) return [];
  return Object.entries(value).flatMap(([key, inner]) => [[...path, key], ...pathsOf(inner, [...path, key])]);
}
