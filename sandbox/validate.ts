/**
 * Checks everything that comes from a sandbox process before the server uses it: whoever broke out of an isolate is there, and may say
 * anything. What does not hold throws ProtocolError, and the process is killed. Texts for people are made plain here, not refused.
 */
import { isPlainLine, plainLine } from "./plain-line.ts";
import type {
  BodySplice,
  Effects,
  FieldResult,
  FromChild,
  LogEntry,
  PartChange,
  RunRequest,
  ScriptExports,
  ScriptFault,
  StepResult,
  Usage,
  VerdictResult,
} from "./protocol.ts";

/** The other side said what it must not say. */
export class ProtocolError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ProtocolError";
  }
}

export interface CheckedStep {
  readonly result: StepResult;
  readonly looked: boolean;
}

const fieldName = /^[!-9;-~]{1,76}$/;
const fieldControl = /[\x00-\x08\x0a-\x1f\x7f]/;
const addressLengthMax = 330;
const fieldValueLengthMax = 65_536;
const partNumber = /^(?:\d{1,4}(?:\.\d{1,4}){0,200})?$/;
const partsMax = 2_000;
const defectsMax = 100;
const verdictTextLengthMax = 480;
const stackLinesMax = 20;
/** Content fields the child may rewrite beside what the script edits. */
const ownFieldEdits = 8;
const faultCodes: readonly string[] = [
  "script.exports",
  "script.load",
  "script.threw",
  "script.never-settled",
  "script.cpu-limit",
  "script.wall-limit",
  "script.heap-limit",
  "script.action-limit",
  "script.action-invalid",
  "script.died",
] satisfies ScriptFault["code"][];

/** The shape of a frame; what a `done` holds is checked against its request by `checkSteps`. @throws {ProtocolError} */
export function checkMessage(head: unknown): FromChild {
  const message = record(head, "frame");
  switch (message["t"]) {
    case "ready":
      return { t: "ready" };
    case "need":
      return { t: "need", id: integer(message["id"], "id") };
    case "at":
      return {
        t: "at",
        id: integer(message["id"], "id"),
        step: integer(message["step"], "step"),
        parsing: message["parsing"] === true,
      };
    case "loaded":
      return {
        t: "loaded",
        id: integer(message["id"], "id"),
        exports: message["exports"] === null ? null : checkExportsFrame(message["exports"]),
        fault: message["fault"] === null ? null : checkFault(message["fault"]),
      };
    case "done":
      return { t: "done", id: integer(message["id"], "id"), steps: list(message["steps"], 10_000, "steps") as never };
    default:
      throw new ProtocolError("A frame of no known kind");
  }
}

/** The results of a run. Binding and version come from the request, never from the other side. @throws {ProtocolError} */
export function checkSteps(given: readonly unknown[], tail: Buffer, request: RunRequest): readonly CheckedStep[] {
  if (given.length === 0 || given.length > request.steps.length)
    throw new ProtocolError(`${given.length} results for ${request.steps.length} steps`);
  const octets = { at: 0, tail };
  let fieldCount = request.mail.fields.length;
  let recipientCount = request.mail.envelope.to.length;
  const checked = given.map((step, index): CheckedStep => {
    const frame = record(step, "step");
    const { bindingId, version, limits } = request.steps[index]!;
    const counts = { fields: fieldCount, recipients: recipientCount, actionsMax: limits.actionsMax };
    const effects = checkEffects(record(frame["effects"], "effects"), counts, request.mail.size, octets);
    fieldCount = effects.fields?.length ?? fieldCount;
    recipientCount = effects.to?.length ?? recipientCount;
    const fault = frame["fault"] === null ? null : checkFault(frame["fault"]);
    const verdict = checkVerdict(record(frame["verdict"], "verdict"));
    if (fault && (Object.keys(effects).length > 0 || verdict.kind !== "proceed"))
      throw new ProtocolError("A faulted step with effects");
    return {
      result: {
        bindingId,
        version,
        effects,
        verdict,
        log: list(frame["log"], limits.logLinesMax + 1, "log").map((entry) =>
          checkLogEntry(entry, limits.logLineOctetsMax),
        ),
        usage: checkUsage(record(frame["usage"], "usage")),
        fault,
        defects: list(frame["defects"], defectsMax, "defects").map((defect) =>
          plainLine(text(defect, 2_000, "defect"), 200),
        ),
      },
      looked: frame["looked"] === true,
    };
  });
  if (octets.at !== tail.length) throw new ProtocolError(`${tail.length - octets.at} octets that belong to no splice`);
  return checked;
}

