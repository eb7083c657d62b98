/** `onarrival types`: what it writes, what it says of it, and how a site's declarations are told to be of another edition. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { refreshDeclarations, staleDeclarations } from "../../../src/cli/declarations.ts";
import { UsageError } from "../../../src/cli/failure.ts";
import { init } from "../../../src/cli/init.ts";
import { scriptCompilerOptions } from "../../../src/scripting/declarations.ts";
import { findCompiler } from "../../../src/scripting/typecheck.ts";
import { recordTerminal } from "../../support/terminal.ts";

let site: string;
const at = (name: string) => join(site, name);
const edit = (name: string, change: (text: string) => string) =>
  writeFileSync(at(name), change(readFileSync(at(name), "utf8")));

async function refresh(json = false) {
  const context = recordTerminal({ cwd: site });
  const status = await refreshDeclarations(".", { json }, context);
  return { status, out: context.outText(), err: context.errText() };
}

beforeEach(() => {
  site = mkdtempSync(join(tmpdir(), "onarrival-site-"));
});
afterEach(() => rmSync(site, { recursive: true }));

describe("refreshDeclarations", () => {
  test("makes what an editor needs where there is nothing", async () => {
    mkdirSync(at("scripts"));
    writeFileSync(
      at("scripts/a.ts"),
      'import type { ArrivalHandler } from "onarrival";\nexport const onArrival: ArrivalHandler = (mail) => mail.settle();\n',
    );
    const { status, out, err } = await refresh();
    expect(status).toBe(0);
    expect(out).toMatch(/^\.onarrival\/api\.d\.ts +new$/m);
    expect(out).toMatch(/^\.onarrival\/web\.d\.ts +new$/m);
    expect(out).toMatch(/^tsconfig\.json +new$/m);
    expect(err).toBe("");
    expect(execFileSync(findCompiler()!, ["-p", site], { encoding: "utf8" })).toBe("");
  });

  test("leads the editor to the scripts folder of the configuration", async () => {
    writeFileSync(at("onarrival.toml"), '[scripts]\nfolder = "./mail/handlers"\n');
    await refresh();
    expect(JSON.parse(readFileSync(at("tsconfig.json"), "utf8")).include).toEqual([
      "mail/handlers",
      ".onarrival/*.d.ts",
    ]);
  });

  test("says what changed, and nothing where nothing did", async () => {
    await refresh();
    edit(".onarrival/api-mail.d.ts", (text) =>
      text
        .replace("readonly isProtected: boolean;", "readonly isLocked: boolean;")
        .replace("appendHtml(html: string)", "appendHtml(html: boolean)"),
    );
    rmSync(at(".onarrival/web.d.ts"));
    writeFileSync(at(".onarrival/api.ts"), "// of an earlier edition\n");
    const { out, err } = await refresh();
    expect(out).toMatch(/api-mail\.d\.ts +changed +\+ Mail\.isProtected, - Mail\.isLocked, ~ Mail\.appendHtml$/m);
    expect(out).toMatch(/web\.d\.ts +new$/m);
    expect(out).toMatch(/\.onarrival\/api\.ts +removed$/m);
    expect(err).toMatch(/^\d+ files are as they are in this edition\n$/);
    expect(existsSync(at(".onarrival/api.ts"))).toBe(false);
    expect((await refresh()).out).toBe("");
  });

  test("says it as JSON, a line for each file", async () => {
    await refresh();
    edit(".onarrival/api-mail.d.ts", (text) => text.replace("readonly isProtected: boolean;", ""));
    const lines = (await refresh(true)).out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.find(({ state }) => state === "changed")).toEqual({
      file: ".onarrival/api-mail.d.ts",
      state: "changed",
      added: ["Mail.isProtected"],
      removed: [],
      changed: [],
    });
    expect(lines.every(({ state }) => state === "same" || state === "changed")).toBe(true);
  });

  test("leaves a tsconfig.json alone, and says what it lacks", async () => {
    writeFileSync(at("tsconfig.json"), "{}\n");
    const { err } = await refresh();
    expect(err).toContain("tsconfig.json does not name .onarrival/api.d.ts, and was left as it is");
    expect(err).toContain('"./.onarrival/api.d.ts"');
    expect(readFileSync(at("tsconfig.json"), "utf8")).toBe("{}\n");
  });

  test("wants a folder that is there, and may be written", async () => {
    const context = recordTerminal({ cwd: site });
    await expect(refreshDeclarations("nowhere", {}, context)).rejects.toThrow(UsageError);
    writeFileSync(at(".onarrival"), "");
    await expect(refreshDeclarations(".", {}, context)).rejects.toThrow(/^Cannot write the declarations in /);
  });
});

describe("staleDeclarations", () => {
  test("is nothing where there are none, and where they are of this edition", async () => {
    mkdirSync(at("scripts"));
    expect(await staleDeclarations(at("scripts"))).toBeNull();
    await refresh();
    expect(await staleDeclarations(at("scripts"))).toBeNull();
  });

  test.each<[why: string, change: () => void]>([
    ["is otherwise", () => edit(".onarrival/api.d.ts", (text) => `${text}\n`)],
    ["is missing", () => rmSync(at(".onarrival/api-context.d.ts"))],
  ])("tells the site where one %s", async (_why, change) => {
    await refresh();
    change();
    expect(await staleDeclarations(at("scripts"))).toBe(site);
  });
});

test("onarrival init makes declarations of this edition, and the options the server checks with", async () => {
  const context = recordTerminal({ cwd: site });
  await init("new", context);
  expect(await staleDeclarations(at("new/scripts"))).toBeNull();
  expect(JSON.parse(readFileSync(at("new/tsconfig.json"), "utf8")).compilerOptions).toMatchObject(
    scriptCompilerOptions,
  );
  expect(context.outText()).toContain("new/.onarrival/api.d.ts");
  expect(context.outText()).not.toContain("api-mail.d.ts");
  expect(execFileSync(findCompiler()!, ["-p", at("new")], { encoding: "utf8" })).toBe("");
});

test("the project's own scripts are checked with the same options", () => {
  const own = JSON.parse(readFileSync(join(import.meta.dirname, "../../../scripts/tsconfig.json"), "utf8"));
  expect(own.compilerOptions).toMatchObject(scriptCompilerOptions);
});
