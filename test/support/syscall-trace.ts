/** Traces of system calls, as strace writes them with -f and -o. */
import { readFile } from "node:fs/promises";

/** Lines in the order the calls returned: one that was interrupted by other threads stands where it was resumed, in one piece. */
export async function readTrace(path: string): Promise<string[]> {
  const unfinished = new Map<string, string>();
  const lines: string[] = [];
  for (const line of (await readFile(path, "utf8")).split("\n")) {
    const thread = line.split(" ")[0]!;
    if (line.includes("<unfinished ...>")) unfinished.set(thread, line);
    else if (line.includes(" resumed>")) lines.push(`${unfinished.get(thread) ?? ""} ${line}`);
    else lines.push(line);
  }
  return lines;
}
