/** Runs inside the isolate: the body of a request or an answer: given in any shape, and read once, in any shape. */
import { createList, jsonParse, TypeErrorOf, toText } from "./primordials.ts";
import { Blob, blobOctets, blobType } from "./web-blob.ts";
import { bufferWith, copyOctets, joinOctets, lengthOf, octetsIn } from "./web-primordials.ts";
import { insideOf, isStream, type ReadableStream, readAll, streamOfOctets, teeStream } from "./web-streams.ts";
import { decodeUtf8, encodeText } from "./web-text.ts";
import { isQuery } from "./web-url.ts";

export class Body {
  /** The type that goes with the shape of what was given, for a header that names none. */
  readonly type: string | null;
  readonly isNull: boolean;
  #octets: Uint8Array | null = null;
  /** Made when it is asked for, where octets were given. */
  #stream: ReadableStream | null = null;
  #used = false;

  /** Octets are taken as they are; whoever gives them keeps its hands off. */
  constructor(given: unknown) {
    const octets = octetsIn(given) ?? blobOctets(given);
    this.isNull = given === undefined || given === null;
    let type: string | null = null;
    if (isStream(given)) this.#stream = given;
    else if (octets !== null) {
      this.#octets = octets;
      if (blobOctets(given) !== null) type = blobType(given as Blob) || null;
    } else if (!this.isNull) {
      this.#octets = encodeText(toText(given));
      type = isQuery(given) ? "application/x-www-form-urlencoded;charset=UTF-8" : "text/plain;charset=UTF-8";
    }
    this.type = type;
  }

  get isUsed(): boolean {
    return this.#used || (this.#stream !== null && insideOf(this.#stream).isDisturbed);
  }

  get stream(): ReadableStream | null {
    if (this.isNull) return null;
    const octets = this.#octets;
    return (this.#stream ??= octets === null ? null : streamOfOctets(() => octets));
  }

  /** A copy, to be read by itself. */
  fork(): Body {
    if (this.isUsed) throw new TypeErrorOf("This body was read already");
    if (this.isNull) return new Body(null);
    if (this.#octets !== null && this.#stream === null) return new Body(this.#octets);
    const branches = teeStream(this.#stream!);
    this.#octets = null;
    this.#stream = branches[0];
    return new Body(branches[1]);
  }

  async octets(): Promise<Uint8Array<ArrayBuffer>> {
    if (this.isUsed) throw new TypeErrorOf("This body was read already, and can be read once: clone() before");
    if (this.isNull) return joinOctets(createList());
    this.#used = true;
    if (this.#stream === null) return copyOctets(this.#octets!, 0, lengthOf(this.#octets!));
    const pieces: Uint8Array[] = createList();
    await readAll(this.#stream, (chunk) => {
      const octets = octetsIn(chunk);
      if (octets === null) throw new TypeErrorOf("A body is made of octets: its stream gave something else");
      pieces[pieces.length] = octets;
    });
    return joinOctets(pieces);
  }

  async text(): Promise<string> {
    return decodeUtf8(await this.octets());
  }

  async json(): Promise<unknown> {
    return jsonParse(await this.text());
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return bufferWith(await this.octets());
  }

  async blob(type: string): Promise<Blob> {
    return new Blob([await this.octets()], { type });
  }
}
