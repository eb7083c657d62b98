/** Runs inside the isolate: the verdict of a run, one at most, checked where it is given so that the script is told its own line. */
import { isInteger, matches, octetsOf, quote, trim } from "./primordials.ts";
import { alive, countAction, invalid, type RunState } from "./run-state.ts";

/** Octets of a reply's text or a reason: it has to fit a reply line. RFC 5321 §4.5.3.1.5. */
const textOctetsMax = 480;
const permanentStatus = /^5\.\d{1,3}\.\d{1,3}$/;
const transientStatus = /^4\.\d{1,3}\.\d{1,3}$/;
const notPlain = /[^\x20-\x7e\u00a0-\uffff]/;

export function giveReply(state: RunState, kind: "refuse" | "defer" | "drop", text: unknown, options: unknown): void {
  begin(state, kind);
  const words = checkText(state, kind, text);
  const { code, status } = (typeof options === "object" && options !== null ? options : {}) as {
    code?: unknown;
    status?: unknown;
  };
  const takesBoth = kind === "drop";
  const codeClass = kind === "refuse" || (takesBoth && (code as number) >= 500) ? 5 : 4;
  if (
    code !== undefined &&
    !(isInteger(code) && (code as number) >= codeClass * 100 && (code as number) < codeClass * 100 + 100)
  ) {
    invalid(state, `${kind} takes a code from ${takesBoth ? 4 : codeClass}00 to ${takesBoth ? 5 : codeClass}99`);
  }
  if (
    status !== undefined &&
    !(typeof status === "string" && matches(codeClass === 5 ? permanentStatus : transientStatus, status))
  ) {
    invalid(state, `${kind} takes a status such as "${codeClass}.7.1"`);
  }
  const parts = `${code === undefined ? "" : `"code":${code as number},`}${status === undefined ? "" : `"status":${quote(status as string)},`}`;
  state.verdict = `{"kind":"${kind}",${parts}"text":${quote(words)}}`;
}

export function giveReason(state: RunState, kind: "discard" | "quarantine", reason: unknown): void {
  begin(state, kind);
  state.verdict = `{"kind":"${kind}","reason":${quote(checkText(state, kind, reason))}}`;
}

export function giveSettle(state: RunState): void {
  begin(state, "settle");
  state.settled = true;
}

function begin(state: RunState, kind: string): void {
  countAction(alive(state));
  if (state.verdict !== "" || state.settled)
    invalid(state, `${kind}: this run has given a verdict already, and one is all it has`);
}

function checkText(state: RunState, kind: string, text: unknown): string {
  if (typeof text !== "string" || trim(text) === "") return invalid(state, `${kind} takes a text that says why`);
  if (matches(notPlain, text)) return invalid(state, `${kind} takes one line of text, without control characters`);
  if (octetsOf(text, textOctetsMax) > textOctetsMax)
    return invalid(state, `${kind} takes at most ${textOctetsMax} octets of text`);
  return text;
}
