/**
 * Work on other threads, with a bound on everything: so many threads, so many jobs at a time and waiting, so long for each. A thread that hangs or
 * dies is replaced, and never costs more than the jobs it had. Nothing is started before the first job. The thread's side is in thread-jobs.ts.
 */
import { type Transferable, Worker } from "node:worker_threads";
import type { Clock } from "./clock.ts";
import { describeThrown } from "./fault.ts";
import type { FromThread, ToThread } from "./thread-jobs.ts";

export interface ThreadPoolOptions<Question, Answer> {
  /** The thread's module: it calls `serveJobs`. */
  readonly script: URL;
  readonly clock: Clock;
  readonly threads?: number;
  /** Jobs a thread is given at a time: more than one is of use where they wait for answers. */
  readonly jobsAtATimeMax?: number;
  /** Jobs that wait for a thread; one more fails at once. */
  readonly waitingMax?: number;
  /** Time for a job from `run` on, waiting included. */
  readonly timeoutMs?: number;
  /** Old-space heap of a thread, in MiB. */
  readonly heapMiBMax?: number;
  /** What a job may ask this thread; a rejection reaches the job as an error. */
  readonly answer?: (question: Question) => Promise<Answer>;
}

export type Ran<Result> =
  | { readonly kind: "done"; readonly result: Result }
  | {
      readonly kind: "failed";
      readonly why: "busy" | "timeout" | "died" | "threw" | "closed";
      readonly reason: string;
    };

/** Made when a thread is ready to take it: what is transferred is gone here. */
export interface Parcel<Work> {
  readonly work: Work;
  readonly transfer?: readonly Transferable[];
}

interface Job<Work, Result> {
  readonly id: number;
  readonly pack: () => Parcel<Work>;
  readonly settle: (ran: Ran<Result>) => void;
  /** Whether a thread died with it already. */
  retried: boolean;
  /** Whoever waited has been answered. */
  settled: boolean;
  cancelTimeout: () => void;
}

interface Thread<Work, Result> {
  readonly worker: Worker;
  readonly running: Map<number, Job<Work, Result>>;
  /** Questions under way, each with what answers it before its time. */
  readonly asked: Map<number, { readonly job: number; readonly giveUp: () => void }>;
}

/** A job that is out of time gets so long to end by itself: whatever it asks is answered with an error. */
const graceMs = 2_000;

export class ThreadPool<Work, Result, Question = never, Answer = never> {
  readonly #options: ThreadPoolOptions<Question, Answer>;
  readonly #threads = new Set<Thread<Work, Result>>();
  #waiting: Job<Work, Result>[] = [];
  #jobs = 0;
  #closed = false;

  constructor(options: ThreadPoolOptions<Question, Answer>) {
    this.#options = options;
  }

  /** Threads there are now. */
  get threads(): number {
    return this.#threads.size;
  }

