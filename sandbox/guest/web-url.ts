/** Runs inside the isolate: URL and URLSearchParams. What a URL is made of, the child's own URL says (web-answers.ts), so that it is exact. */
import { append, arrayIterator, createList, jsonParse, quote, TypeErrorOf, toText } from "./primordials.ts";
import { askText } from "./web-host.ts";
import {
  applyTo,
  defineAccessor,
  defineGlobal,
  iterator,
  nameClass,
  ownNames,
  sortByName,
  takePairs,
} from "./web-primordials.ts";

type Part =
  | "href"
  | "protocol"
  | "username"
  | "password"
  | "host"
  | "hostname"
  | "port"
  | "pathname"
  | "search"
  | "hash";
type Parts = Readonly<Record<Part | "origin", string>>;

interface Pair {
  readonly name: string;
  readonly value: string;
}

let setQueryOf: (params: URLSearchParams, search: string) => void;
/** Whether it is a URLSearchParams. */
export let isQuery: (value: unknown) => boolean;
let tieTo: (params: URLSearchParams, tell: (query: string) => void) => void;

export class URLSearchParams {
  #pairs: Pair[] = createList();
  /** Tells the URL it belongs to. */
  #tell: ((query: string) => void) | null = null;

  static {
    setQueryOf = (params, search) => params.#parse(search);
    isQuery = (value) => typeof value === "object" && value !== null && #pairs in value;
    tieTo = (params, tell) => {
      params.#tell = tell;
    };
  }

  constructor(init?: unknown) {
    if (typeof init === "object" && init !== null) this.#take(init);
    else if (init !== undefined) this.#parse(toText(init));
  }

  get size(): number {
    return this.#pairs.length;
  }

  append(name: unknown, value: unknown): void {
    this.#add(name, value);
    this.#changed();
  }

  delete(name: unknown, value?: unknown): void {
    const key = toText(name);
    const only = value === undefined ? null : toText(value);
    this.#keep((pair) => pair.name !== key || (only !== null && pair.value !== only));
    this.#changed();
  }

