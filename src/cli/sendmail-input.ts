/** The message on standard input, whole: what was read is not lost where the server goes away meanwhile. */
import { Fault } from "../platform/fault.ts";

/** Octets of one message. */
export const inputOctetsMax = 128 * 1024 * 1024;

/**
 * Up to the end of input, or, where `dotEnds`, up to a line with nothing but a dot, which is not part of it.
 * @throws {Fault} `message.too-large`; what `input` throws
 */
export async function readInput(
  input: AsyncIterable<Buffer | string>,
  { dotEnds, octetsMax = inputOctetsMax }: { readonly dotEnds: boolean; readonly octetsMax?: number },
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let sizeOctets = 0;
  let line = "start" as LineState;
  for await (const given of input) {
    const piece = Buffer.from(given);
    const end = dotEnds ? findDot(piece) : null;
    if (end !== null) {
      const all = Buffer.concat([...pieces, piece]);
      // The dot may stand in a piece before.
      return all.subarray(0, sizeOctets + end);
    }
    pieces.push(piece);
    sizeOctets += piece.length;
    if (sizeOctets > octetsMax)
      throw new Fault("message.too-large", `Cannot take the message: it has more than ${octetsMax} octets`);
  }
  // The input may end right behind the dot.
  return Buffer.concat(pieces).subarray(0, sizeOctets - octetsBehind(line));

  /** Where the line with the dot begins, counted from the start of `piece`: below 0 where that was in one before; null where there is none. */
  function findDot(piece: Buffer): number | null {
    for (let i = 0; i < piece.length; i++) {
      const octet = piece[i];
      if (line === "start") line = octet === dot ? "dot" : octet === lf ? "start" : "inside";
      else if (line === "dot" || line === "dot-cr") {
        if (octet === lf) return i - (line === "dot" ? 1 : 2);
        line = line === "dot" && octet === cr ? "dot-cr" : "inside";
      } else if (octet === lf) line = "start";
    }
    return null;
  }
}

type LineState = "start" | "inside" | "dot" | "dot-cr";
const dot = 0x2e;
const cr = 0x0d;
const lf = 0x0a;

function octetsBehind(line: LineState): number {
  return line === "dot" ? 1 : line === "dot-cr" ? 2 : 0;
}
