/** What every spool must do. Each back end passes this same suite; `reopen` is there for those whose content survives them. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Header } from "../../src/mail/header.ts";
import { type Body, inlineBody } from "../../src/mail/message.ts";
import { inlineBodyOctetsMax, type RecipientUpdate, type Spool } from "../../src/spool/spool.ts";
import { createSampleMessage, readMessage, type SampleMessage } from "../support/sample-message.ts";

export interface SpoolBackEnd {
  readonly name: string;
  /** A fresh and empty spool. */
  open(): Promise<Spool>;
  /** The same spool again after `close`; undefined where nothing survives. */
  readonly reopen: (() => Promise<Spool>) | undefined;
  /** Removes what it left behind. */
  cleanUp(): Promise<void>;
}

const dueAt = Date.UTC(2026, 0, 5, 13);

function update(index: number, change: Partial<RecipientUpdate> = {}): RecipientUpdate {
  return { index, state: "delivered", attempts: 1, nextAttemptAt: dueAt, lastOutcome: "250 2.0.0 taken", ...change };
}

async function writeBody(spool: Spool, octets: Buffer, chunkOctets = 10_000): Promise<Body> {
  const writer = spool.createBody();
  for (let at = 0; at < octets.length; at += chunkOctets) await writer.write(octets.subarray(at, at + chunkOctets));
  return writer.finish();
}

function octetsOf(length: number): Buffer {
  const octets = Buffer.alloc(length);
  for (let at = 0; at < length; at++) octets[at] = 32 + ((at * 7 + (at >> 8)) % 90);
  return octets;
}

function lines(header: Header): string[] {
  return header.fields.map((field) => `${field.name}|${field.octets.toString("latin1")}`);
}

