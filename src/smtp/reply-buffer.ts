/** Replies on their way to the client: gathered, so that those to pipelined commands leave in one piece. RFC 5321 §4.2, RFC 2920 §3.2. */
import type { Reply } from "../mail/status.ts";

/** Octets of a reply line, CRLF included. RFC 5321 §4.5.3.1.5. */
export const replyLineOctetsMax = 512;

/** Text that goes onto the wire as it is: one line of ASCII, so short that no code in front makes it too long. */
const simple = /^[\x20-\x7e]{0,480}$/;

export class ReplyBuffer {
  #text = "";

  say(reply: Reply): void {
    this.#text += formatReplyLines(reply);
  }

  /** All of it; "" where there is nothing. */
  take(): string {
    const text = this.#text;
    if (text !== "") this.#text = "";
    return text;
  }
}

/**
 * A reply as it is written, each line with its CRLF and the status (RFC 2034 §4). A line that is too long is cut, between characters;
 * a control character, which could be read as a line end, becomes a blank.
 */
export function formatReplyLines({ code, status, text }: Reply): string {
  const words = status === undefined || status === "" ? "" : status;
  if (simple.test(text)) {
    // The blank behind 334 belongs there, also where nothing follows. RFC 4954 §4.
    if (text === "") return `${code} ${words}\r\n`;
    return words === "" ? `${code} ${text}\r\n` : `${code} ${words} ${text}\r\n`;
  }
  const lines = text.split("\n");
  return lines
    .map((line, i) => {
      const clean = line.replace(/[\x00-\x1f\x7f]+/g, " ");
      const between = i < lines.length - 1 ? "-" : " ";
      return `${cut(`${code}${between}${words === "" ? "" : `${words} `}${clean}`, replyLineOctetsMax - 2)}\r\n`;
    })
    .join("");
}

/** The beginning of a text that has at most so many octets in UTF-8. */
function cut(text: string, octetsMax: number): string {
  if (Buffer.byteLength(text) <= octetsMax) return text;
  let octets = 0;
  let kept = "";
  for (const character of text) {
    octets += Buffer.byteLength(character);
    if (octets > octetsMax) break;
    kept += character;
  }
  return kept;
}
