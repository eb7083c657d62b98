/** Runs inside the isolate: Blob. */
import { createList, lowerCase, matches, TypeErrorOf, toText } from "./primordials.ts";
import {
  bufferWith,
  copyOctets,
  defineGlobal,
  iterator,
  joinOctets,
  lengthOf,
  nameClass,
  octetsIn,
  toNumber,
  truncate,
} from "./web-primordials.ts";
import { type ReadableStream, streamOfOctets } from "./web-streams.ts";
import { decodeUtf8, encodeText } from "./web-text.ts";

const notInType = /[^\x20-\x7e]/;

/** The octets of a blob, or null where it is none. */
export let blobOctets: (value: unknown) => Uint8Array<ArrayBuffer> | null;
export let blobType: (blob: Blob) => string;

export class Blob {
  #octets: Uint8Array<ArrayBuffer>;
  #type: string;

  static {
    blobOctets = (value) =>
      typeof value === "object" && value !== null && #octets in value ? (value as Blob).#octets : null;
    blobType = (blob) => blob.#type;
  }

  constructor(parts?: Iterable<unknown>, options?: { readonly type?: unknown }) {
    const pieces: Uint8Array[] = createList();
    if (parts !== undefined) {
      if (typeof parts !== "object" || parts === null || typeof parts[iterator] !== "function")
        throw new TypeErrorOf("Blob takes a list of parts");
      for (const part of parts) {
        const octets = blobOctets(part) ?? octetsIn(part);
        pieces[pieces.length] = octets ?? encodeText(toText(part));
      }
    }
    this.#octets = joinOctets(pieces);
    this.#type = typeOf(options?.type);
  }

  get size(): number {
    return lengthOf(this.#octets);
  }

  get type(): string {
    return this.#type;
  }

  slice(from?: unknown, to?: unknown, type?: unknown): Blob {
    const length = lengthOf(this.#octets);
    const start = placeOf(from, 0, length);
    const end = placeOf(to, length, length);
    const blob = new Blob();
    blob.#octets = copyOctets(this.#octets, start, end > start ? end : start);
    blob.#type = typeOf(type);
    return blob;
  }

  async text(): Promise<string> {
    return decodeUtf8(this.#octets);
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return bufferWith(copyOctets(this.#octets, 0, lengthOf(this.#octets)));
  }

  async bytes(): Promise<Uint8Array> {
    return copyOctets(this.#octets, 0, lengthOf(this.#octets));
  }

  stream(): ReadableStream {
    return streamOfOctets(() => this.#octets);
  }
}

/** As `slice` counts: from the end where it is negative, and within what there is. */
function placeOf(given: unknown, absent: number, length: number): number {
  if (given === undefined) return absent;
  const place = truncate(toNumber(given)) || 0;
  if (place < 0) return length + place > 0 ? length + place : 0;
  return place < length ? place : length;
}

function typeOf(type: unknown): string {
  const text = type === undefined ? "" : toText(type);
  return matches(notInType, text) ? "" : lowerCase(text);
}

nameClass(Blob, "Blob");
defineGlobal("Blob", Blob);
