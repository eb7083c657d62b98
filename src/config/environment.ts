/**
 * Options by name from outside the file: `--set delivery.concurrency=50`, `ONARRIVAL_DELIVERY_CONCURRENCY=50`. One environment name for
 * each option, computed from the table, and a few short ones. Tables of a list go by their name: `listeners.mx.port`, `ONARRIVAL_LISTENERS_MX_PORT`.
 */

import { isTable, nearestWord } from "../platform/value.ts";
import type { KeyPath } from "./locate.ts";
import type { Nodes, Option } from "./option.ts";

/** Short names for what is set most; `null` names the file itself and is no option. The SMTP port is the first listener's. */
export const shortNames: Readonly<Record<string, KeyPath | null>> = {
  ONARRIVAL_CONFIG: null,
  ONARRIVAL_DATA: ["data"],
  ONARRIVAL_SCRIPTS: ["scripts", "folder"],
  ONARRIVAL_SMTP_PORT: ["listeners", 0, "port"],
  ONARRIVAL_ADMIN_PORT: ["admin", "port"],
};

/** Read by other parts, from the environment alone. */
const foreignNames: ReadonlySet<string> = new Set(["ONARRIVAL_CRASH_AT"]);

/** An option as it stands in one configuration: tables of lists are numbered. */
export interface NamedOption {
  readonly path: KeyPath;
  /** `listeners.mx.port` */
  readonly key: string;
  /** `ONARRIVAL_LISTENERS_MX_PORT` */
  readonly environmentName: string;
  readonly option: Option<unknown>;
}

/** Every option of the table, for the lists that `raw` holds. */
export function nameOptions(nodes: Nodes, raw: Readonly<Record<string, unknown>>): NamedOption[] {
  const named: NamedOption[] = [];
  const visit = (
    children: Nodes,
    table: Readonly<Record<string, unknown>>,
    path: KeyPath,
    words: readonly string[],
  ) => {
    for (const [key, node] of Object.entries(children)) {
      const below = [...path, key];
      const names = [...words, key];
      if (node.node === "option") {
        named.push({ path: below, key: names.join("."), environmentName: environmentName(names), option: node });
      } else if (node.node === "list") {
        const items: readonly unknown[] = Array.isArray(table[key]) ? table[key] : node.fallback;
        for (const [i, item] of items.entries()) {
          const itemTable = isTable(item) ? item : {};
          visit(
            node.children,
            itemTable,
            [...below, i],
            [...names, itemName(node.nameKey, node.children, itemTable, i)],
          );
        }
      } else {
        visit(node.children, isTable(table[key]) ? table[key] : {}, below, names);
      }
    }
  };
  visit(nodes, raw, [], []);
  return named;
}

export function environmentName(words: readonly string[]): string {
  return `ONARRIVAL_${words
    .join("_")
    .toUpperCase()
    .replace(/[^A-Z0-9]/g, "_")}`;
}

/** A key's path with the numbers of lists turned into the names of their tables: `listeners.mx.port`, `sinks.0.rule`. */
export function formatKey(path: KeyPath, nodes: Nodes, raw: Readonly<Record<string, unknown>>): string {
  const words: string[] = [];
  let children: Nodes | undefined = nodes;
  let value: unknown = raw;
  for (let i = 0; i < path.length; i++) {
    const step = path[i]!;
    const node: Nodes[string] | undefined =
      typeof step === "string" && children && Object.hasOwn(children, step) ? children[step] : undefined;
    value = isTable(value) ? value[String(step)] : undefined;
    words.push(String(step));
    const index = path[i + 1];
    if (node?.node === "list" && typeof index === "number") {
      const item: unknown = Array.isArray(value) ? value[index] : undefined;
      words.push(itemName(node.nameKey, node.children, isTable(item) ? item : {}, index));
      value = item;
      i++;
    }
    children = node && node.node !== "option" ? node.children : undefined;
  }
  return words.join(".");
}

/** The raw tree with `value` at `path`; tables on the way are made. Trees are copied, never changed. */
export function withValue(
  raw: Readonly<Record<string, unknown>>,
  path: KeyPath,
  value: unknown,
): Readonly<Record<string, unknown>> {
  const [step, ...rest] = path;
  if (step === undefined) return raw;
  const key = String(step);
  const index = rest[0];
  if (typeof index === "number") {
    const items: unknown[] = Array.isArray(raw[key]) ? [...(raw[key] as unknown[])] : [];
    const item = items[index];
    items[index] = withValue(isTable(item) ? item : {}, rest.slice(1), value);
    return { ...raw, [key]: items };
  }
  const below = raw[key];
  return { ...raw, [key]: rest.length === 0 ? value : withValue(isTable(below) ? below : {}, rest, value) };
}

/** Names that look like ours and are none, each with the one that was probably meant. */
export function unknownNames(
  env: NodeJS.ProcessEnv,
  named: readonly NamedOption[],
): { readonly name: string; readonly nearest: string | undefined }[] {
  const known = [...Object.keys(shortNames), ...named.map((option) => option.environmentName)];
  return Object.keys(env)
    .filter((name) => name.startsWith("ONARRIVAL_") && !known.includes(name) && !foreignNames.has(name))
    .map((name) => ({ name, nearest: nearestWord(name, known) }));
}

function itemName(
  nameKey: string | null,
  children: Nodes,
  item: Readonly<Record<string, unknown>>,
  index: number,
): string {
  if (nameKey === null) return String(index);
  const written = item[nameKey];
  if (typeof written === "string" && written !== "") return written;
  const node = children[nameKey];
  const fallback = node?.node === "option" ? node.fallback?.() : undefined;
  return typeof fallback === "string" ? fallback : String(index);
}
