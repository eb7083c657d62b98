/** Which reports the queue makes of an attempt: what the sender asked for, and what the next hop takes over. RFC 3461 §5.2. */
import { describe, expect, test } from "vitest";
import type { Notify, RecipientOptions } from "../../../src/mail/envelope.ts";
import { formatMailbox } from "../../../src/mail/mailbox.ts";
import type { Message } from "../../../src/mail/message.ts";
import type { Outcome } from "../../../src/queue/attempt.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import type { Spool } from "../../../src/spool/spool.ts";
import { settle } from "../../support/fake-clock.ts";
import { type Answer, deferred, failed, gate, outcomesOf, setUpQueue, type Work } from "../../support/queue-setup.ts";
import { readMessage, type SampleMessage } from "../../support/sample-message.ts";

const written: Answer = { kind: "delivered", nextHop: "maildir:grace@example.test", status: "2.0.0" };
const relayed: Answer = { kind: "delivered", reply: { code: 250, status: "2.1.5", text: "Ok" } };
const passedOn: Answer = { ...relayed, dsnPassedOn: true };
const held: Answer = { kind: "held", reason: "no smarthost is configured" };

/** The reports of one attempt whose outcomes are these, by recipient. */
async function reportsOf(
  answers: readonly Answer[],
  sample: SampleMessage = {},
): Promise<{ readonly reports: readonly Message[]; readonly log: ReturnType<typeof setUpQueue>["log"] }> {
  const reports: Message[] = [];
  const first = (work: Work): Outcome[] =>
    outcomesOf(work, {}).map((outcome, place) => Object.assign(outcome, answers[place] ?? answers.at(-1)));
  const { queue, take, log } = setUpQueue({
    answers: [
      first,
      (work) => {
        reports.push(work.message);
        return outcomesOf(work, {});
      },
    ],
  });
  await queue.start();
  await take(sample);
  await settle();
  await queue.stop(0);
  return { reports, log };
}

/** Action and Final-Recipient of each recipient of a report. */
async function statesOf(report: Message): Promise<string[]> {
  const text = (await readMessage(report)).toString();
  const actions = [...text.matchAll(/^Action: (.*)\r$/gm)].map((match) => match[1]);
  return [...text.matchAll(/^Final-Recipient: rfc822; (.*)\r$/gm)].map(
    (match, place) => `${actions[place]} ${match[1]}`,
  );
}

const asking = (...notify: readonly Notify[]): RecipientOptions => ({ notify });

