/** Content-Transfer-Encoding: octets of a part as they are written, and as they are meant. RFC 2045 §6. Never throws. */
import { hexPair } from "./content-field.ts";

export type TransferEncoding = "identity" | "base64" | "quoted-printable" | "unknown";

const lineOctetsMax = 76;

/** What a Content-Transfer-Encoding field says; none at all is 7bit. */
export function parseTransferEncoding(value: string): TransferEncoding {
  const name = value
    .replace(/\([^()]{0,200}\)/g, "")
    .trim()
    .replace(/^"|"$/g, "")
    .toLowerCase();
  if (name === "" || name === "7bit" || name === "8bit" || name === "binary") return "identity";
  return name === "base64" || name === "quoted-printable" ? name : "unknown";
}

/** The meant octets; where the encoding is unknown, the written ones. */
export function decodeTransfer(octets: Buffer, encoding: TransferEncoding): Buffer {
  if (encoding === "base64") return Buffer.from(octets.toString("latin1"), "base64");
  return encoding === "quoted-printable" ? decodeQuotedPrintable(octets) : octets;
}

/** Base64 in lines of 76. RFC 2045 §6.8. */
export function encodeBase64(octets: Uint8Array, lineEnd: string): Buffer {
  const text = Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString("base64");
  const lines: string[] = [];
  for (let at = 0; at < text.length; at += lineOctetsMax) lines.push(text.slice(at, at + lineOctetsMax));
  return Buffer.from(lines.join(lineEnd), "latin1");
}

/** Quoted-printable of text: its line ends become `lineEnd`, everything outside of printable ASCII is escaped. RFC 2045 §6.7. */
export function encodeQuotedPrintable(octets: Uint8Array, lineEnd: string): Buffer {
  const lines: string[] = [];
  let line = "";
  for (let i = 0; i < octets.length; i++) {
    const code = octets[i]!;
    const crlf = code === 0x0d && octets[i + 1] === 0x0a;
    if (crlf || code === 0x0a) {
      lines.push(escapeLineEnd(line));
      line = "";
      if (crlf) i++;
      continue;
    }
    const plain = code === 0x09 || (code >= 0x20 && code <= 0x7e && code !== 0x3d);
    const token = plain ? String.fromCharCode(code) : `=${code.toString(16).toUpperCase().padStart(2, "0")}`;
    // One less than the limit, for the `=` of a soft line end; two more, as a last white space is escaped.
    if (line.length + token.length > lineOctetsMax - 3) {
      lines.push(`${line}=`);
      line = "";
    }
    line += token;
  }
  lines.push(escapeLineEnd(line));
  return Buffer.from(lines.join(lineEnd), "latin1");
}

/** White space at the end of a line would be lost on the way. RFC 2045 §6.7 (3). */
function escapeLineEnd(line: string): string {
  if (line.endsWith(" ")) return `${line.slice(0, -1)}=20`;
  return line.endsWith("\t") ? `${line.slice(0, -1)}=09` : line;
}

function decodeQuotedPrintable(octets: Buffer): Buffer {
  const decoded = Buffer.allocUnsafe(octets.length);
  let length = 0;
  for (let i = 0; i < octets.length; i++) {
    const code = octets[i]!;
    if (code === 0x20 || code === 0x09) {
      // White space in front of a line end was added on the way.
      let end = i + 1;
      while (octets[end] === 0x20 || octets[end] === 0x09) end++;
      if (octets[end] === 0x0a || (octets[end] === 0x0d && octets[end + 1] === 0x0a)) {
        i = end - 1;
        continue;
      }
      while (i < end) decoded[length++] = octets[i++]!;
      i--;
      continue;
    }
    if (code !== 0x3d) {
      decoded[length++] = code;
      continue;
    }
    let end = i + 1;
    while (octets[end] === 0x20 || octets[end] === 0x09) end++;
    if (octets[end] === 0x0d && octets[end + 1] === 0x0a) end++;
    if (octets[end] === 0x0a || end >= octets.length) {
      i = end;
      continue;
    }
    const value = hexPair(octets[i + 1], octets[i + 2]);
    if (value < 0) decoded[length++] = code;
    else {
      decoded[length++] = value;
      i += 2;
    }
  }
  return decoded.subarray(0, length);
}
