/** Runs scripts on a message: one hop to the sandbox, then each run's edits applied in order. What a fault means is the dispatcher's to say. */

import type { Sandbox } from "../../sandbox/host.ts";
import type { RunStep, ScriptFault, ScriptLimits, StepResult, VerdictResult } from "../../sandbox/protocol.ts";
import type { EventName } from "../events/event.ts";
import type { ScriptOutcome, ScriptRunner, ScriptStep } from "../events/script-runner.ts";
import { editsBetween } from "../events/undo.ts";
import { defer, discard, proceed, quarantine, refuse, settle, type Verdict } from "../events/verdict.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import { Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { applyEffects, isEmpty } from "./apply.ts";
import { createMailInput, messageOctets } from "./mail-input.ts";

/** One run of one script, for metrics. */
export interface RunReport {
  readonly script: string;
  readonly version: string;
  readonly verdict: Verdict["kind"];
  readonly fault: string | null;
  readonly cpuMs: number;
  readonly wallMs: number;
}

export function createScriptRunner(options: {
  readonly sandbox: Pick<Sandbox, "run">;
  readonly limits: ScriptLimits;
  readonly log: Log;
  readonly onRun?: (report: RunReport) => void;
}): ScriptRunner {
  return {
    async run(
      event: EventName,
      message: Message,
      steps: readonly ScriptStep[],
      stopOnChange: boolean,
    ): Promise<readonly ScriptOutcome[]> {
      const answer = await options.sandbox.run({
        event,
        steps: steps.map((step) => runStep(step, options.limits)),
        mail: createMailInput(message),
        stopOnChange,
        octets: () => messageOctets(message),
      });
      const outcomes: ScriptOutcome[] = [];
      for (const [index, result] of answer.steps.entries()) {
        const { binding } = steps[index]!;
        const outcome = await applyResult(message, binding, result);
        outcomes.push(outcome);
        reportLog(options.log, message, binding.name, result);
        options.onRun?.({
          script: binding.name,
          version: result.version,
          verdict: outcome.verdict.kind,
          fault: outcome.fault?.code ?? null,
          cpuMs: result.usage.cpuMs,
          wallMs: result.usage.wallMs,
        });
        // Later runs saw edits that did not come about: they are run again by whoever asked.
        if (outcome.fault && !result.fault) break;
      }
      return outcomes;
    },
  };
}

function runStep({ binding, matchedRecipients }: ScriptStep, limits: ScriptLimits): RunStep {
  if (binding.target.kind !== "script")
    throw new Fault("binding.invalid", `Cannot run ${binding.name}: it is no script`);
  return {
    bindingId: binding.id,
    version: binding.target.version,
    limits,
    matchedRecipients: matchedRecipients?.map(formatMailbox) ?? null,
    proceedOnFault: binding.onFault === "proceed",
  };
}

async function applyResult(
  message: Message,
  binding: ScriptOutcome["binding"],
  result: StepResult,
): Promise<ScriptOutcome> {
  if (result.fault)
    return { binding, verdict: proceed, fault: faultOf(result.fault, binding.name, result.version, message.id) };
  const before = message.snapshot();
  try {
    const verdict = verdictOf(result.verdict);
    if (isEmpty(result.effects)) return { binding, verdict, fault: null };
    await applyEffects(message, result.effects);
    const after = message.snapshot();
    return { binding, verdict, fault: null, did: () => editsBetween(before, after) };
  } catch (error) {
    message.restore(before);
    if (!(error instanceof Fault)) throw error;
    return {
      binding,
      verdict: proceed,
      fault: new Fault(error.code, error.message, {
        cause: error,
        facts: { script: binding.name, version: result.version, message: message.id },
      }),
    };
  }
}

/** @throws {Fault} where code, status or text is not valid */
export function verdictOf(result: VerdictResult): Verdict {
  switch (result.kind) {
    case "proceed":
      return result.settled ? settle : proceed;
    case "refuse":
      return refuse(result.text, replyOptions(result));
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

function faultOf(fault: ScriptFault, script: string, version: string, messageId: string): Fault {
  return new Fault(fault.code, fault.message, {
    facts: { script, version, message: messageId, at: fault.at, stack: fault.stack },
  });
}

function reportLog(log: Log, message: Message, script: string, { log: entries, defects }: StepResult): void {
  for (const entry of entries) log[entry.level]("script.logged", { script, message: message.id, text: entry.text });
  if (defects.length > 0) log.debug("message.defects-seen", { script, message: message.id, defects });
}