function checkExportsFrame(given: unknown): ScriptExports {
  const exports = record(given, "exports");
  const handlers = list(exports["handlers"], 100, "handlers").map((name) => plain(name, 60, "handler"));
  const { rule, priority, phase, onFault, enabled } = exports;
  return {
    handlers,
    ...(rule === undefined ? {} : { rule: text(rule, 4_096, "rule") }),
    ...(priority === undefined ? {} : { priority: integer(priority, "priority") }),
    ...(phase === undefined ? {} : { phase: plain(phase, 20, "phase") }),
    ...(onFault === undefined ? {} : { onFault: plain(onFault, 20, "onFault") }),
    ...(enabled === undefined ? {} : { enabled: enabled === true }),
  };
}

function checkEffects(
  effects: Readonly<Record<string, unknown>>,
  counts: { readonly fields: number; readonly recipients: number; readonly actionsMax: number },
  sizeOctets: number,
  octets: { at: number; readonly tail: Buffer },
): Effects {
  const checked: { -readonly [Key in keyof Effects]: Effects[Key] } = {};
  for (const [key, value] of Object.entries(effects)) {
    if (key === "from") checked.from = value === null ? null : address(value);
    else if (key === "to") checked.to = list(value, counts.recipients + counts.actionsMax, "recipients").map(address);
    else if (key === "fields") checked.fields = checkFields(value, counts.fields, counts.actionsMax);
    else if (key === "splices") checked.splices = checkSplices(value, sizeOctets, octets);
    else if (key === "parts") checked.parts = list(value, partsMax, "parts").map(checkPart);
    else throw new ProtocolError("An effect of no known kind");
  }
  return checked;
}

function checkFields(given: unknown, count: number, actionsMax: number): readonly FieldResult[] {
  const seen = new Set<number>();
  return list(given, count + actionsMax + ownFieldEdits, "fields").map((field): FieldResult => {
    if (typeof field === "number") {
      if (!Number.isInteger(field) || field < 0 || field >= count || seen.has(field))
        throw new ProtocolError("A field that did not go in, or comes back twice");
      seen.add(field);
      return field;
    }
    const pair = list(field, 2, "field");
    const name = text(pair[0], 76, "field name");
    const value = text(pair[1], fieldValueLengthMax, "field value");
    if (!fieldName.test(name) || fieldControl.test(value)) throw new ProtocolError("A field that cannot be written");
    return [name, value];
  });
}

function checkSplices(
  given: unknown,
  sizeOctets: number,
  octets: { at: number; readonly tail: Buffer },
): readonly BodySplice[] {
  let last = 0;
  return list(given, 2 * partsMax, "splices").map((splice): BodySplice => {
    const [start, end, length] = list(splice, 3, "splice").map((number) => integer(number, "splice")) as [
      number,
      number,
      number,
    ];
    if (length === undefined || start < last || end < start || end > sizeOctets)
      throw new ProtocolError("Splices out of order or outside of the body");
    if (octets.at + length > octets.tail.length) throw new ProtocolError("A splice without its octets");
    last = end;
    octets.at += length;
    return { start, end, octets: octets.tail.subarray(octets.at - length, octets.at) };
  });
}

function checkPart(given: unknown): PartChange {
  const part = record(given, "part");
  const { op, fileName } = part;
  if (op !== "remove" && op !== "append") throw new ProtocolError("A part that is neither removed nor appended to");
  const number = text(part["part"], 1_200, "part");
  if (!partNumber.test(number)) throw new ProtocolError("A part with no number");
  const change = { op, part: number, contentType: plain(part["contentType"], 200, "content type") } as const;
  return fileName === undefined ? change : { ...change, fileName: plain(fileName, 200, "file name") };
}

