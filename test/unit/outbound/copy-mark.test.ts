/** Names of copies: a sender chooses the addresses, and must not be able to put one copy in the place of another. */
import { expect, test } from "vitest";
import { copyMark } from "../../../src/outbound/copy-mark.ts";

test("copyMark is the same for the same recipients in the same order, and another for others", () => {
  const [ann, bob] = ["ann", "bob"].map((localPart) => ({ localPart, domain: "example.test" }));
  expect(copyMark([ann!, bob!])).toBe(copyMark([ann!, bob!]));
  expect(new Set([[ann!], [bob!], [ann!, bob!], [bob!, ann!]].map(copyMark)).size).toBe(4);
  expect(copyMark([ann!])).toMatch(/^[0-9A-F]{32}$/);
});

test("copyMark tells as many addresses apart as a sender can try", () => {
  const tried = 200_000;
  const marks = new Set<string>();
  for (let at = 0; at < tried; at++) marks.add(copyMark([{ localPart: `ann+${at}`, domain: "example.test" }]));
  expect(marks.size).toBe(tried);
});
