/** `onarrival queue …`: through the real argument parser to a control socket with fakes behind it. */
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ControlServer } from "../../../src/admin/control.ts";
import { confirm } from "../../../src/cli/confirm.ts";
import { formatSpan, readDuration } from "../../../src/cli/duration.ts";
import { changeQueue } from "../../../src/cli/queue-change.ts";
import { readContent } from "../../../src/cli/queue-content.ts";
import { cutAddress, formatQueue, formatQueueItem } from "../../../src/cli/queue-listing.ts";
import { formatDestinations } from "../../../src/cli/queue-shape.ts";
import {
  deferredItem,
  destination,
  fakeQueueControl,
  firstId,
  heldItem,
  secondId,
} from "../../support/operator-controls.ts";
import { createOperatorSite } from "../../support/operator-site.ts";
import { plainOutput, recordTerminal, taggedOutput } from "../../support/terminal.ts";

const nowMs = Date.parse("2026-11-02T09:40:00Z");
let site: ReturnType<typeof createOperatorSite>;
let control: ControlServer;
beforeEach(async () => {
  site = createOperatorSite();
  control = await site.serve();
});
afterEach(async () => {
  await control.close();
  site.remove();
});

/** An answer typed on a terminal. */
function typed(text: string) {
  const input = Object.assign(new PassThrough(), { isTTY: true });
  input.end(text);
  return input;
}