function checkVerdict(verdict: Readonly<Record<string, unknown>>): VerdictResult {
  const { kind, code, status } = verdict;
  if (kind === "proceed") return { kind, settled: verdict["settled"] === true };
  if (kind === "discard" || kind === "quarantine") return { kind, reason: verdictText(verdict["reason"]) };
  if (kind !== "refuse" && kind !== "defer") throw new ProtocolError("A verdict of no known kind");
  const codeClass = kind === "refuse" ? 5 : 4;
  if (code !== undefined && Math.floor(integer(code, "code") / 100) !== codeClass)
    throw new ProtocolError(`A ${kind} with another code`);
  if (status !== undefined && !new RegExp(`^${codeClass}\\.\\d{1,3}\\.\\d{1,3}$`).test(text(status, 9, "status")))
    throw new ProtocolError(`A ${kind} with another status`);
  return {
    kind,
    ...(code === undefined ? {} : { code: code as number }),
    ...(status === undefined ? {} : { status: status as string }),
    text: verdictText(verdict["text"]),
  };
}

function checkFault(given: unknown): ScriptFault {
  const fault = record(given, "fault");
  const code = text(fault["code"], 40, "fault code");
  if (!faultCodes.includes(code)) throw new ProtocolError("A fault of no known code");
  const stack = text(fault["stack"], 65_536, "stack");
  return {
    code: code as ScriptFault["code"],
    message: plainLine(text(fault["message"], 65_536, "fault message")) || "no message",
    at: fault["at"] === null ? null : plainLine(text(fault["at"], 65_536, "place"), 300),
    stack: stack
      .split("\n", stackLinesMax)
      .map((line) => plainLine(line, 400))
      .join("\n"),
  };
}

function checkLogEntry(given: unknown, lineOctetsMax: number): LogEntry {
  const entry = record(given, "log entry");
  const { level } = entry;
  if (level !== "debug" && level !== "info" && level !== "warn" && level !== "error")
    throw new ProtocolError("A log entry of no known level");
  return {
    level,
    text: plainLine(text(entry["text"], lineOctetsMax + 200, "log text"), lineOctetsMax + 200),
    at: number(entry["at"], "log time"),
  };
}

function checkUsage(usage: Readonly<Record<string, unknown>>): Usage {
  return {
    cpuMs: number(usage["cpuMs"], "cpuMs"),
    wallMs: number(usage["wallMs"], "wallMs"),
    heapKiB: number(usage["heapKiB"], "heapKiB"),
  };
}

function verdictText(given: unknown): string {
  const words = text(given, verdictTextLengthMax, "verdict text");
  if (words.trim() === "" || /[^\x20-\x7e\u00a0-\uffff]/.test(words) || Buffer.byteLength(words) > verdictTextLengthMax)
    throw new ProtocolError("A verdict whose text cannot be said");
  return words;
}

function address(given: unknown): string {
  const words = text(given, addressLengthMax, "address");
  if (/[\x00-\x1f\x7f]/.test(words) || words.indexOf("@") < 1) throw new ProtocolError("An address that is none");
  return words;
}

function plain(given: unknown, lengthMax: number, what: string): string {
  const words = text(given, lengthMax, what);
  if (!isPlainLine(words, lengthMax)) throw new ProtocolError(`A ${what} with control characters`);
  return words;
}

function text(given: unknown, lengthMax: number, what: string): string {
  if (typeof given !== "string" || given.length > lengthMax)
    throw new ProtocolError(`A ${what} that is no text of at most ${lengthMax} characters`);
  return given;
}

function number(given: unknown, what: string): number {
  if (typeof given !== "number" || !Number.isFinite(given) || given < 0)
    throw new ProtocolError(`A ${what} that is no number`);
  return given;
}

function integer(given: unknown, what: string): number {
  if (!Number.isSafeInteger(given) || (given as number) < 0)
    throw new ProtocolError(`A ${what} that is no whole number`);
  return given as number;
}

function list(given: unknown, lengthMax: number, what: string): readonly unknown[] {
  if (!Array.isArray(given) || given.length > lengthMax)
    throw new ProtocolError(`A list of ${what} that is none, or longer than ${lengthMax}`);
  return given;
}

function record(given: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw new ProtocolError(`A ${what} that is no object`);
  return given as Record<string, unknown>;
}
