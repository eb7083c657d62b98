import { describe, expect, test } from "vitest";
import type { RemoteHop, Target } from "../../../src/outbound/hop-targets.ts";
import type { Smarthost } from "../../../src/outbound/next-hop.ts";
import type { TlsRequirement } from "../../../src/outbound/tls-requirement.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { type Answer, agree, type ScriptedPeer } from "../../support/smtp-peer.ts";
import { createSite, emptyPort, said, taking, target, workFor } from "./remote-setup.ts";
import { deferred, scripted } from "./smtp-setup.ts";

describe("Remote.deliver: hosts and addresses", () => {
  test("the first host that can be reached takes it, by the first address that can", async () => {
    const empty = await emptyPort();
    const peer = await scripted(taking, { host: "127.0.0.2" });
    const last = await scripted(taking);
    const { remote } = createSite({
      targets: [
        target("mx1.example", empty),
        target("mx2.example", peer.port, "127.0.0.3", "127.0.0.2"),
        target("mx3.example", last.port),
      ],
    });
    const outcomes = await remote.deliver(workFor());
    expect(said(outcomes)).toEqual([
      `delivered mx2.example:${peer.port} 250`,
      `delivered mx2.example:${peer.port} 250`,
    ]);
    expect(outcomes[0]!.reason).toBe("");
    expect(last.connections).toBe(0);
  });

  const moved: [why: string, at: RegExp, reply: string][] = [
    ["greets with 4yz", /^$/, "421 4.3.2 busy"],
    ["greets with 554", /^$/, "554 5.7.1 no"],
    ["does not take our name for now", /^(EHLO|HELO)/, "450 no"],
    ["takes no mail for now", /^MAIL/, "452 4.3.1 no room"],
    ["breaks the protocol", /^EHLO/, "what?"],
  ];
  test.each(moved)("a host that %s: the next is asked", async (_why, at, reply) => {
    const first = await scripted((line) => (at.test(line) ? reply : agree(line)));
    const second = await scripted(taking);
    const { remote } = createSite({ targets: [target("mx1.example", first.port), target("mx2.example", second.port)] });
    expect(said(await remote.deliver(workFor()))).toEqual(
      Array.from({ length: 2 }, () => `delivered mx2.example:${second.port} 250`),
    );
    expect(first.connections).toBe(1);
  });

  test("a host that says nothing: the next is asked when its time is over", async () => {
    const clock = createFakeClock();
    const reached = deferred();
    const silent = await scripted(() => {
      reached.resolve();
      return undefined;
    });
    const second = await scripted(taking);
    const targets = [target("mx1.example", silent.port), target("mx2.example", second.port)];
    const outcomes = createSite({ clock, targets, limits: { replyMsMax: 60_000 } }).remote.deliver(workFor());
    await reached.promise;
    await clock.advance(59_999);
    expect(second.connections).toBe(0);
    await clock.advance(1);
    expect(said(await outcomes)[0]).toBe(`delivered mx2.example:${second.port} 250`);
  });

  const stayed: [why: string, at: RegExp, reply: string, kind: string][] = [
    ["MAIL refused for good", /^MAIL/, "550 5.7.1 not you", "failed"],
    ["recipients deferred", /^RCPT/, "450 4.2.1 greylisted", "deferred"],
    ["recipients refused", /^RCPT/, "550 5.1.1 nobody", "failed"],
    ["the message deferred", /^\.$/, "451 4.3.0 later", "deferred"],
    ["the message refused", /^\.$/, "554 5.6.0 spam", "failed"],
  ];
  test.each(stayed)("%s: that is the answer, and no other host is asked", async (_why, at, reply, kind) => {
    const first = await scripted((line) => (at.test(line) ? reply : agree(line)));
    const second = await scripted(taking);
    const { remote } = createSite({ targets: [target("mx1.example", first.port), target("mx2.example", second.port)] });
    const outcomes = await remote.deliver(workFor());
    expect(outcomes.map((outcome) => outcome.kind)).toEqual([kind, kind]);
    expect(outcomes[0]!.destinationDown).toBeUndefined();
    expect(second.connections).toBe(0);
  });

  test("a host that goes after one recipient's refusal: the others are asked about elsewhere", async () => {
    const first = await scripted((line, { socket }) => {
      if (line.includes("<a@")) return "550 5.1.1 nobody";
      if (!line.includes("<b@")) return agree(line);
      socket.destroy();
      return undefined;
    });
    const second = await scripted(taking);
    const { remote } = createSite({ targets: [target("mx1.example", first.port), target("mx2.example", second.port)] });
    expect(said(await remote.deliver(workFor())).sort()).toEqual([
      `delivered mx2.example:${second.port} 250`,
      `failed mx1.example:${first.port} 550`,
    ]);
    expect(second.lines.filter((line) => line.startsWith("RCPT"))).toEqual(["RCPT TO:<b@example.org>"]);
  });

  test("nobody can be reached: deferred under the last host's name, the words name all, the destination is down", async () => {
    const empty = await emptyPort();
    const busy = await scripted((line) => (line === "" ? "421 4.3.2 busy" : agree(line)));
    const { remote } = createSite({
      targets: [target("mx1.example", busy.port), target("mx2.example", 1, ...[]), target("mx3.example", empty)].map(
        (each) => (each.host === "mx2.example" ? { ...each, addresses: [] } : each),
      ),
    });
    const [first] = await remote.deliver(workFor());
    expect(first).toMatchObject({ kind: "deferred", nextHop: `mx3.example:${empty}`, destinationDown: true });
    expect(first!.reason).toMatch(
      /^Cannot talk to mx1\.example:.*421 4\.3\.2 busy; the addresses of mx2\.example cannot be looked up; Cannot talk to mx3\.example:.*ECONNREFUSED/,
    );
  });

  test("a host that talked to us and took no mail is not down", async () => {
    const empty = await emptyPort();
    const peer = await scripted((line) => (line.startsWith("MAIL") ? "452 4.3.1 no room" : agree(line)));
    for (const ports of [
      [peer.port, empty],
      [empty, peer.port],
    ]) {
      const { remote } = createSite({ targets: ports.map((port) => target(`mx${port}.example`, port)) });
      const [first] = await remote.deliver(workFor());
      expect(first!.kind).toBe("deferred");
      expect(first!.destinationDown).toBeUndefined();
      expect(first!.reason).toContain(`mx${ports[1]}.example:${ports[1]}`);
      expect(first!.reason).toContain(`mx${ports[0]}.example:${ports[0]}`);
    }
  });

  test("a host that was down is not asked again for a while", async () => {
    const down = await scripted((line) => (line === "" ? "421 4.3.2 busy" : agree(line)));
    const up = await scripted(taking);
    const { remote } = createSite({ targets: [target("mx1.example", down.port), target("mx2.example", up.port)] });
    for (let i = 0; i < 3; i++) expect((await remote.deliver(workFor()))[0]!.kind).toBe("delivered");
    expect(down.connections).toBe(1);
  });

  test("a host that was down is asked again at once where somebody says so", async () => {
    const down = await scripted((line) => (line === "" ? "421 4.3.2 busy" : agree(line)));
    const { remote } = createSite({ targets: [target("mx1.example", down.port)] });
    await remote.deliver(workFor());
    await remote.deliver(workFor());
    expect(down.connections).toBe(1);
    remote.askAnew();
    await remote.deliver(workFor());
    expect(down.connections).toBe(2);
  });
});

