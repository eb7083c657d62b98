/** The resolver over node:dns against a name server of ours, the fake one against the same expectations, and what the real one keeps. */
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/platform/clock.ts";
import { createResolver, type Resolver } from "../../../src/platform/resolver.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createFakeResolver, type FakeRecords } from "../../support/fake-resolver.ts";
import { type NameServer, startNameServer } from "./resolver-name-server.ts";

const long = "v=spf1 ip4:192.0.2.0/24 -all";
const records: FakeRecords = {
  a: { "mx.example.test": ["192.0.2.1", "192.0.2.2"] },
  aaaa: { "mx.example.test": ["20010db8000000000000000000000001"] },
  mx: {
    "example.test": [
      { preference: 20, host: "backup.example.test" },
      { preference: 10, host: "MX.example.test" },
    ],
    "nothing.test": [{ preference: 0, host: "" }],
  },
  txt: { "example.test": [long] },
  failing: ["broken.test"],
  silent: ["silent.test"],
};

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

async function startReal(table: FakeRecords = records, ttlSeconds?: number, clock = systemClock) {
  const server: NameServer = await startNameServer(
    { ...table, ptr: { "1.2.0.192.in-addr.arpa": ["Mail.example.test"] } },
    ttlSeconds,
  );
  const resolver = createResolver({ clock, servers: [server.address], entriesMax: 3, lookupsMax: 4 });
  stops.push(
    () => resolver.close(),
    () => server.close(),
  );
  return { resolver, server };
}

const real = async () => (await startReal()).resolver;
const fake = async () =>
  createFakeResolver(
    {
      ...records,
      aaaa: { "mx.example.test": ["2001:db8::1"] },
      mx: {
        ...records.mx,
        "example.test": records.mx!["example.test"]!.map(({ preference, host }) => ({
          preference,
          host: host.toLowerCase(),
        })),
      },
      ptr: { "192.0.2.1": ["mail.example.test"] },
    },
    systemClock,
  );

describe.each<[string, () => Promise<Resolver>]>([
  ["the resolver over node:dns", real],
  ["the fake resolver", fake],
])("%s", (_name, create) => {
  type Row = [why: string, ask: (resolver: Resolver) => Promise<unknown>, expected: unknown];
  const found = (...values: unknown[]) => ({ kind: "found", values });
  test.each<Row>([
    ["IPv4 addresses", (r) => r.address("mx.example.test", 4), found("192.0.2.1", "192.0.2.2")],
    ["IPv6 addresses", (r) => r.address("mx.example.test", 6), found("2001:db8::1")],
    ["a name in capitals with its dot", (r) => r.address("MX.Example.test.", 6), found("2001:db8::1")],
    [
      "MX records, lowest preference first, names in lower case",
      (r) => r.mx("example.test"),
      found({ preference: 10, host: "mx.example.test" }, { preference: 20, host: "backup.example.test" }),
    ],
    ["the null MX", (r) => r.mx("nothing.test"), found({ preference: 0, host: "" })],
    ["text in pieces, joined", (r) => r.txt("example.test"), found(long)],
    ["names of an address", (r) => r.reverse("192.0.2.1"), found("mail.example.test")],
    ["a name that has other records", (r) => r.address("example.test", 4), { kind: "none", nameExists: true }],
    ["a name that is not there", (r) => r.mx("nowhere.test"), { kind: "none", nameExists: false }],
    ["an address without names", (r) => r.reverse("192.0.2.9"), { kind: "none", nameExists: false }],
    ["a server that fails", (r) => r.txt("broken.test"), { kind: "failed", reason: "ESERVFAIL" }],
    [
      "no answer in time",
      (r) => r.txt("silent.test", { timeoutMs: 20 }),
      { kind: "failed", reason: "no answer within 20 ms" },
    ],
  ])("tells %s", async (_why, ask, expected) => {
    expect(await ask(await create())).toEqual(expected);
  });
});

describe("createResolver", () => {
  test("keeps an answer as long as its time to live, and asks again after it", async () => {
    const clock = createFakeClock();
    const { resolver, server } = await startReal(records, 60, clock);
    await resolver.address("mx.example.test", 4);
    await clock.advance(59_999);
    await resolver.address("mx.example.test", 4);
    expect(server.questions).toHaveLength(1);
    await clock.advance(1);
    await resolver.address("mx.example.test", 4);
    expect(server.questions).toHaveLength(2);
  });

  test("keeps that there is none, and no failure", async () => {
    const { resolver, server } = await startReal();
    for (const name of ["nowhere.test", "nowhere.test"]) await resolver.mx(name);
    expect(server.questions).toEqual(["15 nowhere.test"]);
    await resolver.txt("broken.test");
    const once = server.questions.length;
    await resolver.txt("broken.test");
    expect(server.questions.length).toBeGreaterThan(once);
  });

  test("keeps no more answers than it may; the one not asked for longest goes", async () => {
    const { resolver, server } = await startReal();
    for (const name of ["one.test", "two.test", "three.test", "one.test", "four.test", "one.test", "two.test"])
      await resolver.txt(name);
    expect(server.questions.map((question) => question.slice(3))).toEqual([
      "one.test",
      "two.test",
      "three.test",
      "four.test",
      "two.test",
    ]);
  });

  test("asks once for those who ask the same at a time", async () => {
    const { resolver, server } = await startReal();
    await Promise.all([resolver.txt("example.test"), resolver.txt("example.test")]);
    expect(server.questions).toHaveLength(1);
  });

  test("fails at once above its look-ups at a time", async () => {
    const { resolver } = await startReal({ ...records, silent: ["1.test", "2.test", "3.test", "4.test"] });
    const waiting = [1, 2, 3, 4].map((n) => resolver.txt(`${n}.test`, { timeoutMs: 30 }));
    expect(await resolver.txt("example.test")).toEqual({ kind: "failed", reason: "too many look-ups at a time" });
    for (const answer of await Promise.all(waiting)) expect(answer.kind).toBe("failed");
  });

  test.each(["", "a..b.test", `${"x".repeat(64)}.test`])("gives an outcome for the odd name %j", async (name) => {
    const { resolver } = await startReal();
    expect(await resolver.address(name, 4)).toEqual({ kind: "none", nameExists: false });
  });

  test("takes no text for an address", async () => {
    expect(await (await startReal()).resolver.reverse("mx.example.test")).toEqual({ kind: "none", nameExists: false });
  });
});
