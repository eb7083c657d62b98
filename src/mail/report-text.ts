/** How a report writes what others said: addresses, replies, names. Whatever they hold, it becomes text on lines of its own that is safe to send. Pure. */
import type { OriginalRecipient } from "./envelope.ts";
import { formatMailbox, type Mailbox } from "./mailbox.ts";

/** The address with its type; what is not ASCII is written so that it fits an ASCII report. RFC 3464 §2.1.2, RFC 6533 §3. */
export function formatTypedAddress(mailbox: Mailbox): string {
  const address = formatMailbox(mailbox);
  return /^[\x21-\x7e ]*$/.test(address) ? `rfc822; ${address}` : `utf-8; ${encodeUtf8Address(address)}`;
}

/** The address as the sender wrote it, which nobody has checked. RFC 3464 §2.3.1. */
export function formatOriginalRecipient({ type, address }: OriginalRecipient): string {
  const known = type.toLowerCase() === "utf-8";
  return `${asciiLine(type)}; ${known ? encodeUtf8Address(address.trim()) : asciiLine(address)}`;
}

/** utf-8-addr-xtext; what is written so already stays. RFC 6533 §3. */
function encodeUtf8Address(address: string): string {
  return address.replace(/\\x\{[0-9A-Fa-f]{1,6}\}|[\\+=]|[^\x21-\x7e]/gu, (found) =>
    found.startsWith("\\x") ? found : `\\x{${found.codePointAt(0)!.toString(16).toUpperCase()}}`,
  );
}

/** Somebody's words on one line, without control characters, at most 500 characters. */
export function cleanLine(text: string): string {
  return text
    .replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]+/g, " ")
    .trim()
    .slice(0, 500);
}

export function asciiLine(text: string): string {
  return cleanLine(text).replace(/[^\x20-\x7e]/g, "?");
}

/** Lines of a paragraph, set in by two. */
export function wrap(text: string, lengthWanted = 76): string[] {
  return breakLines(text, lengthWanted - 2).map((line) => `  ${line}`);
}

/** A field of a status part, folded before white space. */
export function foldField(text: string): string[] {
  return breakLines(text, 76).map((line, place) => (place === 0 ? line : ` ${line}`));
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
