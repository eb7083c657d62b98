import { describe, expect, test } from "vitest";
import type { Message } from "../../../src/mail/message.ts";
import { Fault } from "../../../src/platform/fault.ts";
import { heldRecheckMs, type Outcome } from "../../../src/queue/attempt.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import type { Spool } from "../../../src/spool/spool.ts";
import { createFakeClock, settle } from "../../support/fake-clock.ts";
import { day, deferred, gate, minute, outcomesOf, setUpQueue, type Work } from "../../support/queue-setup.ts";
import { createSampleMessage, readMessage } from "../../support/sample-message.ts";

describe("Queue: the common way", () => {
  test("a message is attempted at once, from memory, and goes when it is delivered", async () => {
    const { queue, spool, attempts, told, take, clock } = setUpQueue();
    await queue.start();
    const message = await take();
    await settle();
    expect(attempts).toMatchObject([{ messageId: message.id, indexes: [0] }]);
    expect(attempts[0]!.message).toBe(message);
    expect(spool.counts()).toEqual({ messages: 0, recipients: 0 });
    expect(queue.counts()).toEqual({ messages: 0, running: 0, due: 0, held: 0, cached: 0 });
    expect(
      told.map(({ name, subject }) => (name === "onTrack" ? `${name} ${subject.step} ${subject.code}` : name)),
    ).toEqual(["onTrack attempted 1040", "onTrack delivered 1050", "onDelivered", "onTrack finished 1070"]);
    expect(clock.nextAt).toBeUndefined();
  });

  test("what was enqueued before start waits for it", async () => {
    const { queue, attempts, take } = setUpQueue();
    await take();
    await settle();
    expect(attempts).toHaveLength(0);
    await queue.start();
    await settle();
    expect(attempts).toHaveLength(1);
  });

  test("more than is kept in memory is read from the spool", async () => {
    const { answer, open, waiting } = gate();
    const { queue, attempts, take } = setUpQueue({
      answers: [answer],
      options: { cachedMessagesMax: 2, attemptsMax: 1 },
    });
    await queue.start();
    const messages: Message[] = [];
    for (let count = 0; count < 5; count++) messages.push(await take());
    // The first is under way and in memory no more; the next two are, the last two are not.
    expect(queue.counts().cached).toBe(2);
    while (attempts.length < 5 || waiting.length > 0) {
      open();
      await settle();
    }
    expect(attempts.map(({ message }) => messages.includes(message))).toEqual([true, true, true, false, false]);
    for (const { message, messageId } of attempts) expect(message.id).toBe(messageId);
  });

  test("octets kept in memory are bounded too", async () => {
    const { queue, take } = setUpQueue({ options: { cachedOctetsMax: 200 } });
    await take();
    await take();
    expect(queue.counts().cached).toBe(1);
  });
});

