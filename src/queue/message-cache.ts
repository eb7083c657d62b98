/** Messages in memory: those just accepted, for their first attempt, and those that go to many destinations. Bounded: what is over is loaded from the spool. */
import { Message } from "../mail/message.ts";
import type { Item } from "./work.ts";

/** Kept for their first attempt, so that nothing is read back. */
export class MessageCache {
  readonly #messages = new Map<string, { readonly message: Message; readonly octets: number }>();
  readonly #messagesMax: number;
  readonly #octetsMax: number;
  #octets = 0;

  constructor(limits: { readonly messagesMax: number; readonly octetsMax: number }) {
    this.#messagesMax = limits.messagesMax;
    this.#octetsMax = limits.octetsMax;
  }

  /** Keeps the message if there is room. */
  offer(message: Message): void {
    const octets = message.header.octets.length + (message.body.inline?.length ?? 0);
    if (
      this.#messages.size >= this.#messagesMax ||
      this.#octets + octets > this.#octetsMax ||
      this.#messages.has(message.id)
    )
      return;
    this.#messages.set(message.id, { message, octets });
    this.#octets += octets;
  }

  /** Hands the message out and forgets it. */
  take(messageId: string): Message | undefined {
    const kept = this.#messages.get(messageId);
    if (!kept) return undefined;
    this.#messages.delete(messageId);
    this.#octets -= kept.octets;
    return kept.message;
  }

  get size(): number {
    return this.#messages.size;
  }
}

/** Messages that go to many destinations at one time. */
const sharedMax = 32;

/**
 * Messages with several destinations: each is an attempt of its own, and for each the whole message with all of its recipients would be read again. Those asked for
 * last are kept. An attempt gets a copy: what is done to it reaches no other.
 */
export class SharedMessages {
  readonly #messages = new Map<Item, Promise<Message | undefined>>();

  keep(item: Item, message: Message): void {
    this.#set(item, Promise.resolve(message));
  }

  /** What it throws, `load` threw: then nothing is kept. */
  async read(item: Item, load: () => Promise<Message | undefined>): Promise<Message | undefined> {
    const reading = this.#messages.get(item) ?? load();
    this.#set(item, reading);
    try {
      const message = await reading;
      return message && new Message(message);
    } catch (error) {
      if (this.#messages.get(item) === reading) this.forget(item);
      throw error;
    }
  }

  /** Its content is about to change. */
  forget(item: Item): void {
    this.#messages.delete(item);
  }

  #set(item: Item, message: Promise<Message | undefined>): void {
    this.#messages.delete(item);
    this.#messages.set(item, message);
    if (this.#messages.size <= sharedMax) return;
    const [oldest] = this.#messages.keys();
    this.#messages.delete(oldest!);
  }
}
