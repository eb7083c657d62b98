/** `onarrival init --example`: what is copied, where to, and what is left alone. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { init } from "../../../src/cli/init.ts";
import { recordTerminal } from "../../support/terminal.ts";
import { root } from "../../tidy/source-files.ts";

let folder: string;
const at = (name: string) => join(folder, name);
const asked = async (...example: string[]) => {
  const context = recordTerminal({ cwd: folder });
  await init("site", context, { example });
  return context.outText();
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "onarrival-example-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("init with an example makes the site and copies script and tests as they are, wherever they come from", async () => {
  const out = await asked("greylist", "disclaimer.ts");
  expect(out).toContain(join("site", "onarrival.toml"));
  expect(out).toContain(`${join("site", "scripts", "greylist.ts")}  Sends away whom we do not know yet`);
  for (const [name, from] of [
    ["greylist", "scripts/examples"],
    ["disclaimer", "scripts"],
  ]) {
    const source = join(root, from!, name!);
    expect(readFileSync(at(`site/scripts/${name}.ts`), "utf8")).toBe(readFileSync(`${source}.ts`, "utf8"));
    expect(readdirSync(at(`site/scripts/${name}.test`))).toEqual(readdirSync(`${source}.test`));
  }
});

test("init with an example in a site that is there copies it alone, into the folder of its configuration", async () => {
  mkdirSync(at("site"));
  writeFileSync(at("site/onarrival.toml"), '[scripts]\nfolder = "./handlers"\n');
  await asked("alias", "alias");
  expect(readdirSync(at("site")).sort()).toEqual(["handlers", "onarrival.toml"]);
  expect(readdirSync(at("site/handlers")).sort()).toEqual(["alias.test", "alias.ts"]);
});

test("init with several examples, one of which is there, overwrites nothing and copies none", async () => {
  await asked("alias");
  writeFileSync(at("site/scripts/alias.ts"), "// mine\n");
  await expect(asked("greylist", "alias")).rejects.toThrow(/alias\.ts, alias\.test are there already/);
  expect(readFileSync(at("site/scripts/alias.ts"), "utf8")).toBe("// mine\n");
  expect(existsSync(at("site/scripts/greylist.ts"))).toBe(false);
});

test("init with a name that is no example makes no site, and says which there are", async () => {
  await expect(asked("greylst")).rejects.toMatchObject({
    message: expect.stringContaining("expected alias, archive-copy"),
    hint: "Did you mean greylist?",
  });
  expect(existsSync(at("site"))).toBe(false);
});
