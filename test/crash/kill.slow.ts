/** RELIABILITY P1 and P2: 250 is custody, at least once, through 50 kills under load. */
import { expect, test } from "vitest";
import { formatKillRun, runKills } from "./kill.ts";

test("the server, killed 50 times under load, loses nothing it answered 250 to and delivers nothing it refused", {
  timeout: 420_000,
}, async () => {
  const run = await runKills({ kills: 50, seed: 20_260_101 });
  process.stdout.write(`${formatKillRun(run)}\n`);
  expect(run.report.violations).toEqual([]);
  expect(run.kills).toBeGreaterThanOrEqual(50);
  // A run in which hardly anything was sent, or no kill hit a message on its way, would prove nothing.
  expect(run.report.accepted).toBeGreaterThan(500);
  expect(run.report.largeBodies).toBeGreaterThan(10);
  expect(run.report.refused).toBeGreaterThan(10);
  expect(run.report.inDoubt).toBeGreaterThan(0);
});
