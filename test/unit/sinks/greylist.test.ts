import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { emptyDocument, nextAdded } from "../../../src/config/binding-document.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { priorityDefault } from "../../../src/events/binding.ts";
import type { Session } from "../../../src/events/subject.ts";
import { behindRelayControl } from "../../../src/sinks/default-priority.ts";
import { GreylistStore } from "../../../src/sinks/greylist-store.ts";
import { createFakeClock, type FakeClock } from "../../support/fake-clock.ts";
import { createRecordingLog } from "../../support/recording-log.ts";
import { context, createSession, makeSink, rcptTo, rehearsal } from "./subjects.ts";

let folder: string;
let clock: FakeClock;
const closes: (() => unknown)[] = [];
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), "greylist-")), "sinks");
  clock = createFakeClock();
});
afterEach(async () => {
  for (const close of closes.splice(0)) await close();
  await rm(join(folder, ".."), { recursive: true });
});

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

interface Asked {
  readonly from?: string;
  readonly to?: string;
  readonly session?: Partial<Session>;
  readonly with?: typeof context;
}

async function makeGreylist(properties: Readonly<Record<string, unknown>> = {}) {
  const sink = await makeSink("greylist", { auto_allow: 0, ...properties }, { clock, folder });
  closes.push(() => sink.close!());
  const ask = ({ session, with: asked = context, ...paths }: Asked = {}) => {
    const answer = sink.onRcptTo!(rcptTo(paths, createSession(session)), asked);
    if (answer instanceof Promise || !answer) throw new Error("an answer without a promise was expected");
    return answer.kind;
  };
  return { sink, ask };
}

test.each([
  ["greylist, behind the server's own", "greylist", null, behindRelayControl],
  ["greylist where it is written", "greylist", priorityDefault, priorityDefault],
  ["another sink", "size-limit", null, priorityDefault],
])("the priority of %s", async (_why, use, written, expected) => {
  const path = join(folder, "../onarrival.toml");
  await writeFile(path, `[[sinks]]\nuse = "${use}"\n${written === null ? "" : `priority = ${written}\n`}`);
  expect(loadConfig({ path, env: {}, cwd: join(folder, "..") }).config.sinks[0]!.priority).toBe(expected);
  const added = { use, event: "onRcptTo", ...(written !== null && { priority: written }) };
  expect(nextAdded(added, emptyDocument).priority).toBe(expected);
  expect(behindRelayControl).toBeGreaterThan(priorityDefault);
});

