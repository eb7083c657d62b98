/**
 * Runs inside the isolate: ReadableStream, with a default reader, async iteration, `tee`, `pipeTo` and `pipeThrough`. What writes is in web-sinks.ts.
 * A source of `type: "bytes"` is taken as any other. (lenient: there is no reader that brings its own buffer)
 */
import { createList, RangeErrorOf, TypeErrorOf } from "./primordials.ts";
import { setStreamMaker } from "./streams.ts";
import { Flow, methodOf, type Result, run } from "./web-flow.ts";
import {
  applyTo,
  asyncIterator,
  copyOctets,
  defineGlobal,
  iterator,
  lengthOf,
  nameClass,
  PromiseOf,
  toNumber,
  whenSettled,
} from "./web-primordials.ts";
import { lockSink, unlockSink } from "./web-sinks.ts";

type Method = (...args: never[]) => unknown;

/** Octets of a piece, where we make the pieces. */
const pieceOctets = 65_536;

class ReadableStreamDefaultController {
  readonly #flow: Flow;

  constructor(flow: Flow) {
    this.#flow = flow;
  }

  get desiredSize(): number | null {
    return this.#flow.room;
  }

  enqueue(chunk: unknown): void {
    this.#flow.enqueue(chunk);
  }

  close(): void {
    this.#flow.close();
  }

  error(reason?: unknown): void {
    this.#flow.fail(reason);
  }
}

let flowOf: (stream: ReadableStream) => Flow;
let isOne: (value: object) => value is ReadableStream;

export class ReadableStream {
  readonly #flow: Flow;

  static {
    flowOf = (stream) => stream.#flow;
    isOne = (value): value is ReadableStream => #flow in value;
  }

  constructor(source?: object | null, strategy?: { readonly highWaterMark?: unknown; readonly size?: unknown }) {
    const roomMax = strategy?.highWaterMark === undefined ? 1 : toNumber(strategy.highWaterMark);
    if (!(roomMax >= 0)) throw new RangeErrorOf("highWaterMark is a number from 0");
    const size = strategy?.size;
    const flow = new Flow(
      roomMax,
      typeof size === "function" ? (chunk) => applyTo(size as Method, undefined, [chunk]) : null,
    );
    this.#flow = flow;
    const controller = new ReadableStreamDefaultController(flow);
    const start = methodOf(source, "start");
    const pull = methodOf(source, "pull");
    const cancel = methodOf(source, "cancel");
    flow.onPull = pull === null ? null : () => pull(controller);
    flow.onCancel = cancel;
    const started = start?.(controller);
    whenSettled(
      run(() => started),
      () => {
        flow.isStarted = true;
        flow.pull();
      },
      (reason) => flow.fail(reason),
    );
  }

  static from(items: Iterable<unknown> | AsyncIterable<unknown>): ReadableStream {
    const open = (items as AsyncIterable<unknown>)[asyncIterator] ?? (items as Iterable<unknown>)[iterator];
    if (typeof open !== "function")
      throw new TypeErrorOf("ReadableStream.from takes something that can be gone through");
    const source = applyTo(open as Method, items, []) as AsyncIterator<unknown>;
    return streamFrom({
      async pull(flow) {
        const { done, value } = await source.next();
        if (done) flow.close();
        else flow.enqueue(value);
      },
      cancel: async (reason) => void (await source.return?.(reason)),
      roomMax: 0,
    });
  }

  get locked(): boolean {
    return this.#flow.reader !== null;
  }

  getReader(options?: { readonly mode?: unknown }): ReadableStreamDefaultReader {
    if (options?.mode !== undefined)
      throw new TypeErrorOf("getReader: there is no reader of that mode, only the default one");
    return new ReadableStreamDefaultReader(this);
  }

  async cancel(reason?: unknown): Promise<void> {
    if (this.#flow.reader !== null) throw new TypeErrorOf("This stream is being read: cancel it by its reader");
    await this.#flow.cancel(reason);
  }

  tee(): [ReadableStream, ReadableStream] {
    return teeStream(this);
  }

  /** Where it fails on one side, the other one is told, unless `options` prevents it. */
  async pipeTo(writable: unknown, options?: PipeOptions): Promise<void> {
    await pipe(this, writable, options);
  }

  pipeThrough(
    pair: { readonly readable: ReadableStream; readonly writable: unknown },
    options?: PipeOptions,
  ): ReadableStream {
    const { readable, writable } = pair;
    // Whoever reads the other end hears of a failure there.
    whenSettled(
      pipe(this, writable, options),
      () => {},
      () => {},
    );
    return readable;
  }

  values(options?: { readonly preventCancel?: unknown }): AsyncIterableIterator<unknown> {
    const flow = lock(this);
    const letGo = () => {
      flow.reader = null;
    };
    const given: AsyncIterableIterator<unknown> = {
      async next() {
        const { done, value } = await flow.read();
        if (done) letGo();
        return { done, value } as IteratorResult<unknown>;
      },
      async return(value?: unknown) {
        if (!options?.preventCancel && flow.state === "readable") await flow.cancel(value);
        letGo();
        return { done: true, value };
      },
      [asyncIterator]() {
        return given;
      },
    };
    return given;
  }

  [asyncIterator](): AsyncIterableIterator<unknown> {
    return applyTo(valuesOf as never, this, []) as AsyncIterableIterator<unknown>;
  }
}

const valuesOf = ReadableStream.prototype.values;

export interface PipeOptions {
  readonly preventClose?: unknown;
  readonly preventAbort?: unknown;
  readonly preventCancel?: unknown;
  readonly signal?: { readonly aborted: unknown; readonly reason: unknown };
}

export class ReadableStreamDefaultReader {
  #flow: Flow | null;
  readonly #closed: Promise<void>;

