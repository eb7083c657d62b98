/** Next hops as servers and addresses, over a resolver that knows what it is told. */
import { describe, expect, test } from "vitest";
import type { Binding } from "../../../src/events/binding.ts";
import { Dispatcher } from "../../../src/events/dispatcher.ts";
import type { ResolveSubject } from "../../../src/events/subject-transport.ts";
import { defer, refuse } from "../../../src/events/verdict.ts";
import { formatNextHop, parseNextHop } from "../../../src/mail/next-hop.ts";
import {
  HopResolver,
  type HopSettings,
  type RemoteHop,
  type Resolved,
  type Target,
} from "../../../src/outbound/hop-targets.ts";
import { createIsOurselves } from "../../../src/outbound/mx-ourselves.ts";
import type { Smarthost } from "../../../src/outbound/next-hop.ts";
import type { Answer } from "../../../src/platform/resolver.ts";
import { noScripts } from "../../support/categorizing.ts";
import { createBinding } from "../../support/events.ts";
import { createFakeClock, type FakeClock } from "../../support/fake-clock.ts";
import { createFakeResolver, type FakeRecords } from "../../support/fake-resolver.ts";
import { createRecordingLog } from "../../support/recording-log.ts";

const isOurselves = createIsOurselves({
  names: ["mail.ours.test"],
  listeners: () => [{ address: "192.0.2.25", port: 25 }],
});

interface Site extends Partial<HopSettings> {
  readonly bindings?: readonly Binding[];
  readonly smarthost?: Smarthost;
  readonly random?: () => number;
  readonly clock?: FakeClock;
}

function createSite(
  records: FakeRecords,
  { bindings = [], smarthost, random = () => 0.99, clock, ...settings }: Site = {},
) {
  const time = clock ?? createFakeClock();
  const resolver = createFakeResolver(records, time);
  const events = new Dispatcher({ log: createRecordingLog(), clock: time, scripts: noScripts });
  events.replaceBindings(bindings);
  const hops = new HopResolver({
    resolver,
    events,
    random,
    settings: () => ({ mxPort: 25, addresses: "any", privateAddresses: false, isOurselves, ...settings }),
  });
  return {
    resolver,
    resolve: (text: string) => hops.resolve(parseNextHop(text) as RemoteHop, smarthost ?? null),
    mx: (domain: string) => hops.resolve({ kind: "mx", domain }, null),
  };
}

/** `mx1.test:25=192.0.2.1,…` of each target; `failed 5.1.2` of what is none. */
function said(resolved: Resolved): string[] | string {
  if (resolved.kind !== "targets") return `${resolved.kind} ${resolved.status}`;
  return resolved.targets.map(({ host, port, addresses }) => `${host}:${port}=${addresses.join(",")}`);
}

function targetsOf(resolved: Resolved): readonly Target[] {
  return resolved.kind === "targets" ? resolved.targets : [];
}

const mxOf = (...hosts: [preference: number, host: string][]) => ({
  "example.test": hosts.map(([preference, host]) => ({ preference, host })),
});
const a = { "mx1.test": ["198.51.100.1"], "mx2.test": ["198.51.100.2"], "mx3.test": ["198.51.100.3"] };
/** A name that exists, without what mail needs. */
const txt = { "example.test": ["x"], "mx1.test": ["x"], "mx2.test": ["x"] };

