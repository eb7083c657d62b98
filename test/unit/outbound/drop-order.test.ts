import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { describeWith } from "../../support/describe-with.ts";
import { readTrace } from "../../support/syscall-trace.ts";

const writerPath = new URL("./drop-writer.ts", import.meta.url).pathname;

describeWith(["strace"], "DropFolder.deliver: the order of syncs", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "drop-order-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test("the folder, then the file, then its name, each synced before the next counts", async () => {
    const trace = join(folder, "trace");
    const calls = "trace=fsync,fdatasync,mkdir,rename,renameat,renameat2,write";
    const drop = join(folder, "drop");
    const command = ["-f", "-y", "-qq", "-o", trace, "-e", calls, process.execPath, writerPath, drop];
    expect(spawnSync("strace", command).stdout.toString()).toBe("delivered\n");
    const names: readonly (readonly [RegExp, string])[] = [
      [/mkdir\(.*drop"/, "mkdir"],
      [new RegExp(`fsync\\(\\d+<${folder}>`), "sync above the folder"],
      [new RegExp(`fdatasync\\(\\d+<${drop}/\\.`), "sync file"],
      [new RegExp(`rename(?:at2?)?\\(.*${drop}/\\w{16}-\\w{32}\\.eml"`), "rename"],
      [new RegExp(`fsync\\(\\d+<${drop}>`), "sync folder"],
      [/write\(1<.*"delivered/, "delivered"],
    ];
    const seen = (await readTrace(trace))
      .map((line) => names.find(([pattern]) => pattern.test(line))?.[1])
      .filter((name) => name !== undefined);
    expect(seen).toEqual(["mkdir", "sync above the folder", "sync file", "rename", "sync folder", "delivered"]);
  });

  const kills = [
    { at: "drop.before-rename", files: [expect.stringMatching(/^\..*\.tmp$/)] },
    { at: "drop.written", files: [expect.stringMatching(/^\w{16}-\w{32}\.eml$/)] },
  ];
  test.each(kills)("killed at $at: the file is whole under its name, or it has none", async ({ at, files }) => {
    const drop = join(folder, "drop");
    const env = { ...process.env, ONARRIVAL_CRASH_AT: at };
    const ran = spawnSync(process.execPath, [writerPath, drop], { env });
    expect(ran.signal).toBe("SIGKILL");
    expect(ran.stdout.toString()).toBe("");
    expect(await readdir(drop)).toEqual(files);
  });
});