  constructor(stream: ReadableStream) {
    const flow = lock(stream, this);
    this.#flow = flow;
    this.#closed = new PromiseOf((resolve, reject) => {
      if (flow.state === "closed") resolve();
      else if (flow.state === "errored") reject(flow.reason);
      else flow.over = { resolve, reject };
    });
    // Who does not ask for it has read the failure itself.
    whenSettled(
      this.#closed,
      () => {},
      () => {},
    );
  }

  get closed(): Promise<void> {
    return this.#closed;
  }

  async read(): Promise<Result> {
    return await this.#held().read();
  }

  async cancel(reason?: unknown): Promise<void> {
    await this.#held().cancel(reason);
  }

  releaseLock(): void {
    if (this.#flow === null) return;
    const reason = new TypeErrorOf("The reader was released");
    this.#flow.dropRequests(reason);
    this.#flow.over?.reject(reason);
    this.#flow.over = null;
    this.#flow.reader = null;
    this.#flow = null;
  }

  #held(): Flow {
    if (this.#flow === null) throw new TypeErrorOf("The reader was released");
    return this.#flow;
  }
}

/** Locks a stream for a reader, which may be a part of this file. */
function lock(stream: ReadableStream, reader: object = {}): Flow {
  const flow = flowOf(stream);
  if (flow.reader !== null) throw new TypeErrorOf("This stream is being read already");
  flow.reader = reader;
  return flow;
}

interface Source {
  readonly pull: (flow: Flow) => Promise<void>;
  readonly cancel: (reason: unknown) => Promise<void>;
  readonly roomMax: number;
}

/** A stream whose source is ours. */
export function streamFrom({ pull, cancel, roomMax }: Source): ReadableStream {
  const stream = new ReadableStream(undefined, { __proto__: null, highWaterMark: roomMax } as never);
  const flow = flowOf(stream);
  flow.onPull = () => pull(flow);
  flow.onCancel = cancel;
  return stream;
}

/** The inside of a stream, for other parts of the guest. */
export function insideOf(stream: ReadableStream): Flow {
  return flowOf(stream);
}

/** All there is in a stream, read to its end; it is locked from here on. */
export async function readAll(stream: ReadableStream, take: (chunk: unknown) => void): Promise<void> {
  const flow = lock(stream);
  for (;;) {
    const { done, value } = await flow.read();
    if (done) return;
    take(value);
  }
}

/** Whether it is one, whatever its prototype says. */
export function isStream(value: unknown): value is ReadableStream {
  return typeof value === "object" && value !== null && isOne(value);
}

/** Two streams in the place of one, at the pace of whoever reads first. */
export function teeStream(stream: ReadableStream): [ReadableStream, ReadableStream] {
  const flow = lock(stream);
  const branches: Flow[] = createList();
  const cancelled: unknown[] = createList();
  let reading = false;
  const pull = async () => {
    if (reading) return;
    reading = true;
    try {
      const { done, value } = await flow.read();
      for (let i = 0; i < 2; i++)
        if (branches[i]!.state === "readable" && !branches[i]!.isClosing)
          done ? branches[i]!.close() : branches[i]!.enqueue(value);
    } catch (reason) {
      for (let i = 0; i < 2; i++) branches[i]!.fail(reason);
    } finally {
      reading = false;
    }
    for (let i = 0; i < 2; i++) branches[i]!.pull();
  };
  const cancel = async (reason: unknown) => {
    cancelled[cancelled.length] = reason;
    if (cancelled.length === 2) await flow.cancel(cancelled[0]);
  };
  const one = streamFrom({ pull, cancel, roomMax: 0 });
  const other = streamFrom({ pull, cancel, roomMax: 0 });
  branches[0] = flowOf(one);
  branches[1] = flowOf(other);
  return [one, other];
}

/** Octets as a stream, in pieces. */
export function streamOfOctets(read: () => Uint8Array): ReadableStream {
  let octets: Uint8Array | null = null;
  let at = 0;
  return streamFrom({
    async pull(flow) {
      octets ??= read();
      const end = lengthOf(octets) - at > pieceOctets ? at + pieceOctets : lengthOf(octets);
      if (end > at) flow.enqueue(copyOctets(octets, at, end));
      at = end;
      if (at === lengthOf(octets)) flow.close();
    },
    cancel: async () => {
      octets = null;
    },
    roomMax: 0,
  });
}

async function pipe(stream: ReadableStream, writable: unknown, options: PipeOptions | undefined): Promise<void> {
  const { signal } = options ?? {};
  const flow = lock(stream);
  const sink = lockSink(writable);
  try {
    for (;;) {
      let result: Result;
      try {
        if (signal?.aborted) throw signal.reason;
        result = await flow.read();
      } catch (reason) {
        if (!options?.preventAbort) await sink.abort(reason);
        if (flow.state === "readable" && !options?.preventCancel) await flow.cancel(reason);
        throw reason;
      }
      if (result.done) {
        if (!options?.preventClose) await sink.close();
        return;
      }
      try {
        await sink.write(result.value);
      } catch (reason) {
        if (!options?.preventCancel) await flow.cancel(reason);
        throw reason;
      }
    }
  } finally {
    flow.reader = null;
    unlockSink(sink);
  }
}

setStreamMaker(streamOfOctets as never);
nameClass(ReadableStream, "ReadableStream");
nameClass(ReadableStreamDefaultReader, "ReadableStreamDefaultReader");
defineGlobal("ReadableStream", ReadableStream);
defineGlobal("ReadableStreamDefaultReader", ReadableStreamDefaultReader);
