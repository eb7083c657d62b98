/** What happens between two steps of the queue while others take theirs: operators, reloads, sweeps, attempts and a disk that is full. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { Fault } from "../../../src/platform/fault.ts";
import type { Categorized } from "../../../src/queue/ports.ts";
import { createRetrySchedule } from "../../../src/queue/retry-schedule.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import { settle } from "../../support/fake-clock.ts";
import { day, deferred, minute, outcomesOf, setUpQueue, type Work } from "../../support/queue-setup.ts";
import { createSampleMessage } from "../../support/sample-message.ts";

const forEver = Number.POSITIVE_INFINITY;

describe("Queue.reroute", () => {
  test("loses nobody of a list whose members became known while it read", async () => {
    const spool = createMemorySpool();
    let between = async () => {};
    let decide = (_: Categorized) => {};
    const decided = new Promise<Categorized>((resolve) => {
      decide = resolve;
    });
    const { queue, take, attempts } = setUpQueue({
      spool: {
        ...spool,
        async list(page) {
          const entries = await spool.list(page);
          await between();
          return entries;
        },
      },
      options: { categorize: () => decided, laneOf: () => "one" },
    });
    await queue.start();
    await queue.shape("one", { suspendedUntilMs: forEver });
    const message = await take({ to: ["list@example.test"] });
    await settle();
    between = async () => {
      const known = createSampleMessage({ id: message.id, to: ["a@example.test", "b@example.test"] });
      decide({ kind: "changed", message: known, forks: [], failures: [] });
      await settle();
    };
    await queue.reroute();
    await queue.shape("one", { suspendedUntilMs: null });
    await settle();
    expect(attempts.flatMap(({ indexes }) => indexes)).toEqual([0, 1]);
  });
});

describe("an attempt that is not over in time", () => {
  test("has what it delivered until then delivered", async () => {
    const done: number[] = [];
    const oneOfTwo = async (work: Work) => {
      const [first, second] = work.recipients;
      if (first) done.push(first.index);
      if (!second) return outcomesOf(work, {});
      await new Promise<void>((resolve) => work.signal!.addEventListener("abort", () => resolve()));
      return outcomesOf(work, {}).map((outcome) =>
        outcome.index === first!.index ? outcome : { ...outcome, kind: "deferred" as const },
      );
    };
    const { queue, take, clock } = setUpQueue({ answers: [oneOfTwo], options: { attemptTimeoutMs: minute } });
    await queue.start();
    await take({ to: ["a@example.test", "b@example.test"] });
    await clock.advance(30 * minute);
    expect(done).toEqual([0, 1]);
  });

  test("has it delivered too where the time is that of a stop, and the others are as they were", async () => {
    const spool = createMemorySpool();
    const oneOfTwo = async (work: Work) => {
      await new Promise<void>((resolve) => work.signal!.addEventListener("abort", () => resolve()));
      return outcomesOf(work, {}).map((outcome, at) =>
        at === 0 ? outcome : { ...outcome, kind: "deferred" as const },
      );
    };
    // Whoever is not delivered to is not given up for it either.
    const schedule = createRetrySchedule({ lifetimeMs: 1, attemptsMin: 1 });
    const { queue, take, clock } = setUpQueue({ spool, answers: [oneOfTwo], options: { schedule } });
    await queue.start();
    const message = await take({ to: ["a@example.test", "b@example.test"] });
    await settle();
    const stopped = queue.stop(5_000);
    await clock.advance(5_000);
    expect(await stopped).toBe(0);
    const { recipients } = (await spool.find(message.id))!;
    expect(recipients).toMatchObject([{ state: "delivered" }, { state: "queued", attempts: 0 }]);
  });

  test("where it goes on all the same is abandoned at a stop, soon after it was told", async () => {
    const never = (work: Work) => new Promise<never>(() => void work.signal);
    const { queue, take, clock } = setUpQueue({ answers: [never] });
    await queue.start();
    await take();
    await settle();
    const stopped = queue.stop(5_000);
    await clock.advance(7_000);
    expect(await stopped).toBe(1);
  });
});

describe("a sweep", () => {
  test("that waits for the disk does not keep the queue busy", async () => {
    const spool = createMemorySpool();
    let isFull = false;
    const { queue, take, clock } = setUpQueue({
      spool: {
        ...spool,
        async record(...given) {
          if (isFull) throw new Fault("spool.full", "Cannot record: the disk is full");
          await spool.record(...given);
        },
      },
      options: { laneOf: () => "one", delayWarningMs: minute },
    });
    await queue.start();
    await queue.shape("one", { suspendedUntilMs: forEver });
    await take();
    await take();
    isFull = true;
    let planned = 0;
    const after = clock.after;
    clock.after = (delayMs, callback) => {
      if (++planned > 1_000) throw new Error("too many");
      return after.call(clock, delayMs, callback);
    };
    await clock.advance(20 * minute);
    expect(planned).toBeLessThan(100);
    await queue.stop(0);
  });
});

describe("Queue.bounce", () => {
  test("where the disk is full says so, and holds up nobody", async () => {
    const spool = createMemorySpool();
    let isFull = false;
    const { queue, take, clock } = setUpQueue({
      answers: [deferred],
      spool: {
        ...spool,
        async record(...given) {
          if (isFull) throw new Fault("spool.full", "Cannot record: the disk is full");
          await spool.record(...given);
        },
      },
    });
    await queue.start();
    const message = await take();
    await settle();
    isFull = true;
    const bounced = queue.bounce({}).then(
      (change) => change,
      (error: Fault) => error.code,
    );
    const removed = queue.remove({});
    await clock.advance(minute);
    const answers = await Promise.race([Promise.all([bounced, removed]), settle().then(() => "nothing")]);
    expect(answers).toMatchObject([{ messages: 0, skipped: [{ id: message.id }] }, { messages: 1 }]);
  });
});

describe("Queue.bounce where no report can be made", () => {
  test("leaves the message as it was, and says why", async () => {
    const { queue, take, spool } = setUpQueue({
      answers: [deferred],
      options: {
        createReports: async (_, settlements) => {
          if (settlements.some(({ outcome }) => outcome.kind === "failed")) throw new Error("its body cannot be read");
          return [];
        },
      },
    });
    await queue.start();
    const message = await take();
    await settle();
    const before = await spool.find(message.id);
    const skipped = [{ id: message.id, reason: "its body cannot be read" }];
    expect(await queue.bounce({})).toEqual({ messages: 0, recipients: 0, ids: [], skipped });
    expect(await spool.find(message.id)).toEqual(before);
    expect(await queue.remove({})).toMatchObject({ messages: 1 });
  });
});

describe("Queue.shape", () => {
  test("keeps both where two destinations are shaped at one time", async () => {
    const folder = mkdtempSync("/tmp/shapes-");
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const destinationsFile = join(folder, "destinations.json");
    const { queue } = setUpQueue({ options: { destinationsFile } });
    await queue.start();
    const names = Array.from({ length: 20 }, (_, at) => `mx:${at}.example`);
    await Promise.all(names.map((name) => queue.shape(name, { connectionsMax: 3 })));
    const { queue: next } = setUpQueue({ options: { destinationsFile } });
    await next.start();
    expect(next.destinations().map(({ name }) => name)).toEqual(names.toSorted());
  });
});

describe("messages with very many recipients", () => {
  test("are taken up, listed and changed, more of them than a page of the spool holds", async () => {
    const spool = createMemorySpool();
    const to = Array.from({ length: 6_000 }, (_, place) => `a${place}@example.test`);
    const all = [1, 2, 3, 4].map((receivedAt) => createSampleMessage({ receivedAt, to }));
    await spool.accept(all, 0);
    const { queue, clock } = setUpQueue({ spool, options: { laneOf: () => "one", attemptsMax: 1 } });
    clock.now = () => -1;
    await queue.start();
    expect(queue.counts().messages).toBe(4);
    expect(await queue.list({})).toMatchObject({ items: [{}, {}, {}, {}], total: 4 });
    expect((await queue.list({}, { limit: 3, offset: 1 })).items.map(({ messageId }) => messageId)).toEqual(
      all.slice(1).map(({ id }) => id),
    );
    expect(await queue.hold({})).toMatchObject({ messages: 4, recipients: 24_000, skipped: [] });
    expect(await queue.bounce({})).toMatchObject({ messages: 4, recipients: 24_000, skipped: [] });
  });
});

describe("a message that came while the clock was ahead", () => {
  const year = 365 * day;

  test("is given up as if it had come when the queue took it up", async () => {
    const spool = createMemorySpool();
    const { queue, clock } = setUpQueue({ spool, answers: [deferred] });
    await spool.accept([createSampleMessage({ receivedAt: clock.now() + year, from: null })], clock.now());
    await queue.start();
    await clock.advance(4 * day);
    expect(spool.counts().messages).toBe(1);
    await clock.advance(2 * day);
    expect(spool.counts().messages).toBe(0);
  });

  test("is so too where the clock is set right while the queue has it", async () => {
    const { queue, take, clock, spool } = setUpQueue({ answers: [deferred] });
    const { now } = clock;
    let aheadMs = year;
    clock.now = () => now() + aheadMs;
    await queue.start();
    await take({ from: null });
    await clock.advance(minute);
    aheadMs = 0;
    await clock.advance(6 * day);
    expect(spool.counts().messages).toBe(0);
  });
});

describe("before the queue has started", () => {
  test("a destination is shaped beside those that were shaped before", async () => {
    const folder = mkdtempSync("/tmp/shapes-");
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const destinationsFile = join(folder, "destinations.json");
    const { queue: before } = setUpQueue({ options: { destinationsFile } });
    await before.start();
    await before.shape("one", { suspendedUntilMs: forEver });
    const { queue } = setUpQueue({ options: { destinationsFile } });
    await queue.shape("two", { suspendedUntilMs: forEver });
    await queue.start();
    expect(queue.destinations().map(({ name }) => name)).toEqual(["one", "two"]);
  });

  test("what is held is held, also what came before", async () => {
    const spool = createMemorySpool();
    await spool.accept([createSampleMessage()], 0);
    const { queue } = setUpQueue({ spool, answers: [deferred] });
    const held = queue.hold({});
    await settle();
    await queue.start();
    await settle();
    expect(await held).toMatchObject({ messages: 1, skipped: [] });
  });

  test("a change that is asked for is answered where it never starts", async () => {
    const { queue } = setUpQueue();
    const held = queue.hold({});
    await queue.stop(0);
    expect(await held).toMatchObject({ messages: 0 });
  });
});
