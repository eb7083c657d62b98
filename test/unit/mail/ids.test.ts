import { describe, expect, test } from "vitest";
import { createId, deriveId, idPattern } from "../../../src/mail/ids.ts";

describe("createId", () => {
  test("gives ids of the pattern, ten thousand of one moment all different", () => {
    const ids = Array.from({ length: 10_000 }, () => createId(1_800_000_000_000));
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(idPattern);
  });

  test("sorts by time", () => {
    const moments = [0, 1, 31, 32, 1023, 1024, 1_700_000_000_000, 1_700_000_000_001, 1_900_000_000_000, 32 ** 9 - 1];
    const ids = moments.map(createId);
    expect([...ids].sort()).toEqual(ids);
  });

  test("takes a clock that has fractions of a millisecond", () => {
    expect(createId(1_700_000_000_000.75)).toMatch(idPattern);
  });
});

test("deriveId gives an id of the same time: one and the same for one text, another for another", () => {
  const id = createId(1_800_000_000_000);
  const derived = deriveId(id, "a@example.org");
  expect(derived).toMatch(idPattern);
  expect(derived.slice(0, 9)).toBe(id.slice(0, 9));
  expect(deriveId(id, "a@example.org")).toBe(derived);
  expect(new Set([id, derived, deriveId(id, "b@example.org"), deriveId(derived, "a@example.org")]).size).toBe(4);
});

const strangers: readonly [why: string, text: string][] = [
  ["a path", "../../etc/passwd"],
  ["too short", "0123456789ABCDE"],
  ["too long", "0123456789ABCDEFG"],
  ["lower case", "0123456789abcdef"],
  ["a letter that is none of ours", "0123456789ABCDEI"],
  ["a line end behind", "0123456789ABCDEF\n"],
  ["nothing", ""],
];
test.each(strangers)("idPattern: %s is no id", (_why, text) => {
  expect(idPattern.test(text)).toBe(false);
});
