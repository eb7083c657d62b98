/**
 * Writes down on a message which versions of scripts had a part in it. Where no script runs it is not called; behind the 250 only what changed something
 * is written, which costs a commit anyway.
 */
import type { ScriptOutcome, ScriptRunner } from "../events/script-runner.ts";
import { Message } from "../mail/message.ts";
import { type ScriptRecord, scriptRecords, scriptsNote } from "../mail/script-record.ts";
import { Fault } from "../platform/fault.ts";

/** Records of one message. */
const recordsMax = 200;

export function recordVersions(runner: ScriptRunner): ScriptRunner {
  return {
    async run(event, subject, ...rest) {
      const message = "message" in subject && subject.message instanceof Message ? subject.message : null;
      if (!message) return await runner.run(event, subject, ...rest);
      const before = scriptRecords(message);
      const outcomes = await runner.run(event, subject, ...rest);
      // A script may have replaced all notes: what is known of the runs before it stays.
      record(message, [...before, ...outcomes.filter(hadPart).map(recordOf)]);
      return outcomes;
    },
  };
}

function hadPart({ binding, did }: ScriptOutcome): boolean {
  return did !== undefined || (binding.event === "onArrival" && binding.phase !== "queue");
}

function recordOf({ binding }: ScriptOutcome): ScriptRecord {
  const { name, event, target } = binding;
  return { script: name, version: target.kind === "script" ? target.version : "", event };
}

function record(message: Message, all: readonly ScriptRecord[]): void {
  const known = new Map(all.map((one) => [`${one.script} ${one.event} ${one.version}`, one]));
  const records = [...known.values()].slice(0, recordsMax);
  if (JSON.stringify(message.notes[scriptsNote] ?? []) === JSON.stringify(records)) return;
  try {
    message.notes = { ...message.notes, [scriptsNote]: records };
  } catch (error) {
    // It was decided without them: there is nothing to write on.
    if (!(error instanceof Fault && error.code === "message.revoked")) throw error;
  }
}
