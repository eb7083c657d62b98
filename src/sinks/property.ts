/**
 * Properties of the sinks that come with the server: name, kind, default and sentence of each in one table, as the configuration has its options.
 * One reader checks what onarrival.toml gives against it, and the reference page (docs/sinks.md) is made from it.
 */
import { Fault } from "../platform/fault.ts";
import { describeRaw, nearestWord, type ValueKind } from "../platform/value.ts";

export interface Property<T> {
  readonly kind: ValueKind<T>;
  /** null: it must be written. Else what holds where it is not. */
  readonly fallback: { readonly value: T } | null;
  /** The default in words, where the value itself would not tell. */
  readonly fallbackWords?: string;
  readonly sentence: string;
}

/** By name, as onarrival.toml writes it: words joined by "_". */
export type PropertyTable = Readonly<Record<string, Property<unknown>>>;

/** What a reader gives for a table. */
export type ValuesOf<Table extends PropertyTable> = {
  readonly [Name in keyof Table]: Table[Name] extends Property<infer T> ? T : never;
};

export function property<T>(kind: ValueKind<T>, fallback: NoInfer<T>, sentence: string): Property<T> {
  return { kind, fallback: { value: fallback }, sentence };
}

export function requiredProperty<T>(kind: ValueKind<T>, sentence: string): Property<T> {
  return { kind, fallback: null, sentence };
}

/** A property that may be left out; its value is null then. */
export function optionalProperty<T>(kind: ValueKind<T>, sentence: string, fallbackWords: string): Property<T | null> {
  return { kind: kind as ValueKind<T | null>, fallback: { value: null }, fallbackWords, sentence };
}

/**
 * The values of all properties, defaults filled in.
 * @throws {Fault} `sink.properties` with everything that is wrong, at once
 */
export function readProperties<Table extends PropertyTable>(
  sink: string,
  table: Table,
  written: Readonly<Record<string, unknown>>,
): ValuesOf<Table> {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const name of Object.keys(written)) {
    if (Object.hasOwn(table, name)) continue;
    const nearest = nearestWord(name, Object.keys(table));
    const remedy =
      nearest === undefined ? `expected one of ${Object.keys(table).join(", ")}` : `did you mean ${nearest}?`;
    problems.push(`there is no property ${describeRaw(name)}; ${remedy}`);
  }
  for (const [name, { kind, fallback }] of Object.entries(table)) {
    const raw = written[name];
    if (raw === undefined) {
      if (fallback === null) problems.push(`${name} is missing: expected ${kind.expects}`);
      else values[name] = fallback.value;
      continue;
    }
    const parsed = kind.parse(raw);
    if ("value" in parsed) values[name] = parsed.value;
    else {
      const hint = parsed.nearest === undefined ? "" : `; did you mean ${JSON.stringify(parsed.nearest)}?`;
      problems.push(`${name}: expected ${parsed.expected}, found ${describeRaw(raw)}${hint}`);
    }
  }
  if (problems.length > 0) throw propertiesFault(sink, problems);
  // Every name of the table has a value of its kind now.
  return values as ValuesOf<Table>;
}

/** What is wrong between properties that are right one by one. */
export function propertiesFault(sink: string, problems: readonly string[], cause?: unknown): Fault {
  const told = problems.map((problem) => (problem.endsWith("?") ? problem : `${problem}.`)).join(" ");
  return new Fault("sink.properties", `Cannot use the properties of ${sink}: ${told}`, { cause });
}
