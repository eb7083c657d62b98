import { describe, expect, test } from "vitest";
import { Tracer } from "../../../src/events/trace.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createSampleMessage } from "../../support/sample-message.ts";
import { agree, type PeerState } from "../../support/smtp-peer.ts";
import { authority, expired, good, wrong } from "./certificates.ts";
import { clientFor, deferred, recipientsOf, scripted } from "./smtp-setup.ts";

/** What a server may do at each stage; the line by which it gets there. */
const stages: { stage: string; at: RegExp }[] = [
  { stage: "the connection", at: /^$/ },
  { stage: "EHLO", at: /^EHLO/ },
  { stage: "MAIL", at: /^MAIL/ },
  { stage: "RCPT", at: /^RCPT/ },
  { stage: "DATA", at: /^DATA$/ },
  { stage: "the end of data", at: /^\.$/ },
];

type Misdeed = (line: string, state: PeerState) => string | undefined;

async function deliverTo(at: RegExp, misdeed: Misdeed, extensions: readonly string[] = []) {
  const peer = await scripted((line, state) => (at.test(line) ? misdeed(line, state) : agree(line, extensions)));
  const message = createSampleMessage({ to: ["a@x.example", "b@x.example"] });
  const outcomes = await clientFor(peer.port).deliver(message, recipientsOf(message));
  return { outcomes, peer };
}

const bothDeferred = [
  { index: 0, kind: "deferred" },
  { index: 1, kind: "deferred" },
];

