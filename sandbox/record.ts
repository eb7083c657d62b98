/**
 * Records of runs: all that went into one, so that it can be run again, here or elsewhere, and does the same. A record is plain JSON. It holds mail; it never holds a
 * secret: where the script was given one the record has a mark, and a run of the record is given the mark.
 */
import type { HostAnswer, HostCalls, HostQuestion } from "./host-call.ts";
import type { RunRequest, RunStep } from "./protocol.ts";
import { keyOf, Redaction, secretMark } from "./record-secrets.ts";
import { createSeed } from "./seed.ts";

export const recordFormat = 1;

/** A question of a step, and what it heard. */
export interface RecordedCall {
  readonly step: number;
  readonly question: HostQuestion;
  /** Base64; null where there was none, or where the run could know a secret, which might be in it. */
  readonly body: string | null;
  /** null where it had none before the run was over. */
  readonly answer: RecordedAnswer | null;
}

export type RecordedAnswer = HostAnswer<string> & {
  /** What the script's clock showed with it, in milliseconds since the Unix epoch. */
  readonly at: number;
};

export interface RunRecord extends Pick<RunRequest, "event" | "mail" | "subject" | "stopOnChange"> {
  readonly format: typeof recordFormat;
  /** With the clock and the seed they were given. */
  readonly steps: readonly (RunStep & Required<Pick<RunStep, "clock" | "seed">>)[];
  /** The message, in base64; null where nobody looked inside. */
  readonly octets: string | null;
  /** In the order of their answers. */
  readonly calls: readonly RecordedCall[];
  /** Whether a script could know a secret: then values of header fields, and bodies of requests, are not recorded and not compared. */
  readonly masked: boolean;
}

/** A run that is recorded: `request` is what the sandbox is asked in the place of the one given; `record` is called when that is over. */
export interface Recording {
  readonly request: RunRequest;
  record(): Promise<RunRecord>;
  /** What keeps secrets out of whatever else is written down of the run; behind `record`. */
  redaction(): Redaction;
}

export function recordRun(request: RunRequest): Recording {
  const steps = request.steps.map((step) => ({
    ...step,
    clock: step.clock ?? Date.now(),
    seed: step.seed ?? createSeed(),
  }));
  // A secret that was read in a run before this one may live on in the script's module state: so it is the grant that counts.
  const isMasked = steps.some(({ grants }) => (grants.secrets?.length ?? 0) > 0);
  const waiting = new Set<Heard>();
  const heard: Heard[] = [];
  const redaction = new Redaction(isMasked);
  let octets: Uint8Array | null = null;
  const calls: HostCalls = {
    async answer(asker, question, body, signal) {
      const call: Heard = { step: asker.step, question, body, answer: null };
      waiting.add(call);
      const answer = await request.calls.answer(asker, question, body, signal);
      // Nobody hears it any more.
      if (signal.aborted) return answer;
      waiting.delete(call);
      heard.push(call);
      call.answer = { ...answer, at: answer.at ?? Date.now() };
      return call.answer;
    },
  };
  return {
    request: {
      ...request,
      steps,
      calls,
      octets: async () => (octets = await request.octets()),
    },
    redaction: () => redaction,
    async record() {
      for (const { question, answer } of heard)
        if (question.kind === "secret" && answer?.ok) redaction.learn(question.name, String(answer.value));
      for (const [step, { bindingId, version, grants }] of steps.entries()) {
        for (const name of grants.secrets ?? []) {
          const asker = { bindingId, step, version, script: "", grants };
          const answer = await request.calls.answer(
            asker,
            { kind: "secret", name },
            null,
            new AbortController().signal,
          );
          if (answer.ok) redaction.learn(name, String(answer.value));
        }
      }
      return {
        format: recordFormat,
        event: request.event,
        mail: request.mail,
        subject: request.subject,
        stopOnChange: request.stopOnChange,
        steps,
        octets: octets && Buffer.from(octets).toString("base64"),
        calls: [...heard, ...waiting].map((call) => recorded(call, redaction)),
        masked: isMasked,
      };
    },
  };
}

interface Heard {
  readonly step: number;
  readonly question: HostQuestion;
  readonly body: Uint8Array | null;

