/** Questions to name servers of ours on loopback: those that answer badly, late, or not at all. */
import { afterEach, describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../../src/platform/clock.ts";
import { DnsClient, type DnsClientOptions } from "../../../src/platform/dns-client.ts";
import { type NameServer, parseNameServer } from "../../../src/platform/dns-machine.ts";
import type { QuestionType } from "../../../src/platform/dns-message.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import {
  type FakeDnsServer,
  type FakeZone,
  type Misbehaviour,
  startFakeDnsServer,
} from "../../support/fake-dns-server.ts";

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

const zone: FakeZone = {
  a: { "x.test": ["192.0.2.1"], "y.test": ["192.0.2.2"] },
  authentic: true,
  validates: true,
};

async function start(changes: FakeZone = {}): Promise<FakeDnsServer> {
  const server = await startFakeDnsServer({ ...zone, ...changes });
  stops.push(() => server.close());
  return server;
}

function clientOf(servers: readonly Pick<FakeDnsServer, "address">[], options: Partial<DnsClientOptions> = {}) {
  const client = new DnsClient({
    clock: systemClock,
    servers: () => servers.map(({ address }) => parseNameServer(address)),
    isTrusted: () => true,
    timeoutMs: 3_000,
    ...options,
  });
  stops.push(() => client.close());
  return {
    ask: (name = "x.test", type: QuestionType = "A") => client.lookUp({ name, type }),
    close: () => client.close(),
  };
}

/** A port where nobody listens. */
async function nobody(): Promise<{ readonly address: string }> {
  const server = await startFakeDnsServer({});
  server.close();
  return { address: server.address };
}

const right = { kind: "answer", data: ["192.0.2.1"] };
const asMisbehaving = (how: Misbehaviour): FakeZone => ({ misbehaving: { "x.test": how } });

describe("DnsClient.lookUp", () => {
  test.each<[how: Misbehaviour, expected: object, asked: number]>([
    ["SERVFAIL", { kind: "failed", reason: expect.stringMatching(/^SERVFAIL from 127\.0\.0\.1:\d+$/) }, 1],
    ["REFUSED", { kind: "failed", reason: expect.stringMatching(/^REFUSED/) }, 1],
    ["old", right, 2],
    ["truncated", right, 2],
    ["forged id", right, 1],
    ["forged question", right, 1],
    ["only forged", { kind: "failed", reason: expect.stringMatching(/too many answers/) }, 1],
    ["garbage", { kind: "failed", reason: expect.stringMatching(/cannot be read/) }, 1],
    ["name loop", { kind: "failed", reason: expect.stringMatching(/cannot be read/) }, 1],
    ["short record", { kind: "failed", reason: expect.stringMatching(/cannot be read/) }, 1],
    ["circle of aliases", { kind: "failed", reason: expect.stringMatching(/circle/) }, 1],
  ])("a server that answers %s", async (how, expected, asked) => {
    const server = await start(asMisbehaving(how));
    expect(await clientOf([server]).ask()).toMatchObject(expected);
    expect(server.questions).toHaveLength(asked);
  });

  test("what does not fit a datagram is asked for over TCP", async () => {
    const many = Array.from({ length: 200 }, (_, n) => ({ preference: n, host: `mx${n}.example.test` }));
    const server = await start({ mx: { "many.test": many } });
    const answer = await clientOf([server]).ask("many.test", "MX");
    expect(answer.kind === "answer" && answer.data).toHaveLength(200);
    expect(server.questions).toEqual(["MX many.test", "MX many.test tcp"]);
  });

  test("TCP that is closed without an answer is silence", async () => {
    const server = await start(asMisbehaving("truncated and closed"));
    expect(await clientOf([server]).ask()).toMatchObject({ kind: "failed", reason: expect.stringMatching(/over TCP/) });
    expect(server.questions).toHaveLength(6);
  });

  test("each question has a port and an id of its own", async () => {
    const server = await start();
    const { ask } = clientOf([server]);
    for (let n = 0; n < 20; n++) await ask(`n${n}.test`);
    expect(new Set(server.sources.map(({ port, id }) => `${port} ${id}`)).size).toBe(20);
    // One of twenty may come twice by chance; a counter or a constant would show.
    expect(new Set(server.sources.map(({ id }) => id)).size).toBeGreaterThan(17);
    expect(new Set(server.sources.map(({ port }) => port)).size).toBeGreaterThan(10);
  });

  test.each<[trusted: boolean, expected: boolean]>([
    [true, true],
    [false, false],
  ])("a server that is believed (%s) is asked for signatures, and nobody else", async (trusted, expected) => {
    const server = await start();
    const { ask } = clientOf([server], { isTrusted: () => trusted });
    expect(await ask()).toMatchObject({ ...right, authentic: expected });
    expect(server.last).toEqual({ edns: true, dnssec: expected });
  });

  test("the bit for signed answers is not believed of a server elsewhere", async () => {
    const server = await start({ alwaysAuthentic: true });
    expect(await clientOf([server], { isTrusted: () => false }).ask()).toMatchObject({ ...right, authentic: false });
  });

  test("an old server's answer is not signed", async () => {
    expect(await clientOf([await start(asMisbehaving("old"))]).ask()).toMatchObject({ ...right, authentic: false });
  });
});

