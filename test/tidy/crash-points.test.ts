import { expect, test } from "vitest";
import { crashPoints } from "../../src/platform/crash-point.ts";
import { readSourceFiles } from "./source-files.ts";

test("every crash point is passed somewhere in the source", () => {
  const text = readSourceFiles("src")
    .map((file) => file.text)
    .join("\n");
  // Those of the spool are put together of the kind of an operation and the moment.
  const silent = crashPoints.filter(
    (point) =>
      !text.includes(`crashPoint("${point}")`) &&
      !/^spool\.(accept|record|replace)\.(before-commit|committed)$/.test(point),
  );
  expect(silent).toEqual([]);
});
