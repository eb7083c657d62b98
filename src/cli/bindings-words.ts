/** How bindings are named and described on the command line: shortened ids, events, and the flags that set a binding's fields. */
import type { BindingView } from "../admin/server-view.ts";
import { onFaults, phases, priorityMax } from "../events/binding.ts";
import type { EventName } from "../events/event.ts";
import { eventNames, isEventName } from "../events/event-table.ts";
import { answerTimeMs, type BindingField, bindingFields } from "../events/override.ts";
import { choice, count, duration, nearestWord, type ValueKind } from "../platform/value.ts";
import { UsageError } from "./failure.ts";

/** What a person writes for a field, as in `--reset on-fault`. */
export const fieldNames: Readonly<Record<string, string>> = {
  enabled: "enabled",
  priority: "priority",
  rule: "rule",
  phase: "phase",
  onFault: "on-fault",
  timeoutMs: "timeout",
  maxFirings: "max-firings",
  properties: "properties",
} satisfies Record<BindingField, string>;

/** Flags that set fields; keys as commander gives them. */
export interface FieldFlags {
  readonly priority?: string;
  /** false: `--no-rule`. */
  readonly rule?: string | false;
  readonly phase?: string;
  readonly onFault?: string;
  readonly timeout?: string;
  readonly maxFirings?: string;
  readonly property?: readonly string[];
}

const kinds = {
  priority: count({ min: 0, max: priorityMax }),
  phase: choice("phase", phases),
  onFault: choice("way", onFaults),
  timeout: duration({ minMs: answerTimeMs.minMs, maxMs: answerTimeMs.maxMs }),
  maxFirings: count({ min: 0, max: Number.MAX_SAFE_INTEGER }),
} as const;

/** Fields as the server takes them. @throws {UsageError} */
export function readFieldFlags({ rule, property = [], ...flags }: FieldFlags): Readonly<Record<string, unknown>> {
  const fields: Record<string, unknown> = {};
  if (flags.priority !== undefined) fields.priority = read("--priority", flags.priority, kinds.priority);
  if (rule !== undefined) fields.rule = rule === false ? null : rule;
  if (flags.phase !== undefined) fields.phase = read("--phase", flags.phase, kinds.phase);
  if (flags.onFault !== undefined) fields.onFault = read("--on-fault", flags.onFault, kinds.onFault);
  if (flags.timeout !== undefined) fields.timeoutMs = read("--timeout", flags.timeout, kinds.timeout);
  if (flags.maxFirings !== undefined) fields.maxFirings = read("--max-firings", flags.maxFirings, kinds.maxFirings);
  if (property.length > 0) fields.properties = Object.fromEntries(property.map(readProperty));
  return fields;
}

/** `key=value`, the value as JSON where it is JSON, else as text. */
function readProperty(pair: string): readonly [string, unknown] {
  const equals = pair.indexOf("=");
  if (equals < 1) throw new UsageError(`--property: expected KEY=VALUE, not ${JSON.stringify(pair)}`);
  const text = pair.slice(equals + 1);
  try {
    return [pair.slice(0, equals), JSON.parse(text)];
  } catch {
    return [pair.slice(0, equals), text];
  }
}

function read<T>(flag: string, text: string, kind: ValueKind<T>): T {
  const parsed = kind.parse(kind.fromText(text));
  if ("value" in parsed) return parsed.value;
  const hint = parsed.nearest === undefined ? undefined : `Did you mean ${parsed.nearest}?`;
  throw new UsageError(`${flag}: expected ${parsed.expected}, not ${JSON.stringify(text)}`, hint);
}

/** `--reset FIELD…`. @throws {UsageError} */
export function readFieldNames(names: readonly string[]): BindingField[] {
  return names.map((name) => {
    const field = bindingFields.find((one) => one === name || fieldNames[one] === name);
    if (field !== undefined) return field;
    const known = Object.values(fieldNames);
    const nearest = nearestWord(name, known);
    throw new UsageError(
      `--reset: there is no field ${JSON.stringify(name)}: expected ${known.join(", ")}`,
      nearest && `Did you mean ${nearest}?`,
    );
  });
}

/** @throws {UsageError} with the event that was probably meant */
export function readEvent(text: string): EventName {
  if (isEventName(text)) return text;
  const nearest = nearestWord(text, eventNames);
  throw new UsageError(`There is no event ${JSON.stringify(text)}`, nearest && `Did you mean ${nearest}?`);
}

/** An id below the heading of its event: `added/x-2` for `added/x#onArrival-2`. */
export function shortId({ id, event }: Pick<BindingView, "id" | "event">): string {
  return id.replace(`#${event}`, "");
}

/**
 * The id that is meant: a whole one, one without its event, the name of a sink or script, or the beginning or a part of one, where no other binding fits as well.
 * @throws {UsageError} where none does, or several do
 */
export function findId(text: string, bindings: readonly BindingView[]): string {
  const ways: readonly ((binding: BindingView) => boolean)[] = [
    ({ id }) => id === text,
    (binding) => shortId(binding) === text || binding.name === text,
    ({ id }) => id.startsWith(text) || id.slice(id.indexOf("/") + 1).startsWith(text),
    ({ id }) => id.includes(text),
  ];
  for (const fits of text === "" ? [] : ways) {
    const found = bindings.filter(fits);
    if (found.length === 1) return found[0]!.id;
    if (found.length > 1) {
      throw new UsageError(
        `${JSON.stringify(text)} may be any of ${found.length} bindings: ${found.map(({ id }) => id).join(", ")}`,
        "Write as much of the id as tells them apart",
      );
    }
  }
  const nearest =
    nearestWord(
      text,
      bindings.map(({ id }) => id),
    ) ??
    nearestWord(text, bindings.map(shortId)) ??
    nearestWord(
      text,
      bindings.map((binding) => shortId(binding).replace(/^[^/]*\/|\.ts$/g, "")),
    );
  throw new UsageError(
    `There is no binding ${JSON.stringify(text)}`,
    nearest === undefined ? "onarrival bindings list shows them" : `Did you mean ${nearest}?`,
  );
}
