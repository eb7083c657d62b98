import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { faultCodes } from "../../src/platform/fault.ts";
import { readSourceFiles, root } from "./source-files.ts";

const page = readFileSync(join(root, "docs/faults.md"), "utf8");
const rows = [...page.matchAll(/^\| `([a-z-]+\.[a-z-]+)` \| (\w+) \| ([^|]+) \| ([^|]+) \|$/gm)].map(
  ([, code, blame, means, remedy]) => ({
    code: code!,
    blame: blame!,
    means: means!.trim(),
    remedy: remedy!.trim(),
  }),
);

test("docs/faults.md has every code once, in the order of the registry, with its blame", () => {
  expect(rows.map(({ code, blame }) => [code, blame])).toEqual(Object.entries(faultCodes));
});

test("docs/faults.md says of each code what it means and what to do, in sentences", () => {
  for (const { code, means, remedy } of rows) {
    expect(means, code).toMatch(/^\S.{10,}\.$/);
    expect(remedy, code).toMatch(/^\S.{10,}\.$/);
  }
});

test("codes that the source gives to a Fault or names in a docstring are in the registry", () => {
  const unknown: string[] = [];
  for (const { path, text } of readSourceFiles("src", "sandbox")) {
    for (const match of text.matchAll(/new Fault\(\s*"([^"]+)"/g))
      if (!Object.hasOwn(faultCodes, match[1]!)) unknown.push(`${path}: ${match[1]}`);
    for (const [, list] of text.matchAll(/@throws \{Fault\} ((?:`[^`]+`(?:, )?)+)/g)) {
      for (const [, code] of list!.matchAll(/`([^`]+)`/g))
        if (!Object.hasOwn(faultCodes, code!)) unknown.push(`${path}: @throws ${code}`);
    }
  }
  expect(unknown).toEqual([]);
});