  /** Never rejects. */
  run(pack: () => Parcel<Work>): Promise<Ran<Result>> {
    const { clock, waitingMax = 500, timeoutMs = 10_000 } = this.#options;
    if (this.#closed) return Promise.resolve({ kind: "failed", why: "closed", reason: "the threads are stopped" });
    if (this.#waiting.length >= waitingMax)
      return Promise.resolve({ kind: "failed", why: "busy", reason: `${waitingMax} jobs are waiting already` });
    return new Promise((resolve) => {
      const job: Job<Work, Result> = {
        id: ++this.#jobs,
        pack,
        retried: false,
        settled: false,
        cancelTimeout: clock.after(timeoutMs, () => this.#outOfTime(job, timeoutMs)),
        settle: (ran) => {
          if (job.settled) return;
          job.settled = true;
          job.cancelTimeout();
          resolve(ran);
        },
      };
      this.#waiting.push(job);
      this.#dispatch();
    });
  }

  /** Whatever is under way has failed then. */
  async close(): Promise<void> {
    this.#closed = true;
    const failed: Ran<Result> = { kind: "failed", why: "closed", reason: "the threads are stopped" };
    for (const job of this.#waiting.splice(0)) job.settle(failed);
    const threads = [...this.#threads];
    this.#threads.clear();
    for (const { running } of threads) for (const job of running.values()) job.settle(failed);
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }

  #dispatch(): void {
    const { threads = 1, jobsAtATimeMax = 1 } = this.#options;
    while (this.#waiting.length > 0) {
      const job = this.#waiting[0]!;
      // One that may be what a thread died of is alone on the next: it takes no other with it.
      const roomFor = ({ running }: Thread<Work, Result>) =>
        job.retried
          ? running.size === 0
          : running.size < jobsAtATimeMax && ![...running.values()].some((one) => one.retried);
      let thread = [...this.#threads].filter(roomFor).sort((one, other) => one.running.size - other.running.size)[0];
      try {
        if ((!thread || thread.running.size > 0) && this.#threads.size < threads) thread = this.#start();
      } catch (error) {
        // The machine has no more of them: those there are do the work.
        if (this.#threads.size === 0) {
          this.#waiting.shift();
          job.settle({ kind: "failed", why: "died", reason: `no thread could be started: ${describeThrown(error)}` });
          continue;
        }
      }
      if (!thread) return;
      this.#waiting.shift();
      try {
        const { work, transfer = [] } = job.pack();
        post(thread, { kind: "job", job: job.id, work }, transfer);
        thread.running.set(job.id, job);
      } catch (error) {
        job.settle({ kind: "failed", why: "threw", reason: describeThrown(error) });
      }
    }
  }

  #start(): Thread<Work, Result> {
    const { script, heapMiBMax = 128 } = this.#options;
    const worker = new Worker(script, { resourceLimits: { maxOldGenerationSizeMb: heapMiBMax } });
    const thread: Thread<Work, Result> = { worker, running: new Map(), asked: new Map() };
    let reason = "it ended";
    worker.unref();
    worker.on("message", (message: FromThread) => this.#heard(thread, message));
    worker.on("error", (error) => {
      reason = describeThrown(error);
    });
    worker.on("exit", () => this.#died(thread, reason));
    this.#threads.add(thread);
    return thread;
  }

  #heard(thread: Thread<Work, Result>, message: FromThread): void {
    const job = thread.running.get(message.job);
    if (message.kind === "ask") {
      this.#answer(thread, message, job);
      return;
    }
    thread.running.delete(message.job);
    // The thread's module is ours, and made for this pool's work.
    if (message.kind === "done") job?.settle({ kind: "done", result: message.result as Result });
    else job?.settle({ kind: "failed", why: "threw", reason: message.reason });
    this.#dispatch();
  }

  #answer(
    thread: Thread<Work, Result>,
    { job: id, ask, question }: FromThread & { readonly kind: "ask" },
    job: Job<Work, Result> | undefined,
  ): void {
    const { answer } = this.#options;
    const failed = (reason: string) => post(thread, { kind: "unanswered", ask, reason });
    if (!answer || !job || job.settled) {
      failed("out of time");
      return;
    }
    let open = true;
    const once = (tell: () => void) => {
      if (!open) return;
      open = false;
      thread.asked.delete(ask);
      if (this.#threads.has(thread)) tell();
    };
    thread.asked.set(ask, { job: id, giveUp: () => once(() => failed("out of time")) });
    answer(question as Question).then(
      (value) => once(() => post(thread, { kind: "answer", ask, value })),
      (error: unknown) => once(() => failed(describeThrown(error))),
    );
  }

  #outOfTime(job: Job<Work, Result>, timeoutMs: number): void {
    job.settle({ kind: "failed", why: "timeout", reason: `not done within ${timeoutMs} ms` });
    this.#waiting = this.#waiting.filter((one) => one !== job);
    const thread = [...this.#threads].find(({ running }) => running.get(job.id) === job);
    if (!thread) return;
    for (const { job: id, giveUp } of [...thread.asked.values()]) if (id === job.id) giveUp();
    this.#options.clock.after(graceMs, () => {
      if (thread.running.get(job.id) === job) void thread.worker.terminate();
    });
  }

  /** Its jobs go to another thread, once. */
  #died(thread: Thread<Work, Result>, reason: string): void {
    this.#threads.delete(thread);
    if (this.#closed) return;
    for (const job of [...thread.running.values()].reverse()) {
      if (job.settled) continue;
      if (job.retried) job.settle({ kind: "failed", why: "died", reason: `its thread died: ${reason}` });
      else {
        job.retried = true;
        this.#waiting.unshift(job);
      }
    }
    this.#dispatch();
  }
}

function post(thread: { readonly worker: Worker }, message: ToThread, transfer: readonly Transferable[] = []): void {
  thread.worker.postMessage(message, transfer);
}
