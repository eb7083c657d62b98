/**
 * From what was written to values: walks the table of options beside the raw tree and tells every problem, not only the first.
 * Knows nothing of files or the environment; the caller says where a value comes from.
 */

import { describeRaw, isTable, nearestWord } from "../platform/value.ts";
import type { KeyPath } from "./locate.ts";
import type { Nodes, Option } from "./option.ts";

export type Origin = "flag" | "environment" | "file" | "default";

/** Something that is not as it should be, at a key. */
export interface Finding {
  readonly path: KeyPath;
  readonly message: string;
  /** The key or word that was probably meant. */
  readonly nearest?: string;
}

export interface Walk {
  readonly findings: Finding[];
  /** Origin of a raw value that is there. */
  origin(path: KeyPath): Origin;
  /** Makes a path absolute. */
  absolute(written: string, origin: Origin): string;
  /** Told of every option with the origin of its value. */
  settled(path: KeyPath, origin: Origin): void;
}

/** The values of a table's options; where there are findings, the values are not complete and must not be used. */
export function readTable(
  nodes: Nodes,
  raw: Readonly<Record<string, unknown>>,
  path: KeyPath,
  walk: Walk,
): Record<string, unknown> {
  for (const key of Object.keys(raw)) {
    if (Object.hasOwn(nodes, key)) continue;
    const nearest = nearestWord(key, Object.keys(nodes));
    walk.findings.push({
      path: [...path, key],
      message: `unknown key ${JSON.stringify(key)}`,
      ...(nearest !== undefined && { nearest }),
    });
  }
  const values: Record<string, unknown> = {};
  for (const [key, node] of Object.entries(nodes)) {
    const written = Object.hasOwn(raw, key) ? raw[key] : undefined;
    const at = [...path, key];
    switch (node.node) {
      case "option":
        values[key] = readOption(node, written, at, walk);
        break;
      case "section":
        values[key] = readTable(node.children, tableOr(written, at, walk), at, walk);
        break;
      case "optional-section":
        values[key] = written === undefined ? null : readTable(node.children, tableOr(written, at, walk), at, walk);
        break;
      case "list": {
        const items: readonly unknown[] = Array.isArray(written) ? written : node.fallback;
        if (written !== undefined && !Array.isArray(written)) {
          walk.findings.push({
            path: at,
            message: `expected [[${at.join(".")}]], once for each, found ${describeRaw(written)}`,
          });
        }
        values[key] = items.map((item, i) =>
          readTable(node.children, tableOr(item, [...at, i], walk), [...at, i], walk),
        );
      }
    }
  }
  return values;
}

function readOption(option: Option<unknown>, written: unknown, path: KeyPath, walk: Walk): unknown {
  if (written === undefined) {
    if (option.fallback === undefined) {
      walk.findings.push({
        path,
        message: `${JSON.stringify(path.at(-1))} is missing: expected ${option.kind.expects}`,
      });
      return undefined;
    }
    walk.settled(path, "default");
    const value = option.fallback();
    return option.isPath && typeof value === "string" ? walk.absolute(value, "default") : value;
  }
  const origin = walk.origin(path);
  walk.settled(path, origin);
  const parsed = option.kind.parse(written);
  if ("value" in parsed)
    return option.isPath && typeof parsed.value === "string" ? walk.absolute(parsed.value, origin) : parsed.value;
  walk.findings.push({
    path,
    message: `expected ${parsed.expected}, found ${describeRaw(written)}`,
    ...(parsed.nearest !== undefined && { nearest: parsed.nearest }),
  });
  return undefined;
}

function tableOr(written: unknown, path: KeyPath, walk: Walk): Readonly<Record<string, unknown>> {
  if (written === undefined) return {};
  if (isTable(written)) return written;
  walk.findings.push({ path, message: `expected a table, found ${describeRaw(written)}` });
  return {};
}
