/** The one place of the command line that turns what was thrown into words on standard error and an exit status. */
import { formatProblem, problemsOf } from "../config/problem.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { plain, type Terminal } from "./terminal.ts";

/** A command that was given in a way it cannot be done. */
export class UsageError extends Error {
  readonly hint: string | undefined;
  constructor(message: string, hint?: string) {
    super(message);
    this.name = "UsageError";
    this.hint = hint;
  }
}

/** Says what went wrong. A fault is a line; anything else is a bug of ours and comes with its stack. */
export function reportFailure(thrown: unknown, { err }: Terminal): ExitStatus {
  const prefix = err.paint("red", "onarrival:");
  if (thrown instanceof UsageError) {
    err.write(
      `${prefix} ${plain(thrown.message)}\n${thrown.hint === undefined ? "" : `${err.paint("dim", thrown.hint)}\n`}`,
    );
    return exitStatus.usage;
  }
  const problems = problemsOf(thrown);
  if (problems.length > 0) {
    for (const problem of problems) err.write(`${plain(formatProblem(problem))}\n`);
    err.write(
      `${prefix} the configuration has ${problems.length === 1 ? "1 error" : `${problems.length} errors`}; nothing was started\n`,
    );
    return exitStatus.usage;
  }
  if (thrown instanceof Fault) {
    err.write(`${prefix} ${plain(thrown.message)}\n`);
    if (thrown.code === "control.not-running")
      err.write(
        `${err.paint("dim", "Start it with onarrival serve, or name the one that is meant with --data or --config")}\n`,
      );
    return thrown.code === "control.not-running"
      ? exitStatus.notRunning
      : thrown.code === "config.unreadable"
        ? exitStatus.usage
        : exitStatus.failed;
  }
  err.write(`${prefix} this is a bug: ${plain(describeThrown(thrown))}\n`);
  if (thrown instanceof Error && thrown.stack) err.write(`${err.paint("dim", thrown.stack)}\n`);
  return exitStatus.failed;
}
