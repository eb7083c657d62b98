/**
 * Globals of a script that the web has as well, as far as they are there. Types only. Each is compiled in where a script's code mentions its name, and costs nothing
 * where it does not. Not there: FormData, File, XMLHttpRequest, WebSocket, setInterval, readers that bring their own buffer, and of `crypto.subtle` all but `digest`.
 */

// -- The log -------------------------------------------------------------------------------------------------------------------------

/** Writes what `context.log` writes. Counting, grouping and timing do nothing. */
declare const console: {
  debug(...words: readonly unknown[]): void;
  trace(...words: readonly unknown[]): void;
  log(...words: readonly unknown[]): void;
  info(...words: readonly unknown[]): void;
  dir(...words: readonly unknown[]): void;
  table(...words: readonly unknown[]): void;
  warn(...words: readonly unknown[]): void;
  error(...words: readonly unknown[]): void;
  assert(...words: readonly unknown[]): void;
  clear(): void;
  count(label?: string): void;
  group(...words: readonly unknown[]): void;
  groupCollapsed(...words: readonly unknown[]): void;
  groupEnd(): void;
  time(label?: string): void;
  timeEnd(label?: string): void;
  timeLog(label?: string, ...words: readonly unknown[]): void;
};

// -- URLs ----------------------------------------------------------------------------------------------------------------------------

declare class URLSearchParams {
  constructor(init?: string | Readonly<Record<string, string>> | Iterable<readonly [string, string]>);
  readonly size: number;
  append(name: string, value: string): void;
  delete(name: string, value?: string): void;
  get(name: string): string | null;
  getAll(name: string): string[];
  has(name: string, value?: string): boolean;
  set(name: string, value: string): void;
  sort(): void;
  forEach(callback: (value: string, name: string, params: URLSearchParams) => void, self?: unknown): void;
  entries(): IterableIterator<[string, string]>;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
  [Symbol.iterator](): IterableIterator<[string, string]>;
  toString(): string;
}

declare class URL {
  constructor(url: string | URL, base?: string | URL);
  static canParse(url: string | URL, base?: string | URL): boolean;
  static parse(url: string | URL, base?: string | URL): URL | null;
  hash: string;
  host: string;
  hostname: string;
  href: string;
  readonly origin: string;
  password: string;
  pathname: string;
  port: string;
  protocol: string;
  search: string;
  readonly searchParams: URLSearchParams;
  username: string;
  toString(): string;
  toJSON(): string;
}

// -- Texts and octets ----------------------------------------------------------------------------------------------------------------

declare class TextEncoder {
  readonly encoding: "utf-8";
  encode(text?: string): Uint8Array<ArrayBuffer>;
  encodeInto(text: string, into: Uint8Array): { readonly read: number; readonly written: number };
}

/** Every charset of the Encoding standard. */
declare class TextDecoder {
  constructor(label?: string, options?: { readonly fatal?: boolean; readonly ignoreBOM?: boolean });
  readonly encoding: string;
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;
  decode(octets?: ArrayBuffer | ArrayBufferView, options?: { readonly stream?: boolean }): string;
}

declare function atob(base64: string): string;
declare function btoa(text: string): string;

type BlobPart = string | ArrayBuffer | ArrayBufferView | Blob;

declare class Blob {
  constructor(parts?: Iterable<BlobPart>, options?: { readonly type?: string });
  readonly size: number;
  readonly type: string;
  slice(from?: number, to?: number, type?: string): Blob;
  text(): Promise<string>;
  arrayBuffer(): Promise<ArrayBuffer>;
  bytes(): Promise<Uint8Array<ArrayBuffer>>;
  stream(): ReadableStream<Uint8Array>;
}

declare function structuredClone<Value>(value: Value): Value;

// -- Time, chance, hashes ------------------------------------------------------------------------------------------------------------

declare function queueMicrotask(callback: () => void): void;
/** Waiting is part of the time of a run; what has not come when the handler is done never comes. */
declare function setTimeout<Args extends unknown[]>(
  callback: (...args: Args) => void,
  ms?: number,
  ...args: Args
): number;
declare function clearTimeout(timer: number | undefined): void;

declare const performance: {
  /** Milliseconds since the run began. The clock stands still while a script computes. */
  now(): number;
  readonly timeOrigin: number;
};

