/** The last lines each script logged, its faults among them, for `onarrival scripts log`: a ring for each in memory, and whoever follows. */
import type { LogEntry } from "../../sandbox/protocol.ts";
import type { RunReport } from "./runner.ts";

export interface ScriptLogLine {
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  readonly level: LogEntry["level"];
  readonly text: string;
  readonly script: string;
  readonly version: string;
  readonly event: string;
  /** Id of the message, or of the session where there was none yet. */
  readonly about: string | null;
  /** Of a run that failed: its code, and its place in the script where that is known. */
  readonly fault?: { readonly code: string; readonly at: string | null };
}

const linesMax = 1_000;
/** Characters of one script's lines. */
const lengthMax = 262_144;
/** The one that has not logged for longest goes. */
const scriptsMax = 200;

interface Ring {
  readonly lines: ScriptLogLine[];
  length: number;
}

type Listener = (line: ScriptLogLine) => void;

export class ScriptLog {
  readonly #rings = new Map<string, Ring>();
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** The lines of a run, and its fault behind them. */
  add({ script, version, event, about, log, fault }: RunReport): void {
    if (log.length === 0 && !fault) return;
    const facts = { script, version, event, about };
    for (const { level, text, at } of log) this.#keep({ at, level, text, ...facts });
    if (!fault) return;
    const place = fault.facts["at"];
    this.#keep({
      at: this.#now(),
      level: "error",
      text: fault.message,
      ...facts,
      fault: { code: fault.code, at: typeof place === "string" ? place : null },
    });
  }

  /** At most so many of a script, oldest first. */
  last(script: string, count: number): readonly ScriptLogLine[] {
    return count <= 0 ? [] : (this.#rings.get(script)?.lines.slice(-count) ?? []);
  }

  /** Calls `listener` with each line to come, until what is given back is called. */
  follow(script: string, listener: Listener): () => void {
    const listeners = this.#listeners.get(script) ?? new Set();
    this.#listeners.set(script, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(script) === listeners) this.#listeners.delete(script);
    };
  }

  #keep(line: ScriptLogLine): void {
    const ring = this.#rings.get(line.script) ?? { lines: [], length: 0 };
    // Whoever logged last stands last.
    this.#rings.delete(line.script);
    this.#rings.set(line.script, ring);
    if (this.#rings.size > scriptsMax) this.#rings.delete(this.#rings.keys().next().value!);
    ring.lines.push(line);
    ring.length += line.text.length;
    while (ring.lines.length > linesMax || (ring.length > lengthMax && ring.lines.length > 1))
      ring.length -= ring.lines.shift()!.text.length;
    for (const listener of this.#listeners.get(line.script) ?? []) listener(line);
  }
}
