/** Replies that sinks make: whether they are ones, and whether a sink may say them. RFC 5321 §4.2. */
import { statefulVerbs } from "../events/dialogue.ts";
import { verdictTextOctetsMax } from "../events/verdict.ts";
import { isEnhancedStatus, type Reply } from "../mail/status.ts";
import { Fault } from "../platform/fault.ts";

/** Lines of one reply; nobody reads more. */
const linesMax = 50;

/** Verbs whose positive reply is the last word on something that has happened already. */
const doneVerbs: ReadonlySet<string> = new Set(["_EOD", "BDAT", "XCLIENT"]);

/** @throws {Fault} `reply.invalid` */
export function checkReply({ code, status, text }: Reply): void {
  if (!Number.isInteger(code) || code < 200 || code > 599) {
    throw new Fault("reply.invalid", `Cannot reply ${String(code)}: expected a number from 200 to 599`);
  }
  if (status !== undefined && !(isEnhancedStatus(status) && status[0] === String(code)[0])) {
    throw new Fault(
      "reply.invalid",
      `Cannot reply ${code} with status ${JSON.stringify(status)}: expected ${String(code)[0]}.x.y (RFC 3463)`,
    );
  }
  checkReplyText(text);
}

/** One line, or several with "\n" between them. @throws {Fault} `reply.invalid` */
export function checkReplyText(text: string): void {
  const lines = typeof text === "string" ? text.split("\n") : [];
  if (lines.length === 0 || lines.length > linesMax) {
    throw new Fault("reply.invalid", `Cannot take the text of a reply: expected 1 to ${linesMax} lines`);
  }
  for (const line of lines) checkReplyLine(line);
}

/** @throws {Fault} `reply.invalid` */
export function checkReplyLine(line: string): void {
  if (typeof line !== "string" || /[^\x20-\x7e\u00a0-\u{10ffff}]/u.test(line)) {
    throw new Fault("reply.invalid", "Cannot take a line of a reply: expected text without control characters");
  }
  if (Buffer.byteLength(line) > verdictTextOctetsMax) {
    throw new Fault("reply.invalid", `Cannot take a line of a reply: longer than ${verdictTextOctetsMax} octets`);
  }
}

/** A sink answers a command in the server's place. @throws {Fault} `reply.custody` where only the server may say yes */
export function checkMayAnswer(verb: string, { code }: Reply, loggedIn: boolean): void {
  if (code >= 400) return;
  if (statefulVerbs.has(verb)) {
    throw new Fault("reply.custody", `Cannot reply ${code} to ${verb}: only the server itself can say yes to it`);
  }
  // Whoever says 235 says that somebody is logged in. RFC 4954 §4.
  if (verb === "AUTH" && code < 300 && !loggedIn) {
    throw new Fault("reply.custody", `Cannot reply ${code} to AUTH: expected a call of acceptAs before it`);
  }
}

/** A reply may become stricter, never looser, and what is done stays done. @throws {Fault} `reply.invalid`, `reply.custody` */
export function checkMayRecode(verb: string, from: number, to: number): void {
  const [before, after] = [Math.floor(from / 100), Math.floor(to / 100)];
  if (before === after) return;
  if (after < 4 || after < before) {
    throw new Fault("reply.invalid", `Cannot make ${to} of ${from}: expected a code of its class, or a stricter one`);
  }
  // 353 too: the replies for each recipient follow it, whatever it is. draft-hall-prdr.
  if (before < 4 && doneVerbs.has(verb)) {
    throw new Fault("reply.custody", `Cannot make ${to} of ${from} at ${verb}: what it says has happened`);
  }
}
