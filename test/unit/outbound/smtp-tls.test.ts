import { describe, expect, test } from "vitest";
import type { TlsPolicy } from "../../../src/events/subject-outbound.ts";
import type { Smarthost } from "../../../src/outbound/next-hop.ts";
import { createSampleMessage } from "../../support/sample-message.ts";
import { agree, startPeer } from "../../support/smtp-peer.ts";
import { authority, expired, good, wrong } from "./certificates.ts";
import { clientFor, recipientsOf, scripted } from "./smtp-setup.ts";

type Certificate = typeof good;

async function attempt({
  certificate,
  policy,
  smarthost = {},
  data,
}: {
  readonly certificate: Certificate | null;
  readonly policy: TlsPolicy;
  readonly smarthost?: Partial<Smarthost>;
  readonly data?: string;
}) {
  const said: string[] = [];
  const peer = await scripted((line, { startTls, secure }) => {
    if (line !== "") said.push(`${secure ? "secure" : "clear"} ${line.split(/[ :]/)[0]}`);
    if (line.startsWith("AUTH")) return "235 2.7.0 in";
    if (line !== "STARTTLS") return agree(line, [...(secure || !certificate ? [] : ["STARTTLS"]), "AUTH PLAIN"]);
    setImmediate(() => startTls(certificate!));
    return "220 go on";
  });
  const client = clientFor(
    peer.port,
    { host: "localhost", tls: "opportunistic", ...smarthost },
    { tlsPolicy: policy, certificateAuthorities: authority },
  );
  const message = createSampleMessage(data === undefined ? {} : { data });
  const [outcome] = await client.deliver(message, recipientsOf(message));
  return { outcome: outcome!, said, way: said.find((line) => line.endsWith("MAIL"))?.split(" ")[0] ?? "not sent" };
}

describe("TLS policies", () => {
  const rows: [policy: TlsPolicy, certificate: Certificate | null, why: string, way: string][] = [
    ["off", good, "a good certificate", "clear"],
    ["opportunistic", good, "a good certificate", "secure"],
    ["opportunistic", wrong, "another name's", "secure"],
    ["opportunistic", expired, "an expired one", "secure"],
    ["opportunistic", null, "no TLS", "clear"],
    ["required", good, "a good certificate", "secure"],
    ["required", wrong, "another name's", "secure"],
    ["required", expired, "an expired one", "secure"],
    ["required", null, "no TLS", "not sent"],
    ["verified", good, "a good certificate", "secure"],
    ["verified", wrong, "another name's", "not sent"],
    ["verified", expired, "an expired one", "not sent"],
    ["verified", null, "no TLS", "not sent"],
  ];
  test.each(rows)("%s, %o: %s goes %s", async (policy, certificate, _why, way) => {
    const { way: gone, outcome } = await attempt({ policy, certificate });
    expect(gone).toBe(way);
    expect(outcome.kind).toBe(way === "not sent" ? "deferred" : "delivered");
  });

  test("STARTTLS that is refused: opportunistic goes on in the clear on the same connection", async () => {
    const peer = await scripted((line) => (line === "STARTTLS" ? "454 4.7.0 not now" : agree(line, ["STARTTLS"])));
    const message = createSampleMessage();
    const client = clientFor(peer.port, { tls: "opportunistic" });
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
    expect(peer.connections).toBe(1);
  });
});

describe("the password", () => {
  const user = { user: "ann", password: "secret" };
  test.each([
    { why: "a policy of off does not take it out into the clear", policy: "off", tls: "opportunistic", sent: false },
    { why: "off said by the smarthost itself does", policy: "off", tls: "off", sent: true },
    { why: "opportunistic without TLS does not", policy: "opportunistic", tls: "opportunistic", sent: false },
  ] as const)("$why", async ({ policy, tls, sent }) => {
    const { said, outcome } = await attempt({ policy, certificate: null, smarthost: { ...user, tls } });
    expect(said.includes("clear AUTH")).toBe(sent);
    expect(outcome.kind).toBe(sent ? "delivered" : "deferred");
    if (!sent) expect(outcome.reason).toContain("the password is not sent in the clear");
  });
});

test("a handshake that fails with a password at stake is not followed by an attempt in the clear", async () => {
  const peer = await scripted((line, { socket }) => {
    if (line !== "STARTTLS") return agree(line, ["STARTTLS", "AUTH PLAIN"]);
    socket.removeAllListeners("data").once("data", () => socket.destroy());
    return "220 go on";
  });
  const client = clientFor(peer.port, { tls: "opportunistic", user: "ann", password: "secret" });
  const message = createSampleMessage();
  expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "deferred" }]);
  expect(peer.connections).toBe(1);
});

describe("TLS-Required: no", () => {
  const data = "Subject: x\r\nTLS-Required: No\r\n\r\nx\r\n";
  const user = { user: "ann", password: "secret" };
  test.each([
    { why: "goes on without the TLS a policy asks for", policy: "verified", certificate: null, way: "clear" },
    { why: "takes TLS where it is offered, whoever signed it", policy: "verified", certificate: wrong, way: "secure" },
    { why: "goes on without any TLS", policy: "required", certificate: null, way: "clear" },
    { why: "risks no password", policy: "verified", certificate: null, smarthost: user, way: "not sent" },
    {
      why: "another value means nothing",
      policy: "verified",
      certificate: null,
      data: data.replace("No", "Yes"),
      way: "not sent",
    },
  ] as const)("$why", async ({ way, ...rest }) => {
    expect((await attempt({ data, ...rest })).way).toBe(way);
  });
});

test("implicit TLS: the certificate is checked, but for opportunistic", async () => {
  for (const [tls, certificate, kind] of [
    ["required", good, "delivered"],
    ["required", wrong, "deferred"],
    ["off", wrong, "deferred"],
    ["opportunistic", wrong, "delivered"],
  ] as const) {
    const peer = await startPeer({ secure: true, ...certificate });
    const client = clientFor(
      peer.port,
      { host: "localhost", tls, implicitTls: true },
      { certificateAuthorities: authority },
    );
    const message = createSampleMessage();
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind }]);
    client.close();
    await peer.close();
  }
});

test("a host of several addresses, none of which answers: the reason says why", async () => {
  const peer = await startPeer();
  const { port } = peer;
  await peer.close();
  const message = createSampleMessage();
  const [outcome] = await clientFor(port, { host: "localhost" }).deliver(message, recipientsOf(message));
  expect(outcome).toMatchObject({ kind: "deferred", reason: expect.stringContaining("ECONNREFUSED") });
});
