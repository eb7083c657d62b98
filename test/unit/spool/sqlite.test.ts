import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Message } from "../../../src/mail/message.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { inlineBodyOctetsMax, type Spool } from "../../../src/spool/spool.ts";
import { openSqliteSpool } from "../../../src/spool/sqlite.ts";
import { describeWith } from "../../support/describe-with.ts";
import { createRecordingLog } from "../../support/recording-log.ts";
import { createSampleMessage } from "../../support/sample-message.ts";
import { readTrace } from "../../support/syscall-trace.ts";

const writerPath = new URL("../../support/spool-writer.ts", import.meta.url).pathname;

let folder = "";
let open: Spool[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sqlite-"));
});
afterEach(async () => {
  for (const spool of open.splice(0)) await spool.close();
  open = [];
  await rm(folder, { recursive: true, force: true });
});

async function openSpool(log = createRecordingLog(), where = folder) {
  const spool = await openSqliteSpool({ folder: where, log });
  open.push(spool);
  return { spool, log };
}

async function acceptLong(spool: Spool): Promise<Message> {
  const writer = spool.createBody();
  await writer.write(Buffer.alloc(inlineBodyOctetsMax + 1, "x"));
  const message = createSampleMessage({ body: await writer.finish() });
  await spool.accept([message], 0);
  return message;
}

const bodies = (where = folder) => readdir(join(where, "bodies"));
const delivered = { index: 0, state: "delivered", attempts: 1, nextAttemptAt: 0, lastOutcome: "" } as const;

/** Runs the writer; resolves with what it said once it ended. */
function runWriter(
  args: readonly (string | number)[],
  onLine: (line: string, child: ChildProcess) => void = () => {},
  wrapper: readonly string[] = [],
): Promise<string[]> {
  const [command = "", ...rest] = [...wrapper, process.execPath, writerPath, ...args.map(String)];
  const child = spawn(command, rest, { stdio: ["ignore", "pipe", "inherit"] });
  const lines: string[] = [];
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString();
    const whole = text.split("\n");
    text = whole.pop() ?? "";
    for (const line of whole) {
      lines.push(line);
      onLine(line, child);
    }
  });
  return new Promise((resolve) => child.on("close", () => resolve(lines)));
}

const idsOf = (lines: readonly string[], verb: string) =>
  lines.filter((line) => line.startsWith(`${verb} `)).map((line) => line.slice(verb.length + 1));

describe("openSqliteSpool: files of bodies", () => {
  test("are removed after the row that refers to them, and only then", async () => {
    const { spool } = await openSpool();
    const message = await acceptLong(spool);
    expect(await bodies()).toHaveLength(1);
    await spool.record(message.id, [{ ...delivered, state: "queued" }]);
    expect(await bodies()).toHaveLength(1);
    await spool.record(message.id, [delivered]);
    expect(await bodies()).toEqual([]);
  });

  test("are never named for the message", async () => {
    const { spool } = await openSpool();
    const message = await acceptLong(spool);
    expect((await bodies())[0]).toMatch(/^[0-9a-f]{32}$/);
    expect((await bodies())[0]).not.toContain(message.id.toLowerCase());
  });

  test("are not made for a body at the inline limit", async () => {
    const { spool } = await openSpool();
    const writer = spool.createBody();
    await writer.write(Buffer.alloc(inlineBodyOctetsMax));
    expect((await writer.finish()).file).toBeUndefined();
    expect(await bodies()).toEqual([]);
  });

  test.each([
    { why: "before it is finished", finish: false },
    { why: "after it is finished", finish: true },
  ])("go with discard $why", async ({ finish }) => {
    const { spool } = await openSpool();
    const writer = spool.createBody();
    await writer.write(Buffer.alloc(inlineBodyOctetsMax + 1));
    if (finish) await writer.finish();
    expect(await bodies()).toHaveLength(1);
    await writer.discard();
    expect(await bodies()).toEqual([]);
  });

  test("stay with who wrote them when the spool does not take the message", async () => {
    const { spool } = await openSpool();
    const taken = createSampleMessage();
    await spool.accept([taken], 0);
    const writer = spool.createBody();
    await writer.write(Buffer.alloc(inlineBodyOctetsMax + 1));
    const message = createSampleMessage({ id: taken.id, body: await writer.finish() });
    await expect(spool.accept([message], 0)).rejects.toMatchObject({ code: "spool.failed" });
    expect(await bodies()).toHaveLength(1);
    await writer.discard();
    expect(await bodies()).toEqual([]);
  });

  test("that the spool made for a long body in memory go when it does not take the message", async () => {
    const { spool } = await openSpool();
    const taken = createSampleMessage();
    await spool.accept([taken], 0);
    const message = createSampleMessage({
      id: taken.id,
      data: `Subject: x\r\n\r\n${"x".repeat(inlineBodyOctetsMax + 1)}`,
    });
    await expect(spool.accept([message], 0)).rejects.toMatchObject({ code: "spool.failed" });
    expect(await bodies()).toEqual([]);
  });

  test("that are gone already keep a second message from being taken", async () => {
    const { spool } = await openSpool();
    const first = await acceptLong(spool);
    await spool.record(first.id, [delivered]);
    const second = createSampleMessage({ body: first.body });
    await expect(spool.accept([second], 0)).rejects.toMatchObject({
      code: "spool.failed",
      message: expect.stringContaining("body is gone"),
    });
  });

  test("that grew shorter are a fault and not a shorter message", async () => {
    const { spool } = await openSpool();
    const message = await acceptLong(spool);
    await writeFile(message.body.file!, "short");
    const { body } = (await spool.load(message.id))!;
    await expect(body.octets()).rejects.toMatchObject({ code: "spool.failed" });
    await expect(
      (async () => {
        for await (const chunk of body.chunks()) expect(chunk.length).toBeGreaterThan(0);
      })(),
    ).rejects.toMatchObject({ code: "spool.failed" });
  });
});

