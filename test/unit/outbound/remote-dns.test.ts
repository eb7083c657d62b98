/** The whole way of mail for a domain: DNS, what TLS its hosts have to have, and the hosts themselves. */
import { afterEach, expect, test } from "vitest";
import type { EnvelopeOptions } from "../../../src/mail/envelope.ts";
import { HopResolver } from "../../../src/outbound/hop-targets.ts";
import type { StsAnswer } from "../../../src/outbound/mta-sts.ts";
import { createRemote, type Remote } from "../../../src/outbound/remote.ts";
import { TlsRequirements } from "../../../src/outbound/tls-requirement.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { createFakeResolver, type FakeRecords } from "../../support/fake-resolver.ts";
import { createSampleMessage } from "../../support/sample-message.ts";
import { type Answer, agree } from "../../support/smtp-peer.ts";
import { authority, good, wrong } from "./certificates.ts";
import { eventsWith, recipientsOf, scripted } from "./smtp-setup.ts";

let remote: Remote | undefined;
afterEach(() => remote?.close());

function deliver(
  mxPort: number,
  records: FakeRecords,
  sts: StsAnswer = { kind: "none" },
  options: EnvelopeOptions = {},
) {
  const resolver = createFakeResolver(records, systemClock);
  const recorded: string[] = [];
  remote = createRemote({
    settings: { smarthost: null, tlsPolicies: [] },
    hostName: "mail.example.test",
    clock: systemClock,
    certificateAuthorities: authority,
    hops: new HopResolver({
      resolver,
      events: eventsWith({}),
      settings: () => ({ mxPort, addresses: "ipv4", privateAddresses: true, isOurselves: () => false }),
    }),
    tls: new TlsRequirements({
      resolver,
      settings: () => ({ overrides: [], mtaSts: true, dane: true }),
      sts: { policyOf: async () => sts, close: async () => {} },
      counts: {
        record: ({ host, policy, result }) => {
          recorded.push(`${host} ${policy} ${result}`);
        },
        report: () => ({ rows: [], totals: [] }),
        close: async () => {},
      },
    }),
  });
  const message = createSampleMessage({ to: ["grace@example.org"], options });
  const work = { message, recipients: recipientsOf(message), attemptId: "A1" };
  return remote
    .deliver({ hop: { kind: "mx", domain: "example.org" }, ...work })
    .then(([outcome]) => ({ outcome: outcome!, recorded }));
}

function withTls(certificate: typeof good): Answer {
  return (line, { startTls, secure }) => {
    if (line !== "STARTTLS") return agree(line, secure ? [] : ["STARTTLS"]);
    setImmediate(() => startTls(certificate));
    return "220 go on";
  };
}

const mx = {
  "example.org": [
    { preference: 20, host: "localhost" },
    { preference: 10, host: "mx1.example" },
  ],
};
const a = { "mx1.example": ["127.0.0.2"], localhost: ["127.0.0.3"] };

function derOf({ cert }: { readonly cert: string }): Buffer {
  return Buffer.from(cert.replace(/-----[^-]*-----|\s/g, ""), "base64");
}

test("the best exchanger does not answer: the next one takes the mail", async () => {
  const peer = await scripted(withTls(wrong), { host: "127.0.0.3" });
  const { outcome, recorded } = await deliver(peer.port, { mx, a });
  expect(outcome).toMatchObject({ kind: "delivered", nextHop: `localhost:${peer.port}` });
  expect(recorded).toEqual(["localhost default success"]);
});

test("a domain that takes no mail fails at once", async () => {
  const { outcome } = await deliver(25, { mx: { "example.org": [{ preference: 0, host: "" }] } });
  expect(outcome).toMatchObject({ kind: "failed", status: "5.1.10", nextHop: "mx:example.org" });
});

test("no name server answers: deferred, and the destination is down", async () => {
  const { outcome } = await deliver(25, { failing: ["example.org"] });
  expect(outcome).toMatchObject({ kind: "deferred", status: "4.4.3", destinationDown: true });
});

test.each([
  { why: "the certificate is the record's", data: derOf(wrong), kind: "delivered", result: "success" },
  { why: "it is another", data: derOf(good), kind: "deferred", result: "validation-failure" },
])("DANE: $why", async ({ data, kind, result }) => {
  const peer = await scripted(withTls(wrong), { host: "127.0.0.3" });
  const records: FakeRecords = {
    mx: { "example.org": [{ preference: 10, host: "localhost" }] },
    a,
    tlsa: { [`_${peer.port}._tcp.localhost`]: [{ usage: 3, selector: 0, matchingType: 0, data }] },
    authentic: true,
  };
  const { outcome, recorded } = await deliver(peer.port, records);
  expect(outcome.kind).toBe(kind);
  expect(recorded).toEqual([`localhost dane ${result}`]);
});

test("MTA-STS: a host that the policy does not name gets nothing, one that it names has to prove its name", async () => {
  const unnamed = await scripted(withTls(good), { host: "127.0.0.2" });
  const named = await scripted(withTls(good), { host: "127.0.0.3", port: unnamed.port });
  const policy = { mode: "enforce", mx: ["localhost"], maxAgeSeconds: 86_400 } as const;
  const { outcome, recorded } = await deliver(unnamed.port, { mx, a }, { kind: "policy", policy });
  expect(outcome).toMatchObject({ kind: "delivered", nextHop: `localhost:${named.port}` });
  expect(unnamed.connections).toBe(0);
  expect(recorded).toEqual(["mx1.example mta-sts validation-failure", "localhost mta-sts success"]);
});

const enforced = { kind: "policy", policy: { mode: "enforce", mx: ["localhost"], maxAgeSeconds: 86_400 } } as const;

// A certificate that is good for the host says nothing of whose host it is. RFC 8689 §4.2.1.
test.each<[why: string, authentic: readonly string[], sts: StsAnswer, outcome: object]>([
  ["DNS alone names the host", [], { kind: "none" }, { kind: "failed", status: "5.7.30" }],
  ["signed records name it", ["example.org"], { kind: "none" }, { kind: "delivered" }],
  ["the domain's policy names it", [], enforced, { kind: "delivered" }],
])("REQUIRETLS, and %s", async (_why, authentic, sts, outcome) => {
  const peer = await scripted(
    (line, state) =>
      state.secure && line.startsWith("EHLO") ? agree(line, ["REQUIRETLS"]) : withTls(good)(line, state),
    { host: "127.0.0.3" },
  );
  const records: FakeRecords = { mx: { "example.org": [{ preference: 10, host: "localhost" }] }, a, authentic };
  const { outcome: found } = await deliver(peer.port, records, sts, { requireTls: true });
  expect(found).toMatchObject(outcome);
  expect(peer.connections).toBe(found.kind === "delivered" ? 1 : 0);
});
