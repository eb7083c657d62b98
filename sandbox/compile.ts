/**
 * From files in the scripts folder to one script that an isolate can run: esbuild bundles the file with what it imports. Nothing decides about
 * that but the sources themselves: no tsconfig, no package.json, no plugin of others. The compiler is a process of its own, and killable.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { basename, dirname, extname, join, relative, resolve } from "node:path";
import type { BuildFailure, BuildOptions, Loader, Message, OnResolveArgs, Plugin } from "esbuild";
import { emptyNamespace, Packages, packageResolution } from "./packages.ts";
import { plainLine } from "./plain-line.ts";
import { type CompiledScript, type ScriptFault, ScriptFaultError } from "./protocol.ts";
import { isBelow, readScriptFile, ScriptFileError } from "./script-files.ts";
import { testFileEnd } from "./test-module.ts";

export { listScripts } from "./script-files.ts";

export interface CompileOptions {
  /** The scripts folder. */
  readonly root: string;
  /** The script, below `root`. */
  readonly file: string;
  /** Its text, in the place of what the file holds: a draft has the version it will have. */
  readonly source?: string;
  /** What the script is called in messages; `scripts/x.ts` for a folder named so without it. */
  readonly displayName?: string;
  /** npm packages it may import; none without it. */
  readonly packages?: readonly string[];
  /** It is a file of tests: `onarrival/test` is there, and what runs them is put behind its text. */
  readonly isTest?: boolean;
}

/** Files that go into one script. */
const filesMax = 100;
const compileMsMax = 10_000;
const codeOctetsMax = 8_388_608;
const endings = ["", ".ts", ".mts", ".js", ".mjs", ".json"] as const;
const loaders: Readonly<Record<string, Loader>> = {
  ".ts": "ts",
  ".mts": "ts",
  ".js": "js",
  ".mjs": "js",
  ".json": "json",
};

const virtualNamespace = "virtual";
const testModule = "onarrival/test";
/** What a worker imports its messages from; they are read by guest/web-mail.ts. */
const virtualModules: Readonly<Record<string, string>> = {
  "cloudflare:email":
    "export class EmailMessage { constructor(from, to, raw) { this.from = from; this.to = to; this.raw = raw; } }",
};

type CompileCode = "script.compile" | "script.file" | "script.import" | "script.package";

/** @throws {ScriptFaultError} `script.compile`, `script.file`, `script.import`, `script.package`, with `at` where there is a place */
export async function compileScript(options: CompileOptions): Promise<CompiledScript> {
  const root = resolve(options.root);
  const file = resolve(root, options.file);
  const name = options.displayName ?? displayNameOf(root, file);
  const sources = new Map<string, string>();
  try {
    sources.set(file, options.source ?? (await readScriptFile(root, file)));
  } catch (thrown) {
    throw asFault("script.file", thrown instanceof Error ? thrown.message : "cannot be read");
  }
  const shown = (path: string) => (path === file ? name : displayNameOf(root, path));
  const packages = new Packages(root, options.packages ?? []);
  const output = await bundle(root, { file, sources, packages, isTest: options.isTest === true }, shown);
  if (Buffer.byteLength(output.code) > codeOctetsMax)
    throw asFault("script.file", `${name} compiles to more than ${codeOctetsMax / 1_048_576} MiB`);
  return {
    name,
    version: versionOf(root, new Map([...sources, ...packages.files])),
    code: output.code,
    sourceMap: output.sourceMap,
    inputs: [...sources.keys()].sort(),
    sources: Object.fromEntries([...sources].map(([path, text]) => [shown(path), text])),
    packages: packages.names,
  };
}

/** Ends the compiler's process, which is started with the first script. */
export async function stopCompiler(): Promise<void> {
  const { stop } = await import("esbuild");
  await stop();
}

/** What goes in: the script, what it imports, and what that imports of packages. */
interface Inputs {
  readonly file: string;
  readonly sources: Map<string, string>;
  readonly packages: Packages;
  readonly isTest: boolean;
}

