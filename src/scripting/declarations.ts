/**
 * What an editor needs to know scripts: the script API and the globals as declaration files, made from sandbox/api*.ts and sandbox/globals, and the
 * compiler options that go with them. The type checker uses the same options, so that the editor and the server say the same.
 */
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const sandbox = new URL("../../sandbox/", import.meta.url);

/** Compiler options of scripts, without what says where the API is. */
export const scriptCompilerOptions = {
  target: "esnext",
  lib: ["esnext"],
  module: "preserve",
  types: [],
  noEmit: true,
  strict: true,
  noUncheckedIndexedAccess: true,
  allowJs: true,
  verbatimModuleSyntax: true,
  allowImportingTsExtensions: true,
  skipLibCheck: true,
} as const;

/** Folder of the declaration files in a site. */
export const declarationFolder = ".onarrival";

/** The text of tsconfig.json for a site; `scriptsFolder` is relative to it. */
export function editorProject(scriptsFolder: string): string {
  const project = {
    compilerOptions: { ...scriptCompilerOptions, paths: apiPaths(`./${declarationFolder}`, ".d.ts") },
    include: [scriptsFolder, `${declarationFolder}/*.d.ts`],
  };
  return `${JSON.stringify(project, null, 2)}\n`;
}

/** What `import type … from "onarrival"` and `from "onarrival/test"` mean, in a folder that holds api.ts and api-test.ts, or declarations made from them. */
export function apiPaths(folder: string, ending: ".ts" | ".d.ts"): Readonly<Record<string, readonly string[]>> {
  return { onarrival: [`${folder}/api${ending}`], "onarrival/*": [`${folder}/api-*${ending}`] };
}

/** Absolute paths of the files that declare the globals of scripts, and the folder of the API. */
export async function apiSources(): Promise<{ readonly folder: string; readonly globals: readonly string[] }> {
  const names = await readdir(new URL("globals/", sandbox));
  return {
    folder: fileURLToPath(sandbox).replace(/\/$/, ""),
    globals: names
      .filter((name) => name.endsWith(".d.ts"))
      .sort()
      .map((name) => fileURLToPath(new URL(`globals/${name}`, sandbox))),
  };
}

/** The declaration files, by name, in order. */
export async function readDeclarations(): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  const names = await readdir(sandbox);
  for (const name of names.filter((one) => /^api(?:-[a-z-]+)?\.ts$/.test(one)).sort()) {
    const text = await readFile(new URL(name, sandbox), "utf8");
    files.set(name.replace(/\.ts$/, ".d.ts"), text.replaceAll(/(from "\.\/api[a-z-]*)\.ts"/g, '$1.d.ts"'));
  }
  for (const path of (await apiSources()).globals)
    files.set(path.slice(path.lastIndexOf("/") + 1), await readFile(path, "utf8"));
  return files;
}

/** What differs between two editions of a declaration file. */
export interface DeclarationChanges {
  /** Names of types and of their members, such as `Mail.isProtected`, in order. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
}

export function compareDeclarations(before: string, after: string): DeclarationChanges {
  const [old, now] = [declared(before), declared(after)];
  const added = [...now.keys()].filter((name) => !old.has(name));
  const removed = [...old.keys()].filter((name) => !now.has(name));
  // A type whose members tell the difference is not named itself.
  const owners = new Set([...added, ...removed].flatMap((name) => (name.includes(".") ? [name.split(".")[0]] : [])));
  return {
    added: withoutMembersOf(added),
    removed: withoutMembersOf(removed),
    changed: [...now.keys()].filter((name) => old.has(name) && old.get(name) !== now.get(name) && !owners.has(name)),
  };
}

/** A type that is new as a whole is named once. */
function withoutMembersOf(names: readonly string[]): readonly string[] {
  return names.filter((name) => !names.includes(name.split(".")[0]!) || !name.includes("."));
}

/** Every declared name with its text, comments left out; members of a type at its first level with theirs, the type itself with its first line. */
function declared(text: string): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  let owner = "";
  let name = "";
  for (const line of text.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "").split("\n")) {
    const [, top] = /^(?:export )?(?:declare )?(?:interface|type|class|const|function) ([\w$]+)/.exec(line) ?? [];
    const [, member] = /^ {2}(?:(?:readonly|static|get|set) )*([\w$]+)[?(<:]/.exec(line) ?? [];
    if (top !== undefined) owner = name = top;
    else if (member !== undefined && owner !== "") name = `${owner}.${member}`;
    else if (line.startsWith("}")) name = owner;
    if (name !== "" && line.trim() !== "") names.set(name, `${names.get(name) ?? ""}${line.trim()}\n`);
  }
  return names;
}
