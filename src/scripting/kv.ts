/**
 * The scripts' store: keys and JSON values by name of the script, in `data/kv.db`, on a thread of its own that starts with the first call. What is
 * asked while a commit is under way shares the next one. A store that fails stops no mail: its calls are answered `kv.failed`, the log says why,
 * and it is opened anew some seconds later.
 */
import { Worker } from "node:worker_threads";
import type { Json } from "../../sandbox/api.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { KvOperation, KvResult, KvUsage } from "./kv-tables.ts";
import type { FromKvWorker, KvAnswer, ToKvWorker } from "./kv-worker.ts";

/** Octets of a key. */
const kvKeyOctetsMax = 512;
/** Octets of a value, as JSON. */
const kvValueOctetsMax = 65_536;
/** Keys in one listing. */
const kvListMax = 1_000;
/** A longer one is for ever as good: a thousand years. */
const ttlMsMax = 1_000 * 365 * 86_400_000;

/** Operations that wait; one more is answered `kv.failed`. */
const waitingMax = 10_000;
const batchOperationsMax = 512;
/** So long a store that failed is left alone. */
const retryMs = 5_000;

interface Waiting {
  readonly operation: KvOperation;
  readonly resolve: (value: KvResult) => void;
  readonly reject: (fault: Fault) => void;
}

interface Thread {
  readonly worker: Worker;
  opened: boolean;
  /** What was sent and is not answered. */
  batch: readonly Waiting[];
}

export class ScriptStore {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #log: Log;
  /** Octets one script may have in it. */
  readonly #octetsMax: () => number;
  #thread: Thread | undefined;
  #waiting: Waiting[] = [];
  #failure: { readonly reason: string; readonly atMs: number } | undefined;
  #closed = false;

  constructor(options: {
    /** Of the database; its folder is there. */
    readonly path: string;
    readonly octetsMax: () => number;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#path = options.path;
    this.#octetsMax = options.octetsMax;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** null where there is none, or its time is over. Every call may throw: @throws {Fault} `kv.failed`, `script.action-invalid` */
  async get(script: string, key: string): Promise<Json> {
    const value = await this.#ask({ kind: "get", script, key: checkKey(key) });
    return typeof value === "string" ? (JSON.parse(value) as Json) : null;
  }

  /** False where `ifAbsent` found one. @throws {Fault} `kv.full` besides */
  async set(
    script: string,
    key: string,
    value: Json,
    { ttlS = null, ifAbsent = false }: { readonly ttlS?: number | null; readonly ifAbsent?: boolean } = {},
  ): Promise<boolean> {
    const done = await this.#ask({
      kind: "set",
      script,
      key: checkKey(key),
      value: jsonOf(key, value),
      ttlMs: ttlMsOf(ttlS),
      ifAbsent,
      octetsMax: this.#octetsMax(),
    });
    return done === true;
  }

