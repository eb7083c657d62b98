import { describe, expect, test } from "vitest";
import { Fault } from "../../../src/platform/fault.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import type { Spool } from "../../../src/spool/spool.ts";
import { createFakeClock, settle } from "../../support/fake-clock.ts";
import { type Answer, day, deferred, failed, gate, minute, outcomesOf, setUpQueue } from "../../support/queue-setup.ts";
import { createSampleMessage, readMessage } from "../../support/sample-message.ts";

describe("Queue: giving up", () => {
  test("a refusal for good is reported to the sender in the same commit, and the report is delivered", async () => {
    const { queue, attempts, take, told, log, spool, clock } = setUpQueue({ answers: [failed, {}] });
    await queue.start();
    const message = await take({ to: ["a@example.test", "b@example.test"] });
    await settle();
    expect(attempts).toHaveLength(2);
    const report = attempts[1]!.message;
    expect(report.envelope).toEqual({
      reversePath: null,
      recipients: [{ mailbox: { localPart: "ada", domain: "sender.example" } }],
    });
    const text = (await readMessage(report)).toString();
    expect(text).toContain("Final-Recipient: rfc822; a@example.test");
    expect(text).toContain("Final-Recipient: rfc822; b@example.test");
    expect(told.filter(({ name }) => name === "onFailed").map(({ subject }) => subject.reason)).toEqual([
      "550 5.1.1 nobody",
      "550 5.1.1 nobody",
    ]);
    expect(log.of("dsn.queued")).toMatchObject([
      { fields: { message: message.id, report: report.id, to: "ada@sender.example" } },
    ]);
    expect(spool.counts().messages).toBe(0);
    expect(clock.nextAt).toBeUndefined();
  });

  test("a report survives a crash between its commit and its delivery", async () => {
    const spool = createMemorySpool();
    const { answer } = gate();
    const { queue, take } = setUpQueue({ spool, answers: [failed, answer] });
    await queue.start();
    await take();
    await settle();
    const [entry] = await spool.list();
    expect(entry).toMatchObject({ reversePath: "<>", recipients: [{ mailbox: { localPart: "ada" } }] });
  });

  test("never a report about a message with the null reverse-path: the log keeps it visible", async () => {
    const { queue, attempts, take, log, spool } = setUpQueue({ answers: [failed] });
    await queue.start();
    const message = await take({ from: null });
    await settle();
    expect(attempts).toHaveLength(1);
    expect(spool.counts().messages).toBe(0);
    expect(log.of("dsn.suppressed")).toMatchObject([
      {
        level: "warn",
        fields: { message: message.id, recipients: ["grace@example.test"], outcomes: ["550 5.1.1 nobody"] },
      },
    ]);
  });

  test("a report that fails makes no other report", async () => {
    const { queue, attempts, take, log, spool } = setUpQueue({ answers: [failed] });
    await queue.start();
    await take();
    await settle();
    expect(attempts).toHaveLength(2);
    expect(log.of("dsn.suppressed")).toHaveLength(1);
    expect(spool.counts().messages).toBe(0);
  });

  test("after five days of deferrals it is failed with 4.4.7 and reported", async () => {
    const { queue, attempts, take, clock } = setUpQueue({
      answers: [(work) => outcomesOf(work, work.message.envelope.reversePath ? deferred : {})],
    });
    await queue.start();
    await take();
    await clock.advance(5 * day - 1);
    expect(attempts.every(({ message }) => message.envelope.reversePath !== null)).toBe(true);
    await clock.advance(31 * minute);
    const report = attempts.at(-1)!.message;
    expect(report.envelope.reversePath).toBeNull();
    const text = (await readMessage(report)).toString();
    expect(text).toContain("Status: 4.4.7");
    expect(text).toContain("451 4.3.0 later");
    expect(clock.nextAt).toBeUndefined();
  });

  test("a report tells the sender nothing of this server's inside; the log tells the operator", async () => {
    const clock = createFakeClock();
    const spool = createMemorySpool();
    await spool.accept([createSampleMessage({ receivedAt: clock.now() - 30 * day })], clock.now());
    const inside: Answer = { kind: "deferred", reason: "cannot write to the Maildir: ENOSPC, open '/srv/mail/inside'" };
    const { queue, attempts, log } = setUpQueue({
      spool,
      clock,
      answers: [(work) => outcomesOf(work, work.message.envelope.reversePath ? inside : {})],
    });
    await queue.start();
    await clock.advance(day);
    const text = (await readMessage(attempts.at(-1)!.message)).toString();
    expect(text).toContain("It could not be delivered within the time allowed for it.");
    expect(text).not.toMatch(/inside|Maildir|ENOSPC/);
    expect(log.of("delivery.failed")[0]!.fields.outcome).toContain("/srv/mail/inside");
  });

  test("mail that lay in a server that was off gets its eight attempts before age counts", async () => {
    const spool = createMemorySpool();
    const clock = createFakeClock();
    await spool.accept([createSampleMessage({ receivedAt: clock.now() - 30 * day })], clock.now());
    const { queue, attempts } = setUpQueue({
      spool,
      clock,
      answers: [(work) => outcomesOf(work, work.message.envelope.reversePath ? deferred : {})],
    });
    await queue.start();
    await clock.advance(day);
    expect(attempts.filter(({ message }) => message.envelope.reversePath !== null)).toHaveLength(8);
    expect(attempts).toHaveLength(9);
  });

  test("a message that cannot be loaded is not given up: nobody could be told", async () => {
    const spool = createMemorySpool();
    const clock = createFakeClock();
    const message = createSampleMessage({ receivedAt: clock.now() - 30 * day });
    await spool.accept([message], clock.now());
    const unreadable: Spool = { ...spool, load: () => Promise.reject(new Fault("spool.failed", "the disk is gone")) };
    const { queue, attempts, log } = setUpQueue({ spool: unreadable, clock });
    await queue.start();
    await clock.advance(10 * day);
    expect(attempts).toHaveLength(0);
    expect(log.of("delivery.threw").length).toBeGreaterThan(100);
    expect((await spool.find(message.id))!.recipients[0]).toMatchObject({
      state: "queued",
      lastOutcome: "the disk is gone",
    });
  });

  test("a message the spool has lost leaves the queue with an error in the log", async () => {
    const spool = createMemorySpool();
    const { queue, log } = setUpQueue({ spool: { ...spool, load: async () => undefined } });
    await spool.accept([createSampleMessage()], 0);
    await queue.start();
    await settle();
    expect(log.of("queue.message-missing")).toMatchObject([{ level: "error" }]);
    expect(queue.counts().messages).toBe(0);
  });
});

