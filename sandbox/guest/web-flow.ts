/** Runs inside the isolate: what a ReadableStream is on the inside (web-streams.ts): its chunks, who waits for one, and when its source is asked for more. */
import { createList, RangeErrorOf, TypeErrorOf } from "./primordials.ts";
import { applyTo, PromiseOf, toNumber, whenSettled } from "./web-primordials.ts";

export interface Result {
  readonly done: boolean;
  readonly value: unknown;
}

interface Request {
  readonly resolve: (result: Result) => void;
  readonly reject: (reason: unknown) => void;
}

export type Size = (chunk: unknown) => unknown;

/** First in, first out. What was taken is let go of. */
class Line<Item> {
  #items: (Item | undefined)[] = createList();
  #first = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  add(item: Item): void {
    this.#items[this.#items.length] = item;
  }

  take(): Item | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#first];
    this.#items[this.#first++] = undefined;
    if (this.#first === this.#items.length || this.#first > 1_000) {
      const rest: (Item | undefined)[] = createList();
      for (let i = this.#first; i < this.#items.length; i++) rest[rest.length] = this.#items[i];
      this.#items = rest;
      this.#first = 0;
    }
    return item;
  }
}

/** What a stream is on the inside; neither its class nor its controller is asked by anyone in here. */
export class Flow {
  state: "readable" | "closed" | "errored" = "readable";
  reason: unknown;
  reader: object | null = null;
  /** For whoever waits until it is over. */
  over: { readonly resolve: () => void; readonly reject: (reason: unknown) => void } | null = null;
  isClosing = false;
  onPull: (() => unknown) | null = null;
  onCancel: ((reason: unknown) => unknown) | null = null;
  readonly #chunks = new Line<{ readonly value: unknown; readonly size: number }>();
  readonly #requests = new Line<Request>();
  readonly #roomMax: number;
  readonly #size: Size | null;
  #sizes = 0;
  #pulling = false;
  #pullAgain = false;
  isStarted = false;
  /** Whether it was read from, or cancelled. */
  isDisturbed = false;

  constructor(roomMax: number, size: Size | null) {
    this.#roomMax = roomMax;
    this.#size = size;
  }

  get room(): number | null {
    return this.state === "errored" ? null : this.state === "closed" ? 0 : this.#roomMax - this.#sizes;
  }

  /** Whether somebody waits for a chunk. */
  get isWanted(): boolean {
    return this.#requests.length > 0;
  }

  enqueue(value: unknown): void {
    if (this.isClosing || this.state !== "readable")
      throw new TypeErrorOf("This stream is closed: nothing can be added to it");
    const request = this.#requests.take();
    if (request) request.resolve({ done: false, value });
    else {
      const size = this.#size === null ? 1 : toNumber(this.#size(value));
      if (!(size >= 0)) throw new RangeErrorOf("The size of a chunk is a number from 0");
      this.#sizes += size;
      this.#chunks.add({ value, size });
    }
    this.pull();
  }

  close(): void {
    if (this.isClosing || this.state !== "readable") throw new TypeErrorOf("This stream is closed already");
    this.isClosing = true;
    if (this.#chunks.length === 0) this.#end();
  }

  fail(reason: unknown): void {
    if (this.state !== "readable") return;
    this.state = "errored";
    this.reason = reason;
    this.#letGo();
    for (let request = this.#requests.take(); request; request = this.#requests.take()) request.reject(reason);
    this.over?.reject(reason);
  }

  read(): Promise<Result> {
    this.isDisturbed = true;
    return new PromiseOf<Result>((resolve, reject) => {
      const chunk = this.#chunks.take();
      if (chunk) {
        this.#sizes -= chunk.size;
        if (this.isClosing && this.#chunks.length === 0) this.#end();
        else this.pull();
        resolve({ done: false, value: chunk.value });
      } else if (this.state === "errored") reject(this.reason);
      else if (this.state === "closed") resolve({ done: true, value: undefined });
      else {
        this.#requests.add({ resolve, reject });
        this.pull();
      }
    });
  }

  async cancel(reason: unknown): Promise<void> {
    this.isDisturbed = true;
    if (this.state === "errored") throw this.reason;
    if (this.state === "closed") return;
    const onCancel = this.onCancel;
    while (this.#chunks.take());
    this.#sizes = 0;
    this.#end();
    await onCancel?.(reason);
  }

  /** Requests of a reader that goes away. */
  dropRequests(reason: unknown): void {
    for (let request = this.#requests.take(); request; request = this.#requests.take()) request.reject(reason);
  }

  pull(): void {
    if (!this.isStarted || this.isClosing || this.state !== "readable" || this.onPull === null) return;
    if (this.#requests.length === 0 && this.#roomMax - this.#sizes <= 0) return;
    if (this.#pulling) {
      this.#pullAgain = true;
      return;
    }
    this.#pulling = true;
    whenSettled(
      run(this.onPull),
      () => {
        this.#pulling = false;
        const again = this.#pullAgain;
        this.#pullAgain = false;
        if (again) this.pull();
      },
      (reason) => this.fail(reason),
    );
  }

  #end(): void {
    this.state = "closed";
    this.#letGo();
    for (let request = this.#requests.take(); request; request = this.#requests.take())
      request.resolve({ done: true, value: undefined });
    this.over?.resolve();
  }

  #letGo(): void {
    this.onPull = null;
    this.onCancel = null;
  }
}

/** Calls it; what it throws at once is a rejection as well. */
export async function run(method: () => unknown): Promise<unknown> {
  return await method();
}

/** A method of a source, a sink or a transformer, bound to it; null where it has none. */
export function methodOf(of: object | null | undefined, name: string): ((...args: unknown[]) => unknown) | null {
  const method: unknown = of === null || of === undefined ? undefined : (of as Record<string, unknown>)[name];
  if (method === undefined) return null;
  if (typeof method !== "function") throw new TypeErrorOf(`${name} is a function`);
  return (...args) => applyTo(method as never, of, args);
}
