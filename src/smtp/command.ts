/**
 * Commands: one line of a client's, read. RFC 5321 §4.1. Pure: octets in, a command or what is wrong with it out.
 * What an address means is mail/path.ts; here is only where it begins and ends.
 */
import { isUtf8 } from "node:buffer";

/** Keyword in upper case to value; a keyword alone has the value "". RFC 5321 §4.1.1.11. */
export type Parameters = ReadonlyMap<string, string>;

export type Command =
  | { readonly verb: "EHLO" | "HELO"; readonly name: string }
  | { readonly verb: "MAIL" | "RCPT"; readonly path: string; readonly parameters: Parameters }
  | { readonly verb: "BDAT"; readonly sizeOctets: number; readonly last: boolean }
  | { readonly verb: "AUTH"; readonly mechanism: string; readonly initial: string | null }
  | { readonly verb: "DATA" | "RSET" | "QUIT" | "STARTTLS" }
  | { readonly verb: "NOOP" | "VRFY" | "EXPN" | "HELP"; readonly argument: string };

/** Why a line is no command we take: the reply says it. */
export interface CommandError {
  readonly code: number;
  readonly status: string;
  readonly text: string;
}

export type ParsedLine = { readonly command: Command } | { readonly error: CommandError; readonly verb: string };

/** Octets of a command line, CRLF included. RFC 5321 §4.5.3.1.4 has 512 and lets extensions add to it: AUTH has 12,288 (RFC 4954 §4). */
export const commandOctetsMax = 12_288;

/** Octets of a BDAT chunk; more is nobody's message. RFC 3030 §2 sets no bound. */
const chunkOctetsMax = 1_073_741_824;

/** Reads a line without its CRLF. */
export function parseCommandLine(line: Buffer): ParsedLine {
  const text = isUtf8(line) ? line.toString("utf8") : line.toString("latin1");
  const verb = /^[A-Za-z0-9-]{1,32}/.exec(text)?.[0].toUpperCase() ?? "";
  // A control character in a line, a lone CR or LF among them, is the beginning of a trick. RFC 5321 §2.3.8, §4.1.2.
  if (/[\x00-\x08\x0a-\x1f\x7f]/.test(text)) {
    return wrong(verb, verb === "" ? 500 : 501, "5.5.2", "Control characters are not accepted");
  }
  const space = text[verb.length];
  if (verb === "" || (space !== undefined && space !== " " && space !== "\t")) return unknown(verb);
  const argument = text.slice(verb.length).trim();
  switch (verb) {
    case "EHLO":
    case "HELO":
      return parseHelo(verb, argument);
    case "MAIL":
      return parsePathCommand(verb, /^FROM:/i, argument);
    case "RCPT":
      return parsePathCommand(verb, /^TO:/i, argument);
    case "BDAT":
      return parseBdat(argument);
    case "AUTH":
      return parseAuth(argument);
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
function parseHelo(verb: "EHLO" | "HELO", argument: string): ParsedLine {
  if (argument === "") return wrong(verb, 501, "5.5.4", `${verb} needs a name`);
  if (argument.length > 255 || /\s/.test(argument)) return wrong(verb, 501, "5.5.4", "This is not a name");
  return { command: { verb, name: argument } };
}

/** `FROM:<path> KEY=value …`. RFC 5321 §4.1.1.2, §4.1.1.3; (lenient: blanks behind the colon, as RFC 5321 §4.1.2 forbids and many write). */
function parsePathCommand(verb: "MAIL" | "RCPT", prefix: RegExp, argument: string): ParsedLine {
  const start = prefix.exec(argument)?.[0].length;
  if (start === undefined)
    return wrong(verb, 501, "5.5.4", `${verb} needs ${verb === "MAIL" ? "FROM" : "TO"}:<address>`);
  const rest = argument.slice(start).trimStart();
  const end = endOfPath(rest);
  if (end === -1) {
    const status = verb === "MAIL" ? "5.1.7" : "5.1.3";
    return wrong(verb, 501, status, "The address needs angle brackets around it");
  }
  const parameters = parseParameters(rest.slice(end));
  if (parameters === undefined) return wrong(verb, 501, "5.5.4", "The parameters cannot be read");
  return { command: { verb, path: rest.slice(0, end), parameters } };
}

/** Offset behind the `>` that ends the path; one inside a quoted string does not. -1 where there is none. */
function endOfPath(text: string): number {
  if (text[0] !== "<") return -1;
  let quoted = false;
  for (let i = 1; i < text.length; i++) {
    if (quoted && text[i] === "\\") i++;
    else if (text[i] === '"') quoted = !quoted;
    else if (!quoted && text[i] === ">") return i + 1;
  }
  return -1;
}

/** Undefined where one cannot be read, or a keyword is there twice. RFC 5321 §4.1.1.11. */
function parseParameters(text: string): Parameters | undefined {
  const parameters = new Map<string, string>();
  if (text === "") return parameters;
  if (!/^[ \t]/.test(text)) return undefined;
  for (const word of text.trim().split(/[ \t]+/)) {
    const match = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\s=\x00-\x20\x7f]+))?$/.exec(word);
    if (!match) return undefined;
    const keyword = match[1]!.toUpperCase();
    if (parameters.has(keyword)) return undefined;
    parameters.set(keyword, match[2] ?? "");
  }
  return parameters;
}

/** RFC 3030 §2. */
function parseBdat(argument: string): ParsedLine {
  const match = /^(\d{1,12})(?:[ \t]+(LAST))?$/i.exec(argument);
  if (!match) return wrong("BDAT", 501, "5.5.4", "BDAT needs a size, and LAST or nothing behind it");
  const sizeOctets = Number(match[1]);
  if (sizeOctets > chunkOctetsMax) return wrong("BDAT", 552, "5.3.4", "The chunk is too large");
  return { command: { verb: "BDAT", sizeOctets, last: match[2] !== undefined } };
}

/** RFC 4954 §4. */
function parseAuth(argument: string): ParsedLine {
  const match = /^([A-Za-z0-9_-]{1,20})(?:[ \t]+(=|[A-Za-z0-9+/]+={0,2}))?$/.exec(argument);
  if (!match) return wrong("AUTH", 501, "5.5.4", "AUTH needs a mechanism");
  return { command: { verb: "AUTH", mechanism: match[1]!.toUpperCase(), initial: match[2] ?? null } };
}

function unknown(verb: string): ParsedLine {
  return wrong(verb, 500, "5.5.2", "The command is not known");
}

function wrong(verb: string, code: number, status: string, text: string): ParsedLine {
  return { error: { code, status, text }, verb };
}