describe("Queue: the reports a sender asked for", () => {
  test.each<{ why: string; answer: Answer; options?: RecipientOptions; action?: string }>([
    { why: "a failure, nothing asked", answer: failed, action: "failed" },
    { why: "a failure, asked for", answer: failed, options: asking("failure"), action: "failed" },
    {
      why: "a failure, asked for among others",
      answer: failed,
      options: asking("success", "failure"),
      action: "failed",
    },
    { why: "a failure, NEVER", answer: failed, options: asking("never") },
    { why: "a failure, success alone asked for", answer: failed, options: asking("success") },
    { why: "a failure, delays alone asked for", answer: failed, options: asking("delay") },
    { why: "a failure, only its address asked for", answer: failed, options: {}, action: "failed" },
    { why: "written, nothing asked", answer: written },
    { why: "written, asked for", answer: written, options: asking("success"), action: "delivered" },
    {
      why: "written, asked for among others",
      answer: written,
      options: asking("delay", "success"),
      action: "delivered",
    },
    { why: "written, failures alone asked for", answer: written, options: asking("failure") },
    { why: "written, NEVER", answer: written, options: asking("never") },
    { why: "relayed, nothing asked", answer: relayed },
    {
      why: "relayed to a server without DSN, asked for",
      answer: relayed,
      options: asking("success"),
      action: "relayed",
    },
    { why: "relayed to a server without DSN, NEVER", answer: relayed, options: asking("never") },
    { why: "relayed to a server with DSN: its affair now", answer: passedOn, options: asking("success") },
    { why: "deferred", answer: deferred, options: asking("success", "failure", "delay") },
    { why: "held", answer: held, options: asking("success", "failure", "delay") },
  ])("$why: $action", async ({ answer, options, action }) => {
    const { reports } = await reportsOf([answer], { toOptions: [options] });
    expect(await Promise.all(reports.map(statesOf))).toEqual(action ? [[`${action} grace@example.test`]] : []);
  });

  test("one report for each kind of outcome of an attempt, with all recipients of that kind", async () => {
    const { reports, log } = await reportsOf([failed, written, relayed, written, failed, passedOn, failed], {
      to: ["a", "b", "c", "d", "e", "f", "g"].map((name) => `${name}@example.test`),
      toOptions: [
        ...Array.from({ length: 6 }, () => asking("success", "failure")),
        { notify: ["never"], originalRecipient: { type: "rfc822", address: "g" } },
      ],
    });
    expect(await Promise.all(reports.map(statesOf))).toEqual([
      ["failed a@example.test", "failed e@example.test"],
      ["delivered b@example.test", "delivered d@example.test"],
      ["relayed c@example.test"],
    ]);
    expect(new Set(reports.map(({ id }) => id)).size).toBe(3);
    expect(log.of("dsn.queued")).toHaveLength(3);
    expect(log.of("dsn.suppressed")).toMatchObject([{ level: "info", fields: { recipients: ["g@example.test"] } }]);
  });

  test.each([
    { why: "a failure", answer: failed, logged: 1 },
    { why: "a success", answer: written, logged: 0 },
  ])("never one about a message with the null reverse-path: $why", async ({ answer, logged }) => {
    const { reports, log } = await reportsOf([answer], { from: null, toOptions: [asking("success", "failure")] });
    expect(reports).toEqual([]);
    expect(log.of("dsn.suppressed")).toHaveLength(logged);
  });

  test("tells envelope id and original recipient, and returns the whole message of a failure where asked", async () => {
    const { reports } = await reportsOf([failed], {
      options: { envelopeId: "QQ1", ret: "FULL" },
      toOptions: [{ originalRecipient: { type: "rfc822", address: "g.hopper@example.test" } }],
    });
    const text = (await readMessage(reports[0]!)).toString();
    expect(text).toContain("\r\nOriginal-Envelope-Id: QQ1\r\n");
    expect(text).toContain("\r\nOriginal-Recipient: rfc822; g.hopper@example.test\r\n");
    expect(text).toContain("\r\n\r\nFirst line\r\n.dot\r\n");
  });

  test("a report about a message that needs TLS all the way needs it too, and returns the header alone", async () => {
    const { reports } = await reportsOf([{ kind: "failed", status: "5.7.30", reason: "hop.example has no TLS" }], {
      options: { requireTls: true, ret: "FULL" },
    });
    expect(reports[0]!.envelope.options).toEqual({ requireTls: true });
    const text = (await readMessage(reports[0]!)).toString();
    expect(text).toContain("asks for TLS all the way");
    expect(text).not.toMatch(/First line|hop\.example has no/);
  });

  test.each([
    { why: "the peer's own", reply: { code: 250, status: "2.1.5", text: "Ok" }, status: "2.1.5" },
    { why: "none from the peer", reply: { code: 250, status: undefined, text: "Ok" }, status: "2.0.0" },
    { why: "one that says something else", reply: { code: 250, status: "4.2.2", text: "Ok" }, status: "2.0.0" },
  ])("the status of what was relayed is one of success: $why", async ({ reply, status }) => {
    const { reports } = await reportsOf([{ ...relayed, reply }], { toOptions: [asking("success")] });
    expect((await readMessage(reports[0]!)).toString()).toContain(`\r\nStatus: ${status}\r\n`);
  });

  test("what was asked for reaches the attempt, and is still known after a restart", async () => {
    const spool = createMemorySpool();
    const { answer } = gate();
    const before = setUpQueue({ spool, answers: [deferred, answer] });
    await before.queue.start();
    const message = await before.take({ options: { envelopeId: "x" }, toOptions: [asking("never")] });
    await settle();
    const works: Work[] = [];
    const after = setUpQueue({
      spool,
      clock: before.clock,
      answers: [
        (work) => {
          works.push(work);
          return outcomesOf(work, failed);
        },
      ],
    });
    await after.queue.start();
    await before.clock.advance(6 * 60_000);
    expect(works).toMatchObject([
      { message: { envelope: { options: { envelopeId: "x" } } }, recipients: [{ options: { notify: ["never"] } }] },
    ]);
    expect(after.log.of("dsn.queued")).toEqual([]);
    expect(await spool.load(message.id)).toBeUndefined();
  });

  test("reports of several kinds are taken in the commit of the outcomes", async () => {
    const inner = createMemorySpool();
    const recorded: { readonly updates: number; readonly reports: readonly string[] }[] = [];
    const spool: Spool = {
      ...inner,
      record: (id, updates, reports = []) => {
        recorded.push({
          updates: updates.length,
          reports: reports.map(({ envelope }) => formatMailbox(envelope.recipients[0]!.mailbox)),
        });
        return inner.record(id, updates, reports);
      },
    };
    const { answer } = gate();
    const both = (work: Work) =>
      outcomesOf(work, {}).map((outcome, place) => Object.assign(outcome, place === 0 ? failed : written));
    const { queue, take } = setUpQueue({ spool, answers: [both, answer] });
    await queue.start();
    await take({ to: ["a@example.test", "b@example.test"], toOptions: [undefined, asking("success")] });
    await settle();
    expect(recorded).toEqual([{ updates: 2, reports: ["ada@sender.example", "ada@sender.example"] }]);
    expect(await inner.list()).toHaveLength(2);
  });
});
