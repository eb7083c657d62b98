/** What the queue must neither lose, nor send twice, nor send although somebody holds it: each of these once went wrong, or nearly did. */
import { describe, expect, test } from "vitest";
import type { Categorized } from "../../../src/queue/ports.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import { createFakeClock, settle } from "../../support/fake-clock.ts";
import { deferred, failed, minute, outcomesOf, setUpQueue } from "../../support/queue-setup.ts";
import { createSampleMessage } from "../../support/sample-message.ts";

const refusal = { code: 550, status: "5.7.1", text: "not wanted" };
const indexesOf = (attempts: readonly { readonly indexes: readonly number[] }[]) =>
  attempts.flatMap(({ indexes }) => indexes);

describe("Queue: what is held", () => {
  test("stays so where its destination changes before the first attempt", async () => {
    let lane = "one";
    const { queue, take, attempts } = setUpQueue({ options: { laneOf: () => lane } });
    await queue.start();
    await queue.shape("one", { suspendedUntilMs: Number.POSITIVE_INFINITY });
    const message = await take({ to: ["a@example.test", "b@example.test"] });
    await queue.hold({ recipient: "a@example.test" });
    lane = "two";
    await queue.shape("one", { suspendedUntilMs: null });
    await settle();
    await settle();
    expect(indexesOf(attempts)).toEqual([1]);
    expect((await queue.show(message.id))!.recipients[0]).toMatchObject({ state: "queued", heldBy: "operator" });
  });

  test("stays so where it was held while its lanes were read", async () => {
    const spool = createMemorySpool();
    let between = async () => {};
    const { queue, take, attempts, clock } = setUpQueue({
      spool: {
        ...spool,
        async list(page) {
          const entries = await spool.list(page);
          await between();
          return entries;
        },
      },
      answers: [deferred],
      options: { laneOf: () => "one" },
    });
    await queue.start();
    await take();
    await settle();
    between = async () => void (await queue.hold({}));
    await queue.reroute();
    await clock.advance(60 * minute);
    expect(attempts).toHaveLength(1);
  });

  test("is not resolved anew, nor is what it belongs to, until it is released", async () => {
    let asked = 0;
    const message = createSampleMessage({ to: ["a@example.test", "b@example.test"] });
    const changed = createSampleMessage({ id: message.id, to: ["c@example.test"] });
    const { queue, take, attempts, clock } = setUpQueue({
      answers: [deferred],
      options: {
        categorize: async (): Promise<Categorized> =>
          asked++ === 0 ? { kind: "unchanged" } : { kind: "changed", message: changed, forks: [], failures: [] },
      },
    });
    await queue.start();
    await take({ id: message.id, to: ["a@example.test", "b@example.test"] });
    await settle();
    await queue.hold({ recipient: "a@example.test" });
    await queue.requeue({});
    await clock.advance(60 * minute);
    expect([asked, indexesOf(attempts)]).toEqual([1, [0, 1]]);
    await queue.release({});
    await settle();
    await settle();
    expect([asked, indexesOf(attempts)]).toEqual([2, [0, 1, 0]]);
  });

  test("before its first attempt is not resolved again after a restart: it was", async () => {
    const spool = createMemorySpool();
    const clock = createFakeClock();
    let asked = 0;
    const options = {
      laneOf: () => "one",
      categorize: async (): Promise<Categorized> => {
        asked++;
        return { kind: "unchanged" };
      },
    };
    const { queue, take } = setUpQueue({ spool, clock, options });
    await queue.start();
    await queue.shape("one", { suspendedUntilMs: Number.POSITIVE_INFINITY });
    await take({ to: ["a@example.test", "b@example.test"] });
    await settle();
    await queue.hold({ recipient: "a@example.test" });
    await queue.stop(0);
    const after = setUpQueue({ spool, clock, options });
    await after.queue.start();
    await settle();
    expect([asked, indexesOf(after.attempts)]).toEqual([1, [1]]);
  });
});

