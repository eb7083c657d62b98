/** Badmail's desk: what is shown of it, and the ways out of it. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { quarantine } from "../../../src/events/verdict.ts";
import { BadMailDesk } from "../../../src/inbound/badmail-desk.ts";
import { Header } from "../../../src/mail/header.ts";
import { createId } from "../../../src/mail/ids.ts";
import { inlineBody } from "../../../src/mail/message.ts";
import { createEntrance, type TestEntrance } from "../../support/entrance.ts";
import { createBinding } from "../../support/events.ts";
import { createSampleMessage, readMessage, type SampleMessage } from "../../support/sample-message.ts";

let here: TestEntrance;
let desk: BadMailDesk;

beforeEach(() => begin());
afterEach(() => here.close());

function begin(options: Parameters<typeof createEntrance>[0] = {}) {
  here = createEntrance(options);
  desk = new BadMailDesk(here);
}

async function keep(sample: SampleMessage = {}, binding = "b1"): Promise<string> {
  const message = createSampleMessage(sample);
  await here.badmail.keep(message, { reason: "odd", binding, rule: "SIZE=>1", fault: null, at: here.clock.now() });
  return message.id;
}

async function keepFile(text: string): Promise<string> {
  const id = createId(here.clock.now());
  const path = join(here.folder, "x.eml");
  writeFileSync(path, text);
  const why = { reason: "no recipient", binding: null, fault: "submission.malformed" };
  await here.badmail.keepFile(path, { id, file: "x.eml", origin: "pickup", ...why, at: here.clock.now() });
  return id;
}

describe("list and show", () => {
  test("say of each why it is there, oldest first", async () => {
    const one = await keep({ from: null, receivedAt: here.clock.now() });
    const two = await keepFile("nothing");
    const listed = await desk.list({}, { limit: 10 });
    expect(listed.total).toBe(2);
    expect(new Set(listed.items.map(({ id }) => id))).toEqual(new Set([one, two]));
    expect(await desk.show(one)).toMatchObject({
      from: "<>",
      to: ["grace@example.test"],
      reason: "odd",
      binding: "b1",
      rule: "SIZE=>1",
      origin: "mx",
      problem: null,
      quarantinedAt: "2026-01-05T12:00:00.000Z",
    });
    expect(await desk.show(two)).toMatchObject({
      from: null,
      to: [],
      file: "x.eml",
      fault: "submission.malformed",
      sizeOctets: 7,
    });
  });

  test("count beyond the limit, and choose by binding and by age", async () => {
    await keep({}, "b1");
    await keep({}, "b2");
    expect(await desk.list({}, { limit: 1 })).toMatchObject({ total: 2, items: [{}] });
    expect(await desk.list({ binding: "b2" }, { limit: 10 })).toMatchObject({ total: 1, items: [{ binding: "b2" }] });
    await here.clock.advance(60_000);
    expect(await desk.list({ olderThanMs: 60_000 }, { limit: 10 })).toMatchObject({ total: 2 });
    expect(await desk.list({ olderThanMs: 60_001 }, { limit: 10 })).toMatchObject({ total: 0 });
  });

  test.each<[why: string, spoil: (folder: string) => void, problem: RegExp]>([
    ["no reason.json", (folder) => rmSync(join(folder, "reason.json")), /ENOENT/],
    ["a reason.json that is no JSON", (folder) => writeFileSync(join(folder, "reason.json"), "{"), /reason\.json/],
    ["a reason.json of something else", (folder) => writeFileSync(join(folder, "reason.json"), "[]"), /reason\.json/],
    ["no message", (folder) => rmSync(join(folder, "message.eml")), /message\.eml is not there/],
    ["nothing at all", (folder) => rmSync(folder, { recursive: true }) ?? mkdirSync(folder), /./],
  ])(
    "show a folder with %s, and the others besides; it can be removed and not released",
    async (_why, spoil, problem) => {
      const bad = await keep();
      const good = await keep();
      spoil(join(here.badmail.folder, bad));
      const { items } = await desk.list({}, { limit: 10 });
      expect(items.find(({ id }) => id === bad)!.problem).toMatch(problem);
      expect(items.find(({ id }) => id === good)!.problem).toBeNull();
      expect(await desk.release([bad])).toMatchObject({ ids: [], skipped: [{ id: bad }] });
      expect(await desk.remove({ ids: [bad] }, { dryRun: false })).toEqual({ ids: [bad], skipped: [] });
      expect(await here.badmail.ids()).toEqual([good]);
    },
  );

  test("give the octets, or those of the header alone", async () => {
    const id = await keep({ data: "A: b\r\n\r\nbody\r\n" });
    const read = async (part: "header" | "raw") => {
      const chunks: Buffer[] = [];
      for await (const chunk of (await desk.content(id, part))!) chunks.push(chunk);
      return Buffer.concat(chunks).toString();
    };
    expect([await read("raw"), await read("header")]).toEqual(["A: b\r\n\r\nbody\r\n", "A: b\r\n"]);
    expect(await desk.content("0000000000000000", "raw")).toBeUndefined();
  });
});

describe("release", () => {
  test("puts a message back to the octet, under its id, with its envelope, and asks no sink of the session", async () => {
    let asked = 0;
    here.close();
    begin({ bindings: [createBinding("onArrival", () => void asked++)] });
    const sample: SampleMessage = { options: { ret: "HDRS" }, toOptions: [{ notify: ["never"] }], notes: { score: 9 } };
    const message = createSampleMessage(sample);
    await here.badmail.keep(message, { reason: "odd", binding: null, at: 0 });
    await here.clock.advance(86_400_000);
    expect(await desk.release([message.id])).toEqual({ ids: [message.id], skipped: [] });
    const stored = (await here.spool.load(message.id))!;
    expect(await readMessage(stored)).toEqual(await readMessage(message));
    expect(stored.envelope).toEqual(message.envelope);
    expect(stored.origin).toEqual(message.origin);
    // Its time in the queue begins when it gets there.
    expect([stored.receivedAt, stored.notes]).toEqual([here.clock.now(), { score: 9, released: here.clock.now() }]);
    expect([here.queued.length, asked, await here.badmail.ids()]).toEqual([1, 0, []]);
  });

  test.each<[why: string, sample: SampleMessage]>([
    ["a header alone", { data: "A: b\r\n" }],
    ["no header", { data: "\r\nbody\r\n" }],
    ["a body without a header above it", { data: "just text\r\n" }],
    ["octets of any kind", { body: inlineBody(Buffer.from([0, 10, 13, 255, 0])) }],
    ["a body larger than is kept in memory", { body: inlineBody(Buffer.alloc(300_000, "x")) }],
  ])("gives back %s as it was", async (_why, sample) => {
    const id = await keep(sample);
    const before = readFileSync(join(here.badmail.folder, id, "message.eml"));
    expect((await desk.release([id])).skipped).toEqual([]);
    expect(await readMessage((await here.spool.load(id))!)).toEqual(before);
  });

  test("gives back a header whose first line is no field any more", async () => {
    const message = createSampleMessage({ data: "A: b\r\nno field\r\n\r\nbody\r\n" });
    message.header = new Header(message.header.fields.slice(1));
    await here.badmail.keep(message, { reason: "odd", binding: null, at: 0 });
    await desk.release([message.id]);
    const stored = (await here.spool.load(message.id))!;
    expect(stored.header.octets.toString()).toBe("no field\r\n");
    expect((await stored.body.octets()).toString()).toBe("body\r\n");
  });

  test("reads records of earlier versions, which do not say where the body begins", async () => {
    const id = await keep({ data: "A: b\r\n\r\nbody\r\n" });
    const path = join(here.badmail.folder, id, "reason.json");
    const {
      headerOctets: _,
      separatorOctets: __,
      notes: ___,
      rule: ____,
      fault: _____,
      ...old
    } = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, JSON.stringify(old));
    expect((await desk.release([id])).ids).toEqual([id]);
    const stored = (await here.spool.load(id))!;
    expect([stored.header.octets.toString(), (await stored.body.octets()).toString()]).toEqual([
      "A: b\r\n",
      "body\r\n",
    ]);
  });

  test("sends it to others where they are named", async () => {
    const id = await keep({ toOptions: [{ notify: ["never"] }] });
    await desk.release([id], { to: ["zoe@example.test"] });
    expect(here.queued[0]!.envelope.recipients).toEqual([{ mailbox: { localPart: "zoe", domain: "example.test" } }]);
  });

  test("says what cannot be released, and goes on with the others", async () => {
    const id = await keep();
    const { ids, skipped } = await desk.release(["0000000000000000", id]);
    expect([ids, skipped]).toEqual([[id], [{ id: "0000000000000000", reason: expect.stringMatching(/Cannot find/) }]]);
  });

  test("sends nothing twice: killed before it was removed, or asked for twice at once", async () => {
    const message = createSampleMessage();
    await here.spool.accept([message], 0);
    await here.badmail.keep(message, { reason: "odd", binding: null, at: 0 });
    expect((await desk.release([message.id])).skipped[0]!.reason).toMatch(/the queue has it/);
    const id = await keep();
    const both = await Promise.all([desk.release([id]), desk.release([id])]);
    expect(both.flatMap(({ ids }) => ids)).toEqual([id]);
    expect(here.queued).toHaveLength(1);
  });

  test("keeps it where the spool cannot take it", async () => {
    const { spool } = here;
    const full = { ...spool, createBody: () => spool.createBody(), accept: () => Promise.reject(new Error("no room")) };
    here.close();
    begin({ spool: full });
    const id = await keep();
    expect((await desk.release([id])).skipped).toEqual([{ id, reason: "no room" }]);
    expect(await here.badmail.ids()).toEqual([id]);
  });

  test("asks the sinks again where that is wanted: what is quarantined again stays as it is", async () => {
    here.close();
    let isOdd = true;
    begin({ bindings: [createBinding("onArrival", () => (isOdd ? quarantine("odd again") : undefined))] });
    const id = await keep();
    const { ids, skipped } = await desk.release([id], { again: true });
    expect([ids, skipped]).toEqual([[], [{ id, reason: expect.stringMatching(/it was quarantined again/) }]]);
    expect(await desk.show(id)).toMatchObject({ reason: "odd", problem: null });
    isOdd = false;
    expect(here.queued).toEqual([]);
    expect(await desk.release([id], { again: true })).toEqual({ ids: [id], skipped: [] });
    expect([here.queued.map((message) => message.id), await here.badmail.ids()]).toEqual([[id], []]);
  });

  test("reads a pickup file again, which somebody may have put right meanwhile", async () => {
    const id = await keepFile("From: a@example.org\n\ntext\n");
    expect((await desk.release([id])).skipped[0]!.reason).toMatch(/no recipient/);
    expect(existsSync(join(here.badmail.folder, id))).toBe(true);
    expect((await desk.release([id], { to: ["zoe@example.test"] })).ids).toEqual([id]);
    expect(here.queued[0]!.envelope).toMatchObject({
      reversePath: { localPart: "a" },
      recipients: [{ mailbox: { localPart: "zoe" } }],
    });
    expect(readdirSync(here.badmail.folder)).toEqual([]);
  });
});

test("remove says what it would remove, and removes nothing on a dry run", async () => {
  const id = await keep();
  expect(await desk.remove({ binding: "b1" }, { dryRun: true })).toEqual({ ids: [id], skipped: [] });
  expect(await here.badmail.ids()).toEqual([id]);
  expect(await desk.remove({ binding: "b1" }, { dryRun: false })).toEqual({ ids: [id], skipped: [] });
  expect(readdirSync(here.badmail.folder)).toEqual([]);
  expect(here.log.of("badmail.removed")).toHaveLength(1);
});
