/** Runs inside the isolate: structuredClone, of what the language itself has; class instances become plain objects. What of it runs getters is the script's own. */
import { DateOf, define, getPrototypeOf, isArray, timeOf, uncurry } from "./primordials.ts";
import { DOMException } from "./web-exception.ts";
import {
  bufferWith,
  copyOctets,
  defineGlobal,
  isView,
  lengthOf,
  octetsIn,
  ownNames,
  viewKind,
} from "./web-primordials.ts";

const MapOf = Map;
const SetOf = Set;
const RegExpOf = RegExp;
const DataViewOf = DataView;
const plainPrototype = Object.prototype;
const isError = (Error as unknown as { readonly isError: (value: unknown) => boolean }).isError;
const getFrom: (map: Map<object, unknown>, key: object) => unknown = uncurry(Map.prototype.get);
const putInto: (map: Map<unknown, unknown>, key: unknown, value: unknown) => unknown = uncurry(Map.prototype.set);
const addTo: (set: Set<unknown>, value: unknown) => unknown = uncurry(Set.prototype.add);
const eachOf: (map: Map<unknown, unknown>, visit: (value: unknown, key: unknown) => void) => void = uncurry(
  Map.prototype.forEach,
) as never;
const eachIn: (set: Set<unknown>, visit: (value: unknown) => void) => void = uncurry(Set.prototype.forEach) as never;
const sourceOf: (pattern: unknown) => string = uncurry(
  Object.getOwnPropertyDescriptor(RegExp.prototype, "source")!.get!,
) as never;
const flagsOf: (pattern: unknown) => string = uncurry(
  Object.getOwnPropertyDescriptor(RegExp.prototype, "flags")!.get!,
) as never;
const errors: Readonly<Record<string, ErrorConstructor>> = {
  __proto__: null as never,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};
const PlainError = Error;
const arrays: Readonly<Record<string, new (buffer: ArrayBuffer) => object>> = {
  __proto__: null as never,
  Uint8Array,
  Int8Array,
  Uint8ClampedArray,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  BigUint64Array,
  BigInt64Array,
  Float32Array,
  Float64Array,
};

type Seen = Map<object, unknown>;

function clone(value: unknown, seen: Seen): unknown {
  if (typeof value === "function" || typeof value === "symbol")
    throw new DOMException(`A ${typeof value} cannot be cloned`, "DataCloneError");
  if (typeof value !== "object" || value === null) return value;
  const known = getFrom(seen, value);
  if (known !== undefined) return known;
  const prototype: unknown = getPrototypeOf(value);
  if (isArray(value)) {
    const copy: unknown[] = [];
    copy.length = value.length;
    return copyProperties(value, copy, seen);
  }
  if (prototype === plainPrototype || prototype === null) return copyProperties(value, {}, seen);
  return cloneSpecial(value, seen);
}

function copyProperties(from: object, into: object, seen: Seen): object {
  putInto(seen, from, into);
  const names = ownNames(from);
  for (let i = 0; i < names.length; i++)
    define(into, names[i]!, clone((from as Record<string, unknown>)[names[i]!], seen));
  return into;
}

function cloneSpecial(value: object, seen: Seen): object {
  const octets = octetsIn(value);
  if (octets !== null) {
    const buffer = bufferWith(copyOctets(octets, 0, lengthOf(octets)));
    const Kind = arrays[viewKind(value) ?? ""];
    const copy = Kind ? new Kind(buffer) : isView(value) ? new DataViewOf(buffer) : buffer;
    putInto(seen, value, copy);
    return copy;
  }
  if (isError(value)) return cloneError(value as Error, seen);
  const time = attempt(() => timeOf(value as Date));
  if (time !== undefined) return remember(seen, value, new DateOf(time));
  const source = attempt(() => sourceOf(value));
  if (source !== undefined) return remember(seen, value, new RegExpOf(source, flagsOf(value)));
  const map = new MapOf<unknown, unknown>();
  if (holds(() => eachOf(value as Map<unknown, unknown>, nothing))) {
    putInto(seen, value, map);
    eachOf(value as Map<unknown, unknown>, (item, key) => putInto(map, clone(key, seen), clone(item, seen)));
    return map;
  }
  const set = new SetOf<unknown>();
  if (holds(() => eachIn(value as Set<unknown>, nothing))) {
    putInto(seen, value, set);
    eachIn(value as Set<unknown>, (item) => addTo(set, clone(item, seen)));
    return set;
  }
  return copyProperties(value, {}, seen);
}

function cloneError(error: Error, seen: Seen): object {
  const { name, message, stack, cause } = error;
  const Kind = errors[typeof name === "string" ? name : ""] ?? PlainError;
  const copy = new Kind(typeof message === "string" ? message : "");
  putInto(seen, error, copy);
  if (typeof stack === "string") define(copy, "stack", stack, false);
  if (cause !== undefined) define(copy, "cause", clone(cause, seen), false);
  return copy;
}

function remember(seen: Seen, value: object, copy: object): object {
  putInto(seen, value, copy);
  return copy;
}

function nothing(): void {}

/** What it gives; undefined where the value is not of that kind. */
function attempt<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function holds(visit: () => void): boolean {
  return (
    attempt(() => {
      visit();
      return true;
    }) !== undefined
  );
}

defineGlobal("structuredClone", (value: unknown) => clone(value, new MapOf()));
