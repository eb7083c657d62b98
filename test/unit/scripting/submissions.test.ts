/** New messages of scripts at the writer: what they are made into, and what is refused whatever the sandbox said. */
import { describe, expect, test } from "vitest";
import type { Grants, SubmissionResult } from "../../../sandbox/protocol.ts";
import { generationMax, isMadeBy, madeBy, madeByNote } from "../../../src/mail/made-by.ts";
import { formatMailbox, parseMailbox } from "../../../src/mail/mailbox.ts";
import type { Message } from "../../../src/mail/message.ts";
import { AnsweredLately } from "../../../src/scripting/answered.ts";
import { applyEffects } from "../../../src/scripting/apply.ts";
import { SubmissionMaker, type SubmissionPorts } from "../../../src/scripting/submissions.ts";
import { createMessage } from "../../support/events.ts";
import { createRecordingLog } from "../../support/recording-log.ts";

const now = Date.UTC(2026, 0, 2, 3, 4, 5);
const script = "scripts/a.ts";

function site(ports: Partial<SubmissionPorts> = {}) {
  const log = createRecordingLog();
  const taken: Message[] = [];
  const maker = new SubmissionMaker({
    hostname: "mx.example.test",
    now: () => now,
    isLocal: (domain) => domain === "example.test",
    postmaster: () => parseMailbox("postmaster@example.test"),
    sizeOctetsMax: 10_000,
    take: async (messages) => void taken.push(...messages),
    log,
    ...ports,
  });
  return { maker, log, taken };
}

const submission = (change: Partial<SubmissionResult> = {}): SubmissionResult => ({
  kind: "submit",
  id: "0123456789ABCDEF",
  to: ["b@example.test"],
  from: "bot@example.test",
  fields: [
    ["From", "bot@example.test"],
    ["Subject", "Grüße"],
  ],
  octets: Buffer.from("text\r\n"),
  ...change,
});
const anybody: Grants = { submit: { max: 2, to: null } };

async function made(
  results: readonly SubmissionResult[],
  { grants = anybody, message = createMessage("Subject: x\n\nbody\n"), ports = {} as Partial<SubmissionPorts> } = {},
) {
  const { maker, log } = site(ports);
  await applyEffects(message, { submissions: results }, { script, grants, maker });
  return { message, log, submissions: message.submissions };
}

const textOf = async (message: Message) => {
  const pieces: Buffer[] = [];
  for await (const piece of message.chunks()) pieces.push(piece);
  return Buffer.concat(pieces).toString();
};