describe("HopResolver.resolve, mx", () => {
  type Row = [why: string, records: FakeRecords, expected: string[] | string, settings?: Site];
  test.each<Row>([
    [
      "exchangers, the lowest preference first",
      { mx: mxOf([20, "mx2.test"], [5, "mx1.test"], [30, "mx3.test"]), a },
      ["mx1.test:25=198.51.100.1", "mx2.test:25=198.51.100.2", "mx3.test:25=198.51.100.3"],
    ],
    ["the port of the settings", { mx: mxOf([5, "mx1.test"]), a }, ["mx1.test:2525=198.51.100.1"], { mxPort: 2525 }],
    ["the domain itself without MX", { a: { "example.test": ["198.51.100.9"] } }, ["example.test:25=198.51.100.9"]],
    [
      "never the domain itself beside MX",
      { mx: mxOf([5, "mx1.test"]), a: { "example.test": ["198.51.100.9"] }, txt },
      "failed 5.4.4",
    ],
    ["a domain that does not exist", {}, "failed 5.1.2"],
    ["a domain without MX and address", { txt }, "failed 5.1.2"],
    ["MX records that cannot be looked up", { failing: ["example.test"] }, "deferred 4.4.3"],
    ["the null MX", { mx: mxOf([0, ""]), a: { "example.test": ["198.51.100.9"] } }, "failed 5.1.10"],
    ["the null MX beside others", { mx: mxOf([0, ""], [5, "mx1.test"]), a }, ["mx1.test:25=198.51.100.1"]],
    [
      "a host that is named twice, once",
      { mx: mxOf([20, "mx1.test"], [10, "mx1.test"], [15, "mx2.test"]), a },
      ["mx1.test:25=198.51.100.1", "mx2.test:25=198.51.100.2"],
    ],
    [
      "hosts without an address are left out",
      { mx: mxOf([5, "mx1.test"], [6, "mx2.test"]), a: { "mx2.test": ["198.51.100.2"] } },
      ["mx2.test:25=198.51.100.2"],
    ],
    [
      "a host whose look-up fails keeps its place",
      { mx: mxOf([5, "mx1.test"], [6, "mx2.test"]), a, failing: ["mx1.test"] },
      ["mx1.test:25=", "mx2.test:25=198.51.100.2"],
    ],
    ["no host that can be looked up", { mx: mxOf([5, "mx1.test"]), failing: ["mx1.test"] }, "deferred 4.4.3"],
    [
      "one host without address, and one that cannot be looked up",
      { mx: mxOf([5, "mx1.test"], [6, "mx2.test"]), failing: ["mx2.test"] },
      "deferred 4.4.3",
    ],
    [
      "an address for a host's name",
      { mx: mxOf([5, "198.51.100.1"]), a: { "198.51.100.1": ["198.51.100.1"] } },
      "failed 5.4.4",
    ],
    ["a host that is no name", { mx: mxOf([5, "*.test"]), a: { "*.test": ["198.51.100.1"] } }, "failed 5.4.4"],
    [
      "IPv6 and IPv4 in turn, IPv6 first",
      {
        mx: mxOf([5, "mx1.test"]),
        a: { "mx1.test": ["198.51.100.1", "198.51.100.2"] },
        aaaa: { "mx1.test": ["2606::1"] },
      },
      ["mx1.test:25=2606::1,198.51.100.1,198.51.100.2"],
    ],
    [
      "IPv4 alone",
      { mx: mxOf([5, "mx1.test"]), a, aaaa: { "mx1.test": ["2606::1"] } },
      ["mx1.test:25=198.51.100.1"],
      { addresses: "ipv4" },
    ],
    [
      "IPv6 alone",
      { mx: mxOf([5, "mx1.test"]), a, aaaa: { "mx1.test": ["2606::1"] } },
      ["mx1.test:25=2606::1"],
      { addresses: "ipv6" },
    ],
    ["no address of the kind", { mx: mxOf([5, "mx1.test"]), a }, "failed 5.4.4", { addresses: "ipv6" }],
    [
      "no more than five addresses of a host",
      { mx: mxOf([5, "mx1.test"]), a: { "mx1.test": [1, 2, 3, 4, 5, 6].map((n) => `198.51.100.${n}`) } },
      [`mx1.test:25=${[1, 2, 3, 4, 5].map((n) => `198.51.100.${n}`).join(",")}`],
    ],
  ])("%s", async (_why, records, expected, settings = {}) => {
    expect(said(await createSite(records, settings).mx("example.test"))).toEqual(expected);
  });

  test("a domain without MX whose address cannot be looked up waits", async () => {
    const hops = new HopResolver({
      events: new Dispatcher({ log: createRecordingLog(), clock: createFakeClock(), scripts: noScripts }),
      settings: () => ({ mxPort: 25, addresses: "any", privateAddresses: false, isOurselves }),
      resolver: {
        mx: async () => ({ kind: "none", nameExists: true, authentic: false }),
        address: async () => ({ kind: "failed", reason: "SERVFAIL" }),
      },
    });
    expect(await hops.resolve({ kind: "mx", domain: "example.test" }, null)).toEqual({
      kind: "deferred",
      status: "4.4.3",
      reason: "example.test cannot be looked up: SERVFAIL",
    });
  });

  const failed: Answer<string> = { kind: "failed", reason: "SERVFAIL" };
  const none = (authentic: boolean): Answer<string> => ({ kind: "none", nameExists: true, authentic });
  const found = (authentic: boolean, canonical?: string): Answer<string> => ({
    kind: "found",
    values: ["198.51.100.1"],
    authentic,
    ...(canonical !== undefined && { canonical }),
  });
  /** The only exchanger of a domain, as signed MX records name it. */
  const targetBy = async (four: Answer<string>, six: Answer<string>) => {
    const hops = new HopResolver({
      events: new Dispatcher({ log: createRecordingLog(), clock: createFakeClock(), scripts: noScripts }),
      settings: () => ({ mxPort: 25, addresses: "any", privateAddresses: false, isOurselves }),
      resolver: {
        mx: async () => ({ kind: "found", values: [{ preference: 5, host: "mx1.test" }], authentic: true }),
        address: async (_name, family) => (family === 4 ? four : six),
      },
    });
    const resolved = await hops.resolve({ kind: "mx", domain: "example.test" }, null);
    expect(said(resolved)).toEqual(["mx1.test:25=198.51.100.1"]);
    return targetsOf(resolved)[0]!;
  };
  test.each<[why: string, four: Answer<string>, six: Answer<string>, authentic: boolean]>([
    // RFC 7672 §2.1.1: or who spoils one answer would have switched DANE off.
    ["one look-up fails, and the other is signed", found(true), failed, true],
    ["one fails, and the other is not signed", found(false), failed, false],
    ["both are signed, one without addresses", found(true), none(true), true],
    ["that there is none of one is not signed", found(true), none(false), false],
  ])("authentic addresses where %s", async (_why, four, six, authentic) => {
    expect((await targetBy(four, six)).authentic).toBe(authentic);
  });

  test.each<[why: string, four: Answer<string>, six: Answer<string>, canonicalHost: string | undefined]>([
    ["of signed aliases", found(true, "mx.behind.test"), none(true), "mx.behind.test"],
    ["where one look-up failed", found(true, "mx.behind.test"), failed, "mx.behind.test"],
    ["not where something is not signed", found(true, "mx.behind.test"), none(false), undefined],
    ["not without an alias", found(true), none(true), undefined],
  ])("the name behind an exchanger: %s", async (_why, four, six, canonicalHost) => {
    expect((await targetBy(four, six)).canonicalHost).toBe(canonicalHost);
  });

  test("the name behind an exchanger counts for nothing where the MX record is not signed", async () => {
    const hops = new HopResolver({
      events: new Dispatcher({ log: createRecordingLog(), clock: createFakeClock(), scripts: noScripts }),
      settings: () => ({ mxPort: 25, addresses: "any", privateAddresses: false, isOurselves }),
      resolver: {
        mx: async () => ({ kind: "found", values: [{ preference: 5, host: "mx1.test" }], authentic: false }),
        address: async () => found(true, "mx.behind.test"),
      },
    });
    const [target] = targetsOf(await hops.resolve({ kind: "mx", domain: "example.test" }, null));
    expect(target).toMatchObject({ host: "mx1.test", authentic: false });
    expect(target).not.toHaveProperty("canonicalHost");
  });

  test("tells the domain, and that the hosts are its exchangers", async () => {
    const site = createSite({ mx: mxOf([5, "mx1.test"]), a });
    expect(await site.mx("example.test")).toMatchObject({ fromMx: true, domain: "example.test" });
  });

  test("equal preferences go in an order of chance", async () => {
    const records = { mx: mxOf([5, "mx1.test"], [5, "mx2.test"], [9, "mx3.test"]), a };
    const hostsBy = async (random: () => number) =>
      targetsOf(await createSite(records, { random }).mx("example.test")).map(({ host }) => host);
    expect(await hostsBy(() => 0.99)).toEqual(["mx1.test", "mx2.test", "mx3.test"]);
    expect(await hostsBy(() => 0)).toEqual(["mx2.test", "mx1.test", "mx3.test"]);
  });

  test("of fifty exchangers the best ten are looked up, and the best five of those with addresses given", async () => {
    const hosts = Array.from({ length: 50 }, (_, n) => `mx${n}.many.test`);
    const site = createSite({
      mx: mxOf(...hosts.map((host, n): [number, string] => [n, host])),
      a: Object.fromEntries(hosts.slice(3).map((host, n) => [host, [`198.51.100.${n + 1}`]])),
    });
    const resolved = await site.mx("example.test");
    expect(targetsOf(resolved).map(({ host }) => host)).toEqual(hosts.slice(3, 8));
    expect(site.resolver.asked).toHaveLength(1 + 2 * 10);
  });

  test("it waits where the ten best have no address, and there are others", async () => {
    const hosts = Array.from({ length: 11 }, (_, n): [number, string] => [n, `mx${n}.many.test`]);
    expect(said(await createSite({ mx: mxOf(...hosts) }).mx("example.test"))).toBe("deferred 4.4.4");
    expect(said(await createSite({ mx: mxOf(...hosts.slice(1)) }).mx("example.test"))).toBe("failed 5.4.4");
  });

  test.each<[why: string, authentic: FakeRecords["authentic"], expected: boolean]>([
    ["all is signed", true, true],
    ["the MX record is not", ["mx1.test"], false],
    ["the addresses are not", ["example.test"], false],
  ])("authentic where %s", async (_why, authentic, expected) => {
    const site = createSite({ mx: mxOf([5, "mx1.test"]), a, ...(authentic && { authentic }) });
    expect(targetsOf(await site.mx("example.test"))[0]!.authentic).toBe(expected);
  });

  test("a name server that is silent costs the time of a look-up, and mail waits", async () => {
    const clock = createFakeClock();
    const resolved = createSite({ silent: ["example.test"] }, { clock }).mx("example.test");
    await clock.advance(5_000);
    expect(await resolved).toMatchObject({ kind: "deferred", status: "4.4.3" });
  });
});

