/** What of a message goes back to its sender in a report: its header, or all of it where that was asked for and can be. RFC 3461 §4.3. */
import { isAscii, isUtf8 } from "node:buffer";
import type { Header } from "./header.ts";
import type { Message } from "./message.ts";

/** Octets of the header that a report carries. */
export const returnedHeaderOctetsMax = 64 * 1024;
/** Octets of a message that a report carries whole. */
export const returnedMessageOctetsMax = 1024 * 1024;

export interface ReturnedContent {
  /** The international kinds are for a report in UTF-8. RFC 6533 §4, §5. */
  readonly type: "text/rfc822-headers" | "message/rfc822" | "message/global-headers" | "message/global";
  readonly octets: Buffer;
  readonly eightBit: boolean;
  /** For the sender: why it is not the whole message that was asked for; "" where it was not, or is. */
  readonly excuse: string;
}

/** The header: whole fields only, up to the limit, without those that are no lines of text. */
export function returnHeader(header: Header, excuse = ""): ReturnedContent {
  const octets = cutHeader(header);
  return { type: "text/rfc822-headers", octets, eightBit: !isAscii(octets), excuse };
}

/** The same, in a report in UTF-8: where the header itself has UTF-8 the part says so. RFC 6532 §3.7, RFC 6533 §5. */
export function asInternational(content: ReturnedContent, header: Header): ReturnedContent {
  if (isAscii(header.octets) || !isUtf8(header.octets)) return content;
  const type = content.type === "message/rfc822" ? "message/global" : "message/global-headers";
  return { ...content, type };
}

/** What the options of the envelope ask for, as far as it can be had; never throws. */
export async function returnAsAsked({
  header,
  separator,
  body,
  envelope,
  sizeOctets,
}: Message): Promise<ReturnedContent> {
  const { ret, requireTls } = envelope.options ?? {};
  // A body that was to be seen by nobody on its way does not go back by a way that may be another. RFC 8689 §5.
  if (ret !== "FULL" || requireTls) return returnHeader(header);
  if (sizeOctets > returnedMessageOctetsMax)
    return returnHeader(header, "Your message is too long to be returned whole: here is its header.");
  const content = await body.octets().catch(() => undefined);
  if (!content) return returnHeader(header, "Your message cannot be returned whole: here is its header.");
  const octets = Buffer.concat([header.octets, separator, content]);
  if (!isLines(octets))
    return returnHeader(header, "Your message holds binary data and is not returned whole: here is its header.");
  return { type: "message/rfc822", octets, eightBit: !isAscii(octets), excuse: "" };
}

/** Whether every server takes it in a body of text: no NUL, and no CR or LF by itself. RFC 2045 §2.8. */
function isLines(octets: Buffer): boolean {
  return !/\0|\r(?!\n)|(?<!\r)\n/.test(octets.toString("latin1"));
}

function cutHeader(header: Header): Buffer {
  if (header.octets.length <= returnedHeaderOctetsMax && isLines(header.octets)) return header.octets;
  const kept: Buffer[] = [];
  let length = 0;
  for (const field of header.fields) {
    if (length + field.octets.length > returnedHeaderOctetsMax) break;
    if (!isLines(field.octets)) continue;
    kept.push(field.octets);
    length += field.octets.length;
  }
  return Buffer.concat(kept);
}
