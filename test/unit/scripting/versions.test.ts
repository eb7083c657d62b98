/** What is kept of versions: whole, bounded, durable, and read with suspicion. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { CompiledScript } from "../../../sandbox/protocol.ts";
import { findVersion } from "../../../src/scripting/version-words.ts";
import { type Pin, VersionStore } from "../../../src/scripting/versions.ts";
import { createRecordingLog, type RecordingLog } from "../../support/recording-log.ts";

const script = "scripts/a.ts";
let folder: string;
let versionsMax: number;
let log: RecordingLog;
let store: VersionStore;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "onarrival-versions-"));
  versionsMax = 3;
  log = createRecordingLog();
  store = new VersionStore({ folder, versionsMax: () => versionsMax, log });
});

afterEach(() => rmSync(folder, { recursive: true }));

const hash = (n: number) => `sha256:${n.toString(16).padStart(64, "0")}`;

const compiled = (n: number, name = script): CompiledScript => ({
  name,
  version: hash(n),
  code: `code ${n}`,
  sourceMap: "{}",
  inputs: ["/scripts/a.ts"],
  sources: { [name]: `source ${n}\n` },
  packages: ["postal-mime@2.4.4"],
});

const activate = (n: number, pinned: Pin | null = null, name = script) =>
  store.activated(
    { compiled: compiled(n, name), grants: { kv: true } },
    { at: n * 1_000, author: "ann", by: pinned ? "rollback" : "save" },
    pinned,
  );

const pathOf = (n: number) => join(folder, "scripts%2Fa.ts", `${hash(n).slice(7)}.json`);
const historyPath = () => join(folder, "scripts%2Fa.ts", "history.json");
const versionsOf = async () =>
  (await store.history(script)).activations.map(({ version }) => Number(`0x${version.slice(7)}`));

describe("VersionStore", () => {
  test("gives back what was live, whole, with who made it so", async () => {
    await activate(1);
    expect(await store.version(script, hash(1))).toEqual({ compiled: compiled(1), grants: { kv: true } });
    expect(await store.history(script)).toMatchObject({
      script,
      live: hash(1),
      pinned: null,
      removedAt: null,
      activations: [{ version: hash(1), at: 1_000, author: "ann", by: "save" }],
    });
  });

  test("knows nothing of a script that never was live", async () => {
    expect(await store.history("scripts/none.ts")).toMatchObject({ live: null, activations: [] });
    expect(await store.version("scripts/none.ts", hash(1))).toBeUndefined();
    expect(await store.scripts()).toEqual([]);
    expect(log.lines).toEqual([]);
  });

  test("what runs on after a restart is nothing new", async () => {
    await activate(1);
    await activate(1);
    expect(await versionsOf()).toEqual([1]);
    rmSync(pathOf(1));
    await activate(1);
    expect(await store.version(script, hash(1))).toBeDefined();
  });

  test("keeps the latest so many, and what is live in any case", async () => {
    for (const n of [1, 2, 3]) await activate(n);
    expect(await versionsOf()).toEqual([1, 2, 3]);
    await activate(4);
    expect(await versionsOf()).toEqual([2, 3, 4]);
    expect(await store.version(script, hash(1))).toBeUndefined();
    const pin = { version: hash(2), over: hash(4), at: 5_000, author: null };
    await activate(2, pin);
    expect(await versionsOf()).toEqual([2, 3, 4, 2]);
    versionsMax = 1;
    await activate(2, { ...pin, at: 6_000 });
    expect(await versionsOf()).toEqual([2, 2, 2]);
    expect(readdirSync(join(folder, "scripts%2Fa.ts")).sort()).toEqual([`${hash(2).slice(7)}.json`, "history.json"]);
  });

  test("the history of a script outlives its file, for a while", async () => {
    await activate(1);
    await activate(1, null, "scripts/b.ts");
    await store.removed(script, 50_000);
    expect(await store.history(script)).toMatchObject({ live: null, removedAt: 50_000, activations: [{}] });
    await store.forgetRemoved(50_000);
    expect(await store.scripts()).toEqual([script, "scripts/b.ts"]);
    await store.forgetRemoved(50_001);
    expect(await store.scripts()).toEqual(["scripts/b.ts"]);
  });

  test("one that comes back is live again", async () => {
    await activate(1);
    await store.removed(script, 2_000);
    await activate(1);
    expect(await store.history(script)).toMatchObject({ live: hash(1), removedAt: null });
  });

  test.each<[why: string, damage: () => void]>([
    ["half of it", () => writeFileSync(pathOf(1), readFileSync(pathOf(1)).subarray(0, 100))],
    [
      "one letter of what is run",
      () => writeFileSync(pathOf(1), readFileSync(pathOf(1), "utf8").replace("code 1", "code 2")),
    ],
    [
      "more grants",
      () => writeFileSync(pathOf(1), readFileSync(pathOf(1), "utf8").replace('{"kv":true}', '{"dns":true}')),
    ],
    ["another version's", () => writeFileSync(pathOf(1), readFileSync(pathOf(2)))],
    ["something else", () => writeFileSync(pathOf(1), "[]")],
  ])("a version that is damaged is told and not given: %s", async (_why, damage) => {
    await activate(1);
    await activate(2);
    damage();
    expect(await store.version(script, hash(1))).toBeUndefined();
    expect(log.of("script.version-damaged")).toHaveLength(1);
    expect(await store.version(script, hash(2))).toBeDefined();
  });

  test("a history that is damaged is told, and made anew of what is kept", async () => {
    await activate(1);
    await activate(2);
    writeFileSync(historyPath(), '{"script": "scripts/a.ts", "live": 7}');
    expect(await store.history(script)).toMatchObject({ live: hash(2), pinned: null });
    expect(await versionsOf()).toEqual([1, 2]);
    expect(log.of("script.version-damaged").length).toBeGreaterThan(0);
    expect(await store.scripts()).toEqual([script]);
    await activate(3);
    expect(await versionsOf()).toEqual([1, 2, 3]);
  });

  test("a name that is no version never becomes a path", async () => {
    await activate(1);
    expect(await store.version(script, "sha256:../../history")).toBeUndefined();
    await expect(
      store.activated(
        { compiled: { ...compiled(1), version: "../x" }, grants: {} },
        { at: 1, author: null, by: "save" },
        null,
      ),
    ).rejects.toThrow(/no version/);
  });

  test("a long name has a folder of its own", async () => {
    const names = ["ä".repeat(150), `${"ä".repeat(149)}ö`].map((name) => `scripts/${name}.ts`);
    for (const name of names) await activate(1, null, name);
    expect(await store.scripts()).toEqual([...names].sort());
  });

  test("a pin is over when it is taken back", async () => {
    await activate(1);
    await activate(2);
    await activate(1, { version: hash(1), over: hash(2), at: 3_000, author: "bob" });
    expect((await store.history(script)).pinned).toMatchObject({ over: hash(2), author: "bob" });
    await store.unpinned(script);
    expect(await store.history(script)).toMatchObject({ pinned: null, live: hash(1) });
  });
});

describe("findVersion", () => {
  const at = (version: string) => ({ version, at: 0, author: null, by: "save" as const });
  const [one, two, three] = [
    `sha256:${"ab12".repeat(16)}`,
    `sha256:${"ab13".repeat(16)}`,
    `sha256:${"cd".repeat(32)}`,
  ] as const;
  const activations = [at(one), at(two), at(three), at(two)];

  test.each<[why: string, wanted: string | null, live: string | null, found: string | RegExp]>([
    ["the one before", null, two, three],
    ["the one before another", null, three, two],
    ["the last one where nothing runs", null, null, two],
    ["a few digits", "cdcd", two, three],
    ["all of it", one, two, one],
    ["digits in capitals", "CDCDCD", two, three],
    ["too few digits", "cdc", two, /4 hexadecimal digits/],
    ["a word", "live", two, /is no version/],
    ["digits of two", "ab1", two, /4 hexadecimal digits/],
    ["digits of none", "0000", two, /No version 0000/],
  ])("%s", (_why, wanted, live, found) => {
    if (typeof found === "string") expect(findVersion(script, activations, wanted, live)).toBe(found);
    else expect(() => findVersion(script, activations, wanted, live)).toThrow(found);
  });

  test("digits that two versions begin with are too few", () => {
    const like = [at(`sha256:abcd${"0".repeat(60)}`), at(`sha256:abcd${"1".repeat(60)}`)];
    expect(() => findVersion(script, like, "abcd", null)).toThrow(/2 versions/);
    expect(findVersion(script, like, "abcd1", null)).toBe(like[1]!.version);
  });

  test("there is no one before the first", () => {
    expect(() => findVersion(script, [at(one)], null, one)).toThrow(/No version .* was live before/);
  });
});
