/** Where the client connects to, what it makes of certificates there, and when it leaves a host to ask another. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { drop } from "../../../src/events/verdict.ts";
import type { SmtpClient, SmtpClientOptions } from "../../../src/outbound/smtp.ts";
import { type TlsHeard, tlsResultOf } from "../../../src/outbound/smtp-certificate.ts";
import { createSampleMessage } from "../../support/sample-message.ts";
import { type Answer, agree } from "../../support/smtp-peer.ts";
import { authority, expired, good, wrong } from "./certificates.ts";
import { clientFor, deferred, eventsWith, recipientsOf, scripted } from "./smtp-setup.ts";

function attempt(client: SmtpClient, { signal, heard = [] }: { signal?: AbortSignal; heard?: TlsHeard[] } = {}) {
  const message = createSampleMessage({ to: ["a@x.example", "b@x.example"] });
  const onTls = (told: TlsHeard) => heard.push(told);
  return client.attempt({ message, recipients: recipientsOf(message), attemptId: "A1", signal, onTls });
}

describe("SmtpClient: where it connects", () => {
  test("LMTP over a socket of this machine", async () => {
    const folder = await mkdtemp(join(tmpdir(), "lmtp-"));
    const socket = join(folder, "lmtp");
    const peer = await scripted(
      (line) => (line === "." ? "250 one\r\n250 two" : agree(line.replace(/^LHLO/, "EHLO"))),
      {
        path: socket,
      },
    );
    const client = clientFor(0, { host: "localhost", socket, protocol: "lmtp" });
    const tried = await attempt(client);
    expect(tried.map(({ outcome }) => [outcome.kind, outcome.nextHop, outcome.reply?.text])).toEqual([
      ["delivered", `lmtp:${socket}`, "one"],
      ["delivered", `lmtp:${socket}`, "two"],
    ]);
    expect(peer.lines[0]).toBe("LHLO mail.example.test");
    await peer.close();
    await rm(folder, { recursive: true });
    const gone = clientFor(0, { host: "localhost", socket, protocol: "lmtp" });
    expect((await attempt(gone))[0]).toMatchObject({
      elsewhere: true,
      outcome: { kind: "deferred", reason: expect.stringContaining(socket), destinationDown: true },
    });
  });

  test("by address: TLS goes by the host's name", async () => {
    const peer = await scripted(withTls(good));
    const client = clientFor(peer.port, { host: "localhost" }, { address: "127.0.0.1", ...verified });
    expect((await attempt(client))[0]).toMatchObject({
      outcome: { kind: "delivered", nextHop: `localhost:${peer.port}` },
    });
    const other = clientFor(peer.port, { host: "mx.example.org" }, { address: "127.0.0.1", ...verified });
    expect((await attempt(other))[0]).toMatchObject({
      elsewhere: true,
      outcome: { kind: "deferred", status: "4.7.5", nextHop: `mx.example.org:${peer.port}` },
    });
  });
});

const verified: Partial<SmtpClientOptions> = { tlsPolicy: "verified", certificateAuthorities: authority };

function withTls(certificate: typeof good): Answer {
  return (line, { startTls, secure }) => {
    if (line !== "STARTTLS") return agree(line, secure ? [] : ["STARTTLS"]);
    setImmediate(() => startTls(certificate));
    return "220 go on";
  };
}

describe("SmtpClient: certificates", () => {
  test("a chain that proves the host is enough, whoever signed it; one that does not is not", async () => {
    for (const [certificate, proven] of [
      [wrong, true],
      [expired, true],
      [good, false],
    ] as const) {
      const peer = await scripted(withTls(certificate));
      const chains: (readonly Buffer[])[] = [];
      const proves = (chain: readonly Buffer[]) => {
        chains.push(chain);
        return proven;
      };
      const heard: TlsHeard[] = [];
      const client = clientFor(peer.port, { host: "localhost" }, { ...verified, proves });
      const [first] = await attempt(client, { heard });
      expect(chains[0]![0]!.toString("base64")).toBe(certificate.cert.replace(/-----[^-]*-----|\s/g, ""));
      expect(first!.outcome).toMatchObject(
        proven
          ? { kind: "delivered" }
          : { kind: "deferred", reason: expect.stringContaining("matches no TLSA record") },
      );
      expect(heard).toEqual([
        proven ? { encrypted: true, result: "success" } : { encrypted: false, result: "validation-failure" },
      ]);
      if (!proven) expect(peer.lines.some((line) => line.startsWith("MAIL"))).toBe(false);
    }
  });

  test("nobody is asked to prove anything where any certificate will do", async () => {
    const peer = await scripted(withTls(wrong));
    const proves = () => expect.unreachable();
    const client = clientFor(peer.port, { host: "localhost" }, { ...verified, tlsPolicy: "required", proves });
    expect((await attempt(client))[0]!.outcome.kind).toBe("delivered");
  });

  test.each([
    { why: "a good one", certificate: good, result: "success" },
    { why: "another name's", certificate: wrong, result: "certificate-host-mismatch" },
    { why: "an expired one", certificate: expired, result: "certificate-expired" },
    { why: "an unknown authority's", certificate: good, trusted: undefined, result: "certificate-not-trusted" },
  ] as const)(
    "tells what the certificate is worth, asked for or not: $why",
    async ({ certificate, result, ...rest }) => {
      const peer = await scripted(withTls(certificate));
      const trust = "trusted" in rest ? {} : { certificateAuthorities: authority };
      for (const tlsPolicy of ["opportunistic", "verified"] as const) {
        const heard: TlsHeard[] = [];
        await attempt(clientFor(peer.port, { host: "localhost" }, { ...trust, tlsPolicy }), { heard });
        expect(heard).toEqual([{ encrypted: result === "success" || tlsPolicy === "opportunistic", result }]);
      }
    },
  );

  test.each([
    { why: "not offered", extensions: [], answer: "250 fine" },
    { why: "refused", extensions: ["STARTTLS"], answer: "454 4.7.0 not now" },
  ])("tells where STARTTLS is $why", async ({ extensions, answer }) => {
    const peer = await scripted((line) => (line === "STARTTLS" ? answer : agree(line, extensions)));
    for (const tlsPolicy of ["opportunistic", "required"] as const) {
      const heard: TlsHeard[] = [];
      await attempt(clientFor(peer.port, { host: "localhost" }, { tlsPolicy }), { heard });
      expect(heard).toEqual([{ encrypted: false, result: "starttls-not-supported" }]);
    }
  });

  test("tells nothing of a connection that is used again", async () => {
    const peer = await scripted(withTls(good));
    const client = clientFor(peer.port, { host: "localhost" }, verified);
    const heard: TlsHeard[] = [];
    await attempt(client, { heard });
    await attempt(client, { heard });
    expect(heard).toHaveLength(1);
  });

  test("tlsResultOf finds the code at the bottom of causes, and has a word for what it does not know", () => {
    const coded = Object.assign(new Error("x"), { code: "CERT_HAS_EXPIRED" });
    expect(tlsResultOf(new Error("y", { cause: new Error("z", { cause: coded }) }))).toBe("certificate-expired");
    expect(tlsResultOf(new Error("y"))).toBe("validation-failure");
    expect(tlsResultOf("SELF_SIGNED_CERT_IN_CHAIN")).toBe("certificate-not-trusted");
  });
});

describe("SmtpClient.attempt: whether another host may be asked", () => {
  const rows: [why: string, at: RegExp, reply: string, kind: string, elsewhere: boolean][] = [
    ["a greeting of 4yz", /^$/, "421 4.3.2 busy", "deferred", true],
    ["a greeting of 5yz", /^$/, "554 5.7.1 no", "deferred", true],
    ["EHLO refused for now", /^(EHLO|HELO)/, "451 4.3.0 no", "deferred", true],
    ["EHLO and HELO refused", /^(EHLO|HELO)/, "550 5.7.1 no", "deferred", true],
    ["MAIL refused for now", /^MAIL/, "451 4.3.0 later", "deferred", true],
    ["MAIL with 421", /^MAIL/, "421 4.3.2 later", "deferred", true],
    ["MAIL refused for good", /^MAIL/, "550 5.7.1 not you", "failed", false],
    ["RCPT refused for now", /^RCPT/, "451 4.7.1 greylisted", "deferred", false],
    ["RCPT refused for good", /^RCPT/, "550 5.1.1 nobody", "failed", false],
    ["DATA refused for now", /^DATA/, "451 4.3.0 later", "deferred", false],
    ["the end of data refused for now", /^\.$/, "451 4.3.0 later", "deferred", false],
    ["taken", /^x/, "", "delivered", false],
  ];
  test.each(rows)("%s", async (_why, at, reply, kind, elsewhere) => {
    for (const extensions of [[], ["PIPELINING"]]) {
      const peer = await scripted((line) => (at.test(line) ? reply : agree(line, extensions)));
      const tried = await attempt(clientFor(peer.port));
      expect(tried.map((each) => [each.outcome.kind, each.elsewhere])).toEqual([
        [kind, elsewhere],
        [kind, elsewhere],
      ]);
    }
  });

  const lost: [why: string, at: RegExp, elsewhere: boolean][] = [
    ["at the connection", /^$/, true],
    ["at EHLO", /^EHLO/, true],
    ["at MAIL", /^MAIL/, true],
    ["at RCPT", /^RCPT/, true],
    ["at DATA", /^DATA/, true],
    ["behind the message, which may have arrived", /^\.$/, false],
  ];
  test.each(lost)("gone without a word %s", async (_why, at, elsewhere) => {
    const peer = await scripted((line, { socket }) => {
      if (!at.test(line)) return agree(line);
      socket.destroy();
      return undefined;
    });
    const tried = await attempt(clientFor(peer.port));
    expect(tried.map((each) => [each.outcome.kind, each.elsewhere])).toEqual([
      ["deferred", elsewhere],
      ["deferred", elsewhere],
    ]);
  });

  test("what a sink did not want is no reason to ask another", async () => {
    const peer = await scripted((line) => agree(line));
    const events = eventsWith({ onSessionStart: () => drop("not today") });
    const [first] = await attempt(clientFor(peer.port, {}, { events }));
    expect(first).toMatchObject({ elsewhere: false, outcome: { kind: "deferred" } });
    expect(first!.outcome.destinationDown).toBeUndefined();
  });

  test("REQUIRETLS that is not to be had: failed, and another may have it", async () => {
    const peer = await scripted((line) => agree(line));
    const message = createSampleMessage({ options: { requireTls: true } });
    const recipients = recipientsOf(message);
    const [first] = await clientFor(peer.port).attempt({ message, recipients, attemptId: "A1" });
    expect(first).toMatchObject({ elsewhere: true, outcome: { kind: "failed", status: "5.7.30" } });
  });
});

describe("SmtpClient.attempt: the signal", () => {
  test("ends what is under way; who has no answer is deferred", async () => {
    const ending = new AbortController();
    const atDot = deferred();
    const peer = await scripted((line) => {
      if (line !== ".") return agree(line);
      atDot.resolve();
      return undefined;
    });
    const tried = attempt(clientFor(peer.port), { signal: ending.signal });
    await atDot.promise;
    ending.abort();
    expect(await tried).toMatchObject([
      { elsewhere: false, outcome: { kind: "deferred", reason: "the attempt's time is over" } },
      { elsewhere: false, outcome: { kind: "deferred" } },
    ]);
  });

  test("ends the wait for a connection, and what comes all the same is for others", async () => {
    const ending = new AbortController();
    const connected = deferred();
    let greet = () => {};
    const peer = await scripted((line, { write }) => {
      if (line !== "") return agree(line);
      greet = () => write("220 peer.example\r\n");
      connected.resolve();
      return undefined;
    });
    const client = clientFor(peer.port, {}, { limits: { connectionsMax: 1 } });
    const tried = attempt(client, { signal: ending.signal });
    await connected.promise;
    ending.abort();
    expect(await tried).toMatchObject([{ outcome: { kind: "deferred", reason: "the attempt's time is over" } }, {}]);
    expect(client.quiet).toBe(false);
    greet();
    const [next] = await attempt(client);
    expect(next!.outcome.kind).toBe("delivered");
    expect(peer.connections).toBe(1);
  });

  test("that fired before: no connection is used", async () => {
    const peer = await scripted((line) => agree(line));
    const tried = await attempt(clientFor(peer.port), { signal: AbortSignal.abort() });
    expect(tried).toMatchObject([{ outcome: { kind: "deferred" } }, { outcome: { kind: "deferred" } }]);
    expect(peer.lines.some((line) => line.startsWith("MAIL"))).toBe(false);
  });
});
