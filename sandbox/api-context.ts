/** What a handler is given beside its subject: a log, and what its grants open. Types only. */
import type { Json } from "./api-mail.ts";

export interface Context {
  readonly log: Log;
  readonly http: Http;
  readonly dns: Dns;
  readonly kv: Store;
  readonly secrets: Secrets;
  /** What the binding was given by the admin: `onarrival bindings set … --property key=value`. */
  readonly properties: Readonly<Record<string, Json>>;
}

/**
 * What a script may use, as `export const grants`. Nothing without it: a call that is not granted is a fault. The configuration sets what may be granted at all
 * (`[scripts.grants]`), and a new version that asks for more than the one before it waits for `onarrival scripts approve`.
 */
export interface Grants {
  /** Origins, such as "https://directory.example.org"; "https://*.example.org" is every host below. */
  readonly http?: readonly string[];
  /** Look-ups of names. */
  readonly dns?: boolean;
  /** A store of the script's own. */
  readonly kv?: boolean;
  /** New messages: `true` is ten a run, to anybody; or how many, and to whom ("example.org", "*.example.org", "ops@example.org"). */
  readonly submit?: boolean | { readonly max?: number; readonly to?: readonly string[] };
  /** Names of secrets. */
  readonly secrets?: readonly string[];
}

/**
 * Lines in the server's log, and in the output of `onarrival test`. Arguments are joined by a space; objects are written as JSON.
 * At most 100 lines a run and 2,000 octets a line; what is over is cut, and the log says so. `console.log` and its kin write here too.
 */
export interface Log {
  debug(...words: readonly unknown[]): void;
  info(...words: readonly unknown[]): void;
  warn(...words: readonly unknown[]): void;
  error(...words: readonly unknown[]): void;
}

/**
 * HTTP to the origins that are granted. Names are resolved by the server and addresses of private networks are refused, after redirects as well (three at most).
 * At most 10 requests a run, 1 MiB each way, and 5 s; `fetch` is the same under the name the web gives it.
 */
export interface Http {
  get(url: string | URL, options?: HttpOptions): Promise<HttpResponse>;
  /** An object as `body` is sent as JSON. */
  post(url: string | URL, body?: HttpBody, options?: HttpOptions): Promise<HttpResponse>;
  request(
    method: string,
    url: string | URL,
    options?: HttpOptions & { readonly body?: HttpBody },
  ): Promise<HttpResponse>;
}

export type HttpBody =
  | string
  | Uint8Array
  | ArrayBuffer
  | URLSearchParams
  | { readonly [name: string]: unknown }
  | readonly unknown[];

export interface HttpOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Milliseconds; within the run's own time. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
  /** Whether redirects are followed; true unless given. */
  readonly follow?: boolean;
}

/** Any status is an answer; who cannot be reached is an exception (`HttpError`) whose `code` says why: "timeout", "refused", "name", "private-address", "tls", "too-large", "not-granted". */
export interface HttpResponse {
  readonly status: number;
  /** Whether the status is 2xx. */
  readonly ok: boolean;
  /** After redirects. */
  readonly url: string;
  readonly headers: { get(name: string): string | null; has(name: string): boolean };
  text(): Promise<string>;
  json(): Promise<unknown>;
  bytes(): Promise<Uint8Array>;
}

/**
 * Look-ups by the server's own resolver. A name that does not exist, or has no such record, is an empty list; a server that does not answer is an exception.
 * At most 20 a run.
 */
export interface Dns {
  /** IPv4 addresses. */
  a(name: string): Promise<readonly string[]>;
  /** IPv6 addresses. */
  aaaa(name: string): Promise<readonly string[]>;
  /** In order of preference. */
  mx(name: string): Promise<readonly { readonly preference: number; readonly host: string }[]>;
  /** Each record's strings in one. */
  txt(name: string): Promise<readonly string[]>;
  /** Names of an address. */
  ptr(ip: string): Promise<readonly string[]>;
  /** Asks a list such as "zen.example.org" about an address or a domain. null: it is not listed. */
  listed(
    list: string,
    subject: string,
  ): Promise<{ readonly addresses: readonly string[]; readonly reason: string } | null>;
}

/**
 * A store of the script's own, by name of the script: no other script sees it, and it outlives edits and restarts. What is written is written when the call is
 * over, whatever becomes of the run. Keys have at most 512 octets, values 64 KiB as JSON; at most 50 calls a run and 64 MiB for a script.
 */
export interface Store {
  /** null where there is none, or its time is over. */
  get<Value extends Json = Json>(key: string): Promise<Value | null>;
  /** `ttl` in seconds; without it for ever. */
  set(key: string, value: Json, options?: { readonly ttl?: number }): Promise<void>;
  /** Gives false where there was none. */
  delete(key: string): Promise<boolean>;
  /** Adds to a number that starts at 0, in one step, and gives the sum. `ttl` counts from the first: a window. */
  increment(key: string, by?: number, options?: { readonly ttl?: number }): Promise<number>;
  /** Sets it where there is none; gives whether it did. */
  setIfAbsent(key: string, value: Json, options?: { readonly ttl?: number }): Promise<boolean>;
  /** Keys that begin so, in order; 1,000 at most. */
  list(prefix?: string, options?: { readonly limit?: number; readonly after?: string }): Promise<readonly string[]>;
}

export interface Secrets {
  /** A file in the folder of secrets, without its last line end. A secret never shows in a log, a record or an error. */
  get(name: string): Promise<string>;
}
