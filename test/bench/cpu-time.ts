/** CPU time of processes and all below them, from `/proc`. Linux only. */
import { readFileSync } from "node:fs";
import { processesBelow } from "../support/site.ts";

/** Ticks of the kernel's clock in a second: 100 on every Linux Node runs on. */
const ticksPerSecond = 100;

/**
 * User and system time so far, in milliseconds: of each process, of those below it, and of children that ended and were waited for. Counts only up,
 * so a difference of two readings is what was used in between, processes that came and went included.
 */
export function readCpuMs(processes: readonly number[]): number {
  let ticks = 0;
  for (const root of processes) {
    for (const pid of [root, ...processesBelow(root).map((process) => process.pid)]) ticks += readTicks(pid);
  }
  return (ticks * 1_000) / ticksPerSecond;
}

function readTicks(pid: number): number {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return 0; // It ended; its time is with its parent now.
  }
  // proc_pid_stat(5): utime stime cutime cstime are fields 14 to 17; the name in parentheses, field 2, may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14]);
}
