/**
 * Runs inside the isolate: streams of octets for those who give them to a script (`attachment.stream()`). How they work is in web-streams.ts,
 * which is compiled in only where a script's code has one of their names in it.
 */
import { TypeErrorOf } from "./primordials.ts";

type Maker = (read: () => Uint8Array) => ReadableStream<Uint8Array>;

let maker: Maker | null = null;

/** Told by web-streams.ts when it is compiled in. */
export function setStreamMaker(fresh: Maker): void {
  maker = fresh;
}

/** A stream of pieces of octets. `read` is called once, when the first piece is asked for; what it throws is the stream's error. */
export function streamOf(read: () => Uint8Array): ReadableStream<Uint8Array> {
  if (maker === null)
    throw new TypeErrorOf("Streams are there only where the script's code calls them by name: write `.stream()`");
  return maker(read);
}
