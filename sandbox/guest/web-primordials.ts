/** Runs inside the isolate, before the script: what the packs need of the language beside primordials.ts, kept in the same way. */
import { Bytes, define, defineProperty, getPrototypeOf, TypeErrorOf, uncurry } from "./primordials.ts";

export const iterator: typeof Symbol.iterator = Symbol.iterator;
export const asyncIterator: typeof Symbol.asyncIterator = Symbol.asyncIterator;
export const toStringTag: typeof Symbol.toStringTag = Symbol.toStringTag;
export const upperCase: (text: string) => string = uncurry(String.prototype.toUpperCase);
export const wellFormed: (text: string) => string = uncurry(String.prototype.toWellFormed);
export const charOf: (code: number) => string = String.fromCharCode;
const sort: <Item>(list: Item[], compare: (a: Item, b: Item) => number) => Item[] = uncurry(
  Array.prototype.sort,
) as never;
export const joinTexts: (list: readonly string[], between: string) => string = uncurry(Array.prototype.join) as never;
export const isView: (value: unknown) => value is ArrayBufferView = ArrayBuffer.isView as never;
export const BufferOf = ArrayBuffer;
export const PromiseOf = Promise;
/** Copies octets into others, at a place. */
export const setOctets: (into: Uint8Array, octets: Uint8Array, at?: number) => void = uncurry(
  Uint8Array.prototype.set,
) as never;
const promiseThen: (
  promise: Promise<unknown>,
  done: (value: never) => unknown,
  failed?: (reason: unknown) => unknown,
) => Promise<unknown> = uncurry(Promise.prototype.then) as never;

/** Calls one or the other when a promise of our own is settled; what they throw is lost to nobody, as they throw nothing. */
export function whenSettled<Value>(
  promise: Promise<Value>,
  done: (value: Value) => void,
  failed: (reason: unknown) => void,
): void {
  promiseThen(promise, done, failed);
}

function getterOf<Self, Value>(prototype: object, name: string | symbol): (self: Self) => Value {
  return uncurry(Object.getOwnPropertyDescriptor(prototype, name)!.get as (this: Self) => Value);
}

const typedArray = getPrototypeOf(Uint8Array.prototype) as object;
const viewBuffer = getterOf<ArrayBufferView, ArrayBuffer>(typedArray, "buffer");
const viewOffset = getterOf<ArrayBufferView, number>(typedArray, "byteOffset");
const viewLength = getterOf<ArrayBufferView, number>(typedArray, "byteLength");
const dataBuffer = getterOf<ArrayBufferView, ArrayBuffer>(DataView.prototype, "buffer");
const dataOffset = getterOf<ArrayBufferView, number>(DataView.prototype, "byteOffset");
const dataLength = getterOf<ArrayBufferView, number>(DataView.prototype, "byteLength");
/** Throws for anything but an ArrayBuffer of this isolate. */
export const bufferLength = getterOf<ArrayBuffer, number>(ArrayBuffer.prototype, "byteLength");
const kindOfView: (view: unknown) => string | undefined = getterOf(typedArray, toStringTag) as never;

/** What kind of typed array it is, such as "Uint8Array"; undefined for anything else. */
export function viewKind(value: unknown): string | undefined {
  return kindOfView(value);
}

/** The octets of a buffer or a view, where they are; null for anything else. */
export function octetsIn(value: unknown): Uint8Array<ArrayBuffer> | null {
  if (isView(value))
    return kindOfView(value) === undefined
      ? new Bytes(dataBuffer(value), dataOffset(value), dataLength(value))
      : new Bytes(viewBuffer(value), viewOffset(value), viewLength(value));
  try {
    bufferLength(value as ArrayBuffer);
  } catch {
    return null;
  }
  return new Bytes(value as ArrayBuffer);
}

/** A copy of octets `from` to `to`. */
export function copyOctets(octets: Uint8Array, from: number, to: number): Uint8Array<ArrayBuffer> {
  const copy = new Bytes(to - from);
  setOctets(copy, new Bytes(viewBuffer(octets), viewOffset(octets) + from, to - from));
  return copy;
}

export function lengthOf(octets: Uint8Array): number {
  return viewLength(octets);
}

/** All the octets in a buffer that has nothing else in it. */
export function bufferWith(octets: Uint8Array): ArrayBuffer {
  const buffer = viewBuffer(octets);
  return viewLength(octets) === bufferLength(buffer) ? buffer : viewBuffer(copyOctets(octets, 0, viewLength(octets)));
}

/** Several octets as one. */
export function joinOctets(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (let i = 0; i < pieces.length; i++) length += viewLength(pieces[i]!);
  const all = new Bytes(length);
  let at = 0;
  for (let i = 0; i < pieces.length; i++) {
    setOctets(all, pieces[i]!, at);
    at += viewLength(pieces[i]!);
  }
  return all;
}

/** What a class of the web is called by `Object.prototype.toString`, and by libraries that look there. */
export function nameClass(of: { readonly prototype: object }, name: string): void {
  define(of.prototype, toStringTag, name, false);
}

/** A global as the web has them. */
export function defineGlobal(name: string, value: unknown): void {
  define(globalThis, name, value, false);
}

export const applyTo: (callback: (...args: never[]) => unknown, self: unknown, args: readonly unknown[]) => unknown =
  Reflect.apply as never;

/** Names of an object's own properties that `Object.keys` lists. */
export const ownNames: (of: object) => string[] = Object.keys;

export function defineAccessor(
  object: object,
  name: string,
  { get, set }: { readonly get: () => unknown; readonly set: (value: unknown) => void },
): void {
  defineProperty(object, name, {
    __proto__: null,
    get,
    set,
    enumerable: true,
    configurable: true,
  } as PropertyDescriptor);
}

/** By code units, in place; equal names stay in their order. A list of our own (createList). */
export function sortByName(list: { readonly name: string }[]): void {
  sort(list, (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** Pairs of an iterable, which with its iterators is the script's own. */
export function takePairs(
  pairs: Iterable<Iterable<unknown>>,
  who: string,
  take: (name: unknown, value: unknown) => void,
): void {
  for (const pair of pairs) {
    let count = 0;
    let name: unknown;
    let value: unknown;
    for (const item of pair) {
      if (count === 0) name = item;
      else value = item;
      if (++count > 2) break;
    }
    if (count !== 2) throw new TypeErrorOf(`${who} takes pairs of a name and a value`);
    take(name, value);
  }
}

export const truncate: (number: number) => number = Math.trunc;

/** As `Number(value)`. */
export const toNumber: (value: unknown) => number = Number;

type Base64 = Uint8Array & { toBase64(): string };
export const toBase64: (octets: Uint8Array) => string = uncurry((Bytes.prototype as Base64).toBase64) as never;
export const fromBase64: (text: string) => Uint8Array = (
  Bytes as unknown as { readonly fromBase64: (text: string) => Uint8Array }
).fromBase64;
