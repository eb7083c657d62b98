/** A queue with a memory spool, a fake clock, and a delivery that answers as a test tells it to. */
import type { Message } from "../../src/mail/message.ts";
import type { Deliver, Outcome } from "../../src/queue/attempt.ts";
import type { Tell } from "../../src/queue/consequences.ts";
import { Queue } from "../../src/queue/queue.ts";
import type { QueueOptions } from "../../src/queue/queue-options.ts";
import { createRetrySchedule } from "../../src/queue/retry-schedule.ts";
import { createMemorySpool } from "../../src/spool/memory.ts";
import type { Spool } from "../../src/spool/spool.ts";
import { createFakeClock } from "./fake-clock.ts";
import { createRecordingLog } from "./recording-log.ts";
import { createSampleMessage, type SampleMessage } from "./sample-message.ts";

export const minute = 60_000;
export const day = 24 * 60 * minute;

export type Work = Parameters<Deliver>[0];
export type Answer = Partial<Outcome> | Error;

export function outcomesOf(work: Work, answer: Answer): Outcome[] {
  if (answer instanceof Error) throw answer;
  return work.recipients.map(({ index }) => ({
    index,
    kind: "delivered",
    nextHop: "hop.example:25",
    reply: null,
    reason: "",
    ...answer,
  }));
}

export interface SetUp {
  /** What delivery answers, attempt by attempt; the last one for all that follow. A function may wait. */
  readonly answers?: readonly (Answer | ((work: Work) => Promise<Outcome[]> | Outcome[]))[];
  readonly spool?: Spool;
  readonly clock?: ReturnType<typeof createFakeClock>;
  readonly options?: Partial<QueueOptions>;
}

export function setUpQueue({
  answers = [{}],
  spool = createMemorySpool(),
  clock = createFakeClock(),
  options = {},
}: SetUp = {}) {
  const log = createRecordingLog();
  const attempts: {
    readonly at: number;
    readonly messageId: string;
    readonly attemptId: string;
    readonly indexes: number[];
    readonly message: Message;
  }[] = [];
  const told: { readonly name: string; readonly subject: Record<string, unknown> }[] = [];
  const tell: Tell = (name, subject) => told.push({ name, subject: subject as unknown as Record<string, unknown> });
  const queue = new Queue({
    spool,
    clock,
    log,
    tell,
    hostName: "mail.example.test",
    schedule: createRetrySchedule({ random: () => 0.5 }),
    async deliver(work) {
      const answer = answers[Math.min(attempts.length, answers.length - 1)]!;
      attempts.push({
        at: clock.now(),
        messageId: work.message.id,
        attemptId: work.attemptId,
        indexes: work.recipients.map(({ index }) => index),
        message: work.message,
      });
      return typeof answer === "function" ? answer(work) : outcomesOf(work, answer);
    },
    ...options,
  });
  async function take(sample: SampleMessage = {}): Promise<Message> {
    const message = createSampleMessage({ receivedAt: clock.now(), ...sample });
    await spool.accept([message], clock.now());
    queue.enqueue(message);
    return message;
  }
  return { queue, spool, clock, log, attempts, told, take };
}

/** A delivery that waits until it is let go. */
export function gate() {
  const waiting: (() => void)[] = [];
  const answer = async (work: Work) => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    return outcomesOf(work, {});
  };
  return { answer, waiting, open: () => waiting.splice(0).forEach((go) => void go()) };
}

export const deferred: Answer = { kind: "deferred", reply: { code: 451, status: "4.3.0", text: "later" } };
export const failed: Answer = { kind: "failed", reply: { code: 550, status: "5.1.1", text: "nobody" } };