describe("Remote.deliver: bounds", () => {
  async function refusing(): Promise<ScriptedPeer> {
    return scripted((line) => (line === "" ? "421 4.3.2 busy" : agree(line)));
  }

  test.each([
    { why: "one host more than the limit", search: { hostsMax: 2 }, connections: [1, 1, 0], kind: "deferred" },
    { why: "two hosts more than the limit", search: { hostsMax: 1 }, connections: [1, 0, 0], kind: "deferred" },
    { why: "as many hosts as the limit", search: { hostsMax: 3 }, connections: [1, 1, 1], kind: "delivered" },
    { why: "one address more than the limit", search: { addressesMax: 2 }, connections: [1, 1, 0], kind: "deferred" },
    { why: "as many addresses as the limit", search: { addressesMax: 3 }, connections: [1, 1, 1], kind: "delivered" },
    {
      why: "when the time is over before the second",
      search: { searchMsMax: 0 },
      connections: [1, 0, 0],
      kind: "deferred",
    },
  ])("$why", async ({ search, connections, kind }) => {
    const peers = [await refusing(), await refusing(), await scripted(taking)];
    const { remote } = createSite({ search, targets: peers.map(({ port }, i) => target(`mx${i}.example`, port)) });
    expect((await remote.deliver(workFor()))[0]!.kind).toBe(kind);
    expect(peers.map((peer) => peer.connections)).toEqual(connections);
  });

  test("the signal ends an attempt, and no other host is begun with", async () => {
    const ending = new AbortController();
    const reached = deferred();
    const silent = await scripted(() => {
      reached.resolve();
      return undefined;
    });
    const second = await scripted(taking);
    const { remote } = createSite({
      targets: [target("mx1.example", silent.port), target("mx2.example", second.port)],
    });
    const outcomes = remote.deliver({ ...workFor(), signal: ending.signal });
    await reached.promise;
    ending.abort();
    expect(await outcomes).toMatchObject([{ kind: "deferred", reason: "the attempt's time is over" }, {}]);
    expect(second.connections).toBe(0);
  });

  test("a signal that fired before: deferred, and nobody is asked", async () => {
    const peer = await scripted(taking);
    const { remote } = createSite({ targets: [target("mx1.example", peer.port)] });
    expect(await remote.deliver({ ...workFor(), signal: AbortSignal.abort() })).toMatchObject([
      { kind: "deferred", nextHop: "mx:example.org", reason: "the attempt's time is over" },
      { kind: "deferred" },
    ]);
    expect(peer.connections).toBe(0);
  });
});

