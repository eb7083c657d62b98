/** The page of who was tried is what the tests say. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runProgram } from "../support/site.ts";
import { interopPage } from "./page.ts";

test("docs/interop.md is what the tests' names say; else run `node test/interop/page.ts --write`", async () => {
  const { stdout } = await runProgram(process.execPath, [join(import.meta.dirname, "page.ts")], {
    env: { PATH: process.env.PATH ?? "" },
  });
  expect(readFileSync(interopPage, "utf8")).toBe(stdout);
});