describe.each(stages)("a server that misbehaves at $stage", ({ at }) => {
  const misdeeds: { why: string; misdeed: Misdeed; reason?: string | RegExp }[] = [
    { why: "an endless reply", misdeed: () => "250-x\r\n".repeat(100_000), reason: "exceeds" },
    { why: "an endless line", misdeed: () => `250 ${"x".repeat(1_000_000)}`, reason: "exceeds" },
    {
      why: "garbage",
      misdeed: (_line, { write }) => void write(Buffer.from([0xff, 0xfe, 0, 0x0d, 0x0a])),
      reason: "no reply",
    },
    { why: "the code 600", misdeed: () => "600 what", reason: "no reply" },
    { why: "the code 100", misdeed: () => "100 wait", reason: "no reply" },
    { why: "two codes in one reply", misdeed: () => "250-a\r\n550 b", reason: "two codes" },
    { why: "a reset", misdeed: (_line, { socket }) => void socket.resetAndDestroy() },
    { why: "the end of the connection", misdeed: (_line, { socket }) => void socket.end() },
    { why: "half a reply and the end", misdeed: (_line, { socket }) => void socket.end("250-half\r\n25") },
  ];
  test.each(misdeeds)("$why: the message is deferred, and nothing is believed", async ({ misdeed, reason }) => {
    const { outcomes } = await deliverTo(at, misdeed);
    expect(outcomes).toMatchObject(bothDeferred);
    if (reason) expect(outcomes[0]!.reason).toMatch(reason);
  });

  test("421: deferred, with its words", async () => {
    const { outcomes } = await deliverTo(at, () => "421 4.3.2 closing");
    expect(outcomes).toMatchObject([{ kind: "deferred" }, { kind: "deferred" }]);
    expect(outcomes.at(-1)!.reply).toMatchObject({ code: 421 });
  });

  test("silence: deferred when its time is over, not before", async () => {
    const clock = createFakeClock();
    const reached = deferred();
    const peer = await scripted((line) => (at.test(line) ? void reached.resolve() : agree(line)));
    const message = createSampleMessage();
    const client = clientFor(peer.port, {}, { clock });
    let outcomes: unknown;
    const delivered = client.deliver(message, recipientsOf(message)).then((all) => {
      outcomes = all;
    });
    await reached.promise;
    // RFC 5321 §4.5.3.2: the least a client waits.
    const minutes = at.test("DATA") ? 2 : at.test(".") ? 10 : 5;
    await clock.advance(minutes * 60_000 - 1);
    expect(outcomes).toBeUndefined();
    await clock.advance(1);
    await delivered;
    expect(outcomes).toMatchObject([{ kind: "deferred", reply: null, reason: expect.stringContaining("no reply to") }]);
  });

  test("one octet a second: deferred when the time for the reply is over", async () => {
    const clock = createFakeClock();
    const reached = deferred();
    let drip = (_octets: string) => {};
    const peer = await scripted((line, { write }) => {
      if (!at.test(line)) return agree(line);
      drip = write;
      reached.resolve();
      return undefined;
    });
    const message = createSampleMessage();
    const client = clientFor(peer.port, {}, { clock });
    let outcomes: unknown;
    const delivered = client.deliver(message, recipientsOf(message)).then((all) => {
      outcomes = all;
    });
    await reached.promise;
    for (let second = 0; second < 600 && outcomes === undefined; second += 30) {
      drip("250-x\r\n"[(second / 30) % 7]!);
      await clock.advance(30_000);
    }
    await delivered;
    expect(outcomes).toMatchObject([
      { kind: "deferred", reply: null, reason: expect.stringMatching(/within|no reply/) },
    ]);
  });

  test("a reply split at every octet is read as if it came in one piece", async () => {
    const peer = await scripted((line, { write, socket, beginData }) => {
      if (!at.test(line)) return agree(line);
      if (line === "DATA") beginData();
      socket.setNoDelay(true);
      const octets = `${agree(line)}\r\n`;
      const next = (i: number) => {
        if (i === octets.length) return;
        write(octets[i]!);
        setImmediate(() => next(i + 1));
      };
      next(0);
      return undefined;
    });
    const message = createSampleMessage();
    expect(await clientFor(peer.port).deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
  });
});

describe.each([
  { stage: "STARTTLS", at: /^STARTTLS$/, minutes: 5 },
  { stage: "the handshake", at: /^-$/, minutes: 2 },
  { stage: "EHLO behind the handshake", at: /^EHLO secure/, minutes: 5 },
  { stage: "AUTH", at: /^AUTH/, minutes: 5 },
])("a server that misbehaves at $stage", ({ stage, at, minutes }) => {
  async function meet(misdeed: Misdeed, reached = () => {}) {
    return scripted((line, state) => {
      const said = state.secure && line.startsWith("EHLO") ? line.replace("EHLO", "EHLO secure") : line;
      if (at.test(said)) {
        reached();
        return misdeed(line, state);
      }
      if (line !== "STARTTLS") return agree(line, ["STARTTLS", "AUTH PLAIN"]);
      if (stage === "the handshake") {
        state.socket.removeAllListeners("data").once("data", () => {
          reached();
          misdeed(line, state);
        });
      } else setImmediate(() => state.startTls(good));
      return "220 go on";
    });
  }
  const smarthost = { host: "localhost", tls: "required", user: "ann", password: "secret" } as const;

  test.each([
    { why: "a reset", misdeed: (_line: string, { socket }: PeerState) => void socket.resetAndDestroy() },
    { why: "the end", misdeed: (_line: string, { socket }: PeerState) => void socket.destroy() },
    { why: "garbage", misdeed: (_line: string, { socket }: PeerState) => void socket.write("\0\xff\r\n") },
  ])("$why: deferred", async ({ misdeed }) => {
    const peer = await meet(misdeed);
    const message = createSampleMessage();
    const client = clientFor(peer.port, smarthost, { certificateAuthorities: authority });
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "deferred", reply: null }]);
  });

  test("silence: deferred when its time is over, not before", async () => {
    const clock = createFakeClock();
    const reached = deferred();
    const peer = await meet(() => undefined, reached.resolve);
    const message = createSampleMessage();
    const client = clientFor(peer.port, smarthost, { certificateAuthorities: authority, clock });
    let outcomes: unknown;
    const delivered = client.deliver(message, recipientsOf(message)).then((all) => {
      outcomes = all;
    });
    await reached.promise;
    await clock.advance(minutes * 60_000 - 1);
    expect(outcomes).toBeUndefined();
    await clock.advance(1);
    await delivered;
    expect(outcomes).toMatchObject([{ kind: "deferred", reply: null, reason: expect.stringContaining("within") }]);
  });
});