describe("DnsClient.lookUp, servers that are believed and others", () => {
  /** The first of them is believed, or as many as said. */
  const mixed = (servers: readonly FakeDnsServer[], { trusted = 1, clock = systemClock }: Mixed = {}) => {
    const believed = servers.slice(0, trusted).map(({ address }) => address);
    return { clock, isTrusted: ({ address, port }: NameServer) => believed.includes(`${address}:${port}`) };
  };
  interface Mixed {
    readonly trusted?: number;
    readonly clock?: Clock;
  }

  test("its SERVFAIL may mean a wrong signature: nobody who is not believed is asked then", async () => {
    const servers = [await start(asMisbehaving("SERVFAIL")), await start()] as const;
    expect(await clientOf(servers, mixed(servers)).ask()).toMatchObject({
      kind: "failed",
      reason: `SERVFAIL from ${servers[0].address}`,
    });
    expect(servers[1].questions).toEqual([]);
  });

  test("another that is believed is asked, over those who are not", async () => {
    const believed = [await start(asMisbehaving("SERVFAIL")), await start()] as const;
    const other = await start();
    const options = mixed([...believed, other], { trusted: 2 });
    expect(await clientOf([believed[0], other, believed[1]], options).ask()).toMatchObject({
      ...right,
      authentic: true,
    });
    expect(other.questions).toEqual([]);
  });

  test.each<[how: Misbehaviour]>([["REFUSED"], ["garbage"]])("its %s says nothing of signatures", async (how) => {
    const servers = [await start(asMisbehaving(how)), await start()];
    expect(await clientOf(servers, mixed(servers)).ask()).toMatchObject({ ...right, authentic: false });
  });

  test("SERVFAIL of one who is not believed lets the next be asked", async () => {
    const servers = [await start(asMisbehaving("SERVFAIL")), await start()];
    expect(await clientOf(servers, mixed(servers, { trusted: 0 })).ask()).toMatchObject(right);
  });

  test("it is asked before the others, even if it was silent of late", async () => {
    const clock = createFakeClock();
    const [believed, other] = [await start({ silent: ["x.test"] }), await start()];
    const { ask } = clientOf([other, believed], { timeoutMs: 4_000, ...mixed([believed, other], { clock }) });
    const answer = ask();
    await until(() => believed.questions.length === 1);
    await clock.advance(1_000);
    expect(await answer).toMatchObject({ ...right, authentic: false });
    expect(await ask("y.test")).toMatchObject({ kind: "answer", authentic: true });
    expect(other.questions).toEqual(["A x.test"]);
  });
});

