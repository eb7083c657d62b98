/** How much TLS hosts have to have, whose word on them counts, and what is counted of it. RFC 7672, RFC 8461, RFC 8460, RFC 8689. */
import { describe, expect, test } from "vitest";
import type { EnvelopeOptions } from "../../../src/mail/envelope.ts";
import type { RemoteHop } from "../../../src/outbound/hop-targets.ts";
import type { Doubt, TlsRequirement } from "../../../src/outbound/tls-requirement.ts";
import { type Answer, agree, startPeer } from "../../support/smtp-peer.ts";
import { authority, good, wrong } from "./certificates.ts";
import { createSite, emptyPort, mx, opportunistic, said, taking, target, workFor } from "./remote-setup.ts";
import { scripted } from "./smtp-setup.ts";

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

  // RFC 7672 §2.2.2, §3.2.2 and §8.1.
  test.each([
    { why: "the certificate names it", tlsaBase: "other.example", data: "", kind: "delivered", asked: "other.example" },
    { why: "it names the alias alone", tlsaBase: "b.example", data: "", kind: "deferred", asked: "b.example" },
    { why: "no alias", data: "", kind: "delivered", asked: "alias.example" },
    {
      why: "a sender who needs no TLS leaves it out",
      tlsaBase: "b.example",
      data: "TLS-Required: No\r\n\r\nx\r\n",
      kind: "delivered",
      asked: "alias.example",
    },
  ])("records at the end of an alias, $why: $kind", async ({ tlsaBase, data, kind, asked }) => {
    const names: string[] = [];
    const certificate = {
      ...wrong,
      cert: `${wrong.cert}${authority}`,
      SNICallback(name: string, done: (error: null) => void) {
        names.push(name);
        done(null);
      },
    };
    const peer = await scripted(withTls(certificate));
    const requirement: TlsRequirement = {
      policy: "verified",
      by: "dane",
      tlsa: [{ usage: 2, selector: 0, matchingType: 0, data: derOf(authority) }],
      ...(tlsaBase !== undefined && { tlsaBase }),
    };
    const { remote } = createSite({
      targets: [target("alias.example", peer.port)],
      requirements: { "alias.example": requirement },
    });
    const domain = tlsaBase === undefined ? "other.example" : "example.org";
    const [outcome] = await remote.deliver(workFor({ kind: "mx", domain }, data === "" ? {} : { data }));
    expect(outcome!.kind).toBe(kind);
    expect(names).toEqual([asked]);
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

  const broken = { policy: "mta-sts", result: "sts-policy-fetch-error" } as const;
  const failures: [why: string, requirement: TlsRequirement, data: string | undefined, counted: string[]][] = [
    ["a host that is passed over", { ...refused, failed: broken }, undefined, ["mta-sts sts-policy-fetch-error"]],
    [
      "a session that goes without the policy",
      { ...opportunistic, failed: broken },
      undefined,
      ["mta-sts sts-policy-fetch-error", "default success"],
    ],
    [
      "a session that the sender wants all the same",
      { ...refused, failed: broken },
      "TLS-Required: No\r\n\r\nx\r\n",
      ["mta-sts sts-policy-fetch-error", "default success"],
    ],
  ];
  test.each(failures)("a policy that fails is counted once: %s", async (_why, requirement, data, counted) => {
    const peer = await scripted(withTls(good));
    const { remote, records } = createSite({
      targets: [target("mx1.example", peer.port)],
      requirements: { "mx1.example": requirement },
    });
    await remote.deliver(workFor(mx, data === undefined ? {} : { data }));
    expect(records).toEqual(
      counted.map((words) => {
        const [policy, result] = words.split(" ");
        return { domain: "example.org", policy, host: "mx1.example", result };
      }),
    );
    // Over the connection that stands, nothing new was found out.
    if (requirement === failures[1]![1]) {
      await remote.deliver(workFor());
      expect(records).toHaveLength(2);
    }
  });

  test("a host behind one that takes the mail is not passed over, and not counted", async () => {
    const peer = await scripted(taking);
    const { remote, records } = createSite({
      targets: [target("mx1.example", peer.port), target("mx2.example", peer.port)],
      requirements: { "mx1.example": { policy: "off", by: "config" }, "mx2.example": { ...refused, failed: broken } },
    });
    expect((await remote.deliver(workFor()))[0]!.kind).toBe("delivered");
    expect(records).toEqual([]);
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

  // RFC 8689 §4.2.1: who forges an MX record has a certificate for his own host.
  const doubts: [why: string, doubt: Doubt | null, options: EnvelopeOptions, outcome: object, connections: number][] = [
    [
      "a host that nobody vouches for gets none of it",
      { kind: "failed", reason: "nobody knows it" },
      { requireTls: true },
      { kind: "failed", status: "5.7.30", reason: "nobody knows it" },
      0,
    ],
    [
      "nor one of which that cannot be found out now",
      { kind: "deferred", reason: "no answer" },
      { requireTls: true },
      { kind: "deferred", status: "4.7.5", reason: "no answer" },
      0,
    ],
    ["a host that is known does", null, { requireTls: true }, { kind: "delivered" }, 1],
    ["other mail does not mind", { kind: "failed", reason: "nobody knows it" }, {}, { kind: "delivered" }, 1],
  ];
  test.each(doubts)("REQUIRETLS: %s", async (_why, doubt, options, outcome, connections) => {
    const peer = await scripted((line, state) =>
      state.secure && line.startsWith("EHLO") ? agree(line, ["REQUIRETLS"]) : withTls(good)(line, state),
    );
    const { remote } = createSite({ targets: [target("localhost", peer.port)], doubt });
    const [first] = await remote.deliver(workFor(mx, { options }));
    expect(first).toMatchObject(outcome);
    expect(first!.destinationDown).toBeUndefined();
    expect(peer.connections).toBe(connections);
  });

  test.each<[why: string, hop: (port: number) => RemoteHop]>([
    [
      "a server that is written down",
      (port) => ({ kind: "smtp", servers: [{ host: "localhost", port }], implicitTls: false }),
    ],
    ["the smarthost", () => ({ kind: "smarthost" })],
  ])("REQUIRETLS: %s needs nobody's word but the operator's", async (_why, hopAt) => {
    const peer = await scripted((line, state) =>
      state.secure && line.startsWith("EHLO") ? agree(line, ["REQUIRETLS"]) : withTls(good)(line, state),
    );
    const { remote } = createSite({
      settings: { smarthost: { host: "localhost", port: peer.port, tls: "opportunistic" }, tlsPolicies: [] },
      targets: [target("localhost", peer.port)],
      doubt: { kind: "failed", reason: "nobody knows it" },
    });
    const work = workFor(hopAt(peer.port), { options: { requireTls: true } });
    expect((await remote.deliver(work))[0]).toMatchObject({ kind: "delivered" });
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
