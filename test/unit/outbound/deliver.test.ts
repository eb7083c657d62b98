import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { TlsPolicy } from "../../../src/events/subject-outbound.ts";
import { createDelivery, type Delivery, type DeliveryOptions } from "../../../src/outbound/deliver.ts";
import { chooseNextHop, formatSmarthost, type Smarthost, tlsPolicyOf } from "../../../src/outbound/next-hop.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { createSampleMessage } from "../../support/sample-message.ts";
import { type Peer, startPeer } from "../../support/smtp-peer.ts";
import { eventsWith, recipientsOf } from "./smtp-setup.ts";

let root = "";
let peer: Peer;
let delivery: Delivery | undefined;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "deliver-"));
  peer = await startPeer();
});
afterEach(async () => {
  delivery?.close();
  await peer.close();
  await rm(root, { recursive: true, force: true });
});

function create(options: Partial<DeliveryOptions> = {}): Delivery {
  delivery = createDelivery({
    localDomains: new Set(["example.test"]),
    smarthost: null,
    maildirRoot: join(root, "mail"),
    hostName: "mail.example.test",
    clock: systemClock,
    ...options,
  });
  return delivery;
}

function smarthost(): Smarthost {
  return { host: "127.0.0.1", port: peer.port, tls: "off" };
}

function sorted<Item extends { readonly index: number }>(items: readonly Item[]): Item[] {
  return [...items].sort((one, other) => one.index - other.index);
}

describe("createDelivery", () => {
  test("each recipient goes by its own way, and each gets an outcome", async () => {
    const message = createSampleMessage({ to: ["a@example.test", "b@far.example", "c@example.test", "d@far.example"] });
    const outcomes = await create({ smarthost: smarthost() }).deliver({
      message,
      attemptId: "1",
      recipients: recipientsOf(message),
    });
    expect(sorted(outcomes).map(({ index, kind, nextHop }) => `${index} ${kind} ${nextHop}`)).toEqual([
      "0 delivered maildir:a@example.test",
      `1 delivered 127.0.0.1:${peer.port}`,
      "2 delivered maildir:c@example.test",
      `3 delivered 127.0.0.1:${peer.port}`,
    ]);
    expect(await readdir(join(root, "mail", "example.test"))).toEqual(["a", "c"]);
    expect(peer.received.map(({ to }) => to)).toEqual([["b@far.example", "d@far.example"]]);
  });

  test("only the recipients of this attempt are served", async () => {
    const message = createSampleMessage({ to: ["a@example.test", "b@example.test"] });
    const outcomes = await create().deliver({ message, attemptId: "1", recipients: recipientsOf(message).slice(1) });
    expect(outcomes.map(({ index }) => index)).toEqual([1]);
    expect(await readdir(join(root, "mail", "example.test"))).toEqual(["b"]);
  });

  test("without a smarthost far mail is held, and local mail is not", async () => {
    const message = createSampleMessage({ to: ["a@example.test", "b@far.example"] });
    const outcomes = await create().deliver({ message, attemptId: "1", recipients: recipientsOf(message) });
    expect(sorted(outcomes)).toMatchObject([
      { kind: "delivered" },
      { kind: "held", reason: "no smarthost is configured" },
    ]);
  });

  test("reroute sends later mail the new way", async () => {
    const message = createSampleMessage({ to: ["b@far.example"] });
    const created = create();
    expect(await created.deliver({ message, attemptId: "1", recipients: recipientsOf(message) })).toMatchObject([
      { kind: "held" },
    ]);
    created.reroute({ localDomains: new Set(), smarthost: smarthost() });
    expect(await created.deliver({ message, attemptId: "2", recipients: recipientsOf(message) })).toMatchObject([
      { kind: "delivered" },
    ]);
    created.reroute({ localDomains: new Set(["far.example"]), smarthost: smarthost() });
    expect(await created.deliver({ message, attemptId: "3", recipients: recipientsOf(message) })).toMatchObject([
      { kind: "delivered", nextHop: "maildir:b@far.example" },
    ]);
  });

  test("a Maildir that cannot be written defers its recipient alone", async () => {
    const message = createSampleMessage({ to: ["a@example.test", "b@far.example"] });
    const outcomes = await create({ smarthost: smarthost(), maildirRoot: "/dev/null/mail" }).deliver({
      message,
      attemptId: "1",
      recipients: recipientsOf(message),
    });
    expect(sorted(outcomes)).toMatchObject([
      { kind: "deferred", reason: expect.stringContaining("cannot write to the Maildir") },
      { kind: "delivered" },
    ]);
  });

  test("reroute: the connections to a former smarthost end, the new TLS policies hold", async () => {
    const message = createSampleMessage({ to: ["b@far.example"] });
    const other = await startPeer();
    const created = create({ smarthost: smarthost() });
    const work = { message, attemptId: "1", recipients: recipientsOf(message) };
    await created.deliver(work);
    created.reroute({ localDomains: new Set(), smarthost: { ...smarthost(), port: other.port } });
    expect(await created.deliver(work)).toMatchObject([{ kind: "delivered" }]);
    await expect.poll(() => peer.open).toBe(0);
    expect(other.open).toBe(1);
    const tlsPolicies = [{ host: "127.0.0.1", policy: "required" as const }];
    created.reroute({ localDomains: new Set(), smarthost: { ...smarthost(), port: other.port }, tlsPolicies });
    expect(await created.deliver(work)).toMatchObject([
      { kind: "deferred", reason: expect.stringContaining("offers no TLS") },
    ]);
    created.close();
    await other.close();
  });

  test("the dispatcher is asked, with the attempt's id", async () => {
    const asked: string[] = [];
    const events = eventsWith({
      onMessageStart: ({ attemptId, session }) => void asked.push(`${attemptId} ${session.nextHop}`),
    });
    const message = createSampleMessage({ to: ["b@far.example"] });
    const created = create({ smarthost: smarthost(), events });
    await created.deliver({ message, attemptId: "seven", recipients: recipientsOf(message) });
    expect(asked).toEqual([`seven 127.0.0.1:${peer.port}`]);
  });

  test.each([
    { why: "local mail alone", to: ["a@example.test"], with: false, lane: "maildir" },
    { why: "any far recipient", to: ["a@example.test", "b@far.example"], with: true, lane: "smtp" },
    { why: "far mail that is held", to: ["b@far.example"], with: false, lane: "held" },
  ])("laneOf: $why waits in $lane", ({ to, with: withSmarthost, lane }) => {
    const created = create(withSmarthost ? { smarthost: smarthost() } : {});
    expect(created.laneOf(recipientsOf(createSampleMessage({ to })))).toBe(lane);
  });
});

