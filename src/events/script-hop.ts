/**
 * Consecutive scripts of an event, taken to the sandbox in one hop: which of them are asked, and what came of it. Where a run stops early, or one of them
 * changed what a later one's rule looks at, the rest is asked anew.
 */

import { isMadeBy } from "../mail/made-by.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import { Message } from "../mail/message.ts";
import { type Accounts, asFault, messageOf, unasked } from "./accounts.ts";
import type { Binding } from "./binding.ts";
import type { AskName, EventName, SubjectOf, TellName } from "./event.ts";
import { nothingDone, type Skip } from "./observation.ts";
import type { RuleFacts } from "./rule.ts";
import { mailboxOf, ruleFacts } from "./rule-facts.ts";
import type { ScriptOutcome, ScriptRunner, ScriptStep } from "./script-runner.ts";
import { proceed, type Verdict } from "./verdict.ts";

export interface HopParts {
  readonly accounts: Accounts;
  readonly scripts: ScriptRunner;
  readonly observeSkip?: ((skip: Skip) => void) | undefined;
}

/** How far the list is: a verdict ends it, else it goes on at `next`. */
export interface HopEnd {
  readonly verdict: Verdict | null;
  readonly next: number;
  readonly settled: boolean;
}

interface PlacedStep extends ScriptStep {
  /** Its place in the list. */
  readonly at: number;
}

/** Runs the consecutive scripts from `start`. Never rejects for what a script does. */
export async function askScripts<Name extends AskName>(
  { accounts, scripts, observeSkip }: HopParts,
  event: Name,
  subject: SubjectOf<Name>,
  { bindings, start }: { readonly bindings: readonly Binding[]; readonly start: number },
): Promise<HopEnd> {
  const steps: PlacedStep[] = [];
  const facts = new LateFacts(event, subject);
  let stopOnChange = false;
  let settled = false;
  let end = start;
  for (; end < bindings.length; end++) {
    const binding = bindings[end]!;
    const { rule, target } = binding;
    if (target.kind === "native") break;
    if (target.kind === "broken") {
      observeSkip?.({ event, subject, binding, reason: "broken" });
      continue;
    }
    if (isMakerOf(subject, binding)) continue;
    // Behind the first script the message may be another one: a rule that looks at what scripts edit is tested again then.
    if (steps.length > 0 && rule?.readsMessage) stopOnChange = true;
    const health = accounts.of(binding);
    const reason = unasked(binding, health) ?? (rule && !rule.test(facts.all) ? "rule" : null);
    if (reason !== null) {
      observeSkip?.({ event, subject, binding, reason });
      continue;
    }
    // A suspended script, or its probe, begins a hop of its own: a probe that is admitted is sure to run.
    if (steps.length > 0 && health.breaker.state !== "closed") break;
    if (!health.breaker.admits()) {
      const verdict = accounts.suspended(event, subject, binding);
      if (verdict.kind !== "proceed") return { verdict, next: end, settled };
      continue;
    }
    steps.push({ at: end, binding, matchedRecipients: facts.matched(binding) });
  }
  if (steps.length > 0) {
    const outcomes = await run(scripts, event, subject, steps, stopOnChange);
    for (const { binding, verdict: given, fault, did = nothingDone } of outcomes) {
      const health = accounts.of(binding);
      health.firings++;
      const verdict = fault
        ? accounts.faulted(event, subject, binding, fault)
        : accounts.answered(event, subject, binding, health, given, { undo: nothingDone, did });
      if (verdict.kind !== "proceed") return { verdict, next: end, settled };
      settled ||= verdict.settled;
    }
    // It may have stopped early: what it did not run is asked anew, with everything as it is now.
    if (outcomes.length < steps.length || stopOnChange) end = steps[outcomes.length - 1]!.at + 1;
  }
  return { verdict: null, next: end, settled };
}

/**
 * Which scripts are to be told, and how: null where none is. Decided at once, with the message as it is; what is given back runs them, and never rejects. A fault
 * of one of them is its own affair.
 */
export function tellScripts<Name extends TellName>(
  { accounts, scripts }: HopParts,
  event: Name,
  subject: SubjectOf<Name>,
  bindings: readonly Binding[],
): (() => Promise<void>) | null {
  const facts = new LateFacts(event, subject);
  let steps: ScriptStep[] = [];
  for (const binding of bindings) {
    const health = accounts.of(binding);
    if (unasked(binding, health) !== null || (binding.rule && !binding.rule.test(facts.all))) continue;
    if (isMakerOf(subject, binding)) continue;
    if (!health.breaker.admits()) continue;
    health.firings++;
    steps.push({ binding, matchedRecipients: facts.matched(binding) });
  }
  if (steps.length === 0) return null;
  const seen = withOwnMessage(subject);
  return async () => {
    while (steps.length > 0) {
      const outcomes = await run(scripts, event, seen, steps, false);
      for (const { binding, verdict, fault, did = nothingDone } of outcomes) {
        if (fault) accounts.faulted(event, seen, binding, fault);
        else accounts.answered(event, seen, binding, accounts.of(binding), verdict, { undo: nothingDone, did });
      }
      steps = steps.slice(outcomes.length);
    }
  };
}

/** At least one outcome: a sandbox that is down is the first script's fault, not a lost message. */
async function run(
  scripts: ScriptRunner,
  event: EventName,
  subject: SubjectOf<EventName>,
  steps: readonly ScriptStep[],
  stopOnChange: boolean,
): Promise<readonly ScriptOutcome[]> {
  const failed = (error: unknown) => [{ binding: steps[0]!.binding, verdict: proceed, fault: asFault(error) }];
  try {
    const outcomes = await scripts.run(event, subject, steps, stopOnChange);
    return outcomes.length > 0 ? outcomes : failed(new Error("no script was run"));
  } catch (error) {
    return failed(error);
  }
}

/** Who is told later sees the message as it was when it was told; what becomes of the server's own is nothing to him. */
function withOwnMessage<Subject extends object>(subject: Subject): Subject {
  const message = messageOf(subject);
  return message ? { ...subject, message: new Message(message) } : subject;
}

/** What rules ask, found out where one asks. */
class LateFacts<Name extends EventName> {
  readonly #event: Name;
  readonly #subject: SubjectOf<Name>;
  #facts: RuleFacts | undefined;

  constructor(event: Name, subject: SubjectOf<Name>) {
    this.#event = event;
    this.#subject = subject;
  }

  get all(): RuleFacts {
    return (this.#facts ??= ruleFacts(this.#event, this.#subject));
  }

  /** Recipients that meet the rule of a binding; null: all of the message. An event of one recipient, or of some, is about no others. */
  matched({ rule }: Binding): readonly Mailbox[] | null {
    const message = messageOf(this.#subject);
    if (!message) return null;
    const narrow = narrowRecipients(this.#subject);
    if (!rule) return narrow;
    const { recipients } = this.all;
    const matched = rule.matchedRecipients(recipients);
    return matched === recipients ? narrow : matched;
  }
}

/** A script is not asked about what it made itself, or it would make more of it without end. */
function isMakerOf(subject: object, { name }: Binding): boolean {
  const message = messageOf(subject);
  return message !== undefined && isMadeBy(message, name);
}

function narrowRecipients(subject: object): readonly Mailbox[] | null {
  const { forwardPath, recipients } = subject as {
    readonly forwardPath?: Mailbox;
    readonly recipients?: readonly (Mailbox | { readonly mailbox: Mailbox })[];
  };
  return forwardPath ? [forwardPath] : (recipients?.map(mailboxOf) ?? null);
}
