/** npm packages in scripts: which may be imported, how they are found, and what they are told who cannot be. */
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { compileScript, stopCompiler } from "../../../sandbox/compile.ts";
import { type ScriptFault, ScriptFaultError } from "../../../sandbox/protocol.ts";
import { createScriptFolder, type ScriptFolder } from "../../support/scripts.ts";

let folder: ScriptFolder;
beforeEach(async () => {
  folder = await createScriptFolder();
});
afterEach(() => folder.remove());
afterAll(() => stopCompiler());

/** Writes files beside the scripts folder: of packages, `dep/index.js`. */
async function install(files: Readonly<Record<string, string>>, place = join(dirname(folder.root), "node_modules")) {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(place, name)), { recursive: true });
    await writeFile(join(place, name), text);
  }
}

const manifest = (name: string, more: object = {}) => JSON.stringify({ name, version: "1.2.3", ...more });

async function compile(text: string, packages: readonly string[]) {
  await folder.write({ "a.ts": `${text}\nexport const onArrival = () => {};\n` });
  return compileScript({ root: folder.root, file: "a.ts", packages });
}

async function faultOf(text: string, packages: readonly string[]): Promise<ScriptFault> {
  const thrown = await compile(text, packages).catch((error: unknown) => error);
  expect(thrown).toBeInstanceOf(ScriptFaultError);
  return (thrown as ScriptFaultError).fault;
}

