/**
 * Encoded words: how a header field carries more than ASCII. RFC 2047.
 * Reading is lenient, as mail is; writing gives UTF-8 words, base64 or quoted-printable, whichever is shorter.
 */
import { isUtf8 } from "node:buffer";

const encodedWord = /=\?([^?\s*]{1,60})(?:\*[^?\s]{0,40})?\?([BbQq])\?([^?\s]*)\?=/g;
/** An encoded word is at most this long. RFC 2047 §2. */
const wordLengthMax = 75;

/** The text of an unfolded field value; words that cannot be decoded stay as they are. Never throws. */
export function decodeWords(value: string): string {
  if (!value.includes("=?")) return value;
  // Neighbours in one charset are decoded as one run: writers do split a character over two words.
  let result = "";
  let last = 0;
  let pending: { charset: string; octets: Buffer[] } | undefined;
  const flush = () => {
    if (!pending) return;
    result += decodeCharset(Buffer.concat(pending.octets), pending.charset);
    pending = undefined;
  };
  for (const match of value.matchAll(encodedWord)) {
    const between = value.slice(last, match.index);
    // White space between two adjacent encoded words is not part of the text. RFC 2047 §6.2.
    if (!pending || /[^ \t\r\n]/.test(between)) {
      flush();
      result += between;
    }
    const charset = match[1]!.toLowerCase();
    const octets = match[2]!.toLowerCase() === "b" ? Buffer.from(match[3]!, "base64") : decodeQ(match[3]!);
    if (pending && pending.charset === charset) pending.octets.push(octets);
    else {
      flush();
      pending = { charset, octets: [octets] };
    }
    last = match.index + match[0].length;
  }
  flush();
  return result + value.slice(last);
}

/**
 * An unstructured value in ASCII: runs of words that need it become encoded words. A word that is an address in angle brackets ends a run, so
 * that the value may be a list of addresses as well: in one, the address must stay as it is (RFC 2047 §5).
 */
export function encodeUnstructured(value: string): string {
  if (!/[^\x09\x20-\x7e]/.test(value) && !value.includes("=?")) return value;
  const words = value.split(/([ \t]+)/);
  let encoded = "";
  let start = 0;
  for (let i = 0; i <= words.length; i++) {
    if (i < words.length && !isAddress(words[i]!)) continue;
    encoded += encodeRun(words.slice(start, i)) + (words[i] ?? "");
    start = i + 1;
  }
  return encoded;
}

/** Longest there is, in its brackets and with what parts it from the next. RFC 5321 §4.5.3.1. What is longer is not looked at: it may hold any number of @. */
const addressLengthMax = 330;

function isAddress(word: string): boolean {
  return word.length <= addressLengthMax && /^<[^<>\s]+@[^<>\s]+>[,;]?$/.test(word);
}

/** From the first word that needs encoding to the last one, as one run: the white space inside it then survives. */
function encodeRun(words: readonly string[]): string {
  const needs = (word: string) => /[^\x09\x20-\x7e]/.test(word) || word.includes("=?");
  const first = words.findIndex(needs);
  if (first === -1) return words.join("");
  const last = words.findLastIndex(needs);
  return (
    words.slice(0, first).join("") + encodeWords(words.slice(first, last + 1).join("")) + words.slice(last + 1).join("")
  );
}

/** Text as one or more UTF-8 encoded words joined by a space, none split inside a character. */
export function encodeWords(text: string): string {
  const octetsWanted = Math.floor((wordLengthMax - "=?UTF-8?B??=".length) / 4) * 3;
  const chunks: string[] = [];
  let chunk = "";
  for (const character of text) {
    if (Buffer.byteLength(chunk + character) > octetsWanted) {
      chunks.push(chunk);
      chunk = "";
    }
    chunk += character;
  }
  if (chunk !== "") chunks.push(chunk);
  return chunks.map(encodeOne).join(" ");
}

function encodeOne(text: string): string {
  const octets = Buffer.from(text);
  const base64 = octets.toString("base64");
  let quoted = "";
  for (const octet of octets) {
    // Safe in every context, phrase included. RFC 2047 §5 (3).
    quoted += /[A-Za-z0-9!*+/-]/.test(String.fromCharCode(octet))
      ? String.fromCharCode(octet)
      : octet === 0x20
        ? "_"
        : `=${octet.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return quoted.length <= base64.length ? `=?UTF-8?Q?${quoted}?=` : `=?UTF-8?B?${base64}?=`;
}

function decodeQ(text: string): Buffer {
  const octets = Buffer.alloc(text.length);
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const hex = code === 0x3d ? Number.parseInt(text.slice(i + 1, i + 3), 16) : Number.NaN;
    if (code === 0x5f) octets[length++] = 0x20;
    else if (!Number.isNaN(hex) && /^[0-9A-Fa-f]{2}$/.test(text.slice(i + 1, i + 3))) {
      octets[length++] = hex;
      i += 2;
    } else octets[length++] = code & 0xff;
  }
  return octets.subarray(0, length);
}

const utf8 = new TextDecoder("utf-8");

/** Octets in a named charset as text; an unknown charset is read as UTF-8 where it is that, else as Latin-1. */
function decodeCharset(octets: Buffer, charset: string): string {
  if (charset === "utf-8") return utf8.decode(octets);
  try {
    return new TextDecoder(charset).decode(octets);
  } catch {
    return octets.toString(isUtf8(octets) ? "utf8" : "latin1");
  }
}
