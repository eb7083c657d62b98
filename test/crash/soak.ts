/**
 * A long run at a low rate with faults mixed in: a next hop that comes and goes, sandbox processes killed, reloads, idle and half-open clients, clients that break off.
 * Watches memory and descriptors for a slope, and audits custody at the end. `node test/crash/soak.ts [MINUTES [SEED]]`; exit status 1 where something does not hold.
 */
import { readdirSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { processesBelow } from "../support/site.ts";
import { auditCustody } from "./custody.ts";
import { heapSignal, readLiveHeapMiB } from "./live-heap.ts";
import { createRandom, Load } from "./load.ts";
import { reporter, WideSite, wideAddressees } from "./wide-site.ts";

interface Sample {
  readonly minutes: number;
  readonly rssMiB: number;
  readonly descriptors: number;
}

export interface SoakRun {
  readonly minutes: number;
  readonly accepted: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly samples: readonly Sample[];
  /** What the heap holds behind a collection, at a third, two thirds and the end. The process itself grows as its collector likes, and says little. */
  readonly liveHeapMiB: readonly number[];
  /** Growth an hour behind the first third, by least squares. */
  readonly descriptorsPerHour: number;
  readonly violations: readonly string[];
}

export async function runSoak({
  minutes,
  seed,
}: {
  readonly minutes: number;
  readonly seed: number;
}): Promise<SoakRun> {
  const random = createRandom(seed);
  const wide = await WideSite.start({ seed, env: heapSignal });
  const { site } = wide;
  const load = new Load({
    port: site.smtpPort,
    sessions: 4,
    seed,
    addressees: wideAddressees,
    from: reporter,
    pauseMs: 150,
  });
  const samples: Sample[] = [];
  const liveHeapMiB: number[] = [];
  const faults: Record<string, number> = {};
  const idle = new Set<Socket>();
  const open = (octets: string): void => {
    const socket = connect({ port: site.smtpPort, host: "127.0.0.1" });
    idle.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => idle.delete(socket));
    socket.write(octets);
    setTimeout(() => socket.destroy(), 5_000 + random() * 20_000).unref();
  };
  const work: readonly (readonly [name: string, act: () => void])[] = [
    ["next hop away or back", () => wide.peer.setAway(random() < 0.4)],
    [
      "sandbox process killed",
      () => {
        for (const { pid, command } of processesBelow(site.pid))
          if (/sandbox[^ ]*\/child\./.test(command)) process.kill(pid, "SIGKILL");
      },
    ],
    ["reload", () => process.kill(site.pid, "SIGHUP")],
    ["idle client", () => open("EHLO idle.example\r\n")],
    [
      "client in the middle of its data",
      () => open("EHLO x.example\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<ada@example.test>\r\nDATA\r\nSubject: half"),
    ],
    ["garbage", () => open("\u0016\u0003\u0001 no SMTP at all\r\n".repeat(30))],
    ["picked up", () => wide.pick()],
  ];
  const began = performance.now();
  const elapsed = () => (performance.now() - began) / 60_000;
  try {
    load.start();
    let faultAt = 0;
    let sampleAt = 0;
    while (elapsed() < minutes) {
      if (performance.now() >= faultAt) {
        const [name, act] = work[Math.floor(random() * work.length)]!;
        act();
        faults[name] = (faults[name] ?? 0) + 1;
        faultAt = performance.now() + 300 + random() * 1_500;
      }
      if (elapsed() >= ((liveHeapMiB.length + 1) * minutes) / 3) liveHeapMiB.push(await readLiveHeapMiB(site));
      if (performance.now() >= sampleAt) {
        samples.push({ minutes: elapsed(), ...usageOf(site.pid) });
        sampleAt = performance.now() + Math.max(1_000, minutes * 300);
      }
      await sleep(100);
    }
    await load.stop();
    liveHeapMiB.push(await readLiveHeapMiB(site));
    for (const socket of idle) socket.destroy();
    wide.peer.setAway(false);
    await site.cli(["queue", "retry", "--all"]);
    await site.drained(120_000);
    const journal = { ...load.journal, accepted: [...load.journal.accepted, ...wide.picked] };
    // A sandbox process that is killed hands the message to onFault: deferred, and the client keeps it. A peer that goes away after the dot makes duplicates.
    const { violations } = auditCustody({
      journal,
      delivered: wide.delivered(),
      queuedIds: new Set(),
      kills: [{ from: 0, to: Date.now() + 1 }],
    });
    const settled = samples.filter((sample) => sample.minutes >= minutes / 3);
    return {
      minutes,
      accepted: load.journal.accepted.length,
      faults,
      samples,
      liveHeapMiB,
      descriptorsPerHour: slopeOf(settled, ({ descriptors }) => descriptors),
      violations,
    };
  } finally {
    await load.stop();
    for (const socket of idle) socket.destroy();
    await wide.remove();
  }
}

/** Of the server's own process. Linux. */
function usageOf(pid: number): Omit<Sample, "minutes"> {
  const rssKiB = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
  return { rssMiB: Math.round(Number(rssKiB) / 102.4) / 10, descriptors: readdirSync(`/proc/${pid}/fd`).length };
}

/** Growth an hour, by least squares. */
function slopeOf(samples: readonly Sample[], valueIn: (sample: Sample) => number): number {
  const n = samples.length;
  const meanX = samples.reduce((sum, sample) => sum + sample.minutes, 0) / n;
  const meanY = samples.reduce((sum, sample) => sum + valueIn(sample), 0) / n;
  const above = samples.reduce((sum, sample) => sum + (sample.minutes - meanX) * (valueIn(sample) - meanY), 0);
  const below = samples.reduce((sum, sample) => sum + (sample.minutes - meanX) ** 2, 0);
  return Math.round((above / below) * 60 * 10) / 10;
}

export function formatSoakRun(run: SoakRun): string {
  const { minutes, accepted, faults, samples, liveHeapMiB, descriptorsPerHour, violations } = run;
  const every = Math.max(1, Math.floor(samples.length / 10));
  const rows = samples
    .filter((_, i) => i % every === 0)
    .map(
      (one) =>
        `  ${one.minutes.toFixed(1).padStart(6)} min  ${one.rssMiB.toFixed(1).padStart(7)} MiB  ${String(one.descriptors).padStart(4)} descriptors`,
    );
  return [
    `${minutes} minutes: ${accepted} answered 250; ${Object.entries(faults)
      .map(([name, times]) => `${name} ${times}`)
      .join(", ")}`,
    ...rows,
    `live heap at a third, two thirds and the end: ${liveHeapMiB.join(", ")} MiB; descriptors: ${descriptorsPerHour} an hour behind the first third`,
    violations.length === 0
      ? "lost: 0, wrong: 0"
      : `VIOLATIONS: ${violations.length}\n  ${violations.slice(0, 20).join("\n  ")}`,
  ].join("\n");
}

if (import.meta.main) {
  const [minutes = "30", seed = String(Date.now() % 1_000_000)] = process.argv.slice(2);
  const run = await runSoak({ minutes: Number(minutes), seed: Number(seed) });
  process.stdout.write(`${formatSoakRun(run)}\n`);
  const [early = 0] = run.liveHeapMiB;
  const grown = run.liveHeapMiB.at(-1)! - early;
  if (run.violations.length > 0 || grown > 5 || run.descriptorsPerHour > 10) process.exitCode = 1;
}
