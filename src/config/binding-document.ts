/**
 * What an admin changed about bindings, as one document: sinks that were added, and fields set over those of the configuration and of scripts.
 * Reading it, writing it, merging two of them, and the difference of two in words. Pure; the file stands in binding-file.ts.
 */
import { basename, isAbsolute, relative, resolve } from "node:path";
import { answerMsDefault } from "../events/answer-time.ts";
import type { EventName } from "../events/event.ts";
import { eventNames, isEventName } from "../events/event-table.ts";
import {
  type BindingFields,
  bindingFields,
  eventOfId,
  type Overrides,
  readFields,
  unknownField,
} from "../events/override.ts";
import { Fault } from "../platform/fault.ts";
import { choice, count, describeRaw, formatDuration, isTable, text, type ValueKind } from "../platform/value.ts";
import { defaultPriority } from "../sinks/default-priority.ts";
import type { SinkEntry } from "../sinks/load-sinks.ts";

/** A later one is not read: what it says could be misunderstood. */
export const documentFormat = 1;

/** A sink bound by `onarrival bindings add`. */
export interface AddedBinding extends Required<BindingFields> {
  /** `added/NAME#EVENT`, with `-2` and so on where that was taken; never given twice. */
  readonly id: string;
  /** One of the sinks that come with the program; else there is `module`. */
  readonly use?: string;
  /** A path that begins with "./" or "../", relative to the site's folder, or with "/". */
  readonly module?: string;
  readonly export?: string;
  readonly event: EventName;
  readonly name?: string;
}

export interface BindingDocument {
  readonly format: typeof documentFormat;
  /** Counts up with every change; 0 before the first. */
  readonly revision: number;
  /** RFC 3339. */
  readonly changedAt: string;
  /** The revision whose content this is, where it came by `undo`. */
  readonly restored?: number;
  /** How many ids were given out, by the id without its number. */
  readonly issued: Readonly<Record<string, number>>;
  readonly added: readonly AddedBinding[];
  readonly overrides: Overrides;
}

/** What an admin decides of a document; the rest is bookkeeping. */
export type BindingContent = Pick<BindingDocument, "issued" | "added" | "overrides">;

export const emptyDocument: BindingDocument = {
  format: documentFormat,
  revision: 0,
  changedAt: new Date(0).toISOString(),
  issued: {},
  added: [],
  overrides: {},
};

const addedMax = 1_000;
const countKind = count({ min: 0, max: Number.MAX_SAFE_INTEGER });
const nameKind = text("a name");
const addedKinds: Readonly<Record<string, ValueKind<string>>> = {
  use: nameKind,
  module: text('a path that begins with "./", "../" or "/"', /^\.{0,2}\/[^\x00-\x1f\x7f]+$/),
  export: nameKind,
  name: nameKind,
  event: choice("event", eventNames),
};

/** @throws {Fault} `binding.invalid`, with line and column where it is no JSON; `rule.syntax` */
export function readDocument(json: string): BindingDocument {
  const raw = parseJson(json);
  if (!isTable(raw)) throw new Fault("binding.invalid", `expected an object, not ${describeRaw(raw)}`);
  if (raw.format !== documentFormat) {
    throw new Fault(
      "binding.invalid",
      typeof raw.format === "number" && raw.format > documentFormat
        ? `format ${raw.format} is of a later version of OnArrival; this one reads format ${documentFormat}`
        : `format: expected ${documentFormat}, not ${describeRaw(raw.format)}`,
    );
  }
  const known = ["format", "revision", "changedAt", "restored", "issued", "added", "overrides"];
  for (const name of Object.keys(raw)) if (!known.includes(name)) throw unknownField(name, known, "the document");
  const { revision = 0, changedAt = emptyDocument.changedAt, restored, issued = {}, added = [], overrides = {} } = raw;
  if (typeof changedAt !== "string" || Number.isNaN(Date.parse(changedAt)))
    throw new Fault("binding.invalid", `changedAt: expected a time, not ${describeRaw(changedAt)}`);
  if (!Array.isArray(added) || added.length > addedMax)
    throw new Fault("binding.invalid", `added: expected a list of at most ${addedMax} bindings`);
  if (!isTable(overrides) || !isTable(issued))
    throw new Fault("binding.invalid", "overrides and issued: expected objects");
  const bindings = added.map((one: unknown, i) => readAdded(one, `added[${i}]`));
  const taken = new Set<string>();
  for (const [i, { id }] of bindings.entries()) {
    if (taken.has(id)) throw new Fault("binding.invalid", `added[${i}]: id: ${id} is there twice`);
    taken.add(id);
  }
  return {
    format: documentFormat,
    revision: readAs(countKind, revision, "revision"),
    changedAt,
    ...(restored !== undefined && { restored: readAs(countKind, restored, "restored") }),
    issued: countIssued(
      Object.fromEntries(
        Object.entries(issued).map(([stem, value]) => [stem, readAs(countKind, value, `issued: ${stem}`)]),
      ),
      bindings,
    ),
    added: bindings,
    overrides: Object.fromEntries(Object.entries(overrides).map(([id, fields]) => [id, readOverride(id, fields)])),
  };
}

