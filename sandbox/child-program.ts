/**
 * The program of a sandbox process: child.ts as it stands here; or the same as one file of plain JavaScript, with the guest beside it, which starts in a third of the time.
 * That is made once for each state of the sources, behind the first start, and kept beside the code and owned as the code is; where nothing can be written there, or it is
 * gone, the sources do.
 */
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { mkdir, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** The guest's modules by name, beside a program that was made. */
export const guestFile = "guest.json";

const own = import.meta.dirname;
const sourceProgram = join(own, "child.ts");
const cacheFolder = join(own, "../node_modules/.cache/onarrival");
const madeName = /^sandbox-[0-9a-f]{24}$/;
/** Those of states of the sources that nobody has started since. */
const staleMs = 14 * 86_400_000;

let folder: string | undefined;
let making: Promise<void> | undefined;

/** Path of the program to start now. */
export function childProgram(): string {
  folder ??= join(cacheFolder, `sandbox-${hashOfSources()}`);
  const made = join(folder, "child.mjs");
  // As it is loaded and permitted: without links on the way.
  if (existsSync(made)) return realpathSync(made);
  making ??= make(folder).catch(() => {
    // Without write permission, or in the middle of an install: the sources do.
  });
  return sourceProgram;
}

/** Resolves when nothing is being made any more. */
export async function childProgramMade(): Promise<void> {
  await making;
}

/** Every source of the process, guest and all: what is not its own costs a rebuild, and no harm. */
function hashOfSources(): string {
  const hash = createHash("sha256").update(process.version);
  for (const [name, text] of sourcesIn("")) hash.update(`\0${name}\0${text}`);
  for (const [name, text] of sourcesIn("guest")) hash.update(`\0guest/${name}\0${text}`);
  return hash.digest("hex").slice(0, 24);
}

function sourcesIn(part: string): (readonly [name: string, text: string])[] {
  const names = readdirSync(join(own, part)).filter((name) => name.endsWith(".ts"));
  return names.sort().map((name) => [name, readFileSync(join(own, part, name), "utf8")]);
}

async function make(folder: string): Promise<void> {
  const { build, transform } = await import("esbuild");
  // As they are written but for the types: what is imported stays imported.
  const options = {
    loader: "ts",
    target: "esnext",
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
  } as const;
  const guest = await Promise.all(
    sourcesIn("guest").map(async ([name, text]) => [name, (await transform(text, options)).code] as const),
  );
  const { outputFiles } = await build({
    entryPoints: [sourceProgram],
    bundle: true,
    format: "esm",
    platform: "node",
    packages: "external",
    target: `node${process.versions.node}`,
    write: false,
    logLevel: "silent",
    tsconfigRaw: {},
  });
  // Whole or not at all, however many do this at once.
  const fresh = `${folder}.${randomBytes(6).toString("hex")}`;
  try {
    await mkdir(fresh, { recursive: true });
    await writeFile(join(fresh, guestFile), JSON.stringify(Object.fromEntries(guest)));
    await writeFile(join(fresh, "child.mjs"), outputFiles[0]!.contents);
    await rename(fresh, folder);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  await forgetStale(folder);
}

async function forgetStale(present: string): Promise<void> {
  const now = new Date();
  await utimes(present, now, now);
  for (const name of await readdir(cacheFolder)) {
    const path = join(cacheFolder, name);
    if (madeName.test(name) && path !== present && (await stat(path)).mtimeMs < now.getTime() - staleMs)
      await rm(path, { recursive: true, force: true });
  }
}
