/**
 * Commands: one line of a client's, read. RFC 5321 §4.1. Pure: a line in, a command or what is wrong with it out.
 * What an address means is mail/path.ts; here is only where it begins and ends.
 */
import { isUtf8 } from "node:buffer";
import { type PeerAttributes, readPeerAttributes } from "./peer-attributes.ts";

/** Keyword in upper case to value; a keyword alone has the value "". RFC 5321 §4.1.1.11. */
export type Parameters = ReadonlyMap<string, string>;

export type Command =
  | { readonly verb: "EHLO" | "HELO" | "LHLO"; readonly name: string }
  | { readonly verb: "MAIL" | "RCPT"; readonly path: string; readonly parameters: Parameters }
  | { readonly verb: "BDAT"; readonly sizeOctets: number; readonly last: boolean }
  | { readonly verb: "AUTH"; readonly mechanism: string; readonly initial: string | null }
  | { readonly verb: "XCLIENT" | "XFORWARD"; readonly attributes: PeerAttributes | string }
  | { readonly verb: "DATA" | "RSET" | "QUIT" | "STARTTLS" }
  | { readonly verb: "NOOP" | "VRFY" | "EXPN" | "HELP"; readonly argument: string };

/** Why a line is no command we take: the reply says it. */
export interface CommandError {
  readonly code: number;
  readonly status: string;
  readonly text: string;
}

export type ParsedLine = { readonly command: Command } | { readonly error: CommandError; readonly verb: string };

/**
 * Octets of a command line, CRLF included. RFC 5321 §4.5.3.1.4 has 512 and lets each extension add to it. MAIL at its longest: 512, SIZE 26,
 * BODY 17, SMTPUTF8 10, AUTH 500, ENVID and RET 116, REQUIRETLS and PRDR 16; RCPT: 512, NOTIFY 29, ORCPT 507. Here is room for either.
 */
export const commandOctetsMax = 2_048;

/** Octets of an AUTH line and of an answer in its exchange, CRLF included. RFC 4954 §4. */
export const authOctetsMax = 12_288;

/** Printable ASCII: nothing to decode, nothing to refuse. */
const isPlain = (line: string) => !/[^\x20-\x7e]/.test(line);

/** A line's text from its octets, a character each: UTF-8 (RFC 6531 §3.3), or where it is none, Latin-1. */
export function decodeLine(octets: string): string {
  if (isPlain(octets)) return octets;
  const buffer = Buffer.from(octets, "latin1");
  return isUtf8(buffer) ? buffer.toString("utf8") : octets;
}

/** The first word in upper case; "" where the line begins with no word, or one too long. */
export function verbOf(line: string): string {
  let end = 0;
  while (end < line.length && isVerbCharacter(line.charCodeAt(end))) end++;
  return end > 32 ? "" : line.slice(0, end).toUpperCase();
}

/** Reads a line without its CRLF. */
export function parseCommandLine(line: string): ParsedLine {
  const verb = verbOf(line);
  // A control character in a line, a lone CR or LF among them, is the beginning of a trick. RFC 5321 §2.3.8, §4.1.2.
  if (hasControls(line)) return wrong(verb, verb === "" ? 500 : 501, "5.5.2", "Control characters are not accepted");
  const behind = line[verb.length];
  if (verb === "" || (behind !== undefined && behind !== " " && behind !== "\t")) return unknown(verb);
  switch (verb) {
    case "MAIL":
      return parsePathCommand(verb, "FROM:", line);
    case "RCPT":
      return parsePathCommand(verb, "TO:", line);
    default:
      return parseArgument(verb, argumentOf(line, verb));
  }
}

/** A lone CR or LF among them. */
export function hasControls(line: string): boolean {
  return !isPlain(line) && /[\x00-\x08\x0a-\x1f\x7f]/.test(line);
}

/** What stands behind the verb, without blanks around it. */
export function argumentOf(line: string, verb: string): string {
  return line.length === verb.length ? "" : line.slice(verb.length).replace(/^[ \t]+|[ \t]+$/g, "");
}

/** The line as it may be shown: what AUTH says at once is a secret. */
export function maskSecret(line: string): string {
  return line.replace(/^(AUTH[ \t]+\S+[ \t]+)\S.*$/is, "$1****");
}

function parseArgument(verb: string, argument: string): ParsedLine {
  switch (verb) {
    case "EHLO":
    case "HELO":
    case "LHLO":
      return parseHelo(verb, argument);
    case "BDAT":
      return parseBdat(argument);
    case "AUTH":
      return parseAuth(argument);
    case "XCLIENT":
    case "XFORWARD":
      return { command: { verb, attributes: readPeerAttributes(verb, argument) } };
    case "DATA":
    case "RSET":
    case "QUIT":
    case "STARTTLS":
      if (argument !== "") return wrong(verb, 501, "5.5.4", `${verb} takes no argument`);
      return { command: { verb } };
    case "NOOP":
    case "HELP":
      return { command: { verb, argument } };
    case "VRFY":
    case "EXPN":
      if (argument === "") return wrong(verb, 501, "5.5.4", `${verb} needs an argument`);
      return { command: { verb, argument } };
    default:
      return unknown(verb);
  }
}

