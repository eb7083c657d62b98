/** The scripts that pages show: each type-checks and loads as it stands there. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compileScript, stopCompiler } from "../../sandbox/compile.ts";
import { Sandbox } from "../../sandbox/host.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { TypeChecker } from "../../src/scripting/typecheck.ts";
import { createScriptFolder, type ScriptFolder } from "../support/scripts.ts";

const pages = ["README.md", "docs/scripts.md", "docs/from-vbscript.md", "docs/grants.md"];
/** What imports a handler's type stands there whole; what does not is a piece of one. */
const shown = pages.flatMap((page) =>
  [...readFileSync(page, "utf8").matchAll(/```ts\n([\s\S]*?)```/g)]
    .map(([, text]) => text!)
    .filter((text) => /import type \{ \w+Handler \} from "onarrival"/.test(text))
    .map((text, i) => [`${page.replace(/^docs\//, "").replace(".md", "")}-${i + 1}.ts`, text] as const),
);

let folder: ScriptFolder;
let sandbox: Sandbox;
beforeAll(async () => {
  folder = await createScriptFolder();
  sandbox = await Sandbox.start({ processes: 1 });
  await folder.write({
    ...Object.fromEntries(shown),
    "lib/addresses.ts": 'export const office = "office@example.org";\n',
  });
});
afterAll(async () => {
  await sandbox.close();
  await stopCompiler();
  await folder.remove();
});

test("pages show scripts: it is not nothing that is looked at", () => {
  expect(shown.length).toBeGreaterThanOrEqual(15);
});

test("all scripts on pages type-check", async () => {
  const checker = new TypeChecker({ clock: systemClock });
  try {
    const files = shown.map(([name]) => join(folder.root, name));
    expect(await checker.check(files)).toEqual({ kind: "checked", problems: [] });
  } finally {
    await checker.close();
  }
});

describe("a script on a page", () => {
  test.each(shown)("loads: %s", async (name) => {
    const compiled = await compileScript({ root: folder.root, file: join(folder.root, name) });
    expect((await sandbox.load(compiled)).handlers.length).toBeGreaterThan(0);
  });
});