describe("openSqliteSpool: recovery", () => {
  test("removes files no message refers to, and leaves what is not ours", async () => {
    const { spool } = await openSpool();
    const message = await acceptLong(spool);
    await spool.close();
    const orphan = "0123456789abcdef0123456789abcdef";
    await writeFile(join(folder, "bodies", orphan), "left by a crash");
    await writeFile(join(folder, "bodies", "notes.txt"), "somebody's");
    const { log, spool: reopened } = await openSpool();
    expect((await bodies()).includes(orphan)).toBe(false);
    expect((await bodies()).includes("notes.txt")).toBe(true);
    expect(log.of("spool.opened")).toMatchObject([
      { fields: { messages: 1, recipients: 1, orphansRemoved: 1, bodiesMissing: 0 } },
    ]);
    expect((await (await reopened.load(message.id))!.body.octets()).length).toBe(inlineBodyOctetsMax + 1);
  });

  test("tells loudly of a message whose body is gone, and keeps it", async () => {
    const { spool } = await openSpool();
    const message = await acceptLong(spool);
    await spool.close();
    await unlink(message.body.file!);
    const { log, spool: reopened } = await openSpool();
    expect(log.of("spool.body-missing")).toMatchObject([
      { level: "error", fields: { message: message.id, file: message.body.file } },
    ]);
    expect((await reopened.list()).map(({ messageId }) => messageId)).toEqual([message.id]);
    await expect((await reopened.load(message.id))!.body.octets()).rejects.toMatchObject({ code: "spool.failed" });
  });

  test.each([
    { why: "short bodies", octets: 1_000, atOnce: 20, lines: 400 },
    { why: "bodies in files", octets: inlineBodyOctetsMax + 1, atOnce: 4, lines: 40 },
    { why: "killed at once", octets: 1_000, atOnce: 20, lines: 1 },
  ])(
    "a kill -9 loses nothing that was accepted, and brings back nothing that was done: $why",
    async ({ octets, atOnce, lines: linesWanted }) => {
      let count = 0;
      const lines = await runWriter([folder, octets, atOnce, 1_000_000], (line, child) => {
        if (line !== "open" && ++count === linesWanted) child.kill("SIGKILL");
      });
      expect(lines.some((line) => line.startsWith("failed"))).toBe(false);
      const { spool } = await openSpool();
      const present = new Set((await spool.list()).map(({ messageId }) => messageId));
      const begun = new Set(idsOf(lines, "delivering"));
      const done = new Set(idsOf(lines, "delivered"));
      const accepted = idsOf(lines, "accepted");
      expect(accepted.length).toBeGreaterThan(0);
      expect(accepted.filter((id) => !begun.has(id) && !present.has(id))).toEqual([]);
      expect([...done].filter((id) => present.has(id))).toEqual([]);
      for (const id of present) expect((await (await spool.load(id))!.body.octets()).length).toBe(octets);
      expect((await bodies()).length).toBe(octets > inlineBodyOctetsMax ? present.size : 0);
      expect(spool.counts().messages).toBe(present.size);
    },
  );

  test("10,000 messages are listed within the five seconds a restart may take", async () => {
    const { spool } = await openSpool();
    await spool.accept(
      Array.from({ length: 10_000 }, () => createSampleMessage()),
      0,
    );
    await spool.close();
    const began = performance.now();
    const { spool: reopened } = await openSpool();
    expect(await reopened.list()).toHaveLength(10_000);
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});

describe("openSqliteSpool: what it refuses", () => {
  test("a spool another one of this process has open", async () => {
    await openSpool();
    await expect(openSqliteSpool({ folder, log: silentLog })).rejects.toMatchObject({
      code: "data.unusable",
      message: expect.stringContaining(`the process ${process.pid} has it open`),
    });
  });

  test("a spool another process has open, and it says which; a killed one holds nothing", async () => {
    let refusal: unknown;
    let asked: Promise<unknown> | undefined;
    await runWriter([folder, 1_000, 1, 1_000_000], (line, child) => {
      if (line !== "open") return;
      asked = openSqliteSpool({ folder, log: silentLog })
        .then(
          (spool) => open.push(spool),
          (error: unknown) => {
            refusal = { error, pid: child.pid };
          },
        )
        .finally(() => child.kill("SIGKILL"));
    });
    await asked;
    const { error, pid } = refusal as { error: unknown; pid: number };
    expect(error).toMatchObject({
      code: "data.unusable",
      message: expect.stringContaining(`the process ${pid} has it open`),
    });
    const { spool } = await openSpool();
    expect(spool.counts().messages).toBeGreaterThanOrEqual(0);
  });

  test("a database of a later version, which it leaves as it is", async () => {
    const { spool } = await openSpool();
    await spool.close();
    const database = new DatabaseSync(join(folder, "spool.db"));
    database.exec("PRAGMA user_version = 99");
    database.close();
    await expect(openSqliteSpool({ folder, log: silentLog })).rejects.toMatchObject({
      code: "data.unusable",
      message: expect.stringContaining("its version is 99, expected 3 at most"),
    });
  });

  test("a file that is no database", async () => {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "spool.db"), "this is a letter to my aunt, and by no means a database".repeat(100));
    await expect(openSqliteSpool({ folder, log: silentLog })).rejects.toMatchObject({ code: "data.unusable" });
  });

  test("a folder that cannot be one", async () => {
    await writeFile(join(folder, "file"), "");
    await expect(openSqliteSpool({ folder: join(folder, "file", "spool"), log: silentLog })).rejects.toMatchObject({
      code: "data.unusable",
    });
  });
});

