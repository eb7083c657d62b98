import { afterEach, describe, expect, test } from "vitest";
import { inlineBody } from "../../../src/mail/message.ts";
import type { Smarthost } from "../../../src/outbound/next-hop.ts";
import { SmtpClient, type SmtpClientOptions } from "../../../src/outbound/smtp.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import type { StoredRecipient } from "../../../src/spool/spool.ts";
import { createSampleMessage, readMessage } from "../../support/sample-message.ts";
import { agree, startPeer, startScriptedPeer } from "../../support/smtp-peer.ts";

const closers: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function peerWith(...args: Parameters<typeof startPeer>) {
  const peer = await startPeer(...args);
  closers.push(() => peer.close());
  return peer;
}

async function scripted(...args: Parameters<typeof startScriptedPeer>) {
  const peer = await startScriptedPeer(...args);
  closers.push(() => peer.close());
  return peer;
}

function clientFor(port: number, smarthost: Partial<Smarthost> = {}, options: Partial<SmtpClientOptions> = {}) {
  const client = new SmtpClient({
    smarthost: { host: "127.0.0.1", port, tls: "off", ...smarthost },
    hostName: "mail.example.test",
    clock: systemClock,
    ...options,
  });
  closers.push(() => client.close());
  return client;
}

function recipientsOf(message: ReturnType<typeof createSampleMessage>): StoredRecipient[] {
  return message.envelope.recipients.map(({ mailbox }, index) => ({
    index,
    mailbox,
    state: "queued",
    attempts: 0,
    nextAttemptAt: 0,
    lastOutcome: "",
  }));
}

describe("SmtpClient.deliver: what arrives", () => {
  const data: { why: string; data: string | Buffer }[] = [
    { why: "dots at line starts", data: "Subject: x\r\n\r\n.\r\n..\r\n.a\r\n...\r\nend\r\n" },
    { why: "a header and nothing else", data: "Subject: x\r\n" },
    { why: "an empty body", data: "Subject: x\r\n\r\n" },
    { why: "no header", data: "\r\nbody\r\n" },
    { why: "empty lines at the end", data: "Subject: x\r\n\r\nbody\r\n\r\n\r\n" },
    { why: "eight-bit octets", data: Buffer.from("Subject: x\r\n\r\n\x80\xff\xfe\r\n", "latin1") },
    { why: "a body of many chunks, each line a dot", data: `Subject: x\r\n\r\n${".\r\n".repeat(100_000)}` },
  ];
  test.each(data)("the message arrives octet by octet as it was: $why", async ({ data }) => {
    const peer = await peerWith();
    const message = createSampleMessage({ data });
    const outcomes = await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(outcomes).toMatchObject([
      { index: 0, kind: "delivered", nextHop: `127.0.0.1:${peer.port}`, reply: { code: 250 } },
    ]);
    expect(peer.received[0]!.data.equals(await readMessage(message))).toBe(true);
  });

  test("a body in pieces cut anywhere arrives as it was", async () => {
    const peer = await peerWith();
    const octets = Buffer.from("one\r\n.two\r\n..\r\n\r\n.\r\nlast\r\n");
    const body = {
      ...inlineBody(octets),
      inline: undefined,
      async *chunks() {
        for (const octet of octets) yield Buffer.from([octet]);
      },
    };
    const message = createSampleMessage({ data: "Subject: x\r\n\r\n", body });
    await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(peer.received[0]!.data.toString()).toBe(`Subject: x\r\n\r\n${octets.toString()}`);
  });

  test("the envelope is the message's, the null reverse-path included, a mailbox that is there twice once", async () => {
    const peer = await scripted((line) => agree(line));
    const message = createSampleMessage({ from: null, to: ["a@x.example", '"b c"@x.example', "a@x.example"] });
    const outcomes = await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(outcomes.map(({ kind }) => kind)).toEqual(["delivered", "delivered", "delivered"]);
    expect(peer.lines.filter((line) => /^(MAIL|RCPT)/.test(line))).toEqual([
      "MAIL FROM:<>",
      "RCPT TO:<a@x.example>",
      'RCPT TO:<"b c"@x.example>',
    ]);
  });

  test("more than 100 recipients go in several transactions", async () => {
    const peer = await peerWith();
    const message = createSampleMessage({ to: Array.from({ length: 201 }, (_, place) => `r${place}@x.example`) });
    const outcomes = await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(outcomes.map(({ index, kind }) => `${index} ${kind}`)).toEqual(
      Array.from({ length: 201 }, (_, place) => `${place} delivered`),
    );
    expect(peer.received.map(({ to }) => to.length)).toEqual([100, 100, 1]);
  });
});

