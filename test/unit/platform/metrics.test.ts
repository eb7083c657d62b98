/** Metrics: names that stay, numbers that are read when somebody asks, and no label without a bound. */
import { describe, expect, test } from "vitest";
import { Metrics } from "../../../src/platform/metrics.ts";

const create = () =>
  new Metrics({
    queue: () => ({ messages: 4, recipients: 5 }),
    waiting: () => ({ running: 1, due: 2, held: 3 }),
    scripts: () => ({ live: 2, broken: 1, suspended: 0 }),
    tls: () => [{ policyType: "sts", result: "success", count: 7 }],
  });

/** Value of each line that is no comment, by name and labels. */
async function read(metrics: Metrics): Promise<Map<string, number>> {
  const lines = (await metrics.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
  );
}

describe("Metrics", () => {
  test("tells what was counted", async () => {
    const metrics = create();
    metrics.received.accepted += 3;
    metrics.received.refused++;
    metrics.receivedOctets += 1_000;
    metrics.deliveries.failed++;
    metrics.sessions += 2;
    metrics.sessionsOpen = 1;
    metrics.sandboxDeaths++;
    const values = await read(metrics);
    expect(Object.fromEntries([...values].filter(([name]) => !name.includes("process")))).toEqual({
      'onarrival_messages_received_total{result="accepted"}': 3,
      'onarrival_queue_state{state="running"}': 1,
      'onarrival_queue_state{state="due"}': 2,
      'onarrival_queue_state{state="held"}': 3,
      'onarrival_tls_sessions_total{policy="sts",result="success"}': 7,
      'onarrival_messages_received_total{result="refused"}': 1,
      'onarrival_messages_received_total{result="deferred"}': 0,
      'onarrival_messages_received_total{result="discarded"}': 0,
      'onarrival_messages_received_total{result="quarantined"}': 0,
      onarrival_received_bytes_total: 1_000,
      'onarrival_deliveries_total{outcome="delivered"}': 0,
      'onarrival_deliveries_total{outcome="deferred"}': 0,
      'onarrival_deliveries_total{outcome="failed"}': 1,
      onarrival_sessions_total: 2,
      onarrival_sessions_open: 1,
      onarrival_queue_messages: 4,
      onarrival_queue_recipients: 5,
      'onarrival_scripts{state="live"}': 2,
      'onarrival_scripts{state="broken"}': 1,
      'onarrival_scripts{state="suspended"}': 0,
      onarrival_sandbox_deaths_total: 1,
    });
    expect(values.get("onarrival_process_resident_memory_bytes")).toBeGreaterThan(1_000_000);
    expect(values.get("onarrival_process_cpu_seconds_total")).toBeGreaterThan(0);
  });

  test("tells what became of scripts' runs, where somebody counts", async () => {
    const values = await read(
      new Metrics({
        queue: () => ({ messages: 0, recipients: 0 }),
        waiting: () => ({ running: 0, due: 0, held: 0 }),
        scripts: () => ({ live: 1, broken: 0, suspended: 0 }),
        tls: () => [],
        runs: () => [
          {
            script: "scripts/a.ts",
            verdicts: { proceed: 4, refuse: 1 },
            faults: { "script.threw": 2 },
            cpuMs: 1_500,
            waitMs: 250,
            heapKiBMax: 2,
          },
        ],
      }),
    );
    expect(Object.fromEntries([...values].filter(([name]) => name.startsWith("onarrival_script_")))).toEqual({
      'onarrival_script_verdicts_total{script="scripts/a.ts",verdict="proceed"}': 4,
      'onarrival_script_verdicts_total{script="scripts/a.ts",verdict="refuse"}': 1,
      'onarrival_script_faults_total{script="scripts/a.ts",code="script.threw"}': 2,
      'onarrival_script_cpu_seconds_total{script="scripts/a.ts"}': 1.5,
      'onarrival_script_wait_seconds_total{script="scripts/a.ts"}': 0.25,
      'onarrival_script_heap_bytes_max{script="scripts/a.ts"}': 2_048,
    });
  });

  test("tells the same counters again when asked twice", async () => {
    const metrics = create();
    metrics.received.accepted = 7;
    await metrics.text();
    expect((await read(metrics)).get('onarrival_messages_received_total{result="accepted"}')).toBe(7);
  });

  test("counts runs by script and result, with their time", async () => {
    const metrics = create();
    metrics.countRun("scripts/a.ts", "ok", 0.002);
    metrics.countRun("scripts/a.ts", "ok", 0.004);
    metrics.countRun("scripts/a.ts", "fault", 5);
    const values = await read(metrics);
    expect(values.get('onarrival_script_run_seconds_count{script="scripts/a.ts",result="ok"}')).toBe(2);
    expect(values.get('onarrival_script_run_seconds_sum{script="scripts/a.ts",result="ok"}')).toBeCloseTo(0.006);
    expect(values.get('onarrival_script_run_seconds_bucket{le="0.0025",script="scripts/a.ts",result="ok"}')).toBe(1);
    expect(values.get('onarrival_script_run_seconds_count{script="scripts/a.ts",result="fault"}')).toBe(1);
  });

  test("counts at most a thousand scripts by name, the rest together", async () => {
    const metrics = create();
    for (let i = 0; i < 1_003; i++) metrics.countRun(`scripts/${i}.ts`, "ok", 0.001);
    const values = await read(metrics);
    const names = [...values.keys()].filter(
      (name) => name.startsWith("onarrival_script_run_seconds_count") && name.includes('"ok"'),
    );
    expect(names).toHaveLength(1_001);
    expect(values.get('onarrival_script_run_seconds_count{script="(others)",result="ok"}')).toBe(3);
  });

  test("gives every metric the product's prefix and a sentence", async () => {
    const lines = (await create().text()).split("\n").filter((line) => line.startsWith("# HELP "));
    expect(lines.length).toBeGreaterThan(10);
    for (const line of lines) expect(line).toMatch(/^# HELP onarrival_\S+ [A-Z].*\.$/);
  });
});
