import { chmod, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { compileScript, listScripts, stopCompiler } from "../../../sandbox/compile.ts";
import { type ScriptFault, ScriptFaultError } from "../../../sandbox/protocol.ts";
import { createScriptFolder, type ScriptFolder } from "../../support/scripts.ts";

let folder: ScriptFolder;
beforeEach(async () => {
  folder = await createScriptFolder();
});
afterEach(() => folder.remove());
afterAll(() => stopCompiler());

const handler = "export const onArrival = () => {};\n";

async function faultOf(file: string, root = folder.root): Promise<ScriptFault> {
  const thrown = await compileScript({ root, file: join(root, file) }).catch((error: unknown) => error);
  expect(thrown).toBeInstanceOf(ScriptFaultError);
  return (thrown as ScriptFaultError).fault;
}

describe("compileScript", () => {
  it("bundles a script with what it imports, and tells every file that went in", async () => {
    await folder.write({
      "a.ts":
        'import type { ArrivalHandler } from "onarrival";\nimport { list } from "./lib/list.js";\nimport data from "./lib/data.json";\nexport const onArrival: ArrivalHandler = () => { list.push(data.name); };\n',
      "lib/list.ts": "export const list: string[] = [];\n",
      "lib/data.json": '{ "name": "x" }',
    });
    const script = await compileScript({ root: folder.root, file: join(folder.root, "a.ts") });
    expect(script.name).toBe("scripts/a.ts");
    expect(script.version).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(script.inputs).toEqual(["a.ts", "lib/data.json", "lib/list.ts"].map((name) => join(folder.root, name)));
    expect(JSON.parse(script.sourceMap).sources.sort()).toEqual([
      "scripts/a.ts",
      "scripts/lib/data.json",
      "scripts/lib/list.ts",
    ]);
    expect(script.code).not.toContain("require");
    expect(script.code).not.toContain(folder.root);
  });

  it("gives another version for another text of any file, and the same for the same", async () => {
    await folder.write({ "a.ts": `import "./b.ts";\n${handler}`, "b.ts": "globalThis.x = 1;\n" });
    const compile = () => compileScript({ root: folder.root, file: "a.ts" });
    const first = await compile();
    expect((await compile()).version).toBe(first.version);
    await folder.write({ "b.ts": "globalThis.x = 2;\n" });
    expect((await compile()).version).not.toBe(first.version);
  });

  it("takes another name for messages", async () => {
    await folder.write({ "a.ts": "export const x = ;\n" });
    const thrown = await compileScript({ root: folder.root, file: "a.ts", displayName: "my script" }).catch(
      (error: unknown) => error,
    );
    expect((thrown as ScriptFaultError).fault.at).toBe("my script:1:18");
  });

  it("picks up no configuration of others", async () => {
    await folder.write({
      "a.ts": handler,
      "tsconfig.json": '{ "extends": "./nowhere.json", "compilerOptions": { "target": "es5" } }',
      "package.json": '{ "type": "commonjs", "main": 3 }',
    });
    await writeFile(join(dirname(folder.root), "tsconfig.json"), "broken");
    expect((await compileScript({ root: folder.root, file: "a.ts" })).code).toContain("=>");
  });

  it("takes a byte order mark and a first line for shells", async () => {
    await folder.write({ "a.ts": `\ufeff#!/usr/bin/env node\n${handler}` });
    expect((await compileScript({ root: folder.root, file: "a.ts" })).code).not.toContain("#!");
  });

  it.each([
    ["syntax", "a.ts", "export const onArrival = (mail => {\n", "script.compile", "scripts/a.ts:2:1", "Unexpected end"],
    [
      "columns are characters",
      "a.ts",
      'const ü = "ß"; const = 1;\n',
      "script.compile",
      "scripts/a.ts:1:22",
      "Expected",
    ],
    [
      "several errors",
      "a.ts",
      "let a; let a; let b; let b;\n",
      "script.compile",
      "scripts/a.ts:1:12",
      "and one more error",
    ],
    ["top-level await", "a.ts", `await 1;\n${handler}`, "script.compile", "scripts/a.ts:1:1", "await"],
    ["an error in an imported file", "a.ts", `import "./b.ts";\n`, "script.compile", "scripts/b.ts:1:5", ""],
    [
      "a value from the types",
      "a.ts",
      `import { log } from "onarrival";\nexport const onArrival = () => log;\n`,
      "script.import",
      "scripts/a.ts:1:21",
      "import type",
    ],
    [
      "Node, with prefix",
      "a.ts",
      `\nimport { x } from "node:fs";\nexport const onArrival = () => x;\n`,
      "script.import",
      "scripts/a.ts:2:19",
      "part of Node",
    ],
    [
      "Node, without",
      "a.js",
      `import fs from "fs/promises";\nexport const onArrival = fs;\n`,
      "script.import",
      "scripts/a.js:1:16",
      "part of Node",
    ],
    [
      "a package",
      "a.ts",
      'import "@scope/left-pad";\n',
      "script.package",
      "scripts/a.ts:1:8",
      "not allowed: add it to packages",
    ],
    ["a URL", "a.ts", 'import "https://example.com/x.js";\n', "script.import", "scripts/a.ts:1:8", "URL"],
    ["outside", "a.ts", 'import "../secret.ts";\n', "script.import", "scripts/a.ts:1:8", "outside"],
    [
      "outside by a folder that is inside",
      "a.ts",
      'import "./lib/../../secret.ts";\n',
      "script.import",
      "scripts/a.ts:1:8",
      "outside",
    ],
    ["absolute", "a.ts", 'import "/etc/passwd";\n', "script.import", "scripts/a.ts:1:8", "absolute"],
    ["not there", "a.ts", 'import "./nowhere";\n', "script.import", "scripts/a.ts:1:8", "There is no file nowhere.ts"],
    ["another kind of file", "a.ts", 'import "./notes.txt";\n', "script.import", "scripts/a.ts:1:8", ""],
    ["a folder", "a.ts", 'import "./lib";\n', "script.import", "scripts/a.ts:1:8", ""],
    ["require", "a.ts", 'const x = require("./b.ts");\n', "script.import", "scripts/a.ts:1:19", "modules"],
    [
      "import() of a known name",
      "a.ts",
      'export const onArrival = () => import("fs");\n',
      "script.import",
      "scripts/a.ts:1:39",
      "part of Node",
    ],
  ])("refuses: %s", async (_why, name, text, code, at, words) => {
    await folder.write({ "b.ts": "let 1;\n", "notes.txt": "x", "lib/x.ts": "", [name]: text });
    await writeFile(join(dirname(folder.root), "secret.ts"), "export const secret = 1;");
    const fault = await faultOf(name);
    expect(fault).toMatchObject({ code, at, message: expect.stringContaining(words) });
    expect(JSON.stringify(fault)).not.toContain(folder.root);
  });

  it("refuses links: the script, an imported file, and a folder on the way", async () => {
    const outside = join(dirname(folder.root), "outside");
    await folder.write({
      "../outside/secret.ts": "export const secret = 1;\n",
      "by-folder.ts": 'import "./linked/secret.ts";\n',
      "by-file.ts": 'import "./linked.ts";\n',
    });
    await symlink(join(outside, "secret.ts"), join(folder.root, "linked.ts"));
    await symlink(outside, join(folder.root, "linked"));
    expect(await faultOf("linked.ts")).toMatchObject({
      code: "script.file",
      message: expect.stringContaining("symbolic link"),
    });
    expect(await faultOf("by-file.ts")).toMatchObject({
      code: "script.import",
      message: expect.stringContaining("symbolic link"),
    });
    expect(await faultOf("by-folder.ts")).toMatchObject({
      code: "script.import",
      message: expect.stringContaining("symbolic link"),
    });
  });

  it("takes a scripts folder that is itself reached by a link", async () => {
    await folder.write({ "a.ts": handler });
    const link = join(dirname(folder.root), "link");
    await symlink(folder.root, link);
    const script = await compileScript({ root: link, file: join(link, "a.ts") });
    expect(script).toMatchObject({ name: "link/a.ts", inputs: [join(link, "a.ts")] });
  });

  it("refuses what is too large, too many, missing, or no file", async () => {
    await folder.write({
      "fits.ts": `${handler}//`.padEnd(262_144, "x"),
      "large.ts": `${handler}//`.padEnd(262_145, "x"),
      "folder.ts/x": "",
    });
    expect((await compileScript({ root: folder.root, file: "fits.ts" })).name).toBe("scripts/fits.ts");
    expect(await faultOf("large.ts")).toMatchObject({
      code: "script.file",
      message: "large.ts is larger than 256 KiB",
    });
    expect(await faultOf("nowhere.ts")).toMatchObject({ code: "script.file", message: "There is no file nowhere.ts" });
    expect(await faultOf("folder.ts")).toMatchObject({ code: "script.file", message: "folder.ts is no regular file" });
    const many = Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`many/m${i}.ts`, ""]));
    await folder.write({
      ...many,
      "many.ts": Array.from({ length: 99 }, (_, i) => `import "./many/m${i}.ts";\n`).join("") + handler,
    });
    expect((await compileScript({ root: folder.root, file: "many.ts" })).inputs).toHaveLength(100);
    await folder.write({
      "many.ts": Array.from({ length: 100 }, (_, i) => `import "./many/m${i}.ts";\n`).join("") + handler,
    });
    expect(await faultOf("many.ts")).toMatchObject({
      code: "script.file",
      message: expect.stringContaining("100 files"),
    });
  });

  it("says when a file may not be read", async (context) => {
    if (process.getuid?.() === 0) {
      console.warn("NOT RUN: a file without read permission (root may read everything; run the tests as another user)");
      return context.skip();
    }
    await folder.write({ "a.ts": handler });
    await chmod(join(folder.root, "a.ts"), 0);
    expect(await faultOf("a.ts")).toMatchObject({
      code: "script.file",
      message: "a.ts cannot be read: permission denied",
    });
  });
});

describe("listScripts", () => {
  it("gives files that are scripts, and nothing else", async () => {
    await folder.write({
      "b.js": "",
      "a.ts": "",
      "c.mts": "",
      "d.mjs": "",
      "types.d.ts": "",
      ".hidden.ts": "",
      "notes.txt": "",
      "lib/x.ts": "",
      "folder.ts/x": "",
    });
    await symlink(join(folder.root, "a.ts"), join(folder.root, "link.ts"));
    expect(await listScripts(folder.root)).toEqual(
      ["a.ts", "b.js", "c.mts", "d.mjs"].map((name) => join(folder.root, name)),
    );
  });

  it("rejects where there is no folder", async () => {
    await expect(listScripts(join(folder.root, "nowhere"))).rejects.toThrow("ENOENT");
  });
});
