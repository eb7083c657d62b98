/**
 * What the steps of one run ask of the server, on the server's side. Each question is answered once: where a step is begun anew, in this process or in the next one, and
 * asks the same again, it hears the same again, in the same order and at the same time on its clock. So nothing is written or sent twice because a run is repeated.
 */
import type { Asker, HostAnswer, HostCalls, HostQuestion } from "./host-call.ts";
import type { Seat } from "./job.ts";
import type { RunStep } from "./protocol.ts";
import { ProtocolError } from "./shape-check.ts";
import type { CheckedCall } from "./validate-calls.ts";
import { checkCalls } from "./validate-calls.ts";

/** Timers of one attempt; as in guest/calls.ts. */
const timersMax = 1_000;
/** How many times as many questions as one attempt may ask are answered for a step in all its attempts, where they are not the same ones. */
const freshFactor = 2;
/** Attempts at one step in one process. */
const attemptsMax = 40;

interface Known {
  readonly step: number;
  readonly question: HostQuestion;
  readonly json: string;
  readonly body: Uint8Array | null;
  readonly gaveUp: AbortController;
  answer: HostAnswer | null;
  /** Of the script's clock, when it was answered; the order of answers is that of `place`. */
  clock: number;
  place: number;
  /** Call that waits for it, or that had it, in this attempt. */
  call: number | null;
}

export class RunCalls {
  readonly #calls: HostCalls;
  readonly #steps: readonly RunStep[];
  readonly #askers: readonly Asker[];
  readonly #known: Known[] = [];
  #attempt = 0;
  #attempts = 0;
  #step = 0;
  #lastCall = 0;
  #seat: Seat | null = null;
  #places = 0;
  #fresh = 0;
  /** By call of this attempt. */
  readonly #open = new Map<number, Known>();

  /** `nameOf` is the name of a version's script. */
  constructor(calls: HostCalls, steps: readonly RunStep[], nameOf: (version: string) => string) {
    this.#calls = calls;
    this.#steps = steps;
    this.#askers = steps.map(({ bindingId, version, grants }, step) => ({
      bindingId,
      step,
      version,
      script: nameOf(version),
      grants,
    }));
  }

  /** Calls of this attempt that were not answered yet. */
  get openCount(): number {
    return this.#open.size;
  }

  /** What the oldest of its calls is about, for people: `http https://directory.example.org`. */
  get waitsFor(): string {
    const [oldest] = this.#open.values();
    return oldest ? describeQuestion(oldest.question) : "its turn";
  }

  /** Takes the calls of a frame. Answers that are known are given at once. @throws {ProtocolError} */
  take(
    message: { readonly step: number; readonly attempt: number; readonly calls: readonly unknown[] },
    tail: Buffer,
    seat: Seat,
  ): void {
    if (message.attempt < this.#attempt) throw new ProtocolError("Calls of an attempt that is over");
    this.#seat = seat;
    if (message.attempt > this.#attempt) {
      seat.forget();
      this.#beginAttempt(message.step, message.attempt);
    }
    const answered: Known[] = [];
    for (const call of checkCalls(message.calls, tail, this.#lastCall + 1)) {
      this.#lastCall = call.call;
      if (call.question.kind === "cancel") this.#cancel(call.question.call);
      else {
        const known = this.#find(call) ?? this.#ask(call);
        known.call = call.call;
        this.#open.set(call.call, known);
        if (known.answer) answered.push(known);
      }
    }
    this.#checkCount();
    for (const known of answered.toSorted((one, other) => one.place - other.place)) this.#give(known);
  }

  /** The process is gone, or begins anew: nobody waits in it any more. What is asked is answered all the same. */
  beginAgain(): void {
    this.#attempt = 0;
    this.#attempts = 0;
    this.#step = 0;
    this.#forgetAttempt();
  }

  /** The step is over: nobody wants its answers. */
  endStep(): void {
    for (const { step, answer, gaveUp } of this.#known) if (step === this.#step && !answer) gaveUp.abort();
    this.#open.clear();
  }

  /** All is over. */
  end(): void {
    for (const { answer, gaveUp } of this.#known) if (!answer) gaveUp.abort();
    this.#forgetAttempt();
  }

  #beginAttempt(step: number, attempt: number): void {
    if (step === this.#step) this.#attempts++;
    else {
      // Answers that the step before did not wait for are of no use.
      if (step > this.#step) this.endStep();
      this.#attempts = 1;
      this.#fresh = 0;
    }
    if (this.#attempts > attemptsMax) throw new ProtocolError(`More than ${attemptsMax} attempts at a step`);
    this.#step = step;
    this.#attempt = attempt;
    this.#forgetAttempt();
  }

  #forgetAttempt(): void {
    this.#open.clear();
    this.#lastCall = 0;
    this.#counts = { calls: 0, timers: 0, cancels: 0 };
    for (const known of this.#known) known.call = null;
  }

  #counts = { calls: 0, timers: 0, cancels: 0 };

  #checkCount(): void {
    const { callsMax } = this.#steps[this.#step]!.limits;
    const { calls, timers, cancels } = this.#counts;
    if (calls > callsMax || timers > timersMax || cancels > calls + timers || this.#fresh > freshFactor * callsMax)
      throw new ProtocolError(`More than ${callsMax} calls in one run`);
  }

  /** What was asked before, in an earlier attempt at this step, and not again in this one. */
  #find({ question, body }: CheckedCall): Known | undefined {
    if (question.kind === "sleep") this.#counts.timers++;
    else this.#counts.calls++;
    if (this.#known.length === 0) return undefined;
    const json = JSON.stringify(question);
    return this.#known.find(
      (known) =>
        known.call === null && known.step === this.#step && known.json === json && sameOctets(known.body, body),
    );
  }

  #ask({ question, body }: CheckedCall): Known {
    if (question.kind !== "sleep") this.#fresh++;
    this.#checkCount();
    const step = this.#step;
    const known: Known = {
      step,
      question,
      json: JSON.stringify(question),
      body,
      gaveUp: new AbortController(),
      answer: null,
      clock: 0,
      place: 0,
      call: null,
    };
    this.#known.push(known);
    void this.#calls.answer(this.#askers[step]!, question, body, known.gaveUp.signal).then((answer) => {
      known.answer = answer;
      known.clock = answer.at ?? Date.now();
      known.place = ++this.#places;
      if (known.call !== null && this.#open.get(known.call) === known) this.#give(known);
    });
    return known;
  }

  #give(known: Known): void {
    this.#open.delete(known.call!);
    this.#seat?.answer(this.#attempt, known.call!, known.answer!, known.clock);
  }

  #cancel(call: number): void {
    this.#counts.cancels++;
    const known = this.#open.get(call);
    if (!known) return;
    this.#open.delete(call);
    known.gaveUp.abort();
  }
}

function describeQuestion(question: HostQuestion): string {
  switch (question.kind) {
    case "http":
      return `http ${URL.parse(question.url)?.origin ?? "without an origin"}`;
    case "dns":
      return `dns ${question.type} ${question.name}`;
    case "dns.listed":
      return `dns ${question.list}`;
    case "secret":
      return `secret ${question.name}`;
    case "sleep":
      return `setTimeout of ${question.ms} ms`;
    default:
      return question.kind;
  }
}

function sameOctets(one: Uint8Array | null, other: Uint8Array | null): boolean {
  return one === null || other === null ? one === other : Buffer.compare(one, other) === 0;
}