describe("chooseNextHop", () => {
  const far: Smarthost = { host: "relay.example", port: 25, tls: "off" };
  test.each([
    { why: "a local domain", domain: "example.test", smarthost: far, hop: { kind: "maildir" } },
    {
      why: "a subdomain of a local one is not local",
      domain: "sub.example.test",
      smarthost: far,
      hop: { kind: "smtp", smarthost: far },
    },
    {
      why: "no smarthost",
      domain: "far.example",
      smarthost: null,
      hop: { kind: "held", reason: "no smarthost is configured" },
    },
  ])("$why", ({ domain, smarthost, hop }) => {
    expect(chooseNextHop({ localPart: "a", domain }, { localDomains: new Set(["example.test"]), smarthost })).toEqual(
      hop,
    );
  });

  test("formatSmarthost puts an IPv6 address in brackets", () => {
    expect(formatSmarthost({ ...far, host: "::1" })).toBe("[::1]:25");
  });
});

describe("tlsPolicyOf", () => {
  const rows: { why: string; tls?: Smarthost["tls"]; overrides: [string, TlsPolicy][]; policy: TlsPolicy }[] = [
    { why: "the smarthost's own", overrides: [], policy: "opportunistic" },
    { why: "required checks the certificate", tls: "required", overrides: [], policy: "verified" },
    { why: "off", tls: "off", overrides: [], policy: "off" },
    { why: "its name", overrides: [["MX.relay.example", "required"]], policy: "required" },
    { why: "another name", overrides: [["mx2.relay.example", "required"]], policy: "opportunistic" },
    { why: "every name below", overrides: [["*.relay.example", "verified"]], policy: "verified" },
    { why: "two levels below", overrides: [["*.example", "verified"]], policy: "verified" },
    { why: "a name is not below itself", overrides: [["*.mx.relay.example", "off"]], policy: "opportunistic" },
    { why: "the end of a label is no name", overrides: [["*.lay.example", "off"]], policy: "opportunistic" },
    {
      why: "the first that matches",
      overrides: [
        ["*.relay.example", "off"],
        ["mx.relay.example", "verified"],
      ],
      policy: "off",
    },
  ];
  test.each(rows)("$why: $policy", ({ tls = "opportunistic", overrides, policy }) => {
    const given = overrides.map(([host, policy]) => ({ host, policy }));
    expect(tlsPolicyOf({ host: "mx.relay.example", port: 25, tls }, given)).toBe(policy);
  });
});
