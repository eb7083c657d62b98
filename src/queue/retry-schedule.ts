/** When to try again, and when to give up. RFC 5321 §4.5.4.1, RELIABILITY P5. Pure. */

export interface RetrySchedule {
  /** Milliseconds to wait after the attempt that made `attempts` of them; a whole number. */
  delayMs(attempts: number): number;
  /** No wait is longer. */
  readonly delayMsMax: number;
  /** Age at which a recipient is given up. */
  readonly lifetimeMs: number;
  /** How long it takes to make the attempts that a recipient has a right to, whatever its age. */
  readonly patienceMs: number;
  /** Whether the attempt that made `attempts` of them was the last. */
  givesUp(facts: { readonly receivedAt: number; readonly now: number; readonly attempts: number }): boolean;
}

export interface RetryOptions {
  /** Waits after the first attempts. */
  readonly firstDelaysMs?: readonly number[];
  /** Wait after every later attempt. */
  readonly steadyDelayMs?: number;
  /** Part of a wait by which it may be shorter or longer, from 0 to 1: what failed together is not tried together again. */
  readonly jitter?: number;
  /** Age at which a recipient is given up. RFC 5321 §4.5.4.1 asks for 4–5 days at least. */
  readonly lifetimeMs?: number;
  /** Attempts made before age counts: mail that was held, or lay in a server that was off, gets its tries. */
  readonly attemptsMin?: number;
  /** From 0 up to 1; for tests. */
  readonly random?: () => number;
}

const minuteMs = 60_000;

/** The default: 5, 10 and 20 minutes, then 30 on average, for 5 days and 8 attempts at least. */
export function createRetrySchedule(options: RetryOptions = {}): RetrySchedule {
  const firstDelaysMs = options.firstDelaysMs ?? [5 * minuteMs, 10 * minuteMs, 20 * minuteMs];
  const steadyDelayMs = options.steadyDelayMs ?? 30 * minuteMs;
  const jitter = options.jitter ?? 0.1;
  const lifetimeMs = options.lifetimeMs ?? 5 * 24 * 60 * minuteMs;
  const attemptsMin = options.attemptsMin ?? 8;
  const random = options.random ?? Math.random;
  let patienceMs = 0;
  for (let attempts = 1; attempts < attemptsMin; attempts++) patienceMs += firstDelaysMs[attempts - 1] ?? steadyDelayMs;
  return {
    lifetimeMs,
    patienceMs,
    delayMsMax: Math.ceil(Math.max(steadyDelayMs, ...firstDelaysMs) * (1 + jitter)),
    delayMs(attempts) {
      const delayMs = firstDelaysMs[attempts - 1] ?? steadyDelayMs;
      return Math.round(delayMs * (1 + jitter * (2 * random() - 1)));
    },
    givesUp: ({ receivedAt, now, attempts }) => now - receivedAt >= lifetimeMs && attempts >= attemptsMin,
  };
}