describe("Remote.deliver: what is known before a host is asked", () => {
  test.each([
    { kind: "failed", status: "5.1.10", reason: "example.org takes no mail" },
    { kind: "deferred", status: "4.4.3", reason: "no name server answers" },
  ] as const)("a next hop that has no hosts: $kind", async (resolved) => {
    const { remote } = createSite({ resolved });
    const outcomes = await remote.deliver(workFor());
    expect(outcomes).toHaveLength(2);
    expect(outcomes[1]).toMatchObject({ ...resolved, index: 1, nextHop: "mx:example.org", reply: null });
    expect(outcomes[1]!.destinationDown).toBe(resolved.kind === "deferred" ? true : undefined);
  });

  test("what is thrown defers", async () => {
    const { remote } = createSite({ resolve: () => Promise.reject(new Error("broken")) });
    expect(await remote.deliver(workFor())).toMatchObject([
      { kind: "deferred", status: "4.3.0", reason: "cannot deliver: broken" },
      { kind: "deferred" },
    ]);
  });

  test("without a smarthost, what is for it is held", async () => {
    const { remote, asked } = createSite({});
    expect(await remote.deliver(workFor({ kind: "smarthost" }))).toMatchObject([
      { kind: "held", reason: "no smarthost is configured" },
      { kind: "held" },
    ]);
    expect(asked).toEqual([]);
  });

  test("after close everything is deferred", async () => {
    const peer = await scripted(taking);
    const { remote } = createSite({ targets: [target("mx1.example", peer.port)] });
    remote.close();
    expect(await remote.deliver(workFor())).toMatchObject([{ kind: "deferred", reason: "the server stops" }, {}]);
    expect(peer.connections).toBe(0);
  });
});

describe("Remote: connections", () => {
  test("domains that share a host share its connections; another way of TLS has its own", async () => {
    const peer = await scripted(taking);
    const requirements: Record<string, TlsRequirement> = {};
    const { remote } = createSite({ targets: [target("mx1.example", peer.port)], requirements });
    await remote.deliver(workFor());
    await remote.deliver(workFor({ kind: "mx", domain: "example.net" }));
    expect(peer.connections).toBe(1);
    requirements["mx1.example"] = { policy: "off", by: "config" };
    await remote.deliver(workFor());
    expect(peer.connections).toBe(2);
  });
});