describe("openSqliteSpool: a disk that is full", () => {
  const disk = { path: "", mounted: false };
  beforeEach(async () => {
    disk.path = join(folder, "disk");
    await mkdir(disk.path);
    disk.mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=3m,nr_inodes=12", "tmpfs", disk.path]).status === 0;
    if (!disk.mounted)
      process.stderr.write("\nNOT RUN: a full disk: needs the right to mount a tmpfs (run as root)\n\n");
  });
  afterEach(async () => {
    for (const spool of open.splice(0)) await spool.close();
    if (disk.mounted) spawnSync("umount", ["-l", disk.path]);
  });

  test("accept says spool.full, takes nothing, and takes again when there is space", async ({ skip }) => {
    skip(!disk.mounted, "no tmpfs");
    const { spool } = await openSpool(undefined, disk.path);
    const taken: Message[] = [];
    let fault: unknown;
    while (!fault && taken.length < 100) {
      const message = createSampleMessage({ data: `Subject: x\r\n\r\n${"x".repeat(100_000)}` });
      await spool.accept([message], 0).then(
        () => taken.push(message),
        (error: unknown) => {
          fault = error;
        },
      );
    }
    expect(fault).toMatchObject({ code: "spool.full" });
    expect(spool.failing()).toMatch(/full/);
    expect(taken.length).toBeGreaterThan(3);
    expect((await spool.list()).map(({ messageId }) => messageId).sort()).toEqual(taken.map(({ id }) => id).sort());
    // What is there can still be read, and goes on once there is space.
    expect((await spool.load(taken[0]!.id))!.sizeOctets).toBe(taken[0]!.sizeOctets);
    spawnSync("mount", ["-o", "remount,size=12m", disk.path]);
    await spool.accept([createSampleMessage()], 0);
    expect(spool.failing()).toBeNull();
    await spool.record(taken[0]!.id, [delivered]);
    expect(spool.counts().messages).toBe(taken.length);
  });

  test.each([
    { why: "octets", octets: 5_000_000, bodies: 1 },
    { why: "inodes", octets: inlineBodyOctetsMax + 1, bodies: 9 },
  ])("a body says spool.full where $why run out, and leaves no file", async ({ octets, bodies: bodiesWanted }) => {
    if (!disk.mounted) return;
    const { spool } = await openSpool(undefined, disk.path);
    const faults: unknown[] = [];
    const before = (await bodies(disk.path)).length;
    const writers = [];
    for (let count = 0; count < bodiesWanted; count++) {
      const writer = spool.createBody();
      writers.push(writer);
      try {
        for (let at = 0; at < octets; at += 60_000) await writer.write(Buffer.alloc(Math.min(60_000, octets - at)));
        await writer.finish();
      } catch (error) {
        faults.push(error);
        // What failed stays failed: a later success would be trusted wrongly.
        await expect(writer.finish()).rejects.toMatchObject({ code: "spool.full" });
        await expect(Promise.resolve(writer.write(Buffer.alloc(1)))).rejects.toMatchObject({ code: "spool.full" });
      }
    }
    expect(faults.length).toBeGreaterThan(0);
    expect(faults[0]).toMatchObject({ code: "spool.full" });
    expect(spool.failing()).toMatch(/no space|No space|inode|ENOSPC/);
    for (const writer of writers) await writer.discard();
    expect((await bodies(disk.path)).length).toBe(before);
  });
});