describe("SmtpClient.deliver: what the peer says", () => {
  const answers: { why: string; at: RegExp; reply: string; kind: string; pipelining?: boolean }[] = [
    { why: "MAIL refused for good", at: /^MAIL/, reply: "550 5.7.1 not you", kind: "failed" },
    {
      why: "MAIL refused for good, pipelined",
      at: /^MAIL/,
      reply: "550 5.7.1 not you",
      kind: "failed",
      pipelining: true,
    },
    { why: "MAIL refused for now", at: /^MAIL/, reply: "451 4.3.0 later", kind: "deferred" },
    {
      why: "MAIL asks for credentials: the operator's affair",
      at: /^MAIL/,
      reply: "530 5.7.0 log in first",
      kind: "deferred",
    },
    { why: "RCPT refused for good", at: /^RCPT/, reply: "550 5.1.1 nobody", kind: "failed" },
    {
      why: "RCPT refused for good, pipelined",
      at: /^RCPT/,
      reply: "550 5.1.1 nobody",
      kind: "failed",
      pipelining: true,
    },
    { why: "RCPT refused for now", at: /^RCPT/, reply: "450 4.2.1 greylisted", kind: "deferred" },
    {
      why: "RCPT says too many recipients in the old way",
      at: /^RCPT/,
      reply: "552 too many recipients",
      kind: "deferred",
    },
    { why: "RCPT says the mailbox is full", at: /^RCPT/, reply: "552 5.2.2 full", kind: "failed" },
    { why: "DATA refused for good", at: /^DATA$/, reply: "554 5.7.1 no", kind: "failed" },
    { why: "DATA refused for now", at: /^DATA$/, reply: "451 4.3.0 later", kind: "deferred" },
    { why: "the message refused for good", at: /^\.$/, reply: "554 5.6.0 spam", kind: "failed" },
    {
      why: "the message refused for good in several lines",
      at: /^\.$/,
      reply: "554-5.6.0 spam\r\n554 5.6.0 really",
      kind: "failed",
    },
    { why: "the message refused for now", at: /^\.$/, reply: "452 4.3.1 full", kind: "deferred" },
    { why: "bad sequence says nothing of the message", at: /^\.$/, reply: "503 5.5.1 what", kind: "deferred" },
    { why: "421 at the end", at: /^\.$/, reply: "421 4.3.2 closing", kind: "deferred" },
    {
      why: "a refusal of the session is not one of the message",
      at: /^$/,
      reply: "554 5.7.1 go away",
      kind: "deferred",
    },
    { why: "a reply that is none", at: /^\.$/, reply: "banana", kind: "deferred" },
  ];
  test.each(answers)("$why: $kind", async ({ at, reply, kind, pipelining }) => {
    const peer = await scripted((line) => (at.test(line) ? reply : agree(line, pipelining ? ["PIPELINING"] : [])));
    const message = createSampleMessage();
    const [outcome] = await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(outcome!.kind).toBe(kind);
    if (reply !== "banana") expect(outcome!.reply).toMatchObject({ code: Number(reply.slice(0, 3)) });
  });

  test("each recipient gets its own outcome", async () => {
    const refusals: Record<string, string> = { "b@x.example": "550 5.1.1 nobody", "c@x.example": "451 4.2.0 later" };
    const peer = await scripted((line) => refusals[/^RCPT TO:<(.*)>/.exec(line)?.[1] ?? ""] ?? agree(line));
    const message = createSampleMessage({ to: ["a@x.example", "b@x.example", "c@x.example"] });
    const outcomes = await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(outcomes.map(({ kind, reply }) => `${kind} ${reply?.code} ${reply?.status}`)).toEqual([
      "delivered 250 2.0.0",
      "failed 550 5.1.1",
      "deferred 451 4.2.0",
    ]);
  });

  test("a recipient refused for good stays so when the message is deferred for the others", async () => {
    const peer = await scripted((line) =>
      line.includes("b@x.example") ? "550 5.1.1 nobody" : line === "." ? "451 4.3.0 later" : agree(line),
    );
    const message = createSampleMessage({ to: ["a@x.example", "b@x.example"] });
    const outcomes = await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(outcomes.map(({ kind, reply }) => `${kind} ${reply?.code}`)).toEqual(["deferred 451", "failed 550"]);
  });

  test("a 5yz to MAIL is not remembered: the next message is tried", async () => {
    let refusals = 1;
    const peer = await scripted((line) =>
      line.startsWith("MAIL") && refusals-- > 0 ? "550 5.7.1 not this one" : agree(line),
    );
    const client = clientFor(peer.port);
    const one = createSampleMessage();
    const other = createSampleMessage();
    expect((await client.deliver(one, recipientsOf(one)))[0]!.kind).toBe("failed");
    expect((await client.deliver(other, recipientsOf(other)))[0]!.kind).toBe("delivered");
    expect(peer.connections).toBe(1);
  });

  test("a lost reply after the final dot is tried again", async () => {
    const peer = await scripted((line, { socket }) => {
      if (line !== ".") return agree(line);
      socket.destroy();
      return undefined;
    });
    const message = createSampleMessage();
    const outcomes = await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(outcomes).toMatchObject([{ kind: "deferred", reply: null }]);
  });
});

