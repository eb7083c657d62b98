/**
 * npm packages that scripts may import: those the configuration lists, and what these depend on themselves. esbuild finds the file an import means, as for a browser
 * or a worker; whether it may be taken is decided here, and it is read here.
 */
import { readFile, stat } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { dirname, extname, join, sep } from "node:path";
import type { Loader, OnResolveArgs, OnResolveResult, PluginBuild } from "esbuild";
import { plainLine } from "./plain-line.ts";
import { isBelow } from "./script-files.ts";

/** How esbuild is to find files of packages. */
export const packageResolution = {
  mainFields: ["browser", "module", "main"],
  conditions: ["worker", "browser", "module"],
} as const;

/** Given to esbuild with a question of our own, so that it answers itself. */
const ours = Symbol("resolve as esbuild does");
/** Where what a package wants left out in browsers is loaded from. */
export const emptyNamespace = "nothing";

const filesMax = 2_000;
const fileOctetsMax = 4_194_304;
const octetsMax = 16_777_216;
const packageName = /^(?:@[a-z0-9-~][a-z0-9-._~]*\/)?[a-z0-9-~][a-z0-9-._~]*(?=\/|$)/i;
const loaders: Readonly<Record<string, Loader>> = { ".js": "js", ".mjs": "js", ".cjs": "js", ".json": "json" };

interface PackageFolder {
  readonly folder: string;
  readonly name: string;
  readonly version: string;
  /** Files of it that its field `browser` takes away. */
  readonly absent: ReadonlySet<string>;
}

/** The packages of one script. */
export class Packages {
  readonly #root: string;
  readonly #allowed: readonly string[];
  readonly #files = new Map<string, { readonly text: string; readonly from: PackageFolder }>();
  readonly #folders = new Map<string, PackageFolder | null>();
  #octets = 0;

  /** @param root the scripts folder @param allowed names of packages */
  constructor(root: string, allowed: readonly string[]) {
    this.#root = root;
    this.#allowed = allowed;
  }

