/**
 * Runs inside the isolate: a handler's second argument. One for each run: what is kept of it longer than that says so. What a run may use is not known in here; the
 * server looks at its grants when it is asked.
 */
import type { Context, Dns, Http, Secrets, Store } from "../api.ts";
import { askServer } from "./calls.ts";
import { createHttp } from "./calls-http.ts";
import { log } from "./globals.ts";
import {
  codeAt,
  freeze,
  isInteger,
  jsonOf,
  octetsOf,
  quote,
  RangeErrorOf,
  TypeErrorOf,
  toText,
} from "./primordials.ts";
import type { RunState } from "./run-state.ts";

const keyOctetsMax = 512;
const valueOctetsMax = 65_536;
const nestingMax = 100;
const keysMax = 1_000;
const { isFinite: isFiniteNumber } = Number;

class RunContext {
  readonly #state: RunState;
  #http: Http | undefined;
  #dns: Dns | undefined;
  #kv: Store | undefined;
  #secrets: Secrets | undefined;

  constructor(state: RunState) {
    this.#state = state;
  }

  get log() {
    return log;
  }

  get http(): Http {
    this.#http ??= createHttp(this.#state);
    return this.#http;
  }

  get dns(): Dns {
    this.#dns ??= createDns(this.#state);
    return this.#dns;
  }

  get kv(): Store {
    this.#kv ??= createStore(this.#state);
    return this.#kv;
  }

  get secrets(): Secrets {
    this.#secrets ??= createSecrets(this.#state);
    return this.#secrets;
  }

  get properties(): Context["properties"] {
    return this.#state.step.properties;
  }
}

freeze(RunContext.prototype);

export function createContext(state: RunState): Context {
  return new RunContext(state);
}

function createDns(state: RunState): Dns {
  const ask = async (json: string): Promise<unknown> => (await askServer(state, { json, errorName: "DnsError" })).value;
  const look = (type: string) => async (name: string) =>
    (await ask(`{"kind":"dns","type":"${type}","name":${quote(nameOf(name, "name"))}}`)) as never;
  return freeze({
    a: look("A"),
    aaaa: look("AAAA"),
    mx: look("MX"),
    txt: look("TXT"),
    ptr: look("PTR"),
    listed: async (list: string, subject: string) =>
      (await ask(
        `{"kind":"dns.listed","list":${quote(nameOf(list, "list"))},"subject":${quote(nameOf(subject, "subject"))}}`,
      )) as never,
  });
}

function createStore(state: RunState): Store {
  const ask = async (json: string): Promise<unknown> =>
    (await askServer(state, { json, errorName: "StoreError" })).value;
  const set = (key: string, value: unknown, ttl: number | undefined, ifAbsent: boolean) =>
    ask(
      `{"kind":"kv.set","key":${keyOf(key)},"value":${jsonValueOf(value)},"ttlS":${ttlOf(ttl)},"ifAbsent":${ifAbsent}}`,
    );
  return freeze({
    get: async (key: string) => (await ask(`{"kind":"kv.get","key":${keyOf(key)}}`)) as never,
    set: async (key: string, value: unknown, options?: { readonly ttl?: number }) => {
      await set(key, value, options?.ttl, false);
    },
    setIfAbsent: async (key: string, value: unknown, options?: { readonly ttl?: number }) =>
      (await set(key, value, options?.ttl, true)) === true,
    delete: async (key: string) => (await ask(`{"kind":"kv.delete","key":${keyOf(key)}}`)) === true,
    increment: async (key: string, by: number = 1, options?: { readonly ttl?: number }) => {
      if (!isFiniteNumber(by)) throw new TypeErrorOf("kv.increment adds a finite number");
      return (await ask(
        `{"kind":"kv.increment","key":${keyOf(key)},"by":${by},"ttlS":${ttlOf(options?.ttl)}}`,
      )) as number;
    },
    list: async (prefix: string = "", options?: { readonly limit?: number; readonly after?: string }) => {
      const limit = options?.limit ?? keysMax;
      if (!isInteger(limit) || limit < 1 || limit > keysMax)
        throw new RangeErrorOf(`limit is a whole number from 1 to ${keysMax}`);
      const after = keyOf(options?.after ?? "", true);
      return (await ask(
        `{"kind":"kv.list","prefix":${keyOf(prefix, true)},"limit":${limit},"after":${after}}`,
      )) as readonly string[];
    },
  });
}

function createSecrets(state: RunState): Secrets {
  return freeze({
    get: async (name: string) => {
      const json = `{"kind":"secret","name":${quote(nameOf(name, "name"))}}`;
      return (await askServer(state, { json, errorName: "SecretError" })).value as string;
    },
  });
}

/** @throws {TypeError} no text, or empty, too long, with control characters */
function nameOf(given: unknown, what: string): string {
  if (typeof given !== "string" || given === "" || given.length > 320)
    throw new TypeErrorOf(`${what} is a text of 1 to 320 characters, not ${shown(given)}`);
  for (let i = 0; i < given.length; i++) {
    const code = codeAt(given, i);
    if (code < 0x21 || code === 0x7f) throw new TypeErrorOf(`${what} has a space or a control character in it`);
  }
  return given;
}

/** JSON of a key. */
function keyOf(given: unknown, mayBeEmpty = false): string {
  if (typeof given !== "string") throw new TypeErrorOf(`A key is a text, not ${shown(given)}`);
  if (given === "" && !mayBeEmpty) throw new TypeErrorOf("A key is not empty");
  if (octetsOf(given, keyOctetsMax) > keyOctetsMax) throw new RangeErrorOf(`A key has at most ${keyOctetsMax} octets`);
  return quote(given);
}

/** JSON of a value; what makes it may be the script's own. */
function jsonValueOf(given: unknown): string {
  const text = jsonOf(given);
  if (text === "") throw new TypeErrorOf(`A value is what JSON can hold, not ${typeof given}`);
  if (octetsOf(text, valueOctetsMax) > valueOctetsMax)
    throw new RangeErrorOf(`A value has at most ${valueOctetsMax} octets as JSON`);
  if (nestingOf(text) > nestingMax) throw new RangeErrorOf(`A value is at most ${nestingMax} levels deep`);
  return text;
}

/** How deep lists and objects of a JSON text stand in each other. */
function nestingOf(json: string): number {
  let depth = 0;
  let deepest = 0;
  let inText = false;
  for (let i = 0; i < json.length; i++) {
    const code = codeAt(json, i);
    if (inText) {
      if (code === 0x5c) i++;
      else if (code === 0x22) inText = false;
    } else if (code === 0x22) inText = true;
    else if (code === 0x5b || code === 0x7b) {
      depth++;
      if (depth > deepest) deepest = depth;
    } else if (code === 0x5d || code === 0x7d) depth--;
  }
  return deepest;
}

/** Seconds, in JSON. */
function ttlOf(given: number | undefined): string {
  if (given === undefined) return "null";
  if (typeof given !== "number" || !(given > 0 && given <= 3_155_760_000))
    throw new RangeErrorOf("ttl is a number of seconds, above 0 and no more than a hundred years");
  return toText(given);
}

function shown(given: unknown): string {
  return typeof given === "string" ? "such a text" : typeof given;
}
