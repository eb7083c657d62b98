/**
 * Whether a message may be answered by a machine. RFC 3834 §2, and what others have agreed on since. It runs inside the isolate, where a script learns
 * it at once, and in the server, which does not take the isolate's word for it.
 */
import { lowerCase, matches, trim } from "./primordials.ts";

/** Values of all fields of a name, unfolded. */
export type FieldValues = (name: string) => readonly string[];

const listFields = [
  "List-Id",
  "List-Post",
  "List-Unsubscribe",
  "List-Help",
  "List-Subscribe",
  "List-Owner",
  "List-Archive",
];
const machineFields = ["X-Autoreply", "X-Autorespond", "X-Auto-Response-For"];
const autoSubmittedNo = /^no(?:[ \t]*[;(].*)?$/;
const machinePrecedence = /^(?:bulk|junk|list|auto_reply)$/;
const suppressed = /\b(?:all|oof|autoreply)\b/;
const report = /^multipart\/report\b/;
/** Local parts of those who are no people. */
const machine =
  /^(?:mailer-daemon|postmaster|listserv|majordomo|mdaemon|bounces?|no-?reply|do-?not-?reply|owner-.*|.*-(?:owner|request|bounces?)|(?:bounces?|no-?reply|do-?not-?reply)[+-].*)$/;

/**
 * Why nobody is to be answered; null where somebody may be.
 * @param from the reverse-path
 * @param own addresses that would answer themselves
 */
export function whyNoAnswer(from: string | null, valuesOf: FieldValues, own: readonly string[]): string | null {
  if (from === null) return "it has the null reverse-path";
  const sender = lowerCase(from);
  for (let i = 0; i < own.length; i++) if (lowerCase(own[i]!) === sender) return "its sender would answer himself";
  if (matches(machine, localPart(sender))) return "its sender is a machine";
  for (let i = 0; i < listFields.length; i++) if (valuesOf(listFields[i]!).length > 0) return "it came by a list";
  for (let i = 0; i < machineFields.length; i++)
    if (valuesOf(machineFields[i]!).length > 0) return "it is an automatic answer";
  if (!all(valuesOf("Auto-Submitted"), (value) => matches(autoSubmittedNo, value))) return "it was sent by a machine";
  if (!all(valuesOf("Precedence"), (value) => !matches(machinePrecedence, value))) return "it was sent to many";
  if (!all(valuesOf("X-Auto-Response-Suppress"), (value) => !matches(suppressed, value)))
    return "its sender wants no automatic answer";
  if (!all(valuesOf("Content-Type"), (value) => !matches(report, value))) return "it is a report";
  return null;
}

function all(values: readonly string[], holds: (value: string) => boolean): boolean {
  for (let i = 0; i < values.length; i++) if (!holds(trim(lowerCase(values[i]!)))) return false;
  return true;
}

function localPart(address: string): string {
  let at = address.length - 1;
  while (at > 0 && address[at] !== "@") at--;
  let local = "";
  for (let i = 0; i < at; i++) local += address[i]!;
  return local;
}
