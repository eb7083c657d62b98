/**
 * Kills the server again and again with SIGKILL while several sessions send, starts it each time, and audits what became of every message.
 * `node test/crash/kill.ts [KILLS [SEED]]` runs it alone and prints the counts.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Site } from "../support/site.ts";
import { auditCustody, type CustodyReport, type KillWindow, readDelivered } from "./custody.ts";
import { createRandom, editingScript, Load } from "./load.ts";

export interface KillRun {
  readonly report: CustodyReport;
  readonly kills: number;
  /** Of these, while the server was starting and recovering. */
  readonly killsWhileStarting: number;
  readonly startMsMedian: number;
  readonly startMsMax: number;
  readonly seconds: number;
}

export async function runKills({
  kills,
  seed,
  sessions = 6,
}: {
  readonly kills: number;
  readonly seed: number;
  readonly sessions?: number;
}): Promise<KillRun> {
  const began = performance.now();
  const random = createRandom(seed);
  const windows: KillWindow[] = [];
  const startsMs: number[] = [];
  let killsWhileStarting = 0;
  const site = await Site.start({ scripts: { "edit.ts": editingScript } });
  const load = new Load({ port: site.smtpPort, sessions, seed });
  try {
    load.start();
    const killNow = async (): Promise<void> => {
      const from = Date.now() - 1;
      await site.kill9();
      windows.push({ from, to: Date.now() + 1 });
    };
    while (windows.length < kills) {
      // A kill hits a server at work: some messages in, then a moment of chance; where the machine is slow, after a while in any case.
      const wanted = load.journal.accepted.length + 5 + Math.floor(random() * 35);
      for (const end = performance.now() + 2_000; load.journal.accepted.length < wanted && performance.now() < end; )
        await sleep(2);
      await sleep(random() * 30);
      await killNow();
      if (windows.length % 10 === 5 && windows.length < kills) {
        // Recovery must bear a kill too: this start is cut off somewhere on its way.
        const start = site.up().catch(() => {});
        await sleep(50 + random() * 500);
        await killNow();
        await start;
        killsWhileStarting++;
      }
      const startBegan = performance.now();
      await site.up();
      startsMs.push(performance.now() - startBegan);
    }
    await load.stop();
    await site.drained();
    const queuedIds = new Set(await site.queuedIds());
    const report = auditCustody({
      journal: load.journal,
      delivered: readDelivered(join(site.dataFolder, "mail/example.test")),
      queuedIds,
      kills: windows,
    });
    startsMs.sort((one, other) => one - other);
    return {
      report,
      kills: windows.length,
      killsWhileStarting,
      startMsMedian: Math.round(startsMs[startsMs.length >> 1] ?? 0),
      startMsMax: Math.round(startsMs.at(-1) ?? 0),
      seconds: Math.round((performance.now() - began) / 100) / 10,
    };
  } finally {
    await load.stop();
    await site.remove();
  }
}

/** The counts as lines for people. */
export function formatKillRun({
  report,
  kills,
  killsWhileStarting,
  startMsMedian,
  startMsMax,
  seconds,
}: KillRun): string {
  return [
    `${kills} kills -9 under load in ${seconds} s (${killsWhileStarting} of them while the server was starting); start to ready: median ${startMsMedian} ms, longest ${startMsMax} ms`,
    `answered 250: ${report.accepted} (bodies above 256 KiB: ${report.largeBodies}) · answered 4yz or 5yz: ${report.refused} · without an answer: ${report.inDoubt} (delivered after all: ${report.inDoubtDelivered})`,
    `deliveries found: ${report.deliveries} · still queued: ${report.queued} · duplicates from kill windows: ${report.duplicates}`,
    report.violations.length === 0
      ? "lost: 0, wrong: 0"
      : `VIOLATIONS: ${report.violations.length}\n  ${report.violations.slice(0, 20).join("\n  ")}`,
  ].join("\n");
}

if (import.meta.main) {
  const run = await runKills({
    kills: Number(process.argv[2] ?? 50),
    seed: Number(process.argv[3] ?? Date.now() % 1_000_000),
  });
  process.stdout.write(`${formatKillRun(run)}\n`);
  process.exitCode = run.report.violations.length === 0 ? 0 : 1;
}
