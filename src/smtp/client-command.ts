/** Commands we send: made, checked where a sink made them, and with their secrets masked for those who watch. RFC 5321 §4.1. Pure. */
import { Fault } from "../platform/fault.ts";

export interface ClientCommand {
  /** In upper case; "" for the greeting, which nobody asked for, and `_EOD` for the end of data. */
  readonly verb: string;
  /** Without its CRLF. */
  readonly line: string;
  /** The line as logs, traces and sinks may see it. */
  readonly shown: string;
  /** Whether a sink inserted it. */
  readonly inserted: boolean;
}

export const greeting: ClientCommand = { verb: "", line: "", shown: "", inserted: false };
export const endOfData: ClientCommand = { verb: "_EOD", line: ".", shown: ".", inserted: false };

/**
 * A command of ours. `shown`: in the place of a line that holds a secret.
 * @throws {Fault} `command.not-allowed` where an address that nobody has checked would make it more than one line
 */
export function clientCommand(line: string, shown = line): ClientCommand {
  if (/[\r\n\0]/.test(line))
    throw new Fault(
      "command.not-allowed",
      `Cannot send ${JSON.stringify(shown.slice(0, 80))}: expected one command line`,
    );
  return { verb: verbOf(line), line, shown, inserted: false };
}

/** Octets of a line a sink writes, without CRLF; RFC 5321 §4.5.3.1.4 has 512 and lets extensions add to it. */
export const lineOctetsMax = 2_000;

/** Verbs whose replies the session, a transaction or custody hangs on: nobody sends them but the client itself. */
const ownVerbs: ReadonlySet<string> = new Set([
  "HELO",
  "EHLO",
  "LHLO",
  "MAIL",
  "RCPT",
  "DATA",
  "BDAT",
  "RSET",
  "QUIT",
  "STARTTLS",
  "AUTH",
  "TURN",
  "ETRN",
  "ATRN",
]);

/** A sink's line. @throws {Fault} `command.not-allowed` */
export function insertedCommand(line: string): ClientCommand {
  checkLine(line, "insert");
  const verb = verbOf(line);
  if (ownVerbs.has(verb)) {
    throw new Fault(
      "command.not-allowed",
      `Cannot insert ${verb}: the session hangs on it, expected a command that changes no state, such as NOOP`,
    );
  }
  return { verb, line, shown: line, inserted: true };
}

/** MAIL or RCPT in a sink's words. @throws {Fault} `command.not-allowed` */
export function changedCommand(verb: "MAIL" | "RCPT", line: string): string {
  checkLine(line, "send");
  const wanted = verb === "MAIL" ? /^MAIL FROM:\s?<[^<>]*>(?: .*)?$/iu : /^RCPT TO:\s?<[^<>]+>(?: .*)?$/iu;
  // A quoted local part may hold angle brackets; they are rare enough to be left to the server.
  if (!wanted.test(line) && !(verbOf(line) === verb && line.includes('"'))) {
    throw new Fault(
      "command.not-allowed",
      `Cannot send ${JSON.stringify(line.slice(0, 80))} in the place of ${verb}: expected ${verb === "MAIL" ? "MAIL FROM:<…>" : "RCPT TO:<…>"}`,
    );
  }
  return line;
}

/** A command with a parameter set, or with `null` without it. RFC 5321 §4.1.1.11. @throws {Fault} `command.not-allowed` */
export function withParameter(line: string, keyword: string, value: string | null): string {
  const valid = /^[A-Za-z0-9][A-Za-z0-9-]*$/.test(keyword) && (value === null || /^[^\s=\x00-\x20\x7f]*$/u.test(value));
  if (!valid) {
    throw new Fault(
      "command.not-allowed",
      `Cannot set the parameter ${JSON.stringify(`${keyword}=${value ?? ""}`.slice(0, 80))}: expected KEYWORD, and a value without blanks and "="`,
    );
  }
  // The path may hold blanks between quotes, and "<" and ">" too.
  const end = pathEnd(line);
  const before = line
    .slice(end)
    .split(" ")
    .filter((word) => word !== "" && word.split("=")[0]!.toUpperCase() !== keyword.toUpperCase());
  const added = value === null ? [] : [value === "" ? keyword.toUpperCase() : `${keyword.toUpperCase()}=${value}`];
  const changed = [line.slice(0, end), ...before, ...added].join(" ");
  checkLine(changed, "send");
  return changed;
}

function pathEnd(line: string): number {
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    if (quoted && line[i] === "\\") i++;
    else if (line[i] === '"') quoted = !quoted;
    else if (!quoted && line[i] === ">") return i + 1;
  }
  return line.length;
}

function verbOf(line: string): string {
  return /^\S*/.exec(line)![0].toUpperCase();
}

/** A line end within a line would be a command of its own: RFC 5321 §2.3.8. */
function checkLine(line: string, what: "insert" | "send"): void {
  const problem =
    typeof line !== "string" || !/^[A-Za-z]/.test(line)
      ? "it does not begin with a verb"
      : /[\x00-\x1f\x7f]/.test(line)
        ? "it holds control characters"
        : Buffer.byteLength(line) > lineOctetsMax
          ? `it has more than ${lineOctetsMax} octets`
          : undefined;
  if (problem !== undefined) {
    const words = typeof line === "string" ? JSON.stringify(line.slice(0, 80)) : String(line);
    throw new Fault("command.not-allowed", `Cannot ${what} ${words}: ${problem}, expected one command line`);
  }
}