/** RFC 5321 §4.1.1.1; (lenient: what is neither domain nor literal is taken, as clients behind NAT have none; trace fields look again). */
function parseHelo(verb: "EHLO" | "HELO" | "LHLO", argument: string): ParsedLine {
  if (argument === "") return wrong(verb, 501, "5.5.4", `${verb} needs a name`);
  if (argument.length > 255 || /\s/.test(argument)) return wrong(verb, 501, "5.5.4", "This is not a name");
  return { command: { verb, name: argument } };
}

/** `FROM:<path> KEY=value …`. RFC 5321 §4.1.1.2, §4.1.1.3; (lenient: blanks behind the colon, as RFC 5321 §4.1.2 forbids and many write). */
function parsePathCommand(verb: "MAIL" | "RCPT", prefix: string, line: string): ParsedLine {
  let at = skipBlanks(line, verb.length);
  const begin = line.slice(at, at + prefix.length);
  if (begin !== prefix && begin.toUpperCase() !== prefix) {
    return wrong(verb, 501, "5.5.4", `${verb} needs ${prefix}<address>`);
  }
  at = skipBlanks(line, at + prefix.length);
  const end = endOfPath(line, at);
  if (end === -1) {
    const status = verb === "MAIL" ? "5.1.7" : "5.1.3";
    return wrong(verb, 501, status, "The address needs angle brackets around it");
  }
  const parameters = parseParameters(line, end);
  if (parameters === undefined) return wrong(verb, 501, "5.5.4", "The parameters cannot be read");
  return { command: { verb, path: line.slice(at, end), parameters } };
}

/** Offset behind the `>` that ends the path; one inside a quoted string does not. -1 where there is none. */
function endOfPath(text: string, begin: number): number {
  if (text[begin] !== "<") return -1;
  let quoted = false;
  for (let i = begin + 1; i < text.length; i++) {
    const character = text.charCodeAt(i);
    if (character === 0x5c && quoted) i++;
    else if (character === 0x22) quoted = !quoted;
    else if (character === 0x3e && !quoted) return i + 1;
  }
  return -1;
}

const noParameters: Parameters = new Map();

/** Undefined where one cannot be read, or a keyword is there twice. RFC 5321 §4.1.1.11. */
function parseParameters(line: string, begin: number): Parameters | undefined {
  if (begin === line.length) return noParameters;
  const first = skipBlanks(line, begin);
  if (first === line.length) return noParameters;
  if (first === begin) return undefined;
  const parameters = new Map<string, string>();
  for (const word of line
    .slice(first)
    .trimEnd()
    .split(/[ \t]+/)) {
    const match = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\s=\x00-\x20\x7f]+))?$/.exec(word);
    if (!match) return undefined;
    const keyword = match[1]!.toUpperCase();
    if (parameters.has(keyword)) return undefined;
    parameters.set(keyword, match[2] ?? "");
  }
  return parameters;
}

function skipBlanks(text: string, begin: number): number {
  let at = begin;
  while (text.charCodeAt(at) === 0x20 || text.charCodeAt(at) === 0x09) at++;
  return at;
}

/** RFC 3030 §2; fifteen digits are still counted exactly, and nobody sends more. */
function parseBdat(argument: string): ParsedLine {
  const match = /^(\d{1,15})(?:[ \t]+(LAST))?$/i.exec(argument);
  if (!match) return wrong("BDAT", 501, "5.5.4", "BDAT needs a size, and LAST or nothing behind it");
  return { command: { verb: "BDAT", sizeOctets: Number(match[1]), last: match[2] !== undefined } };
}

/** RFC 4954 §4. */
function parseAuth(argument: string): ParsedLine {
  const match = /^([A-Za-z0-9_-]{1,20})(?:[ \t]+(=|[A-Za-z0-9+/]+={0,2}))?$/.exec(argument);
  if (!match) return wrong("AUTH", 501, "5.5.4", "AUTH needs a mechanism");
  return { command: { verb: "AUTH", mechanism: match[1]!.toUpperCase(), initial: match[2] ?? null } };
}

/** Letters, digits and hyphens. */
function isVerbCharacter(code: number): boolean {
  const letter = code | 0x20;
  return (letter >= 0x61 && letter <= 0x7a) || (code >= 0x30 && code <= 0x39) || code === 0x2d;
}

function unknown(verb: string): ParsedLine {
  return wrong(verb, 500, "5.5.2", "The command is not known");
}

function wrong(verb: string, code: number, status: string, text: string): ParsedLine {
  return { error: { code, status, text }, verb };
}
