/**
 * Figures of scripts: what became of the runs of each version, and what they took. Counted with every run, so it costs next to nothing; kept in memory, since
 * the server started.
 */
import type { ScriptRuns } from "../platform/metrics.ts";
import type { RunReport } from "./runner.ts";
import { TimeScale } from "./time-scale.ts";

/** Of one version, since the server started. Times in milliseconds. */
export interface VersionFigures {
  readonly version: string;
  readonly runs: number;
  /** By kind; a run that failed is none of these. */
  readonly verdicts: Readonly<Record<string, number>>;
  /** By code. */
  readonly faults: Readonly<Record<string, number>>;
  readonly faultCount: number;
  /** Verdicts that keep mail out: refuse, drop, defer. */
  readonly refusals: number;
  readonly cpuMs: { readonly total: number; readonly p50: number; readonly p99: number };
  readonly wallMs: { readonly p50: number; readonly p99: number };
  /** Time in which runs did not compute: they waited for answers, or for their turn. */
  readonly waitMs: { readonly total: number };
  readonly heapKiBMax: number;
}

export interface ScriptFigures {
  readonly script: string;
  /** The one that ran last comes first. */
  readonly versions: readonly VersionFigures[];
}

/** Scripts that are counted by name; those that have not run for longest go. */
const scriptsMax = 1_000;
/** Versions of one script; what went is still in the sums of the script. */
const versionsMax = 8;

interface Counts {
  runs: number;
  readonly verdicts: Record<string, number>;
  readonly faults: Record<string, number>;
  cpuMs: number;
  waitMs: number;
  heapKiBMax: number;
}

interface VersionCounts extends Counts {
  /** Counts up over all versions: which ran last. */
  last: number;
  readonly cpu: TimeScale;
  readonly wall: TimeScale;
}

interface ScriptCounts {
  readonly all: Counts;
  readonly versions: Map<string, VersionCounts>;
}

type Run = Pick<RunReport, "script" | "version" | "verdict" | "usage"> & {
  readonly fault: { readonly code: string } | null;
};

export class Figures {
  readonly #scripts = new Map<string, ScriptCounts>();
  #runs = 0;

  count({ script, version, verdict, fault, usage }: Run): void {
    const { all, versions } = this.#scripts.get(script) ?? this.#enter(script);
    let counts = versions.get(version);
    if (!counts) {
      counts = { ...freshCounts(), last: 0, cpu: new TimeScale(), wall: new TimeScale() };
      versions.set(version, counts);
      if (versions.size > versionsMax) versions.delete(oldestOf(versions));
    }
    counts.last = ++this.#runs;
    for (const one of [all, counts]) {
      one.runs++;
      if (fault) one.faults[fault.code] = (one.faults[fault.code] ?? 0) + 1;
      else one.verdicts[verdict] = (one.verdicts[verdict] ?? 0) + 1;
      one.cpuMs += usage.cpuMs;
      one.waitMs += Math.max(0, usage.wallMs - usage.cpuMs);
      if (usage.heapKiB > one.heapKiBMax) one.heapKiBMax = usage.heapKiB;
    }
    counts.cpu.add(usage.cpuMs);
    counts.wall.add(usage.wallMs);
  }

  /** Zeros where it never ran. */
  version(script: string, version: string): VersionFigures {
    const counts = this.#scripts.get(script)?.versions.get(version);
    return shown(version, counts ?? { ...freshCounts(), last: 0, cpu: new TimeScale(), wall: new TimeScale() });
  }

  /** By name. */
  show(): readonly ScriptFigures[] {
    return this.#sorted().map(([script, { versions }]) => ({
      script,
      versions: [...versions]
        .sort(([, one], [, other]) => other.last - one.last)
        .map(([version, counts]) => shown(version, counts)),
    }));
  }

  /** For the metrics: all versions of a script together, and never less than before. */
  sums(): readonly ScriptRuns[] {
    return this.#sorted().map(([script, { all }]) => ({ script, ...all }));
  }

  #sorted(): readonly (readonly [string, ScriptCounts])[] {
    return [...this.#scripts].sort(([one], [other]) => (one < other ? -1 : 1));
  }

  #enter(script: string): ScriptCounts {
    if (this.#scripts.size >= scriptsMax) {
      const lastOf = ({ versions }: ScriptCounts) => Math.max(...[...versions.values()].map(({ last }) => last));
      const [idle] = [...this.#scripts].reduce((one, other) => (lastOf(other[1]) < lastOf(one[1]) ? other : one));
      this.#scripts.delete(idle);
    }
    const counts = { all: freshCounts(), versions: new Map() };
    this.#scripts.set(script, counts);
    return counts;
  }
}

function freshCounts(): Counts {
  return { runs: 0, verdicts: {}, faults: {}, cpuMs: 0, waitMs: 0, heapKiBMax: 0 };
}

function oldestOf(versions: ReadonlyMap<string, VersionCounts>): string {
  return [...versions].reduce((one, other) => (other[1].last < one[1].last && other[1].last > 0 ? other : one))[0];
}

function shown(version: string, counts: VersionCounts): VersionFigures {
  const { runs, verdicts, faults, cpuMs, waitMs, heapKiBMax, cpu, wall } = counts;
  return {
    version,
    runs,
    verdicts: { ...verdicts },
    faults: { ...faults },
    faultCount: Object.values(faults).reduce((sum, count) => sum + count, 0),
    refusals: (verdicts["refuse"] ?? 0) + (verdicts["drop"] ?? 0) + (verdicts["defer"] ?? 0),
    cpuMs: { total: cpuMs, p50: cpu.quantile(0.5), p99: cpu.quantile(0.99) },
    wallMs: { p50: wall.quantile(0.5), p99: wall.quantile(0.99) },
    waitMs: { total: waitMs },
    heapKiBMax,
  };
}
