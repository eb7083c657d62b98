import { afterEach, describe, expect, test } from "vitest";
import type { EnvelopeOptions } from "../../../src/mail/envelope.ts";
import type { RemoteHop, Resolved, Target } from "../../../src/outbound/hop-targets.ts";
import type { Smarthost } from "../../../src/outbound/next-hop.ts";
import { createRemote, type Remote, type RemoteOptions } from "../../../src/outbound/remote.ts";
import type { TlsRequirement } from "../../../src/outbound/tls-requirement.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import type { Outcome } from "../../../src/queue/attempt.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createSampleMessage, type SampleMessage } from "../../support/sample-message.ts";
import { type Answer, agree, type ScriptedPeer, startPeer } from "../../support/smtp-peer.ts";
import { authority, good, wrong } from "./certificates.ts";
import { deferred, recipientsOf, scripted } from "./smtp-setup.ts";

const remotes: Remote[] = [];
afterEach(() => {
  for (const remote of remotes.splice(0)) remote.close();
});

const mx: RemoteHop = { kind: "mx", domain: "example.org" };
const opportunistic: TlsRequirement = { policy: "opportunistic", by: "default" };

interface Site extends Partial<Omit<RemoteOptions, "hops" | "tls">> {
  readonly targets?: readonly Target[];
  readonly resolved?: Resolved;
  readonly resolve?: () => Promise<Resolved>;
  /** By host. */
  readonly requirements?: Readonly<Record<string, TlsRequirement>>;
}

/** A remote that finds these targets behind every next hop. */
function createSite({ targets = [], resolved, requirements = {}, resolve, ...options }: Site) {
  const records: unknown[] = [];
  const asked: unknown[] = [];
  const remote = createRemote({
    settings: { smarthost: null, tlsPolicies: [] },
    hostName: "mail.example.test",
    clock: systemClock,
    certificateAuthorities: authority,
    hops: {
      async resolve(hop, smarthost) {
        asked.push([hop, smarthost]);
        if (resolve) return resolve();
        return resolved ?? { kind: "targets", targets, fromMx: hop.kind === "mx", domain: domainOf(hop) };
      },
    },
    tls: {
      of: async (_domain, all) => all.map(({ host }) => requirements[host] ?? opportunistic),
      record: (result) => {
        records.push(result);
      },
    },
    ...options,
  });
  remotes.push(remote);
  return { remote, records, asked };
}

function domainOf(hop: RemoteHop): string | null {
  return hop.kind === "mx" ? hop.domain : null;
}

function target(host: string, port: number, ...addresses: string[]): Target {
  return { host, port, addresses: addresses.length > 0 ? addresses : ["127.0.0.1"], authentic: false };
}

function workFor(hop: RemoteHop = mx, sample: SampleMessage = {}) {
  const message = createSampleMessage({ to: ["a@example.org", "b@example.org"], ...sample });
  return { hop, message, recipients: recipientsOf(message), attemptId: "A1" };
}

/** A port of ours where nobody listens. */
async function emptyPort(): Promise<number> {
  const peer = await startPeer();
  await peer.close();
  return peer.port;
}

function said(outcomes: readonly Outcome[]): string[] {
  return outcomes.map(({ kind, nextHop, reply }) => [kind, nextHop, reply?.code].filter(Boolean).join(" "));
}

const taking: Answer = (line) => agree(line);

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

function derOf(pem: string): Buffer {
  return Buffer.from(pem.replace(/-----[^-]*-----|\s/g, ""), "base64");
}