describe("SmtpClient.deliver: peers that misbehave", () => {
  test.each([
    { why: "silence at the greeting", at: /^$/ },
    { why: "silence at EHLO", at: /^EHLO/ },
    { why: "silence at MAIL", at: /^MAIL/ },
    { why: "silence after the final dot", at: /^\.$/ },
  ])("$why ends in a deferral", async ({ at }) => {
    const peer = await scripted((line) => (at.test(line) ? undefined : agree(line)));
    const message = createSampleMessage();
    const client = clientFor(peer.port, {}, { limits: { replyMsMax: 200, endOfDataMsMax: 200 } });
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "deferred", reply: null }]);
  });

  test("a reply that never ends is cut off", async () => {
    const peer = await scripted((line) =>
      line.startsWith("EHLO") ? Array.from({ length: 5_000 }, () => "250-endless words").join("\r\n") : agree(line),
    );
    const message = createSampleMessage();
    const client = clientFor(peer.port, {}, { limits: { replyOctetsMax: 10_000 } });
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([
      { kind: "deferred", reason: expect.stringContaining("exceeds") },
    ]);
  });

  test("a transaction that drips along ends at its deadline", async () => {
    const peer = await scripted((line, { socket }) => {
      if (line !== ".") return agree(line);
      const timer = setInterval(() => socket.write("250-drip\r\n"), 20);
      socket.on("close", () => clearInterval(timer));
      return undefined;
    });
    const message = createSampleMessage();
    const client = clientFor(peer.port, {}, { limits: { transactionMsMax: 150, octetsPerSecondMin: 1_000_000 } });
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([
      { kind: "deferred", reason: expect.stringContaining("not done within") },
    ]);
  });

  test("nobody listens: deferred, and the next one is not tried for a while", async () => {
    const peer = await startPeer();
    const { port } = peer;
    await peer.close();
    const client = clientFor(port, {}, { limits: { downMs: 60_000 } });
    const message = createSampleMessage();
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([
      { kind: "deferred", reason: expect.stringContaining(`Cannot talk to 127.0.0.1:${port}`) },
    ]);
    const late = await scripted((line) => agree(line));
    expect(late.port).not.toBe(port);
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "deferred" }]);
  });

  test("control characters in a reply do not reach the log", async () => {
    const peer = await scripted((line) => (line === "." ? "550 5.7.1 \u001b[31mred\u0007" : agree(line)));
    const message = createSampleMessage();
    const [outcome] = await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(outcome!.reply!.text).toBe("[31mred");
  });

  test("a body that cannot be read defers, and the connection is not used again", async () => {
    const peer = await scripted((line) => agree(line));
    const client = clientFor(peer.port);
    const broken = createSampleMessage({
      body: {
        ...inlineBody(Buffer.from("x\r\n")),
        inline: undefined,
        // biome-ignore lint/correctness/useYield: it fails before it has anything
        async *chunks() {
          throw new Error("the disk is gone");
        },
      },
    });
    expect(await client.deliver(broken, recipientsOf(broken))).toMatchObject([
      { kind: "deferred", reason: expect.stringContaining("the disk is gone") },
    ]);
    expect(peer.lines).not.toContain(".");
    const sound = createSampleMessage();
    expect(await client.deliver(sound, recipientsOf(sound))).toMatchObject([{ kind: "delivered" }]);
    expect(peer.connections).toBe(2);
  });
});

