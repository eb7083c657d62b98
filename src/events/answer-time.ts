/** Time for an answer: a native sink that never settles must not hold a client for ever. */
import type { Clock } from "../platform/clock.ts";
import { Fault } from "../platform/fault.ts";
import { formatDuration } from "../platform/value.ts";

export const answerMsDefault = 60_000;

/**
 * The answer, or after `timeoutMs` a rejection; an answer that comes later is nobody's.
 * @throws {Fault} `sink.timeout`
 */
export function answerWithin(answer: Promise<unknown>, timeoutMs: number, clock: Clock): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(timeoutMs, () =>
      reject(new Fault("sink.timeout", `The sink gave no answer within ${formatDuration(timeoutMs)}`)),
    );
    answer.then(resolve, reject).finally(cancel);
  });
}
