/** Configuration that README and docs/ show: each piece of TOML loads as it stands there. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { loadConfig } from "../../../src/config/load.ts";

const root = join(import.meta.dirname, "../../..");
const folder = mkdtempSync(join(tmpdir(), "pages-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const pages = ["README.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)].filter((path) =>
  path.endsWith(".md"),
);
const pieces = pages.flatMap((page) =>
  [...readFileSync(join(root, page), "utf8").matchAll(/^```toml\n(.*?)^```/gms)].map(([, toml], at) => ({
    page,
    at: at + 1,
    toml: toml!,
  })),
);

describe("loadConfig", () => {
  test("is shown configuration on these pages", () => {
    expect(pieces.length).toBeGreaterThan(15);
  });

  test.each(pieces)("takes the TOML of $page, piece $at", ({ toml }) => {
    const file = join(folder, "onarrival.toml");
    writeFileSync(file, toml);
    expect(loadConfig({ env: {}, cwd: folder }).file).toBe(file);
  });
});