describeWith(["strace"], "openSqliteSpool: a disk that fails", () => {
  const inject = (what: string) => [
    "strace",
    "-f",
    "-qq",
    "-o",
    "/dev/null",
    "-e",
    "trace=fdatasync,fsync",
    "-e",
    `inject=${what}`,
  ];

  test("one sync that fails ends the trust in the database: nothing is accepted after it, and what was before is there", async () => {
    const { spool } = await openSpool();
    await spool.close();
    const lines = await runWriter([folder, 1_000, 1, 20], undefined, inject("fsync,fdatasync:error=EIO:when=6"));
    const answers = lines.filter((line) => /^(accepted|failed)/.test(line)).map((line) => line.split(" ")[0]);
    expect(answers).toContain("accepted");
    expect(answers).toContain("failed");
    expect(answers.lastIndexOf("accepted")).toBeLessThan(answers.indexOf("failed"));
    expect(
      lines.filter((line) => line.startsWith("failed")).every((line) => line.startsWith("failed spool.failed")),
    ).toBe(true);
    const { spool: reopened } = await openSpool();
    const present = new Set((await reopened.list()).map(({ messageId }) => messageId));
    const begun = new Set(idsOf(lines, "delivering"));
    expect(idsOf(lines, "accepted").filter((id) => !present.has(id) && !begun.has(id))).toEqual([]);
  });

  test.each([
    { why: "one sync fails", when: "5" },
    { why: "another one fails", when: "8" },
    { why: "every sync fails from then on", when: "5+" },
    { why: "every sync fails from a later one on", when: "8+" },
  ])("what was refused because its sync failed does not come back after a kill: $why", async ({ when }) => {
    const { spool } = await openSpool();
    await spool.close();
    const lines = await runWriter(
      [folder, 1_000, 1, 20, "die"],
      undefined,
      inject(`fsync,fdatasync:error=EIO:when=${when}`),
    );
    const refused = lines.filter((line) => line.startsWith("failed")).map((line) => line.split(" ")[2]!);
    expect(refused).toHaveLength(1);
    const begun = new Set(idsOf(lines, "delivering"));
    // The sync that failed was one of an acceptance, not one of a record.
    expect(begun.has(refused[0]!)).toBe(false);
    const { spool: reopened } = await openSpool();
    expect((await reopened.list()).map(({ messageId }) => messageId)).not.toContain(refused[0]);
    expect(reopened.counts().messages).toBe(idsOf(lines, "accepted").filter((id) => !begun.has(id)).length);
  });

  test("a body whose sync fails is not taken, and its file goes", async () => {
    const { spool } = await openSpool();
    await spool.close();
    const lines = await runWriter(
      [folder, inlineBodyOctetsMax + 1, 1, 1],
      undefined,
      inject("fdatasync:error=EIO:when=1"),
    );
    expect(lines).toContain("failed spool.failed -");
    expect(existsSync(join(folder, "bodies"))).toBe(true);
    expect(await bodies()).toEqual([]);
  });

  test("no message is accepted before its syncs returned", async () => {
    const trace = join(folder, "trace");
    await runWriter([folder, inlineBodyOctetsMax + 1, 1, 3], undefined, [
      "strace",
      "-f",
      "-y",
      "-qq",
      "-o",
      trace,
      "-e",
      "trace=fdatasync,fsync,write",
    ]);
    const events = (await readTrace(trace)).map((line) =>
      /fdatasync\(.*\/bodies\/[0-9a-f]{32}/.test(line)
        ? "body"
        : /fsync\(.*\/bodies>/.test(line)
          ? "folder"
          : /f(data)?sync\(.*spool\.db-wal/.test(line)
            ? "commit"
            : /write\(1<.*"accepted/.test(line)
              ? "accepted"
              : "",
    );
    const order = events.filter((event) => event !== "");
    let since: string[] = [];
    let acceptedCount = 0;
    for (const event of order) {
      if (event !== "accepted") since.push(event);
      else {
        acceptedCount += 1;
        const place = since.indexOf("body");
        expect(place).toBeGreaterThanOrEqual(0);
        expect(since.indexOf("folder", place)).toBeGreaterThan(place);
        expect(since.indexOf("commit", since.indexOf("folder", place))).toBeGreaterThan(place);
        since = [];
      }
    }
    expect(acceptedCount).toBe(3);
  });
});
