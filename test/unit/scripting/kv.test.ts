/** The scripts' store: what it keeps, for whom, for how long, how much; and what happens when its file cannot be used. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Json } from "../../../sandbox/api.ts";
import { ScriptStore } from "../../../src/scripting/kv.ts";
import { createFakeClock, type FakeClock } from "../../support/fake-clock.ts";
import { createRecordingLog, type RecordingLog } from "../../support/recording-log.ts";

let folder: string;
let clock: FakeClock;
let octetsMax: number;
let store: ScriptStore;
let log: RecordingLog;

const open = () => new ScriptStore({ path: join(folder, "kv.db"), octetsMax: () => octetsMax, clock, log });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "onarrival-kv-"));
  clock = createFakeClock();
  octetsMax = 1_000_000;
  log = createRecordingLog();
  store = open();
});

afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

describe("ScriptStore", () => {
  test.each<[why: string, value: Json]>([
    ["a number", 1.5],
    ["a text", "größe \u0000 \u{1f4e7}"],
    ["a list", [1, null, { a: "b" }]],
    ["nothing at all", null],
    ["a name that objects have", JSON.parse('{"__proto__": 1}')],
  ])("gives back %s", async (_why, value) => {
    expect(await store.set("scripts/a.ts", "k", value)).toBe(true);
    expect(JSON.stringify(await store.get("scripts/a.ts", "k"))).toBe(JSON.stringify(value));
  });

  test("keeps what is one script's from every other", async () => {
    await store.set("scripts/a.ts", "k", "ours");
    expect(await store.get("scripts/b.ts", "k")).toBeNull();
    expect(await store.delete("scripts/b.ts", "k")).toBe(false);
    expect(await store.list("scripts/b.ts", "")).toEqual([]);
    expect(await store.clear("scripts/b.ts")).toBe(0);
    expect(await store.get("scripts/a.ts", "k")).toBe("ours");
  });

  test("sets where there is none, once", async () => {
    const done = await Promise.all(
      ["one", "two", "three"].map((value) => store.set("s", "lock", value, { ifAbsent: true, ttlS: 10 })),
    );
    expect(done).toEqual([true, false, false]);
    expect(await store.get("s", "lock")).toBe("one");
    await clock.advance(10_000);
    expect(await store.set("s", "lock", "four", { ifAbsent: true })).toBe(true);
  });

  test("adds up a thousand increments that were asked at once", async () => {
    const sums = await Promise.all(Array.from({ length: 1_000 }, () => store.increment("s", "count")));
    expect(sums).toEqual(Array.from({ length: 1_000 }, (_, index) => index + 1));
    expect(await store.increment("s", "count", -0.5)).toBe(999.5);
  });

  test("the time of a count runs from its first increment: a window", async () => {
    await store.increment("s", "seen", 1, 60);
    await clock.advance(59_999);
    expect(await store.increment("s", "seen", 1, 60)).toBe(2);
    await clock.advance(1);
    expect(await store.get("s", "seen")).toBeNull();
    expect(await store.increment("s", "seen", 1, 60)).toBe(1);
  });

  test("a value is there until its time is over, and another set gives it another time", async () => {
    await store.set("s", "k", 1, { ttlS: 1 });
    await clock.advance(999);
    expect(await store.get("s", "k")).toBe(1);
    await store.set("s", "k", 2);
    await clock.advance(100_000);
    expect(await store.get("s", "k")).toBe(2);
    await store.set("s", "k", 3, { ttlS: 1 });
    await clock.advance(1_000);
    expect([await store.get("s", "k"), await store.list("s", ""), await store.delete("s", "k")]).toEqual([
      null,
      [],
      false,
    ]);
  });

  test("lists keys that begin so, in order, page by page", async () => {
    for (const key of ["b/2", "b/1", "a", "b", "c", "b/10", "b/ä"]) await store.set("s", key, 0);
    expect(await store.list("s", "b/")).toEqual(["b/1", "b/10", "b/2", "b/ä"]);
    expect(await store.list("s", "b/", { limit: 2 })).toEqual(["b/1", "b/10"]);
    expect(await store.list("s", "b/", { limit: 2, after: "b/10" })).toEqual(["b/2", "b/ä"]);
    expect(await store.list("s", "")).toHaveLength(7);
    expect(await store.list("s", "b%")).toEqual([]);
  });

  test("gives at most 1,000 keys", async () => {
    await Promise.all(Array.from({ length: 1_001 }, (_, index) => store.set("s", `k${index}`, 0)));
    expect(await store.list("s", "", { limit: 5_000 })).toHaveLength(1_000);
    expect(await store.usage("s")).toMatchObject({ entries: 1_001 });
    expect(await store.clear("s")).toBe(1_001);
    expect(await store.usage("s")).toEqual({ entries: 0, sizeOctets: 0 });
  });

  test.each<[why: string, call: () => Promise<unknown>, words: RegExp | null]>([
    ["a key of 512 octets", () => store.set("s", "k".repeat(512), 1), null],
    ["a key of 513 octets", () => store.set("s", "k".repeat(513), 1), /key of 513 octets/],
    ["a key of 512 octets in fewer characters", () => store.set("s", "ä".repeat(256), 1), null],
    ["no key", () => store.get("s", ""), /key of 0 octets/],
    ["a key with NUL", () => store.get("s", "a\0b"), /NUL/],
    ["half a character", () => store.get("s", "\ud800"), /half a character/],
    ["a value of 64 KiB", () => store.set("s", "k", "x".repeat(65_534)), null],
    ["a value of one octet more", () => store.set("s", "k", "x".repeat(65_535)), /65537 octets of JSON/],
    ["no value", () => store.set("s", "k", undefined as unknown as Json), /nothing JSON can say/],
    ["no time", () => store.set("s", "k", 1, { ttlS: 0 }), /more than 0/],
    ["an age", () => store.set("s", "k", 1, { ttlS: 1e300 }), null],
    ["a step that is no number", () => store.increment("s", "k", Number.NaN), /no finite number/],
    [
      "a text to count with",
      async () => {
        await store.set("s", "k", "1");
        await store.increment("s", "k");
      },
      /holds no number/,
    ],
    [
      "a sum without end",
      async () => {
        await store.set("s", "k", Number.MAX_VALUE);
        await store.increment("s", "k", Number.MAX_VALUE);
      },
      /no finite number/,
    ],
  ])("%s", async (_why, call, words) => {
    if (words === null) await call();
    else
      await expect(call()).rejects.toMatchObject({
        code: "script.action-invalid",
        message: expect.stringMatching(words),
      });
  });

  test("a script that has its quota is told so, and others go on", async () => {
    octetsMax = 1_000;
    await store.set("s", "a", "x".repeat(500));
    await expect(store.set("s", "b", "x".repeat(500))).rejects.toMatchObject({ code: "kv.full" });
    expect(await store.get("s", "b")).toBeNull();
    await store.set("t", "b", "x".repeat(500));
    await store.set("s", "a", "x");
    await store.set("s", "b", "x".repeat(500));
    const { sizeOctets } = await store.usage("s");
    expect(sizeOctets).toBeLessThanOrEqual(1_000);
  });

  test("the quota is met to the octet, and what makes less of it is taken when it was lowered", async () => {
    // Key, value with its quotes, and what an entry costs beside them.
    octetsMax = 1 + 102 + 64;
    await expect(store.set("s", "k", "x".repeat(101))).rejects.toMatchObject({ code: "kv.full" });
    await store.set("s", "k", "x".repeat(100));
    octetsMax = 10;
    await expect(store.set("s", "k", "x".repeat(101))).rejects.toMatchObject({ code: "kv.full" });
    await store.set("s", "k", "x".repeat(50));
    await store.delete("s", "k");
    await expect(store.set("s", "k", 1)).rejects.toMatchObject({ code: "kv.full" });
  });

  test("what is out of time takes no quota", async () => {
    octetsMax = 1_000;
    await store.set("s", "old", "x".repeat(800), { ttlS: 1 });
    await clock.advance(1_000);
    await store.set("s", "new", "x".repeat(800));
    expect(await store.usage("s")).toMatchObject({ entries: 1 });
  });

  test("takes away what is out of time by itself", async () => {
    for (let index = 0; index < 10; index++) await store.set("s", `k${index}`, 1, { ttlS: 1 });
    await clock.advance(61_000);
    await store.get("t", "k");
    expect(await store.usage("s")).toEqual({ entries: 0, sizeOctets: 0 });
  });

  test("is there after a restart", async () => {
    await store.set("s", "k", { kept: true });
    await store.close();
    store = open();
    expect(await store.get("s", "k")).toEqual({ kept: true });
  });

  test("what was answered survives a kill", async () => {
    const program = `
      import { ScriptStore } from ${JSON.stringify(join(import.meta.dirname, "../../../src/scripting/kv.ts"))};
      import { systemClock } from ${JSON.stringify(join(import.meta.dirname, "../../../src/platform/clock.ts"))};
      import { silentLog } from ${JSON.stringify(join(import.meta.dirname, "../../../src/platform/log.ts"))};
      const store = new ScriptStore({ path: ${JSON.stringify(join(folder, "kv.db"))}, octetsMax: () => 1e9, clock: systemClock, log: silentLog });
      for (let i = 1; ; i++) { await store.increment("s", "count"); process.stdout.write(i + "\\n"); }
    `;
    writeFileSync(join(folder, "counts.mjs"), program);
    const child = spawn(process.execPath, [join(folder, "counts.mjs")], { stdio: ["ignore", "pipe", "inherit"] });
    let told = "";
    await new Promise<void>((resolve) => {
      child.stdout.on("data", (chunk: Buffer) => {
        told += chunk.toString();
        if (told.length > 500) child.kill("SIGKILL");
      });
      child.on("close", () => resolve());
    });
    const last = Number(told.slice(0, told.lastIndexOf("\n")).split("\n").at(-1));
    expect(last).toBeGreaterThan(50);
    const count = Number(await store.get("s", "count"));
    expect(count).toBeGreaterThanOrEqual(last);
    expect(count).toBeLessThanOrEqual(last + 2);
  });

  test("a damaged file is told, calls are answered, and it works again when the file is moved away", async () => {
    writeFileSync(join(folder, "kv.db"), "this is no database, and never was one".repeat(100));
    await expect(store.get("s", "k")).rejects.toMatchObject({
      code: "kv.failed",
      message: expect.stringMatching(/not a database/),
    });
    expect(log.of("kv.failed")).toHaveLength(1);
    rmSync(join(folder, "kv.db"));
    // It is left alone for a while, and nobody is told twice.
    await expect(store.set("s", "k", 1)).rejects.toMatchObject({ code: "kv.failed" });
    await clock.advance(5_000);
    await store.set("s", "k", 1);
    expect(await store.get("s", "k")).toBe(1);
    expect(log.of("kv.failed")).toHaveLength(1);
  });

  test("a file that another process has open is told", async () => {
    await store.set("s", "k", 1);
    const other = open();
    await expect(other.get("s", "k")).rejects.toMatchObject({
      code: "kv.failed",
      message: expect.stringMatching(/locked/),
    });
    await other.close();
    expect(await store.get("s", "k")).toBe(1);
  });

  test("one that is closed says so", async () => {
    await store.set("s", "k", 1);
    await store.close();
    await expect(store.get("s", "k")).rejects.toMatchObject({
      code: "kv.failed",
      message: expect.stringMatching(/stopping/),
    });
  });
});