describe("DnsClient.lookUp, aliases", () => {
  const cname = { "a.test": "B.test", "b.test": "x.test", "gone.test": "nowhere.test" };
  test("are followed within the answer", async () => {
    const server = await start({ cname });
    expect(await clientOf([server]).ask("a.test")).toMatchObject({ ...right, canonical: "x.test" });
    expect(server.questions).toEqual(["A a.test"]);
  });

  test("are followed by us where the server does not", async () => {
    const server = await start({ cname, aliasesAlone: true });
    expect(await clientOf([server]).ask("a.test")).toMatchObject({ ...right, authentic: true, canonical: "x.test" });
    expect(server.questions).toEqual(["A a.test", "A b.test", "A x.test"]);
  });

  test("each answer on the way has to be signed", async () => {
    const server = await start({ cname, aliasesAlone: true, authentic: ["a.test", "x.test"] });
    expect(await clientOf([server]).ask("a.test")).toMatchObject({ ...right, authentic: false });
  });

  test("to nowhere", async () => {
    const server = await start({ cname });
    expect(await clientOf([server]).ask("gone.test")).toMatchObject({ kind: "answer", data: [], nameExists: false });
  });

  const chain = (links: number) =>
    Object.fromEntries(
      Array.from({ length: links }, (_, n) => [`c${n}.test`, n === links - 1 ? "x.test" : `c${n + 1}.test`]),
    );
  test.each([
    [true, 8, "answer"],
    [true, 9, "failed"],
    [false, 8, "answer"],
    [false, 9, "failed"],
  ])("alone in each answer (%s), %i of them: %s", async (aliasesAlone, links, kind) => {
    const server = await start({ cname: chain(links), aliasesAlone });
    expect((await clientOf([server]).ask("c0.test")).kind).toBe(kind);
  });

  test("in a circle over several answers", async () => {
    const server = await start({ cname: { "a.test": "b.test", "b.test": "a.test" }, aliasesAlone: true });
    expect(await clientOf([server]).ask("a.test")).toMatchObject({ kind: "failed" });
    expect(server.questions.length).toBeLessThanOrEqual(9);
  });
});

describe("DnsClient.lookUp, several servers", () => {
  test.each<[why: string, how: Misbehaviour]>([
    ["fails", "SERVFAIL"],
    ["refuses", "REFUSED"],
    ["answers garbage", "garbage"],
  ])("the second is asked where the first %s", async (_why, how) => {
    const [first, second] = [await start(asMisbehaving(how)), await start()];
    expect(await clientOf([first, second]).ask()).toMatchObject(right);
    expect([first.questions.length, second.questions.length]).toEqual([1, 1]);
  });

  test("the second is asked where nobody is at the first", async () => {
    const second = await start();
    expect(await clientOf([await nobody(), second]).ask()).toMatchObject(right);
    expect(second.questions).toEqual(["A x.test"]);
  });

  test("one that was silent is asked behind the others for half a minute", async () => {
    const clock = createFakeClock();
    const [silent, second] = [await start({ silent: ["x.test"] }), await start()];
    const { ask } = clientOf([silent, second], { clock, timeoutMs: 4_000 });
    const answer = ask();
    await until(() => silent.questions.length === 1);
    await clock.advance(1_000);
    expect(await answer).toMatchObject(right);
    await ask("y.test");
    expect(silent.questions).toEqual(["A x.test"]);
    await clock.advance(29_999);
    await ask("y.test");
    expect(silent.questions).toEqual(["A x.test"]);
    await clock.advance(1);
    await ask("y.test");
    expect(silent.questions).toEqual(["A x.test", "A y.test"]);
  });

  test.each([
    [1, 3],
    [2, 2],
    [3, 2],
  ])("%i that are silent are asked %i times each, within the time", async (count, times) => {
    const servers = await Promise.all(Array.from({ length: count }, () => start({ silent: ["x.test"] })));
    expect(await clientOf(servers, { timeoutMs: 600 }).ask()).toMatchObject({ kind: "failed" });
    for (const { questions } of servers) expect(questions).toHaveLength(times);
  });

  test("nobody anywhere", async () => {
    expect(await clientOf([await nobody()]).ask()).toMatchObject({
      kind: "failed",
      reason: expect.stringMatching(/^ECONNREFUSED from 127\.0\.0\.1:\d+$/),
    });
  });
});

describe("DnsClient.close", () => {
  test("ends questions under way, and later ones", async () => {
    const server = await start({ silent: ["x.test"] });
    const { ask, close } = clientOf([server]);
    const answer = ask();
    await until(() => server.questions.length === 1);
    close();
    expect(await answer).toMatchObject({ kind: "failed" });
    expect(await ask("y.test")).toEqual({ kind: "failed", reason: "closed" });
  });
});

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setImmediate(resolve));
}
