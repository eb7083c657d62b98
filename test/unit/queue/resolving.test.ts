/** Resolving recipients before the first attempt: what is persisted of the answer. */
import { describe, expect, test } from "vitest";
import type { Outcome } from "../../../src/queue/attempt.ts";
import type { Categorized } from "../../../src/queue/ports.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import { createFakeClock, settle } from "../../support/fake-clock.ts";
import { day, deferred, minute, setUpQueue } from "../../support/queue-setup.ts";
import { createSampleMessage, readMessage } from "../../support/sample-message.ts";

const reply = { code: 550, status: "5.7.1", text: "not wanted" };
const later = { code: 451, status: "4.7.1", text: "later" };

function setUp(answer: (asked: string[]) => Categorized | Error, options = {}) {
  const asked: string[] = [];
  const kept: string[] = [];
  const all = setUpQueue({
    options: {
      async categorize(message, attemptId) {
        asked.push(attemptId);
        const given = message.envelope.reversePath === null ? ({ kind: "unchanged" } as const) : answer(asked);
        if (given instanceof Error) throw given;
        return given;
      },
      quarantine: async (message) => void kept.push(message.id),
    },
    ...options,
  });
  return { ...all, asked, kept };
}

describe("Queue: resolving recipients", () => {
  test("unchanged: goes on from memory at once, and is not asked again after it was tried", async () => {
    const spool = createMemorySpool();
    const clock = createFakeClock();
    const { queue, attempts, take, asked } = setUp(() => ({ kind: "unchanged" }), {
      spool,
      clock,
      answers: [deferred],
    });
    await queue.start();
    const message = await take({ to: ["a@example.test", "b@example.com"] });
    await settle();
    expect(attempts[0]!.message).toBe(message);
    await clock.advance(20 * minute);
    await queue.stop(0);
    const after = setUp(() => ({ kind: "unchanged" }), { spool, clock });
    await after.queue.start();
    await clock.advance(60 * minute);
    expect(after.attempts).toHaveLength(1);
    expect([asked.length, after.asked.length]).toEqual([1, 0]);
  });

  test("changed: envelope, forks and failures are one commit, and all of it is delivered", async () => {
    const fork = createSampleMessage({ to: ["c@example.com"] });
    const message = createSampleMessage();
    const changed = createSampleMessage({ id: message.id, to: ["a@example.test", "nobody@example.test"] });
    const failures: Outcome[] = [
      { index: 1, kind: "failed", nextHop: "", reply: null, reason: "no such mailbox", status: "5.1.1" },
    ];
    const { queue, attempts, take, spool, log } = setUp(() => ({
      kind: "changed",
      message: changed,
      forks: [fork],
      failures,
    }));
    await queue.start();
    await take({ id: message.id });
    for (let turn = 0; turn < 4; turn++) await settle();
    const delivered = attempts.map((attempt) => attempt.message.envelope.recipients[attempt.indexes[0]!]!.mailbox);
    expect(delivered.map(({ localPart, domain }) => `${localPart}@${domain}`).sort()).toEqual([
      "a@example.test",
      "ada@sender.example",
      "c@example.com",
    ]);
    expect(log.of("delivery.failed")).toHaveLength(1);
    expect(spool.counts().messages).toBe(0);
  });

  test("changed: who asked for it hears of lists and expansions, as the sender of the message as it came", async () => {
    const toOptions = [
      { notify: ["success" as const], originalRecipient: { type: "rfc822", address: "all@x.example" } },
    ];
    const message = createSampleMessage({ to: ["all@example.test"], toOptions });
    const owned = createSampleMessage({ id: message.id, from: "owner-all@example.test", to: ["a@example.test"] });
    const [recipient] = message.envelope.recipients;
    const { queue, attempts, take } = setUp(() => ({
      kind: "changed",
      message: owned,
      forks: [],
      failures: [],
      expansions: [
        { recipient: recipient!, isList: true },
        { recipient: recipient!, isList: false },
      ],
    }));
    await queue.start();
    await take({ id: message.id, to: ["all@example.test"], toOptions, options: { envelopeId: "E1" } });
    for (let turn = 0; turn < 4; turn++) await settle();
    const reports = attempts.map((attempt) => attempt.message).filter(({ id }) => id !== message.id);
    const texts = await Promise.all(reports.map(async (report) => (await readMessage(report)).toString()));
    expect(texts.map((text) => /^Action: (\w+)/m.exec(text)?.[1])).toEqual(["delivered", "expanded"]);
    for (const text of texts) {
      expect(text).toContain("\r\nTo: <ada@sender.example>\r\n");
      expect(text).toContain("\r\nOriginal-Envelope-Id: E1\r\n");
      expect(text).toContain(
        "Original-Recipient: rfc822; all@x.example\r\nFinal-Recipient: rfc822; all@example.test\r\n",
      );
      expect(text).toContain("\r\nStatus: 2.0.0\r\n");
    }
  });

  test("refused: every recipient fails, and the sender is told", async () => {
    const { queue, take, attempts, log } = setUp(() => ({ kind: "refused", reply, by: "filter" }));
    await queue.start();
    await take();
    for (let turn = 0; turn < 3; turn++) await settle();
    expect(log.of("delivery.failed")[0]!.fields.outcome).toBe("refused by filter: 550 5.7.1 not wanted");
    expect(attempts.map(({ message }) => message.envelope.reversePath)).toEqual([null]);
  });

  test.each([
    { why: "deferred", answer: { kind: "deferred", reply: later, by: "filter" } as const },
    { why: "what it throws", answer: new Error("broken") },
  ])("$why: asked again by the schedule under another id, also after a restart", async ({ answer }) => {
    const spool = createMemorySpool();
    const clock = createFakeClock();
    const { queue, take, asked, attempts } = setUp(() => answer, { spool, clock });
    await queue.start();
    await take();
    await clock.advance(5 * minute);
    expect(new Set(asked).size).toBe(2);
    expect(attempts).toHaveLength(0);
    await queue.stop(0);
    const after = setUp(() => ({ kind: "unchanged" }), { spool, clock });
    await after.queue.start();
    await clock.advance(10 * minute);
    expect([after.asked.length, after.attempts.length]).toEqual([1, 1]);
  });

  test.each([
    { why: "discarded", kept: 0 },
    { why: "quarantined", kept: 1 },
  ] as const)("$why: it goes, and the log says why", async ({ why, kept }) => {
    const message = createSampleMessage();
    const facts = { reason: "unwanted", by: "filter" };
    const set = setUp(() => (why === "discarded" ? { kind: why, ...facts } : { kind: why, message, ...facts }));
    await set.queue.start();
    await set.take({ id: message.id });
    await settle();
    expect(set.spool.counts().messages).toBe(0);
    expect(set.kept).toHaveLength(kept);
    expect(set.attempts).toHaveLength(0);
    expect(set.log.of(`message.${why}`)).toMatchObject([{ fields: { message: message.id, ...facts } }]);
  });

  test("deferred for five days it is given up and reported", async () => {
    const { queue, take, clock, attempts, spool } = setUp(() => ({ kind: "deferred", reply: later, by: "filter" }));
    await queue.start();
    await take();
    await clock.advance(5 * day + 60 * minute);
    expect(attempts).toHaveLength(1);
    expect(spool.counts().messages).toBe(0);
  });
});