async function bundle(
  root: string,
  inputs: Inputs,
  shown: (path: string) => string,
): Promise<{ readonly code: string; readonly sourceMap: string }> {
  const { build } = await import("esbuild");
  const options = {
    absWorkingDir: root,
    entryPoints: [inputs.file],
    outfile: join(root, "script.js"),
    write: false,
    bundle: true,
    format: "iife",
    globalName: "onarrivalScript",
    // As which packages are found: with their field `browser`. What is told about production is what they ask.
    platform: "browser",
    define: { "process.env.NODE_ENV": '"production"' },
    target: "esnext",
    charset: "utf8",
    sourcemap: "external",
    sourcesContent: false,
    legalComments: "none",
    logLevel: "silent",
    // Given, so that no file of that name is looked for.
    tsconfigRaw: { compilerOptions: { target: "esnext", useDefineForClassFields: true, strict: true } },
    mainFields: [...packageResolution.mainFields],
    conditions: [...packageResolution.conditions],
    plugins: [scriptFolder(root, inputs)],
  } satisfies BuildOptions;
  const running = build(options);
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(asFault("script.compile", `Compiling took longer than ${compileMsMax} ms`)),
      compileMsMax,
    );
  });
  try {
    const result = await Promise.race([running, deadline]);
    const [map, code] = ["map", "js"].map(
      (ending) => result.outputFiles.find(({ path }) => path.endsWith(`.${ending}`))!.text,
    );
    return { code: code!, sourceMap: renameSources(map!, root, shown) };
  } catch (thrown) {
    if (thrown instanceof ScriptFaultError) {
      running.catch(() => {});
      await stopCompiler();
      throw thrown;
    }
    throw faultOfFailure(thrown, root, shown);
  } finally {
    clearTimeout(timer);
  }
}

/** Everything is resolved and read in here; esbuild's own ways to files are never taken. */
function scriptFolder(root: string, { file: entry, sources, packages, isTest }: Inputs): Plugin {
  const refuse = (code: CompileCode, text: string) => ({ errors: [{ text, detail: code }] });
  return {
    name: "script-folder",
    setup(build) {
      build.onResolve({ filter: /.*/ }, async (args) => {
        if (packages.isOurs(args)) return undefined;
        if (args.kind === "entry-point") return { path: entry, namespace: "file" };
        if (Object.hasOwn(virtualModules, args.path)) return { path: args.path, namespace: virtualNamespace };
        if (args.path === testModule)
          return isTest
            ? { path: "test-module.ts", namespace: testModule }
            : refuse("script.import", `"${testModule}" is for test files: name.test/*.test.ts beside the script`);
        if (packages.concerns(args)) return packages.resolve(build, args);
        const advice = adviceFor(args);
        if (advice) return refuse("script.import", advice);
        const wanted = resolve(dirname(args.importer), args.path);
        if (!isBelow(root, wanted))
          return refuse(
            "script.import",
            `${quoted(args.path)} is outside of the scripts folder: scripts import only files below it`,
          );
        let reason = "";
        for (const path of candidates(wanted)) {
          if (sources.has(path)) return { path, namespace: "file" };
          if (loaders[extname(path)] === undefined) continue;
          try {
            const text = await readScriptFile(root, path);
            if (sources.size >= filesMax)
              return refuse("script.file", `The script imports more than ${filesMax} files`);
            sources.set(path, text);
            return { path, namespace: "file" };
          } catch (thrown) {
            if (!(thrown instanceof ScriptFileError)) throw thrown;
            if (reason === "" || !thrown.message.startsWith("There is no file")) reason = thrown.message;
          }
        }
        return refuse(
          "script.import",
          `Cannot import ${quoted(args.path)}: ${reason || "scripts import .ts, .js and .json files"}`,
        );
      });
      build.onLoad({ filter: /.*/, namespace: emptyNamespace }, () => ({ contents: "" }));
      build.onLoad({ filter: /.*/, namespace: virtualNamespace }, ({ path }) => ({ contents: virtualModules[path]! }));
      build.onLoad({ filter: /.*/, namespace: testModule }, async ({ path }) => ({
        contents: await readFile(join(import.meta.dirname, path), "utf8"),
        loader: "ts",
      }));
      build.onLoad({ filter: /.*/ }, ({ path }) => {
        const file = packages.load(path);
        if (file) return file;
        const text = sources.get(path);
        const loader = loaders[extname(path)];
        if (text === undefined || loader === undefined)
          return refuse("script.import", `${quoted(basename(path))} is no file a script can import`);
        // A first line for shells would stand in the middle of the code.
        const contents = text.replace(/^\ufeff?#!/, "//");
        return { contents: isTest && path === entry ? `${contents}${testFileEnd}` : contents, loader };
      });
    },
  };
}

/** Why an import is none of a file beside the script, and what to do instead; undefined where it is one. */
function adviceFor({ path, kind }: OnResolveArgs): string | undefined {
  if (kind === "require-call" || kind === "require-resolve")
    return `require(${quoted(path)}) is not available: scripts are modules, and import files beside them`;
  if (path === "onarrival") return `"onarrival" holds types only: write import type { … } from "onarrival"`;
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(path) || /^(?:data|blob|file):/i.test(path))
    return `${quoted(path)} is a URL: scripts import only files in the scripts folder`;
  if (path.startsWith("node:") || isBuiltin(path))
    return `${quoted(path)} is part of Node, which is not available to scripts: files, network and processes are out of their reach`;
  if (path.startsWith("/") || path.startsWith("\\") || /^[A-Za-z]:/.test(path))
    return `${quoted(path)} is an absolute path: import a file below the scripts folder with ./`;
  if (path.startsWith("cloudflare:"))
    return `${quoted(path)} is not available: of Cloudflare's modules there is "cloudflare:email" (docs/email-workers.md)`;
  if (!/^\.\.?(?:\/|$)/.test(path))
    return `${quoted(path)} is neither a file beside the script nor the name of a package`;
  return undefined;
}

