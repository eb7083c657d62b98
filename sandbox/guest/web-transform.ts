/** Runs inside the isolate: TransformStream, and the two of them that turn texts into octets and back. */
import { Bytes, TypeErrorOf, toText } from "./primordials.ts";
import { type Flow, methodOf } from "./web-flow.ts";
import { defineGlobal, nameClass, octetsIn, PromiseOf } from "./web-primordials.ts";
import { insideOfSink, WritableStream } from "./web-sinks.ts";
import { insideOf, type ReadableStream, streamFrom } from "./web-streams.ts";
import { charsetOf, Decoding, encodeText } from "./web-text.ts";

type Call = (...args: unknown[]) => unknown;

interface Steps {
  readonly start?: Call | null;
  /** Without it chunks go through as they are. */
  readonly transform?: Call | null;
  readonly flush?: Call | null;
}

export class TransformStream {
  readonly #readable: ReadableStream;
  readonly #writable: WritableStream;

  constructor(transformer?: object | null) {
    const { readable, writable } = createPair({
      start: methodOf(transformer, "start"),
      transform: methodOf(transformer, "transform"),
      flush: methodOf(transformer, "flush"),
    });
    this.#readable = readable;
    this.#writable = writable;
  }

  get readable(): ReadableStream {
    return this.#readable;
  }

  get writable(): WritableStream {
    return this.#writable;
  }
}

class TextEncoderStream extends TransformStream {
  constructor() {
    super({
      __proto__: null,
      transform(chunk: unknown, controller: Controller) {
        controller.enqueue(encodeText(toText(chunk)));
      },
    });
  }

  get encoding(): string {
    return "utf-8";
  }
}

class TextDecoderStream extends TransformStream {
  readonly #charset: string;

  constructor(label: unknown = "utf-8", options?: { readonly fatal?: unknown; readonly ignoreBOM?: unknown }) {
    const charset = charsetOf(label);
    const decoding = new Decoding(charset, !!options?.fatal, !!options?.ignoreBOM);
    const give = (text: string, controller: Controller) => {
      if (text !== "") controller.enqueue(text);
    };
    super({
      __proto__: null,
      transform(chunk: unknown, controller: Controller) {
        const octets = octetsIn(chunk);
        if (octets === null) throw new TypeErrorOf("TextDecoderStream takes octets");
        give(decoding.decode(octets, true), controller);
      },
      flush(controller: Controller) {
        give(decoding.decode(new Bytes(0), false), controller);
      },
    });
    this.#charset = charset;
  }

  get encoding(): string {
    return this.#charset;
  }
}

/** What a transformer is handed. */
class Controller {
  readonly #flow: Flow;
  readonly #terminate: () => void;
  readonly #fail: (reason: unknown) => void;

  constructor(flow: Flow, terminate: () => void, fail: (reason: unknown) => void) {
    this.#flow = flow;
    this.#terminate = terminate;
    this.#fail = fail;
  }

  get desiredSize(): number | null {
    return this.#flow.room;
  }

  enqueue(chunk: unknown): void {
    this.#flow.enqueue(chunk);
  }

  error(reason?: unknown): void {
    this.#fail(reason);
  }

  terminate(): void {
    this.#terminate();
  }
}

function createPair({ start, transform, flush }: Steps): {
  readonly readable: ReadableStream;
  readonly writable: WritableStream;
} {
  let wanted: () => void = () => {};
  const readable = streamFrom({
    async pull() {
      wanted();
    },
    async cancel(reason) {
      wanted();
      insideOfSink(writable).fail(reason);
    },
    roomMax: 0,
  });
  const flow = insideOf(readable);
  const fail = (reason: unknown) => {
    flow.fail(reason);
    insideOfSink(writable).fail(reason);
  };
  const terminate = () => {
    if (flow.state === "readable" && !flow.isClosing) flow.close();
    insideOfSink(writable).fail(new TypeErrorOf("The stream was ended by its transformer"));
  };
  const controller = new Controller(flow, terminate, fail);
  // What is written waits until somebody reads what came of the chunk before.
  const someoneReads = () =>
    new PromiseOf<void>((resolve) => {
      wanted = resolve;
      if (flow.isWanted || flow.state !== "readable") resolve();
    });
  const writable: WritableStream = new WritableStream({
    __proto__: null,
    async write(chunk: unknown) {
      await someoneReads();
      try {
        if (transform) await transform(chunk, controller);
        else flow.enqueue(chunk);
      } catch (reason) {
        flow.fail(reason);
        throw reason;
      }
    },
    async close() {
      try {
        await flush?.(controller);
      } catch (reason) {
        flow.fail(reason);
        throw reason;
      }
      if (flow.state === "readable" && !flow.isClosing) flow.close();
    },
    abort(reason: unknown) {
      flow.fail(reason);
    },
  });
  start?.(controller);
  return { readable, writable };
}

nameClass(TransformStream, "TransformStream");
defineGlobal("TransformStream", TransformStream);
defineGlobal("TextEncoderStream", TextEncoderStream);
defineGlobal("TextDecoderStream", TextDecoderStream);
