/**
 * Crash points: named moments at which a test may kill the server, so that custody can be shown at each of them. `ONARRIVAL_CRASH_AT=name` kills at the first
 * time a point is passed, `name:3` at the third. Unarmed, which is always but in tests, a point is a call of an empty function.
 */
import { kill, pid } from "node:process";

/** Every point there is, in the order of a message's life. */
export const crashPoints = [
  "pickup.claimed",
  "pickup.accepted",
  "pickup.removed",
  "arrival.before-accept",
  "spool.accept.before-commit",
  "spool.accept.committed",
  "arrival.accepted",
  "badmail.before-rename",
  "badmail.kept",
  "release.accepted",
  "categorize.quarantined",
  "queue.categorized.before-commit",
  "spool.replace.before-commit",
  "spool.replace.committed",
  "queue.categorized.committed",
  "maildir.before-rename",
  "maildir.written",
  "drop.before-rename",
  "drop.written",
  "http.answered",
  "smtp.message-sent",
  "smtp.answered",
  "queue.reports.before-commit",
  "queue.attempt.before-record",
  "spool.record.before-commit",
  "spool.record.committed",
  "queue.attempt.recorded",
  "spool.recovery",
  "users.written",
] as const;

export type CrashPoint = (typeof crashPoints)[number];

/** Passes a moment of that name. Armed for it, the process is dead before this returns, worker threads included. */
export const crashPoint: (name: CrashPoint) => void = arm(process.env.ONARRIVAL_CRASH_AT);

/** Whether any point is armed: the server says so at its start. */
export const armedCrashPoint: string | null = process.env.ONARRIVAL_CRASH_AT || null;

function arm(armed: string | undefined): (name: CrashPoint) => void {
  if (!armed) return () => {};
  const [, wanted = "", times = "1"] = /^(.*?)(?::(\d+))?$/.exec(armed)!;
  let left = Number(times);
  return (name) => {
    if (name === wanted && --left === 0) kill(pid, "SIGKILL");
  };
}