  get(name: unknown): string | null {
    const key = toText(name);
    for (let i = 0; i < this.#pairs.length; i++) if (this.#pairs[i]!.name === key) return this.#pairs[i]!.value;
    return null;
  }

  getAll(name: unknown): string[] {
    const key = toText(name);
    const values: string[] = [];
    for (let i = 0; i < this.#pairs.length; i++)
      if (this.#pairs[i]!.name === key) append(values, this.#pairs[i]!.value);
    return values;
  }

  has(name: unknown, value?: unknown): boolean {
    const key = toText(name);
    const only = value === undefined ? null : toText(value);
    for (let i = 0; i < this.#pairs.length; i++) {
      const pair = this.#pairs[i]!;
      if (pair.name === key && (only === null || pair.value === only)) return true;
    }
    return false;
  }

  set(name: unknown, value: unknown): void {
    const key = toText(name);
    const fresh = toText(value);
    let isSet = false;
    const pairs: Pair[] = createList();
    for (let i = 0; i < this.#pairs.length; i++) {
      const pair = this.#pairs[i]!;
      if (pair.name !== key) pairs[pairs.length] = pair;
      else if (!isSet) pairs[pairs.length] = { name: key, value: fresh };
      isSet ||= pair.name === key;
    }
    if (!isSet) pairs[pairs.length] = { name: key, value: fresh };
    this.#pairs = pairs;
    this.#changed();
  }

  /** By the names' code units; pairs of one name stay in their order. */
  sort(): void {
    sortByName(this.#pairs);
    this.#changed();
  }

  forEach(callback: (value: string, name: string, params: URLSearchParams) => void, self?: unknown): void {
    for (let i = 0; i < this.#pairs.length; i++) {
      const { name, value } = this.#pairs[i]!;
      applyTo(callback, self, [value, name, this]);
    }
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

  toString(): string {
    return this.#text();
  }

  #text(): string {
    let json = "";
    for (let i = 0; i < this.#pairs.length; i++)
      json += `${i === 0 ? "" : ","}[${quote(this.#pairs[i]!.name)},${quote(this.#pairs[i]!.value)}]`;
    const text = askText("query-text", `[${json}]`);
    if (text === null) throw new TypeErrorOf("This query is too long");
    return text;
  }

  /** As they are now: what is changed while they are gone through shows the next time. */
  #list<Item>(of: (pair: Pair) => Item): IterableIterator<Item> {
    const items: Item[] = [];
    for (let i = 0; i < this.#pairs.length; i++) append(items, of(this.#pairs[i]!));
    return arrayIterator(items);
  }

  #keep(holds: (pair: Pair) => boolean): void {
    const pairs: Pair[] = createList();
    for (let i = 0; i < this.#pairs.length; i++) if (holds(this.#pairs[i]!)) pairs[pairs.length] = this.#pairs[i]!;
    this.#pairs = pairs;
  }

  #add(name: unknown, value: unknown): void {
    this.#pairs[this.#pairs.length] = { name: toText(name), value: toText(value) };
  }

  #changed(): void {
    this.#tell?.(this.#pairs.length === 0 ? "" : this.#text());
  }

  #parse(text: string): void {
    const json = askText("query", text);
    if (json === null) throw new TypeErrorOf("This query is too long");
    const given = jsonParse(json) as readonly (readonly [string, string])[];
    this.#pairs = createList();
    for (let i = 0; i < given.length; i++) this.#add(given[i]![0], given[i]![1]);
  }

  /** A list of pairs, another one of these, or an object by its names. Iterators and getters in here are the script's own. */
  #take(init: object): void {
    if (iterator in init) {
      takePairs(init as Iterable<Iterable<unknown>>, "URLSearchParams", (name, value) => this.#add(name, value));
      return;
    }
    const names = ownNames(init);
    for (let i = 0; i < names.length; i++) this.#add(names[i], (init as Record<string, unknown>)[names[i]!]);
  }
}

/** A URL as a text. */
export let hrefOf: (url: URL) => string;

export class URL {
  #parts: Parts;
  #params: URLSearchParams | null = null;

  constructor(url: unknown, base?: unknown) {
    const parts = parse(url, base);
    if (parts === null) throw new TypeErrorOf(`Invalid URL: ${toText(url)}`);
    this.#parts = parts;
  }

  static canParse(url: unknown, base?: unknown): boolean {
    return parse(url, base) !== null;
  }

  static parse(url: unknown, base?: unknown): URL | null {
    return parse(url, base) === null ? null : new URL(url, base);
  }

  get origin(): string {
    return this.#parts.origin;
  }

  get searchParams(): URLSearchParams {
    if (this.#params === null) {
      this.#params = new URLSearchParams(this.#parts.search);
      tieTo(this.#params, (query) => {
        this.#parts = change(this.#parts, "search", query);
      });
    }
    return this.#params;
  }

  toString(): string {
    return this.#parts.href;
  }

  toJSON(): string {
    return this.#parts.href;
  }

  static {
    hrefOf = (url) => url.#parts.href;
    const names: readonly Part[] = [
      "href",
      "protocol",
      "username",
      "password",
      "host",
      "hostname",
      "port",
      "pathname",
      "search",
      "hash",
    ];
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      defineAccessor(URL.prototype, name, {
        get(this: URL) {
          return this.#parts[name];
        },
        set(this: URL, value: unknown) {
          const text = toText(value);
          if (name === "href" && parse(text, undefined) === null) throw new TypeErrorOf(`Invalid URL: ${text}`);
          this.#parts = change(this.#parts, name, text);
          if (this.#params !== null && (name === "search" || name === "href"))
            setQueryOf(this.#params, this.#parts.search);
        },
      });
    }
  }
}

function parse(url: unknown, base: unknown): Parts | null {
  const json = askText(
    "url",
    base === undefined ? `[${quote(toText(url))}]` : `[${quote(toText(url))},${quote(toText(base))}]`,
  );
  return json === null ? null : (jsonParse(json) as Parts);
}

/** What cannot be set leaves a URL as it is. */
function change(parts: Parts, name: Part, value: string): Parts {
  const json = askText("url-set", `[${quote(parts.href)},${quote(name)},${quote(value)}]`);
  return json === null ? parts : (jsonParse(json) as Parts);
}

nameClass(URL, "URL");
nameClass(URLSearchParams, "URLSearchParams");
defineGlobal("URL", URL);
defineGlobal("URLSearchParams", URLSearchParams);
