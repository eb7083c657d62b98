import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../src/mail/ids.ts";
import { createFakeClock, type FakeClock } from "../../support/fake-clock.ts";
import { createSampleMessage, readMessage } from "../../support/sample-message.ts";
import { context, makeSink, rehearsal } from "./subjects.ts";

let folder: string;
let clock: FakeClock;
const closes: (() => unknown)[] = [];
const dayMs = 86_400_000;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "archive-"));
  clock = createFakeClock(Date.UTC(2026, 0, 5, 12));
});
afterEach(async () => {
  for (const close of closes.splice(0)) await close();
  await rm(folder, { recursive: true });
});

async function makeArchive(properties: Readonly<Record<string, unknown>> = {}) {
  const sink = await makeSink("archive-copy", { envelope: false, ...properties }, { clock, folder });
  closes.push(() => sink.close!());
  return {
    sink,
    /** Keeps a message of so many octets that came at the clock's time. */
    keep: async (octets: number, asked = context) => {
      const data = `Subject: x\r\n\r\n${"x".repeat(octets - 14)}`;
      const message = createSampleMessage({ id: createId(clock.now()), receivedAt: clock.now(), data });
      await sink.onArrival!({ message }, asked);
      return message;
    },
  };
}

/** Files below the folder, by their paths from it. */
async function files(below = join(folder, "archive")): Promise<string[]> {
  const entries = await readdir(below, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(below.length + 1))
    .sort();
}

describe("archive-copy", () => {
  test("keeps every octet in a file named by time and id, for its owner alone", async () => {
    const { keep } = await makeArchive();
    const message = await keep(100);
    const path = `2026/01/05/120000000-${message.id}.eml`;
    expect(await files()).toEqual([path]);
    expect(await readFile(join(folder, "archive", path))).toEqual(await readMessage(message));
    expect((await stat(join(folder, "archive", path))).mode & 0o777).toBe(0o600);
  });

  test("puts the envelope in front, and compresses where it is told to", async () => {
    const { sink } = await makeArchive({ gzip: true, envelope: true, folder: join(folder, "elsewhere") });
    const message = createSampleMessage({
      from: null,
      to: ["ann@example.test", "bob@example.test"],
      toOptions: [undefined, { notify: ["never"] }],
    });
    await sink.onArrival!({ message }, context);
    const [path] = await files(join(folder, "elsewhere"));
    expect(path).toMatch(/\.eml\.gz$/);
    const kept = gunzipSync(await readFile(join(folder, "elsewhere", path!))).toString();
    const envelope = "X-Sender: <>\r\nX-Receiver: ann@example.test\r\nX-Receiver: <bob@example.test> NOTIFY=NEVER\r\n";
    expect(kept).toBe(envelope + (await readMessage(message)).toString());
  });

  test("keeps nothing of a rehearsal, nor where there is no folder", async () => {
    const { keep } = await makeArchive();
    await keep(100, rehearsal);
    expect(await files()).toEqual([]);
    const none = await makeSink("archive-copy", {}, { folder: null });
    expect(await none.onArrival!({ message: createSampleMessage() }, context)).toBeUndefined();
  });

  test.each([
    ["at", 2, [0, 1, 2]],
    ["above", 1, [1, 2]],
  ])("removes whole days %s the limit", async (_why, keepDays, kept) => {
    const { keep, sink } = await makeArchive({ keep_days: keepDays });
    for (let i = 0; i < 3; i++) {
      await keep(100);
      if (i < 2) await clock.advance(dayMs);
    }
    await clock.advance(3_600_000);
    await sink.close!();
    expect((await files()).map((path) => Number(path.slice(8, 10)) - 5)).toEqual(kept);
  });

  test.each([
    ["below", 299, [1, 2]],
    ["at", 300, [0, 1, 2]],
    ["above", 301, [0, 1, 2]],
  ])("removes the oldest copies where there is room for %s three", async (_why, size, kept) => {
    const { keep, sink } = await makeArchive({ size_max: size });
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) {
      ids.push((await keep(100)).id);
      await clock.advance(1_000);
    }
    await sink.close!();
    const left = (await files()).map((path) => ids.findIndex((id) => path.includes(id)));
    expect(left).toEqual(kept);
  });

  test("removes days that were over before the start, and their folders", async () => {
    const first = await makeArchive();
    await first.keep(100);
    await clock.advance(2 * dayMs);
    const { sink } = await makeArchive({ keep_days: 1 });
    await sink.close!();
    expect(await files()).toEqual([]);
    expect(await readdir(join(folder, "archive/2026/01"))).toEqual([]);
  });

  test("adds up what is there at the start, and leaves alone what is not its own", async () => {
    const first = await makeArchive();
    const old = await first.keep(100);
    await clock.advance(dayMs);
    await writeFile(join(folder, "archive/2026/01/05/notes.txt"), "mine");
    await writeFile(join(folder, `archive/2026/01/05/120000000-${old.id}.eml.tmp`), "half");
    await mkdir(join(folder, "archive/keep"));
    const { keep, sink } = await makeArchive({ size_max: 150 });
    const fresh = await keep(100);
    await sink.close!();
    expect(await files()).toEqual(["2026/01/05/notes.txt", `2026/01/06/120000000-${fresh.id}.eml`]);
    expect(await readdir(join(folder, "archive"))).toContain("keep");
  });

  test.each([
    ["at", 200, true],
    ["above", 201, false],
  ])("a message %s the size of all is a fault and leaves nothing behind: %#", async (_why, octets, isKept) => {
    const { keep } = await makeArchive({ size_max: 200 });
    if (isKept) await keep(octets);
    else await expect(keep(octets)).rejects.toMatchObject({ code: "sink.failed" });
    expect(await files()).toHaveLength(isKept ? 1 : 0);
  });

  test("a copy that cannot be written is a fault, never a silent loss", async () => {
    const { keep } = await makeArchive();
    await writeFile(join(folder, "archive/2026"), "in the way");
    await expect(keep(100)).rejects.toMatchObject({ code: "ENOTDIR" });
  });

  test("makes no sink where its folder cannot be", async () => {
    await writeFile(join(folder, "file"), "");
    await expect(makeArchive({ folder: join(folder, "file") })).rejects.toThrow();
  });

  test("does not hold copies that somebody took elsewhere against those that come", async () => {
    const { keep, sink } = await makeArchive({ size_max: 250 });
    for (let i = 0; i < 2; i++) {
      const { id } = await keep(100);
      await rm(join(folder, `archive/2026/01/05/12000${i}000-${id}.eml`));
      await clock.advance(1_000);
    }
    const fresh = [await keep(100), await keep(100)];
    await sink.close!();
    const left = await files();
    expect(left).toHaveLength(2);
    for (const { id } of fresh) expect(left.join()).toContain(id);
  });

  test("goes on removing where somebody took a whole day away", async () => {
    const { keep, sink } = await makeArchive({ size_max: 250 });
    for (let i = 0; i < 2; i++) {
      await keep(100);
      await clock.advance(3 * dayMs);
    }
    await rm(join(folder, "archive/2026/01/05"), { recursive: true });
    for (let i = 0; i < 3; i++) {
      await keep(100);
      await clock.advance(1_000);
    }
    await sink.close!();
    // Three of one day do not fit, and the day between had to go first.
    expect((await files()).map((path) => path.slice(0, 10))).toEqual(["2026/01/11", "2026/01/11"]);
  });
});
