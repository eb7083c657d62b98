/**
 * Kills a server again and again with SIGKILL while several sessions send, starts it each time, and audits what became of every message.
 * `node test/crash/kill.ts [KILLS [SEED [onarrival|postfix|exim]…]]` runs it alone and prints the counts, side by side where several are named.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { auditCustody, type CustodyReport, type KillWindow } from "./custody.ts";
import { createRandom, Load } from "./load.ts";
import { startExim, startOurs, startPostfix, type Victim } from "./victim.ts";

export interface KillRun {
  readonly name: string;
  readonly report: CustodyReport;
  readonly kills: number;
  /** Of these, while the server was starting and recovering. */
  readonly killsWhileStarting: number;
  readonly startMsMedian: number;
  readonly startMsMax: number;
  readonly seconds: number;
}

/** The servers by name. */
const starters = { onarrival: startOurs, postfix: startPostfix, exim: startExim } as const;

export async function runKills({
  kills,
  seed,
  sessions = 6,
  start = startOurs,
}: {
  readonly kills: number;
  readonly seed: number;
  readonly sessions?: number;
  readonly start?: () => Promise<Victim>;
}): Promise<KillRun> {
  const began = performance.now();
  const random = createRandom(seed);
  const windows: KillWindow[] = [];
  const startsMs: number[] = [];
  let killsWhileStarting = 0;
  const victim = await start();
  const { name, smtpPort, addressees, idPattern, isEdited } = victim;
  const load = new Load({ port: smtpPort, sessions, seed, addressees, idPattern, asksForRefusals: isEdited });
  try {
    load.start();
    const killNow = async (): Promise<void> => {
      const from = Date.now() - 1;
      await victim.kill9();
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
        const cut = victim.up().catch(() => {});
        await sleep(50 + random() * 500);
        await killNow();
        await cut;
        killsWhileStarting++;
      }
      const startBegan = performance.now();
      await victim.up();
      startsMs.push(performance.now() - startBegan);
    }
    await load.stop();
    const queuedIds = await victim.settle();
    const delivered = victim.delivered();
    const report = auditCustody({ journal: load.journal, delivered, queuedIds, kills: windows, isEdited });
    startsMs.sort((one, other) => one - other);
    return {
      name,
      report,
      kills: windows.length,
      killsWhileStarting,
      startMsMedian: Math.round(startsMs[startsMs.length >> 1] ?? 0),
      startMsMax: Math.round(startsMs.at(-1) ?? 0),
      seconds: Math.round((performance.now() - began) / 100) / 10,
    };
  } finally {
    await load.stop();
    await victim.remove();
  }
}

/** The counts as lines for people. */
export function formatKillRun({
  name,
  report,
  kills,
  killsWhileStarting,
  startMsMedian,
  startMsMax,
  seconds,
}: KillRun): string {
  return [
    `${name}: ${kills} kills -9 under load in ${seconds} s (${killsWhileStarting} of them while the server was starting); start to ready: median ${startMsMedian} ms, longest ${startMsMax} ms`,
    `answered 250: ${report.accepted} (bodies above 256 KiB: ${report.largeBodies}) · answered 4yz or 5yz: ${report.refused} · without an answer: ${report.inDoubt} (delivered after all: ${report.inDoubtDelivered})`,
    `deliveries found: ${report.deliveries} · still queued: ${report.queued} · duplicates from kill windows: ${report.duplicates}`,
    report.violations.length === 0
      ? "lost: 0, wrong: 0"
      : `VIOLATIONS: ${report.violations.length}\n  ${report.violations.slice(0, 20).join("\n  ")}`,
  ].join("\n");
}

if (import.meta.main) {
  const [kills = "50", seed = String(Date.now() % 1_000_000), ...names] = process.argv.slice(2);
  for (const name of names.length > 0 ? names : ["onarrival"]) {
    if (!Object.hasOwn(starters, name))
      throw new Error(`There is no server ${name}: expected ${Object.keys(starters).join(", ")}`);
    const run = await runKills({
      kills: Number(kills),
      seed: Number(seed),
      start: starters[name as keyof typeof starters],
    });
    process.stdout.write(`${formatKillRun(run)}\n\n`);
    if (run.report.violations.length > 0) process.exitCode = 1;
  }
}