describe("onarrival queue list", () => {
  test.each<[why: string, argv: string[], selection: object, limit: number]>([
    ["nothing", [], {}, 1_000],
    ["ids in small letters, each once", [firstId.toLowerCase(), firstId], { ids: [firstId] }, 1_000],
    ["an old --to", ["--to", "@example.org", "--limit", "7"], { domain: "example.org" }, 7],
    ["an old --to with an address", ["--to", "x@example.org"], { recipient: "x@example.org" }, 1_000],
    [
      "every filter",
      [
        "--domain",
        "*.example.org",
        "--recipient",
        "x@y.example",
        "--from",
        "<>",
        "--destination",
        "smarthost",
        "--older",
        "2h",
        "--newer",
        "1d",
        "--state",
        "held",
      ],
      {
        domain: "*.example.org",
        recipient: "x@y.example",
        sender: "<>",
        destination: "smarthost",
        olderThanMs: 7_200_000,
        newerThanMs: 86_400_000,
        state: "held",
      },
      1_000,
    ],
  ])("asks for %s", async (_why, argv, selection, limit) => {
    expect((await site.run("queue", "list", ...argv)).status).toBe(0);
    expect(site.queue.asked).toEqual([["list", selection, { limit, offset: 0 }]]);
  });

  test.each<[why: string, argv: string[], words: RegExp]>([
    ["a time without a unit", ["--older", "2"], /--older: expected a time such as "30m"/],
    ["a state there is not", ["--state", "old"], /--state: expected new, deferred, held, running/],
    ["an id that is none", ["abc"], /"abc" is no id of a message/],
    ["too many ids", Array.from({ length: 501 }, (_, i) => String(i).padStart(16, "0")), /more than 500 ids/],
    ["--to beside --domain", ["--to", "@a.example", "--domain", "b.example"], /--to goes without/],
    ["a limit the server refuses", ["--limit", "0"], /limit: expected a whole number from 1/],
    ["an address the server refuses", ["--recipient", "nobody"], /expected local-part@domain/],
    ["a key there is not", ["--summary", "age"], /--summary: expected domain, sender, destination/],
  ])("refuses %s with exit 2", async (_why, argv, words) => {
    const { status, out, err } = await site.run("queue", "list", ...argv);
    expect([status, out]).toEqual([2, ""]);
    expect(err).toMatch(words);
  });

  test("prints one JSON object a line, with the names it always had", async () => {
    const { out } = await site.run("queue", "list", "--json");
    expect(
      out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual([deferredItem, heldItem]);
  });

  test("says how many more there are, and that there are none", async () => {
    expect((await site.run("queue", "list", "--limit", "1")).err).toBe(
      "Only the 1 oldest of 2 are shown; --limit shows more.\n",
    );
    const empty = createOperatorSite({ queue: fakeQueueControl({ list: async () => ({ items: [], total: 0 }) }) });
    const server = await empty.serve();
    expect((await empty.run("queue", "list")).err).toBe("The queue is empty.\n");
    expect((await empty.run("queue", "list", "--domain", "x.example")).err).toBe("Nothing in the queue matches.\n");
    await server.close();
    empty.remove();
  });

  test("--summary counts by age", async () => {
    const { out } = await site.run("queue", "list", "--summary", "destination");
    const [head, all, first] = out.split("\n");
    expect(head).toMatch(/^destination {4,}all +5 +10 +20 +40 +80 +160 +320 +640 +1280 +1280\+$/);
    expect(all).toMatch(/^all +4( +[.4])+$/);
    expect(first).toMatch(/^smarthost +3( +[.3])+$/);
  });

  test("exits 3 where no server runs", async () => {
    await control.close();
    expect((await site.run("queue", "list")).status).toBe(3);
    expect((await site.run("queue", "remove", firstId, "--yes")).status).toBe(3);
  });
});

describe("listings", () => {
  test("formatQueue has all of it in one line where nothing may be cut", () => {
    const [, first, second] = formatQueue([deferredItem, heldItem], nowMs, plainOutput).split("\n");
    expect(first).toMatch(
      /^0000000000000001 {2}10m ago {3}2KiB {2}a@example\.com {2}c@example\.org +in 5m +451 4\.3\.0 later$/,
    );
    expect(second).toMatch(
      / {2}a\.person\.with\.a\.very\.long\.name\.indeed@mail\.example\.net \+2 {2}held +held: looks odd$/,
    );
  });

  test("formatQueue gives one column of addresses what the other does not need", () => {
    const [, line] = formatQueue([heldItem], nowMs, plainOutput, 120).split("\n");
    expect(line).toBe(
      "0000000000000002  2m ago    700B  <>    a.p…@mail.example.net +2  held          held: looks odd",
    );
  });

  test.each([80, 120, 200])("formatQueue fits a terminal of %i columns", (columns) => {
    const long = { ...deferredItem, recipients: [{ ...deferredItem.recipients[1]!, lastOutcome: "x".repeat(500) }] };
    for (const line of formatQueue([long, heldItem], nowMs, plainOutput, columns).split("\n"))
      expect(line.length).toBeLessThanOrEqual(columns);
  });

  test("formatQueue puts recipient and outcome below the message on a narrow terminal", () => {
    expect(formatQueue([deferredItem, { ...heldItem, recipients: [] }], nowMs, plainOutput, 80)).toBe(
      [
        "id                received  size  next attempt  from",
        "0000000000000001  10m ago   2KiB  in 5m         a@example.com",
        "  → c@example.org  451 4.3.0 later",
        "0000000000000002  2m ago    700B                <>",
        "  → ",
        "",
      ].join("\n"),
    );
  });

  test.each([
    ["one that fits", "a@b.example", 11, "a@b.example"],
    ["a long local part", "abcdefghij@b.example", 14, "abc…@b.example"],
    ["a domain too long for it", "a@long.example.org", 10, "a@long.ex…"],
    ["no address", "<>", 2, "<>"],
  ])("cutAddress: %s", (_why, address, columns, shown) => {
    expect(cutAddress(address, columns)).toBe(shown);
  });

  test("formatQueueItem tells every recipient, how long it has been and how long it goes on", () => {
    expect(formatQueueItem(deferredItem, nowMs, plainOutput)).toBe(
      [
        "message   0000000000000001",
        "from      a@example.com",
        "received  2026-11-02T09:30:00.000Z (10m ago)",
        "given up  2026-11-07T09:30:00.000Z (in 4d 23h)",
        "size      2345 octets",
        "",
        "recipient       state      attempts  next attempt  destination",
        "b@example.test  delivered  1",
        "  delivered",
        "c@example.org   deferred   2         in 5m         mx:example.org",
        "  451 4.3.0 later",
        "",
      ].join("\n"),
    );
    expect(formatQueueItem(heldItem, nowMs, taggedOutput)).toContain("<red>held</red>");
    const running = { ...deferredItem, running: true };
    expect(formatQueueItem(running, nowMs, plainOutput)).toContain("now       an attempt is under way\n");
    expect(formatQueue([running], nowMs, plainOutput)).toContain("  running  ");
  });

  test.each([
    ["until it is resumed", { suspendedUntil: "resumed" }, "suspended"],
    ["for a while", { suspendedUntil: "2026-11-02T11:40:00Z" }, "suspended for 2h more"],
    ["for what is left of it", { suspendedUntil: "2026-11-02T11:39:59.001Z" }, "suspended for 2h more"],
    ["until a moment ago", { suspendedUntil: "2026-11-02T09:39:59Z" }, "suspended for 1s more"],
    ["by itself", { backOffUntil: "2026-11-02T09:41:00Z" }, "down, tried again in 1m"],
    ["for a second", { backOffUntil: "2026-11-02T09:40:01Z", running: 0 }, "down, tried again in 1s"],
    ["for less", { backOffUntil: "2026-11-02T09:40:00.999Z", running: 0 }, "down, about to be tried"],
    ["no more, and something is due", { backOffUntil: "2026-11-02T09:39:59Z", running: 0 }, "down, about to be tried"],
    ["no more, and is tried", { backOffUntil: "2026-11-02T09:39:59Z" }, "down, being tried"],
    [
      "until something is due",
      { backOffUntil: "2026-11-02T09:39:59Z", running: 0, due: 0 },
      "down, tried again with the next message that is due",
    ],
    ["not", {}, ""],
  ])("formatDestinations says of one that rests %s", (_why, parts, words) => {
    const [head, line, below] = formatDestinations(
      [{ ...destination, ...parts, lastFailure: { at: "2026-11-02T09:38:00Z", reason: "no\u001b[2J route" } }],
      nowMs,
      plainOutput,
      80,
    ).split("\n");
    expect(head).toMatch(/^destination +waiting +due +running +limits +state$/);
    const { due, running } = { ...destination, ...parts };
    expect(line).toBe(
      `mx:example.org  12       ${due}    ${running}        2 at a time, 100/1h (set)  ${words}`.trimEnd(),
    );
    expect(below).toBe("  2m ago: no route");
  });
});

describe("onarrival queue show", () => {
  test("prints one message; --json the same as one document", async () => {
    expect((await site.run("queue", "show", firstId)).out).toContain("given up  2026-11-07");
    expect(JSON.parse((await site.run("queue", "show", firstId, "--json")).out)).toEqual(deferredItem);
  });

  test("exits 1 for a message that is not there, 2 for too much at once", async () => {
    const absent = await site.run("queue", "show", "000000000000000Z");
    expect([absent.status, absent.err]).toEqual([1, 'onarrival: no message "000000000000000Z" is in the queue\n']);
    expect((await site.run("queue", "show", "../x")).status).toBe(1);
    expect((await site.run("queue", "show", firstId, "--raw", "--json")).err).toContain("do not go together");
  });

  test("readContent gives the octets as they are, or the server's words", async () => {
    const pieces: Buffer[] = [];
    const take = async (octets: Buffer) => void pieces.push(octets);
    await readContent({ data: site.data, cwd: site.folder, path: `/api/v1/queue/${firstId}/raw` }, take);
    expect(Buffer.concat(pieces).toString("latin1")).toBe("Subject: x\r\n\r\nh\xe9llo\r\n");
    await expect(
      readContent({ data: site.data, cwd: site.folder, path: "/api/v1/queue/ZZZ/raw" }, take),
    ).rejects.toMatchObject({ code: "control.refused", message: 'no message "ZZZ" is in the queue' });
  });
});

describe("onarrival queue retry|hold|release|bounce|remove|requeue", () => {
  test.each<[verb: string, argv: string[], words: string]>([
    ["retry", ["--domain", "example.org"], "Due now: 2 messages with 4 recipients.\n"],
    ["hold", ["--from", "@example.com"], "Held: 2 messages with 4 recipients.\n"],
    ["release", [firstId], "Released: 1 message with 2 recipients.\n"],
    ["requeue", ["--all"], "Resolved anew with the next attempt: 2 messages with 4 recipients.\n"],
    ["bounce", ["--older", "1d", "--yes"], "Bounced, and their senders told: 2 messages with 4 recipients.\n"],
    ["remove", [firstId, "--yes"], "Removed, and nobody told: 1 message with 2 recipients.\n"],
  ])("%s says what it did", async (verb, argv, words) => {
    expect(await site.run("queue", verb, ...argv)).toEqual({ status: 0, out: words, err: "" });
    expect(site.queue.asked).toHaveLength(1);
  });

  test("hands on why it is held, and what the senders are told", async () => {
    await site.run("queue", "hold", "--all", "--reason", "looks odd");
    await site.run("queue", "bounce", "--all", "--yes", "--text", "Gone for good");
    expect(site.queue.asked).toEqual([
      ["hold", {}, { dryRun: false, reason: "looks odd" }],
      ["bounce", {}, { dryRun: false, text: "Gone for good" }],
    ]);
  });

  test.each<[why: string, argv: string[], words: RegExp]>([
    ["nothing that says which", ["retry"], /Cannot retry without knowing what: expected ids, a filter, or --all/],
    ["all beside a filter", ["hold", "--all", "--domain", "x.example"], /--all means the whole queue/],
    ["a removal off a terminal", ["remove", "--all"], /Not done: remove 2 messages with 4 recipients cannot be undone/],
    ["a bounce off a terminal", ["bounce", firstId], /--yes does it without asking/],
  ])("refuses %s with exit 2", async (_why, argv, words) => {
    const { status, err } = await site.run("queue", ...argv);
    expect(status).toBe(2);
    expect(err).toMatch(words);
    expect(
      site.queue.asked.filter(([name, , options]) => name !== "list" && !(options as { dryRun: boolean }).dryRun),
    ).toEqual([]);
  });

  test("--dry-run changes nothing and needs no --yes", async () => {
    expect(await site.run("queue", "remove", "--all", "--dry-run")).toEqual({
      status: 0,
      out: "Would remove 2 messages with 4 recipients.\n",
      err: "Nothing was changed: this was a dry run.\n",
    });
    expect(site.queue.asked).toEqual([["remove", {}, { dryRun: true }]]);
  });

  test("asks on a terminal, with the first few, and then changes just what was shown", async () => {
    const context = site.context();
    expect(await changeQueue("bounce", [], { all: true }, context, typed("y\n"))).toBe(0);
    expect(context.errText()).toContain(`${firstId}  `);
    expect(context.errText()).toContain("Bounce 2 messages with 4 recipients? [y/N] ");
    expect(site.queue.asked.map(([name, selection]) => [name, selection])).toEqual([
      ["bounce", {}],
      ["list", { ids: [firstId, secondId] }],
      ["bounce", { ids: [firstId, secondId] }],
    ]);
  });

  test("a no changes nothing and exits 1", async () => {
    const context = site.context();
    expect(await changeQueue("remove", [firstId], {}, context, typed("\n"))).toBe(1);
    expect(context.errText()).toMatch(/Nothing was changed\.\n$/);
    expect(site.queue.asked.filter(([name]) => name === "remove")).toHaveLength(1);
  });

  test("exits 1 where something was skipped or is not there, and says which and why", async () => {
    const skipping = createOperatorSite({
      queue: fakeQueueControl({
        change: async () => ({
          messages: 1,
          recipients: 1,
          ids: [firstId],
          skipped: [{ id: secondId, reason: "an attempt is under way" }],
        }),
      }),
    });
    const server = await skipping.serve();
    const third = "0000000000000003";
    const result = await skipping.run("queue", "hold", firstId, secondId, third);
    expect(result).toEqual({
      status: 1,
      out: "Held: 1 message with 1 recipient.\n",
      err: `skipped ${secondId}: an attempt is under way\nskipped ${third}: it is not in the queue, or does not match\n`,
    });
    const json = JSON.parse((await skipping.run("queue", "hold", firstId, third, "--json")).out);
    expect(json).toMatchObject({
      verb: "hold",
      dryRun: false,
      messages: 1,
      skipped: [{ id: secondId }, { id: third }],
    });
    await server.close();
    skipping.remove();
  });
});

describe("onarrival queue shape", () => {
  test.each<[why: string, argv: string[], change: object]>([
    ["connections", ["--connections", "2"], { connectionsMax: 2 }],
    ["the defaults", ["--connections", "default", "--rate", "none"], { connectionsMax: null, rate: null }],
    ["a rate", ["--rate", "100/1h"], { rate: { times: 100, withinMs: 3_600_000 } }],
    ["a suspension", ["--suspend"], { suspend: { forMs: null } }],
    ["one that ends", ["--suspend", "--for", "2h"], { suspend: { forMs: 7_200_000 } }],
    ["its end", ["--resume", "--wake"], { suspend: null, wake: true }],
  ])("sets %s", async (_why, argv, change) => {
    const { status, out } = await site.run("queue", "shape", "smtp://a.example:25", ...argv);
    expect(status).toBe(0);
    expect(out).toContain("smtp://a.example:25  12 ");
    expect(site.queue.asked).toEqual([["shape", "smtp://a.example:25", change]]);
  });

  test.each<[why: string, argv: string[], status: number, words: RegExp]>([
    ["no connections", ["x", "--connections", "0"], 2, /--connections: expected a number from 1, or default/],
    [
      "a rate that is none",
      ["x", "--rate", "fast"],
      2,
      /--rate: expected a rate such as "10\/1m".*, or none, not "fast"/,
    ],
    ["both ways at once", ["x", "--suspend", "--resume"], 2, /do not go together/],
    ["a time for nothing", ["x", "--for", "2h"], 2, /--for goes with --suspend/],
    ["a change without a name", ["--wake"], 2, /without its name/],
    ["a destination that is not there", ["nowhere"], 1, /Nothing waits for nowhere/],
  ])("refuses %s", async (_why, argv, status, words) => {
    const result = await site.run("queue", "shape", ...argv);
    expect(result.status).toBe(status);
    expect(result.err).toMatch(words);
  });

  test("lists all, or the one that is named", async () => {
    expect((await site.run("queue", "shape", "--json")).out.trim().split("\n")).toHaveLength(2);
    expect((await site.run("queue", "shape", "local")).out).toMatch(/\nlocal +0 /);
  });
});

describe("confirm", () => {
  test.each([
    ["y", "y\n", true],
    ["yes in any letters", " YES \n", true],
    ["a no", "n\n", false],
    ["nothing", "\n", false],
    ["the end of input", "", false],
    ["something else that begins so", "yesterday\n", false],
  ])("%s", async (_why, text, answer) => {
    expect(await confirm("Remove it", {}, recordTerminal(), typed(text))).toBe(answer);
  });
});

test.each([
  ["nothing", 0, "0s"],
  ["below a second", 999, "0s"],
  ["one unit", 7_200_000, "2h"],
  ["two units", 93_784_000, "1d 2h"],
  ["a gap between", 86_460_000, "1d"],
  ["minutes and seconds", 61_000, "1m 1s"],
])("formatSpan: %s", (_why, ms, words) => {
  expect(formatSpan(ms)).toBe(words);
});

test("readDuration reads a number with a unit and nothing else", () => {
  expect([readDuration("--older", "90s"), readDuration("--older", "1.5h"), readDuration("--older", "0s")]).toEqual([
    90_000, 5_400_000, 0,
  ]);
  for (const text of ["", "5", "-1h", "1w", "4000d"])
    expect(() => readDuration("--older", text)).toThrow("--older: expected");
});
