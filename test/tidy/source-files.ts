/** The project's source files and what they import, for tests that look at the source as text. */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

export const root = resolve(import.meta.dirname, "../..");

export interface SourceFile {
  /** From the root, with slashes: `src/mail/path.ts`. */
  readonly path: string;
  readonly text: string;
}

/** Every TypeScript and JavaScript file below these folders; what is not ours, or is broken on purpose, left out. */
export function readSourceFiles(...folders: readonly string[]): readonly SourceFile[] {
  return folders
    .flatMap((folder) => globSync(`${folder}/**/*.{ts,mts,js,mjs}`, { cwd: root }))
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => !/(?:^|\/)(?:node_modules|fixtures|golden)\/|^test\/hostile\/scripts\//.test(path))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

/** What a file imports and re-exports, types included: `node:net`, `pino`, or a path from the root for files of ours. */
export function importsOf({ path, text }: SourceFile): readonly string[] {
  const found: string[] = [];
  for (const match of withoutComments(text).matchAll(
    /(?:^|[;\n])\s*(?:import|export)\b[^;"'`]*?\bfrom\s*"([^"]+)"|\bimport\s*\(\s*"([^"]+)"\s*\)|(?:^|[;\n])\s*import\s*"([^"]+)"/g,
  )) {
    const specifier = (match[1] ?? match[2] ?? match[3])!;
    found.push(
      specifier.startsWith(".")
        ? relative(root, resolve(root, dirname(path), specifier)).replaceAll("\\", "/")
        : specifier,
    );
  }
  return found;
}

/** The text with its comments blanked; strings that look like comments go too, which no test here minds. */
export function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}