/** In a run, not while a script is loaded. */
declare const crypto: {
  randomUUID(): string;
  /** 65,536 octets at most. */
  getRandomValues<View extends ArrayBufferView>(into: View): View;
  readonly subtle: {
    digest(
      algorithm: "SHA-1" | "SHA-256" | "SHA-384" | "SHA-512" | { readonly name: string },
      octets: ArrayBuffer | ArrayBufferView,
    ): Promise<ArrayBuffer>;
  };
};

// -- Giving up -----------------------------------------------------------------------------------------------------------------------

declare class DOMException extends Error {
  constructor(message?: string, name?: string);
  readonly code: number;
}

declare class Event {
  constructor(type: string, options?: { readonly cancelable?: boolean });
  readonly type: string;
  readonly target: EventTarget | null;
  readonly currentTarget: EventTarget | null;
  readonly timeStamp: number;
  readonly cancelable: boolean;
  readonly defaultPrevented: boolean;
  preventDefault(): void;
  stopPropagation(): void;
  stopImmediatePropagation(): void;
}

type EventListener = ((event: Event) => void) | { handleEvent(event: Event): void };

/** Without capture and bubbling. */
declare class EventTarget {
  addEventListener(type: string, listener: EventListener | null, options?: boolean | { readonly once?: boolean }): void;
  removeEventListener(type: string, listener: EventListener | null): void;
  dispatchEvent(event: Event): boolean;
}

declare class AbortSignal extends EventTarget {
  static abort(reason?: unknown): AbortSignal;
  static timeout(ms: number): AbortSignal;
  static any(signals: Iterable<AbortSignal>): AbortSignal;
  readonly aborted: boolean;
  readonly reason: unknown;
  onabort: ((event: Event) => void) | null;
  throwIfAborted(): void;
}

declare class AbortController {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
}

// -- Streams -------------------------------------------------------------------------------------------------------------------------

interface ReadableStreamDefaultController<Chunk = unknown> {
  readonly desiredSize: number | null;
  enqueue(chunk: Chunk): void;
  close(): void;
  error(reason?: unknown): void;
}

interface StreamPipeOptions {
  readonly preventClose?: boolean;
  readonly preventAbort?: boolean;
  readonly preventCancel?: boolean;
  readonly signal?: AbortSignal;
}

declare class ReadableStream<Chunk = unknown> implements AsyncIterable<Chunk> {
  constructor(
    source?: {
      start?(controller: ReadableStreamDefaultController<Chunk>): void | Promise<void>;
      pull?(controller: ReadableStreamDefaultController<Chunk>): void | Promise<void>;
      cancel?(reason?: unknown): void | Promise<void>;
    },
    strategy?: { readonly highWaterMark?: number; size?(chunk: Chunk): number },
  );
  static from<Chunk>(items: Iterable<Chunk> | AsyncIterable<Chunk>): ReadableStream<Chunk>;
  readonly locked: boolean;
  cancel(reason?: unknown): Promise<void>;
  getReader(): ReadableStreamDefaultReader<Chunk>;
  tee(): [ReadableStream<Chunk>, ReadableStream<Chunk>];
  pipeTo(sink: WritableStream<Chunk>, options?: StreamPipeOptions): Promise<void>;
  pipeThrough<Out>(
    pair: { readonly readable: ReadableStream<Out>; readonly writable: WritableStream<Chunk> },
    options?: StreamPipeOptions,
  ): ReadableStream<Out>;
  values(options?: { readonly preventCancel?: boolean }): AsyncIterableIterator<Chunk>;
  [Symbol.asyncIterator](): AsyncIterableIterator<Chunk>;
}

declare class ReadableStreamDefaultReader<Chunk = unknown> {
  constructor(stream: ReadableStream<Chunk>);
  readonly closed: Promise<void>;
  read(): Promise<{ readonly done: false; readonly value: Chunk } | { readonly done: true; readonly value: undefined }>;
  releaseLock(): void;
  cancel(reason?: unknown): Promise<void>;
}

declare class WritableStream<Chunk = unknown> {
  constructor(
    sink?: {
      start?(controller: { error(reason?: unknown): void }): void | Promise<void>;
      write?(chunk: Chunk, controller: { error(reason?: unknown): void }): void | Promise<void>;
      close?(): void | Promise<void>;
      abort?(reason?: unknown): void | Promise<void>;
    },
    strategy?: { readonly highWaterMark?: number },
  );
  readonly locked: boolean;
  getWriter(): WritableStreamDefaultWriter<Chunk>;
  abort(reason?: unknown): Promise<void>;
  close(): Promise<void>;
}

