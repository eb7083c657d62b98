/** Threads that do, ask, throw, hang, die and eat, and what it costs the others. */
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/platform/clock.ts";
import { ThreadPool, type ThreadPoolOptions } from "../../../src/platform/thread-pool.ts";
import type { TestWork } from "./thread-pool-worker.ts";

let pool: ThreadPool<TestWork, string, string, string>;
afterEach(() => pool.close());

function start(options: Partial<ThreadPoolOptions<string, string>> = {}) {
  const script = new URL("./thread-pool-worker.ts", import.meta.url);
  pool = new ThreadPool({ script, clock: systemClock, ...options });
  return (work: TestWork) => pool.run(() => ({ work }));
}

describe("ThreadPool", () => {
  test("starts nothing before the first job, and keeps its thread", async () => {
    const run = start();
    expect(pool.threads).toBe(0);
    expect(await run({ kind: "say", text: "a" })).toEqual({ kind: "done", result: "a" });
    expect(await run({ kind: "say", text: "b" })).toEqual({ kind: "done", result: "b" });
    expect(pool.threads).toBe(1);
  });

  test("starts another thread only where the others are busy, and no more than it may", async () => {
    const waiting: (() => void)[] = [];
    const run = start({
      threads: 2,
      answer: (question) => new Promise((resolve) => waiting.push(() => resolve(question))),
    });
    const jobs = ["a", "b", "c"].map((question) => run({ kind: "ask", question }));
    expect(pool.threads).toBe(2);
    while (waiting.length < 2) await new Promise(setImmediate);
    for (const answer of waiting.splice(0)) answer();
    while (waiting.length < 1) await new Promise(setImmediate);
    for (const answer of waiting.splice(0)) answer();
    expect((await Promise.all(jobs)).map((ran) => ran.kind)).toEqual(["done", "done", "done"]);
  });

  test("a question is answered in the main thread; one that fails there fails in the job", async () => {
    const run = start({
      answer: async (question) => (question === "bad" ? Promise.reject(new Error("no")) : question.toUpperCase()),
    });
    expect(await run({ kind: "ask", question: "hello" })).toEqual({ kind: "done", result: "HELLO" });
    expect(await run({ kind: "ask", question: "bad" })).toMatchObject({ why: "threw", reason: "no" });
  });

  test("what a job throws is its failure alone", async () => {
    const run = start();
    expect(await run({ kind: "throw" })).toEqual({ kind: "failed", why: "threw", reason: "thrown" });
    expect(
      await pool.run(() => {
        throw new Error("not packed");
      }),
    ).toMatchObject({ why: "threw", reason: "not packed" });
    expect(await run({ kind: "say", text: "a" })).toMatchObject({ kind: "done" });
  });

  test("one more than may wait fails at once", async () => {
    const run = start({ waitingMax: 2 });
    const jobs = [1, 2, 3, 4].map((n) => run({ kind: "say", text: String(n) }));
    expect((await Promise.all(jobs)).map((ran) => (ran.kind === "done" ? ran.result : ran.why))).toEqual([
      "1",
      "2",
      "3",
      "busy",
    ]);
  });

  test("a job that waits for an answer too long is out of time, and its thread goes on", async () => {
    const run = start({ timeoutMs: 200, answer: () => new Promise(() => {}) });
    expect(await run({ kind: "ask", question: "?" })).toMatchObject({ why: "timeout" });
    expect(await run({ kind: "say", text: "a" })).toMatchObject({ kind: "done" });
    expect(pool.threads).toBe(1);
  });

  test("a thread that hangs is ended, and the next one does the work", async () => {
    const run = start({ timeoutMs: 300 });
    expect(await run({ kind: "spin" })).toMatchObject({ why: "timeout" });
    const begun = performance.now();
    let ran = await run({ kind: "say", text: "a" });
    while (ran.kind === "failed" && performance.now() - begun < 8_000) ran = await run({ kind: "say", text: "a" });
    expect(ran).toEqual({ kind: "done", result: "a" });
    expect(pool.threads).toBe(1);
  });

  test.each(["exit", "eat"] as const)(
    "a thread that dies (%s) is replaced: what killed it fails at the second try, what it had besides is done",
    async (kind) => {
      let asked = 0;
      // Answered the second time: at the first the thread is gone before.
      const answer = async (question: string) => (++asked === 1 ? new Promise<string>(() => {}) : question);
      const run = start({ heapMiBMax: 16, jobsAtATimeMax: 4, answer });
      const [good, bad] = await Promise.all([run({ kind: "ask", question: "a" }), run({ kind })]);
      expect(bad).toMatchObject({ why: "died" });
      expect(good).toEqual({ kind: "done", result: "a" });
      expect(await run({ kind: "say", text: "b" })).toMatchObject({ kind: "done" });
    },
  );

  test("a thread that the machine does not give is a failure of the job that needed it", async () => {
    // What Node will not load, it says at once, as it does where there are no more threads.
    const run = start({ script: new URL("https://example.org/thread.ts") });
    expect(await run({ kind: "say", text: "a" })).toMatchObject({
      why: "died",
      reason: expect.stringContaining("no thread"),
    });
    expect(await run({ kind: "say", text: "a" })).toMatchObject({ why: "died" });
    expect(pool.threads).toBe(0);
  });

  test("close ends what is under way and takes no more", async () => {
    const run = start({ answer: () => new Promise(() => {}) });
    const jobs = [run({ kind: "ask", question: "?" }), run({ kind: "say", text: "a" })];
    await pool.close();
    expect((await Promise.all(jobs)).map((ran) => ran.kind === "failed" && ran.why)).toEqual(["closed", "closed"]);
    expect(await run({ kind: "say", text: "a" })).toMatchObject({ why: "closed" });
  });
});
