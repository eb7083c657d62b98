/**
 * Metrics: what happened, counted, in Prometheus' names and base units. What is counted for every message is a plain number that goes up;
 * it becomes a metric when somebody asks. Labels come from closed sets and script names, never from addresses or domains.
 */
import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** How the reception of a message ended. */
export type ReceptionResult = "accepted" | "refused" | "deferred" | "discarded" | "quarantined";
export type DeliveryOutcome = "delivered" | "deferred" | "failed";
export type RunResult = "ok" | "fault";

/** Numbers read when somebody asks. */
export interface MetricSources {
  readonly queue: () => { readonly messages: number; readonly recipients: number };
  readonly scripts: () => { readonly live: number; readonly broken: number; readonly suspended: number };
  /** Attempts under way, and messages by what they wait for. */
  readonly waiting: () => { readonly running: number; readonly due: number; readonly held: number };
  /** How TLS with next hops went, by the policy that asked for it. RFC 8460 §4. */
  readonly tls: () => readonly { readonly policyType: string; readonly result: string; readonly count: number }[];
  /** What became of the runs of each script, all of its versions together; absent: nobody counts. */
  readonly runs?: () => readonly ScriptRuns[];
  /** Messages by what the journal did with them; absent: there is none. */
  readonly journal?: () => Readonly<Record<string, number>>;
}

/** Sums since the server started. Verdicts and fault codes are closed sets; there is an end to the number of scripts. */
export interface ScriptRuns {
  readonly script: string;
  readonly verdicts: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly cpuMs: number;
  readonly waitMs: number;
  /** The most of one run. */
  readonly heapKiBMax: number;
}

/** Seconds; a run of 25 µs and one at the 60 s limit both find their place. */
const secondsBuckets = [
  0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60,
];

/** Scripts counted under their own names; a folder that keeps changing its names must not grow the process. */
const scriptNamesMax = 1_000;
const otherScripts = "(others)";

export class Metrics {
  readonly received: Record<ReceptionResult, number> = {
    accepted: 0,
    refused: 0,
    deferred: 0,
    discarded: 0,
    quarantined: 0,
  };
  readonly deliveries: Record<DeliveryOutcome, number> = { delivered: 0, deferred: 0, failed: 0 };
  receivedOctets = 0;
  sessions = 0;
  sessionsOpen = 0;
  sandboxDeaths = 0;
  readonly #registry = new Registry();
  readonly #runs: Histogram<"script" | "result">;
  readonly #children = new Map<string, Record<RunResult, Histogram.Internal<"script" | "result">>>();

