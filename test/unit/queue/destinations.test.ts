/** Destinations: whose turn it is, what one may be given, and what becomes of mail for one that is down or suspended. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { graceMs } from "../../../src/queue/leases.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import { createFakeClock, settle } from "../../support/fake-clock.ts";
import {
  type Answer,
  day,
  deferred,
  gate,
  minute,
  outcomesOf,
  setUpQueue,
  type Work,
} from "../../support/queue-setup.ts";
import { readMessage } from "../../support/sample-message.ts";

const laneOf = ({ mailbox }: { readonly mailbox: { readonly domain: string } }) => `mx:${mailbox.domain}`;
const down: Answer = { kind: "deferred", reason: "connection refused", destinationDown: true };
const domainOf = (work: Work) => work.recipients[0]!.mailbox.domain;
const second = 1_000;

describe("Queue: destinations", () => {
  test("a message's destinations are attempted and settled one by one: a slow one delays no other", async () => {
    const { answer, open } = gate();
    const slowly = (work: Work) => (domainOf(work) === "slow.example" ? answer(work) : outcomesOf(work, {}));
    const { queue, attempts, take, spool } = setUpQueue({ answers: [slowly], options: { laneOf } });
    await queue.start();
    const message = await take({ to: ["a@slow.example", "b@quick.example", "c@slow.example"] });
    await settle();
    expect(attempts.map(({ indexes }) => indexes)).toEqual([[0, 2], [1]]);
    expect((await spool.find(message.id))!.recipients.map(({ state }) => state)).toEqual([
      "queued",
      "delivered",
      "queued",
    ]);
    open();
    await settle();
    expect(spool.counts().messages).toBe(0);
  });

  test("destinations take turns: one with much mail does not starve the others", async () => {
    const order: string[] = [];
    const { queue, take } = setUpQueue({
      answers: [
        (work) => {
          order.push(domainOf(work));
          return outcomesOf(work, {});
        },
      ],
      options: { laneOf, attemptsMax: 1 },
    });
    for (let count = 0; count < 20; count++) await take({ to: ["a@much.example"] });
    await take({ to: ["a@little.example"] });
    await queue.start();
    for (let turn = 0; turn < 10; turn++) await settle();
    expect(order).toHaveLength(21);
    expect(order.indexOf("little.example")).toBeLessThan(3);
  });

  test("first attempts go before retries, and retries are not starved", async () => {
    const spool = createMemorySpool();
    const clock = createFakeClock();
    const before = setUpQueue({ spool, clock, answers: [deferred], options: { laneOf } });
    await before.queue.start();
    const retries = new Set<string>();
    for (let count = 0; count < 3; count++) retries.add((await before.take()).id);
    await settle();
    await before.queue.stop(0);
    await clock.advance(10 * minute);
    const { queue, attempts, take } = setUpQueue({ spool, clock, options: { laneOf, attemptsMax: 1 } });
    for (let count = 0; count < 20; count++) await take();
    await queue.start();
    for (let turn = 0; turn < 20; turn++) await settle();
    const places = attempts.flatMap(({ messageId }, place) => (retries.has(messageId) ? [place] : []));
    expect(places).toEqual([7, 15, 22]);
  });

  test("one that is down gets one probe at a time, after waits that double; the rest loses no attempt", async () => {
    const { queue, attempts, take, clock, spool } = setUpQueue({
      answers: [down],
      options: { laneOf, attemptsMax: 4 },
    });
    await queue.start();
    for (let count = 0; count < 20; count++) await take({ to: ["a@down.example"] });
    await settle();
    const first = attempts.length;
    expect(first).toBeLessThanOrEqual(2);
    const start = clock.now();
    await clock.advance(63 * second);
    expect(attempts.slice(first).map(({ at }) => (at - start) / second)).toEqual([1, 3, 7, 15, 31, 63]);
    expect(queue.destinations()).toMatchObject([
      { name: "mx:down.example", running: 0, backOffUntil: clock.now() + 64 * second },
    ]);
    expect(queue.destinations()[0]!.lastFailure).toMatchObject({ reason: "connection refused" });
    const untried = (await spool.list()).filter(({ recipients }) => recipients[0]!.attempts === 0);
    expect(untried).toHaveLength(20 - attempts.length);
  });

  test("a clock set beyond the lifetime of mail gives up nothing that waits for one that is down: it is tried first", async () => {
    const clock = createFakeClock();
    let offset = 0;
    const jumping = { ...clock, now: () => clock.now() + offset };
    let isDown = true;
    const { queue, attempts, take, log, spool } = setUpQueue({
      clock: jumping,
      answers: [(work) => outcomesOf(work, isDown ? down : {})],
      options: { laneOf, attemptsMax: 4 },
    });
    await queue.start();
    for (let count = 0; count < 4; count++) await take({ to: ["a@down.example"] });
    await clock.advance(5 * minute);
    const before = attempts.length;
    offset = 30 * day;
    await clock.advance(10 * minute);
    expect(log.of("delivery.failed")).toEqual([]);
    isDown = false;
    await clock.advance(40 * minute);
    expect(attempts.length).toBeGreaterThan(before);
    expect(log.of("delivery.failed")).toEqual([]);
    expect(spool.counts().messages).toBe(0);
  });

  test("who answers ends the back-off, and so does wake", async () => {
    const { queue, attempts, take } = setUpQueue({ answers: [down, {}], options: { laneOf, attemptsMax: 1 } });
    await queue.start();
    for (let count = 0; count < 5; count++) await take({ to: ["a@down.example"] });
    await settle();
    expect(attempts).toHaveLength(1);
    expect((await queue.shape("mx:down.example", { wake: true })).backOffUntil).toBeNull();
    for (let turn = 0; turn < 3; turn++) await settle();
    expect(attempts).toHaveLength(5);
  });

  test("a rate bounds its attempts, and the configuration's first match gives it", async () => {
    const { queue, attempts, take, clock } = setUpQueue({
      options: {
        laneOf,
        shapes: [
          { match: "*.example", rate: { times: 2, withinMs: 10 * second } },
          { match: "a.example", connectionsMax: 1 },
        ],
      },
    });
    await queue.start();
    for (let count = 0; count < 4; count++) await take({ to: ["x@a.example"] });
    await settle();
    expect(attempts).toHaveLength(2);
    expect(queue.destinations()).toMatchObject([{ waiting: 2, due: 2, shapedBy: "config", connectionsMax: 50 }]);
    await clock.advance(5 * second);
    expect(attempts).toHaveLength(3);
    await clock.advance(5 * second);
    expect(attempts).toHaveLength(4);
  });

  test.each([
    { why: "down", suspended: false },
    { why: "suspended", suspended: true },
  ])(
    "mail for one that is $why expires by its lifetime, and its sender hears before that it is late",
    async ({ suspended }) => {
      const { queue, attempts, take, clock, spool, log } = setUpQueue({
        answers: [(work) => outcomesOf(work, work.message.envelope.reversePath === null ? {} : down)],
        options: { laneOf, attemptsMax: 1, delayWarningMs: 4 * 60 * minute },
      });
      await queue.start();
      if (suspended) await queue.shape("mx:down.example", { suspendedUntilMs: Number.POSITIVE_INFINITY });
      const ids = new Set<string>();
      for (let count = 0; count < 3; count++) ids.add((await take({ to: ["a@down.example"] })).id);
      await clock.advance(4 * 60 * minute + 32 * minute);
      if (suspended) expect(attempts.filter(({ messageId }) => ids.has(messageId))).toHaveLength(0);
      const told = () => attempts.filter(({ message }) => message.envelope.reversePath === null);
      expect(told()).toHaveLength(3);
      expect((await readMessage(told()[0]!.message)).toString()).toContain("Action: delayed");
      expect((await spool.list()).every(({ recipients }) => recipients[0]!.delayTold)).toBe(true);
      await clock.advance(5 * day);
      expect(spool.counts().messages).toBe(0);
      expect(told()).toHaveLength(6);
      expect((await readMessage(told()[5]!.message)).toString()).toContain("Status: 4.4.7");
      expect(log.of("queue.failed")).toEqual([]);
    },
  );

  test("what a peer asks for is honoured within bounds", async () => {
    const saying = (retryAfterMs: number): Answer => ({ ...(deferred as object), retryAfterMs });
    const { queue, attempts, take, clock } = setUpQueue({
      answers: [saying(90 * second), saying(0), saying(9 * day), {}],
    });
    await queue.start();
    await take();
    await clock.advance(3 * 60 * minute);
    const start = attempts[0]!.at;
    expect(attempts.map(({ at }) => (at - start) / second)).toEqual([0, 90, 91, 91 + 3_600]);
  });

  test("an attempt that is not over in time counts as deferred, and what comes late is ignored", async () => {
    const { answer, open } = gate();
    let signal: AbortSignal | undefined;
    const slowly = (work: Work) => {
      ({ signal } = work);
      return answer(work);
    };
    const { queue, take, clock, spool, log } = setUpQueue({
      answers: [slowly, deferred],
      options: { attemptTimeoutMs: minute },
    });
    await queue.start();
    const message = await take();
    await clock.advance(minute - 1);
    expect(signal?.aborted).toBe(false);
    await clock.advance(1);
    expect(signal?.aborted).toBe(true);
    expect(log.of("delivery.timed-out")).toHaveLength(1);
    await clock.advance(graceMs);
    open();
    await settle();
    expect((await spool.find(message.id))!.recipients[0]).toMatchObject({ state: "queued", attempts: 1 });
  });

  test("reroute plans what waits by the destination it has now", async () => {
    let prefix = "mx:";
    const { queue, take } = setUpQueue({
      answers: [deferred],
      options: { laneOf: ({ mailbox }) => prefix + mailbox.domain },
    });
    await queue.start();
    await take();
    await settle();
    prefix = "smtp://";
    await queue.reroute();
    expect(queue.destinations().map(({ name, waiting }) => [name, waiting])).toEqual([["smtp://example.test", 1]]);
  });
});

describe("Queue.shape", () => {
  let folder = "";
  let file = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "shape-"));
    file = join(folder, "destinations.json");
  });
  afterEach(() => rm(folder, { recursive: true }));

  test("limits are the operator's where he set them, not where he only suspended", async () => {
    const { queue } = setUpQueue({ options: { laneOf, destinationsFile: file } });
    await queue.start();
    const shaped = async (change: object) => (await queue.shape("mx:example.test", change)).shapedBy;
    expect(await shaped({ suspendedUntilMs: Number.POSITIVE_INFINITY })).toBeNull();
    expect(await shaped({ rate: { times: 1, withinMs: minute } })).toBe("operator");
    expect(await shaped({ rate: null, connectionsMax: 3 })).toBe("operator");
    expect(await shaped({ connectionsMax: null })).toBeNull();
  });

  test("a suspension holds until it is resumed, over a restart", async () => {
    const spool = createMemorySpool();
    const clock = createFakeClock();
    const options = { laneOf, destinationsFile: file };
    const before = setUpQueue({ spool, clock, options });
    await before.queue.start();
    const suspendedUntilMs = Number.POSITIVE_INFINITY;
    expect(await before.queue.shape("mx:example.test", { suspendedUntilMs, connectionsMax: 3 })).toMatchObject({
      suspendedUntil: suspendedUntilMs,
      connectionsMax: 3,
      shapedBy: "operator",
    });
    await before.take();
    await settle();
    await before.queue.stop(0);
    const { queue, attempts } = setUpQueue({ spool, clock, options });
    await queue.start();
    await clock.advance(60 * minute);
    expect(attempts).toHaveLength(0);
    await queue.shape("mx:example.test", { suspendedUntilMs: null, connectionsMax: null });
    await settle();
    expect(attempts).toHaveLength(1);
    expect(JSON.parse(await readFile(file, "utf8"))).toEqual({});
  });

  test.each([
    { why: "no attempt at a time", change: { connectionsMax: 0 } },
    { why: "too many", change: { connectionsMax: 10_001 } },
    { why: "a rate of nothing", change: { rate: { times: 0, withinMs: 1_000 } } },
    { why: "no time", change: { suspendedUntilMs: Number.NaN } },
  ])("refuses what cannot be, and nothing changed: $why", async ({ change }) => {
    const { queue } = setUpQueue({ options: { laneOf, destinationsFile: file } });
    await queue.start();
    await expect(queue.shape("mx:a.example", change)).rejects.toMatchObject({ code: "destination.invalid" });
    expect(queue.destinations()).toEqual([]);
    expect(await readdir(folder)).toEqual([]);
  });

  test.each([
    { why: "no JSON", text: "{" },
    { why: "no object", text: "[]" },
    { why: "a time there is no date for", text: '{"mx:a.example":{"suspendedUntil":1e300}}' },
    { why: "an entry that cannot be", text: '{"mx:a.example":{"connectionsMax":"many"}}' },
  ])("a file that cannot be read is put aside with a warning, and the queue starts: $why", async ({ text }) => {
    await writeFile(file, text);
    const { queue, log } = setUpQueue({ options: { laneOf, destinationsFile: file } });
    await queue.start();
    expect(log.of("queue.destinations-unreadable")).toMatchObject([
      { level: "warn", fields: { keptAs: `${file}.broken` } },
    ]);
    expect(await readFile(`${file}.broken`, "utf8")).toBe(text);
    expect(queue.destinations()).toEqual([]);
  });
});