describe("HopResolver.resolve, ourselves among the exchangers", () => {
  const ours = { ...a, "mail.ours.test": ["192.0.2.25"], "alias.test": ["192.0.2.25"] };
  test.each<[why: string, hosts: [number, string][], expected: string[] | string]>([
    [
      "those before us",
      [
        [5, "mx1.test"],
        [10, "mail.ours.test"],
        [20, "mx2.test"],
      ],
      ["mx1.test:25=198.51.100.1"],
    ],
    [
      "none that is equal to us",
      [
        [10, "mx1.test"],
        [10, "mail.ours.test"],
      ],
      "failed 5.4.6",
    ],
    [
      "by an address where we listen",
      [
        [5, "mx1.test"],
        [10, "alias.test"],
      ],
      ["mx1.test:25=198.51.100.1"],
    ],
    ["we are the only one", [[10, "mail.ours.test"]], "failed 5.4.6"],
    [
      "our name without an address",
      [
        [5, "mx1.test"],
        [10, "mail.ours.test"],
      ],
      ["mx1.test:25=198.51.100.1"],
    ],
  ])("%s", async (_why, hosts, expected) => {
    expect(said(await createSite({ mx: mxOf(...hosts), a: ours }).mx("example.test"))).toEqual(expected);
  });

  const listeningOnIpv6 = createIsOurselves({
    names: ["mail.ours.test"],
    listeners: () => [{ address: "2606::25", port: 25 }],
  });
  const onIpv6: FakeRecords = {
    a: { ...a, "nat.test": ["198.51.100.25"] },
    aaaa: { "six.test": ["2606::25"], "nat.test": ["2606::25"] },
  };
  test.each<[why: string, hosts: [number, string][], expected: string[] | string]>([
    [
      "one that has no other address",
      [
        [5, "mx1.test"],
        [10, "six.test"],
        [20, "mx2.test"],
      ],
      ["mx1.test:25=198.51.100.1"],
    ],
    [
      "one whose other address is elsewhere",
      [
        [10, "nat.test"],
        [20, "mx2.test"],
      ],
      "failed 5.4.6",
    ],
  ])("by an address of the kind that is not used: %s", async (_why, hosts, expected) => {
    const site = createSite({ mx: mxOf(...hosts), ...onIpv6 }, { addresses: "ipv4", isOurselves: listeningOnIpv6 });
    expect(said(await site.mx("example.test"))).toEqual(expected);
  });

  test("an address of the kind that is not used cannot be looked up: the host is tried", async () => {
    const hops = new HopResolver({
      events: new Dispatcher({ log: createRecordingLog(), clock: createFakeClock(), scripts: noScripts }),
      settings: () => ({ mxPort: 25, addresses: "ipv4", privateAddresses: false, isOurselves }),
      resolver: {
        mx: async () => ({ kind: "found", values: [{ preference: 5, host: "mx1.test" }], authentic: true }),
        address: async (_name, family) =>
          family === 6
            ? { kind: "failed", reason: "SERVFAIL" }
            : { kind: "found", values: ["198.51.100.1"], authentic: true },
      },
    });
    const resolved = await hops.resolve({ kind: "mx", domain: "example.test" }, null);
    expect(targetsOf(resolved)).toMatchObject([{ addresses: ["198.51.100.1"], authentic: true }]);
  });

  test("nobody is looked up who does not stand before our name", async () => {
    const site = createSite({
      mx: mxOf([5, "mx1.test"], [10, "mail.ours.test"], [10, "mx2.test"], [20, "mx3.test"]),
      a,
    });
    await site.mx("example.test");
    expect(site.resolver.asked).toEqual(["mx example.test", "6 mx1.test", "4 mx1.test"]);
  });

  test("a domain without MX that is ourselves", async () => {
    expect(said(await createSite({ a: ours }).mx("mail.ours.test"))).toBe("failed 5.4.6");
  });
});

