/**
 * Checks everything that comes from a sandbox process before the server uses it: whoever broke out of an isolate is there, and may say
 * anything. What does not hold throws ProtocolError, and the process is killed. Texts for people are made plain here, not refused.
 */
import { plainLine } from "./plain-line.ts";
import type { LogEntry, RunRequest, ScriptFault, StepResult, Usage, VerdictResult } from "./protocol.ts";
import { integer, list, number, ProtocolError, record, text } from "./shape-check.ts";
import { checkEffects } from "./validate-effects.ts";
import { checkExportsFrame } from "./validate-exports.ts";
import type { FromChild } from "./wire.ts";

export { ProtocolError } from "./shape-check.ts";

export interface CheckedStep {
  readonly result: StepResult;
  readonly looked: boolean;
}

const defectsMax = 100;
const verdictTextLengthMax = 480;
const stackLinesMax = 20;
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
  "script.protected",
  "script.died",
  "grant.missing",
  "grant.limit",
  "script.no-answer",
  "script.replay-diverged",
] satisfies ScriptFault["code"][];

/** The shape of a frame; what a `done` holds is checked against its request by `checkSteps`, what `calls` hold by validate-calls.ts. @throws {ProtocolError} */
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
    case "calls":
      return {
        t: "calls",
        id: integer(message["id"], "id"),
        step: integer(message["step"], "step"),
        attempt: integer(message["attempt"], "attempt"),
        calls: list(message["calls"], 10_000, "calls") as never,
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
  let fieldCount = request.mail?.fields.length ?? 0;
  let recipientCount = request.mail?.envelope.to.length ?? 0;
  const checked = given.map((step, index): CheckedStep => {
    const frame = record(step, "step");
    const { bindingId, version, limits } = request.steps[index]!;
    const counts = { fields: fieldCount, recipients: recipientCount, step: index };
    const effects = checkEffects(record(frame["effects"], "effects"), request, counts, octets);
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
  if (octets.at !== tail.length) throw new ProtocolError(`${tail.length - octets.at} octets that belong to nothing`);
  return checked;
}

function checkVerdict(verdict: Readonly<Record<string, unknown>>): VerdictResult {
  const { kind, code, status } = verdict;
  if (kind === "proceed") return { kind, settled: verdict["settled"] === true };
  if (kind === "discard" || kind === "quarantine") return { kind, reason: verdictText(verdict["reason"]) };
  if (kind !== "refuse" && kind !== "defer" && kind !== "drop") throw new ProtocolError("A verdict of no known kind");
  const codeClass = kind === "refuse" || (kind === "drop" && (code as number) >= 500) ? 5 : 4;
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
