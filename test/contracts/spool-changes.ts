/** What every spool must do for a queue that resolves, holds and lists: the second part of the contract (spool.ts). */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isLastPage, pageRecipientsMax } from "../../src/spool/page.ts";
import type { SpoolSelection } from "../../src/spool/selection.ts";
import { inlineBodyOctetsMax, type QueueEntry, type RecipientUpdate, type Spool } from "../../src/spool/spool.ts";
import { createSampleMessage, readMessage } from "../support/sample-message.ts";
import type { SpoolBackEnd } from "./spool.ts";

const dueAt = Date.UTC(2026, 0, 5, 13);
const done = (index: number): RecipientUpdate => ({ ...queued, index, state: "delivered" });
const queued: RecipientUpdate = { index: 0, state: "queued", attempts: 1, nextAttemptAt: dueAt, lastOutcome: "451 no" };

export function spoolChangesContract(backEnd: SpoolBackEnd): void {
  describe(`the spool contract, changes and queries: ${backEnd.name}`, () => {
    let spool: Spool;
    beforeEach(async () => {
      spool = await backEnd.open();
    });
    afterEach(async () => {
      await spool.close();
      await backEnd.cleanUp();
    });
    async function afterRestart(): Promise<Spool> {
      if (!backEnd.reopen) return spool;
      await spool.close();
      spool = await backEnd.reopen();
      return spool;
    }

    test("record keeps who holds a recipient, until a record that does not say so; that the sender was told stays", async () => {
      const message = createSampleMessage();
      await spool.accept([message], dueAt);
      await spool.record(message.id, [{ ...queued, heldBy: "route", delayTold: true }]);
      expect((await (await afterRestart()).find(message.id))!.recipients[0]).toMatchObject({
        heldBy: "route",
        delayTold: true,
      });
      await spool.record(message.id, [queued]);
      const [recipient] = (await spool.find(message.id))!.recipients;
      expect(recipient).not.toHaveProperty("heldBy");
      expect(recipient!.delayTold).toBe(true);
    });

    test.each([
      { why: "as it was accepted", updates: [], wanted: false },
      { why: "after one recipient was tried", updates: [queued], wanted: true },
      { why: "deferred before it was resolved", updates: [{ ...queued, categorized: false }], wanted: false },
      { why: "one was tried and is done with", updates: [{ ...queued, state: "delivered" as const }], wanted: true },
    ])("a message knows whether its recipients were resolved: $why", async ({ updates, wanted }) => {
      const message = createSampleMessage({ to: ["a@example.test", "b@example.test"] });
      await spool.accept([message], dueAt);
      if (updates.length > 0) await spool.record(message.id, updates);
      expect((await (await afterRestart()).find(message.id))!.categorized).toBe(wanted);
    });

    test("recordAll changes many and passes over what is gone", async () => {
      const one = createSampleMessage();
      const other = createSampleMessage({ to: ["a@example.test", "b@example.test"] });
      await spool.accept([one, other], dueAt);
      await spool.recordAll([
        { messageId: one.id, updates: [{ ...queued, state: "failed" }] },
        { messageId: "0000000000000000", updates: [queued] },
        { messageId: other.id, updates: [{ ...queued, index: 1, heldBy: "operator", categorized: false }] },
      ]);
      expect(spool.counts()).toEqual({ messages: 1, recipients: 2 });
      const [entry] = await (await afterRestart()).list();
      expect(entry).toMatchObject({ messageId: other.id, categorized: false });
      expect(entry!.recipients[1]).toMatchObject({ heldBy: "operator" });
    });

    test("replace puts another message in the place of one, with forks, failures and reports in one commit", async () => {
      const writer = spool.createBody();
      await writer.write(Buffer.alloc(inlineBodyOctetsMax + 1, "x"));
      const message = createSampleMessage({ to: ["list@example.test"], body: await writer.finish() });
      await spool.accept([message], dueAt);
      const { body } = (await spool.load(message.id))!;
      const changed = createSampleMessage({ id: message.id, to: ["a@example.test", "nobody@example.test"], body });
      changed.header = changed.header.set("Subject", "resolved");
      const fork = createSampleMessage({ to: ["c@example.com"], body });
      const report = createSampleMessage({ from: null });
      const updates = [{ ...queued, index: 1, state: "failed" as const }];
      await spool.replace({ message: changed, forks: [fork], updates, reports: [report], nextAttemptAt: dueAt + 1 });
      expect(spool.counts()).toEqual({ messages: 3, recipients: 3 });
      await afterRestart();
      expect(spool.counts()).toEqual({ messages: 3, recipients: 3 });
      const entry = (await spool.find(message.id))!;
      expect(entry).toMatchObject({
        categorized: true,
        recipients: [{ state: "queued", attempts: 0 }, { state: "failed" }],
      });
      expect(entry.recipients[0]!.nextAttemptAt).toBe(dueAt + 1);
      expect((await spool.find(fork.id))!.categorized).toBe(true);
      expect((await spool.find(report.id))!.categorized).toBe(false);
      expect((await spool.load(message.id))!.header.get("Subject")).toBe("resolved");
      // Both share the body: it stays until both are gone.
      await spool.record(message.id, [{ ...queued, state: "delivered" }]);
      expect((await (await spool.load(fork.id))!.body.octets()).length).toBe(inlineBodyOctetsMax + 1);
    });

    test("replace by another body leaves the former one to the forks that have it", async () => {
      const writer = spool.createBody();
      await writer.write(Buffer.alloc(inlineBodyOctetsMax + 1, "x"));
      const message = createSampleMessage({ body: await writer.finish() });
      await spool.accept([message], dueAt);
      const { body } = (await spool.load(message.id))!;
      const changed = createSampleMessage({ id: message.id, to: ["a@example.test"] });
      const fork = createSampleMessage({ to: ["c@example.com"], body });
      await spool.replace({ message: changed, forks: [fork], updates: [], reports: [], nextAttemptAt: dueAt });
      await afterRestart();
      expect((await (await spool.load(fork.id))!.body.octets()).length).toBe(inlineBodyOctetsMax + 1);
    });

    test("replace by a message without recipients lets it go, and its forks stay", async () => {
      const message = createSampleMessage();
      const fork = createSampleMessage();
      await spool.accept([message], dueAt);
      const nobody = createSampleMessage({ id: message.id, to: [] });
      await spool.replace({ message: nobody, forks: [fork], updates: [], reports: [], nextAttemptAt: dueAt });
      expect((await (await afterRestart()).list()).map(({ messageId }) => messageId)).toEqual([fork.id]);
      expect(spool.counts()).toEqual({ messages: 1, recipients: 1 });
    });

    test.each([
      { why: "an unknown message", known: false, code: "spool.unknown-message" },
      { why: "a fork the spool has already", known: true, code: "spool.failed" },
    ])("replace that cannot be done changes nothing: $why", async ({ known, code }) => {
      const message = createSampleMessage();
      const other = createSampleMessage();
      await spool.accept([message, other], dueAt);
      const changed = createSampleMessage({ ...(known ? { id: message.id } : {}), to: ["z@example.test"] });
      const replacement = { message: changed, forks: [other], updates: [], reports: [], nextAttemptAt: dueAt };
      await expect(spool.replace(replacement)).rejects.toMatchObject({ code });
      expect(spool.counts()).toEqual({ messages: 2, recipients: 2 });
      expect(await readMessage((await (await afterRestart()).load(message.id))!)).toEqual(await readMessage(message));
      expect((await spool.find(message.id))!.recipients[0]!.mailbox.localPart).toBe("grace");
    });

    test("list gives pages that follow each other", async () => {
      const messages = Array.from({ length: 5 }, (_, place) =>
        createSampleMessage({ receivedAt: 1_000 + (place >> 1) }),
      );
      await spool.accept(messages, dueAt);
      const ids: string[] = [];
      for (let after: { receivedAt: number; messageId: string } | undefined; ; ) {
        const page = await spool.list({ limit: 2, ...(after ? { after } : {}) });
        ids.push(...page.map(({ messageId }) => messageId));
        after = page.at(-1);
        if (!after) break;
      }
      expect(ids).toEqual((await spool.list()).map(({ messageId }) => messageId));
      expect(new Set(ids).size).toBe(5);
    });

    const selections: { why: string; selection: (ids: readonly string[]) => SpoolSelection; meant: string[] }[] = [
      { why: "everything", selection: () => ({}), meant: ["0:0,1", "1:0", "2:0"] },
      { why: "an id", selection: (ids) => ({ ids: [ids[1]!, "0000000000000000"] }), meant: ["1:0"] },
      { why: "a domain", selection: () => ({ domain: "one.example" }), meant: ["0:0"] },
      { why: "every name below", selection: () => ({ domain: ".example" }), meant: ["0:0,1"] },
      { why: "not the name itself", selection: () => ({ domain: ".one.example" }), meant: [] },
      {
        why: "a recipient, without case beyond ASCII",
        selection: () => ({ recipient: { localPart: "JÖRG", domain: "two.example" } }),
        meant: ["0:1"],
      },
      { why: "the null reverse-path", selection: () => ({ sender: null }), meant: ["1:0"] },
      {
        why: "a sender",
        selection: () => ({ sender: { localPart: "ADA", domain: "sender.example" } }),
        meant: ["0:0,1", "2:0"],
      },
      { why: "a sender's domain", selection: () => ({ sender: { localPart: null, domain: "x.example" } }), meant: [] },
      { why: "older", selection: () => ({ receivedBefore: 2_000 }), meant: ["0:0,1"] },
      { why: "newer", selection: () => ({ receivedAfter: 2_000 }), meant: ["2:0"] },
      { why: "never tried", selection: () => ({ state: "new" }), meant: ["0:1"] },
      { why: "tried", selection: () => ({ state: "deferred" }), meant: ["0:0", "1:0"] },
      { why: "held", selection: () => ({ state: "held" }), meant: ["2:0"] },
      {
        why: "conditions hold for one and the same recipient",
        selection: () => ({ state: "new", domain: "one.example" }),
        meant: [],
      },
      {
        why: "these alone",
        selection: (ids) => ({
          among: [
            [ids[0]!, 1],
            [ids[2]!, 7],
          ],
        }),
        meant: ["0:1"],
      },
    ];
    test.each(selections)("query finds messages and recipients: $why", async ({ selection, meant }) => {
      const messages = [
        createSampleMessage({ receivedAt: 1_000, to: ["a@one.example", "jörg@two.example"] }),
        createSampleMessage({ receivedAt: 2_000, from: null, to: ["a@other.test"] }),
        createSampleMessage({ receivedAt: 3_000, to: ["b@other.test"] }),
      ];
      await spool.accept(messages, dueAt);
      const ids = messages.map(({ id }) => id);
      await spool.record(ids[0]!, [queued]);
      await spool.record(ids[1]!, [queued]);
      await spool.record(ids[2]!, [{ ...queued, heldBy: "operator" }]);
      const { entries, total } = await (await afterRestart()).query(selection(ids), { limit: 10, offset: 0 });
      expect(entries.map((entry) => `${ids.indexOf(entry.messageId)}:${entry.meant}`)).toEqual(meant);
      expect(total).toBe(meant.length);
    });

    test("query counts beyond its page, and goes on behind a message", async () => {
      const messages = Array.from({ length: 5 }, (_, place) => createSampleMessage({ receivedAt: 1_000 + place }));
      await spool.accept(messages, dueAt);
      const page = await spool.query({}, { limit: 2, offset: 1 });
      expect(page.total).toBe(5);
      expect(page.entries.map(({ messageId }) => messageId)).toEqual([messages[1]!.id, messages[2]!.id]);
      const next = await spool.query({}, { limit: 9, after: page.entries[1] });
      expect(next.entries.map(({ messageId }) => messageId)).toEqual([messages[3]!.id, messages[4]!.id]);
    });

    test("a page ends where it has recipients enough, and the next one begins behind it", async () => {
      const to = Array.from({ length: pageRecipientsMax / 2 + 1 }, (_, place) => `a${place}@example.test`);
      const all = [1, 2, 3].map((receivedAt) => createSampleMessage({ receivedAt, to }));
      await spool.accept(all, dueAt);
      const idsOf = (entries: readonly QueueEntry[]) => entries.map(({ messageId }) => messageId);
      const [first, second, third] = all.map(({ id }) => id);
      const page = await spool.list({ limit: 10 });
      expect([idsOf(page), isLastPage(page, 10)]).toEqual([[first, second], false]);
      const rest = await spool.list({ limit: 10, after: page[1]! });
      expect([idsOf(rest), isLastPage(rest, 10)]).toEqual([[third], true]);
      expect(idsOf((await spool.query({}, { limit: 10, after: undefined })).entries)).toEqual([first, second]);
      const counted = await spool.query({}, { limit: 10, offset: 0 });
      expect([idsOf(counted.entries), counted.total]).toEqual([[first, second], 3]);
      expect(idsOf(await spool.list())).toEqual([first, second, third]);
    });

    test("record counts a recipient that is named twice once, as it is named last", async () => {
      const message = createSampleMessage({ to: ["a@example.test", "b@example.test"] });
      await spool.accept([message], dueAt);
      await spool.record(message.id, [done(0), { ...queued, index: 0 }]);
      expect(spool.counts()).toEqual({ messages: 1, recipients: 2 });
      await spool.record(message.id, [done(1), done(1)]);
      expect(spool.counts()).toEqual({ messages: 1, recipients: 1 });
      await spool.record(message.id, [done(0)]);
      expect(spool.counts()).toEqual({ messages: 0, recipients: 0 });
    });
  });
}
