/** RELIABILITY P1 and P2: 250 is custody, at least once, through 50 kills under load; and the audit that says so can fail. */
import { describe, expect, test } from "vitest";
import { auditCustody, type CustodyEvidence, type Delivered } from "./custody.ts";
import { formatKillRun, runKills } from "./kill.ts";

describe("auditCustody", () => {
  const accepted = { marker: "m1", id: "0000000000000001", users: ["ada"], bodyHash: "aa", bodyOctets: 10 };
  const copy: Delivered = { marker: "m1", user: "ada", bodyHash: "aa", edited: true, writtenAt: 100 };
  const sound: CustodyEvidence = {
    journal: { accepted: [accepted], refused: [{ marker: "m2", reply: "550 no" }], inDoubt: ["m3"] },
    delivered: [copy],
    queuedIds: new Set(),
    kills: [{ from: 150, to: 160 }],
  };

  test.each<[why: string, change: Partial<CustodyEvidence>, violation: RegExp | undefined]>([
    ["delivered once, as it was sent", {}, undefined],
    ["still queued is custody too", { delivered: [], queuedIds: new Set(["0000000000000001"]) }, undefined],
    ["neither delivered nor queued is a loss", { delivered: [] }, /neither delivered nor queued/],
    [
      "delivered to another mailbox is a loss",
      { delivered: [{ ...copy, user: "grace" }] },
      /neither delivered nor queued/,
    ],
    ["another body is a loss", { delivered: [{ ...copy, bodyHash: "bb" }] }, /the body differs/],
    ["edits belong to the message", { delivered: [{ ...copy, edited: false }] }, /without the script's edits/],
    [
      "a refused message must not arrive",
      { delivered: [copy, { ...copy, marker: "m2" }] },
      /m2: delivered although it was answered 550 no/,
    ],
    ["a message in doubt may arrive", { delivered: [copy, { ...copy, marker: "m3" }] }, undefined],
    ["a duplicate over a kill is allowed", { delivered: [copy, { ...copy, writtenAt: 200 }] }, undefined],
    [
      "a duplicate without a kill is not",
      { delivered: [copy, { ...copy, writtenAt: 140 }] },
      /delivered twice without a kill/,
    ],
    [
      "the third copy needs a kill of its own",
      { delivered: [copy, { ...copy, writtenAt: 200 }, { ...copy, writtenAt: 300 }] },
      /twice without a kill/,
    ],
  ])("says what does not hold: %s", (_why, change, violation) => {
    const { violations } = auditCustody({ ...sound, ...change });
    if (violation === undefined) expect(violations).toEqual([]);
    else expect(violations.join("\n")).toMatch(violation);
  });
});

describe("the server, killed with SIGKILL under load", () => {
  test("loses nothing it answered 250 to, and delivers nothing it refused", { timeout: 300_000 }, async () => {
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
});
