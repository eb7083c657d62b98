/** What the pool (pool.ts) wants to know of something it gives a process to do, and what it tells it. Types only; what there is to do is in jobs.ts. */
import type { ChildEnd } from "./child-process.ts";
import type { HostAnswer } from "./host-call.ts";
import type { FromChild, ToChild } from "./wire.ts";

/** Where a job waits for answers in a process. */
export interface Seat {
  /** Sends one; of no effect when the job has left. */
  readonly answer: (attempt: number, call: number, answer: HostAnswer, clock: number) => void;
  /** Those that were sent are of no use any more: it has begun anew. */
  readonly forget: () => void;
  /** Whether some that were sent have had no effect yet. */
  readonly hasAnswers: boolean;
}

/** How long a job waits: for answers, or for its turn in the process. */
export interface Wait {
  readonly forTurn: boolean;
  /** On the monotonic clock. */
  readonly untilMs: number;
}

/** Something for a process to do. */
export interface Job {
  readonly id: number;
  /** What starts it; asked again for every process it is given to. */
  readonly frame: () => { readonly head: ToChild; readonly tails: readonly Uint8Array[] };
  /** Time it may compute where it is now, in milliseconds. */
  readonly limitMs: number;
  /** The octets it misses; what this rejects with ends the job. @throws {ProtocolError} where it has asked too often */
  octets(): Promise<Uint8Array>;
  /** It is at this step now, or reads texts for it. @throws {ProtocolError} where it has no such step, or was there already */
  onStep(step: number, parsing: boolean): void;
  /**
   * It asks, and waits; `sinceMs` is when it began to compute, on the monotonic clock.
   * @throws {ProtocolError} where the calls do not fit
   */
  onCalls(message: FromChild & { readonly t: "calls" }, tail: Buffer, seat: Seat, sinceMs: number): Wait;
  /** It waited for too long, and has left its process. */
  onLate(): void;
  /** The answer. @throws {ProtocolError} where it does not fit; the job is then told of its process's end as well */
  onAnswer(message: FromChild, tail: Buffer): void;
  /** Its process is gone; `blamed` where it was computing. Submits itself again, or settles. */
  onEnd(end: ChildEnd, blamed: boolean): void;
  /** The texts of its message are not to be read again: they were being read when the process went. */
  onUnreadable(): void;
  onError(error: Error): void;
}
