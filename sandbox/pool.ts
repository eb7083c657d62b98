/**
 * The sandbox processes: which one a job goes to, which job each is at, the watchdog, and the next process when one is gone. A process takes
 * its jobs in the order they were sent, so the job at the head of its order is the one that computes, and the one to blame; where a job steps
 * aside to wait for octets or texts the process says so.
 */
import { type ChildEnd, ChildProcess, type KillReason } from "./child-process.ts";
import { encodeFrame } from "./frame.ts";
import type { HostAnswer } from "./host-call.ts";
import type { Job, Seat, Wait } from "./job.ts";
import type { SandboxNotice } from "./protocol.ts";
import { ProtocolError } from "./validate.ts";
import type { FromChild, ToChild } from "./wire.ts";

export interface PoolOptions {
  readonly processes: number;
  readonly rssMiBMax: number;
  readonly childFile: string | undefined;
  readonly onNotice: (notice: SandboxNotice) => void;
  /** Frames a process is sent before anything else: the scripts it will run. */
  readonly firstFrames: () => readonly Buffer[];
}

/** How often time and memory are looked at while something computes. */
const watchMs = 100;
/** Time for the texts of a message: the process stops itself before that, unless it cannot. */
const parsingMsMax = 4_000;
const startMsMax = 20_000;
const restartDelayMsMax = 5_000;
/** Quiet time after the start before a spare process is made: what ends soon never needs one. */
const spareDelayMs = 1_000;
/** A job that no process takes for so long is given up. */
const unstartedMsMax = 15_000;

interface Lane {
  readonly child: ChildProcess;
  isReady: boolean;
  startMs: number;
  /** Jobs in the order the process takes them; the first computes. */
  readonly order: Job[];
  /** Since when the first computes. */
  headSinceMs: number;
  /** Jobs whose octets are on their way. */
  readonly aside: Set<Job>;
  /** Jobs that wait for answers, or for their turn; in the order as well where an answer was sent. */
  readonly parked: Map<Job, Wait>;
  /** Jobs whose texts are read, one after the other; the first is the one at it. */
  readonly parsing: Set<Job>;
  parsingSinceMs: number;
}

