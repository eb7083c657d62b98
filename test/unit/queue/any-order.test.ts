/**
 * Whatever an operator, reloads, the clock, a full disk and a kill do to the queue, in whatever order and however they overlap: nobody is lost, nobody gets a message
 * twice unless the server was killed, and nobody is tried while he is held.
 */
import { describe, expect, test } from "vitest";
import { createId } from "../../../src/mail/ids.ts";
import { formatMailbox, parseMailbox } from "../../../src/mail/mailbox.ts";
import { Message } from "../../../src/mail/message.ts";
import { Fault } from "../../../src/platform/fault.ts";
import type { Outcome } from "../../../src/queue/attempt.ts";
import type { Categorized } from "../../../src/queue/ports.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import type { Spool } from "../../../src/spool/spool.ts";
import { createFakeClock, settle } from "../../support/fake-clock.ts";
import { day, minute, setUpQueue, type Work } from "../../support/queue-setup.ts";
import { createSampleMessage } from "../../support/sample-message.ts";

const seedsPerKind = 100;
const stepsPerRun = 60;
const forEver = Number.POSITIVE_INFINITY;
const domains = ["a.example", "b.example", "c.example", "list.example"];
const lanes = ["a.example", "b.example", "z"];
const members = ["m1@a.example", "m2@b.example", "m3@c.example"];
const forked = "m4@c.example";

describe.each([
  { why: "nothing ends before its time", ends: false, kills: false },
  { why: "some are failed or removed", ends: true, kills: false },
  { why: "the server is killed", ends: false, kills: true },
])("the queue in any order of what is done to it, where $why", (kind) => {
  test("keeps, delivers and holds as it says", async () => {
    for (let seed = 1; seed <= seedsPerKind; seed++) expect(await run(seed, kind), `seed ${seed}`).toEqual([]);
  }, 60_000);
});