/** As it stands in the file: for people, with a line for each field. */
export function formatDocument(document: BindingDocument): string {
  return `${JSON.stringify(document, null, 2)}\n`;
}

/**
 * A binding to add, from what was asked for. It gets the next id of its name.
 * @throws {Fault} `binding.invalid`, `rule.syntax`
 */
export function nextAdded(raw: unknown, { issued }: BindingContent): AddedBinding {
  const place = "the binding";
  if (isTable(raw) && "id" in raw) throw new Fault("binding.invalid", `${place}: the server gives the id itself`);
  const binding = readEntry(raw, place);
  const { name, use, module = "", event } = binding;
  const words = name ?? use ?? basename(module).replace(/\.[^.]*$/, "");
  const stem = `added/${words.replace(/[^A-Za-z0-9._-]+/g, "-")}#${event}`;
  const number = (issued[stem] ?? 0) + 1;
  return { id: number === 1 ? stem : `${stem}-${number}`, ...binding };
}

/** The content with a binding more. */
export function withAdded({ issued, added, overrides }: BindingContent, binding: AddedBinding): BindingContent {
  const all = [...added, binding];
  return { issued: countIssued(issued, all), added: all, overrides };
}

/** `merge` keeps what only the present one has; `replace` takes the other as it is. Ids once given stay given. */
export function mergeContent(
  present: BindingContent,
  other: BindingContent,
  mode: "merge" | "replace",
): BindingContent {
  const issued = { ...present.issued };
  for (const [stem, number] of Object.entries(other.issued)) issued[stem] = Math.max(issued[stem] ?? 0, number);
  if (mode === "replace") return { issued, added: other.added, overrides: other.overrides };
  const kept = present.added.filter(({ id }) => !other.added.some((one) => one.id === id));
  return { issued, added: [...kept, ...other.added], overrides: { ...present.overrides, ...other.overrides } };
}

/** What the loader is to make of an added binding. */
export function entryOf({ module, event, ...binding }: AddedBinding, folder: string): SinkEntry {
  return {
    ...binding,
    ...(module !== undefined && { module: resolve(folder, module) }),
    events: [event],
    source: "added",
  };
}

/** A module's path as it is kept: relative where it is inside the site's folder, so that the site can be moved. */
export function keptPath(module: string, folder: string): string {
  const near = relative(folder, resolve(folder, module));
  return near.startsWith("..") || isAbsolute(near) ? resolve(folder, module) : `./${near}`;
}

/** One binding that differs between two documents. */
export interface Difference {
  readonly sign: "+" | "-" | "~";
  readonly id: string;
  /** What it is, or what changed: `priority 100 → 50`. */
  readonly words: readonly string[];
}

/** What leads from one to the other, in the order of their bindings. Empty where nothing differs. */
export function differences(before: BindingContent, after: BindingContent): Difference[] {
  const found: Difference[] = [];
  for (const one of before.added)
    if (!after.added.some(({ id }) => id === one.id)) found.push({ sign: "-", id: one.id, words: [describeSink(one)] });
  for (const one of after.added) {
    const former = before.added.find(({ id }) => id === one.id);
    if (!former) {
      const settings = fieldsThatDiffer(plainFields(one), one).map(
        (field) => `${labels[field]} ${describeField(one, field)}`,
      );
      found.push({ sign: "+", id: one.id, words: [describeSink(one), ...settings] });
      continue;
    }
    const words = changedFields(former, one);
    if (describeSink(former) !== describeSink(one)) words.unshift(`${describeSink(former)} → ${describeSink(one)}`);
    if (words.length > 0) found.push({ sign: "~", id: one.id, words });
  }
  for (const id of new Set([...Object.keys(before.overrides), ...Object.keys(after.overrides)])) {
    const words = changedFields(before.overrides[id] ?? {}, after.overrides[id] ?? {});
    if (words.length > 0) found.push({ sign: "~", id, words });
  }
  return found;
}

/** Fields of an added binding where nothing is said. */
export function plainFields({ use = null }: { readonly use?: string | null }): Required<BindingFields> {
  return {
    enabled: true,
    priority: defaultPriority(use),
    rule: null,
    phase: "session",
    onFault: "defer",
    timeoutMs: answerMsDefault,
    maxFirings: 0,
    properties: {},
  };
}

/** What people call a field. */
const labels: Readonly<Record<keyof BindingFields, string>> = {
  enabled: "enabled",
  priority: "priority",
  rule: "rule",
  phase: "phase",
  onFault: "on fault",
  timeoutMs: "timeout",
  maxFirings: "max firings",
  properties: "properties",
};