describe("SubmissionMaker.make", () => {
  test("writes a whole message with the fields it lacks", async () => {
    const { submissions } = await made([submission()]);
    expect(await textOf(submissions[0]!.message)).toBe(
      "Received: by mx.example.test (OnArrival, script) id 0123456789ABCDEF; Fri, 02\r\n Jan 2026 03:04:05 +0000\r\nDate: Fri, 02 Jan 2026 03:04:05 +0000\r\nMessage-ID: <0123456789ABCDEF@mx.example.test>\r\nFrom: bot@example.test\r\nSubject: =?UTF-8?B?R3LDvMOfZQ==?=\r\n\r\ntext\r\n",
    );
    const { envelope, receivedAt, id, origin } = submissions[0]!.message;
    expect([id, receivedAt, origin.listener, origin.ip]).toEqual(["0123456789ABCDEF", now, "script", "127.0.0.1"]);
    expect(envelope.reversePath).toEqual(parseMailbox("bot@example.test"));
  });

  test("writes as the postmaster where nobody is named", async () => {
    const { from: _from, ...nobody } = submission({ fields: [["Subject", "x"]] });
    const { submissions } = await made([nobody]);
    const { message } = submissions[0]!;
    expect(message.header.get("From")).toBe("postmaster@example.test");
    expect(formatMailbox(message.envelope.reversePath!)).toBe("postmaster@example.test");
  });

  test("notes who made it, and of what, and lets nobody forge that", async () => {
    const message = createMessage("Subject: x\n\nbody\n");
    message.notes = { [madeByNote]: { scripts: ["scripts/b.ts"], generation: 1, of: "X" }, mine: 1 };
    await applyEffects(message, { notes: { [madeByNote]: null, other: 2 } });
    expect(message.notes).toEqual({ other: 2, [madeByNote]: { scripts: ["scripts/b.ts"], generation: 1, of: "X" } });
    const { submissions } = await made([submission()], { message });
    expect(madeBy(submissions[0]!.message)).toEqual({
      scripts: ["scripts/b.ts", script],
      generation: 2,
      of: message.id,
    });
    expect(isMadeBy(submissions[0]!.message, script)).toBe(true);
    expect(isMadeBy(message, script)).toBe(false);
  });

  test.each([
    ["below", generationMax - 2, false],
    ["at", generationMax - 1, false],
    ["above", generationMax, true],
  ])("ends what goes on and on: %s", async (_why, generation, ends) => {
    const message = createMessage("Subject: x\n\nbody\n");
    message.notes = { [madeByNote]: { scripts: [], generation, of: "X" } };
    const work = made([submission()], { message });
    if (ends) await expect(work).rejects.toMatchObject({ code: "script.action-limit" });
    else expect((await work).submissions).toHaveLength(1);
  });

  test("forwards the message as it is behind the run, with what its own sender asked for left out", async () => {
    const message = createMessage("Received: x\nSubject: x\n\nbody\n");
    message.envelope = { ...message.envelope, options: { ret: "HDRS", envelopeId: "e", body: "8BITMIME" } };
    const forward: SubmissionResult = {
      kind: "forward",
      id: "0123456789ABCDEF",
      to: ["c@example.test"],
      fields: [],
      octets: null,
    };
    const { maker } = site();
    await applyEffects(
      message,
      { fields: [0, ["Subject", "new"]], submissions: [forward] },
      { script, grants: {}, maker },
    );
    const { message: copy } = message.submissions[0]!;
    expect(copy.header.get("Subject")).toBe("new");
    expect(copy.header.count("Received")).toBe(2);
    expect(copy.body).toBe(message.body);
    expect(copy.envelope.options).toEqual({ body: "8BITMIME" });
    expect(copy.envelope.reversePath).toEqual(message.envelope.reversePath);
  });

  const forward = (to: string): SubmissionResult => ({
    kind: "forward",
    id: "0123456789ABCDEF",
    to: [to],
    fields: [],
    octets: null,
  });
  test.each<[string, readonly SubmissionResult[], Grants, string | null]>([
    ["without a grant", [submission()], {}, "grant.missing"],
    ["a forward to ourselves without a grant", [forward("b@example.test")], {}, null],
    ["a forward to others without a grant", [forward("b@example.org")], {}, "grant.missing"],
    ["as many as are granted", [submission(), submission()], anybody, null],
    ["one more", [submission(), submission(), submission()], anybody, "grant.limit"],
    [
      "to a domain that is granted",
      [submission({ to: ["x@example.org"] })],
      { submit: { max: 1, to: ["example.org"] } },
      null,
    ],
    ["to ourselves, whoever is granted", [submission()], { submit: { max: 1, to: [] } }, null],
    [
      "to another domain",
      [submission({ to: ["x@example.org", "x@example.com"] })],
      { submit: { max: 1, to: ["example.org"] } },
      "grant.limit",
    ],
  ])("keeps to its grant: %s", async (_why, results, grants, code) => {
    const work = made(results, { grants });
    if (code === null) expect((await work).submissions).toHaveLength(results.length);
    else await expect(work).rejects.toMatchObject({ code });
  });

  test.each<[string, Partial<SubmissionResult>]>([
    ["no address", { to: ["x"] }],
    ["nobody", { to: [] }],
    ["a field of two lines", { fields: [["X-A", "b\r\nBcc: c"]] }],
    ["a field with no name", { fields: [["X A", "b"]] }],
    ["a lone CR", { octets: Buffer.from("a\rb\r\n") }],
    ["a lone LF", { octets: Buffer.from("a\nb\r\n") }],
    ["NUL", { octets: Buffer.from("a\0\r\n") }],
    ["an id that leads elsewhere", { id: "../../x" }],
    ["no content", { octets: null }],
    ["a reply to a third", { kind: "reply", from: null, to: ["c@example.test"] }],
  ])("writes nothing of a run that asks for what cannot be written: %s", async (_why, change) => {
    const message = createMessage("Subject: x\n\nbody\n");
    await expect(made([submission(), submission(change)], { message })).rejects.toMatchObject({
      code: "script.action-invalid",
    });
    expect(message.submissions).toEqual([]);
  });

  test.each([
    ["below", 9_000, false],
    ["above", 10_000, true],
  ])("limits the size of a message: %s", async (_why, octets, isOver) => {
    const work = made([submission({ octets: Buffer.from(`${"x".repeat(octets - 2)}\r\n`) })]);
    if (isOver) await expect(work).rejects.toMatchObject({ code: "script.action-limit" });
    else expect((await work).submissions).toHaveLength(1);
  });

  const answer = submission({ kind: "reply", from: null, to: ["ann@example.org"], onceWithinMs: 1_000 });
  test("gives no answer that must not be given, whatever the sandbox said", async () => {
    const { submissions, log } = await made([answer], { message: createMessage("List-Id: <x>\n\nbody\n") });
    expect(submissions).toEqual([]);
    expect(log.lines).toMatchObject([{ event: "script.answer-withheld", fields: { reason: "it came by a list" } }]);
  });

  test("answers a sender once in a time, and remembers it when the answer is in custody", async () => {
    const kept = new Map<string, { readonly ttlS: number | null }>();
    const answered = new AnsweredLately({
      store: {
        get: async (owner, key) => (kept.has(owner + key) ? true : null),
        set: async (owner, key, _value, { ttlS }) => void kept.set(owner + key, { ttlS }),
      },
      now: () => now,
      log: createRecordingLog(),
    });
    const first = await made([answer], { ports: { answered } });
    expect(first.submissions).toHaveLength(1);
    expect((await made([answer], { ports: { answered } })).submissions).toEqual([]);
    expect(kept.size).toBe(0);
    first.submissions[0]!.taken!();
    expect([...kept.values()]).toEqual([{ ttlS: 1 }]);
    expect((await made([answer], { ports: { answered } })).submissions).toEqual([]);
    expect((await made([{ ...answer, onceWithinMs: 0 }], { ports: { answered } })).submissions).toHaveLength(1);
  });
});

describe("SubmissionMaker.settle", () => {
  test.each([
    ["stays with a message that is committed", "onArrival", "proceed", 1, 0],
    ["is taken at once where nobody commits it", "onDelivered", "proceed", 0, 1],
    ["is not taken where the script objects", "onLocalDelivery", "defer", 0, 0],
  ] as const)("what is made %s", async (_why, event, kind, stay, takenCount) => {
    const { maker, taken } = site();
    const message = createMessage("Subject: x\n\nbody\n");
    await applyEffects(message, { submissions: [submission()] }, { script, grants: anybody, maker });
    await maker.settle(event, message, { kind });
    expect([message.submissions.length, taken.length]).toEqual([stay, takenCount]);
  });
});