export class Pool {
  readonly #options: PoolOptions;
  readonly #lanes = new Set<Lane>();
  /** A process with nothing to do, which takes the place of one that is gone: no job waits for a process to start. */
  #spare: Lane | undefined;
  /** Those that do not work yet, the spare one among them. */
  readonly #starting = new Set<Lane>();
  readonly #unstarted = new Map<Job, number>();
  #watch: NodeJS.Timeout | undefined;
  #failures = 0;
  #closed = false;
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Resolves when every process has said that it is ready. Rejects where one cannot be started. */
  async start(): Promise<void> {
    await Promise.all(
      Array.from({ length: this.#options.processes }, async () => {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        const lane = this.#open(() => {
          this.#enter(lane);
          resolve();
        }, reject);
        await promise;
      }),
    );
    this.#after(spareDelayMs, () => this.#openSpare());
  }

  /** Gives a job to the process with the least to do. */
  submit(job: Job): void {
    let best: Lane | undefined;
    for (const lane of this.#lanes) {
      if (!best || load(lane) < load(best)) best = lane;
    }
    if (best) this.#give(best, job);
    else this.#unstarted.set(job, performance.now());
    this.#watchOn();
  }

  /** Gives a job to each process that is ready now. */
  submitToAll(create: () => Job): void {
    if (this.#lanes.size === 0) this.submit(create());
    for (const lane of this.#lanes) this.#give(lane, create());
    this.#watchOn();
  }

  /** A frame that asks for nothing, to every process. */
  tellAll(message: ToChild): void {
    const frame = encodeFrame(JSON.stringify(message));
    for (const lane of this.#lanes) lane.child.send(frame);
  }

  /** Ends every process; resolves when they are gone. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#watch);
    for (const timer of this.#timers) clearTimeout(timer);
    for (const job of this.#unstarted.keys()) job.onError(new Error("The sandbox is closed"));
    this.#unstarted.clear();
    await Promise.all([...this.#lanes, ...this.#starting].map((lane) => lane.child.close()));
  }

  /** Starts a process. Exactly one of the two is called, unless it is closed before. */
  #open(onReady: () => void, onFailure: (error: Error) => void): Lane {
    const startedMs = performance.now();
    const child = new ChildProcess(
      {
        onMessage: (message, tail) => {
          if (message.t !== "ready") return this.#take(lane, message, tail);
          if (lane.isReady) throw new ProtocolError("Ready twice");
          clearTimeout(deadline);
          lane.isReady = true;
          lane.startMs = Math.round(performance.now() - startedMs);
          this.#failures = 0;
          onReady();
        },
        onEnd: (end) => {
          clearTimeout(deadline);
          this.#ended(lane, end);
          if (lane.isReady) return;
          this.#failures++;
          onFailure(new Error(`A sandbox process did not start: ${end.reason}`));
        },
      },
      this.#options.childFile,
    );
    const lane: Lane = {
      child,
      isReady: false,
      startMs: 0,
      order: [],
      headSinceMs: 0,
      aside: new Set(),
      parked: new Map(),
      parsing: new Set(),
      parsingSinceMs: 0,
    };
    const deadline = setTimeout(() => child.kill("wall-limit", "not ready in time"), startMsMax);
    this.#starting.add(lane);
    return lane;
  }

  /** From now on jobs are given to it. */
  #enter(lane: Lane): void {
    this.#starting.delete(lane);
    this.#lanes.add(lane);
    this.#options.onNotice({ kind: "started", pid: lane.child.pid, startMs: lane.startMs });
    for (const frame of this.#options.firstFrames()) lane.child.send(frame);
    const waiting = [...this.#unstarted.keys()];
    this.#unstarted.clear();
    for (const job of waiting) this.submit(job);
  }

  #openSpare(): void {
    if (this.#closed || this.#spare) return;
    const lane = this.#open(
      () => {
        // Short of a process meanwhile: it is no spare, but the next one.
        if (this.#lanes.size < this.#options.processes) this.#promote();
      },
      () => {
        if (this.#spare === lane) this.#spare = undefined;
        this.#after(restartDelayMs(this.#failures), () => this.#openSpare());
      },
    );
    this.#spare = lane;
  }

  /** Puts the spare process to work and makes another. */
  #promote(): void {
    const lane = this.#spare;
    if (lane?.isReady) {
      this.#spare = undefined;
      this.#enter(lane);
    }
    this.#openSpare();
  }

  #give(lane: Lane, job: Job): void {
    const { head, tails } = job.frame();
    this.#enqueue(lane, job);
    lane.child.send(encodeFrame(JSON.stringify(head), tails));
  }

  #enqueue(lane: Lane, job: Job): void {
    lane.order.push(job);
    if (lane.order.length === 1) lane.headSinceMs = performance.now();
  }

  #take(lane: Lane, message: Exclude<FromChild, { t: "ready" }>, tail: Buffer): void {
    if (message.t === "at" && (this.#backFromParsing(lane, message) || this.#hasItsTurn(lane, message))) return;
    const job = lane.order[0];
    if (!job || job.id !== message.id)
      throw new ProtocolError(`Speaks of job ${message.id}, and is at ${job?.id ?? "none"}`);
    if (message.t === "calls") {
      const wait = job.onCalls(message, tail, this.#seat(lane, job), lane.headSinceMs);
      // Who has an isolate, and nothing open, is done.
      if (wait.forTurn && lane.parked.has(job)) throw new ProtocolError("Waits for nothing");
      lane.parked.set(job, wait);
      this.#watchOn();
    } else if (message.t === "at") job.onStep(message.step, message.parsing);
    else if (message.t !== "need") job.onAnswer(message, tail);
    const octets = message.t === "need" ? job.octets() : undefined;
    // The next one's time begins, and this one is off the order, only now: what does not fit is blamed on it.
    lane.headSinceMs = performance.now();
    if (message.t !== "calls" && lane.parked.delete(job)) forgetAnswers(lane, job);
    if (message.t === "at" && !message.parsing) return;
    lane.order.shift();
    if (octets) this.#handOver(lane, job, octets);
    if (message.t !== "at") return;
    if (lane.parsing.size === 0) lane.parsingSinceMs = performance.now();
    lane.parsing.add(job);
  }

  #seat(lane: Lane, job: Job): Seat {
    return {
      answer: (attempt, call, answer, clock) => {
        // One that is known already is given while the job is at the head still, and asks.
        if (lane.order[0] !== job && !lane.parked.has(job)) return;
        this.#enqueue(lane, job);
        const body = answer.ok ? answer.body : undefined;
        const told: HostAnswer<number> = answer.ok
          ? { ok: true, value: answer.value, ...(body === undefined ? {} : { body: body.length }) }
          : answer;
        const head = { t: "answer", id: job.id, attempt, call, answer: told, clock } satisfies ToChild;
        lane.child.send(encodeFrame(JSON.stringify(head), body === undefined ? [] : [body]));
        this.#watchOn();
      },
      forget: () => forgetAnswers(lane, job),
      get hasAnswers() {
        return lane.order.lastIndexOf(job) > 0;
      },
    };
  }

  /** A job that waited for nothing but its turn begins to compute. */
  #hasItsTurn(lane: Lane, message: FromChild & { readonly t: "at" }): boolean {
    if (message.parsing || lane.order[0]?.id === message.id) return false;
    for (const [job, wait] of lane.parked) {
      if (job.id !== message.id || !wait.forTurn) continue;
      lane.order.unshift(job);
      lane.headSinceMs = performance.now();
      return true;
    }
    return false;
  }

  #backFromParsing(lane: Lane, message: FromChild & { readonly t: "at" }): boolean {
    const [job] = lane.parsing;
    if (!job || job.id !== message.id || message.parsing) return false;
    lane.parsing.delete(job);
    lane.order.unshift(job);
    lane.headSinceMs = lane.parsingSinceMs = performance.now();
    return true;
  }

  #handOver(lane: Lane, job: Job, octets: Promise<Uint8Array>): void {
    lane.aside.add(job);
    octets.then(
      (message) => {
        // Where the process is gone meanwhile, so is the job from it.
        if (!lane.aside.delete(job)) return;
        this.#enqueue(lane, job);
        lane.child.send(encodeFrame(JSON.stringify({ t: "octets", id: job.id } satisfies ToChild), [message]));
        this.#watchOn();
      },
      (error: unknown) => {
        if (!lane.aside.delete(job)) return;
        lane.child.send(encodeFrame(JSON.stringify({ t: "drop", id: job.id } satisfies ToChild)));
        job.onError(error instanceof Error ? error : new Error(String(error)));
      },
    );
  }

  #ended(lane: Lane, end: ChildEnd): void {
    const worked = this.#lanes.delete(lane);
    this.#starting.delete(lane);
    if (this.#spare === lane) this.#spare = undefined;
    if (worked && !this.#closed) {
      const { pid } = lane.child;
      this.#options.onNotice(
        end.killed ? { kind: "killed", pid, reason: end.killed } : { kind: "died", pid, reason: end.reason },
      );
    }
    if (!this.#closed && lane.isReady) {
      if (worked) this.#promote();
      else this.#openSpare();
    }
    const [head, ...rest] = lane.order;
    // A process that was reading texts may have been stuck in that: then nobody's script is to blame yet.
    const [parsing] = lane.parsing;
    parsing?.onUnreadable();
    if (head) this.#endJob(head, end, !parsing);
    const others = new Set([...rest, ...lane.aside, ...lane.parsing, ...lane.parked.keys()]);
    if (head) others.delete(head);
    for (const job of others) this.#endJob(job, end, false);
  }

  #endJob(job: Job, end: ChildEnd, blamed: boolean): void {
    if (this.#closed) job.onError(new Error("The sandbox is closed"));
    else job.onEnd(end, blamed);
  }

  #after(delayMs: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, delayMs);
    timer.unref();
    this.#timers.add(timer);
  }

  #watchOn(): void {
    this.#watch ??= setInterval(() => this.#look(), watchMs);
  }

  #look(): void {
    const nowMs = performance.now();
    let busy = this.#unstarted.size > 0;
    for (const lane of this.#lanes) {
      this.#lookAtParked(lane, nowMs);
      const head = lane.order[0];
      if (!head && lane.parsing.size === 0 && lane.parked.size === 0) continue;
      busy = true;
      if (head && nowMs - lane.headSinceMs > head.limitMs) this.#kill(lane, "wall-limit");
      else if (!head && lane.parsing.size > 0 && nowMs - lane.parsingSinceMs > parsingMsMax)
        this.#kill(lane, "wall-limit");
      else if (lane.child.rssMiB > this.#options.rssMiBMax) this.#kill(lane, "rss-limit");
    }
    for (const [job, sinceMs] of this.#unstarted) {
      if (nowMs - sinceMs < unstartedMsMax) continue;
      this.#unstarted.delete(job);
      job.onEnd({ killed: null, outOfMemory: false, reason: "no sandbox process could be started" }, true);
    }
    if (busy) return;
    clearInterval(this.#watch);
    this.#watch = undefined;
  }

  /** Drops those whose time is over. One that was sent an answer has that before it still. */
  #lookAtParked(lane: Lane, nowMs: number): void {
    for (const [job, { forTurn, untilMs }] of lane.parked) {
      if (nowMs <= untilMs || lane.order.includes(job)) continue;
      if (forTurn) {
        lane.child.kill("protocol", "a run never got its turn");
        return;
      }
      lane.parked.delete(job);
      lane.child.send(encodeFrame(JSON.stringify({ t: "drop", id: job.id } satisfies ToChild)));
      job.onLate();
    }
  }

  #kill(lane: Lane, reason: KillReason): void {
    lane.child.kill(reason);
  }
}

function load(lane: Lane): number {
  return lane.order.length + lane.aside.size + lane.parsing.size + lane.parked.size;
}

/** Answers that were sent to a job are of no use to it, and the process says nothing to them. */
function forgetAnswers(lane: Lane, job: Job): void {
  for (let at = lane.order.length - 1; at > 0; at--) if (lane.order[at] === job) lane.order.splice(at, 1);
}

function restartDelayMs(failures: number): number {
  return Math.min(restartDelayMsMax, 50 * 2 ** Math.min(failures, 10));
}