  answer: (HostAnswer & { readonly at: number }) | null;
}

function recorded({ step, question, body, answer }: Heard, redaction: Redaction): RecordedCall {
  return {
    step,
    question: redaction.question(question),
    body: body === null || redaction.isMasked ? null : Buffer.from(body).toString("base64"),
    answer: answer && recordedAnswer(question, answer, redaction),
  };
}

function recordedAnswer(
  question: HostQuestion,
  answer: HostAnswer & { readonly at: number },
  redaction: Redaction,
): RecordedAnswer {
  if (!answer.ok) return { ...answer, message: redaction.text(answer.message) };
  const { at, value, body } = answer;
  return {
    ok: true,
    at,
    value: question.kind === "secret" ? secretMark(question.name) : redaction.json(value),
    ...(body === undefined ? {} : { body: redaction.octets(body).toString("base64") }),
  };
}

/**
 * The run of a record, to be asked of a sandbox that has its versions, or others in their place. They must not have run in it before: what a script left in its module
 * state is in no record.
 */
export function replayRequest(record: RunRecord): RunRequest {
  const { event, mail, subject, stopOnChange, steps, octets } = record;
  return {
    event,
    mail,
    subject,
    stopOnChange,
    steps,
    octets: async () => {
      if (octets === null)
        throw new Error("The record has no octets: nobody looked inside the message when it was made");
      return Buffer.from(octets, "base64");
    },
    calls: replayCalls(record),
  };
}

/** An answer that would come later in the record waits so long for the one before it to be asked for; then the run has taken another way. */
const patienceMs = 1_000;

/** Answers from a record, in the order of the record. A question that is not in it ends the run with `script.replay-diverged`. */
export function replayCalls({ calls, masked }: Pick<RunRecord, "calls" | "masked">): HostCalls {
  const keys = calls.map(({ question, body }) => keyOf(question, body, masked));
  const used = new Set<number>();
  /** What was asked and is not answered yet, by its place in the record. */
  const asked = new Map<number, () => void>();
  let next = 0;
  let timer: NodeJS.Timeout | undefined;

  function give(): void {
    clearTimeout(timer);
    for (;;) {
      // Those without an answer hold nobody up.
      while (next < calls.length && (calls[next]!.answer === null || (used.has(next) && !asked.has(next)))) next++;
      const settle = asked.get(next);
      if (!settle) break;
      asked.delete(next++);
      settle();
    }
    if (asked.size > 0) timer = setTimeout(goOn, patienceMs);
  }

  function goOn(): void {
    next = Math.min(...asked.keys());
    give();
  }

  return {
    answer(asker, question, body, signal) {
      const key = keyOf(question, body && Buffer.from(body).toString("base64"), masked);
      const place = calls.findIndex(
        ({ step, question: { kind } }, at) =>
          step === asker.step && !used.has(at) && kind === question.kind && keys[at] === key,
      );
      if (place < 0 && question.kind === "secret")
        return Promise.resolve({ ok: true, value: secretMark(question.name) });
      if (place < 0) return Promise.resolve(divergence(question));
      used.add(place);
      const { answer } = calls[place]!;
      return new Promise((resolve) => {
        const gone = () => {
          asked.delete(place);
          resolve({ ok: false, code: "aborted", message: "Nobody waits for the answer any more" });
        };
        signal.addEventListener("abort", gone);
        if (answer === null) return;
        asked.set(place, () => {
          signal.removeEventListener("abort", gone);
          resolve(revived(answer));
        });
        // Behind whoever asks, so that answers come in this order and not in that of the questions.
        queueMicrotask(give);
      });
    },
  };
}

function divergence(question: HostQuestion): HostAnswer {
  const { kind, ...rest } = question;
  const about = JSON.stringify(rest).slice(0, 200);
  const message = `The script asks what it did not ask when it was recorded: ${kind} ${about}`;
  return { ok: false, code: "diverged", message, fatal: "script.replay-diverged" };
}

function revived(answer: RecordedAnswer): HostAnswer {
  if (!answer.ok) return answer;
  const { body, ...rest } = answer;
  return body === undefined ? rest : { ...rest, body: Buffer.from(body, "base64") };
}
