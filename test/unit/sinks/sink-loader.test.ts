/** What is kept, made anew and closed from one load to the next, and sinks by name. */
import { mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import type { Binding } from "../../../src/events/binding.ts";
import { type SinkEntry, SinkLoader } from "../../../src/sinks/load-sinks.ts";
import { createRecordingLog } from "../../support/recording-log.ts";
import { context, createPorts, kindOf, mailFrom } from "./subjects.ts";

const entry = (options: Partial<SinkEntry>): SinkEntry => ({
  events: [],
  priority: 100,
  rule: null,
  enabled: true,
  onFault: "defer",
  maxFirings: 0,
  properties: {},
  ...options,
});
const rate = (times: number, options: Partial<SinkEntry> = {}) =>
  entry({ use: "rate-limit", properties: { rate: `${times}/1h` }, ...options });

/** A sink of a module that tells when it is made and closed. */
const watched = (made: unknown[], id: string) =>
  entry({
    module: resolve("test/fixtures/sinks/watched.ts"),
    events: ["onArrival"],
    properties: { id, tell: (what: string) => made.push(`${what} ${id}`) },
  });

function createLoader() {
  const log = createRecordingLog();
  return { loader: new SinkLoader(createPorts({ log })), log };
}

async function ask(binding: Binding | undefined) {
  if (binding?.target.kind !== "native") throw new Error("not native");
  return kindOf(binding.target.handler(mailFrom("ann@example.org"), context));
}

describe("SinkLoader", () => {
  test("keeps a sink and what it remembers while its properties stay, whatever else of its entry changes", async () => {
    const { loader } = createLoader();
    const [first] = await loader.load([rate(1)]);
    expect(await ask(first)).toBe("proceed");
    const [kept, other] = await loader.load([rate(1, { priority: 7, rule: "LISTENER = mx", name: "mine" }), rate(2)]);
    expect(kept).toMatchObject({ id: "sinks/mine#onMailFrom", priority: 7 });
    expect(await ask(kept)).toBe("defer");
    expect(await ask(other)).toBe("proceed");
    const [, again] = await loader.load([rate(3), rate(1)]);
    expect(await ask(again)).toBe("defer");
  });

  test("makes two sinks of two entries alike", async () => {
    const { loader } = createLoader();
    const [one, two] = await loader.load([rate(1), rate(1)]);
    expect([await ask(one), await ask(two), await ask(one)]).toEqual(["proceed", "proceed", "defer"]);
    expect([one?.id, two?.id]).toEqual(["sinks/rate-limit#onMailFrom", "sinks/rate-limit#onMailFrom-2"]);
  });

  test("closes what is gone when it is retired, not before", async () => {
    const told: unknown[] = [];
    const [a, b] = [watched(told, "a"), watched(told, "b")];
    const { loader } = createLoader();
    await loader.load([a, b]);
    await loader.load([b]);
    expect(told).toEqual(["made a", "made b"]);
    await loader.retire();
    expect(told).toEqual(["made a", "made b", "closed a"]);
    await loader.close();
    expect(told.slice(3)).toEqual(["closed b"]);
  });

  test("takes back what is gone where it is loaded again before it was closed", async () => {
    const told: unknown[] = [];
    const [a, b] = [watched(told, "a"), watched(told, "b")];
    const { loader } = createLoader();
    await loader.load([a]);
    await loader.load([b]);
    await loader.load([a]);
    await loader.retire();
    expect(told).toEqual(["made a", "made b", "closed b"]);
  });

  test("closes at the next load what nobody retired", async () => {
    const told: unknown[] = [];
    const { loader } = createLoader();
    await loader.load([watched(told, "a")]);
    await loader.load([]);
    expect(told).toEqual(["made a"]);
    await loader.load([]);
    expect(told).toEqual(["made a", "closed a"]);
  });

  test("loads one after the other", async () => {
    const told: unknown[] = [];
    const a = watched(told, "a");
    const { loader } = createLoader();
    await Promise.all([loader.load([a]), loader.load([a])]);
    expect(told).toEqual(["made a"]);
  });

  test("changes nothing where a rule cannot be read, and goes on after it", async () => {
    const { loader } = createLoader();
    const [first] = await loader.load([rate(1)]);
    await ask(first);
    await expect(loader.load([rate(2), rate(1, { rule: "RCPT TWO = x" })])).rejects.toMatchObject({
      code: "rule.syntax",
    });
    const [kept] = await loader.load([rate(1)]);
    expect(await ask(kept)).toBe("defer");
  });

  test("loads a module that was mended", async () => {
    const folder = await mkdtemp(join(tmpdir(), "mended-"));
    const module = join(folder, "sink.mjs");
    await writeFile(module, "\n  throw new Error('not yet');\n");
    const { loader } = createLoader();
    const mine = entry({ module, events: ["onArrival"] });
    expect((await loader.load([mine]))[0]!.target).toMatchObject({
      kind: "broken",
      reason: `Cannot load ${module}:2:9: not yet`,
    });
    await writeFile(module, "export default { name: 'mended', onArrival() {} };\n");
    await utimes(module, 1_700_000_000, 1_700_000_000);
    expect((await loader.load([mine]))[0]).toMatchObject({ name: "mended", target: { kind: "native" } });
    await rm(folder, { recursive: true });
  });

  test("a sink whose close throws is logged, and the others are closed", async () => {
    const told: unknown[] = [];
    const { loader, log } = createLoader();
    const throwing = entry({
      module: resolve("test/fixtures/sinks/watched.ts"),
      events: ["onArrival"],
      properties: {
        id: "x",
        tell: (what: string) => {
          if (what === "closed") throw new Error("stuck");
        },
      },
    });
    await loader.load([throwing, watched(told, "a")]);
    await loader.close();
    expect(told).toEqual(["made a", "closed a"]);
    expect(log.of("sink.failed")).toMatchObject([{ fields: { sink: "watched", reason: "stuck" } }]);
  });
});

describe("bindings of sinks by name", () => {
  test.each([
    ["all events it is made for", entry({ use: "tarpit" }), ["onReply", "onDisconnect"]],
    ["those its properties let it have", rate(1), ["onMailFrom"]],
    [
      "the one that is written",
      entry({ use: "size-limit", properties: { size_max: 1 }, events: ["onArrival"] }),
      ["onArrival"],
    ],
    [
      "quarantine at onArrival",
      entry({ use: "access-list", properties: { deny_senders: ["<>"], on_deny: "quarantine" } }),
      ["onArrival"],
    ],
  ])("are bound to %s", async (_why, sink, events) => {
    const bindings = await createLoader().loader.load([sink]);
    expect(bindings.map(({ event, target }) => `${event} ${target.kind}`)).toEqual(
      events.map((event) => `${event} native`),
    );
  });

  test.each([
    ["a name nobody knows", entry({ use: "dnsbll" }), /There is no sink named "dnsbll".*did you mean dnsbl\?/],
    [
      "wrong properties",
      entry({ use: "size-limit", properties: { sizemax: 1 } }),
      /did you mean size_max\?.*size_max is missing/,
    ],
    ["an event it has no handler for", entry({ use: "greylist", events: ["onAuth"] }), /no handler for onAuth/],
    ["neither use nor module", entry({ events: ["onArrival"] }), /expected use or module/],
  ])("%s: broken, visible and logged", async (_why, sink, reason) => {
    const { loader, log } = createLoader();
    const bindings = await loader.load([sink]);
    expect(bindings.length).toBeGreaterThan(0);
    for (const { target } of bindings)
      expect(target).toMatchObject({ kind: "broken", reason: expect.stringMatching(reason) as string });
    if (!sink.events.includes("onAuth")) expect(log.of("sink.broken")).toHaveLength(1);
    await loader.close();
  });

  test("carry id, source, time and the rest of their entry", async () => {
    const options = {
      id: "added/mine#onMailFrom",
      source: "added",
      timeoutMs: 50,
      onFault: "proceed",
      maxFirings: 3,
    } as const;
    const [binding] = await createLoader().loader.load([rate(1, options)]);
    expect(binding).toMatchObject(options);
  });

  test("of several events put the event behind a given id", async () => {
    const bindings = await createLoader().loader.load([entry({ use: "tarpit", id: "x" })]);
    expect(bindings.map(({ id }) => id)).toEqual(["x#onReply", "x#onDisconnect"]);
  });
});