describe("compileScript, packages", () => {
  it("takes one that is listed, with what it depends on, and says which went in", async () => {
    await install({
      "dep/package.json": manifest("dep", { exports: { import: "./esm.js", require: "./cjs.js" } }),
      "dep/esm.js": 'import { deeper } from "@scope/deeper"; import "./more.js"; export const dep = "esm " + deeper;',
      "dep/more.js": "globalThis.more = 'of dep';",
      "@scope/deeper/package.json": manifest("@scope/deeper", { main: "lib/main.cjs" }),
      "@scope/deeper/lib/main.cjs": "exports.deeper = require('./data.json').name;",
      "@scope/deeper/lib/data.json": '{ "name": "deepest" }',
    });
    const script = await compile('import { dep } from "dep"; console.log(dep);', ["dep"]);
    for (const word of ["esm", "deepest", "of dep"]) expect(script.code).toContain(word);
    expect(script.packages).toEqual(["@scope/deeper@1.2.3", "dep@1.2.3"]);
    expect(script.inputs).toEqual([join(folder.root, "a.ts")]);
    expect(Object.keys(script.sources)).toEqual(["scripts/a.ts"]);
    expect(JSON.parse(script.sourceMap).sources).toContain("node_modules/dep/esm.js");
  });

  it.each([
    [
      "what is for workers comes first",
      { exports: { worker: "./worker.js", browser: "./browser.js", default: "./node.js" } },
      "worker",
    ],
    ["what is for browsers before the rest", { exports: { node: "./node.js", browser: "./browser.js" } }, "browser"],
    ["the field browser", { main: "./node.js", browser: "./browser.js" }, "browser"],
    ["the field module", { main: "./node.js", module: "./browser.js" }, "browser"],
    ["the field main", { main: "./worker.js" }, "worker"],
  ])("%s", async (_why, more, wanted) => {
    await install({
      "dep/package.json": manifest("dep", more),
      ...Object.fromEntries(
        ["worker", "browser", "node"].map((name) => [`dep/${name}.js`, `export const it = "for ${name}";`]),
      ),
    });
    expect((await compile('import { it } from "dep"; console.log(it);', ["dep"])).code).toContain(`for ${wanted}`);
  });

  it("leaves out what a package does not want in browsers", async () => {
    await install({
      "dep/package.json": manifest("dep", { main: "main.js", browser: { fs: false, "./file.js": false } }),
      "dep/main.js": "const fs = require('fs'); require('./file.js'); exports.it = 'there';",
      "dep/file.js": "never();",
    });
    const { code } = await compile('import { it } from "dep"; console.log(it);', ["dep"]);
    expect(code).toContain("there");
    expect(code).not.toContain("never");
  });

  it("takes one by a link, and one of the folder above", async () => {
    await install(
      { "store/dep/package.json": manifest("dep"), "store/dep/index.js": "export const it = 'linked';" },
      dirname(folder.root),
    );
    await mkdir(join(dirname(folder.root), "node_modules"));
    await symlink("../store/dep", join(dirname(folder.root), "node_modules", "dep"));
    expect((await compile('import { it } from "dep"; console.log(it);', ["dep"])).code).toContain("linked");
  });

  it("gives another version where a file of a package is another", async () => {
    await install({ "dep/package.json": manifest("dep"), "dep/index.js": "export const it = 1;" });
    const text = 'import { it } from "dep"; console.log(it);';
    const first = await compile(text, ["dep"]);
    expect((await compile(text, ["dep"])).version).toBe(first.version);
    await install({ "dep/index.js": "export const it = 2;" });
    expect((await compile(text, ["dep"])).version).not.toBe(first.version);
  });

  it.each<readonly [why: string, text: string, files: Readonly<Record<string, string>>, words: string]>([
    ["it is not listed", 'import "other";', {}, '"other" is not allowed: add it to packages'],
    ["a part of it, and it is not listed", 'import "@a/b/c";', {}, '"@a/b" is not allowed'],
    ["it is not installed", 'import "dep";', {}, "run npm install dep"],
    [
      "it has no such part",
      'import "dep/no";',
      { "dep/package.json": manifest("dep"), "dep/index.js": "" },
      '"dep/no" of the package "dep" is not there',
    ],
    [
      "what it needs is not installed",
      'import "dep";',
      { "dep/package.json": manifest("dep"), "dep/index.js": 'import "gone";' },
      'The package dep imports "gone"',
    ],
    [
      "it needs Node",
      'import "dep";',
      { "dep/package.json": manifest("dep"), "dep/index.js": 'import "node:fs";' },
      'The package dep needs "node:fs", which is part of Node',
    ],
    [
      "it needs Node by the old name",
      'import "dep";',
      { "dep/package.json": manifest("dep"), "dep/index.js": 'require("child_process");' },
      'needs "child_process"',
    ],
    [
      "it leads out of itself",
      'import "dep";',
      { "dep/package.json": manifest("dep"), "dep/index.js": 'import "../../scripts/a.ts";' },
      "leads out of its package",
    ],
    [
      "it is no code",
      'import "dep/style.css";',
      { "dep/package.json": manifest("dep"), "dep/style.css": "a {}" },
      "only .js, .mjs, .cjs and .json",
    ],
    [
      "it is too large",
      'import "dep";',
      { "dep/package.json": manifest("dep"), "dep/index.js": `//${"x".repeat(4_194_303)}` },
      "too large",
    ],
  ])("says what to do where %s", async (_why, text, files, words) => {
    await install(files);
    const fault = await faultOf(text, ["dep"]);
    expect(fault).toMatchObject({ code: "script.package", message: expect.stringContaining(words) as string });
    expect(fault.at).toMatch(/^(?:scripts\/a\.ts|node_modules\/dep\/index\.js):1:\d+$/);
  });

  it("takes a file of as many octets as there may be", async () => {
    await install({ "dep/package.json": manifest("dep"), "dep/index.js": `//${"x".repeat(4_194_302)}` });
    expect((await compile('import "dep";', ["dep"])).packages).toEqual(["dep@1.2.3"]);
  });

  it.each([
    ["require", 'require("dep");', "scripts are modules"],
    ["a module of Cloudflare's", 'import "cloudflare:sockets";', '"cloudflare:email"'],
    ["Node", 'import "node:fs";', "part of Node"],
  ])("has nothing to do with %s in a script", async (_why, text, words) => {
    await install({ "dep/package.json": manifest("dep"), "dep/index.js": "" });
    expect(await faultOf(text, ["dep"])).toMatchObject({
      code: "script.import",
      message: expect.stringContaining(words) as string,
    });
  });
});