export function spoolContract(backEnd: SpoolBackEnd): void {
  describe(`the spool contract: ${backEnd.name}`, () => {
    let spool: Spool;

    beforeEach(async () => {
      spool = await backEnd.open();
    });
    afterEach(async () => {
      await spool.close();
      await backEnd.cleanUp();
    });

    /** The spool as a later process finds it, where there is such a thing; else as it is. */
    async function afterRestart(): Promise<Spool> {
      if (!backEnd.reopen) return spool;
      await spool.close();
      spool = await backEnd.reopen();
      return spool;
    }

    const messages: { why: string; sample: SampleMessage }[] = [
      { why: "the common message", sample: {} },
      { why: "the null reverse-path", sample: { from: null } },
      {
        why: "several recipients, one with a quoted local part",
        sample: { to: ["a@example.test", '"b c"@example.test', "jörg@bücher.example"] },
      },
      { why: "a header and nothing else", sample: { data: "Subject: alone\r\n" } },
      { why: "no header at all", sample: { data: "\r\nbody\r\n" } },
      { why: "an empty body", sample: { data: "Subject: x\r\n\r\n" } },
      {
        why: "octets that are no text",
        sample: { data: Buffer.from("Subject: \xff\xfe\r\n\r\n\x80\x81\r\n", "latin1") },
      },
      {
        why: "a line in the header that is no field",
        sample: { data: "Subject: x\r\nthis is no field\r\nTo: y\r\n\r\nz\r\n" },
      },
      {
        why: "what the client asked for the message and for some of its recipients",
        sample: {
          to: ["a@example.test", "b@example.test", "c@example.test"],
          options: { body: "BINARYMIME", smtpUtf8: true, requireTls: true, ret: "FULL", envelopeId: "é=1 \\" },
          toOptions: [
            { notify: ["never"] },
            undefined,
            { notify: ["success", "failure"], originalRecipient: { type: "utf-8", address: "jörg@bücher.example" } },
          ],
        },
      },
      { why: "the octets of a binary body", sample: { data: "Subject: x\r\n\r\na\0b\rc\nd\r\r\n\n.\r\n..\0" } },
      { why: "notes", sample: { notes: { score: 3, tags: ["a", "b"], nested: { é: null } } } },
    ];
    test.each(messages)("load gives back what accept took: $why", async ({ sample }) => {
      const message = createSampleMessage(sample);
      const octets = await readMessage(message);
      await spool.accept([message], dueAt);
      const loaded = await (await afterRestart()).load(message.id);
      expect(loaded).toBeDefined();
      expect(await readMessage(loaded!)).toEqual(octets);
      expect(lines(loaded!.header)).toEqual(lines(message.header));
      expect(loaded!.separator).toEqual(message.separator);
      expect({ ...loaded!, header: 0, body: 0, separator: 0 }).toEqual({
        ...message,
        header: 0,
        body: 0,
        separator: 0,
      });
      expect(loaded!.sizeOctets).toBe(octets.length);
    });

    test("what nobody asked for is not there, neither for the message nor for its recipients", async () => {
      const message = createSampleMessage();
      await spool.accept([message], dueAt);
      const loaded = (await (await afterRestart()).load(message.id))!;
      expect(loaded.envelope).toStrictEqual(message.envelope);
      expect(Object.keys((await spool.find(message.id))!.recipients[0]!)).not.toContain("options");
    });

    test("list and find know what was asked for a recipient, before an attempt and after", async () => {
      const asked = { notify: ["success"] } as const;
      const message = createSampleMessage({ to: ["a@example.test", "b@example.test"], toOptions: [undefined, asked] });
      await spool.accept([message], dueAt);
      await spool.record(message.id, [update(1, { state: "queued", lastOutcome: "451 later" })]);
      const [entry] = await (await afterRestart()).list();
      expect(entry!.recipients.map(({ options }) => options)).toEqual([undefined, asked]);
      expect(await spool.find(message.id)).toEqual(entry);
    });

    test("record keeps what a report asks for", async () => {
      const message = createSampleMessage();
      const report = createSampleMessage({ from: null, options: { requireTls: true } });
      await spool.accept([message], dueAt);
      await spool.record(message.id, [update(0, { state: "failed" })], [report]);
      expect((await (await afterRestart()).load(report.id))!.envelope).toEqual(report.envelope);
    });

    test("load gives the header back when the field above a line that is no field was removed", async () => {
      const message = createSampleMessage({ data: "Subject: x\r\nthis is no field\r\nTo: y\r\n\r\nz\r\n" });
      message.header = message.header.remove("Subject");
      await spool.accept([message], dueAt);
      const loaded = await (await afterRestart()).load(message.id);
      expect((await readMessage(loaded!)).toString()).toBe("this is no field\r\nTo: y\r\n\r\nz\r\n");
      expect(loaded!.header.get("To")).toBe("y");
    });

    test.each([
      { why: "nothing", length: 0 },
      { why: "one below the inline limit", length: inlineBodyOctetsMax - 1 },
      { why: "at the inline limit", length: inlineBodyOctetsMax },
      { why: "one above the inline limit", length: inlineBodyOctetsMax + 1 },
      { why: "many writes above the inline limit", length: 4 * inlineBodyOctetsMax + 77 },
    ])("createBody keeps every octet: $why", async ({ length }) => {
      const octets = octetsOf(length);
      const body = await writeBody(spool, octets);
      expect(body.sizeOctets).toBe(length);
      const message = createSampleMessage({ body });
      await spool.accept([message], dueAt);
      const loaded = await (await afterRestart()).load(message.id);
      expect(loaded!.body.sizeOctets).toBe(length);
      expect((await loaded!.body.octets()).equals(octets)).toBe(true);
      const streamed: Buffer[] = [];
      for await (const chunk of loaded!.body.chunks()) streamed.push(chunk);
      expect(Buffer.concat(streamed).equals(octets)).toBe(true);
    });

    test("createBody keeps the octets of a long binary body", async () => {
      const octets = Buffer.alloc(inlineBodyOctetsMax + 1_000);
      for (let at = 0; at < octets.length; at++) octets[at] = "\0\r\n\n\r\0.\r\r\n\xff".charCodeAt(at % 12);
      const message = createSampleMessage({ body: await writeBody(spool, octets), options: { body: "BINARYMIME" } });
      await spool.accept([message], dueAt);
      const loaded = await (await afterRestart()).load(message.id);
      expect((await loaded!.body.octets()).equals(octets)).toBe(true);
      expect(loaded!.envelope.options).toEqual({ body: "BINARYMIME" });
    });

    test("accept takes a long body that a sink left in memory", async () => {
      const octets = octetsOf(inlineBodyOctetsMax + 5);
      const message = createSampleMessage({ body: inlineBody(octets) });
      await spool.accept([message], dueAt);
      const loaded = await (await afterRestart()).load(message.id);
      expect((await loaded!.body.octets()).equals(octets)).toBe(true);
    });

    test("accept keeps the message as it was then, whatever happens to it afterwards", async () => {
      const message = createSampleMessage();
      await spool.accept([message], dueAt);
      message.header = message.header.set("Subject", "changed");
      message.notes = { changed: true };
      const loaded = await spool.load(message.id);
      expect(loaded!.header.get("Subject")).toBe("Hello");
      expect(loaded!.notes).toEqual({});
    });

    test("accept is all or none: one bad message keeps the others out", async () => {
      const taken = createSampleMessage();
      await spool.accept([taken], dueAt);
      const fresh = createSampleMessage();
      await expect(spool.accept([fresh, taken], dueAt)).rejects.toMatchObject({ code: "spool.failed" });
      expect(await spool.load(fresh.id)).toBeUndefined();
      expect(spool.counts()).toEqual({ messages: 1, recipients: 1 });
      await spool.accept([fresh], dueAt);
      expect((await (await afterRestart()).list()).length).toBe(2);
    });

    test("accept refuses a message without recipients: it would never go", async () => {
      await expect(spool.accept([createSampleMessage({ to: [] })], dueAt)).rejects.toMatchObject({
        code: "spool.failed",
      });
      expect(await spool.list()).toEqual([]);
    });

    test("accept of many at once answers each for itself", async () => {
      const twice = createSampleMessage();
      const others = Array.from({ length: 40 }, () => createSampleMessage());
      const answers = await Promise.allSettled(
        [...others, twice, twice].map((message) => spool.accept([message], dueAt)),
      );
      expect(answers.filter((answer) => answer.status === "fulfilled")).toHaveLength(41);
      expect(answers.at(-1)).toMatchObject({ status: "rejected", reason: { code: "spool.failed" } });
      expect(spool.counts()).toEqual({ messages: 41, recipients: 41 });
      for (const message of others)
        expect(await readMessage((await spool.load(message.id))!)).toEqual(await readMessage(message));
    });

    test("list has every message with its recipients, oldest first; find has one", async () => {
      const younger = createSampleMessage({ receivedAt: 2_000, to: ["a@example.test", "b@example.test"] });
      const older = createSampleMessage({ receivedAt: 1_000, from: null });
      await spool.accept([younger], dueAt);
      await spool.accept([older], dueAt + 1);
      const entries = await (await afterRestart()).list();
      expect(entries.map((entry) => entry.messageId)).toEqual([older.id, younger.id]);
      expect(entries[0]).toEqual({
        messageId: older.id,
        receivedAt: 1_000,
        sizeOctets: older.sizeOctets,
        reversePath: "<>",
        recipients: [
          {
            index: 0,
            mailbox: { localPart: "grace", domain: "example.test" },
            state: "queued",
            attempts: 0,
            nextAttemptAt: dueAt + 1,
            lastOutcome: "",
          },
        ],
        categorized: false,
      });
      expect(entries[1]!.reversePath).toBe("ada@sender.example");
      expect(await spool.find(younger.id)).toEqual(entries[1]);
      const [, second] = entries[1]!.recipients;
      expect((await spool.find(younger.id, [1, 2]))!.recipients).toEqual([second]);
      expect((await spool.find(younger.id, []))!.recipients).toEqual([]);
      expect(await spool.find("0000000000000000")).toBeUndefined();
      expect(await spool.load("0000000000000000")).toBeUndefined();
    });

    test("record keeps how recipients stand, and the message while one is queued", async () => {
      const message = createSampleMessage({ to: ["a@example.test", "b@example.test", "c@example.test"] });
      await spool.accept([message], dueAt);
      await spool.record(message.id, [
        update(0),
        update(2, { state: "queued", attempts: 4, nextAttemptAt: dueAt + 9, lastOutcome: "451 later" }),
      ]);
      expect(spool.counts()).toEqual({ messages: 1, recipients: 2 });
      const entry = await (await afterRestart()).find(message.id);
      expect(
        entry!.recipients.map(({ state, attempts, nextAttemptAt, lastOutcome }) => ({
          state,
          attempts,
          nextAttemptAt,
          lastOutcome,
        })),
      ).toEqual([
        { state: "delivered", attempts: 1, nextAttemptAt: dueAt, lastOutcome: "250 2.0.0 taken" },
        { state: "queued", attempts: 0, nextAttemptAt: dueAt, lastOutcome: "" },
        { state: "queued", attempts: 4, nextAttemptAt: dueAt + 9, lastOutcome: "451 later" },
      ]);
      expect(spool.counts()).toEqual({ messages: 1, recipients: 2 });
    });

    test("record lets go of a message with its last queued recipient", async () => {
      const message = createSampleMessage({ to: ["a@example.test", "b@example.test"] });
      await spool.accept([message], dueAt);
      await spool.record(message.id, [update(1, { state: "failed" })]);
      await spool.record(message.id, [update(0)]);
      expect(spool.counts()).toEqual({ messages: 0, recipients: 0 });
      expect(await (await afterRestart()).list()).toEqual([]);
      expect(await spool.load(message.id)).toBeUndefined();
    });

    test("record takes reports in the same commit: due when they were made", async () => {
      const message = createSampleMessage();
      const report = createSampleMessage({ receivedAt: 5_000, from: null, to: ["ada@sender.example"] });
      await spool.accept([message], dueAt);
      await spool.record(message.id, [update(0, { state: "failed" })], [report]);
      const entries = await (await afterRestart()).list();
      expect(entries.map((entry) => entry.messageId)).toEqual([report.id]);
      expect(entries[0]!.recipients[0]!.nextAttemptAt).toBe(5_000);
      expect(await readMessage((await spool.load(report.id))!)).toEqual(await readMessage(report));
    });

    test.each([
      { why: "no such message", messageId: "0000000000000000", index: 0 },
      { why: "no such recipient", messageId: undefined, index: 1 },
    ])("record of what is not there takes no report and changes nothing: $why", async ({ messageId, index }) => {
      const message = createSampleMessage();
      const report = createSampleMessage({ from: null });
      await spool.accept([message], dueAt);
      await expect(
        spool.record(messageId ?? message.id, [update(0), update(index)].slice(index), [report]),
      ).rejects.toMatchObject({ code: "spool.unknown-message" });
      expect((await (await afterRestart()).list()).map((entry) => entry.messageId)).toEqual([message.id]);
      expect(spool.counts()).toEqual({ messages: 1, recipients: 1 });
    });

    test("record changes nothing where its report cannot be taken", async () => {
      const message = createSampleMessage();
      const other = createSampleMessage();
      await spool.accept([message, other], dueAt);
      await expect(spool.record(message.id, [update(0)], [other])).rejects.toMatchObject({ code: "spool.failed" });
      expect((await spool.find(message.id))!.recipients[0]!.state).toBe("queued");
      expect(spool.counts()).toEqual({ messages: 2, recipients: 2 });
    });

    test("two messages may share one body, and it stays until both are gone", async () => {
      const octets = octetsOf(inlineBodyOctetsMax + 1);
      const body = await writeBody(spool, octets);
      const one = createSampleMessage({ body });
      const other = createSampleMessage({ body });
      await spool.accept([one, other], dueAt);
      await spool.record(one.id, [update(0)]);
      const loaded = await (await afterRestart()).load(other.id);
      expect((await loaded!.body.octets()).equals(octets)).toBe(true);
    });

    test("discard after accept leaves the message its body", async () => {
      const writer = spool.createBody();
      const octets = octetsOf(inlineBodyOctetsMax + 1);
      await writer.write(octets);
      const message = createSampleMessage({ body: await writer.finish() });
      await spool.accept([message], dueAt);
      await writer.discard();
      expect((await (await spool.load(message.id))!.body.octets()).equals(octets)).toBe(true);
    });

    test("a body that is discarded takes no more", async () => {
      const writer = spool.createBody();
      await writer.write(octetsOf(10));
      await writer.discard();
      await writer.discard();
      await expect(writer.finish()).rejects.toMatchObject({ code: "spool.failed" });
      await expect(Promise.resolve(writer.write(octetsOf(1)))).rejects.toMatchObject({ code: "spool.failed" });
    });

    test("after close every call says so", async () => {
      const message = createSampleMessage();
      await spool.close();
      expect(() => spool.createBody()).toThrow(expect.objectContaining({ code: "spool.closed" }));
      for (const call of [
        () => spool.accept([message], dueAt),
        () => spool.load(message.id),
        () => spool.list(),
        () => spool.find(message.id),
        () => spool.record(message.id, [update(0)]),
      ]) {
        await expect(call()).rejects.toMatchObject({ code: "spool.closed" });
      }
      await spool.close();
    });

    test("close waits for what is under way", async () => {
      const messages = Array.from({ length: 20 }, () => createSampleMessage());
      const accepted = messages.map((message) => spool.accept([message], dueAt));
      const closed = spool.close();
      await Promise.all(accepted);
      await closed;
      if (!backEnd.reopen) return;
      spool = await backEnd.reopen();
      expect(spool.counts()).toEqual({ messages: 20, recipients: 20 });
    });
  });
}
