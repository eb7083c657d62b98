import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { describeWith } from "../../support/describe-with.ts";
import { readTrace } from "../../support/syscall-trace.ts";

const writerPath = new URL("../../support/maildir-writer.ts", import.meta.url).pathname;

describeWith(["strace"], "MaildirStore.deliver: the order of syncs", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "maildir-order-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test("folders, then the file, then its name, each synced before the next counts", async () => {
    const trace = join(folder, "trace");
    const calls = "trace=fsync,fdatasync,mkdir,link,linkat,write";
    const ran = spawnSync("strace", [
      "-f",
      "-y",
      "-qq",
      "-o",
      trace,
      "-e",
      calls,
      process.execPath,
      writerPath,
      join(folder, "mail"),
    ]);
    expect(ran.stdout.toString()).toBe("delivered\n");
    const maildir = `${folder}/mail/example.test/grace`;
    const names: readonly (readonly [RegExp, string])[] = [
      [new RegExp(`fsync\\(\\d+<${folder}>`), "sync above the root"],
      [new RegExp(`fsync\\(\\d+<${folder}/mail>`), "sync root"],
      [new RegExp(`fsync\\(\\d+<${folder}/mail/example\\.test>`), "sync domain"],
      [new RegExp(`fsync\\(\\d+<${maildir}>`), "sync user"],
      [new RegExp(`fdatasync\\(\\d+<${maildir}/tmp/`), "sync file"],
      [new RegExp(`link(at)?\\(.*${maildir}/new/`), "link"],
      [new RegExp(`fsync\\(\\d+<${maildir}/new>`), "sync new"],
      [/write\(1<.*"delivered/, "delivered"],
    ];
    const seen = (await readTrace(trace))
      .map((line) => names.find(([pattern]) => pattern.test(line))?.[1])
      .filter((name) => name !== undefined);
    // Of each the last time it happened: all folders are durable before the file is linked, and the link before it counts.
    expect([...new Set(seen.toReversed())].toReversed().slice(-4)).toEqual([
      "sync file",
      "link",
      "sync new",
      "delivered",
    ]);
    expect(new Set(seen.slice(0, seen.indexOf("sync file")))).toEqual(
      new Set(["sync above the root", "sync root", "sync domain", "sync user"]),
    );
  });

  const kills = [
    { at: "maildir.before-rename", tmp: 1, new: 0 },
    { at: "maildir.written", tmp: 1, new: 1 },
  ];
  test.each(kills)("killed at $at: $new files in new, and nobody heard of it", async ({ at, ...files }) => {
    const env = { ...process.env, ONARRIVAL_CRASH_AT: at };
    const ran = spawnSync(process.execPath, [writerPath, join(folder, "mail")], { env });
    expect([ran.signal, ran.stdout.toString()]).toEqual(["SIGKILL", ""]);
    const maildir = join(folder, "mail/example.test/grace");
    for (const [name, count] of Object.entries(files)) expect(await readdir(join(maildir, name))).toHaveLength(count);
  });
});