function fieldsThatDiffer(before: BindingFields, after: BindingFields): readonly (keyof BindingFields)[] {
  return bindingFields.filter((field) => JSON.stringify(before[field]) !== JSON.stringify(after[field]));
}

function changedFields(before: BindingFields, after: BindingFields): string[] {
  return fieldsThatDiffer(before, after).map(
    (field) => `${labels[field]} ${describeField(before, field)} → ${describeField(after, field)}`,
  );
}

/** A field that is not set is the binding's own again. */
function describeField(fields: BindingFields, field: keyof BindingFields): string {
  const value = fields[field];
  if (value === undefined) return "as written";
  if (value === null) return "none";
  if (field === "timeoutMs") return formatDuration(value as number);
  return typeof value === "string" ? value : JSON.stringify(value);
}

function describeSink({ use, module, export: name, event }: AddedBinding): string {
  return `${use ?? `${module}${name === undefined ? "" : ` (${name})`}`} on ${event}`;
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    const offset = /position (\d+)/.exec(words)?.[1];
    const before = json.slice(0, offset === undefined ? json.length : Number(offset)).split("\n");
    throw new Fault(
      "binding.invalid",
      `line ${before.length}, column ${before.at(-1)!.length + 1}: no JSON: ${words}`,
      {
        cause: error,
      },
    );
  }
}

function readAdded(raw: unknown, place: string): AddedBinding {
  if (!isTable(raw)) throw new Fault("binding.invalid", `${place}: expected a binding, not ${describeRaw(raw)}`);
  const { id, ...rest } = raw;
  const binding = readEntry(rest, place);
  if (
    typeof id !== "string" ||
    !/^added\/[A-Za-z0-9._-]+#on[A-Za-z]+(-\d+)?$/.test(id) ||
    eventOfId(id) !== binding.event
  )
    throw new Fault("binding.invalid", `${place}: id: expected added/NAME#${binding.event}, not ${describeRaw(id)}`);
  return { id, ...binding };
}

function readEntry(raw: unknown, place: string): Omit<AddedBinding, "id"> {
  if (!isTable(raw)) throw new Fault("binding.invalid", `${place}: expected a binding, not ${describeRaw(raw)}`);
  const known = [...Object.keys(addedKinds), ...bindingFields];
  const [sink, fields]: Record<string, unknown>[] = [{}, {}];
  for (const [name, value] of Object.entries(raw)) {
    if (!known.includes(name)) throw unknownField(name, known, place);
    if (Object.hasOwn(addedKinds, name)) sink![name] = readAs(addedKinds[name]!, value, `${place}: ${name}`);
    else fields![name] = value;
  }
  // Read by their kinds just now.
  const { use, module, export: exported, name, event } = sink as { readonly [Key in string]?: string };
  if (event === undefined || !isEventName(event)) throw new Fault("binding.invalid", `${place}: there is no event`);
  if ((use === undefined) === (module === undefined))
    throw new Fault("binding.invalid", `${place}: expected use or module, one of them`);
  if (exported !== undefined && module === undefined)
    throw new Fault("binding.invalid", `${place}: export goes with module, not with use`);
  const { properties = {}, ...read } = readFields(fields, { place, event });
  return {
    ...(use !== undefined && { use }),
    ...(module !== undefined && { module }),
    ...(exported !== undefined && { export: exported }),
    event,
    ...(name !== undefined && { name }),
    ...plainFields(use === undefined ? {} : { use }),
    ...read,
    properties: Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== null)),
  };
}

function readOverride(id: string, raw: unknown): BindingFields {
  const place = `overrides[${JSON.stringify(id)}]`;
  const event = eventOfId(id);
  if (!/^[^#]+\/[^#]*#on[A-Za-z]+(-\d+)?$/.test(id))
    throw new Fault("binding.invalid", `${place}: expected the id of a binding, such as sinks/NAME#onArrival`);
  if (id.startsWith("server/"))
    throw new Fault("binding.invalid", `${place}: the server's own handling cannot be changed`);
  return readFields(raw, { place, ...(event && { event }) });
}

function readAs<T>(kind: ValueKind<T>, raw: unknown, place: string): T {
  const parsed = kind.parse(raw);
  if ("value" in parsed) return parsed.value;
  const nearest = parsed.nearest === undefined ? "" : `; did you mean ${parsed.nearest}?`;
  throw new Fault("binding.invalid", `${place}: expected ${parsed.expected}, not ${describeRaw(raw)}${nearest}`);
}

function countIssued(issued: Readonly<Record<string, number>>, added: readonly AddedBinding[]): Record<string, number> {
  const counted = { ...issued };
  for (const { id } of added) {
    const [, stem, number = "1"] = /^(.*?#on[A-Za-z]+)(?:-(\d+))?$/.exec(id)!;
    counted[stem!] = Math.max(counted[stem!] ?? 0, Number(number));
  }
  return counted;
}
