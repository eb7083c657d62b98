/** Runs inside the isolate: WritableStream with its writer. Chunks are written one after the other; who writes waits while there is no room. */
import { RangeErrorOf, TypeErrorOf } from "./primordials.ts";
import { methodOf, run } from "./web-flow.ts";
import { defineGlobal, nameClass, PromiseOf, toNumber, whenSettled } from "./web-primordials.ts";

type Call = (...args: unknown[]) => unknown;

/** What a WritableStream is on the inside. */
export class Sink {
  state: "writable" | "closing" | "closed" | "errored" = "writable";
  reason: unknown;
  isLocked = false;
  readonly onWrite: Call | null;
  readonly onClose: Call | null;
  readonly onAbort: Call | null;
  readonly roomMax: number;
  /** Chunks that are not written yet. */
  pending = 0;
  tail: Promise<unknown>;
  readonly closed: Promise<void>;
  over: { readonly resolve: () => void; readonly reject: (reason: unknown) => void } = { resolve() {}, reject() {} };
  ready: Promise<void>;
  #giveRoom: () => void = () => {};

  constructor(sink: object | null | undefined, roomMax: number, controller: object) {
    const start = methodOf(sink, "start");
    const write = methodOf(sink, "write");
    this.onWrite = write === null ? null : (chunk) => write(chunk, controller);
    this.onClose = methodOf(sink, "close");
    this.onAbort = methodOf(sink, "abort");
    this.roomMax = roomMax;
    this.closed = new PromiseOf((resolve, reject) => {
      this.over = { resolve, reject };
    });
    this.ready = new PromiseOf((resolve) => resolve());
    quiet(this.closed);
    const started = start?.(controller);
    this.tail = this.#guard(run(() => started));
  }

  async write(chunk: unknown): Promise<void> {
    this.assertOpen();
    this.pending++;
    if (this.pending === this.roomMax)
      this.ready = new PromiseOf((resolve) => {
        this.#giveRoom = resolve;
      });
    await this.#after(() => this.onWrite?.(chunk));
    if (--this.pending < this.roomMax) this.#giveRoom();
  }

  async close(): Promise<void> {
    this.assertOpen();
    this.state = "closing";
    await this.#after(() => this.onClose?.());
    this.state = "closed";
    this.over.resolve();
  }

  async abort(reason: unknown): Promise<void> {
    if (this.state === "closed" || this.state === "errored") return;
    this.fail(reason);
    await this.onAbort?.(reason);
  }

  fail(reason: unknown): void {
    if (this.state === "closed" || this.state === "errored") return;
    this.state = "errored";
    this.reason = reason;
    this.over.reject(reason);
    this.#giveRoom();
  }

  assertOpen(): void {
    if (this.state === "errored") throw this.reason;
    if (this.state !== "writable") throw new TypeErrorOf("This stream is closed: nothing can be written to it");
  }

  /** Does something when all before it is done, unless that has failed. */
  async #after(act: () => unknown): Promise<void> {
    const before = this.tail;
    const done = run(async () => {
      await before;
      if (this.state === "errored") throw this.reason;
      await act();
    });
    this.tail = this.#guard(done);
    await done;
  }

  /** The same, but never rejected: who fails is the stream. */
  #guard(promise: Promise<unknown>): Promise<void> {
    return new PromiseOf((resolve) => {
      whenSettled(
        promise,
        () => resolve(),
        (reason) => {
          this.fail(reason);
          resolve();
        },
      );
    });
  }
}

let sinkOf: (stream: WritableStream) => Sink;
let isOne: (value: object) => value is WritableStream;

export class WritableStream {
  readonly #sink: Sink;

  static {
    sinkOf = (stream) => stream.#sink;
    isOne = (value): value is WritableStream => #sink in value;
  }

  constructor(sink?: object | null, strategy?: { readonly highWaterMark?: unknown }) {
    const roomMax = strategy?.highWaterMark === undefined ? 1 : toNumber(strategy.highWaterMark);
    if (!(roomMax >= 0)) throw new RangeErrorOf("highWaterMark is a number from 0");
    const controller = {
      error: (reason?: unknown) => this.#sink.fail(reason),
    };
    this.#sink = new Sink(sink, roomMax, controller);
  }

  get locked(): boolean {
    return this.#sink.isLocked;
  }

  getWriter(): WritableStreamDefaultWriter {
    return new WritableStreamDefaultWriter(this);
  }

  async abort(reason?: unknown): Promise<void> {
    await this.#unlocked().abort(reason);
  }

  async close(): Promise<void> {
    await this.#unlocked().close();
  }

  #unlocked(): Sink {
    if (this.#sink.isLocked) throw new TypeErrorOf("This stream has a writer: use that");
    return this.#sink;
  }
}

export class WritableStreamDefaultWriter {
  #sink: Sink | null;

  constructor(stream: WritableStream) {
    this.#sink = lockSink(stream);
  }

  get closed(): Promise<void> {
    return this.#held().closed;
  }

  get ready(): Promise<void> {
    return this.#held().ready;
  }

  get desiredSize(): number | null {
    const { state, roomMax, pending } = this.#held();
    return state === "errored" ? null : state === "closed" ? 0 : roomMax - pending;
  }

  async write(chunk?: unknown): Promise<void> {
    await this.#held().write(chunk);
  }

  async close(): Promise<void> {
    await this.#held().close();
  }

  async abort(reason?: unknown): Promise<void> {
    await this.#held().abort(reason);
  }

  releaseLock(): void {
    if (this.#sink === null) return;
    unlockSink(this.#sink);
    this.#sink = null;
  }

  #held(): Sink {
    if (this.#sink === null) throw new TypeErrorOf("The writer was released");
    return this.#sink;
  }
}

/** Locks a WritableStream for a writer; the inside of it. */
export function lockSink(stream: unknown): Sink {
  if (typeof stream !== "object" || stream === null || !isOne(stream))
    throw new TypeErrorOf("This is no WritableStream");
  const sink = sinkOf(stream);
  if (sink.isLocked) throw new TypeErrorOf("This stream has a writer already");
  sink.isLocked = true;
  return sink;
}

export function unlockSink(sink: Sink): void {
  sink.isLocked = false;
}

/** The stream's inside, without a lock. */
export function insideOfSink(stream: WritableStream): Sink {
  return sinkOf(stream);
}

function quiet(promise: Promise<unknown>): void {
  whenSettled(
    promise,
    () => {},
    () => {},
  );
}

nameClass(WritableStream, "WritableStream");
nameClass(WritableStreamDefaultWriter, "WritableStreamDefaultWriter");
defineGlobal("WritableStream", WritableStream);
