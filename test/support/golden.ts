/** Golden files: what a text must be, line by line; `*` in a line stands for anything on that line. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";

/** Compares `text` with test/golden/`name`; line ends of either kind are one. */
export function expectGolden(name: string, text: string): void {
  const golden = readFileSync(new URL(`../golden/${name}`, import.meta.url), "utf8").split("\n");
  const lines = text.split(/\r?\n/);
  const shown = lines.map((line, place) => (matches(golden[place], line) ? golden[place] : line));
  expect(shown.join("\n"), `differs from test/golden/${name}`).toBe(golden.join("\n"));
}

function matches(pattern: string | undefined, line: string): boolean {
  if (pattern === undefined) return false;
  const source = pattern
    .split("*")
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    .join(".*");
  return new RegExp(`^${source}$`, "s").test(line);
}
