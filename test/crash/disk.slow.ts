/** RELIABILITY P1, P4 and §6 on disks that fail: full, read-only, syncs and writes that do not succeed. Nothing answered 250 is lost, and what comes back is taken again. */
import { execFileSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { describeWith } from "../support/describe-with.ts";
import { Site, type SiteOptions, waitFor } from "../support/site.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { requireTool } from "../support/tools.ts";
import { auditCustody, type Delivered } from "./custody.ts";
import { editingScript, Load } from "./load.ts";
import { readMaildirs, readMarks } from "./places.ts";

const config = `
[domains]
local = ["example.test"]
[spool]
disk_reserve = "512KiB"
inodes_reserve = 20
[delivery.retry]
first = "1s"
max = "2s"
`;

const options: SiteOptions = { config, scripts: { "edit.ts": editingScript } };

/** Whether this process may mount; where it may not, what needs it says so. */
const mayMount = (() => {
  try {
    const folder = mkdtempSync(join(tmpdir(), "onarrival-mount-"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], { stdio: "ignore" });
    execFileSync("umount", [folder]);
    rmSync(folder, { recursive: true });
    return true;
  } catch {
    return false;
  }
})();
if (!mayMount) console.log("NOT RUN, as this user may not mount: a disk of 8 MB that is full, one without inodes");

/** A site whose data folder is a disk of its own. */
async function withDisk(mountOptions: string, work: (site: Site, data: string) => Promise<void>): Promise<void> {
  let data = "";
  const site = await Site.start({
    ...options,
    prepare(folder) {
      data = join(folder, "data");
      execFileSync("mount", ["-t", "tmpfs", "-o", mountOptions, "tmpfs", data]);
    },
  });
  try {
    await work(site, data);
  } finally {
    await site.stop().catch(() => site.kill9());
    execFileSync("umount", [data]);
    await site.remove();
  }
}

/** The reply to the end of data, or the first refusal. */
async function sendOne(port: number, octets: number): Promise<number> {
  const client = await SmtpClient.connect(port);
  const body = "a line of text that fills the disk a little more\r\n".repeat(Math.ceil(octets / 50));
  const data = Buffer.from(`From: <s@example.org>\r\nSubject: x\r\n\r\n${body}`);
  try {
    return (await client.send({ from: "s@example.org", to: ["fill@example.test"], data })).code;
  } finally {
    client.close();
  }
}

/** What was delivered before somebody made room counts too. */
function audit(load: Load, data: string, before: readonly Delivered[] = []): readonly string[] {
  const delivered = [...before, ...readMaildirs(join(data, "mail/example.test"))];
  return auditCustody({
    journal: load.journal,
    delivered,
    queuedIds: new Set(),
    kills: [{ from: 0, to: Date.now() }],
  }).violations;
}

describe.skipIf(!mayMount)("a disk of its own", () => {
  test.each([
    ["of 8 MB", "size=8m,nr_inodes=4000", 20],
    ["with 120 inodes", "size=64m,nr_inodes=120", 10],
  ])(
    "%s fills up: clients hear 452, and mail is taken and delivered again once there is room",
    {
      timeout: 120_000,
    },
    async (what, mountOptions, acceptedMin) => {
      await withDisk(mountOptions, async (site, data) => {
        const load = new Load({ port: site.smtpPort, sessions: 3, seed: 12 });
        load.start();
        await waitFor(() => load.journal.refused.find(({ reply }) => reply.startsWith("452 4.3.1")), "a 452", 60_000);
        // It goes on like that for a while: nothing is taken that cannot be kept.
        await sleep(1_500);
        await load.stop();
        expect(load.journal.refused.filter(({ reply }) => /^4(?!52 4\.3\.1|51 4\.7\.1)/.test(reply))).toEqual([]);
        // Somebody reads his mail: room again, and nobody has to restart anything. What waited for room is delivered.
        const read: Delivered[] = [];
        const readMail = () => {
          // File by file: what comes while we read is for the next time.
          for (const file of globSync(join(data, "mail/example.test/*/new/*"))) {
            const place = basename(dirname(dirname(file)));
            read.push({ place, writtenAt: statSync(file).mtimeMs, ...readMarks(readFileSync(file)) });
            rmSync(file);
          }
        };
        const reader = setInterval(readMail, 500);
        try {
          const send = async () => ((await sendOne(site.smtpPort, 2_000)) === 250 ? 250 : undefined);
          expect(await retryFor(send, 20_000)).toBe(250);
          await site.drained();
        } finally {
          clearInterval(reader);
        }
        expect(audit(load, data, read)).toEqual([]);
        expect(load.journal.accepted.length).toBeGreaterThan(acceptedMin);
        process.stdout.write(
          `a disk ${what}: ${load.journal.accepted.length} taken before it was full, all delivered in the end; ${load.journal.refused.length} refused or deferred; taken again when there was room\n`,
        );
      });
    },
  );
});

describeWith(["strace"], "a disk whose calls fail", () => {
  test.each([
    ["syncs of data", "fdatasync:error=EIO:when=30..40"],
    ["syncs of folders and the log", "fsync:error=EIO:when=20..24"],
    ["writes", "pwrite64:error=EIO:when=120..124"],
    ["writes without room", "pwrite64:error=ENOSPC:when=120..160"],
    ["names", "rename:error=EIO:when=10..12"],
    ["everything, as of a disk that turned read-only", "pwrite64,fsync,fdatasync,rename:error=EROFS:when=300+"],
  ])(
    "%s: what was answered 250 is there after a restart, what was not is not",
    { timeout: 120_000 },
    async (_what, inject) => {
      const site = await Site.start({
        ...options,
        under: [
          requireTool("strace"),
          "-f",
          "-qq",
          "-o",
          "/dev/null",
          "-e",
          `trace=${inject.split(":")[0]}`,
          "-e",
          `inject=${inject}`,
          "-e",
          "signal=none",
        ],
        env: { UV_USE_IO_URING: "0" },
      });
      const load = new Load({ port: site.smtpPort, sessions: 3, seed: 15, messagesMax: 150 });
      try {
        load.start();
        await Promise.race([load.finished(), sleep(30_000)]);
        await load.stop();
        await site.stop().catch(() => site.kill9());
        const again = await Site.start({
          ...options,
          prepare: (folder) => execFileSync("cp", ["-a", `${site.dataFolder}/.`, join(folder, "data")]),
        });
        try {
          await again.drained();
          expect(audit(load, again.dataFolder)).toEqual([]);
          process.stdout.write(
            `${inject}: ${load.journal.accepted.length} answered 250, ${load.journal.refused.length} otherwise; 0 lost, 0 wrong\n`,
          );
        } finally {
          await again.remove();
        }
      } finally {
        await load.stop();
        await site.remove();
      }
    },
  );
});

async function retryFor<T>(ask: () => Promise<T | undefined>, timeoutMs: number): Promise<T | undefined> {
  for (const end = performance.now() + timeoutMs; performance.now() < end; await sleep(250)) {
    const answer = await ask().catch(() => undefined);
    if (answer !== undefined) return answer;
  }
  return undefined;
}
