/**
 * Runs inside the isolate: the `env` of a worker. It is what the script exports as `env`, with the properties of the binding laid over it; values that are no plain
 * ones stand for something of the server: `{ kv: "name" }` a store, `{ secret: "name" }` a secret, `{ sendEmail: true }` the way to send a message of one's own.
 */
import type { Context, Json, Store } from "../api.ts";
import { clockNow } from "./clock.ts";
import { define, freeze, isArray, jsonOf, jsonParse, slice, TypeErrorOf, toText } from "./primordials.ts";
import type { RunState } from "./run-state.ts";
import { send } from "./web-mail.ts";
import { bufferWith, fromBase64, octetsIn, ownNames, toBase64, toNumber } from "./web-primordials.ts";
import { isStream, streamOfOctets } from "./web-streams.ts";
import { decodeUtf8, encodeText } from "./web-text.ts";

type Kind = "text" | "json" | "arrayBuffer" | "stream";

/** A value as the store has it. */
interface Kept {
  /** A text, or octets in base64. */
  readonly t?: string;
  readonly b?: string;
  readonly m?: Json;
}

const keysMax = 1_000;
/** Shortest time a value lives there, in seconds; here a shorter one is a mistake as well. */
const ttlMin = 60;

/** Rejects where a secret cannot be read. */
export async function createEnv(state: RunState, exported: unknown, context: Context): Promise<object> {
  const env = {};
  if (typeof exported === "object" && exported !== null) {
    const names = ownNames(exported);
    for (let i = 0; i < names.length; i++)
      define(env, names[i]!, await bindingOf(state, (exported as Record<string, unknown>)[names[i]!], context));
  }
  const { properties } = context;
  const names = ownNames(properties);
  for (let i = 0; i < names.length; i++) define(env, names[i]!, properties[names[i]!]);
  return freeze(env);
}

async function bindingOf(state: RunState, value: unknown, context: Context): Promise<unknown> {
  if (typeof value !== "object" || value === null || isArray(value)) return value;
  const names = ownNames(value);
  const only = names.length === 1 ? names[0] : "";
  const name = (value as Record<string, unknown>)[only!];
  if (only === "kv" && typeof name === "string") return new KVNamespace(context.kv, `${name}:`);
  if (only === "secret" && typeof name === "string") return await context.secrets.get(name);
  if (only === "sendEmail" && name === true)
    return freeze({
      async send(message: unknown) {
        await send(state, message);
      },
    });
  return value;
}

/** A store in the shape of Workers KV. All namespaces of a script are in its one store, by their names. */
class KVNamespace {
  readonly #store: Store;
  readonly #prefix: string;

  constructor(store: Store, prefix: string) {
    this.#store = store;
    this.#prefix = prefix;
  }

  async get(key: unknown, options?: unknown): Promise<unknown> {
    return (await this.getWithMetadata(key, options)).value;
  }

  async getWithMetadata(
    key: unknown,
    options?: unknown,
  ): Promise<{ value: unknown; metadata: unknown; cacheStatus: null }> {
    const kind = kindOf(options);
    const kept = (await this.#store.get(this.#prefix + toText(key))) as Kept | null;
    return { value: kept === null ? null : read(kept, kind), metadata: kept?.m ?? null, cacheStatus: null };
  }

  async put(
    key: unknown,
    value: unknown,
    options?: { readonly expirationTtl?: unknown; readonly expiration?: unknown; readonly metadata?: unknown },
  ): Promise<void> {
    const ttl = ttlOf(options);
    const metadata = options?.metadata === undefined ? "" : `,"m":${jsonOf(options.metadata)}`;
    if (isStream(value)) throw new TypeErrorOf("put takes a text, an ArrayBuffer or a view of one, and no stream");
    const octets = octetsIn(value);
    const content = octets === null ? `"t":${jsonOf(toText(value))}` : `"b":${jsonOf(toBase64(octets))}`;
    const kept = jsonParse(`{${content}${metadata}}`) as Json;
    await this.#store.set(this.#prefix + toText(key), kept, ttl === undefined ? {} : { ttl });
  }

  async delete(key: unknown): Promise<void> {
    await this.#store.delete(this.#prefix + toText(key));
  }

  /** Names alone: what is noted beside a value is read with it. */
  async list(options?: {
    readonly prefix?: unknown;
    readonly limit?: unknown;
    readonly cursor?: unknown;
  }): Promise<object> {
    const limit = options?.limit === undefined ? keysMax : toNumber(options.limit);
    const prefix =
      this.#prefix + (options?.prefix === undefined || options.prefix === null ? "" : toText(options.prefix));
    const cursor = options?.cursor === undefined || options.cursor === null ? "" : toText(options.cursor);
    const names = await this.#store.list(prefix, cursor === "" ? { limit } : { limit, after: cursor });
    const keys: unknown[] = [];
    for (let i = 0; i < names.length; i++) define(keys, i, { name: slice(names[i]!, this.#prefix.length) });
    if (names.length < limit) return { keys, list_complete: true, cacheStatus: null };
    return { keys, list_complete: false, cursor: names[names.length - 1], cacheStatus: null };
  }
}

freeze(KVNamespace.prototype);

function read(kept: Kept, kind: Kind): unknown {
  const octets = kept.b === undefined ? null : fromBase64(kept.b);
  if (kind === "arrayBuffer" || kind === "stream") {
    const all = octets ?? encodeText(kept.t ?? "");
    return kind === "stream" ? streamOfOctets(() => all) : bufferWith(all);
  }
  const text = octets === null ? (kept.t ?? "") : decodeUtf8(octets);
  return kind === "json" ? jsonParse(text) : text;
}

function kindOf(options: unknown): Kind {
  const given =
    typeof options === "object" && options !== null ? (options as { readonly type?: unknown }).type : options;
  if (given === undefined || given === null) return "text";
  if (given !== "text" && given !== "json" && given !== "arrayBuffer" && given !== "stream")
    throw new TypeErrorOf('A value is read as "text", "json", "arrayBuffer" or "stream"');
  return given;
}

/** Seconds. */
function ttlOf(
  options: { readonly expirationTtl?: unknown; readonly expiration?: unknown } | undefined,
): number | undefined {
  const { expirationTtl, expiration } = options ?? {};
  if (expirationTtl === undefined && expiration === undefined) return undefined;
  const ttl = expirationTtl === undefined ? toNumber(expiration) - secondsNow() : toNumber(expirationTtl);
  if (!(ttl >= ttlMin)) throw new TypeErrorOf(`A value lives for ${ttlMin} seconds at least`);
  return ttl;
}

function secondsNow(): number {
  return clockNow() / 1000;
}