  constructor(sources: MetricSources) {
    const registers = [this.#registry];
    const counter = (name: string, help: string, label: string, read: () => Readonly<Record<string, number>>) => {
      new Counter({
        name,
        help,
        registers,
        labelNames: label === "" ? [] : [label],
        collect() {
          this.reset();
          for (const [value, amount] of Object.entries(read()))
            label === "" ? this.inc(amount) : this.inc({ [label]: value }, amount);
        },
      });
    };
    const gauge = (name: string, help: string, label: string, read: () => Readonly<Record<string, number>>) => {
      new Gauge({
        name,
        help,
        registers,
        labelNames: label === "" ? [] : [label],
        collect() {
          for (const [value, amount] of Object.entries(read()))
            label === "" ? this.set(amount) : this.set({ [label]: value }, amount);
        },
      });
    };
    counter(
      "onarrival_messages_received_total",
      "Messages whose data came in whole, by how their reception ended.",
      "result",
      () => this.received,
    );
    counter("onarrival_received_bytes_total", "Octets of accepted messages.", "", () => ({ all: this.receivedOctets }));
    counter(
      "onarrival_deliveries_total",
      "Attempts, one for each recipient, by outcome.",
      "outcome",
      () => this.deliveries,
    );
    counter("onarrival_sessions_total", "Connections taken.", "", () => ({ all: this.sessions }));
    gauge("onarrival_sessions_open", "Connections now.", "", () => ({ all: this.sessionsOpen }));
    gauge("onarrival_queue_messages", "Messages in custody.", "", () => ({ all: sources.queue().messages }));
    gauge("onarrival_queue_recipients", "Recipients that wait for delivery.", "", () => ({
      all: sources.queue().recipients,
    }));
    gauge("onarrival_queue_state", "Messages under way, due without a place, and held.", "state", () => ({
      ...sources.waiting(),
    }));
    new Counter({
      name: "onarrival_tls_sessions_total",
      help: "Sessions with next hops, by the policy that asked for TLS and how the handshake went.",
      registers,
      labelNames: ["policy", "result"],
      collect() {
        this.reset();
        for (const { policyType, result, count } of sources.tls()) this.inc({ policy: policyType, result }, count);
      },
    });
    if (sources.journal)
      counter("onarrival_journal_messages_total", "Messages the journal kept, or left out.", "result", sources.journal);
    if (sources.runs) addScriptRuns(sources.runs, registers);
    gauge("onarrival_scripts", "Scripts by state.", "state", () => ({ ...sources.scripts() }));
    counter("onarrival_sandbox_deaths_total", "Sandbox processes that died or were killed.", "", () => ({
      all: this.sandboxDeaths,
    }));
    gauge("onarrival_process_resident_memory_bytes", "Memory of the server's own process.", "", () => ({
      all: process.memoryUsage.rss(),
    }));
    counter("onarrival_process_cpu_seconds_total", "Processor time of the server's own process.", "", () => ({
      all: cpuSeconds(),
    }));
    this.#runs = new Histogram({
      name: "onarrival_script_run_seconds",
      help: "Runs of scripts and the time they took, by script and result.",
      labelNames: ["script", "result"],
      buckets: secondsBuckets,
      registers,
    });
  }

  /** One run of a script, with the time from its start to its answer. */
  countRun(script: string, result: RunResult, seconds: number): void {
    let child = this.#children.get(script);
    if (!child) {
      if (this.#children.size >= scriptNamesMax && script !== otherScripts) {
        this.countRun(otherScripts, result, seconds);
        return;
      }
      child = {
        ok: this.#runs.labels({ script, result: "ok" }),
        fault: this.#runs.labels({ script, result: "fault" }),
      };
      this.#children.set(script, child);
    }
    child[result].observe(seconds);
  }

  /** Everything, as Prometheus reads it. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

function addScriptRuns(read: () => readonly ScriptRuns[], registers: Registry[]): void {
  const counter = (
    name: string,
    help: string,
    label: string,
    valuesOf: (runs: ScriptRuns) => Readonly<Record<string, number>>,
  ) => {
    new Counter({
      name,
      help,
      registers,
      labelNames: label === "" ? ["script"] : ["script", label],
      collect() {
        this.reset();
        for (const runs of read())
          for (const [value, amount] of Object.entries(valuesOf(runs)))
            this.inc(label === "" ? { script: runs.script } : { script: runs.script, [label]: value }, amount);
      },
    });
  };
  counter("onarrival_script_verdicts_total", "Runs of scripts, by verdict.", "verdict", ({ verdicts }) => verdicts);
  counter("onarrival_script_faults_total", "Runs of scripts that failed, by code.", "code", ({ faults }) => faults);
  counter("onarrival_script_cpu_seconds_total", "Time in which scripts computed.", "", ({ cpuMs }) => ({
    all: cpuMs / 1_000,
  }));
  counter("onarrival_script_wait_seconds_total", "Time in which runs of scripts waited.", "", ({ waitMs }) => ({
    all: waitMs / 1_000,
  }));
  new Gauge({
    name: "onarrival_script_heap_bytes_max",
    help: "The most memory one run of a script had.",
    registers,
    labelNames: ["script"],
    collect() {
      for (const { script, heapKiBMax } of read()) this.set({ script }, heapKiBMax * 1_024);
    },
  });
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
