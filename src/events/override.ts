/**
 * What an admin sets in the place of what the configuration, a script's exports or a sink's entry say: which fields can be set, what they may
 * hold, and how they are laid over bindings. Pure; where it is kept stands in config/binding-file.ts.
 */
import { Fault } from "../platform/fault.ts";
import { choice, count, describeRaw, flag, isTable, nearestWord, table, type ValueKind } from "../platform/value.ts";
import { type Binding, type OnFault, onFaults, type Phase, phases, priorityMax } from "./binding.ts";
import type { EventName } from "./event.ts";
import { isEventName } from "./event-table.ts";
import { parseRule } from "./rule.ts";

/** Fields of a binding as an admin may set them. What is absent stays as it is. */
export interface BindingFields {
  readonly enabled?: boolean;
  readonly priority?: number;
  /** As it is written; null: asked about everything. */
  readonly rule?: string | null;
  readonly phase?: Phase;
  readonly onFault?: OnFault;
  readonly timeoutMs?: number;
  readonly maxFirings?: number;
  /** Key by key over those of the sink; null takes a key away. */
  readonly properties?: Readonly<Record<string, unknown>>;
}

export type BindingField = keyof BindingFields;

/** In the order they are listed. */
export const bindingFields = [
  "enabled",
  "priority",
  "rule",
  "phase",
  "onFault",
  "timeoutMs",
  "maxFirings",
  "properties",
] as const;

/** By binding id. */
export type Overrides = Readonly<Record<string, BindingFields>>;

/** Bounds of the time a native sink has for an answer, both included. */
export const answerTimeMs = { minMs: 10, maxMs: 600_000 } as const;

const kinds: { readonly [Field in Exclude<BindingField, "rule">]: ValueKind<NonNullable<BindingFields[Field]>> } = {
  enabled: flag,
  priority: count({ min: 0, max: priorityMax }),
  phase: choice("phase", phases),
  onFault: choice("way", onFaults),
  timeoutMs: count({ min: answerTimeMs.minMs, max: answerTimeMs.maxMs }),
  maxFirings: count({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  properties: table,
};

/**
 * Reads fields that came as JSON.
 * @param place What they belong to, for the words of a fault: `overrides["sinks/x#onData"]`.
 * @throws {Fault} `binding.invalid`; `rule.syntax`, with `column` among its facts
 */
export function readFields(
  raw: unknown,
  { place, event }: { readonly place: string; readonly event?: EventName },
): BindingFields {
  if (!isTable(raw))
    throw new Fault("binding.invalid", `${place}: expected fields of a binding, not ${describeRaw(raw)}`);
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(raw)) {
    const field = bindingFields.find((one) => one === name);
    if (field === undefined) throw unknownField(name, bindingFields, place);
    fields[field] = field === "rule" ? readRule(value, place, event) : readValue(field, value, place);
  }
  // Every key is one of the fields, with a value of its kind.
  return fields as BindingFields;
}

/** A field nobody knows, with the one that was probably meant. */
export function unknownField(name: string, known: readonly string[], place: string): Fault {
  const nearest = nearestWord(name, known);
  return new Fault(
    "binding.invalid",
    `${place}: there is no field ${JSON.stringify(name)}; ${nearest === undefined ? `expected ${known.join(", ")}` : `did you mean ${nearest}?`}`,
  );
}

function readValue(field: Exclude<BindingField, "rule">, value: unknown, place: string): unknown {
  const parsed = kinds[field].parse(value);
  if ("value" in parsed) return parsed.value;
  throw new Fault("binding.invalid", `${place}: ${field}: expected ${parsed.expected}, not ${describeRaw(value)}`);
}

function readRule(value: unknown, place: string, event: EventName | undefined): string | null {
  if (value === null) return null;
  if (typeof value !== "string")
    throw new Fault("binding.invalid", `${place}: rule: expected a rule or null, not ${describeRaw(value)}`);
  parseRule(value, event);
  return value;
}

/** The event an id names: `onArrival` of `added/x#onArrival-2`. Undefined where there is none of that name. */
export function eventOfId(id: string): EventName | undefined {
  const event = /#(on[A-Za-z]+)(?:-\d+)?$/.exec(id)?.[1];
  return event !== undefined && isEventName(event) ? event : undefined;
}

/**
 * The bindings with their overrides laid over them; those without one are the same objects. The server's own handling is never changed, and an
 * override whose binding is not there does nothing.
 * @throws {Fault} `rule.syntax` where an override was not read by `readFields`
 */
export function applyOverrides(bindings: readonly Binding[], overrides: Overrides): Binding[] {
  return bindings.map((binding) => {
    const override = Object.hasOwn(overrides, binding.id) ? overrides[binding.id] : undefined;
    if (override === undefined || binding.source === "server") return binding;
    return {
      ...withFields(binding, override),
      overridden: bindingFields.filter((field) => override[field] !== undefined),
    };
  });
}

/** A binding with these fields in the place of its own. @throws {Fault} `rule.syntax` */
export function withFields(binding: Binding, { rule, properties, ...plain }: BindingFields): Binding {
  return {
    ...binding,
    ...plain,
    ...(rule !== undefined && { rule: rule === null ? null : parseRule(rule, binding.event) }),
    ...(properties && { properties: mergeProperties(binding.properties, properties) }),
  };
}

/** Key by key: what is new wins, null takes the key away. */
export function mergeProperties(
  properties: Readonly<Record<string, unknown>>,
  changed: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries({ ...properties, ...changed }).filter(([, value]) => value !== null));
}

/**
 * An override after a change: what is set over what there was, without what is reset, and without what the binding says anyway.
 * @returns undefined where nothing is left of it
 */
export function changeOverride(
  former: BindingFields | undefined,
  {
    set,
    reset,
    binding,
  }: { readonly set: BindingFields; readonly reset: readonly BindingField[]; readonly binding: Binding | undefined },
): BindingFields | undefined {
  const properties = { ...(reset.includes("properties") ? {} : former?.properties), ...set.properties };
  const all: BindingFields = { ...former, ...set, properties };
  const own: Readonly<Record<string, unknown>> = binding ? { ...binding, rule: binding.rule?.text ?? null } : {};
  const kept = bindingFields.filter((field) => {
    if (field === "properties") return Object.keys(properties).length > 0;
    return (
      all[field] !== undefined && all[field] !== own[field] && !(reset.includes(field) && set[field] === undefined)
    );
  });
  return kept.length === 0 ? undefined : Object.fromEntries(kept.map((field) => [field, all[field]]));
}