describe("Queue: held mail", () => {
  const held: Answer = { kind: "held", reason: "no smarthost is configured" };

  test("is looked at hourly, costs no attempt, is never given up, and is logged once", async () => {
    const { queue, attempts, take, clock, log, spool, told } = setUpQueue({ answers: [held] });
    await queue.start();
    const message = await take();
    await clock.advance(20 * day);
    expect(attempts).toHaveLength(20 * 24 + 1);
    expect((await spool.find(message.id))!.recipients[0]).toMatchObject({
      state: "queued",
      attempts: 0,
      lastOutcome: "held: no smarthost is configured",
    });
    expect(log.of("delivery.held")).toHaveLength(1);
    expect(told.filter(({ name }) => name === "onDeferred")).toHaveLength(1);
    expect(queue.counts().held).toBe(1);
    expect((await queue.list({ state: "held" })).items).toMatchObject([{ messageId: message.id, held: true }]);
  });

  test.each([
    ["nobody: the log names none", "", false],
    ["somebody", "smarthost", true],
  ])("asked was %s", async (_why, nextHop, named) => {
    const { queue, take, log } = setUpQueue({ answers: [{ ...held, nextHop }] });
    await queue.start();
    await take();
    await settle();
    expect("nextHop" in log.of("delivery.held")[0]!.fields).toBe(named);
  });

  test("recheckHeld looks at once, and only at what is held", async () => {
    const { queue, attempts, take, clock } = setUpQueue({ answers: [held, deferred, {}] });
    await queue.start();
    const first = await take();
    await settle();
    await take();
    await clock.advance(minute);
    queue.recheckHeld();
    await settle();
    expect(attempts.map(({ messageId }) => messageId === first.id)).toEqual([true, false, true]);
    expect(queue.counts()).toMatchObject({ messages: 1, held: 0 });
  });

  test("is looked at when the server starts", async () => {
    const spool = createMemorySpool();
    const clock = createFakeClock();
    const before = setUpQueue({ spool, clock, answers: [held] });
    await before.queue.start();
    await before.take();
    await settle();
    await before.queue.stop(0);
    const after = setUpQueue({ spool, clock });
    await after.queue.start();
    await settle();
    expect(after.attempts).toHaveLength(1);
    expect(spool.counts().messages).toBe(0);
  });
});