describe("Queue: trying again", () => {
  test("waits 5, 10 and 20 minutes, then 30, and tells when", async () => {
    const { queue, attempts, take, clock, told, spool } = setUpQueue({ answers: [deferred] });
    await queue.start();
    const message = await take();
    await clock.advance(125 * minute);
    const start = attempts[0]!.at;
    expect(attempts.map(({ at }) => (at - start) / minute)).toEqual([0, 5, 15, 35, 65, 95, 125]);
    expect(told.find(({ name }) => name === "onDeferred")!.subject).toMatchObject({
      nextAttemptAt: start + 5 * minute,
      reason: "451 4.3.0 later",
      nextHop: "hop.example:25",
    });
    expect((await spool.find(message.id))!.recipients[0]).toMatchObject({
      attempts: 7,
      lastOutcome: "451 4.3.0 later",
      nextAttemptAt: start + 155 * minute,
    });
    expect(new Set(attempts.map(({ attemptId }) => attemptId)).size).toBe(7);
  });

  test("only the recipients that are due are tried, each by its own schedule", async () => {
    const half = (work: Work) =>
      work.recipients.map(
        ({ index }): Outcome => ({
          index,
          kind: index === 0 ? "delivered" : "deferred",
          nextHop: "",
          reply: null,
          reason: "x",
        }),
      );
    const { queue, attempts, take, clock, spool } = setUpQueue({ answers: [half, deferred, {}] });
    await queue.start();
    const message = await take({ to: ["a@example.test", "b@example.test"] });
    await clock.advance(5 * minute);
    expect(attempts.map(({ indexes }) => indexes)).toEqual([[0, 1], [1]]);
    expect((await spool.find(message.id))!.recipients.map(({ state }) => state)).toEqual(["delivered", "queued"]);
    await clock.advance(10 * minute);
    expect(spool.counts().messages).toBe(0);
  });

  test("what delivery throws defers every recipient, and the log says so", async () => {
    const { queue, attempts, take, clock, log, spool } = setUpQueue({ answers: [new Error("no route"), {}] });
    await queue.start();
    await take({ to: ["a@example.test", "b@example.test"] });
    await settle();
    expect(log.of("delivery.threw")).toMatchObject([{ level: "error", fields: { reason: "no route" } }]);
    expect(spool.counts().recipients).toBe(2);
    await clock.advance(5 * minute);
    expect(attempts).toHaveLength(2);
    expect(spool.counts().messages).toBe(0);
  });

  test("a recipient delivery forgot is deferred, not lost", async () => {
    const { queue, take, spool } = setUpQueue({ answers: [(work) => outcomesOf(work, {}).slice(1)] });
    await queue.start();
    const message = await take({ to: ["a@example.test", "b@example.test"] });
    await settle();
    expect((await spool.find(message.id))!.recipients).toMatchObject([
      { state: "queued", lastOutcome: "the attempt ended without an outcome" },
      { state: "delivered" },
    ]);
  });

  test("the schedule survives a restart", async () => {
    const spool = createMemorySpool();
    const clock = createFakeClock();
    const before = setUpQueue({ spool, clock, answers: [deferred] });
    await before.queue.start();
    await before.take();
    await settle();
    await before.queue.stop(0);
    await clock.advance(2 * minute);
    const after = setUpQueue({ spool, clock });
    await after.queue.start();
    await settle();
    expect(after.attempts).toHaveLength(0);
    await clock.advance(3 * minute - 1);
    expect(after.attempts).toHaveLength(0);
    await clock.advance(1);
    expect(after.attempts).toHaveLength(1);
    expect(await readMessage(after.attempts[0]!.message)).toEqual(await readMessage(createSampleMessage()));
  });

  test("what came due while the server was off is tried at start, oldest due first", async () => {
    const spool = createMemorySpool();
    const clock = createFakeClock();
    const messages = [createSampleMessage(), createSampleMessage(), createSampleMessage()];
    for (const [place, message] of messages.entries())
      await spool.accept([message], clock.now() - [5, 15, 10][place]! * minute);
    const { queue, attempts } = setUpQueue({ spool, clock, options: { attemptsMax: 1 } });
    await queue.start();
    await settle();
    await settle();
    expect(attempts.map(({ messageId }) => messageId)).toEqual([messages[1]!.id, messages[2]!.id, messages[0]!.id]);
  });

  test("a clock that is set back a year does not make mail wait a year", async () => {
    const clock = createFakeClock();
    let offset = 0;
    const shifted = { ...clock, now: () => clock.now() + offset, after: clock.after };
    const { queue, attempts, take } = setUpQueue({
      clock: { ...clock, ...shifted } as typeof clock,
      answers: [deferred, {}],
    });
    await queue.start();
    await take();
    await settle();
    offset = -365 * day;
    await clock.advance(heldRecheckMs + 2 * minute);
    expect(attempts).toHaveLength(2);
  });
});

describe("Queue: many at one time", () => {
  test("never more attempts than the limit, and the next begins when one ends", async () => {
    const { answer, waiting, open } = gate();
    const { queue, attempts, take, spool } = setUpQueue({ answers: [answer], options: { attemptsMax: 3 } });
    await queue.start();
    for (let count = 0; count < 10; count++) await take();
    await settle();
    expect(attempts).toHaveLength(3);
    expect(queue.counts()).toMatchObject({ running: 3, due: 7 });
    waiting.shift()!();
    await settle();
    expect(attempts).toHaveLength(4);
    while (spool.counts().messages > 0) {
      open();
      await settle();
    }
    expect(attempts).toHaveLength(10);
  });

  test("a slow lane leaves the others their places", async () => {
    const { answer, waiting } = gate();
    const slowly = (work: Work) =>
      work.recipients[0]!.mailbox.domain === "slow.example" ? answer(work) : outcomesOf(work, {});
    const { queue, take, spool } = setUpQueue({
      answers: [slowly],
      options: { attemptsMax: 4, laneOf: ({ mailbox }) => mailbox.domain },
    });
    await queue.start();
    for (let count = 0; count < 10; count++) await take({ to: ["a@slow.example"] });
    for (let count = 0; count < 10; count++) await take({ to: ["a@quick.example"] });
    await settle();
    expect(waiting).toHaveLength(2);
    await expect.poll(() => spool.counts().messages).toBe(10);
  });

  test("never two attempts of one message at one time", async () => {
    const { answer, open } = gate();
    const { queue, attempts, take, clock } = setUpQueue({
      answers: [answer],
      options: { attemptTimeoutMs: 3 * day },
    });
    await queue.start();
    const message = await take();
    queue.enqueue(message);
    queue.recheckHeld();
    await clock.advance(2 * day);
    expect(attempts).toHaveLength(1);
    open();
    await settle();
    expect(queue.counts().messages).toBe(0);
  });
});

