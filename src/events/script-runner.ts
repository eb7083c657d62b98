/** What the dispatcher asks of whoever runs scripts; src/scripting answers it. */
import type { Mailbox } from "../mail/mailbox.ts";
import type { Fault } from "../platform/fault.ts";
import type { Binding } from "./binding.ts";
import type { EventName, SubjectOf } from "./event.ts";
import type { Verdict } from "./verdict.ts";

/** A script to run, with the recipients that met its rule. */
export interface ScriptStep {
  readonly binding: Binding;
  /** null: all there are when its turn comes, or there is no message. */
  readonly matchedRecipients: readonly Mailbox[] | null;
}

/** How one script did: its edits and powers are done already, or, after a fault, nothing of them is. */
export interface ScriptOutcome {
  readonly binding: Binding;
  readonly verdict: Verdict;
  readonly fault: Fault | null;
  /** Its edits, in words. */
  readonly did?: () => readonly string[];
}

/** Runs scripts one after the other at an event, in one hop; may stop early, as sandbox/protocol.ts says. At least one is run. */
export interface ScriptRunner {
  run(
    event: EventName,
    subject: SubjectOf<EventName>,
    steps: readonly ScriptStep[],
    stopOnChange: boolean,
  ): Promise<readonly ScriptOutcome[]>;
}
