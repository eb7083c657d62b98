/** What an operator can do to the queue. */
import { describe, expect, test } from "vitest";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import { createFakeClock, settle } from "../../support/fake-clock.ts";
import { day, deferred, gate, minute, outcomesOf, setUpQueue } from "../../support/queue-setup.ts";
import { readMessage } from "../../support/sample-message.ts";

const laneOf = ({ mailbox }: { readonly mailbox: { readonly domain: string } }) => `mx:${mailbox.domain}`;

/** A queue whose mail was tried once and waits. */
async function setUpWaiting(options = {}) {
  const all = setUpQueue({
    answers: [(work) => outcomesOf(work, work.message.envelope.reversePath === null ? {} : deferred)],
    options: { laneOf, ...options },
  });
  await all.queue.start();
  const one = await all.take({ to: ["a@one.example", "b@two.example"] });
  const other = await all.take({ to: ["c@two.example"] });
  await settle();
  return { ...all, one, other, first: all.attempts.length };
}

describe("Queue: changes by the operator", () => {
  test("retry tries now what is meant, and nothing else", async () => {
    const { queue, attempts, first, one } = await setUpWaiting();
    expect(await queue.retry({ domain: "one.example" })).toEqual({
      messages: 1,
      recipients: 1,
      ids: [one.id],
      skipped: [],
    });
    await settle();
    expect(attempts.slice(first).map(({ indexes }) => indexes)).toEqual([[0]]);
  });

  test.each(["retry", "hold", "release", "bounce", "remove", "requeue"] as const)(
    "%s of a dry run changes nothing",
    async (verb) => {
      const { queue, spool, attempts, first } = await setUpWaiting();
      if (verb === "release") await queue.hold({});
      const before = await spool.list();
      expect(await queue[verb]({}, { dryRun: true })).toMatchObject({ messages: 2, recipients: 3 });
      await settle();
      expect(await spool.list()).toEqual(before);
      expect(attempts).toHaveLength(first);
    },
  );

  test("hold keeps mail from attempts and from giving up, over a restart, until release", async () => {
    const { queue, attempts, first, spool, clock, one } = await setUpWaiting();
    await queue.hold({ ids: [one.id], destination: "mx:two.example" }, { reason: "asked by the owner" });
    expect((await queue.show(one.id))!.recipients).toMatchObject([
      { destination: "mx:one.example" },
      { heldBy: "operator", lastOutcome: "held: asked by the owner", destination: "mx:two.example" },
    ]);
    await queue.retry({});
    await settle();
    expect(attempts.slice(first).flatMap(({ messageId, indexes }) => (messageId === one.id ? indexes : []))).toEqual([
      0,
    ]);
    await queue.stop(0);
    const after = setUpQueue({ spool, clock, answers: [deferred], options: { laneOf } });
    await after.queue.start();
    await clock.advance(10 * day);
    expect(after.queue.counts()).toMatchObject({ held: 1 });
    expect((await spool.find(one.id))!.recipients[1]).toMatchObject({ state: "queued", attempts: 1 });
    const tried = after.attempts.length;
    expect(await after.queue.release({ state: "held" })).toMatchObject({ messages: 1, recipients: 1 });
    await settle();
    expect(after.attempts[tried]).toMatchObject({ messageId: one.id, indexes: [1] });
  });

  test("bounce reports to the sender in the operator's words, and leaves other recipients", async () => {
    const { queue, attempts, spool, one } = await setUpWaiting();
    await queue.bounce({ recipient: "A@one.example" }, { text: "the list\r\nis closed" });
    await settle();
    const report = (await readMessage(attempts.at(-1)!.message)).toString();
    expect(report).toContain("Final-Recipient: rfc822; a@one.example");
    expect(report).toContain("550 5.0.0 the list is closed");
    expect((await spool.find(one.id))!.recipients.map(({ state }) => state)).toEqual(["failed", "queued"]);
  });

  test("bounce leaves the reports that come of it, however many messages there are", async () => {
    const { queue, take, spool, clock } = setUpQueue({ answers: [deferred], options: { laneOf: () => "one" } });
    await queue.start();
    await queue.shape("one", { suspendedUntilMs: Number.POSITIVE_INFINITY });
    for (let place = 0; place < 501; place++) await take({ receivedAt: clock.now() - 501 + place });
    expect(await queue.bounce({})).toMatchObject({ messages: 501, recipients: 501 });
    const left = await spool.list();
    expect([left.length, new Set(left.map(({ reversePath }) => reversePath))]).toEqual([501, new Set(["<>"])]);
  });

  test("remove tells nobody but the log, which has the envelope", async () => {
    const { queue, attempts, first, spool, log, other } = await setUpWaiting();
    await queue.remove({ ids: [other.id] });
    await settle();
    expect(attempts).toHaveLength(first);
    expect(await spool.find(other.id)).toBeUndefined();
    expect(log.of("queue.removed")).toMatchObject([
      { fields: { message: other.id, from: "ada@sender.example", to: ["c@two.example"] } },
    ]);
    expect(queue.counts().messages).toBe(1);
  });

  test("requeue resolves the whole message anew", async () => {
    let asked = 0;
    const { queue, one } = await setUpWaiting({
      categorize: async () => {
        asked += 1;
        return { kind: "unchanged" };
      },
    });
    const before = asked;
    await queue.requeue({ recipient: "a@one.example" });
    await settle();
    expect(asked).toBe(before + 1);
    expect((await queue.show(one.id))!.recipients.map(({ attempts }) => attempts)).toEqual([2, 2]);
  });

  test("what an attempt has in hand is left alone, and said to be", async () => {
    const { answer, open } = gate();
    const { queue, take, spool } = setUpQueue({ answers: [answer], options: { laneOf } });
    await queue.start();
    const message = await take();
    await settle();
    const wanted = {
      messages: 0,
      recipients: 0,
      ids: [],
      skipped: [{ id: message.id, reason: "an attempt is under way" }],
    };
    expect(await queue.hold({})).toEqual(wanted);
    expect(await queue.remove({ state: "running" })).toEqual(wanted);
    expect((await queue.list({ state: "running" })).items).toMatchObject([{ messageId: message.id, running: true }]);
    open();
    await settle();
    expect(spool.counts().messages).toBe(0);
  });

  test("a change the spool cannot keep is told, and everything waits as before", async () => {
    const inner = createMemorySpool();
    const clock = createFakeClock();
    const spool = { ...inner, recordAll: () => Promise.reject(new Error("no space")) };
    const { queue, take, attempts } = setUpQueue({ spool, clock, answers: [deferred, {}] });
    await queue.start();
    await take();
    await settle();
    await expect(queue.hold({})).rejects.toThrow("no space");
    await clock.advance(5 * minute);
    expect(attempts).toHaveLength(2);
  });

  test.each([
    { why: "no mailbox", selection: { recipient: "nobody" } },
    { why: "no domain", selection: { domain: "*.not a name" } },
    { why: "no sender", selection: { sender: "@" } },
  ])("a selection that cannot be read is a fault: $why", async ({ selection }) => {
    const { queue } = setUpQueue();
    await expect(queue.list(selection)).rejects.toMatchObject({ code: "address.syntax" });
  });

  test("many are changed in chunks, and the first 1,000 are named", async () => {
    const { queue, take, spool } = setUpQueue({ options: { laneOf: () => "one" } });
    await queue.start();
    await queue.shape("one", { suspendedUntilMs: Number.POSITIVE_INFINITY });
    for (let count = 0; count < 1_200; count++) await take();
    const change = await queue.hold({});
    expect([change.messages, change.recipients, change.ids.length]).toEqual([1_200, 1_200, 1_000]);
    expect((await spool.query({ state: "held" }, { limit: 1, offset: 0 })).total).toBe(1_200);
    expect(queue.counts()).toMatchObject({ held: 1_200, due: 0, cached: 0 });
  });
});
