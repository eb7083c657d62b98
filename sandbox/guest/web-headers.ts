/** Runs inside the isolate: Headers of a request or an answer, and of the message a worker is given. Names in lower case, in order; values of one name joined by ", ". */
import {
  append,
  arrayIterator,
  codeAt,
  createList,
  lowerCase,
  matches,
  slice,
  TypeErrorOf,
  toText,
} from "./primordials.ts";
import { applyTo, defineGlobal, iterator, nameClass, ownNames, sortByName, takePairs } from "./web-primordials.ts";

interface Field {
  /** In lower case. */
  readonly name: string;
  readonly value: string;
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const notInValue = /[\x00\r\n]|[^\x00-\xff]/;

/** Every field of its own, as it was added. */
export let fieldsOf: (headers: Headers) => readonly Field[];
/** One more field, as it stands: of a message, whose values may be anything. */
export let addField: (headers: Headers, name: string, value: string) => void;
/** From here on they can only be read. */
export let lockHeaders: (headers: Headers) => Headers;

export class Headers {
  #fields: Field[] = createList();
  #locked = false;

  static {
    fieldsOf = (headers) => headers.#fields;
    addField = (headers, name, value) => headers.#add(lowerCase(name), value);
    lockHeaders = (headers) => {
      headers.#locked = true;
      return headers;
    };
  }

  constructor(init?: unknown) {
    if (init === undefined || init === null) return;
    if (typeof init !== "object") throw new TypeErrorOf("Headers takes an object, a list of pairs, or other Headers");
    if (#fields in init) {
      const from = init as Headers;
      for (let i = 0; i < from.#fields.length; i++) this.#fields[i] = from.#fields[i]!;
    } else if (iterator in init) {
      takePairs(init as Iterable<Iterable<unknown>>, "Headers", (name, value) => this.#append(name, value));
    } else {
      const names = ownNames(init);
      for (let i = 0; i < names.length; i++) this.#append(names[i], (init as Record<string, unknown>)[names[i]!]);
    }
  }

  append(name: unknown, value: unknown): void {
    this.#assertOpen();
    this.#append(name, value);
  }

  delete(name: unknown): void {
    this.#assertOpen();
    this.#remove(nameOf(name));
  }

  get(name: unknown): string | null {
    return this.#get(nameOf(name));
  }

  getSetCookie(): string[] {
    const values: string[] = [];
    for (let i = 0; i < this.#fields.length; i++)
      if (this.#fields[i]!.name === "set-cookie") append(values, this.#fields[i]!.value);
    return values;
  }

  has(name: unknown): boolean {
    return this.#get(nameOf(name)) !== null;
  }

  set(name: unknown, value: unknown): void {
    this.#assertOpen();
    const key = nameOf(name);
    const text = textOf(value);
    let at = -1;
    const fields: Field[] = createList();
    for (let i = 0; i < this.#fields.length; i++) {
      const field = this.#fields[i]!;
      if (field.name !== key) fields[fields.length] = field;
      else if (at < 0) fields[(at = fields.length)] = { name: key, value: text };
    }
    this.#fields = fields;
    if (at < 0) this.#add(key, text);
  }

  forEach(callback: (value: string, name: string, headers: Headers) => void, self?: unknown): void {
    const fields = this.#sorted();
    for (let i = 0; i < fields.length; i++) applyTo(callback, self, [fields[i]!.value, fields[i]!.name, this]);
  }

  entries(): IterableIterator<[string, string]> {
    return this.#list(({ name, value }) => [name, value]);
  }

  keys(): IterableIterator<string> {
    return this.#list(({ name }) => name);
  }

  values(): IterableIterator<string> {
    return this.#list(({ value }) => value);
  }

  [iterator](): IterableIterator<[string, string]> {
    return this.#list(({ name, value }) => [name, value]);
  }

  #list<Item>(of: (field: Field) => Item): IterableIterator<Item> {
    const fields = this.#sorted();
    const items: Item[] = [];
    for (let i = 0; i < fields.length; i++) append(items, of(fields[i]!));
    return arrayIterator(items);
  }

  /** By name, values of one name joined, but for Set-Cookie. */
  #sorted(): Field[] {
    const fields: Field[] = createList();
    for (let i = 0; i < this.#fields.length; i++) fields[i] = this.#fields[i]!;
    sortByName(fields);
    const joined: Field[] = createList();
    for (let i = 0; i < fields.length; i++) {
      const { name, value } = fields[i]!;
      const last = joined[joined.length - 1];
      if (last?.name === name && name !== "set-cookie")
        joined[joined.length - 1] = { name, value: `${last.value}, ${value}` };
      else joined[joined.length] = { name, value };
    }
    return joined;
  }

  #get(key: string): string | null {
    let joined: string | null = null;
    for (let i = 0; i < this.#fields.length; i++) {
      const { name, value } = this.#fields[i]!;
      if (name === key) joined = joined === null ? value : `${joined}, ${value}`;
    }
    return joined;
  }

  #append(name: unknown, value: unknown): void {
    this.#add(nameOf(name), textOf(value));
  }

  #add(name: string, value: string): void {
    this.#fields[this.#fields.length] = { name, value };
  }

  #remove(key: string): void {
    const fields: Field[] = createList();
    for (let i = 0; i < this.#fields.length; i++)
      if (this.#fields[i]!.name !== key) fields[fields.length] = this.#fields[i]!;
    this.#fields = fields;
  }

  #assertOpen(): void {
    if (this.#locked) throw new TypeErrorOf("These headers can only be read: make others with new Headers(headers)");
  }
}

function nameOf(name: unknown): string {
  const text = toText(name);
  if (!matches(token, text)) throw new TypeErrorOf(`"${text}" is no name of a header`);
  return lowerCase(text);
}

function textOf(value: unknown): string {
  const text = toText(value);
  let from = 0;
  let to = text.length;
  while (from < to && isSpace(codeAt(text, from))) from++;
  while (to > from && isSpace(codeAt(text, to - 1))) to--;
  const trimmed = slice(text, from, to);
  if (matches(notInValue, trimmed))
    throw new TypeErrorOf("A header's value is one line of characters up to U+00FF, without NUL");
  return trimmed;
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;
}

nameClass(Headers, "Headers");
defineGlobal("Headers", Headers);