describe("a server that speaks out of turn", () => {
  test.each([
    { why: "words before 220", at: /^$/, reply: "hello\r\n220 peer.example" },
    { why: "a second greeting", at: /^$/, reply: "220 peer.example\r\n220 again" },
    { why: "a reply before the command", at: /^EHLO/, reply: "250 peer.example\r\n250 ok" },
    { why: "two replies to MAIL", at: /^MAIL/, reply: "250 ok\r\n250 ok" },
    { why: "354 to MAIL", at: /^MAIL/, reply: "354 go on" },
    { why: "334 to RCPT", at: /^RCPT/, reply: "334 " },
    { why: "two refusals of one recipient", at: /^RCPT TO:<a/, reply: "550 no\r\n550 no" },
    { why: "250 to DATA", at: /^DATA$/, reply: "250 ok" },
    { why: "354, and 250 for what it has not seen", at: /^DATA$/, reply: "354 go on\r\n250 ok" },
    { why: "354 twice", at: /^DATA$/, reply: "354 go on\r\n354 go on" },
    { why: "two replies to the message", at: /^\.$/, reply: "250 ok\r\n250 ok" },
  ])("$why: everybody is deferred", async ({ at, reply }) => {
    const { outcomes } = await deliverTo(at, () => reply);
    expect(outcomes).toMatchObject(bothDeferred);
  });

  test.each([
    { why: "two replies to MAIL", at: /^MAIL/, reply: "250 ok\r\n250 ok" },
    { why: "two refusals of one recipient", at: /^RCPT TO:<a/, reply: "550 no\r\n550 no" },
    { why: "no reply to MAIL", at: /^MAIL/, reply: undefined },
  ])("pipelined, out of step: nobody is refused, and nobody is delivered to ($why)", async ({ at, reply }) => {
    const clock = createFakeClock();
    const peer = await scripted((line) => (at.test(line) ? reply : agree(line, ["PIPELINING"])));
    const message = createSampleMessage({ to: ["a@x.example", "b@x.example"] });
    const delivered = clientFor(peer.port, {}, { clock }).deliver(message, recipientsOf(message));
    await expect.poll(() => peer.lines.includes("DATA")).toBe(true);
    await clock.advance(11 * 60_000);
    expect(await delivered).toMatchObject(bothDeferred);
  });

  test("what was heard before the server was out of step does not count either", async () => {
    const tracer = new Tracer();
    let sayMore = () => {};
    let refusals = 0;
    tracer.follow((entry) => {
      if (entry.kind === "line" && entry.text === "550 no" && ++refusals === 2)
        setImmediate(() => setImmediate(sayMore));
    });
    const peer = await scripted((line, { write }) => {
      sayMore = () => write("250 b is fine\r\n");
      if (line.includes("a@x.example")) return "550 no\r\n550 no";
      return line.includes("b@x.example") || line === "DATA" ? undefined : agree(line, ["PIPELINING"]);
    });
    const message = createSampleMessage({ to: ["a@x.example", "b@x.example"] });
    const outcomes = await clientFor(peer.port, {}, { tracer }).deliver(message, recipientsOf(message));
    expect(outcomes).toMatchObject(bothDeferred);
    expect(outcomes[0]!.reason).toBe("it answered 250 to DATA");
  });

  test("250 in the middle of the message is no custody", async () => {
    const big = createSampleMessage({ data: `Subject: x\r\n\r\n${"0123456789abcdef\r\n".repeat(500_000)}` });
    const peer = await scripted((line, { write, socket }) => {
      if (line !== "DATA") return agree(line);
      setImmediate(() => socket.once("data", () => write("250 2.0.0 queued\r\n")));
      return "354 go on";
    });
    expect(await clientFor(peer.port).deliver(big, recipientsOf(big))).toMatchObject([
      { kind: "deferred", reply: null, reason: expect.stringContaining("has not seen to its end") },
    ]);
  });

  test("421 while idle ends the connection, and the next message goes over another", async () => {
    let first: PeerState | undefined;
    const peer = await scripted((line, state) => {
      first ??= state;
      return agree(line);
    });
    const client = clientFor(peer.port);
    const message = createSampleMessage();
    await client.deliver(message, recipientsOf(message));
    first!.write("421 4.4.2 idle too long\r\n");
    first!.socket.end();
    await expect.poll(() => first!.socket.destroyed).toBe(true);
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
    expect(peer.connections).toBe(2);
  });

  test("a refusal in the middle of the message is its answer, and the connection is given up", async () => {
    const big = createSampleMessage({ data: `Subject: x\r\n\r\n${"0123456789abcdef\r\n".repeat(500_000)}` });
    const peer = await scripted((line, { write, socket }) => {
      if (line !== "DATA") return agree(line);
      setImmediate(() => socket.once("data", () => write("552 5.3.4 too much\r\n")));
      return "354 go on";
    });
    const client = clientFor(peer.port);
    expect(await client.deliver(big, recipientsOf(big))).toMatchObject([{ kind: "failed", reply: { code: 552 } }]);
    expect(peer.lines).not.toContain(".");
    const message = createSampleMessage();
    await client.deliver(message, recipientsOf(message));
    expect(peer.connections).toBe(2);
  });

  test("a peer that takes no mail data is left when the time for a block is over", async () => {
    const clock = createFakeClock();
    const reached = deferred();
    const big = createSampleMessage({ data: `Subject: x\r\n\r\n${"0123456789abcdef\r\n".repeat(1_000_000)}` });
    const peer = await scripted((line, { socket }) => {
      if (line !== "DATA") return agree(line);
      socket.pause();
      reached.resolve();
      return "354 go on";
    });
    const delivered = clientFor(peer.port, {}, { clock }).deliver(big, recipientsOf(big));
    await reached.promise;
    await expect.poll(async () => clock.nextAt).toBeDefined();
    for (let minute = 0; minute < 4; minute++) await clock.advance(60_000);
    expect(await delivered).toMatchObject([{ kind: "deferred", reason: "it takes no mail data for 180 s" }]);
  });
});