describe("Remote: addresses of one host", () => {
  test("an open connection to any of them is used before another is made; else their order holds", async () => {
    const one = await scripted(taking, { host: "127.0.0.2" });
    const other = await scripted(taking, { host: "127.0.0.3", port: one.port });
    const targets: Target[] = [];
    const { remote } = createSite({ targets });
    for (const addresses of [
      ["127.0.0.2", "127.0.0.3"],
      ["127.0.0.3", "127.0.0.2"],
    ]) {
      targets[0] = target("mx1.example", one.port, ...addresses);
      expect((await remote.deliver(workFor()))[0]!.kind).toBe("delivered");
    }
    expect([one.messages.length, other.messages.length]).toEqual([2, 0]);
    // While the one is busy, the other is as good.
    await Promise.all([remote.deliver(workFor()), remote.deliver(workFor())]);
    expect(one.messages.length + other.messages.length).toBe(4);
    expect(other.messages.length).toBeGreaterThan(0);
  });
});

describe("Remote: the smarthost", () => {
  const hop: RemoteHop = { kind: "smarthost" };

  function loggingIn(): Answer {
    return (line) => (line.startsWith("AUTH") ? "235 2.7.0 in" : agree(line, ["AUTH PLAIN"]));
  }

  test("has its credentials at each of its addresses; they go to no other host", async () => {
    const peer = await scripted(loggingIn(), { host: "127.0.0.2" });
    const smarthost: Smarthost = {
      host: "relay.example",
      port: peer.port,
      tls: "off",
      user: "ann",
      password: "secret",
    };
    const { remote, asked, records } = createSite({
      settings: { smarthost, tlsPolicies: [] },
      targets: [target("relay.example", peer.port, "127.0.0.3", "127.0.0.2")],
    });
    expect(said(await remote.deliver(workFor(hop)))[0]).toBe(`delivered relay.example:${peer.port} 250`);
    expect(peer.lines.filter((line) => line.startsWith("AUTH"))).toHaveLength(1);
    expect(asked).toEqual([[hop, smarthost]]);
    await remote.deliver(workFor());
    expect(peer.connections).toBe(2);
    expect(peer.lines.filter((line) => line.startsWith("AUTH"))).toHaveLength(1);
    // Nobody's policy is at stake: there is nothing to report on what the operator has chosen himself.
    expect(records.filter((record) => (record as { policy: string }).policy === "config")).toEqual([]);
  });

  test("needs the TLS that a policy of the operator's says, in the place of its own", async () => {
    const peer = await scripted(taking);
    const smarthost: Smarthost = { host: "relay.example", port: peer.port, tls: "opportunistic" };
    const tlsPolicies = [{ host: "relay.example", policy: "required" }] as const;
    const { remote } = createSite({
      settings: { smarthost, tlsPolicies },
      targets: [target("relay.example", peer.port)],
    });
    expect((await remote.deliver(workFor(hop)))[0]).toMatchObject({ kind: "deferred", status: "4.7.4" });
  });

  test("reconfigure: other settings end what is idle, the same settings do not", async () => {
    const peer = await scripted(taking);
    const smarthost: Smarthost = { host: "relay.example", port: peer.port, tls: "off" };
    const settings = { smarthost, tlsPolicies: [] };
    const { remote } = createSite({ settings, targets: [target("relay.example", peer.port)] });
    await remote.deliver(workFor(hop));
    remote.reconfigure({ smarthost: { ...smarthost }, tlsPolicies: [] });
    await remote.deliver(workFor(hop));
    expect(peer.connections).toBe(1);
    remote.reconfigure({ smarthost: { ...smarthost, tls: "opportunistic" }, tlsPolicies: [] });
    await expect.poll(() => peer.lines.at(-1)).toBe("QUIT");
    await remote.deliver(workFor(hop));
    expect(peer.connections).toBe(2);
  });
});