describe("Remote.deliver: TLS", () => {
  function withTls(certificate: typeof good | null): Answer {
    return (line, { startTls, secure }) => {
      if (line !== "STARTTLS") return agree(line, secure || !certificate ? [] : ["STARTTLS"]);
      setImmediate(() => startTls(certificate!));
      return "220 go on";
    };
  }
  const verified: TlsRequirement = { policy: "verified", by: "mta-sts" };

  test("a host that does not prove its name is left for one that does, and both are reported", async () => {
    const first = await scripted(withTls(wrong), { host: "127.0.0.2" });
    const second = await scripted(withTls(good));
    const { remote, records } = createSite({
      targets: [target("mx1.example", first.port, "127.0.0.2"), target("localhost", second.port)],
      requirements: { "mx1.example": verified, localhost: verified },
    });
    expect(said(await remote.deliver(workFor()))[0]).toBe(`delivered localhost:${second.port} 250`);
    expect(records).toEqual([
      { domain: "example.org", policy: "mta-sts", host: "mx1.example", result: "certificate-host-mismatch" },
      { domain: "example.org", policy: "mta-sts", host: "localhost", result: "success" },
    ]);
    expect(first.lines.some((line) => line.startsWith("MAIL"))).toBe(false);
  });

  test("no host has the TLS that is needed: deferred with 4.7.4", async () => {
    const peer = await scripted(withTls(null));
    const { remote, records } = createSite({
      targets: [target("mx1.example", peer.port)],
      requirements: { "mx1.example": verified },
    });
    expect((await remote.deliver(workFor()))[0]).toMatchObject({ kind: "deferred", status: "4.7.4" });
    expect(records).toMatchObject([{ result: "starttls-not-supported" }]);
  });

  test("where no policy asks for more, any certificate is a success", async () => {
    const peer = await scripted(withTls(wrong));
    const { remote, records } = createSite({ targets: [target("mx1.example", peer.port)] });
    await remote.deliver(workFor());
    expect(records).toEqual([{ domain: "example.org", policy: "default", host: "mx1.example", result: "success" }]);
  });

  test("a record that no certificate can match: the connection goes no further", async () => {
    const peer = await scripted(withTls(good));
    const tlsa = [{ usage: 3, selector: 0, matchingType: 1, data: Buffer.alloc(32) }];
    const { remote } = createSite({
      targets: [target("localhost", peer.port)],
      requirements: { localhost: { policy: "verified", by: "dane", tlsa } },
    });
    expect((await remote.deliver(workFor()))[0]).toMatchObject({
      kind: "deferred",
      status: "4.7.5",
      reason: expect.stringContaining("matches no TLSA record"),
    });
  });

  test("a record that the certificate is: its name and who signed it do not matter", async () => {
    const peer = await scripted(withTls(wrong));
    const data = derOf(wrong.cert);
    const { remote } = createSite({
      targets: [target("localhost", peer.port)],
      requirements: {
        localhost: { policy: "verified", by: "dane", tlsa: [{ usage: 3, selector: 0, matchingType: 0, data }] },
      },
    });
    expect((await remote.deliver(workFor()))[0]!.kind).toBe("delivered");
  });

  test("a record of the authority above: the name counts too, and the domain's own will do", async () => {
    const peer = await scripted(withTls({ ...wrong, cert: `${wrong.cert}${authority}` }));
    const data = derOf(authority);
    const requirements = Object.fromEntries(
      ["localhost", "other.example"].map((host): [string, TlsRequirement] => [
        host,
        { policy: "verified", by: "dane", tlsa: [{ usage: 2, selector: 0, matchingType: 0, data }] },
      ]),
    );
    for (const [host, domain, kind] of [
      ["other.example", "example.org", "delivered"],
      ["localhost", "example.org", "deferred"],
      ["localhost", "other.example", "delivered"],
    ] as const) {
      const { remote } = createSite({ targets: [target(host, peer.port)], requirements });
      expect((await remote.deliver(workFor({ kind: "mx", domain })))[0]!.kind).toBe(kind);
    }
  });

  const refused: TlsRequirement = { ...verified, refused: "mx1.example is not in the policy of example.org" };
  test("a host that must not be used is not asked", async () => {
    const peer = await scripted(taking);
    const { remote } = createSite({
      targets: [target("mx1.example", peer.port)],
      requirements: { "mx1.example": refused },
    });
    expect((await remote.deliver(workFor()))[0]).toMatchObject({
      kind: "deferred",
      nextHop: `mx1.example:${peer.port}`,
      reason: refused.refused,
    });
    expect(peer.connections).toBe(0);
  });

  const senders: [why: string, options: EnvelopeOptions, kind: string][] = [
    ["a sender who needs no TLS is not held up by it", {}, "delivered"],
    ["but REQUIRETLS counts for more", { requireTls: true }, "deferred"],
  ];
  test.each(senders)("%s", async (_why, options, kind) => {
    const peer = await scripted(withTls(null));
    const { remote } = createSite({
      targets: [target("mx1.example", peer.port)],
      requirements: { "mx1.example": refused },
    });
    const data = "Subject: x\r\nTLS-Required: No\r\n\r\nx\r\n";
    expect((await remote.deliver(workFor(mx, { data, options })))[0]!.kind).toBe(kind);
  });

  test("REQUIRETLS goes to the host that offers it; where none does, it fails", async () => {
    const without = await scripted(withTls(good), { host: "127.0.0.2" });
    const having = await scripted((line, state) =>
      state.secure && line.startsWith("EHLO") ? agree(line, ["REQUIRETLS"]) : withTls(good)(line, state),
    );
    const targets = [target("localhost", without.port, "127.0.0.2"), target("localhost", having.port)];
    const work = workFor(mx, { options: { requireTls: true } });
    expect(said(await createSite({ targets }).remote.deliver(work))[0]).toBe(`delivered localhost:${having.port} 250`);
    const { remote } = createSite({ targets: targets.slice(0, 1) });
    expect((await remote.deliver(work))[0]).toMatchObject({ kind: "failed", status: "5.7.30" });
    // One that cannot be reached may offer it: that is for later to find out.
    const unknown = createSite({ targets: [target("mx9.example", await emptyPort()), ...targets.slice(0, 1)] });
    expect((await unknown.remote.deliver(work))[0]).toMatchObject({ kind: "deferred" });
  });

  test.each([
    { why: "checks the certificate", requirement: opportunistic, certificate: wrong, kind: "deferred" },
    { why: "takes one that proves the name", requirement: opportunistic, certificate: good, kind: "delivered" },
    {
      why: "takes any where the operator says so",
      requirement: { policy: "required", by: "config" },
      certificate: wrong,
      kind: "delivered",
    },
  ] as const)("smtps:// $why", async ({ requirement, certificate, kind }) => {
    const peer = await startPeer({ secure: true, ...certificate });
    const { remote, records } = createSite({
      targets: [target("localhost", peer.port)],
      requirements: { localhost: requirement },
    });
    const hop = { kind: "smtp", servers: [{ host: "localhost", port: peer.port }], implicitTls: true } as const;
    expect((await remote.deliver(workFor(hop)))[0]!.kind).toBe(kind);
    expect(records).toEqual([]);
    remote.close();
    await peer.close();
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