describe("a server that lies about what it can", () => {
  test("10^5 keywords are more than a reply may have", async () => {
    const flood = Array.from({ length: 100_000 }, (_, i) => `X-${i}`);
    const peer = await scripted((line) => agree(line, flood));
    const message = createSampleMessage();
    expect(await clientFor(peer.port).deliver(message, recipientsOf(message))).toMatchObject([
      { kind: "deferred", reason: expect.stringContaining("exceeds") },
    ]);
  });

  test.each([
    { why: "PIPELINING", extensions: ["PIPELINING"] },
    { why: "CHUNKING", extensions: ["CHUNKING"] },
    { why: "CHUNKING with PIPELINING", extensions: ["CHUNKING", "PIPELINING"] },
    { why: "keywords that are none", extensions: ["=", "\x00", "", "-x", "SIZE=abc", "LIMITS RCPTMAX=0", "AUTH"] },
  ])("$why announced and refused: an answer as any other", async ({ extensions }) => {
    const peer = await scripted((line) =>
      /^(?:DATA|BDAT.*)$/.test(line) ? "502 5.5.1 not here" : agree(line, extensions),
    );
    const message = createSampleMessage();
    const [outcome] = await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(outcome).toMatchObject({ kind: "failed", reply: { code: 502 } });
  });

  test("STARTTLS announced again behind the handshake changes nothing", async () => {
    const peer = await scripted((line, { startTls }) => {
      if (line !== "STARTTLS") return agree(line, ["STARTTLS"]);
      setImmediate(() => startTls(good));
      return "220 go on";
    });
    const message = createSampleMessage();
    const client = clientFor(peer.port, { host: "localhost", tls: "required" }, { certificateAuthorities: authority });
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
    expect(peer.lines.filter((line) => line === "STARTTLS")).toHaveLength(1);
  });

  test("extensions from before the handshake are forgotten", async () => {
    const peer = await scripted((line, { startTls, secure }) => {
      if (line !== "STARTTLS") return agree(line, secure ? [] : ["STARTTLS", "SIZE 1"]);
      setImmediate(() => startTls(good));
      return "220 go on";
    });
    const message = createSampleMessage();
    const client = clientFor(peer.port, { host: "localhost", tls: "required" }, { certificateAuthorities: authority });
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
  });
});

describe("a server between us and the server", () => {
  test.each([
    { why: "in the packet of 220", behind: "220 go on\r\n250-injected\r\n250 SIZE 1", later: "" },
    { why: "in a packet of its own", behind: "220 go on", later: "250 injected\r\n" },
  ])("STARTTLS injection $why: nothing is sent", async ({ behind, later }) => {
    const peer = await scripted((line, { startTls, write }) => {
      if (line !== "STARTTLS") return agree(line, ["STARTTLS"]);
      if (later) setImmediate(() => write(later));
      else setImmediate(() => startTls(good));
      return behind;
    });
    const message = createSampleMessage();
    const client = clientFor(peer.port, { host: "localhost", tls: "required" }, { certificateAuthorities: authority });
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "deferred" }]);
    expect(peer.lines).not.toContainEqual(expect.stringMatching(/^MAIL/));
  });

  test.each([
    { why: "for another name", certificate: wrong, ca: authority, words: "Hostname/IP does not match" },
    { why: "that has expired", certificate: expired, ca: authority, words: "expired" },
    { why: "nobody trusts", certificate: good, ca: undefined, words: /self.signed|unable to/ },
  ])("a certificate $why: nothing is sent", async ({ certificate, ca, words }) => {
    const peer = await scripted((line, { startTls }) => {
      if (line !== "STARTTLS") return agree(line, ["STARTTLS"]);
      setImmediate(() => startTls(certificate));
      return "220 go on";
    });
    const message = createSampleMessage();
    const options = ca === undefined ? {} : { certificateAuthorities: ca };
    const client = clientFor(peer.port, { host: "localhost", tls: "required" }, options);
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([
      { kind: "deferred", reason: expect.stringMatching(words) },
    ]);
    expect(peer.lines).not.toContainEqual(expect.stringMatching(/^MAIL/));
  });

  test("STARTTLS stripped: where TLS is required nothing is sent, not even by HELO", async () => {
    for (const strip of [() => "250 peer.example", () => "502 5.5.1 what"]) {
      const { outcomes, peer } = await (async () => {
        const peer = await scripted((line) => (line.startsWith("EHLO") ? strip() : agree(line)));
        const message = createSampleMessage();
        const client = clientFor(peer.port, { tls: "required" });
        return { peer, outcomes: await client.deliver(message, recipientsOf(message)) };
      })();
      expect(outcomes).toMatchObject([{ kind: "deferred" }]);
      expect(peer.lines).not.toContainEqual(expect.stringMatching(/^(?:MAIL|HELO)/));
    }
  });
});
