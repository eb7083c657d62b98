/** A message's octets on their way to a peer, behind 354 or BDAT. Streamed as fast as the peer takes them; half of a message never gets an end. */
import type { Message } from "../mail/message.ts";
import { describeThrown } from "../platform/fault.ts";
import { MailDataEncoder } from "../smtp/client-data.ts";
import { PeerFailure } from "./smtp-failure.ts";
import type { SmtpWire } from "./smtp-wire.ts";

/**
 * Behind 354. False where the peer answered before it had seen the end: then the connection is of no more use.
 * @throws {PeerFailure}
 */
export async function sendData(wire: SmtpWire, message: Message, replies: number): Promise<boolean> {
  const encoder = new MailDataEncoder();
  wire.beginData(replies);
  if (!(await stream(wire, message, (chunk) => encoder.encode(chunk)))) return false;
  // The end counts as sent before it is written: its reply may be here sooner than we are back.
  wire.endData(message.sizeOctets);
  await wire.write([encoder.end()]);
  return true;
}

/** The same by BDAT. RFC 3030 §2. @throws {PeerFailure} */
export async function sendChunk(wire: SmtpWire, message: Message, replies: number): Promise<boolean> {
  let rest = message.sizeOctets;
  wire.beginChunk(rest, replies);
  const whole = await stream(wire, message, (chunk) => {
    rest -= chunk.length;
    // More than was said would be read as commands; less would be waited for.
    if (rest < 0) throw new Error("it has more octets than its size says");
    if (rest === 0) wire.endData(message.sizeOctets);
    return [chunk];
  });
  if (!whole) return false;
  if (rest > 0) throw new PeerFailure("the message has fewer octets than its size says", { kind: "own" });
  if (message.sizeOctets === 0) wire.endData(0);
  return true;
}

/** @throws {PeerFailure} */
async function stream(
  wire: SmtpWire,
  message: Message,
  encode: (chunk: Buffer) => readonly Buffer[],
): Promise<boolean> {
  try {
    for await (const chunk of message.chunks()) {
      if (wire.answered && wire.sendingData) return false;
      await wire.write(encode(chunk));
    }
  } catch (error) {
    if (error instanceof PeerFailure) throw error;
    throw new PeerFailure(`cannot read the message: ${describeThrown(error)}`, { kind: "own", cause: error });
  }
  return !(wire.answered && wire.sendingData);
}
