/**
 * What a long queue costs: `node --expose-gc test/bench/queue.ts [MESSAGES]`. Fills a spool (default 100,000 messages for 10,000 destinations), takes it up,
 * and says how much memory each message has, how long the start took, and how fast new mail goes through beside it, as a part of how fast it goes with an
 * empty queue. Ends with 1 where one of them is not as it has to be.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/platform/clock.ts";
import { silentLog } from "../../src/platform/log.ts";
import { Queue } from "../../src/queue/queue.ts";
import { createRetrySchedule } from "../../src/queue/retry-schedule.ts";
import type { Spool } from "../../src/spool/spool.ts";
import { openSqliteSpool } from "../../src/spool/sqlite.ts";
import { createSampleMessage } from "../support/sample-message.ts";

const octetsMax = 1_024;
const startMsMax = 5_000;
const ratioMin = 0.9;

const count = Number(process.argv[2] ?? 100_000);
const destinations = Math.max(1, Math.round(count / 10));
const batch = 1_000;
const hour = 3_600_000;

const { gc } = globalThis;
if (!gc) throw new Error("run it with node --expose-gc");

const folder = await mkdtemp(join(tmpdir(), "queue-bench-"));
try {
  const empty = await measureThroughput(join(folder, "empty"), undefined);
  const full = join(folder, "full");
  await fill(full);
  const spool = await openSqliteSpool({ folder: full, log: silentLog });
  const before = memory();
  const queue = createQueue(spool);
  const startedMs = performance.now();
  await queue.start();
  const startMs = performance.now() - startedMs;
  const octets = (memory() - before) / count;
  const beside = await measureThroughput(full, { spool, queue });
  const listedMs = performance.now();
  const { total } = await queue.list({ domain: "host17.destination.example" });
  const listMs = performance.now() - listedMs;
  await queue.stop(1_000);
  await spool.close();
  const ratio = beside / empty;
  const lines = [
    ["memory", `${Math.round(octets)} octets a message`, octets <= octetsMax, `${octetsMax} at most`],
    ["start", `${Math.round(startMs)} ms`, startMs <= startMsMax, `${startMsMax} ms at most`],
    [
      "new mail",
      `${Math.round(beside)} messages/s beside ${count}, ${Math.round(empty)} alone: ${ratio.toFixed(2)}`,
      ratio >= ratioMin,
      `${ratioMin} at least`,
    ],
  ] as const;
  for (const [what, value, ok, wanted] of lines) console.log(`${what}: ${value} (${ok ? "ok" : "MISSED"}, ${wanted})`);
  console.log(`listing one domain: ${Math.round(listMs)} ms, ${total} found`);
  if (!lines.every(([, , ok]) => ok)) process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}

function memory(): number {
  for (let turn = 0; turn < 4; turn++) gc!();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function createQueue(spool: Spool): Queue {
  return new Queue({
    spool,
    clock: systemClock,
    log: silentLog,
    tell: () => {},
    hostName: "mail.example.test",
    schedule: createRetrySchedule(),
    laneOf: ({ mailbox }) => (mailbox.domain === "example.test" ? "local" : `mx:${mailbox.domain}`),
    deliver: async ({ recipients }) =>
      recipients.map(({ index }) => ({ index, kind: "delivered", nextHop: "local", reply: null, reason: "" })),
  });
}

/** Mail that was tried once and waits for hours. */
async function fill(path: string): Promise<void> {
  const spool = await openSqliteSpool({ folder: path, log: silentLog });
  const words = `421 4.3.2 ${"Service not available, closing transmission channel; try again later. ".repeat(3)}`;
  const now = Date.now();
  for (let from = 0; from < count; from += batch) {
    const messages = Array.from({ length: Math.min(batch, count - from) }, (_, place) =>
      createSampleMessage({
        receivedAt: now - hour + from + place,
        from: `newsletter-${from + place}@lists.sender.example`,
        to: [`firstname.lastname${from + place}@host${(from + place) % destinations}.destination.example`],
      }),
    );
    await spool.accept(messages, now);
    await spool.recordAll(
      messages.map(({ id }) => ({
        messageId: id,
        updates: [
          { index: 0, state: "queued", attempts: 1, nextAttemptAt: now + 2 * hour, lastOutcome: words.slice(0, 200) },
        ],
      })),
    );
  }
  await spool.close();
}

/** Messages a second from acceptance to the record of their delivery, 50 at a time. */
async function measureThroughput(
  path: string,
  given: { readonly spool: Spool; readonly queue: Queue } | undefined,
): Promise<number> {
  const spool = given?.spool ?? (await openSqliteSpool({ folder: path, log: silentLog }));
  const queue = given?.queue ?? createQueue(spool);
  if (!given) await queue.start();
  const waiting = spool.counts().messages;
  let left = 0;
  const client = async () => {
    while (left-- > 0) {
      const message = createSampleMessage({ receivedAt: Date.now() });
      await spool.accept([message], message.receivedAt);
      queue.enqueue(message);
    }
  };
  let best = 0;
  for (let turn = 0; turn < 6; turn++) {
    left = 4_000;
    const startedMs = performance.now();
    await Promise.all(Array.from({ length: 50 }, client));
    while (spool.counts().messages > waiting) await new Promise((resolve) => setTimeout(resolve, 1));
    best = Math.max(best, 4_000 / ((performance.now() - startedMs) / 1_000));
  }
  if (!given) {
    await queue.stop(1_000);
    await spool.close();
  }
  return best;
}