describe("HopResolver.resolve, addresses that are not public", () => {
  test.each<[why: string, addresses: string[], expected: string[] | string]>([
    ["nothing but such", ["10.0.0.1", "127.0.0.1"], "failed 5.4.4"],
    ["such beside others", ["10.0.0.1", "198.51.100.1", "169.254.169.254"], ["mx1.test:25=198.51.100.1"]],
  ])("%s", async (_why, addresses, expected) => {
    const records = { mx: mxOf([5, "mx1.test"]), a: { "mx1.test": addresses } };
    expect(said(await createSite(records).mx("example.test"))).toEqual(expected);
    expect(said(await createSite(records, { privateAddresses: true }).mx("example.test"))).toEqual([
      `mx1.test:25=${addresses.join(",")}`,
    ]);
  });

  test("the words name host, domain and address", async () => {
    const site = createSite({ mx: mxOf([5, "mx1.test"]), a: { "mx1.test": ["127.0.0.1"] } });
    expect(await site.mx("example.test")).toMatchObject({
      reason:
        "mx1.test, an MX of example.test, leads to a loopback address (127.0.0.1), which delivery.private_addresses does not allow",
    });
  });

  test.each<[why: string, domain: string, expected: string[] | string]>([
    ["IPv4", "[198.51.100.1]", ["198.51.100.1:25=198.51.100.1"]],
    ["IPv6", "[ipv6:2606::1]", ["2606::1:25=2606::1"]],
    ["one that is not public", "[127.0.0.1]", "failed 5.4.4"],
    ["one that is ours", "[192.0.2.25]", "failed 5.4.6"],
  ])("a domain that is an address: %s", async (_why, domain, expected) => {
    const site = createSite({});
    expect(said(await site.mx(domain))).toEqual(expected);
    expect(site.resolver.asked).toEqual([]);
  });
});

