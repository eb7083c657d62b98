/**
 * What is made from the table of options: the reference page (docs/configuration.md), the editor's JSON schema (docs/onarrival.schema.json),
 * and a configuration written out. Run with `--write` it writes the first two; a test holds them against the table.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { environmentName, nameOptions, shortNames } from "./environment.ts";
import type { LoadedConfig } from "./load.ts";
import type { Node, Nodes, Option } from "./option.ts";
import { configTable } from "./option-table.ts";

/** The reference page, Markdown. */
export function configReference(): string {
  const lines = [
    "# Configuration",
    "",
    "<!-- Made from src/config/option-table.ts by `node src/config/reference.ts --write`: edit there. -->",
    "",
    "`onarrival.toml` in the folder where the server starts, or the file `--config` or `ONARRIVAL_CONFIG` names. It is TOML. Every option has a default: an",
    "empty file, or none, is the default site. An unknown key is an error, and `onarrival config check` tells every error at once, with line and column.",
    "",
    "- **Who wins:** a flag, then the environment, then the file, then the default. `onarrival config show --origin` tells which won.",
    "- **Environment:** one name for each option: `ONARRIVAL_` and its key in upper case, `ONARRIVAL_DELIVERY_CONCURRENCY=50`. A listener's options go by its",
    "  name, `ONARRIVAL_LISTENERS_MX_PORT`. Lists are separated by commas. Short names:",
    `  ${Object.keys(shortNames)
      .map((name) => `\`${name}\``)
      .join(", ")}; the SMTP port is the first listener's.`,
    "- **Flags:** `onarrival serve --set delivery.concurrency=50` sets any option; the common ones have flags of their own.",
    '- **Sizes** are octets or carry a unit: `"25MiB"`, `"10MB"`. **Durations** always carry one: `"500ms"`, `"5s"`, `"30m"`, `"5d"`.',
    "- **Paths** in the file are relative to the file's folder; those of flags and the environment to the folder the command was given in.",
    "- **Passwords** are never in the file nor in the environment: options ending in `_file` name a file that holds one.",
    "- **Reload:** SIGHUP reads the file again; what needs a restart is said in the log.",
    "",
  ];
  describeSection("", configTable.children, configTable.sentence, [], lines);
  return `${lines
    .join("\n")
    .replace(/\n{3,}/g, "\n\n")
    .trimEnd()}\n`;
}

/** JSON schema (draft 2020-12) of the file, for editors. */
export function configJsonSchema(): Readonly<Record<string, unknown>> {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "onarrival.toml",
    ...objectSchema(configTable.children),
  };
}

/** The whole configuration as a file would say it, each option with its origin behind it where that is asked for. */
export function formatConfig(loaded: LoadedConfig, options: { readonly origins: boolean }): string {
  const blocks = new Map<string, string[]>();
  for (const { path, key, option } of nameOptions(configTable.children, loaded.values)) {
    const value = path.reduce<unknown>(
      (at, step) => (at as Readonly<Record<string | number, unknown>> | null)?.[step],
      loaded.values,
    );
    if (value === null || value === undefined) continue;
    const index = path.findIndex((step) => typeof step === "number");
    const table = path
      .filter((step) => typeof step === "string")
      .slice(0, -1)
      .join(".");
    const id = path.slice(0, -1).join(".");
    const isListTable = index !== -1 && index === path.length - 2;
    let block = blocks.get(id);
    if (!block) blocks.set(id, (block = table === "" ? [] : [isListTable ? `[[${table}]]` : `[${table}]`]));
    const line = `${String(path.at(-1))} = ${option.kind.format(value)}`;
    block.push(options.origins ? `${line.padEnd(48)} # ${loaded.origins.get(key) ?? "default"}` : line);
  }
  return `${[...blocks.values()].map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

function describeSection(
  title: string,
  children: Nodes,
  sentence: string,
  words: readonly string[],
  lines: string[],
): void {
  if (title !== "") lines.push(`## ${title}`, "", sentence, "");
  const options = Object.entries(children).filter(
    (entry): entry is [string, Option<unknown>] => entry[1].node === "option",
  );
  if (options.length > 0) {
    lines.push("| option | value | default | environment | |", "|---|---|---|---|---|");
    for (const [key, option] of options) {
      const name = environmentName([...words, key]);
      // A sink is registered in the file alone; and a name cannot be set by itself.
      const isSettable = words[0] !== "sinks" && !name.endsWith("_NAME_NAME");
      const cells = [
        `\`${key}\``,
        option.kind.expects,
        fallbackWords(option),
        isSettable ? `\`${name}\`` : "",
        option.sentence,
      ];
      lines.push(`| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`);
    }
    lines.push("");
  }
  for (const [key, node] of Object.entries(children)) {
    if (node.node === "option") continue;
    const below = [...words, key];
    // Tables of a list go by a name, which the reader has to put in.
    const named = node.node === "list" && node.nameKey !== null ? [...below, "NAME"] : below;
    const keys = below.filter((word) => word !== "NAME").join(".");
    describeSection(
      node.node === "list" ? `\`[[${keys}]]\`` : `\`[${keys}]\``,
      node.children,
      node.sentence,
      named,
      lines,
    );
  }
}

function fallbackWords(option: Option<unknown>): string {
  if (option.fallbackWords !== undefined) return option.fallbackWords;
  if (option.fallback === undefined) return "must be written";
  const value = option.fallback();
  return value === null ? "none" : `\`${option.kind.format(value)}\``;
}

function objectSchema(children: Nodes): Readonly<Record<string, unknown>> {
  const requiredKeys = Object.keys(children).filter((key) => {
    const node = children[key]!;
    return node.node === "option" && node.fallback === undefined;
  });
  return {
    type: "object",
    additionalProperties: false,
    properties: Object.fromEntries(Object.entries(children).map(([key, node]) => [key, nodeSchema(node)])),
    ...(requiredKeys.length > 0 && { required: requiredKeys }),
  };
}

function nodeSchema(node: Node): Readonly<Record<string, unknown>> {
  const description = node.sentence;
  if (node.node === "list") return { type: "array", items: objectSchema(node.children), description };
  if (node.node !== "option") return { ...objectSchema(node.children), description };
  // A default that depends on the machine would make the schema depend on it.
  const value = node.fallbackWords === undefined ? node.fallback?.() : undefined;
  const fallback = value === undefined || value === null ? {} : { default: jsonDefault(node, value) };
  return { ...node.kind.jsonSchema, description, ...fallback };
}

/** Sizes and durations as the file writes them; all else is the same in JSON. */
function jsonDefault(option: Option<unknown>, value: unknown): unknown {
  const written = option.kind.format(value);
  return written.startsWith('"') ? (JSON.parse(written) as unknown) : value;
}

if (import.meta.main && process.argv.includes("--write")) {
  const docs = join(import.meta.dirname, "../../docs");
  writeFileSync(join(docs, "configuration.md"), configReference());
  writeFileSync(join(docs, "onarrival.schema.json"), `${JSON.stringify(configJsonSchema(), null, 2)}\n`);
}