describe("greylist", () => {
  test("defers the first attempt with 451 4.7.1", async () => {
    const { sink } = await makeGreylist({ text: "Later" });
    expect(sink.onRcptTo!(rcptTo(), context)).toMatchObject({
      kind: "defer",
      code: 451,
      status: "4.7.1",
      text: "Later",
    });
  });

  test.each([
    ["sooner than the wait", 5 * minute - 1, "defer"],
    ["at the wait", 5 * minute, "proceed"],
    ["at the end of the window", day, "proceed"],
    ["after the window", day + 1, "defer"],
  ])("answers a second attempt %s", async (_why, ms, kind) => {
    const { ask } = await makeGreylist();
    expect(ask()).toBe("defer");
    await clock.advance(ms);
    expect(ask()).toBe(kind);
  });

  test.each([
    ["within its lifetime", 36 * day, "proceed"],
    ["after it", 36 * day + 1, "defer"],
  ])("answers who has passed, %s", async (_why, ms, kind) => {
    const { ask } = await makeGreylist();
    ask();
    await clock.advance(5 * minute);
    expect(ask()).toBe("proceed");
    expect(ask()).toBe("proceed");
    await clock.advance(ms);
    expect(ask()).toBe(kind);
  });

  test("attempts that came too soon do not begin the wait anew", async () => {
    const { ask } = await makeGreylist();
    for (let i = 0; i < 5; i++) {
      expect(ask()).toBe("defer");
      await clock.advance(minute);
    }
    expect(ask()).toBe("proceed");
  });

  test.each<[string, Asked, string]>([
    ["another address of the network", { session: { ip: "192.0.2.200" } }, "proceed"],
    ["another network", { session: { ip: "192.0.3.7" } }, "defer"],
    ["another sender", { from: "eve@example.org" }, "defer"],
    ["the sender in capitals", { from: "ANN@example.org" }, "proceed"],
    ["the sender with a tag", { from: "ann+tag@example.org" }, "proceed"],
    ["another recipient", { to: "carla@example.test" }, "defer"],
    ["the null reverse-path", { from: "<>" }, "defer"],
  ])("knows %s", async (_why, asked, kind) => {
    const { ask } = await makeGreylist();
    ask();
    await clock.advance(5 * minute);
    expect(ask(asked)).toBe(kind);
  });

  test.each<[string, Asked, Asked]>([
    [
      "a list that numbers its messages",
      { from: "list-return-1234-bob=example.test@example.org" },
      { from: "list-return-77-bob=example.test@example.org" },
    ],
    ["an IPv6 client in its /64", { session: { ip: "2001:db8::1" } }, { session: { ip: "2001:db8::ffff:2" } }],
  ])("takes %s for one", async (_why, first, second) => {
    const { ask } = await makeGreylist();
    ask(first);
    await clock.advance(5 * minute);
    expect(ask(second)).toBe("proceed");
  });

  test.each<[string, Asked]>([
    ["a user who logged in", { session: { user: "ann" } }],
    ["an excepted network", { session: { ip: "198.51.100.5" } }],
  ])("lets %s pass", async (_why, asked) => {
    const { ask } = await makeGreylist({ except_networks: ["198.51.100.0/24"] });
    expect(ask(asked)).toBe("proceed");
  });

  test.each([
    ["below", 2, "defer"],
    ["at", 3, "proceed"],
  ])("a network that passed so often does not wait any more: %s the number", async (_why, passes, kind) => {
    const { ask } = await makeGreylist({ auto_allow: 3 });
    const tos = Array.from({ length: passes }, (_, i) => `user${i}@example.test`);
    for (const to of tos) ask({ to });
    await clock.advance(5 * minute);
    for (const to of tos) ask({ to });
    expect(ask({ to: "new@example.test" })).toBe(kind);
    expect(ask({ to: "new@example.test", session: { ip: "198.51.100.1" } })).toBe("defer");
  });

  test("passing again with the same triplet is no further pass of the network", async () => {
    const { ask } = await makeGreylist({ auto_allow: 2 });
    ask();
    await clock.advance(5 * minute);
    for (let i = 0; i < 5; i++) ask();
    expect(ask({ to: "new@example.test" })).toBe("defer");
  });

  test("does not forget a network that keeps coming, however short the lifetime", async () => {
    const { ask } = await makeGreylist({ auto_allow: 1, lifetime: "1h" });
    ask();
    await clock.advance(5 * minute);
    ask();
    for (let i = 0; i < 3; i++) {
      await clock.advance(50 * minute);
      expect(ask({ to: `user${i}@example.test` })).toBe("proceed");
    }
    await clock.advance(hour + 1);
    expect(ask({ to: "late@example.test" })).toBe("defer");
  });

  test("remembers over a restart", async () => {
    const first = await makeGreylist();
    first.ask();
    await first.sink.close!();
    closes.length = 0;
    await clock.advance(5 * minute);
    const { ask } = await makeGreylist();
    expect(ask()).toBe("proceed");
    expect(await readdir(folder)).toContain("greylist.db");
  });

  test("remembers nothing of a rehearsal, and decides in it as ever", async () => {
    const { ask } = await makeGreylist();
    expect(ask({ with: rehearsal })).toBe("defer");
    await clock.advance(5 * minute);
    expect(ask()).toBe("defer");
    await clock.advance(5 * minute);
    expect(ask({ with: rehearsal })).toBe("proceed");
    // That pass was none: the window still counts from the first attempt.
    await clock.advance(day);
    expect(ask({ with: rehearsal })).toBe("defer");
  });

  test("forgets what is over by itself", async () => {
    const { ask } = await makeGreylist({ window: "1h" });
    ask();
    const store = new GreylistStore(join(folder, "greylist.db"), { entriesMax: 100 });
    closes.push(() => store.close());
    const key = "192.0.2.0/24 ann@example.org bob@example.test";
    expect(store.triplet(key)).not.toBeNull();
    await clock.advance(2 * hour);
    expect(store.triplet(key)).toBeNull();
  });

  test("a database that fails is a fault of the binding, and no more than a line of the log where nobody asks", async () => {
    const log = createRecordingLog();
    const sink = await makeSink("greylist", {}, { clock, folder, log });
    closes.push(() => sink.close!());
    const other = new DatabaseSync(join(folder, "greylist.db"));
    other.exec("DROP TABLE triplet");
    other.close();
    await clock.advance(hour);
    expect(log.of("greylist.purge-failed")).toHaveLength(1);
    expect(() => sink.onRcptTo!(rcptTo(), context)).toThrow(/no such table/);
  });

  test.each([
    ["a wait as long as the window", { wait: "1h", window: "1h" }, /window: expected more than wait/],
    ["a wait in words", { wait: "soon" }, /wait: expected a duration/],
    ["too few entries", { entries_max: 99 }, /entries_max: expected a whole number from 100/],
  ])("takes no %s", async (_why, properties, message) => {
    await expect(makeGreylist(properties)).rejects.toMatchObject({
      code: "sink.properties",
      message: expect.stringMatching(message) as string,
    });
  });

  test("is not made of a file that is no database", async () => {
    const { sink } = await makeGreylist();
    await sink.close!();
    closes.length = 0;
    await writeFile(
      join(folder, "greylist.db"),
      "this is no database, and long enough for its header to be looked at".repeat(20),
    );
    await expect(makeGreylist()).rejects.toThrow(/not a database/);
  });
});

describe("GreylistStore", () => {
  test("has no more entries than it may: those that wait go first, the oldest of them first", () => {
    const store = new GreylistStore(":memory:", { entriesMax: 100 });
    closes.push(() => store.close());
    for (let i = 0; i < 100; i++) store.first(`key ${i}`, i);
    store.pass("key 0", 0, "net");
    expect([0, 1, 99].map((i) => store.triplet(`key ${i}`) !== null)).toEqual([true, true, true]);
    store.first("key 100", 100);
    expect([0, 1, 2, 99, 100].map((i) => store.triplet(`key ${i}`) !== null)).toEqual([true, false, true, true, true]);
  });
});
