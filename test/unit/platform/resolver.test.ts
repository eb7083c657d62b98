/** The resolver against a name server of ours, the fake one against the same expectations, and what the real one keeps. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../../src/platform/clock.ts";
import { createResolver, type DnsResolverOptions, type Resolver } from "../../../src/platform/resolver.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { type FakeZone, startFakeDnsServer } from "../../support/fake-dns-server.ts";
import { createFakeResolver, type FakeRecords } from "../../support/fake-resolver.ts";
import { faultOf } from "../../support/fault-of.ts";

const long = "v=spf1 ip4:192.0.2.0/24 -all";
const tlsa = { usage: 3, selector: 1, matchingType: 1, data: Buffer.alloc(32, 7) };
const records: FakeRecords = {
  a: { "mx.example.test": ["192.0.2.1", "192.0.2.2"], "signed.test": ["192.0.2.3"] },
  aaaa: { "mx.example.test": ["2001:db8::1"] },
  mx: {
    "example.test": [
      { preference: 20, host: "backup.example.test" },
      { preference: 10, host: "mx.example.test" },
    ],
    "nothing.test": [{ preference: 0, host: "" }],
  },
  txt: { "example.test": [long] },
  tlsa: { "_25._tcp.mx.example.test": [tlsa] },
  ptr: { "192.0.2.1": ["mail.example.test"] },
  authentic: ["signed.test", "unsigned-name.test"],
  failing: ["broken.test"],
  silent: ["silent.test"],
};

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

async function startReal(
  zone: FakeZone = {},
  clock: Clock = systemClock,
  options: Partial<DnsResolverOptions> = { entriesMax: 3, lookupsMax: 4 },
) {
  const server = await startFakeDnsServer({
    ...records,
    misbehaving: { "broken.test": "SERVFAIL" },
    validates: true,
    ...zone,
  });
  const resolver = createResolver({ clock, servers: [server.address], ...options });
  stops.push(
    () => resolver.close(),
    () => server.close(),
  );
  return { resolver, server };
}

const real = async () => (await startReal()).resolver;
const fake = async () => createFakeResolver(records, systemClock);

describe.each<[string, () => Promise<Resolver>]>([
  ["the resolver", real],
  ["the fake resolver", fake],
])("%s", (_name, create) => {
  type Row = [why: string, ask: (resolver: Resolver) => Promise<unknown>, expected: unknown];
  const found = (...values: unknown[]) => ({ kind: "found", values, authentic: false });
  const none = (nameExists: boolean) => ({ kind: "none", nameExists, authentic: false });
  test.each<Row>([
    ["IPv4 addresses", (r) => r.address("mx.example.test", 4), found("192.0.2.1", "192.0.2.2")],
    ["IPv6 addresses", (r) => r.address("mx.example.test", 6), found("2001:db8::1")],
    ["a name in capitals with its dot", (r) => r.address("MX.Example.test.", 6), found("2001:db8::1")],
    [
      "MX records, lowest preference first",
      (r) => r.mx("example.test"),
      found({ preference: 10, host: "mx.example.test" }, { preference: 20, host: "backup.example.test" }),
    ],
    ["the null MX", (r) => r.mx("nothing.test"), found({ preference: 0, host: "" })],
    ["text in pieces, joined", (r) => r.txt("example.test"), found(long)],
    ["TLSA records", (r) => r.tlsa("_25._tcp.mx.example.test"), found(tlsa)],
    ["names of an address", (r) => r.reverse("192.0.2.1"), found("mail.example.test")],
    ["a name that has other records", (r) => r.address("example.test", 4), none(true)],
    ["a name that is not there", (r) => r.mx("nowhere.test"), none(false)],
    ["an address without names", (r) => r.reverse("192.0.2.9"), none(false)],
    ["a signed answer", (r) => r.address("signed.test", 4), { ...found("192.0.2.3"), authentic: true }],
    ["that it is signed that there is none", (r) => r.mx("signed.test"), { ...none(true), authentic: true }],
    [
      "a server that fails",
      (r) => r.txt("broken.test"),
      { kind: "failed", reason: expect.stringContaining("SERVFAIL") },
    ],
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
  test("tells names of records in lower case", async () => {
    const { resolver } = await startReal({
      mx: { "example.test": [{ preference: 1, host: "MX.Example.TEST" }] },
      ptr: { "192.0.2.1": ["Mail.Example.test"] },
    });
    expect(await resolver.mx("example.test")).toMatchObject({ values: [{ host: "mx.example.test" }] });
    expect(await resolver.reverse("192.0.2.1")).toMatchObject({ values: ["mail.example.test"] });
  });

  test.each([
    ["2001:db8::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"],
    ["::1", `1.${"0.".repeat(31)}ip6.arpa`],
    ["192.0.2.7", "7.2.0.192.in-addr.arpa"],
  ])("reverse asks of %s by the name it has", async (ip, name) => {
    const { resolver, server } = await startReal();
    await resolver.reverse(ip);
    expect(server.questions).toEqual([`PTR ${name}`]);
  });

  test("takes no text for an address, nor one with a zone", async () => {
    const { resolver, server } = await startReal();
    for (const ip of ["mx.example.test", "fe80::1%eth0"])
      expect(await resolver.reverse(ip)).toEqual({ kind: "none", nameExists: false, authentic: false });
    expect(server.questions).toEqual([]);
  });

  test.each([
    "",
    ".",
    "a..b.test",
    `${"x".repeat(64)}.test`,
    `${"x".repeat(60)}.`.repeat(5),
    "bücher.test",
    "a b.test",
  ])("gives an outcome for the odd name %j, without asking", async (name) => {
    const { resolver, server } = await startReal();
    expect(await resolver.txt(name)).toEqual({ kind: "none", nameExists: false, authentic: false });
    expect(server.questions).toEqual([]);
  });

  test("asks for a label of 63 octets", async () => {
    const { resolver, server } = await startReal();
    await resolver.txt(`${"x".repeat(63)}.test`);
    expect(server.questions).toHaveLength(1);
  });

  test.each<[why: string, ask: (resolver: Resolver) => Promise<unknown>]>([
    ["names with odd octets", (r) => r.reverse("192.0.2.66")],
    ["exchangers with odd octets", (r) => r.mx("odd.test")],
  ])("fails, rather than to say there is none, for nothing but %s", async (_why, ask) => {
    const { resolver } = await startReal({
      ptr: { "192.0.2.66": ["mail.example.test (spoofed"] },
      mx: { "odd.test": [{ preference: 1, host: "mx\r\nDATA.test" }] },
    });
    expect(await ask(resolver)).toMatchObject({ kind: "failed", reason: expect.stringMatching(/can be used/) });
  });

  test("asks a server on this machine whether answers are signed", async () => {
    const { resolver, server } = await startReal();
    await resolver.address("signed.test", 4);
    expect(server.last).toEqual({ edns: true, dnssec: true });
  });

  test.each<[why: string, trustedServers: (port: string) => string[], authentic: boolean]>([
    ["by default", () => [], false],
    ["where it is trusted", (port) => [`0.0.0.0:${port}`], true],
    ["where another port is trusted", () => ["0.0.0.0"], false],
  ])("the word of a server that is not at loopback is believed: %s", async (_why, trustedServers, authentic) => {
    const { server } = await startReal();
    // Leads to this machine, and is no loopback address.
    const port = server.address.replace(/^.*:/, "");
    const options = { servers: [`0.0.0.0:${port}`], trustedServers: trustedServers(port) };
    const resolver = createResolver({ clock: systemClock, ...options });
    stops.push(() => resolver.close());
    expect(await resolver.address("signed.test", 4)).toMatchObject({ kind: "found", authentic });
  });

  test.each<[why: string, name: string, zone: FakeZone, canonical: string | undefined]>([
    ["an alias that is signed", "www.signed.test", { authentic: true }, "signed.test"],
    ["an alias in several answers", "www.signed.test", { authentic: true, aliasesAlone: true }, "signed.test"],
    ["an alias that is not signed", "www.signed.test", {}, undefined],
    [
      "an alias to what is not signed",
      "www.signed.test",
      { authentic: ["www.signed.test"], aliasesAlone: true },
      undefined,
    ],
    ["no alias", "signed.test", { authentic: true }, undefined],
  ])("tells the name behind %s", async (_why, name, zone, canonical) => {
    const { resolver } = await startReal({ cname: { "www.signed.test": "Signed.test" }, ...zone });
    const answer = await resolver.address(name, 4);
    expect(answer).toMatchObject({ kind: "found", values: ["192.0.2.3"] });
    expect(answer.kind === "found" && answer.canonical).toBe(canonical);
  });

  test.each(["1.2.3", "ns.example.test", "192.0.2.53:0", "192.0.2.53:65536", "[192.0.2.53]:53", "[2001:db8::53"])(
    "config.invalid: takes %j for no server",
    async (text) => {
      expect(faultOf(() => createResolver({ clock: systemClock, servers: [text] })).code).toBe("config.invalid");
    },
  );
});

describe("createResolver, what it keeps", () => {
  const asksAgainAfter = async (zone: FakeZone, ask: (resolver: Resolver) => Promise<unknown>) => {
    const clock = createFakeClock();
    const { resolver, server } = await startReal(zone, clock);
    await ask(resolver);
    return async (ms: number) => {
      await clock.advance(ms);
      const before = server.questions.length;
      await ask(resolver);
      return server.questions.length > before;
    };
  };
  const address = (resolver: Resolver) => resolver.address("mx.example.test", 4);
  const nowhere = (resolver: Resolver) => resolver.mx("nowhere.test");

  test.each<[why: string, zone: FakeZone, ask: (resolver: Resolver) => Promise<unknown>, keptMs: number]>([
    ["an answer for its time to live", { ttlSeconds: 60 }, address, 60_000],
    ["an answer with time to live 0 for a second", { ttlSeconds: 0 }, address, 1_000],
    ["an answer with an absurd time to live for an hour", { ttlSeconds: 0x7fff_ffff }, address, 3_600_000],
    ["one with a negative time to live for a second", { ttlSeconds: 0x8000_0000 }, address, 1_000],
    ["that there is none as long as the zone says", { negativeTtlSeconds: 120 }, nowhere, 120_000],
    ["that there is none for a second if nobody says", { negativeTtlSeconds: null }, nowhere, 1_000],
  ])("%s", async (_why, zone, ask, keptMs) => {
    const asksAgain = await asksAgainAfter(zone, ask);
    expect(await asksAgain(keptMs - 1)).toBe(false);
    expect(await asksAgain(1)).toBe(true);
  });

  test("no failure", async () => {
    const { resolver, server } = await startReal();
    await resolver.txt("broken.test");
    await resolver.txt("broken.test");
    expect(server.questions).toEqual(["TXT broken.test", "TXT broken.test"]);
  });

  test("no more answers than it may; the one not asked for longest goes", async () => {
    const { resolver, server } = await startReal();
    for (const name of ["one", "two", "three", "one", "four", "one", "two"]) await resolver.txt(`${name}.test`);
    expect(server.questions).toEqual(["one", "two", "three", "four", "two"].map((name) => `TXT ${name}.test`));
  });

  test.each([
    // A name of nine characters with its type, a value, and what each of them takes.
    ["as many octets as it may", 2 * (64 + "TXT one.test".length + 64 + 1_000), ["one", "two"]],
    ["one less", 2 * (64 + "TXT one.test".length + 64 + 1_000) - 1, ["one", "two", "one"]],
    ["less than one answer", 1_000, ["one", "two", "one"]],
  ])("%s", async (_why, octetsMax, asked) => {
    const txt = { "one.test": ["x".repeat(1_000)], "two.test": ["y".repeat(1_000)] };
    const { resolver, server } = await startReal({ txt }, systemClock, { octetsMax });
    for (const name of ["one", "two", "one"]) await resolver.txt(`${name}.test`);
    expect(server.questions.map((question) => question.replace(/ tcp$/, ""))).toEqual(
      asked.map((name) => `TXT ${name}.test`),
    );
  });

  test("nothing of one type for another", async () => {
    const { resolver } = await startReal();
    expect((await resolver.txt("example.test")).kind).toBe("found");
    expect((await resolver.address("example.test", 4)).kind).toBe("none");
  });

  test("asks once for those who ask the same at a time", async () => {
    const { resolver, server } = await startReal();
    await Promise.all([resolver.txt("example.test"), resolver.txt("Example.test.")]);
    expect(server.questions).toHaveLength(1);
  });

  test("fails at once above its look-ups at a time", async () => {
    const { resolver } = await startReal({ silent: ["1.test", "2.test", "3.test", "4.test"] });
    const waiting = [1, 2, 3, 4].map((n) => resolver.txt(`${n}.test`, { timeoutMs: 30 }));
    expect(await resolver.txt("example.test")).toEqual({ kind: "failed", reason: "too many look-ups at a time" });
    for (const answer of await Promise.all(waiting)) expect(answer.kind).toBe("failed");
  });
});

describe("createResolver, the machine's own names", () => {
  const files = () => {
    const folder = mkdtempSync(join(tmpdir(), "onarrival-names-"));
    stops.push(() => rmSync(folder, { recursive: true }));
    return { folder, resolvConf: join(folder, "resolv.conf"), hosts: join(folder, "hosts") };
  };
  const found = (...values: string[]) => ({ kind: "found", values, authentic: false });

  test("go before DNS, and are not signed", async () => {
    const { folder, ...paths } = files();
    writeFileSync(
      paths.hosts,
      "# ours\n192.0.2.9 Relay.internal relay # the relay\n192.0.2.10\trelay.internal\nnonsense\n",
    );
    const { resolver, server } = await startReal({}, systemClock, { files: paths });
    expect(await resolver.address("relay.internal", 4)).toEqual(found("192.0.2.9", "192.0.2.10"));
    expect(await resolver.address("RELAY", 4)).toEqual(found("192.0.2.9"));
    expect(await resolver.address("relay.internal", 6)).toEqual({ kind: "none", nameExists: true, authentic: false });
    expect(server.questions).toEqual([]);
  });

  test("localhost is never asked of DNS", async () => {
    const { resolver, server } = await startReal({}, systemClock, { files: { hosts: "/nonexistent/hosts" } });
    expect(await resolver.address("localhost", 4)).toEqual(found("127.0.0.1"));
    expect(await resolver.address("mail.localhost", 6)).toEqual(found("::1"));
    expect(server.questions).toEqual([]);
  });

  test("are read again when the file has changed, not more often than every five seconds", async () => {
    const { folder, ...paths } = files();
    const clock = createFakeClock();
    writeFileSync(paths.hosts, "192.0.2.9 relay.internal\n");
    const { resolver } = await startReal({}, clock, { files: paths });
    expect(await resolver.address("relay.internal", 4)).toEqual(found("192.0.2.9"));
    writeFileSync(paths.hosts, "192.0.2.100 relay.internal\n");
    await clock.advance(4_999);
    expect(await resolver.address("relay.internal", 4)).toEqual(found("192.0.2.9"));
    await clock.advance(1);
    expect(await resolver.address("relay.internal", 4)).toEqual(found("192.0.2.100"));
  });
});
