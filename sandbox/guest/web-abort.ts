/** Runs inside the isolate: AbortController and AbortSignal, and Event and EventTarget as far as they need them: no capture, no bubbling. */

import { askTimer, runInHand } from "./calls.ts";
import { clockNow } from "./clock.ts";
import { append, createList, TypeErrorOf, toText } from "./primordials.ts";
import { DOMException } from "./web-exception.ts";
import { applyTo, defineGlobal, iterator, nameClass, toNumber } from "./web-primordials.ts";

interface Listener {
  readonly type: string;
  readonly callback: unknown;
  readonly once: boolean;
}

let begin: (event: Event, target: object) => void;
let isStopped: (event: Event) => boolean;

export class Event {
  readonly #type: string;
  readonly #cancelable: boolean;
  readonly #timeStamp = clockNow();
  #target: object | null = null;
  #defaultPrevented = false;
  #stopped = false;

  static {
    begin = (event, target) => {
      event.#target = target;
    };
    isStopped = (event) => event.#stopped;
  }

  constructor(type: unknown, options?: { readonly cancelable?: unknown }) {
    this.#type = toText(type);
    this.#cancelable = !!options?.cancelable;
  }

  get type(): string {
    return this.#type;
  }

  get target(): object | null {
    return this.#target;
  }

  get currentTarget(): object | null {
    return this.#target;
  }

  get timeStamp(): number {
    return this.#timeStamp;
  }

  get cancelable(): boolean {
    return this.#cancelable;
  }

  get defaultPrevented(): boolean {
    return this.#defaultPrevented;
  }

  preventDefault(): void {
    if (this.#cancelable) this.#defaultPrevented = true;
  }

  stopPropagation(): void {}

  stopImmediatePropagation(): void {
    this.#stopped = true;
  }
}

let fire: (target: EventTarget, event: Event) => boolean;

export class EventTarget {
  #listeners: Listener[] = createList();

  static {
    fire = (target, event) => target.#fire(event);
  }

  addEventListener(type: unknown, callback: unknown, options?: { readonly once?: unknown } | boolean | null): void {
    if (callback === null || callback === undefined) return;
    if (typeof callback !== "function" && typeof callback !== "object")
      throw new TypeErrorOf("A listener is a function");
    const name = toText(type);
    for (let i = 0; i < this.#listeners.length; i++)
      if (this.#listeners[i]!.type === name && this.#listeners[i]!.callback === callback) return;
    const once = typeof options === "object" && !!options?.once;
    this.#listeners[this.#listeners.length] = { type: name, callback, once };
  }

  removeEventListener(type: unknown, callback: unknown): void {
    const name = toText(type);
    const kept: Listener[] = createList();
    for (let i = 0; i < this.#listeners.length; i++) {
      const listener = this.#listeners[i]!;
      if (listener.type !== name || listener.callback !== callback) kept[kept.length] = listener;
    }
    this.#listeners = kept;
  }

  dispatchEvent(event: Event): boolean {
    return this.#fire(event);
  }

  #fire(event: Event): boolean {
    begin(event, this);
    const { type } = event;
    const heard = this.#listeners;
    // A listener that throws is the end of the run, as a promise that nobody awaits: the others are called all the same.
    for (let i = 0; i < heard.length && !isStopped(event); i++) {
      const { type: name, callback, once } = heard[i]!;
      if (name !== type) continue;
      if (once) applyTo(remove as never, this, [name, callback]);
      void call(callback, this, event);
    }
    return !event.defaultPrevented;
  }
}

const add = EventTarget.prototype.addEventListener;
const remove = EventTarget.prototype.removeEventListener;

async function call(callback: unknown, target: object, event: Event): Promise<void> {
  if (typeof callback === "function") applyTo(callback as never, target, [event]);
  else (callback as { readonly handleEvent: (event: Event) => void }).handleEvent(event);
}

let abort: (signal: AbortSignal, reason: unknown) => void;
let follow: (signal: AbortSignal, of: AbortSignal) => void;

/** Only made by a controller and by the functions of the class itself. */
const key = {};

export class AbortSignal extends EventTarget {
  #aborted = false;
  #reason: unknown;
  /** undefined: it was never set. */
  #onabort: unknown;
  /** Signals that are aborted with this one. */
  #followers: AbortSignal[] = createList();

  static {
    abort = (signal, reason) => {
      if (signal.#aborted) return;
      signal.#aborted = true;
      signal.#reason = reason === undefined ? new DOMException("The operation was aborted", "AbortError") : reason;
      for (let i = 0; i < signal.#followers.length; i++) abort(signal.#followers[i]!, signal.#reason);
      signal.#followers = createList();
      const event = new Event("abort");
      fire(signal, event);
    };
    follow = (signal, of) => {
      if (of.#aborted) abort(signal, of.#reason);
      else of.#followers[of.#followers.length] = signal;
    };
  }

  constructor(made?: unknown) {
    if (made !== key) throw new TypeErrorOf("A signal is made by new AbortController()");
    super();
  }

  static abort(reason?: unknown): AbortSignal {
    const signal = new AbortSignal(key);
    abort(signal, reason);
    return signal;
  }

  static timeout(ms: unknown): AbortSignal {
    const time = toNumber(ms);
    if (!(time >= 0)) throw new TypeErrorOf("AbortSignal.timeout takes milliseconds");
    const signal = new AbortSignal(key);
    askTimer(runInHand("AbortSignal.timeout"), time, () =>
      abort(signal, new DOMException("The time was over", "TimeoutError")),
    );
    return signal;
  }

  static any(signals: Iterable<AbortSignal>): AbortSignal {
    const all: AbortSignal[] = [];
    for (const signal of { [iterator]: () => signals[iterator]() }) append(all, signal);
    const any = new AbortSignal(key);
    for (let i = 0; i < all.length; i++) follow(any, all[i]!);
    return any;
  }

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  get onabort(): unknown {
    return this.#onabort ?? null;
  }

  /** Heard in the order of the others, from when it was first set. */
  set onabort(listener: unknown) {
    if (this.#onabort === undefined)
      applyTo(add as never, this, [
        "abort",
        (event: Event) => {
          if (typeof this.#onabort === "function") applyTo(this.#onabort as never, this, [event]);
        },
      ]);
    this.#onabort = listener;
  }

  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason;
  }
}

export class AbortController {
  readonly #signal = new AbortSignal(key);

  get signal(): AbortSignal {
    return this.#signal;
  }

  abort(reason?: unknown): void {
    abort(this.#signal, reason);
  }
}

nameClass(Event, "Event");
nameClass(EventTarget, "EventTarget");
nameClass(AbortSignal, "AbortSignal");
nameClass(AbortController, "AbortController");
defineGlobal("Event", Event);
defineGlobal("EventTarget", EventTarget);
defineGlobal("AbortSignal", AbortSignal);
defineGlobal("AbortController", AbortController);