describe("SmtpClient: connections", () => {
  test("one after the other on the same connection", async () => {
    const peer = await peerWith();
    const client = clientFor(peer.port);
    for (let count = 0; count < 5; count++) {
      const message = createSampleMessage();
      await client.deliver(message, recipientsOf(message));
    }
    expect(peer.received).toHaveLength(5);
    expect(peer.connections).toBe(1);
  });

  test("a new one after so many transactions", async () => {
    const peer = await peerWith();
    const client = clientFor(peer.port, {}, { limits: { transactionsMax: 2 } });
    for (let count = 0; count < 5; count++) {
      const message = createSampleMessage();
      expect((await client.deliver(message, recipientsOf(message)))[0]!.kind).toBe("delivered");
    }
    expect(peer.connections).toBe(3);
  });

  test("never more at one time than the limit", async () => {
    const peer = await peerWith();
    const client = clientFor(peer.port, {}, { limits: { connectionsMax: 3 } });
    const messages = Array.from({ length: 30 }, () => createSampleMessage());
    const outcomes = await Promise.all(messages.map((message) => client.deliver(message, recipientsOf(message))));
    expect(outcomes.flat().every(({ kind }) => kind === "delivered")).toBe(true);
    expect(peer.received).toHaveLength(30);
    expect(peer.connectionsAtOnce).toBeLessThanOrEqual(3);
    expect(peer.connectionsAtOnce).toBeGreaterThan(1);
  });

  test("an idle one is told goodbye", async () => {
    const peer = await scripted((line) => agree(line));
    const message = createSampleMessage();
    await clientFor(peer.port, {}, { limits: { idleMs: 1 } }).deliver(message, recipientsOf(message));
    await expect.poll(() => peer.lines.at(-1)).toBe("QUIT");
  });

  test.each([
    { why: "421 to the next MAIL", end: "421" },
    { why: "gone without a word", end: "destroy" },
  ])("an old connection that ends when it is used again costs no deferral: $why", async ({ end }) => {
    let mails = 0;
    const peer = await scripted((line, { socket, connection }) => {
      if (!line.startsWith("MAIL") || connection > 0 || mails++ === 0) return agree(line);
      if (end === "421") return "421 4.4.2 idle too long";
      socket.destroy();
      return undefined;
    });
    const client = clientFor(peer.port);
    for (let count = 0; count < 2; count++) {
      const message = createSampleMessage();
      expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
    }
    expect(peer.connections).toBe(2);
  });

  test("retire: done when the last delivery and the last connection are over, not before", async () => {
    let release = () => {};
    const peer = await scripted((line, { write }) => {
      if (line !== ".") return agree(line);
      release = () => write("250 2.0.0 fine\r\n");
      return undefined;
    });
    const client = clientFor(peer.port);
    const message = createSampleMessage();
    const delivered = client.deliver(message, recipientsOf(message));
    await expect.poll(() => peer.lines.at(-1)).toBe(".");
    let done = false;
    client.retire(() => {
      done = true;
    });
    expect(done).toBe(false);
    release();
    expect(await delivered).toMatchObject([{ kind: "delivered" }]);
    await expect.poll(() => done).toBe(true);
    expect(peer.lines.at(-1)).toBe("QUIT");
  });

  test("close ends what is under way with a deferral", async () => {
    let reached = () => {};
    const atDot = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const peer = await scripted((line) => {
      if (line !== ".") return agree(line);
      reached();
      return undefined;
    });
    const client = clientFor(peer.port);
    const message = createSampleMessage();
    const delivered = client.deliver(message, recipientsOf(message));
    await atDot;
    client.close();
    expect(await delivered).toMatchObject([{ kind: "deferred" }]);
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([
      { kind: "deferred", reason: "the server stops" },
    ]);
  });
});

