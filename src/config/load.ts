/**
 * Loads the configuration: flag before environment before file before default. Tells every problem at once, each with file, line and column.
 * Reads the one file and nothing else: whether the files named in it are there is for the parts that open them.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parse, TomlError } from "smol-toml";
import { describeThrown, Fault } from "../platform/fault.ts";
import { nearestWord } from "../platform/value.ts";
import { checkTogether } from "./agreement.ts";
import { formatKey, type NamedOption, nameOptions, shortNames, unknownNames, withValue } from "./environment.ts";
import { type KeyPath, locateKeys, type Places } from "./locate.ts";
import { configTable } from "./option-table.ts";
import { type ConfigProblem, formatProblem } from "./problem.ts";
import { type Config, type ConfigValues, configOf } from "./schema.ts";
import { type Finding, type Origin, readTable } from "./validate.ts";

const configFileName = "onarrival.toml";

export interface LoadedConfig {
  readonly config: Config;
  /** By dotted key, in the file's spelling: `listeners.mx.port`. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** Absolute; null where there is none. */
  readonly file: string | null;
  /** The values as the file would write them. */
  readonly values: ConfigValues;
  /** What is suspicious and not wrong, in words. */
  readonly warnings: readonly string[];
}

export interface LoadOptions {
  /** The file; without it `ONARRIVAL_CONFIG`, then `onarrival.toml` in `cwd` where it is there. */
  readonly path?: string | undefined;
  /** Dotted key to text, as given on the command line. */
  readonly flags?: Readonly<Record<string, string>>;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
}

/** @throws {Fault} `config.invalid` with every `ConfigProblem` in `facts.problems`; `config.unreadable` */
export function loadConfig({ path, flags = {}, env, cwd }: LoadOptions): LoadedConfig {
  const file = findFile(path ?? (env.ONARRIVAL_CONFIG || undefined), cwd);
  const toml = file === null ? "" : readConfigFile(file);
  const written = parseToml(toml, file ?? configFileName);
  const places = locateKeys(toml);

  const overrides = new Map<string, { readonly origin: Origin; readonly name: string }>();
  const strays: ConfigProblem[] = [];
  let raw = written;
  const override = (option: NamedOption, text: string, origin: Origin, name: string) => {
    raw = withValue(raw, option.path, option.option.kind.fromText(text));
    overrides.set(idOf(option.path), { origin, name });
  };
  // Tables of lists go by the names the file gives them, so the file is read before the rest is named.
  const named = nameOptions(configTable.children, written);
  for (const option of named) {
    const text = env[option.environmentName];
    if (text !== undefined && text !== "") override(option, text, "environment", option.environmentName);
  }
  for (const [name, target] of Object.entries(shortNames)) {
    const text = env[name];
    const option = target && named.find((candidate) => idOf(candidate.path) === idOf(target));
    if (option && text !== undefined && text !== "") override(option, text, "environment", name);
  }
  for (const [key, text] of Object.entries(flags)) {
    const option = named.find((candidate) => candidate.key === key || candidate.path.join(".") === key);
    if (option) override(option, text, "flag", `flag ${key}`);
    else
      strays.push({
        file: `flag ${key}`,
        line: null,
        column: null,
        key,
        message: `unknown key ${JSON.stringify(key)}`,
        nearest:
          nearestWord(
            key,
            named.map((one) => one.key),
          ) ?? null,
      });
  }

  const findings: Finding[] = [];
  const origins = new Map<string, Origin>();
  const values = readTable(configTable.children, raw, [], {
    findings,
    origin: (at) => overrides.get(idOf(at))?.origin ?? "file",
    // What is typed in a shell is meant from where the shell stands; what is in the file, from where the file is.
    absolute: (text, origin) =>
      resolve(origin === "file" || origin === "default" ? (file === null ? cwd : dirname(file)) : cwd, text),
    settled: (at, origin) => origins.set(formatKey(at, configTable.children, raw), origin),
  });
  // readTable gives the table's own shape; wherever a value is missing there is a finding, and the throw below comes first.
  const complete = values as ConfigValues;
  findings.push(...checkTogether(complete));
  const problems = [
    ...strays,
    ...findings.map((finding) => locate(finding, { places, file: file ?? configFileName, raw, overrides })),
  ];
  if (problems.length > 0) throw invalid(problems);
  return {
    config: configOf(complete),
    origins,
    file,
    values: complete,
    warnings: unknownNames(env, named).map(
      ({ name, nearest }) =>
        `${name} is in the environment and names no option${nearest ? `; did you mean ${nearest}?` : ""}`,
    ),
  };
}

function findFile(path: string | undefined, cwd: string): string | null {
  if (path !== undefined) return resolve(cwd, path);
  const standard = resolve(cwd, configFileName);
  return existsSync(standard) ? standard : null;
}

function readConfigFile(file: string): string {
  try {
    // A mark that says "this is UTF-8" is no part of the text.
    return readFileSync(file, "utf8").replace(/^\ufeff/, "");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      code === "ENOENT"
        ? "no such file"
        : code === "EISDIR"
          ? "it is a folder"
          : code === "EACCES"
            ? "this user may not read it"
            : describeThrown(error);
    throw new Fault("config.unreadable", `Cannot read the configuration ${file}: ${why}`, {
      cause: error,
      facts: { file },
    });
  }
}

function parseToml(toml: string, file: string): Readonly<Record<string, unknown>> {
  try {
    return parse(toml);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const message = `not TOML: ${error.message.split("\n")[0]!.replace(/^Invalid TOML document: /, "")}`;
    throw invalid([{ file, line: error.line, column: error.column, key: "", message, nearest: null }], error);
  }
}

interface Written {
  readonly places: Places;
  readonly file: string;
  readonly raw: Readonly<Record<string, unknown>>;
  readonly overrides: ReadonlyMap<string, { readonly name: string }>;
}

function locate({ path, message, nearest }: Finding, { places, file, raw, overrides }: Written): ConfigProblem {
  const key = formatKey(path, configTable.children, raw);
  const override = overrides.get(idOf(path));
  const place = override ? undefined : places.of(path);
  return {
    file: override?.name ?? file,
    line: place?.line ?? null,
    column: place?.column ?? null,
    key,
    message,
    nearest: nearest ?? null,
  };
}

function invalid(problems: readonly ConfigProblem[], cause?: unknown): Fault {
  // Two listeners of one name are two options of one environment name: one mistake, told once.
  const different = [...new Map(problems.map((problem) => [formatProblem(problem), problem])).values()];
  const sorted = different.toSorted(
    (one, other) => (one.line ?? 0) - (other.line ?? 0) || (one.column ?? 0) - (other.column ?? 0),
  );
  const count = sorted.length === 1 ? "1 problem" : `${sorted.length} problems`;
  return new Fault(
    "config.invalid",
    `Cannot use the configuration: ${count}: ${sorted.map(formatProblem).join(" · ")}`,
    { facts: { problems: sorted }, cause },
  );
}

function idOf(path: KeyPath): string {
  return path.join("\0");
}
