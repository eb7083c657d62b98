/** `onarrival types`: the declaration files of a site, refreshed after an upgrade, and what changed in them; and whether a site's are of this edition. */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { loadConfig } from "../config/load.ts";
import { describeThrown } from "../platform/fault.ts";
import { compareDeclarations, declarationFolder, editorProject, readDeclarations } from "../scripting/declarations.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { formatTable } from "./table.ts";
import { type CommandContext, plain } from "./terminal.ts";

/** How a file fared. */
interface Refreshed {
  readonly file: string;
  readonly state: "new" | "changed" | "removed" | "same";
  /** What is in it now and was not, is not any more, or is otherwise: `Mail.isProtected`. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
}

const nothing = { added: [], removed: [], changed: [] } as const;
/** Names a line tells. */
const namesMax = 8;

/** Writes them into `folder`, a site's; makes its tsconfig.json where there is none. */
export async function refreshDeclarations(
  folder: string,
  flags: { readonly json?: boolean },
  context: CommandContext,
): Promise<ExitStatus> {
  const { terminal, cwd } = context;
  const { out, err } = terminal;
  const root = resolve(cwd, folder);
  if (!existsSync(root)) throw new UsageError(`There is no folder ${root}`, "Make a site in it: onarrival init DIR");
  const files = await refresh(root).catch((error: unknown) => {
    throw new UsageError(`Cannot write the declarations in ${root}: ${describeThrown(error)}`);
  });
  const project = await projectOf(root, context);
  if (flags.json)
    for (const file of [...files, ...(project === "made" ? [made] : [])]) out.write(`${JSON.stringify(file)}\n`);
  else {
    const told = [...files.filter(({ state }) => state !== "same"), ...(project === "made" ? [made] : [])];
    const rows = told.map((file) => [file.file, out.paint(styles[file.state], file.state), describe(file)]);
    if (rows.length > 0) out.write(`${formatTable(["file", "", "what"], rows, out)}`);
    const same = files.filter(({ state }) => state === "same").length;
    if (same > 0) err.write(`${same} ${same === 1 ? "file is" : "files are"} as they are in this edition\n`);
  }
  if (project === "elsewhere") {
    err.write(
      `${err.paint("yellow", "warning:")} tsconfig.json does not name ${declarationFolder}/api.d.ts, and was left as it is; an editor needs in it:\n${editorProject("scripts")}`,
    );
  }
  return exitStatus.done;
}

/** The nearest folder at or above that of the scripts whose declarations are of another edition; null where there is none. */
export async function staleDeclarations(scriptsFolder: string): Promise<string | null> {
  for (const root of [scriptsFolder, dirname(scriptsFolder)]) {
    if (!existsSync(join(root, declarationFolder))) continue;
    for (const [name, text] of await readDeclarations()) {
      const present = await readFile(join(root, declarationFolder, name), "utf8").catch(() => null);
      if (present !== text) return root;
    }
    return null;
  }
  return null;
}

async function refresh(root: string): Promise<readonly Refreshed[]> {
  const folder = join(root, declarationFolder);
  await mkdir(folder, { recursive: true });
  const wanted = await readDeclarations();
  const files: Refreshed[] = [];
  for (const [name, text] of wanted) {
    const file = `${declarationFolder}/${name}`;
    const before = await readFile(join(folder, name), "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return null;
      throw error;
    });
    if (before === text) {
      files.push({ file, state: "same", ...nothing });
      continue;
    }
    await writeFile(join(folder, name), text);
    files.push({
      file,
      state: before === null ? "new" : "changed",
      ...(before === null ? nothing : compareDeclarations(before, text)),
    });
  }
  // What an earlier edition put there, and this one would not: it would be found before, or beside, what is right.
  for (const name of await readdir(folder)) {
    if (wanted.has(name) || !/^api(?:-[a-z-]+)?(?:\.d)?\.ts$/.test(name)) continue;
    await rm(join(folder, name));
    files.push({ file: `${declarationFolder}/${name}`, state: "removed", ...nothing });
  }
  return files;
}

const made: Refreshed = { file: "tsconfig.json", state: "new", ...nothing };
const styles = { new: "green", changed: "yellow", removed: "red", same: "dim" } as const;

/** Whether tsconfig.json was made, was there and leads to the declarations, or leads elsewhere. */
async function projectOf(root: string, { env }: CommandContext): Promise<"made" | "leads" | "elsewhere"> {
  const path = join(root, "tsconfig.json");
  if (existsSync(path))
    return (await readFile(path, "utf8")).includes(`${declarationFolder}/api.d.ts`) ? "leads" : "elsewhere";
  let scripts = "scripts";
  try {
    scripts = relative(root, loadConfig({ path: undefined, flags: {}, env, cwd: root }).config.scripts.folder) || ".";
  } catch {
    // The configuration has errors, which are told where it is used.
  }
  await writeFile(path, editorProject(scripts));
  return "made";
}

function describe({ added, removed, changed }: Refreshed): string {
  const names = [
    ...added.map((name) => `+ ${name}`),
    ...removed.map((name) => `- ${name}`),
    ...changed.map((name) => `~ ${name}`),
  ];
  const more = names.length - namesMax;
  return plain([...names.slice(0, namesMax), ...(more > 0 ? [`and ${more} more`] : [])].join(", "));
}