  /** False where there was none. */
  async delete(script: string, key: string): Promise<boolean> {
    return (await this.#ask({ kind: "delete", script, key: checkKey(key) })) === true;
  }

  /** Adds to a number that starts at 0, in one step; gives the sum. The time counts from the first. @throws {Fault} `kv.full` besides */
  async increment(script: string, key: string, by = 1, ttlS: number | null = null): Promise<number> {
    if (!Number.isFinite(by)) throw invalid("Cannot increment by what is no finite number");
    const sum = await this.#ask({
      kind: "increment",
      script,
      key: checkKey(key),
      by,
      ttlMs: ttlMsOf(ttlS),
      octetsMax: this.#octetsMax(),
    });
    return Number(sum);
  }

  /** Keys that begin with `prefix`, in the order of their UTF-8 octets, those behind `after`. */
  async list(
    script: string,
    prefix: string,
    { limit = kvListMax, after = "" }: { readonly limit?: number; readonly after?: string } = {},
  ): Promise<readonly string[]> {
    const bounded = Math.min(Math.max(Math.floor(limit), 1), kvListMax);
    const keys = await this.#ask({ kind: "list", script, prefix, after, limit: bounded });
    return Array.isArray(keys) ? keys : [];
  }

  /** Takes away all of a script's; gives how many there were. */
  async clear(script: string): Promise<number> {
    return Number(await this.#ask({ kind: "clear", script }));
  }

  async usage(script: string): Promise<KvUsage> {
    // The kind of its answer.
    return (await this.#ask({ kind: "usage", script })) as KvUsage;
  }

  /** What is under way is finished; what waits has failed. */
  async close(): Promise<void> {
    this.#closed = true;
    const thread = this.#thread;
    this.#rejectAll(this.#waiting.splice(0), "the server is stopping");
    if (!thread) return;
    const ended = new Promise<void>((resolve) => thread.worker.once("exit", () => resolve()));
    thread.worker.ref();
    post(thread, "close");
    await ended;
  }

  #ask(operation: KvOperation): Promise<KvResult> {
    if (this.#closed) return Promise.reject(failed("the server is stopping"));
    if (this.#waiting.length >= waitingMax) return Promise.reject(failed(`${waitingMax} calls are waiting already`));
    if (!this.#thread && this.#failure && this.#clock.monotonicMs() - this.#failure.atMs < retryMs)
      return Promise.reject(failed(this.#failure.reason));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ operation, resolve, reject });
      this.#send();
    });
  }

  #send(): void {
    if (this.#waiting.length === 0) return;
    const thread = (this.#thread ??= this.#start());
    if (!thread.opened || thread.batch.length > 0) return;
    thread.batch = this.#waiting.splice(0, batchOperationsMax);
    post(thread, { nowMs: this.#clock.now(), operations: thread.batch.map(({ operation }) => operation) });
  }

  #start(): Thread {
    const worker = new Worker(new URL("./kv-worker.ts", import.meta.url), { workerData: { path: this.#path } });
    const thread: Thread = { worker, opened: false, batch: [] };
    worker.unref();
    worker.on("message", (message: FromKvWorker) => this.#heard(thread, message));
    worker.on("error", (error) => this.#fail(thread, describeThrown(error)));
    worker.on("exit", () => this.#fail(thread, "its thread ended"));
    return thread;
  }

  #heard(thread: Thread, message: FromKvWorker): void {
    switch (message.kind) {
      case "opened":
        thread.opened = true;
        this.#failure = undefined;
        break;
      case "answers": {
        const { batch } = thread;
        thread.batch = [];
        for (const [index, waiting] of batch.entries()) settle(waiting, message.answers[index]!);
        break;
      }
      case "failed":
        this.#fail(thread, message.reason);
    }
    this.#send();
  }

  /** Told once for each thread; what it had and what waits has failed: whether a commit stood is not known. */
  #fail(thread: Thread, reason: string): void {
    if (this.#thread !== thread) return;
    this.#thread = undefined;
    if (this.#closed) {
      this.#rejectAll(thread.batch, reason);
      return;
    }
    this.#failure = { reason, atMs: this.#clock.monotonicMs() };
    this.#log.error("kv.failed", {
      file: this.#path,
      reason,
      hint: "scripts that use it are told kv.failed; where the file is damaged, move it away and the store begins anew",
    });
    this.#rejectAll([...thread.batch, ...this.#waiting.splice(0)], reason);
  }

  #rejectAll(all: readonly Waiting[], reason: string): void {
    for (const { reject } of all) reject(failed(reason));
  }
}

function settle({ resolve, reject }: Waiting, answer: KvAnswer): void {
  if ("value" in answer) resolve(answer.value);
  else reject(new Fault(answer.fault.code, answer.fault.message));
}

function post({ worker }: Thread, message: ToKvWorker): void {
  worker.postMessage(message);
}

function failed(reason: string): Fault {
  return new Fault("kv.failed", `The scripts' store does not answer: ${reason}`);
}

function invalid(message: string): Fault {
  return new Fault("script.action-invalid", message);
}

function checkKey(key: string): string {
  const octets = Buffer.byteLength(key);
  if (octets === 0 || octets > kvKeyOctetsMax)
    throw invalid(`Cannot use a key of ${octets} octets: expected from 1 to ${kvKeyOctetsMax}`);
  // A lone surrogate has no octets of its own, and NUL ends a text for some readers.
  if (key.includes("\0") || !key.isWellFormed()) throw invalid("Cannot use a key with NUL or half a character");
  return key;
}

function jsonOf(key: string, value: Json): string {
  const json = JSON.stringify(value);
  if (json === undefined) throw invalid(`Cannot store ${JSON.stringify(key)}: the value is nothing JSON can say`);
  const octets = Buffer.byteLength(json);
  if (octets > kvValueOctetsMax)
    throw invalid(
      `Cannot store ${JSON.stringify(key)}: ${octets} octets of JSON, expected ${kvValueOctetsMax} at most`,
    );
  return json;
}

function ttlMsOf(ttlS: number | null): number | null {
  if (ttlS === null) return null;
  if (!(ttlS > 0)) throw invalid(`Cannot keep a value for ${ttlS} s: expected more than 0`);
  return Math.min(ttlS * 1_000, ttlMsMax);
}
