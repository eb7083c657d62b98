/** Messages just accepted, kept in memory for their first attempt so that nothing is read back. Bounded: what is over is loaded from the spool. */
import type { Message } from "../mail/message.ts";

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
