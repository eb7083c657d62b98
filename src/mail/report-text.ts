/** How a report writes what others said: addresses, replies, names. Whatever they hold, it becomes text on lines of its own that is safe to send. Pure. */
import type { OriginalRecipient } from "./envelope.ts";
import { formatMailbox, type Mailbox } from "./mailbox.ts";

/** Which characters a report may hold: `utf-8` where it goes back to somebody who sent by SMTPUTF8. RFC 6533 §4. */
export type ReportCharset = "us-ascii" | "utf-8";

/** The address with its type; in an ASCII report what is not ASCII is written so that it fits. RFC 3464 §2.1.2, RFC 6533 §3. */
export function formatTypedAddress(mailbox: Mailbox, charset: ReportCharset): string {
  const address = formatMailbox(mailbox);
  if (/^[\x21-\x7e ]*$/.test(address)) return `rfc822; ${address}`;
  return `utf-8; ${charset === "utf-8" ? address : encodeUtf8Address(address)}`;
}

/** The address as the sender wrote it, which nobody has checked. RFC 3464 §2.3.1. */
export function formatOriginalRecipient({ type, address }: OriginalRecipient, charset: ReportCharset): string {
  if (type.toLowerCase() !== "utf-8") return `${asciiLine(type)}; ${asciiLine(address)}`;
  return `${asciiLine(type)}; ${charset === "utf-8" ? cleanLine(address) : encodeUtf8Address(address.trim())}`;
}

export function reportLine(text: string, charset: ReportCharset): string {
  return charset === "utf-8" ? cleanLine(text) : asciiLine(text);
}

/** utf-8-addr-xtext; what is written so already stays. RFC 6533 §3. */
function encodeUtf8Address(address: string): string {
  return address.replace(/\\x\{[0-9A-Fa-f]{1,6}\}|[\\+=]|[^\x21-\x7e]/gu, (found) =>
    found.startsWith("\\x") ? found : `\\x{${found.codePointAt(0)!.toString(16).toUpperCase()}}`,
  );
}

/** Somebody's words on one line, without control characters, at most 500 characters. */
export function cleanLine(text: string): string {
  return (
    text
      .replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]+/g, " ")
      .trim()
      .slice(0, 500)
      // Not with half a character at the end.
      .replace(/[\ud800-\udbff]$/, "")
  );
}

export function asciiLine(text: string): string {
  return cleanLine(text).replace(/[^\x20-\x7e]/g, "?");
}

/** Lines of a paragraph, set in by two. */
export function wrap(text: string, lengthWanted = 76): string[] {
  return breakLines(text, lengthWanted - 2).map((line) => `  ${line}`);
}

/** A field of a status part, folded before white space, and within a word that no line holds. */
export function foldField(text: string): string[] {
  return breakLines(text, 76)
    .flatMap(fitLine)
    .map((line, place) => (place === 0 ? line : ` ${line}`));
}

/** Octets of a line, without its end. RFC 5322 §2.1.1. */
export const lineOctetsMax = 998;
/** So many characters are fewer octets than that, whatever they are. */
const charactersFitting = 240;

/** The line, in pieces where it is longer than a line may be. */
export function fitLine(line: string): string[] {
  if (Buffer.byteLength(line) <= lineOctetsMax - 1) return [line];
  const characters = [...line];
  const pieces: string[] = [];
  for (let at = 0; at < characters.length; at += charactersFitting)
    pieces.push(characters.slice(at, at + charactersFitting).join(""));
  return pieces;
}

function breakLines(text: string, lengthWanted: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > lengthWanted) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  if (line !== "") lines.push(line);
  return lines;
}