  /** Text of every file that went in, by its path. */
  get files(): ReadonlyMap<string, string> {
    return new Map([...this.#files].map(([path, { text }]) => [path, text]));
  }

  /** Every package that went in, `postal-mime@2.4.4`, sorted. */
  get names(): readonly string[] {
    return [...new Set([...this.#files.values()].map(({ from }) => `${from.name}@${from.version}`))].sort();
  }

  /** Whether an import is for `resolve` to answer: it is made by a file of a package, or means one. */
  concerns({ path, importer, kind }: OnResolveArgs): boolean {
    if (this.#files.has(importer)) return true;
    if (kind === "require-call" || kind === "require-resolve") return false;
    return packageName.test(path) && !isBuiltin(path) && !/^(?:node|cloudflare):/.test(path) && path !== "onarrival";
  }

  /** Whether it is a question of ours, which esbuild answers. */
  isOurs({ pluginData }: OnResolveArgs): boolean {
    return pluginData === ours;
  }

  /** Finds and reads the file an import means. */
  async resolve(build: PluginBuild, args: OnResolveArgs): Promise<OnResolveResult> {
    const { path, importer, kind } = args;
    const from = this.#files.get(importer)?.from;
    const name = packageName.exec(path)?.[0] ?? "";
    if (!from && !this.#allowed.includes(name)) return refuse(notListed(name));
    if (path.startsWith("node:")) return refuse(needsNode(path, from));
    const found = await build.resolve(path, { kind, importer, resolveDir: dirname(importer), pluginData: ours });
    if (found.errors.length > 0) {
      if (isBuiltin(path)) return refuse(needsNode(path, from));
      return refuse(from ? notFoundBy(path, from) : notInstalled(name, path, this.#root));
    }
    if (found.namespace !== "file" || found.external) return { path: found.path, namespace: emptyNamespace };
    if (await this.#isAbsent(found.path)) return { path: found.path, namespace: emptyNamespace };
    const reason = await this.#take(found.path, path, from);
    return reason === null ? { path: found.path, namespace: "file", sideEffects: found.sideEffects } : refuse(reason);
  }

  /** What esbuild is given of a file that was resolved; undefined where it is none of a package. */
  load(path: string): { readonly contents: string; readonly loader: Loader } | undefined {
    const file = this.#files.get(path);
    return file && { contents: file.text, loader: loaders[extname(path)]! };
  }

  /** esbuild itself says so of names, but not of files. */
  async #isAbsent(file: string): Promise<boolean> {
    const { absent } = (await this.#packageOf(dirname(file))) ?? {};
    return absent !== undefined && (absent.has(file) || absent.has(file.slice(0, -extname(file).length)));
  }

  /** Reads a file; gives why it cannot be taken, or null. */
  async #take(file: string, wanted: string, by: PackageFolder | undefined): Promise<string | null> {
    if (this.#files.has(file)) return null;
    const from = await this.#packageOf(dirname(file));
    const isRelative = /^\.\.?(?:\/|$)/.test(wanted);
    if (!from || (isRelative && by && !isBelow(by.folder, file)))
      return `${quoted(wanted)} leads out of its package, to ${plainLine(file, 200)}`;
    if (
      !file.includes(`${sep}node_modules${sep}`) &&
      packageName.exec(wanted)?.[0] !== from.name &&
      !(by && by.folder === from.folder)
    )
      return `${quoted(wanted)} is found outside of every node_modules, in ${plainLine(file, 200)}`;
    if (loaders[extname(file)] === undefined)
      return `${quoted(wanted)} of the package ${from.name} is a file that scripts cannot have: only .js, .mjs, .cjs and .json`;
    const { size } = await stat(file);
    this.#octets += size;
    if (size > fileOctetsMax || this.#octets > octetsMax || this.#files.size >= filesMax)
      return `The package ${from.name} is too large for a script: ${filesMax} files, ${fileOctetsMax / 1_048_576} MiB a file and ${octetsMax / 1_048_576} MiB in all`;
    this.#files.set(file, { text: await readFile(file, "utf8"), from });
    return null;
  }

  /** The package a folder belongs to: the nearest one, from it upwards, whose package.json has a name. */
  async #packageOf(folder: string): Promise<PackageFolder | null> {
    const known = this.#folders.get(folder);
    if (known !== undefined) return known;
    const above = dirname(folder);
    const found = (await readPackage(folder)) ?? (above === folder ? null : await this.#packageOf(above));
    this.#folders.set(folder, found);
    return found;
  }
}

async function readPackage(folder: string): Promise<PackageFolder | null> {
  try {
    const text = await readFile(join(folder, "package.json"), "utf8");
    const { name, version, browser } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    if (typeof name !== "string") return null;
    const fields = typeof browser === "object" && browser !== null ? Object.entries(browser) : [];
    const absent = fields.filter(([path, to]) => to === false && path.startsWith("."));
    return {
      folder,
      name: plainLine(name, 100),
      version: plainLine(typeof version === "string" ? version : "?", 60),
      absent: new Set(absent.map(([path]) => join(folder, path))),
    };
  } catch {
    return null;
  }
}

function refuse(text: string): OnResolveResult {
  return { errors: [{ text, detail: "script.package" }] };
}

function notListed(name: string): string {
  return `The package ${quoted(name)} is not allowed: add it to packages in the [scripts] section of onarrival.toml, and install it with npm`;
}

function notInstalled(name: string, path: string, root: string): string {
  const what = path === name ? quoted(name) : `${quoted(path)} of the package ${quoted(name)}`;
  return `${what} is not there: run npm install ${name} in ${plainLine(root, 200)} or a folder above it`;
}

function notFoundBy(path: string, from: PackageFolder): string {
  return `The package ${from.name} imports ${quoted(path)}, which is not there: run npm install where it is installed`;
}

function needsNode(path: string, from: PackageFolder | undefined): string {
  return `The package ${from?.name ?? "?"} needs ${quoted(path)}, which is part of Node and not available to scripts: take a package, or an entry of it, that is made for browsers or workers`;
}

function quoted(path: string): string {
  return JSON.stringify(plainLine(path, 100));
}
