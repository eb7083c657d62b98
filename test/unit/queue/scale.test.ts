/** A long queue in a durable spool, within generous bounds; test/bench/queue.ts measures a longer one. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, expect, test } from "vitest";
import { silentLog } from "../../../src/platform/log.ts";
import type { Spool } from "../../../src/spool/spool.ts";
import { openSqliteSpool } from "../../../src/spool/sqlite.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { deferred, minute, setUpQueue } from "../../support/queue-setup.ts";
import { createSampleMessage } from "../../support/sample-message.ts";

const count = 20_000;
const destinations = 2_000;

let folder = "";
let spool: Spool;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "scale-"));
  spool = await openSqliteSpool({ folder, log: silentLog });
});
afterEach(async () => {
  await spool.close();
  await rm(folder, { recursive: true });
});

function memory(): number {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  for (let turn = 0; turn < 3; turn++) gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

test("Queue takes up 20,000 messages for 2,000 destinations in little memory, and changes them all", async () => {
  const clock = createFakeClock();
  const later = clock.now() + 30 * minute;
  for (let from = 0; from < count; from += 1_000) {
    const messages = Array.from({ length: 1_000 }, (_, place) =>
      createSampleMessage({
        receivedAt: clock.now() - count + from + place,
        to: [`firstname.lastname${from + place}@host${(from + place) % destinations}.example`],
      }),
    );
    await spool.accept(messages, later);
    const update = {
      index: 0,
      state: "queued",
      attempts: 1,
      nextAttemptAt: later,
      lastOutcome: "x".repeat(200),
    } as const;
    await spool.recordAll(messages.map(({ id }) => ({ messageId: id, updates: [update] })));
  }
  const { queue } = setUpQueue({ spool, clock, options: { laneOf: ({ mailbox }) => `mx:${mailbox.domain}` } });
  const before = memory();
  const startedMs = performance.now();
  await queue.start();
  expect(performance.now() - startedMs).toBeLessThan(5_000);
  expect((memory() - before) / count).toBeLessThan(1_024);
  expect(queue.counts()).toMatchObject({ messages: count, due: 0 });
  expect(queue.destinations()).toHaveLength(destinations);
  expect((await queue.list({ domain: "host7.example" })).total).toBe(count / destinations);
  expect(await queue.hold({})).toMatchObject({ messages: count, recipients: count, skipped: [] });
  expect(queue.counts().held).toBe(count);
  await queue.stop(0);
}, 60_000);

test("Queue reads a message with many destinations once for all of them, and each recipient with his own", async () => {
  const places = 300;
  const clock = createFakeClock();
  let loaded = 0;
  let read = 0;
  const counting: Spool = {
    ...spool,
    async load(messageId) {
      loaded += 1;
      return await spool.load(messageId);
    },
    async find(messageId, wanted) {
      const entry = await spool.find(messageId, wanted);
      read += entry?.recipients.length ?? 0;
      return entry;
    },
  };
  const { queue, take, attempts } = setUpQueue({
    spool: counting,
    clock,
    answers: [...Array.from({ length: places }, () => deferred), {}],
    options: { laneOf: ({ mailbox }) => `mx:${mailbox.domain}` },
  });
  await queue.start();
  await take({ to: Array.from({ length: places }, (_, place) => `ada@host${place}.example`) });
  await expect.poll(() => attempts.length).toBe(places);
  await expect.poll(() => queue.counts().running).toBe(0);
  await clock.advance(10 * minute);
  await expect.poll(() => spool.counts().messages).toBe(0);
  expect(attempts).toHaveLength(2 * places);
  // The first of the first round came from memory.
  expect([loaded, read]).toEqual([0, 2 * places - 1]);
  await queue.stop(0);
}, 60_000);