/** Paths an import may mean: as written, with an ending, and the .ts that is written as .js. */
function* candidates(path: string): Generator<string> {
  for (const ending of endings) yield path + ending;
  if (/\.m?js$/.test(path)) yield path.replace(/js$/, "ts");
}

function faultOfFailure(thrown: unknown, root: string, shown: (path: string) => string): ScriptFaultError {
  const errors = (thrown as Partial<BuildFailure>).errors;
  if (!Array.isArray(errors) || errors.length === 0)
    return asFault("script.compile", thrown instanceof Error ? thrown.message : "The compiler failed");
  const [first, ...more] = errors as Message[];
  const places = errors.map((error: Message) => placeOf(error, root, shown));
  const code: CompileCode = typeof first!.detail === "string" ? (first!.detail as CompileCode) : "script.compile";
  const others =
    more.length === 0 ? "" : more.length === 1 ? " (and one more error)" : ` (and ${more.length} more errors)`;
  const stack = (errors as Message[])
    .slice(0, 20)
    .map((error, index) => plainLine(`${places[index] ?? "script"}: ${error.text}`));
  return new ScriptFaultError({
    code,
    message: plainLine(first!.text, 440) + others,
    at: places[0]!,
    stack: stack.join("\n"),
  });
}

function placeOf({ location }: Message, root: string, shown: (path: string) => string): string | null {
  if (!location) return null;
  // esbuild counts columns in octets, from 0.
  const column = Buffer.from(location.lineText).subarray(0, location.column).toString().length + 1;
  return plainLine(`${shown(resolve(root, location.file))}:${location.line}:${column}`, 300);
}

function renameSources(mapJson: string, root: string, shown: (path: string) => string): string {
  const map = JSON.parse(mapJson) as { sources: string[] };
  return JSON.stringify({ ...map, sources: map.sources.map((source) => shown(resolve(root, source))) });
}

function versionOf(root: string, sources: ReadonlyMap<string, string>): string {
  const hash = createHash("sha256");
  for (const path of [...sources.keys()].sort()) {
    const text = sources.get(path)!;
    // Lengths in between: no two sets of files give the same octets.
    hash.update(`${relative(root, path)}\0${Buffer.byteLength(text)}\0${text}`);
  }
  return `sha256:${hash.digest("hex")}`;
}

function displayNameOf(root: string, path: string): string {
  return plainLine(join(basename(root), relative(root, path)), 200);
}

function asFault(code: ScriptFault["code"], message: string): ScriptFaultError {
  return new ScriptFaultError({ code, message: plainLine(message), at: null, stack: "" });
}

function quoted(path: string): string {
  return JSON.stringify(plainLine(path, 100));
}