describe("HopResolver.resolve, servers that are written down", () => {
  test.each<[why: string, hop: string, records: FakeRecords, expected: string[] | string]>([
    ["in their order", "smtp://mx2.test,mx1.test:26", { a }, ["mx2.test:25=198.51.100.2", "mx1.test:26=198.51.100.1"]],
    ["an address", "smtp://10.0.0.1", {}, ["10.0.0.1:25=10.0.0.1"]],
    [
      "a name whose address is private",
      "smtp://mx1.test",
      { a: { "mx1.test": ["10.0.0.1"] } },
      ["mx1.test:25=10.0.0.1"],
    ],
    ["no MX is looked up", "smtp://example.test", { mx: mxOf([5, "mx1.test"]), a }, "deferred 4.4.4"],
    ["one that does not exist waits", "smtp://nowhere.test", {}, "deferred 4.4.4"],
    ["one that cannot be looked up waits", "smtp://mx1.test", { failing: ["mx1.test"] }, "deferred 4.4.3"],
    ["one of two", "smtp://nowhere.test,mx1.test", { a }, ["mx1.test:25=198.51.100.1"]],
    [
      "one that cannot be looked up keeps its place",
      "smtp://mx1.test,mx2.test",
      { a, failing: ["mx1.test"] },
      ["mx1.test:25=", "mx2.test:25=198.51.100.2"],
    ],
    ["a listener of ours", "smtp://192.0.2.25:25", {}, "deferred 4.4.6"],
    ["another port of our machine", "smtp://192.0.2.25:10025", {}, ["192.0.2.25:10025=192.0.2.25"]],
    [
      "our own name, at another address",
      "smtp://mail.ours.test",
      { a: { "mail.ours.test": ["10.0.0.1"] } },
      ["mail.ours.test:25=10.0.0.1"],
    ],
  ])("%s", async (_why, hop, records, expected) => {
    expect(said(await createSite(records).resolve(hop))).toEqual(expected);
  });

  test("the smarthost, with all its addresses", async () => {
    const smarthost: Smarthost = { host: "relay.test", port: 587, tls: "required" };
    const site = createSite({ a: { "relay.test": ["10.0.0.1", "10.0.0.2"] } }, { smarthost });
    const resolved = await site.resolve("smarthost");
    expect(said(resolved)).toEqual(["relay.test:587=10.0.0.1,10.0.0.2"]);
    expect(resolved).toMatchObject({ fromMx: false, domain: null });
  });

  test("waits where there is no smarthost", async () => {
    expect(said(await createSite({}).resolve("smarthost"))).toBe("deferred 4.3.5");
  });
});

