/**
 * Values of header fields that say what a part is: `type/subtype; name=value`, with comments, RFC 2231 parameters and RFC 2047 words in
 * them. Reading is lenient, as mail is, linear in the length of the value, and never throws.
 */

export interface ContentField {
  /** In lower case, without comments: `text/plain`, `attachment`; "" where there is none. */
  readonly value: string;
  /** Decoded, by name in lower case. The first of a name counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

const valueLengthMax = 65_536;
const parametersMax = 200;
const parameterLengthMax = 4_096;

/** Reads an unfolded value. */
export function parseContentField(text: string): ContentField {
  const tokens = splitParameters(text.slice(0, valueLengthMax));
  const value = (tokens[0]?.raw ?? "").trim().toLowerCase();
  const plain = new Map<string, string>();
  const segments = new Map<string, Map<number, { readonly text: string; readonly extended: boolean }>>();
  for (const token of tokens.slice(1, parametersMax + 1)) {
    const equals = token.raw.indexOf("=");
    if (equals < 1) continue;
    const name = token.raw.slice(0, equals).trim().toLowerCase();
    const content = token.raw.slice(equals + 1).trim();
    // RFC 2231 §3, §4: name*, name*0, name*0*.
    const star = /^([^*]+)\*(?:(\d{1,3})(\*)?)?$/.exec(name);
    if (!star) {
      if (!plain.has(name)) plain.set(name, content);
      continue;
    }
    const index = star[2] === undefined ? 0 : Number(star[2]);
    const same = segments.get(star[1]!) ?? new Map();
    segments.set(star[1]!, same);
    if (!same.has(index)) same.set(index, { text: content, extended: star[2] === undefined || star[3] !== undefined });
  }
  const parameters = new Map<string, string>();
  for (const [name, content] of plain) parameters.set(name, decodeWords(content).slice(0, parameterLengthMax));
  // The extended form wins over the plain one beside it. RFC 2231 §4 has it so that old readers find something.
  for (const [name, parts] of segments) parameters.set(name, joinSegments(parts).slice(0, parameterLengthMax));
  return { value, parameters };
}

/** The same value with another `charset`, every other parameter as it was written. */
export function withCharset(text: string, charset: string): string {
  return withParameter(text, "charset", [`charset=${charset}`]);
}

/** The same value with one parameter, in as many pieces as it has (none takes it out), and every other one as it was written. */
export function withParameter(text: string, name: string, written: readonly string[]): string {
  const own = new RegExp(`^${name}(?:\\*\\d{0,3}\\*?)?\\s*=`, "i");
  const kept = splitParameters(text)
    .map((token) => token.source.trim())
    .filter((source, index) => source !== "" && (index === 0 || !own.test(source)));
  return [kept[0] ?? "text/plain", ...written, ...kept.slice(1)].join("; ");
}

const encodedWord = /=\?([^?\s*]{1,60})(?:\*[^?\s]{0,40})?\?([BbQq])\?([^?\s]*)\?=/g;

/** The text of an unfolded value; words that cannot be decoded stay as they are. RFC 2047. */
export function decodeWords(text: string): string {
  if (!text.includes("=?")) return text;
  // White space between two neighbouring encoded words is not part of the text. RFC 2047 §6.2.
  const joined = text.replace(/(\?=)[ \t\r\n]+(?==\?[^?\s]{1,100}\?[BbQq]\?)/g, "$1");
  // Neighbours in one charset are one run of octets: writers do split a character over two words.
  const pieces: string[] = [];
  let charset = "";
  let octets: Buffer[] = [];
  const flush = () => {
    if (octets.length > 0) pieces.push(decodeCharset(Buffer.concat(octets), charset));
    octets = [];
  };
  let last = 0;
  for (const match of joined.matchAll(encodedWord)) {
    if (match.index > last || match[1]!.toLowerCase() !== charset) flush();
    if (match.index > last) pieces.push(joined.slice(last, match.index));
    charset = match[1]!.toLowerCase();
    octets.push(
      match[2]!.toLowerCase() === "b"
        ? Buffer.from(match[3]!, "base64")
        : unescapeOctets(match[3]!.replaceAll("_", " "), "="),
    );
    last = match.index + match[0].length;
  }
  flush();
  pieces.push(joined.slice(last));
  return pieces.join("");
}

/** Octets as text. A charset nobody knows is read as UTF-8 where it is that, else as Latin-1. */
export function decodeCharset(octets: Uint8Array, charset: string): string {
  const decoder = textDecoder(charset);
  if (decoder) return decoder.decode(octets);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(octets);
  } catch {
    return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString("latin1");
  }
}

/** A decoder for a charset as mail names it, or undefined. */
export function textDecoder(charset: string): TextDecoder | undefined {
  try {
    return new TextDecoder(charset.trim().replace(/^(?:us-)?ascii$/i, "utf-8"));
  } catch {
    return undefined;
  }
}

interface Token {
  /** Without comments and quotes. */
  readonly raw: string;
  /** As it was written. */
  readonly source: string;
}

/** Splits at `;` outside of quotes and comments. */
function splitParameters(text: string): Token[] {
  const tokens: Token[] = [];
  let raw = "";
  let start = 0;
  let quoted = false;
  let comments = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === "\\" && (quoted || comments > 0)) {
      i++;
      if (quoted) raw += text[i] ?? "";
    } else if (quoted) {
      if (c === '"') quoted = false;
      else raw += c;
    } else if (c === "(") comments++;
    else if (c === ")" && comments > 0) comments--;
    else if (comments > 0) continue;
    else if (c === '"') quoted = true;
    else if (c === ";") {
      tokens.push({ raw, source: text.slice(start, i) });
      if (tokens.length > parametersMax) return tokens;
      raw = "";
      start = i + 1;
    } else raw += c;
  }
  tokens.push({ raw, source: text.slice(start) });
  return tokens;
}

function joinSegments(parts: ReadonlyMap<number, { readonly text: string; readonly extended: boolean }>): string {
  let charset = "utf-8";
  const octets: Buffer[] = [];
  // Up to the first gap: what is behind it cannot be placed.
  for (let index = 0; parts.has(index); index++) {
    const { text, extended } = parts.get(index)!;
    let content = text;
    if (index === 0 && extended) {
      const marks = /^([^']{0,60})'[^']{0,60}'([\s\S]*)$/.exec(content);
      if (marks) {
        charset = marks[1] || "utf-8";
        content = marks[2]!;
      }
    }
    octets.push(extended ? unescapeOctets(content, "%") : Buffer.from(content));
  }
  return decodeCharset(Buffer.concat(octets), charset);
}

/** Text whose octets may be written as a mark and two hexadecimal digits. */
function unescapeOctets(text: string, mark: "=" | "%"): Buffer {
  const octets = Buffer.from(text);
  const code = mark.charCodeAt(0);
  let length = 0;
  for (let i = 0; i < octets.length; i++) {
    const value = octets[i] === code ? hexPair(octets[i + 1], octets[i + 2]) : -1;
    octets[length++] = value < 0 ? octets[i]! : value;
    if (value >= 0) i += 2;
  }
  return octets.subarray(0, length);
}

/** The octet two hexadecimal digits stand for, or -1. */
export function hexPair(high: number | undefined, low: number | undefined): number {
  const h = hexDigit(high);
  const l = hexDigit(low);
  return h < 0 || l < 0 ? -1 : h * 16 + l;
}

function hexDigit(code: number | undefined): number {
  if (code === undefined) return -1;
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  if (code >= 0x41 && code <= 0x46) return code - 0x37;
  return code >= 0x61 && code <= 0x66 ? code - 0x57 : -1;
}