describe("SmtpClient: what the peer must know", () => {
  const international: {
    why: string;
    sample: Parameters<typeof createSampleMessage>[0];
    offered: boolean;
    kinds: string[];
  }[] = [
    {
      why: "a recipient's address",
      sample: { to: ["a@x.example", "jörg@x.example"] },
      offered: false,
      kinds: ["delivered", "failed 5.6.7"],
    },
    { why: "the sender's address", sample: { from: "jörg@x.example" }, offered: false, kinds: ["failed 5.6.7"] },
    {
      why: "a header in UTF-8 passes, as it always did",
      sample: { data: "Subject: Grüße\r\n\r\nx\r\n" },
      offered: false,
      kinds: ["delivered"],
    },
    {
      why: "so does one in some older charset",
      sample: { data: Buffer.from("Subject: Gr\xfc\xdfe\r\n\r\nx\r\n", "latin1") },
      offered: false,
      kinds: ["delivered"],
    },
    {
      why: "an IDN domain is ASCII on the wire",
      sample: { to: ["a@bücher.example"] },
      offered: false,
      kinds: ["delivered"],
    },
    {
      why: "all of it where SMTPUTF8 is offered",
      sample: { from: "jörg@x.example", to: ["å@x.example"], data: "Subject: Grüße\r\n\r\nx\r\n" },
      offered: true,
      kinds: ["delivered"],
    },
  ];
  test.each(international)("SMTPUTF8: $why", async ({ sample, offered, kinds }) => {
    const peer = await scripted((line) => agree(line, offered ? ["SMTPUTF8"] : []));
    const message = createSampleMessage(sample);
    const outcomes = await clientFor(peer.port).deliver(message, recipientsOf(message));
    const sorted = [...outcomes].sort((one, other) => one.index - other.index);
    expect(sorted.map(({ kind, status }) => (status ? `${kind} ${status}` : kind))).toEqual(kinds);
    if (offered) expect(peer.lines.find((line) => line.startsWith("MAIL"))).toContain("SMTPUTF8");
  });

  test.each([
    { why: "one octet below what it takes", difference: 1, kind: "delivered" },
    { why: "as much as it takes", difference: 0, kind: "delivered" },
    { why: "one octet more than it takes", difference: -1, kind: "failed" },
  ])("SIZE: $why", async ({ difference, kind }) => {
    const message = createSampleMessage();
    const peer = await scripted((line) => agree(line, [`SIZE ${message.sizeOctets + difference}`]));
    const [outcome] = await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(outcome!.kind).toBe(kind);
    if (kind === "failed") expect(outcome!.status).toBe("5.3.4");
  });

  test.each([
    { why: "seven-bit content", data: "Subject: x\r\n\r\nx\r\n", said: false },
    { why: "eight-bit content", data: "Subject: x\r\n\r\né\r\n", said: true },
  ])("8BITMIME is said of $why: $said", async ({ data, said }) => {
    const peer = await scripted((line) => agree(line, ["8BITMIME"]));
    const message = createSampleMessage({ data });
    await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(peer.lines.find((line) => line.startsWith("MAIL"))!.includes("BODY=8BITMIME")).toBe(said);
  });
});