/** xorshift: the same again for the same seed. */
function createRandom(seed: number): () => number {
  let state = seed * 2_654_435_761;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** What went wrong. */
async function run(seed: number, { ends, kills }: { readonly ends: boolean; readonly kills: boolean }) {
  const random = createRandom(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const somewhatLater = async () => {
    for (let turns = Math.floor(random() * 4); turns > 0; turns--)
      await new Promise((resolve) => setImmediate(resolve));
  };
  const clock = createFakeClock();
  const kept = createMemorySpool();
  const problems: string[] = [];
  /** How often each recipient was done with, by message and address. */
  const done = new Map<string, number>();
  const wanted: string[] = [];
  let isCalm = false;
  let failing = 0;
  let table: Readonly<Record<string, string>> = {};

  /** Answers late, and not always. A server that is killed reaches it no more. */
  function createSpool(life: { isOver: boolean }): Spool {
    const slow = ["accept", "find", "list", "load", "query", "record", "recordAll", "replace"];
    const writes = ["record", "recordAll", "replace"];
    return new Proxy(kept, {
      get(target, name) {
        const method = target[name as keyof Spool] as (...given: unknown[]) => unknown;
        if (!slow.includes(String(name))) return method;
        return async (...given: unknown[]) => {
          await somewhatLater();
          if (life.isOver) return await new Promise<never>(() => {});
          if (writes.includes(String(name)) && random() < failing) throw new Fault("spool.full", "Cannot: it is full");
          const answer = await method.apply(target, given);
          await somewhatLater();
          return life.isOver ? await new Promise<never>(() => {}) : answer;
        };
      },
    });
  }

  async function deliver({ message, recipients }: Work): Promise<Outcome[]> {
    await somewhatLater();
    return recipients.map(({ index, mailbox, heldBy }): Outcome => {
      const key = `${message.notes.root} ${formatMailbox(mailbox)}`;
      if (heldBy === "operator") problems.push(`${key} was tried while it was held`);
      const outcome = isCalm ? "delivered" : pick(["delivered", "delivered", "deferred", "deferred", "failed", "held"]);
      if (outcome === "delivered" || outcome === "failed") done.set(key, (done.get(key) ?? 0) + 1);
      const down = outcome === "deferred" && random() < 0.4 ? { destinationDown: true } : {};
      return { index, kind: outcome as Outcome["kind"], nextHop: "", reply: null, reason: "", ...down };
    });
  }

  /** A list has three members with the message, and one with a message of his own. */
  async function categorize(message: Message): Promise<Categorized> {
    await somewhatLater();
    const { id, receivedAt, origin, envelope, notes } = message;
    if (!isCalm && random() < 0.2)
      return { kind: "deferred", reply: { code: 451, status: "4.3.0", text: "later" }, by: null };
    const others = envelope.recipients.filter(({ mailbox }) => mailbox.domain !== "list.example");
    if (others.length === envelope.recipients.length) return { kind: "unchanged" };
    const to = (newId: string, recipients: Message["envelope"]["recipients"]) =>
      new Message({
        ...message.snapshot(),
        id: newId,
        receivedAt,
        origin,
        notes,
        envelope: { ...envelope, recipients },
      });
    const known = [...others, ...members.map((text) => ({ mailbox: parseMailbox(text) }))];
    const fork = to(createId(clock.now()), [{ mailbox: parseMailbox(forked) }]);
    return { kind: "changed", message: to(id, known), forks: [fork], failures: [] };
  }

  function createServer() {
    const life = { isOver: false };
    const spool = createSpool(life);
    const options = {
      deliver,
      categorize,
      createReports: async () => [],
      laneOf: ({ mailbox }: { readonly mailbox: { readonly domain: string } }) =>
        table[mailbox.domain] ?? mailbox.domain,
      attemptsMax: 4,
      laneAttemptsMax: 2,
      cachedMessagesMax: 3,
      attemptTimeoutMs: 365 * day,
      delayWarningMs: 30 * minute,
    };
    return { ...setUpQueue({ clock, spool, options }), life, spool };
  }

  let server = createServer();
  await server.queue.start();
  const underWay: Promise<unknown>[] = [];
  const begin = (work: Promise<unknown>) => {
    const over = work.catch((error: Error) => {
      if ((error as Fault).code !== "spool.full") problems.push(String(error.stack));
    });
    underWay.push(over);
  };
  const selection = () =>
    pick([
      {},
      { domain: pick(domains) },
      { destination: pick(lanes) },
      { state: pick(["new", "deferred", "held", "running"] as const) },
    ]);
  let messages = 0;
  const take = () => {
    const root = `message ${messages++}`;
    const count = 1 + Math.floor(random() * 4);
    const to = [...new Set(Array.from({ length: count }, () => `u${Math.floor(random() * 3)}@${pick(domains)}`))];
    const direct = to.filter((text) => !text.endsWith("@list.example"));
    const { queue, spool } = server;
    const message = createSampleMessage({ to, receivedAt: clock.now(), notes: { root } });
    const accepted = spool.accept([message], clock.now()).then(() => {
      wanted.push(...direct.map((text) => `${root} ${text}`));
      if (direct.length < to.length) wanted.push(...[...members, forked].map((text) => `${root} ${text}`));
      queue.enqueue(message);
    });
    begin(accepted);
  };
  const steps: (() => unknown)[] = [
    ...[take, take, take, take],
    () => begin(server.queue.hold(selection())),
    () => begin(server.queue.release(selection())),
    () => begin(server.queue.retry(selection())),
    () => begin(server.queue.requeue(selection())),
    () => begin(server.queue.list(selection())),
    () => {
      table = pick([{}, { "a.example": "z" }, { "a.example": "z", "b.example": "z" }, { "c.example": "a.example" }]);
      begin(server.queue.reroute());
    },
    () => {
      const suspendedUntilMs = pick([null, forEver, clock.now() + 20 * minute]);
      begin(server.queue.shape(pick(lanes), { suspendedUntilMs }));
    },
    () => clock.advance(pick([1_000, minute, 10 * minute, 60 * minute])),
    () => {
      failing = pick([0, 0, 0.5]);
    },
    settle,
    ...(ends ? [() => begin(server.queue.bounce(selection())), () => begin(server.queue.remove(selection()))] : []),
    ...(kills
      ? [
          async () => {
            server.life.isOver = true;
            server = createServer();
            await server.queue.start();
          },
        ]
      : []),
  ];
  for (let step = 0; step < stepsPerRun; step++) {
    await pick(steps)();
    if (random() < 0.5) await somewhatLater();
  }

  // From here on all goes well.
  failing = 0;
  isCalm = true;
  table = {};
  for (let turn = 0; turn < 20; turn++) await clock.advance(2 * minute);
  if (!kills) await Promise.all(underWay);
  const { queue, log } = server;
  for (const lane of lanes) await queue.shape(lane, { suspendedUntilMs: null, wake: true });
  await queue.reroute();
  for (let turn = 0; turn < 3; turn++) {
    await queue.release({});
    await queue.retry({});
    for (let hours = 0; hours < 10; hours++) await clock.advance(30 * minute);
  }
  const left = await kept.list();
  if (left.length > 0)
    problems.push(`${left.length} messages are left, of which the queue has ${queue.counts().messages}`);
  if (queue.counts().messages !== left.length) problems.push("the queue has others in mind than the spool");
  for (const key of wanted) {
    const times = done.get(key) ?? 0;
    if (times === 0 && !ends) problems.push(`${key} was lost`);
    if (times > 1 && !kills) problems.push(`${key} was done with ${times} times`);
  }
  for (const event of ["queue.failed", "queue.message-missing"])
    if (log.of(event).length > 0 && !kills) problems.push(event);
  await queue.stop(0);
  return problems;
}