describe("HopResolver.resolve, onResolve", () => {
  const asking = (handler: (subject: ResolveSubject) => unknown, options: Site = {}) =>
    createSite({ mx: mxOf([5, "mx1.test"]), a }, { ...options, bindings: [createBinding("onResolve", handler)] });

  test("targets that are supplied stand in the place of what DNS says, wherever they are", async () => {
    const site = asking(({ nextHop, supply }) => {
      if (formatNextHop(nextHop) === "mx:example.test")
        supply(
          { host: "Inner.test", port: 2525, addresses: ["10.0.0.2", "10.0.0.1"] },
          { host: "198.51.100.1", port: 25, addresses: ["198.51.100.1"] },
        );
    });
    const resolved = await site.mx("example.test");
    expect(said(resolved)).toEqual(["inner.test:2525=10.0.0.2,10.0.0.1", "198.51.100.1:25=198.51.100.1"]);
    expect(resolved).toMatchObject({ fromMx: false, domain: null });
    expect(site.resolver.asked).toEqual([]);
    expect(said(await site.mx("nowhere.test"))).toBe("failed 5.1.2");
  });

  test("a listener of ours is none of them", async () => {
    const site = asking(({ supply }) => supply({ host: "x.test", port: 25, addresses: ["192.0.2.25"] }));
    expect(said(await site.mx("example.test"))).toBe("deferred 4.4.6");
  });

  test.each([
    ["refuses", () => refuse("closed", { status: "5.1.10" }), { kind: "failed", status: "5.1.10" }],
    ["defers", () => defer("later", { status: "4.3.2" }), { kind: "deferred", status: "4.3.2" }],
  ] as const)("a sink that %s", async (_why, handler, expected) => {
    expect(await asking(handler).mx("example.test")).toMatchObject({
      ...expected,
      reason: expect.stringMatching(/^(closed|later) \(sinks\/\d+#onResolve\)$/),
    });
  });

  const target = { host: "x.test", port: 25, addresses: ["198.51.100.1"] };
  test.each<[why: string, targets: readonly unknown[]]>([
    ["none", []],
    ["too many", Array.from({ length: 21 }, () => target)],
    ["no host", [{ ...target, host: "a b" }]],
    ["no port", [{ ...target, port: 0 }]],
    ["a port that is too large", [{ ...target, port: 65_536 }]],
    ["no addresses", [{ ...target, addresses: [] }]],
    ["too many addresses", [{ ...target, addresses: Array.from({ length: 21 }, () => "198.51.100.1") }]],
    ["a name for an address", [{ ...target, addresses: ["x.test"] }]],
  ])("next-hop.syntax: a sink that supplies %s has failed, and mail waits", async (_why, targets) => {
    let code = "";
    const site = asking(({ supply }) => {
      try {
        supply(...(targets as []));
      } catch (error) {
        code = (error as { code: string }).code;
        throw error;
      }
    });
    expect(await site.mx("example.test")).toMatchObject({ kind: "deferred" });
    expect(code).toBe("next-hop.syntax");
  });

  test("as many targets and addresses as may be", async () => {
    const many = { ...target, addresses: Array.from({ length: 20 }, (_, n) => `198.51.100.${n}`) };
    const site = asking(({ supply }) => supply(...Array.from({ length: 20 }, () => many)));
    expect(targetsOf(await site.mx("example.test"))).toHaveLength(20);
  });
});
