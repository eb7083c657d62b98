/** A message that a script hands over whole: taken apart into fields and body, as those that are composed (compose.ts) come. Pure. */
import type { ComposedMessage } from "./compose.ts";

const fieldLine = /^([!-9;-~]{1,76})[ \t]*:(.*)$/;
/** What the server writes, or what only it may. */
const notTaken = /^(?:received|date|message-id|return-path|delivered-to|dkim-signature|arc-.*|bcc)$/i;
const fieldsMax = 500;

/**
 * Lines may end with CRLF or LF. A line that is no field ends the header as an empty one does, so that nothing gets lost. `kind` says whether it says of itself
 * that no person has written it, where it does not say so already. RFC 3834 §5.
 */
export function readRawMessage(octets: Buffer, kind: "submit" | "reply" | "forward"): ComposedMessage {
  const fields: [name: string, value: string][] = [];
  let at = 0;
  while (at < octets.length && fields.length < fieldsMax) {
    const feed = octets.indexOf(0x0a, at);
    const end = feed < 0 ? octets.length : feed;
    const line = octets.toString("utf8", at, end).replace(/\r$/, "");
    const field = fieldLine.exec(line);
    const last = fields.at(-1);
    if (field) fields.push([field[1]!, plainValue(field[2]!)]);
    else if (last && /^[ \t]+\S/.test(line)) last[1] = plainValue(`${last[1]} ${line.trim()}`);
    else if (line !== "") break;
    at = end + 1;
    if (line === "") break;
  }
  const taken = fields.filter(([name]) => !notTaken.test(name));
  if (!taken.some(([name]) => /^auto-submitted$/i.test(name)))
    taken.push(["Auto-Submitted", kind === "reply" ? "auto-replied" : "auto-generated"]);
  return { fields: taken, body: withLineEnds(octets.subarray(Math.min(at, octets.length))) };
}

/** No field holds control characters. */
function plainValue(value: string): string {
  return value.replace(/[\x00-\x08\x0a-\x1f\x7f]/g, " ").trim();
}

/** Every line with CRLF, the last one too, and no NUL. RFC 5321 §2.3.8. */
function withLineEnds(body: Buffer): Buffer {
  const text = body
    .toString("latin1")
    .replaceAll("\0", "")
    .replace(/\r\n|\r|\n/g, "\r\n");
  return Buffer.from(text === "" || text.endsWith("\r\n") ? text : `${text}\r\n`, "latin1");
}