interface WritableStreamDefaultWriter<Chunk = unknown> {
  readonly closed: Promise<void>;
  readonly ready: Promise<void>;
  readonly desiredSize: number | null;
  write(chunk: Chunk): Promise<void>;
  close(): Promise<void>;
  abort(reason?: unknown): Promise<void>;
  releaseLock(): void;
}

interface TransformStreamDefaultController<Out = unknown> {
  readonly desiredSize: number | null;
  enqueue(chunk: Out): void;
  error(reason?: unknown): void;
  terminate(): void;
}

declare class TransformStream<In = unknown, Out = unknown> {
  constructor(transformer?: {
    start?(controller: TransformStreamDefaultController<Out>): void;
    transform?(chunk: In, controller: TransformStreamDefaultController<Out>): void | Promise<void>;
    flush?(controller: TransformStreamDefaultController<Out>): void | Promise<void>;
  });
  readonly readable: ReadableStream<Out>;
  readonly writable: WritableStream<In>;
}

declare class TextEncoderStream extends TransformStream<string, Uint8Array> {
  constructor();
  readonly encoding: "utf-8";
}

declare class TextDecoderStream extends TransformStream<ArrayBuffer | ArrayBufferView, string> {
  constructor(label?: string, options?: { readonly fatal?: boolean; readonly ignoreBOM?: boolean });
  readonly encoding: string;
}

// -- HTTP ----------------------------------------------------------------------------------------------------------------------------

type HeadersInit = Headers | Readonly<Record<string, string>> | Iterable<readonly [string, string]>;
type BodyInit = string | ArrayBuffer | ArrayBufferView | Blob | URLSearchParams | ReadableStream<Uint8Array>;

declare class Headers {
  constructor(init?: HeadersInit);
  append(name: string, value: string): void;
  delete(name: string): void;
  get(name: string): string | null;
  getSetCookie(): string[];
  has(name: string): boolean;
  set(name: string, value: string): void;
  forEach(callback: (value: string, name: string, headers: Headers) => void, self?: unknown): void;
  entries(): IterableIterator<[string, string]>;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
  [Symbol.iterator](): IterableIterator<[string, string]>;
}

interface WebBody {
  readonly body: ReadableStream<Uint8Array> | null;
  readonly bodyUsed: boolean;
  text(): Promise<string>;
  // biome-ignore lint/suspicious/noExplicitAny: as everywhere else, so that scripts written for the web compile.
  json(): Promise<any>;
  arrayBuffer(): Promise<ArrayBuffer>;
  bytes(): Promise<Uint8Array<ArrayBuffer>>;
  blob(): Promise<Blob>;
}

interface ResponseInit {
  readonly status?: number;
  readonly statusText?: string;
  readonly headers?: HeadersInit;
}

interface Response extends WebBody {}
declare class Response {
  constructor(body?: BodyInit | null, init?: ResponseInit);
  static json(value: unknown, init?: ResponseInit): Response;
  static error(): Response;
  static redirect(url: string | URL, status?: number): Response;
  readonly status: number;
  readonly statusText: string;
  readonly ok: boolean;
  readonly headers: Headers;
  readonly url: string;
  readonly type: string;
  readonly redirected: boolean;
  clone(): Response;
}

interface RequestInit {
  readonly method?: string;
  readonly headers?: HeadersInit;
  readonly body?: BodyInit | null;
  readonly redirect?: "follow" | "manual";
  readonly signal?: AbortSignal | null;
}

interface Request extends WebBody {}
declare class Request {
  constructor(input: string | URL | Request, init?: RequestInit);
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly redirect: string;
  readonly signal: AbortSignal | null;
  clone(): Request;
}

/** `context.http` under the name the web gives it: needs the grant `http`. */
declare function fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;

// -- Email Workers -------------------------------------------------------------------------------------------------------------------

declare module "cloudflare:email" {
  export class EmailMessage {
    /** `raw`: header and body, whole. */
    constructor(from: string, to: string, raw: string | ArrayBuffer | ArrayBufferView | ReadableStream<Uint8Array>);
    readonly from: string;
    readonly to: string;
  }
}
