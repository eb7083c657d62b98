/** RELIABILITY P8: the sandbox process may die at any moment; no client notices, no message goes by unedited unless `onFault` says so. */
import { expect, test } from "vitest";
import { processesBelow, Site, waitFor } from "../support/site.ts";
import { auditCustody } from "./custody.ts";
import { editingScript, Load } from "./load.ts";
import { readMaildirs } from "./places.ts";

test("the server answers 250 and edits every message while its sandbox processes are killed under load", {
  timeout: 120_000,
}, async () => {
  const site = await Site.start({ scripts: { "edit.ts": `export const onFault = "proceed";\n${editingScript}` } });
  const load = new Load({ port: site.smtpPort, sessions: 6, seed: 8 });
  try {
    const killed = new Set<number>();
    load.start();
    const accepted = load.journal.accepted;
    for (let round = 0, answered = 0; round < 12; round++, answered = accepted.length) {
      // Mail goes through the process that is to die: the kill hits runs under way, not a process on its way up.
      await waitFor(
        () => accepted.length >= answered + 25 || undefined,
        "mail through the new sandbox process",
        15_000,
      );
      for (const { pid, command } of processesBelow(site.pid)) {
        if (!/sandbox[^ ]*\/child\./.test(command) || killed.has(pid)) continue;
        process.kill(pid, "SIGKILL");
        killed.add(pid);
      }
    }
    await load.stop();
    await site.drained();

    const { refused, inDoubt } = load.journal;
    const delivered = readMaildirs(`${site.dataFolder}/mail/example.test`);
    const unedited = new Set(delivered.filter((one) => !one.edited).map((one) => one.marker));
    const faults = site.log().filter((line) => line.event === "script.failed" && line.code === "script.died").length;
    process.stdout.write(
      `${killed.size} sandbox processes killed under load: ${accepted.length} answered 250, ${unedited.size} handled by onFault, ${refused.length} refused as they asked\n`,
    );

    expect(inDoubt).toEqual([]);
    expect(killed.size).toBeGreaterThanOrEqual(12);
    expect(accepted.length).toBeGreaterThanOrEqual(300);
    // Only what asked for it was refused: a fault of the sandbox is none of the client's business here.
    expect(refused.filter(({ reply }) => !/^550 5\.7\.1 Not this one$|^451 4\.7\.1 Not now$/.test(reply))).toEqual([]);
    // What went by unedited was handed to onFault, and the log says so.
    expect(unedited.size).toBeLessThanOrEqual(faults);
    const { violations } = auditCustody({ journal: load.journal, delivered, queuedIds: new Set(), kills: [] });
    expect(violations.filter((violation) => !violation.includes("without the script's edits"))).toEqual([]);
    // At most the run in the hands of a killed process can go by unedited, and that only after its repeats died too.
    expect(unedited.size).toBeLessThanOrEqual(killed.size);
  } finally {
    await load.stop();
    await site.remove();
  }
});