describe("SmtpClient: TLS and credentials", () => {
  const withTls = { disabledCommands: [] };
  const tls: { why: string; mode: Smarthost["tls"]; peer: object; kind: string; secure?: boolean }[] = [
    {
      why: "opportunistic takes what is offered, whoever signed it",
      mode: "opportunistic",
      peer: withTls,
      kind: "delivered",
      secure: true,
    },
    { why: "opportunistic goes on without", mode: "opportunistic", peer: {}, kind: "delivered", secure: false },
    { why: "required does not go on without", mode: "required", peer: {}, kind: "deferred" },
    { why: "required wants a certificate that proves the name", mode: "required", peer: withTls, kind: "deferred" },
    { why: "off does not ask", mode: "off", peer: withTls, kind: "delivered", secure: false },
    {
      why: "TLS from the first octet on",
      mode: "opportunistic",
      peer: { secure: true },
      kind: "delivered",
      secure: true,
    },
  ];
  test.each(tls)("$why", async ({ mode, peer: options, kind, secure }) => {
    const peer = await peerWith(options);
    const message = createSampleMessage();
    const [outcome] = await clientFor(peer.port, { tls: mode, implicitTls: "secure" in options }).deliver(
      message,
      recipientsOf(message),
    );
    expect(outcome!.kind).toBe(kind);
    expect(peer.received[0]?.secure).toBe(secure);
  });

  test.each([
    { why: "garbage in place of the handshake", garbage: "this is no TLS at all\r\n", before: false },
    { why: "garbage before the handshake", garbage: "this is no TLS at all\r\n", before: true },
    { why: "the end of the connection", garbage: "", before: false },
  ])("opportunistic goes on in the clear after a handshake that fails: $why", async ({ garbage, before }) => {
    const peer = await scripted((line, { socket, connection }) => {
      if (line !== "STARTTLS") return agree(line, connection === 0 ? ["STARTTLS"] : []);
      socket.removeAllListeners("data");
      socket.once("data", () => (garbage ? socket.write(garbage) : socket.destroy()));
      return before ? `220 go on\r\n${garbage}` : "220 go on";
    });
    const message = createSampleMessage();
    const client = clientFor(peer.port, { tls: "opportunistic" }, { limits: { connectMsMax: 1_000 } });
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
    expect(peer.connections).toBe(2);
  });

  const credentials: {
    why: string;
    tls: Smarthost["tls"];
    peer: object;
    password: string;
    kind: string;
    user?: string | null;
  }[] = [
    { why: "over TLS", tls: "opportunistic", peer: withTls, password: "secret", kind: "delivered", user: "relay" },
    {
      why: "wrong ones defer: the operator's affair",
      tls: "opportunistic",
      peer: withTls,
      password: "wrong",
      kind: "deferred",
    },
    { why: "never in the clear by chance", tls: "opportunistic", peer: {}, password: "secret", kind: "deferred" },
    {
      why: "in the clear where TLS is off",
      tls: "off",
      peer: { allowInsecureAuth: true },
      password: "secret",
      kind: "delivered",
      user: "relay",
    },
  ];
  test.each(credentials)("credentials $why", async ({ tls: mode, peer: options, password, kind, user }) => {
    const peer = await peerWith({
      ...options,
      onAuth(auth, _session, callback) {
        if (auth.username === "relay" && auth.password === "secret") callback(null, { user: "relay" });
        else callback(new Error("no"));
      },
    });
    const message = createSampleMessage();
    const [outcome] = await clientFor(peer.port, { tls: mode, user: "relay", password }).deliver(
      message,
      recipientsOf(message),
    );
    expect(outcome!.kind).toBe(kind);
    expect(peer.received[0]?.user).toBe(user);
    expect(JSON.stringify(outcome)).not.toContain(password);
  });
});
