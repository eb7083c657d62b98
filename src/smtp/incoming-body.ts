/** The octets of a message on their way in: mail data behind 354, or a chunk of BDAT. RFC 5321 §4.1.1.4, RFC 3030 §2. Pure. */
import type { Reply } from "../mail/status.ts";
import { MailDataDecoder } from "./mail-data.ts";
import type { OctetQueue } from "./octet-queue.ts";
import type { Effect } from "./reply-effect.ts";

/** Octets of the message; `more`: none are here; `end`: the mail data, or the chunk, is over. */
export type BodyPart = Buffer | "more" | "end";

export class IncomingBody {
  /** null: what comes is a chunk. */
  #decoder: MailDataDecoder | null = null;
  #dataEnded = false;
  #chunkRest = 0;
  /** Of the chunk: octets it was said to have, and whether it is the last. */
  chunkOctets = 0;
  isLast = false;
  /** What the chunk will be answered, and is thrown away for; null where it is taken. */
  refusal: { readonly reply: Reply; readonly effect: Effect } | null = null;

  get isChunk(): boolean {
    return this.#decoder === null;
  }

  beginData(): void {
    this.#decoder = new MailDataDecoder();
    this.#dataEnded = false;
    this.refusal = null;
  }

  beginChunk({ sizeOctets, last }: { readonly sizeOctets: number; readonly last: boolean }): void {
    this.#decoder = null;
    this.#chunkRest = sizeOctets;
    this.chunkOctets = sizeOctets;
    this.isLast = last;
    this.refusal = null;
  }

  /** The next octets of the message, taken from the queue; octets behind its end stay there. */
  take(queue: OctetQueue): BodyPart {
    return this.#decoder === null ? this.#takeChunk(queue) : this.#takeData(queue, this.#decoder);
  }

  #takeData(queue: OctetQueue, decoder: MailDataDecoder): BodyPart {
    while (!this.#dataEnded) {
      const front = queue.front(Number.MAX_SAFE_INTEGER);
      if (front === null) return "more";
      const { pieces, end } = decoder.decode(front);
      queue.drop(end === -1 ? front.length : end);
      this.#dataEnded = end !== -1;
      if (pieces.length > 0) return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    }
    return "end";
  }

  #takeChunk(queue: OctetQueue): BodyPart {
    while (this.#chunkRest > 0) {
      const octets = queue.front(this.#chunkRest);
      if (octets === null) return "more";
      queue.drop(octets.length);
      this.#chunkRest -= octets.length;
      if (this.refusal === null) return octets;
    }
    return "end";
  }
}
