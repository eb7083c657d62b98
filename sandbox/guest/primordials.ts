/**
 * Runs inside the isolate, before the script: the language's own functions, kept before anyone could change them. Guest code uses these and
 * no method of a value that a script could have reached: no `for…of`, no spread of arrays, no `push`, no regular expression methods.
 */

const { apply } = Reflect;
const { bind, call } = Function.prototype;

/** `uncurry(String.prototype.slice)(text, 1)` is `text.slice(1)`, whatever became of the prototype since. */
export function uncurry<Self, Rest extends unknown[], Result>(
  method: (this: Self, ...rest: Rest) => Result,
): (self: Self, ...rest: Rest) => Result {
  return apply(bind, call, [method]) as (self: Self, ...rest: Rest) => Result;
}

export const { freeze, preventExtensions, defineProperty, getOwnPropertyNames, getPrototypeOf } = Object;
const { setPrototypeOf } = Object;
export const jsonParse: (text: string) => unknown = JSON.parse;
const stringify = JSON.stringify;
export const isArray: (value: unknown) => value is readonly unknown[] = Array.isArray;
export const isInteger: (value: unknown) => boolean = Number.isInteger;
export const toText = String;
export const now: () => number = Date.now;
export const DateOf = Date;
export const TypeErrorOf = TypeError;
export const RangeErrorOf = RangeError;
export const Bytes = Uint8Array;

export const slice: (text: string, from: number, to?: number) => string = uncurry(String.prototype.slice);
export const lowerCase: (text: string) => string = uncurry(String.prototype.toLowerCase);
export const trim: (text: string) => string = uncurry(String.prototype.trim);
export const indexOf: (text: string, part: string, from?: number) => number = uncurry(String.prototype.indexOf);
export const codeAt: (text: string, at: number) => number = uncurry(String.prototype.charCodeAt);
export const exec: (pattern: RegExp, text: string) => RegExpExecArray | null = uncurry(RegExp.prototype.exec);
export const timeOf: (date: Date) => number = uncurry(Date.prototype.getTime);
export const arrayIterator: <Item>(list: readonly Item[]) => IterableIterator<Item> = uncurry(
  Array.prototype.values,
) as never;

/** Whether the pattern, which must not be global, is found in the text. */
export function matches(pattern: RegExp, text: string): boolean {
  return exec(pattern, text) !== null;
}

/** A property of one's own that no setter on a prototype sees. */
export function define(object: object, key: string | number | symbol, value: unknown, enumerable = true): void {
  defineProperty(object, key, {
    __proto__: null,
    value,
    writable: true,
    enumerable,
    configurable: true,
  } as PropertyDescriptor);
}

/** One more item at the end of a list. */
export function append<Item>(list: Item[], item: Item): void {
  define(list, list.length, item);
}

/** An empty list for ourselves: without a prototype, so that `list[list.length] = item` is seen by no setter, and is quick. */
export function createList<Item>(): Item[] {
  return setPrototypeOf([], null) as Item[];
}

/** JSON of a text. A primitive is written without asking any `toJSON`. */
export function quote(text: string): string {
  return stringify(text);
}

/** JSON of anything a script hands to the log; "" where it has none. What it runs is the script's own, within the script's own time. */
export function jsonOf(value: unknown): string {
  const text: unknown = stringify(value);
  return typeof text === "string" ? text : "";
}

const nonAscii = /[^\x00-\x7f]/;

/** Octets of the text in UTF-8, counted no further than `max`. */
export function octetsOf(text: string, max: number): number {
  if (text.length > max || !matches(nonAscii, text)) return text.length;
  let octets = 0;
  for (let i = 0; i < text.length && octets <= max; i++) {
    const code = codeAt(text, i);
    octets += code < 0x80 ? 1 : code < 0x800 ? 2 : code >= 0xd800 && code < 0xe000 ? 2 : 3;
  }
  return octets;
}

/** As much of the text as fits into so many octets of UTF-8. */
export function cutToOctets(text: string, max: number): string {
  if (text.length * 3 <= max) return text;
  if (!matches(nonAscii, slice(text, 0, max))) return slice(text, 0, max);
  let octets = 0;
  for (let i = 0; i < text.length; i++) {
    const code = codeAt(text, i);
    octets += code < 0x80 ? 1 : code < 0x800 ? 2 : code >= 0xd800 && code < 0xe000 ? 2 : 3;
    if (octets > max) return slice(text, 0, i);
  }
  return text;
}
