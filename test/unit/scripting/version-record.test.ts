/** Which versions a message remembers: what had a part in it, once each, whatever scripts do to its notes. */
import { describe, expect, test } from "vitest";
import type { Binding } from "../../../src/events/binding.ts";
import type { ScriptOutcome, ScriptRunner } from "../../../src/events/script-runner.ts";
import { proceed } from "../../../src/events/verdict.ts";
import type { Message } from "../../../src/mail/message.ts";
import { describeScriptRecord, scriptRecords, scriptsNote } from "../../../src/mail/script-record.ts";
import { recordVersions } from "../../../src/scripting/version-record.ts";
import { createMessage } from "../../support/events.ts";

const version = (n: number) => `sha256:${String(n).repeat(64)}`;

const binding = (n: number, parts: Partial<Binding> = {}): Binding => ({
  id: `scripts/${n}.ts#onArrival`,
  name: `scripts/${n}.ts`,
  event: "onArrival",
  enabled: true,
  priority: 1,
  rule: null,
  onFault: "defer",
  maxFirings: 0,
  properties: {},
  source: "script",
  createdOrder: 0,
  target: { kind: "script", version: version(n) },
  ...parts,
});

const outcome = (bound: Binding, parts: Partial<ScriptOutcome> = {}): ScriptOutcome => ({
  binding: bound,
  verdict: proceed,
  fault: null,
  ...parts,
});

/** Runs scripts that end so, and do this to the message. */
async function run(message: Message, outcomes: readonly ScriptOutcome[], edit = () => {}): Promise<void> {
  const runner: ScriptRunner = {
    async run() {
      edit();
      return outcomes;
    },
  };
  expect(await recordVersions(runner).run("onArrival", { message }, [], false)).toBe(outcomes);
}

const records = (message: Message) => scriptRecords(message).map(({ script, event }) => `${script} ${event}`);

describe("recordVersions", () => {
  test("writes down each that ran before the 250, once, in order, with its version", async () => {
    const message = createMessage("Subject: one\n\nbody\n");
    await run(message, [outcome(binding(1)), outcome(binding(2))]);
    await run(message, [outcome(binding(1)), outcome(binding(3))]);
    expect(records(message)).toEqual(["scripts/1.ts onArrival", "scripts/2.ts onArrival", "scripts/3.ts onArrival"]);
    expect(scriptRecords(message)[0]).toEqual({ script: "scripts/1.ts", version: version(1), event: "onArrival" });
    expect(describeScriptRecord(scriptRecords(message)[0]!)).toBe("scripts/1.ts@111111111111");
  });

  test.each<[why: string, bound: Binding, parts: Partial<ScriptOutcome>, written: boolean]>([
    ["before the 250, without an edit", binding(1), {}, true],
    ["behind the 250, without an edit", binding(1, { phase: "queue" }), {}, false],
    ["behind the 250, with one", binding(1, { phase: "queue" }), { did: () => ["edit header: Subject"] }, true],
    ["at another event, without an edit", binding(1, { event: "onPreCategorize" }), {}, false],
    ["at another event, with one", binding(1, { event: "onPreCategorize" }), { did: () => ["edit notes"] }, true],
  ])("%s", async (_why, bound, parts, written) => {
    const message = createMessage("Subject: one\n\nbody\n");
    const { notes } = message;
    await run(message, [outcome(bound, parts)]);
    expect(records(message)).toHaveLength(written ? 1 : 0);
    // A message whose notes are the same is not written to the spool again.
    if (!written) expect(message.notes).toBe(notes);
  });

  test.each<[why: string, notes: Readonly<Record<string, unknown>>]>([
    ["takes all notes away", {}],
    ["writes its own", { [scriptsNote]: [{ script: "scripts/good.ts", version: version(9), event: "onArrival" }] }],
    ["writes nonsense", { [scriptsNote]: "none" }],
  ])("a script that %s changes nothing of it", async (_why, notes) => {
    const message = createMessage("Subject: one\n\nbody\n");
    await run(message, [outcome(binding(1))]);
    await run(message, [outcome(binding(2), { did: () => ["edit notes"] })], () => {
      message.notes = notes;
    });
    expect(records(message)).toEqual(["scripts/1.ts onArrival", "scripts/2.ts onArrival"]);
  });

  test("other notes stay", async () => {
    const message = createMessage("Subject: one\n\nbody\n");
    message.notes = { mine: 1 };
    await run(message, [outcome(binding(1))]);
    expect(message.notes).toMatchObject({ mine: 1 });
  });

  test("remembers two hundred", async () => {
    const message = createMessage("Subject: one\n\nbody\n");
    const many = Array.from({ length: 201 }, (_, index) => outcome(binding(1, { name: `scripts/s${index}.ts` })));
    await run(message, many.slice(0, 200));
    expect(records(message)).toHaveLength(200);
    await run(message, many);
    expect(records(message)).toHaveLength(200);
  });

  test("a message that was decided without it is left alone", async () => {
    const message = createMessage("Subject: one\n\nbody\n");
    message.revoke();
    await run(message, [outcome(binding(1))]);
    expect(records(message)).toEqual([]);
  });

  test("an event without a message has nothing to write on", async () => {
    const outcomes = [outcome(binding(1, { event: "onHelo" }))];
    const runner: ScriptRunner = { run: async () => outcomes };
    const subject = { message: null } as unknown as Parameters<ScriptRunner["run"]>[1];
    expect(await recordVersions(runner).run("onHelo", subject, [], false)).toBe(outcomes);
  });
});
