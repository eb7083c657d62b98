/**
 * The life of one message or session, from the log alone: `node test/crash/audit.ts LOG ID`. A message's life begins with the session it came
 * in by, where the log names it. Exit status 1 where the log does not know the id, 2 for wrong usage.
 */
import { readFileSync } from "node:fs";
import { type LogLine, parseLog } from "../support/site.ts";

export interface LifeLine {
  readonly time: string;
  readonly level: string;
  readonly event: string;
  /** Every other fact of the line, `name=value`. */
  readonly facts: string;
}

/** The lines about `id`, in the order of the log; those of its session too, where a line names one. */
export function lifeOf(log: readonly LogLine[], id: string): LifeLine[] {
  const own = log.filter((line) => mentions(line, id));
  const sessions = new Set(
    own.map((line) => line.session).filter((session) => typeof session === "string" && session !== id),
  );
  const lines = log.filter((line) => own.includes(line) || (sessions.has(line.session) && !isAboutAnother(line, id)));
  return lines.map((line) => {
    const { time, level, event, ...facts } = line;
    return {
      time: String(time ?? ""),
      level: String(level ?? ""),
      event,
      facts: Object.entries(facts)
        .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
        .join(" "),
    };
  });
}

export function formatLife(life: readonly LifeLine[]): string {
  const width = Math.max(0, ...life.map((line) => line.event.length));
  return life
    .map((line) => `${line.time}  ${line.level.padEnd(5)}  ${line.event.padEnd(width)}  ${line.facts}`.trimEnd())
    .join("\n");
}

/** Whether any fact of the line is the id, alone or in a list. */
function mentions(line: LogLine, id: string): boolean {
  return Object.values(line).some((value) => value === id || (Array.isArray(value) && value.includes(id)));
}

/** A session carries several messages; what is said of the others is not part of this life. */
function isAboutAnother(line: LogLine, id: string): boolean {
  return typeof line.message === "string" && line.message !== id;
}

if (import.meta.main) {
  const [file, id] = process.argv.slice(2);
  if (file === undefined || id === undefined) {
    process.stderr.write("usage: node test/crash/audit.ts LOG ID\n");
    process.exitCode = 2;
  } else {
    const life = lifeOf(parseLog(readFileSync(file, "utf8")), id);
    if (life.length === 0) process.stderr.write(`${id} is not in ${file}\n`);
    else process.stdout.write(`${formatLife(life)}\n`);
    process.exitCode = life.length === 0 ? 1 : 0;
  }
}
