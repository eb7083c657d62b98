/** Messages as rows: what of a message is stored, and the way back. Octets travel beside the facts, in one piece for many messages. */
import { basename } from "node:path";
import { Header, splitMessage } from "../mail/header.ts";
import { type Body, type Envelope, Message, type Origin } from "../mail/message.ts";

/** A message's facts; structured clone carries it to the thread that holds the database. */
export interface StoredMessage {
  readonly id: string;
  readonly receivedAt: number;
  readonly sizeOctets: number;
  readonly envelope: Envelope;
  /** JSON. */
  readonly origin: string;
  /** JSON. */
  readonly notes: string;
  readonly headerOctets: number;
  readonly separatorOctets: number;
  readonly bodyOctets: number;
  /** Name of the file that holds the body, under the spool's folder for bodies; null where its octets are stored inline. */
  readonly bodyFile: string | null;
}

/** The pieces of octets behind a StoredMessage: header, separator, and body where it is inline. */
export type StoredPieces = readonly Buffer[];

/** @param body the message's body as the spool holds it: inline, or in a file of the spool's own */
export function encodeMessage(
  message: Message,
  body: Body,
): { readonly stored: StoredMessage; readonly pieces: StoredPieces } {
  const header = message.header.octets;
  const bodyFile = body.file === undefined ? null : basename(body.file);
  return {
    stored: {
      id: message.id,
      receivedAt: message.receivedAt,
      sizeOctets: message.sizeOctets,
      envelope: message.envelope,
      origin: JSON.stringify(message.origin),
      notes: JSON.stringify(message.notes),
      headerOctets: header.length,
      separatorOctets: message.separator.length,
      bodyOctets: body.sizeOctets,
      bodyFile,
    },
    pieces: bodyFile === null ? [header, message.separator, body.inline!] : [header, message.separator],
  };
}

export interface StoredContent {
  readonly id: string;
  readonly receivedAt: number;
  readonly envelope: Envelope;
  readonly origin: string;
  readonly notes: string;
  readonly header: Buffer;
  readonly separator: Buffer;
}

export function decodeMessage(content: StoredContent, body: Body): Message {
  return new Message({
    id: content.id,
    receivedAt: content.receivedAt,
    origin: JSON.parse(content.origin) as Origin,
    envelope: content.envelope,
    header: decodeHeader(content.header),
    separator: content.separator,
    body,
    notes: JSON.parse(content.notes) as Readonly<Record<string, unknown>>,
  });
}

const guard = Buffer.from("X:\r\n");

/**
 * The fields of a header section by itself. What was a header when it was stored is one now, even if its first line is no field any more
 * (the field above it was removed): a guard field before it keeps `splitMessage` from taking it for a body.
 */
function decodeHeader(octets: Buffer): Header {
  if (octets.length === 0) return Header.empty;
  const { header } = splitMessage(octets);
  if (header.octets.length === octets.length) return header;
  const guarded = splitMessage(Buffer.concat([guard, octets])).header;
  if (guarded.fields[0]?.octets.length !== guard.length || guarded.octets.length !== guard.length + octets.length) {
    return new Header([{ name: "", octets }], octets);
  }
  return new Header(guarded.fields.slice(1), octets);
}
