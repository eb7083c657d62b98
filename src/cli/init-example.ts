/** `onarrival init --example NAME`: copies scripts that come along, with the tests beside them, into a site's scripts folder. Overwrites nothing. */
import { existsSync } from "node:fs";
import { cp, mkdir, readdir, writeFile } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { readScriptFile } from "../../sandbox/script-files.ts";
import { loadConfig } from "../config/load.ts";
import { describeThrown } from "../platform/fault.ts";
import { nearestWord } from "../platform/value.ts";
import { testFolderOf } from "../scripting/test-folder.ts";
import { UsageError } from "./failure.ts";
import type { CommandContext } from "./terminal.ts";

const comingAlong = fileURLToPath(new URL("../../scripts/", import.meta.url));

/** A script that can be copied. */
interface Example {
  /** `greylist`. */
  readonly name: string;
  /** Folder it lies in, absolute. */
  readonly folder: string;
}

/** @param names As they are written. @throws {UsageError} where there is none of that name */
export async function findExamples(names: readonly string[]): Promise<readonly Example[]> {
  const found: Example[] = [];
  for (const folder of [comingAlong, join(comingAlong, "examples")])
    for (const file of await readdir(folder))
      if (file.endsWith(".ts")) found.push({ name: basename(file, ".ts"), folder });
  const known = found.map(({ name }) => name).sort();
  return [...new Set(names)].map((name) => {
    const example = found.find((one) => one.name === name.replace(/\.ts$/, ""));
    if (example) return example;
    const nearest = nearestWord(name, known);
    throw new UsageError(
      `There is no example ${JSON.stringify(name)}: expected ${known.join(", ")}`,
      nearest === undefined ? "docs/cookbook.md shows all of them" : `Did you mean ${nearest}?`,
    );
  });
}

/**
 * @param root Folder of the site, absolute; its configuration says where scripts are.
 * @throws {UsageError} where one of their files is there already, or cannot be written; {Fault} `config.invalid`, `config.unreadable`
 */
export async function copyExamples(
  examples: readonly Example[],
  root: string,
  { terminal, cwd, env }: CommandContext,
): Promise<void> {
  const { config } = loadConfig({ path: join(root, "onarrival.toml"), flags: {}, env, cwd });
  const { folder } = config.scripts;
  const copies = examples.map((example) => {
    const from = join(example.folder, `${example.name}.ts`);
    const to = join(folder, `${example.name}.ts`);
    return { ...example, from, to, tests: testFolderOf(to) };
  });
  const present = copies.flatMap(({ to, tests }) => [to, tests]).filter((path) => existsSync(path));
  if (present.length > 0) {
    throw new UsageError(
      `Cannot copy into ${folder}: ${present.map((path) => basename(path)).join(", ")} ${present.length === 1 ? "is" : "are"} there already, and nothing is overwritten`,
    );
  }
  for (const { from, to, tests, folder: source } of copies) {
    const text = await readScriptFile(source, from);
    try {
      await mkdir(folder, { recursive: true });
      // The tests first: a server that runs takes up the script as soon as it is there, and tests it.
      await cp(testFolderOf(from), tests, { recursive: true, errorOnExist: true, force: false });
      await writeFile(to, text, { flag: "wx" });
    } catch (error) {
      throw new UsageError(`Cannot copy into ${folder}: ${describeThrown(error)}`);
    }
    const { out, err } = terminal;
    const [, what = ""] = /^\/\*\* (.*) \*\/$/m.exec(text) ?? [];
    out.write(`${shown(to, cwd)}  ${err.paint("dim", what)}\n${shown(tests, cwd)}/\n`);
  }
  terminal.err.write("\nThe names in it are examples: put in your own. A server that runs has taken it up already.\n");
}

/** From the current folder where it lies below. */
function shown(path: string, cwd: string): string {
  const below = relative(cwd, path);
  return below.startsWith("..") ? path : below;
}