describe("Queue: what goes wrong at the wrong moment", () => {
  test("a refusal that cannot be reported is asked about again after a restart, and not delivered", async () => {
    const spool = createMemorySpool();
    const clock = createFakeClock();
    const options = {
      categorize: async (): Promise<Categorized> => ({ kind: "refused", reply: refusal, by: "filter" }),
      createReports: async () => {
        throw new Error("no words");
      },
    };
    const { queue, take } = setUpQueue({ spool, clock, options });
    await queue.start();
    await take();
    await settle();
    await queue.stop(0);
    const after = setUpQueue({ spool, clock, options });
    await after.queue.start();
    await clock.advance(10 * minute);
    expect(after.attempts).toEqual([]);
    expect(spool.counts().messages).toBe(1);
  });

  test("a message that cannot be put in its own place waits by the schedule, and keeps nobody's place", async () => {
    const spool = createMemorySpool();
    const message = createSampleMessage();
    const changed = createSampleMessage({ id: message.id, to: ["z@example.test"] });
    let replaced = 0;
    const { queue, take, attempts, clock, log } = setUpQueue({
      spool: {
        ...spool,
        async replace(replacement) {
          if (replaced++ < 2) throw new Error("the file of its body is gone");
          await spool.replace(replacement);
        },
      },
      options: {
        attemptsMax: 1,
        categorize: async ({ id }): Promise<Categorized> =>
          id === message.id ? { kind: "changed", message: changed, forks: [], failures: [] } : { kind: "unchanged" },
      },
    });
    await queue.start();
    await take({ id: message.id });
    const other = await take();
    await settle();
    await settle();
    expect(attempts.map(({ messageId }) => messageId)).toEqual([other.id]);
    expect(log.of("queue.record-failed")).toHaveLength(1);
    await clock.advance(30 * minute);
    expect(attempts.map(({ messageId }) => messageId)).toEqual([other.id, message.id]);
    expect(spool.counts().messages).toBe(0);
  });

  test("what breaks behind the outcome is tried again without those who have it", async () => {
    const { queue, take, attempts, clock, spool, log } = setUpQueue({
      answers: [
        (work) => outcomesOf(work, {}).map((outcome, place) => (place === 0 ? outcome : { ...outcome, ...deferred })),
        {},
      ],
      options: {
        tell(name) {
          if (name === "onDelivered" && attempts.length === 1) throw new Error("broken");
        },
      },
    });
    await queue.start();
    await take({ to: ["a@example.test", "b@example.test"] });
    await clock.advance(30 * minute);
    expect(log.of("queue.failed")).toHaveLength(1);
    expect(attempts.map(({ indexes }) => indexes)).toEqual([[0, 1], [1]]);
    expect(spool.counts().messages).toBe(0);
    expect(queue.counts()).toMatchObject({ messages: 0, running: 0 });
  });

  test("retry ends the back-off of every destination it is meant for, however many messages there are", async () => {
    const down = { ...deferred, destinationDown: true };
    const { queue, take, attempts } = setUpQueue({
      answers: [
        (work) => outcomesOf(work, work.message.envelope.recipients[0]!.mailbox.domain === "b.test" ? down : failed),
      ],
      options: { laneOf: ({ mailbox }) => mailbox.domain, attemptsMax: 1 },
    });
    await queue.start();
    await queue.shape("a.test", { suspendedUntilMs: Number.POSITIVE_INFINITY });
    for (let count = 0; count < 1_000; count++) await take({ to: ["x@a.test"], receivedAt: count });
    await take({ to: ["x@b.test"] });
    await settle();
    expect(attempts).toHaveLength(1);
    await queue.retry({});
    await settle();
    expect(attempts).toHaveLength(2);
  });
});

test("Queue: a mailbox that stayed full is reported as that", async () => {
  const { queue, take, clock, attempts, spool } = setUpQueue({
    answers: [
      (work) =>
        outcomesOf(
          work,
          work.message.envelope.reversePath === null ? {} : { kind: "deferred", status: "4.2.2", reason: "no room" },
        ),
    ],
  });
  await queue.start();
  await take();
  await clock.advance(6 * 24 * 60 * minute);
  const report = attempts.at(-1)!.message;
  expect((await report.body.octets()).toString()).toMatch(/^Status: 5\.2\.2\r$/m);
  expect(spool.counts().messages).toBe(0);
});