describe("Queue: a spool that fails", () => {
  test("an outcome that cannot be recorded is kept and recorded later: no second delivery", async () => {
    const spool = createMemorySpool();
    let failures = 3;
    const failing: Spool = {
      ...spool,
      record: (...args) =>
        failures-- > 0 ? Promise.reject(new Fault("spool.full", "no space")) : spool.record(...args),
    };
    const { queue, attempts, take, clock, log, told } = setUpQueue({ spool: failing });
    await queue.start();
    await take();
    await settle();
    expect(log.of("queue.record-failed")).toMatchObject([{ level: "error", fields: { fault: "spool.full" } }]);
    expect(told.some(({ name }) => name === "onDelivered")).toBe(false);
    await clock.advance(1_000);
    await clock.advance(2_000);
    expect(spool.counts().messages).toBe(1);
    await clock.advance(4_000);
    expect(spool.counts().messages).toBe(0);
    expect(attempts).toHaveLength(1);
    expect(told.some(({ name }) => name === "onDelivered")).toBe(true);
  });

  test("attempts whose outcome waits keep their places, so nothing is delivered that could not be recorded", async () => {
    const spool = createMemorySpool();
    const { queue, attempts, take, clock } = setUpQueue({
      spool: { ...spool, record: () => Promise.reject(new Fault("spool.full", "no space")) },
      options: { attemptsMax: 2 },
    });
    await queue.start();
    for (let count = 0; count < 5; count++) await take();
    await clock.advance(60 * minute);
    expect(attempts).toHaveLength(2);
  });

  test("stop does not wait for a spool that takes nothing", async () => {
    const spool = createMemorySpool();
    const { queue, take } = setUpQueue({
      spool: { ...spool, record: () => Promise.reject(new Fault("spool.full", "no space")) },
    });
    await queue.start();
    await take();
    await settle();
    expect(await queue.stop(10_000)).toBe(0);
  });
});

describe("Queue.stop", () => {
  test("waits for what is under way, and starts nothing more", async () => {
    const { answer, open } = gate();
    const { queue, attempts, take, spool } = setUpQueue({ answers: [answer], options: { attemptsMax: 1 } });
    await queue.start();
    await take();
    await take();
    const stopped = queue.stop(10_000);
    await settle();
    open();
    expect(await stopped).toBe(0);
    await take();
    await settle();
    expect(attempts).toHaveLength(1);
    expect(spool.counts().messages).toBe(2);
  });

  test("ends at the deadline and says how many it abandoned", async () => {
    const { answer } = gate();
    const { queue, take, clock, spool } = setUpQueue({ answers: [answer] });
    await queue.start();
    await take();
    await settle();
    const stopped = queue.stop(5_000);
    await clock.advance(5_000);
    expect(await stopped).toBe(1);
    expect(spool.counts().messages).toBe(1);
  });
});

describe("Queue.list and show", () => {
  test("list has the oldest first, by page, with the recipients that are queued", async () => {
    const { queue, take, clock } = setUpQueue({ answers: [deferred] });
    await queue.start();
    const first = await take({ to: ["a@one.example"] });
    await clock.advance(minute);
    const second = await take({ to: ["b@two.example"], from: null });
    await settle();
    const idsOf = async (...args: Parameters<typeof queue.list>) =>
      (await queue.list(...args)).items.map(({ messageId }) => messageId);
    expect(await idsOf()).toEqual([first.id, second.id]);
    expect(await idsOf({}, { limit: 1 })).toEqual([first.id]);
    expect(await idsOf({}, { limit: 1, offset: 1 })).toEqual([second.id]);
    expect((await queue.list({}, { limit: 1 })).total).toBe(2);
    expect((await queue.list()).items[1]).toMatchObject({
      reversePath: "<>",
      running: false,
      held: false,
      nextAttemptAt: clock.now() + 5 * minute,
      recipients: [{ destination: "", running: false }],
    });
  });

  test("show has every recipient, those done with too", async () => {
    const half = (work: Work) =>
      work.recipients.map(
        ({ index }): Outcome => ({
          index,
          kind: index === 0 ? "delivered" : "deferred",
          nextHop: "",
          reply: null,
          reason: "x",
        }),
      );
    const { queue, take, clock } = setUpQueue({ answers: [half] });
    await queue.start();
    const message = await take({ to: ["a@example.test", "b@example.test"] });
    await settle();
    expect(await queue.show(message.id)).toMatchObject({
      messageId: message.id,
      running: false,
      nextAttemptAt: clock.now() + 5 * minute,
      recipients: [{ state: "delivered" }, { state: "queued", attempts: 1 }],
    });
    expect(await queue.show("0000000000000000")).toBeUndefined();
  });
});
