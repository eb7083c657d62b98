/** Runs scripts on a message: one hop to the sandbox, then each run's edits applied in order. What a fault means is the dispatcher's to say. */

import type { Sandbox } from "../../sandbox/host.ts";
import { type HostCalls, noCalls } from "../../sandbox/host-call.ts";
import type {
  LogEntry,
  RunStep,
  ScriptFault,
  ScriptLimits,
  StepResult,
  Usage,
  VerdictResult,
} from "../../sandbox/protocol.ts";
import { asFault, messageOf } from "../events/accounts.ts";
import type { EventName, SubjectOf } from "../events/event.ts";
import { checkVerdict, eventTable } from "../events/event-table.ts";
import type { ScriptOutcome, ScriptRunner, ScriptStep } from "../events/script-runner.ts";
import { Standing } from "../events/undo.ts";
import { defer, discard, drop, proceed, quarantine, refuse, settle, type Verdict } from "../events/verdict.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import { Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { applyEffects, isEmpty } from "./apply.ts";
import { messageOctets } from "./mail-input.ts";
import { callPowers, checkEffects, eventInput } from "./subjects.ts";
import type { SubmissionMaker } from "./submissions.ts";

/** One run of one script, for figures and its log. */
export interface RunReport {
  readonly script: string;
  readonly version: string;
  readonly event: EventName;
  /** Id of the message, or of the session where there is none yet; null: neither. */
  readonly about: string | null;
  readonly verdict: Verdict["kind"];
  readonly fault: Fault | null;
  readonly usage: Usage;
  readonly log: readonly LogEntry[];
}

export interface ScriptRunnerOptions {
  readonly sandbox: Pick<Sandbox, "run">;
  readonly limits: ScriptLimits;
  /** What scripts ask of the server while they run; absent: nothing is granted. */
  readonly calls?: HostCalls;
  /** Makes their new messages; absent: nobody may. */
  readonly maker?: SubmissionMaker;
  readonly log: Log;
  readonly onRun?: (report: RunReport) => void;
}

export function createScriptRunner(options: ScriptRunnerOptions): ScriptRunner {
  const { sandbox, limits, calls = noCalls, log, onRun } = options;
  return {
    async run<Name extends EventName>(
      event: Name,
      subject: SubjectOf<Name>,
      steps: readonly ScriptStep[],
      stopOnChange: boolean,
    ): Promise<readonly ScriptOutcome[]> {
      const message = messageOf(subject);
      const isTold = eventTable[event].mode === "tell";
      const answer = await sandbox.run({
        event,
        ...eventInput(event, subject),
        steps: steps.map((step) => runStep(step, limits, isTold)),
        calls,
        stopOnChange,
        octets: async () => (message ? await messageOctets(message) : new Uint8Array()),
      });
      const outcomes: ScriptOutcome[] = [];
      for (const [index, result] of answer.steps.entries()) {
        const { binding } = steps[index]!;
        const outcome = await applyResult(options, event, subject, binding, result);
        outcomes.push(outcome);
        reportLog(log, subject, binding.name, result);
        onRun?.({
          script: binding.name,
          version: result.version,
          event,
          about: Object.values(placeOf(subject))[0] ?? null,
          verdict: outcome.verdict.kind,
          fault: outcome.fault,
          usage: result.usage,
          log: result.log,
        });
        // Later runs saw edits that did not come about: they are run again by whoever asked.
        if (outcome.fault && !result.fault) break;
      }
      return outcomes;
    },
  };
}

function runStep({ binding, matchedRecipients }: ScriptStep, limits: ScriptLimits, isTold: boolean): RunStep {
  const { target } = binding;
  if (target.kind !== "script") throw new Fault("binding.invalid", `Cannot run ${binding.name}: it is no script`);
  return {
    bindingId: binding.id,
    version: target.version,
    limits,
    matchedRecipients: matchedRecipients?.map(formatMailbox) ?? null,
    // Nobody waits for what is told: one that fails is no reason not to tell the next.
    proceedOnFault: isTold || binding.onFault === "proceed",
    grants: target.grants ?? {},
    // They were read from JSON or TOML, and go over as JSON.
    properties: binding.properties as RunStep["properties"],
  };
}

async function applyResult<Name extends EventName>(
  { maker }: Pick<ScriptRunnerOptions, "maker">,
  event: Name,
  subject: SubjectOf<Name>,
  binding: ScriptOutcome["binding"],
  { effects, verdict: given, fault, version }: StepResult,
): Promise<ScriptOutcome> {
  const facts = { script: binding.name, version, ...placeOf(subject) };
  const { target } = binding;
  if (fault) return { binding, verdict: proceed, fault: faultOf(fault, facts) };
  const message = messageOf(subject);
  let standing: Standing | undefined;
  try {
    const verdict = verdictOf(given);
    // Before anything is done: what an event does not take is a fault, and nothing of the run holds.
    checkVerdict(event, verdict);
    checkEffects(event, effects);
    const { powers = [] } = effects;
    const isEditing = message !== undefined && !isEmpty(effects);
    if (!isEditing && powers.length === 0) return { binding, verdict, fault: null };
    standing = new Standing(subject, message, binding);
    const author =
      maker && target.kind === "script" ? { script: binding.name, grants: target.grants ?? {}, maker } : undefined;
    if (isEditing) await applyEffects(message, effects, author);
    callPowers(event, subject, powers);
    if (message) await maker?.settle(event, message, verdict);
    return { binding, verdict, fault: null, did: standing.done() };
  } catch (error) {
    standing?.undo();
    const { code, message: words } = asFault(error);
    return { binding, verdict: proceed, fault: new Fault(code, words, { cause: error, facts }) };
  }
}

/** @throws {Fault} where code, status or text is not valid */
export function verdictOf(result: VerdictResult): Verdict {
  switch (result.kind) {
    case "proceed":
      return result.settled ? settle : proceed;
    case "refuse":
      return refuse(result.text, replyOptions(result));
    case "drop":
      return drop(result.text, replyOptions(result));
    case "defer":
      return defer(result.text, replyOptions(result));
    case "discard":
      return discard(result.reason);
    case "quarantine":
      return quarantine(result.reason);
  }
}

function replyOptions({ code, status }: { readonly code?: number; readonly status?: string }): {
  code?: number;
  status?: string;
} {
  return { ...(code === undefined ? {} : { code }), ...(status === undefined ? {} : { status }) };
}

function faultOf(fault: ScriptFault, facts: Readonly<Record<string, unknown>>): Fault {
  return new Fault(fault.code, fault.message, { facts: { ...facts, at: fault.at, stack: fault.stack } });
}

/** Which message it was about, or which session where there is none yet. */
function placeOf(
  subject: SubjectOf<EventName>,
): { readonly message: string } | { readonly session: string | undefined } {
  const message = messageOf(subject);
  if (message) return { message: message.id };
  return { session: (subject as { readonly session?: { readonly id: string } }).session?.id };
}

function reportLog(log: Log, subject: SubjectOf<EventName>, script: string, result: StepResult): void {
  if (result.log.length === 0 && result.defects.length === 0) return;
  const place = placeOf(subject);
  for (const { level, text } of result.log) log[level]("script.logged", { script, ...place, text });
  if (result.defects.length > 0) log.debug("message.defects-seen", { script, ...place, defects: result.defects });
}
