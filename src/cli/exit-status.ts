/** How a command ends; scripts of users rely on these numbers. */
import type { SysExit } from "./sendmail-status.ts";

export const exitStatus = {
  done: 0,
  /** What was checked did not hold: an expectation differs, a script faulted, there are findings; or the work could not be done. */
  failed: 1,
  /** The command or the configuration is wrong. */
  usage: 2,
  /** The command needs a running server and there is none. */
  notRunning: 3,
  interrupted: 130,
} as const;

/** `onarrival sendmail` ends as sendmail does. */
export type ExitStatus = (typeof exitStatus)[keyof typeof exitStatus] | SysExit;
