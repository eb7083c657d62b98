/**
 * The life of one message or session, from the log alone: `node test/crash/audit.ts LOG ID`. A message's life begins with the session it came
 * in by, where the log names it, and goes on in the messages that came of it: those that were split from it, copies in badmail, reports to its sender,
 * and what came of these. Exit status 1 where the log does not know the id, 2 for wrong usage.
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

/** The lines about `id` and what came of it, in the order of the log; those of the session it came in by too, where a line names one. */
export function lifeOf(log: readonly LogLine[], id: string): LifeLine[] {
  const family = familyOf(log, id);
  const own = log.filter((line) => [...family].some((one) => mentions(line, one)));
  const sessions = new Set(
    own.map((line) => line.session).filter((session) => typeof session === "string" && session !== id),
  );
  const lines = log.filter(
    (line) => own.includes(line) || (sessions.has(line.session) && !isAboutAnother(line, family)),
  );
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

/** The id, and those of all messages that came of it. In whatever order the log has them: it is read until nobody new is found. */
function familyOf(log: readonly LogLine[], id: string): ReadonlySet<string> {
  const family = new Set([id]);
  for (let known = 0; known < family.size; ) {
    known = family.size;
    for (const line of log)
      if (typeof line.message === "string" && family.has(line.message))
        for (const child of childrenIn(line)) family.add(child);
  }
  return family;
}

/** Messages that a line says came of its own. */
function childrenIn({ event, forks, report, kept }: LogLine): readonly string[] {
  switch (event) {
    case "message.categorized":
      return Array.isArray(forks) ? forks.filter((fork) => typeof fork === "string") : [];
    case "dsn.queued":
      return typeof report === "string" ? [report] : [];
    case "recipient.quarantined":
      return typeof kept === "string" ? [kept] : [];
    default:
      return [];
  }
}

/** Whether any fact of the line is the id, alone or in a list. */
function mentions(line: LogLine, id: string): boolean {
  return Object.values(line).some((value) => value === id || (Array.isArray(value) && value.includes(id)));
}

/** A session carries several messages; what is said of the others is not part of this life. */
function isAboutAnother(line: LogLine, family: ReadonlySet<string>): boolean {
  return typeof line.message === "string" && !family.has(line.message);
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
