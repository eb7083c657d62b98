/** What transcripts cannot play of the native engine: certificates, proofs, followers, and what happens while something is slow. */
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { Binding } from "../../../src/events/binding.ts";
import type { AuthSubject, SessionSubject, TlsFacts } from "../../../src/events/subject.ts";
import { type TraceEntry, Tracer } from "../../../src/events/trace.ts";
import type { Listener, ListenerOptions } from "../../../src/inbound/listener.ts";
import { startNativeListener } from "../../../src/inbound/native-engine.ts";
import { Reception, type ReceptionOptions } from "../../../src/inbound/reception.ts";
import type { Message } from "../../../src/mail/message.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { deriveScramCredentials } from "../../../src/smtp/scram.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import type { Spool } from "../../../src/spool/spool.ts";
import { createBinding } from "../../support/events.ts";
import { createFakeClock, settle } from "../../support/fake-clock.ts";
import {
  createDispatcher,
  createListenerOptions,
  createReceptionOptions,
  testCertificate,
} from "../../support/listener.ts";
import { createRecordingLog } from "../../support/recording-log.ts";

const pem = (name: string) => ({
  cert: readFileSync(join(import.meta.dirname, `certificates/${name}-cert.pem`)),
  key: readFileSync(join(import.meta.dirname, `certificates/${name}-key.pem`)),
});

let listener: Listener;
const log = createRecordingLog();
const sockets = new Set<Socket>();

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await listener.close(0);
  expect(log.of("listener.failed")).toEqual([]);
});

async function listen(
  options: Parameters<typeof createListenerOptions>[0] = {},
  reception: Partial<ReceptionOptions> & { readonly bindings?: readonly Binding[] } = {},
): Promise<void> {
  const { clock = systemClock, bindings = [] } = reception;
  const dispatcher = createDispatcher(log, clock);
  dispatcher.replaceBindings([...bindings]);
  const listenerOptions: ListenerOptions = createListenerOptions(options);
  const parts = createReceptionOptions({ dispatcher, log, clock, ...reception });
  listener = await startNativeListener(listenerOptions, new Reception(listenerOptions, parts), { clock, log });
}

/** What was heard so far, and a wait for more. */
class Ear {
  heard = "";
  readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
    sockets.add(socket);
    socket.on("data", (chunk: Buffer) => void (this.heard += chunk.toString("latin1")));
    socket.on("error", () => {});
  }

  static plain(): Ear {
    return new Ear(connect({ port: listener.port, host: "127.0.0.1", noDelay: true }));
  }

  async hear(pattern: RegExp): Promise<string> {
    return await vi.waitFor(() => {
      if (!pattern.test(this.heard)) throw new Error(`heard ${JSON.stringify(this.heard)}`);
      return this.heard;
    }, 5_000);
  }

  /** Says a line and waits for its reply. */
  async say(line: string, pattern: RegExp): Promise<string> {
    this.heard = "";
    this.socket.write(`${line}\r\n`);
    return await this.hear(pattern);
  }

  async begin(): Promise<void> {
    await this.hear(/^220 /);
    await this.say("EHLO client.example", /^250 /m);
  }

  /** Up to 354. */
  async beginData(): Promise<void> {
    await this.begin();
    await this.say("MAIL FROM:<a@b.example>", /^250/);
    await this.say("RCPT TO:<bob@example.org>", /^250/);
    await this.say("DATA", /^354/);
  }
}

describe("certificates", () => {
  const tls = { ...testCertificate, mode: "implicit", askCertificate: false, more: [pem("other")] } as const;

  async function certificateFor(servername: string): Promise<string> {
    const socket = connectTls({ port: listener.port, host: "127.0.0.1", servername, rejectUnauthorized: false });
    sockets.add(socket);
    await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
    return String(socket.getPeerCertificate().subject.CN);
  }

  test.each([
    ["the name of another certificate", "other.example", "other.example"],
    ["in upper case", "OTHER.EXAMPLE", "other.example"],
    ["a name below its wildcard", "a.wild.example", "other.example"],
    ["two labels below its wildcard", "a.b.wild.example", "localhost"],
    ["the wildcard's own domain", "wild.example", "localhost"],
    ["a name nobody has", "unknown.example", "localhost"],
    ["the name of the listener's own", "localhost", "localhost"],
  ])("a client that asks for %s", async (_why, servername, expected) => {
    await listen({ tls });
    expect(await certificateFor(servername)).toBe(expected);
  });

  test("a certificate that cannot be used is one clear fault", async () => {
    await listen();
    const broken = { ...tls, more: [{ cert: testCertificate.cert, key: pem("other").key }] };
    const options = createListenerOptions({ tls: broken });
    const reception = new Reception(options, createReceptionOptions());
    await expect(startNativeListener(options, reception, { clock: systemClock, log })).rejects.toMatchObject({
      code: "config.unreadable",
    });
  });

  test.each([
    ["shows one", pem("client"), { subject: "Client of ours", verified: false }],
    ["shows none", {}, null],
  ])("a client that is asked for its certificate and %s", async (_why, client, expected) => {
    const seen: (TlsFacts | null)[] = [];
    const look = createBinding("onTls", ({ session }: SessionSubject) => void seen.push(session.tls));
    await listen({ tls: { ...tls, askCertificate: true } }, { bindings: [look] });
    const socket = connectTls({ port: listener.port, host: "127.0.0.1", rejectUnauthorized: false, ...client });
    await new Ear(socket).hear(/^220 /);
    expect(seen[0]!.version).toBe("TLSv1.3");
    if (expected === null) expect(seen[0]!.certificate).toBeNull();
    else {
      expect(seen[0]!.certificate).toMatchObject(expected);
      expect(seen[0]!.certificate!.fingerprint).toMatch(/^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/);
    }
  });

  test("a handshake that fails ends its connection alone", async () => {
    await listen({ tls });
    const ear = Ear.plain();
    ear.socket.write("EHLO client.example\r\n");
    await new Promise<void>((resolve) => ear.socket.once("close", () => resolve()));
    await vi.waitFor(() => expect(listener.sessions).toBe(0));
    expect(await certificateFor("localhost")).toBe("localhost");
  });

  test("a client may end its side behind its last command, over TLS too", async () => {
    await listen({ tls });
    const socket: TLSSocket = connectTls({ port: listener.port, host: "127.0.0.1", rejectUnauthorized: false });
    const ear = new Ear(socket);
    socket.end("EHLO client.example\r\nQUIT\r\n");
    await ear.hear(/^221 /m);
  });
});

describe("SCRAM-SHA-256", () => {
  const knows = createBinding("onAuth", ({ user, secret, verifyWith }: AuthSubject) => {
    if (secret !== null) throw new Error("SCRAM tells no secret");
    if (user === "ann") verifyWith(deriveScramCredentials("pencil", { salt: Buffer.from("salt") }), "ann@example.org");
  });
  const base64 = (text: string | Buffer) => Buffer.from(text).toString("base64");

  /** The client's side, as RFC 5802 §3 has it. */
  async function prove(ear: Ear, password: string): Promise<string> {
    const bare = "n=ann,r=clientnonce";
    const first = await ear.say(`AUTH SCRAM-SHA-256 ${base64(`n,,${bare}`)}`, /^334 .*\r\n/);
    const challenge = Buffer.from(first.slice(4).trim(), "base64").toString();
    const [, nonce, salt, iterations] = /^r=(.*),s=(.*),i=(\d+)$/.exec(challenge)!;
    const salted = pbkdf2Sync(password, Buffer.from(salt!, "base64"), Number(iterations), 32, "sha256");
    const key = createHmac("sha256", salted).update("Client Key").digest();
    const unproved = `c=biws,r=${nonce}`;
    const signature = createHmac("sha256", createHash("sha256").update(key).digest())
      .update(`${bare},${challenge},${unproved}`)
      .digest();
    const proof = key.map((octet, i) => octet ^ signature[i]!);
    return await ear.say(base64(`${unproved},p=${base64(Buffer.from(proof))}`), /^\d{3} .*\r\n/);
  }

  test.each([
    ["the right password", "pencil", /^235 2\.7\.0/],
    ["a wrong one", "pen", /^535 5\.7\.8/],
  ])("proves %s without telling it", async (_why, password, expected) => {
    const users: (string | null)[] = [];
    const look = createBinding("onMailFrom", ({ session }: SessionSubject) => void users.push(session.user));
    await listen({ auth: { mechanisms: ["SCRAM-SHA-256"], inClear: true } }, { bindings: [knows, look] });
    const ear = Ear.plain();
    await ear.begin();
    let reply = await prove(ear, password);
    // The server's own proof comes before the last word. RFC 5802 §3, RFC 4954 §4.
    if (reply.startsWith("334")) reply = await ear.say("", /^\d{3} .*\r\n/);
    expect(reply).toMatch(expected);
    await ear.say("MAIL FROM:<>", /^250/);
    expect(users).toEqual([password === "pencil" ? "ann@example.org" : null]);
  });
});

describe("a follower", () => {
  test("sees the lines of a session from where it began to follow, secrets masked, and its end", async () => {
    const tracer = new Tracer();
    const accept = createBinding("onAuth", ({ user, acceptAs }: AuthSubject) => acceptAs(user));
    await listen({ auth: { mechanisms: ["PLAIN"], inClear: true } }, { tracer, bindings: [accept] });
    const ear = Ear.plain();
    await ear.hear(/^220 /);
    const entries: TraceEntry[] = [];
    const stop = tracer.follow((entry) => void entries.push(entry));
    await ear.say("EHLO client.example", /^250 /m);
    await ear.say(`AUTH PLAIN ${Buffer.from("\0ann\0geheim").toString("base64")}`, /^235/);
    await ear.say("MAIL FROM:<a@b.example>", /^250/);
    await ear.say("RCPT TO:<bob@example.org>", /^250/);
    await ear.say("DATA", /^354/);
    await ear.say("Subject: x\r\n\r\nsecret text\r\n.", /^250/);
    ear.socket.destroy();
    await vi.waitFor(() => expect(entries.at(-1)!.kind).toBe("closed"));
    const told = entries.map((entry) => ("text" in entry ? `${entry.kind} ${entry.text}` : entry.kind));
    expect(told[0]).toBe("opened");
    expect(told).toContain("line EHLO client.example");
    expect(told).toContain("line AUTH PLAIN ****");
    expect(told).toContain("line 250-PIPELINING");
    expect(told).toContain("note 27 octets of mail data");
    expect(JSON.stringify(entries)).not.toMatch(/AGFubg|secret text|greeting/);
    stop();
    const { length } = entries;
    await Ear.plain().begin();
    expect(entries).toHaveLength(length);
  });
});

describe("while something is slow", () => {
  /** A spool whose bodies and custody wait for a sign. */
  function createSlowSpool(part: "write" | "accept") {
    const gate = Promise.withResolvers<void>();
    const spool = createMemorySpool();
    const calls = { writes: 0, discards: 0, accepts: 0 };
    const slow: Spool = {
      ...spool,
      createBody() {
        const body = spool.createBody();
        return {
          write(chunk) {
            calls.writes++;
            const written = body.write(chunk);
            return part === "write" ? gate.promise.then(() => written) : written;
          },
          finish: () => body.finish(),
          async discard() {
            calls.discards++;
            await body.discard();
          },
        };
      },
      async accept(messages, at) {
        calls.accepts++;
        if (part === "accept") await gate.promise;
        await spool.accept(messages, at);
      },
    };
    return { spool: slow, counts: () => spool.counts(), calls, open: () => gate.resolve() };
  }

  test("a client that is lost during a slow write leaves nothing behind", async () => {
    const { spool, counts, calls, open } = createSlowSpool("write");
    await listen({}, { spool });
    const ear = Ear.plain();
    await ear.beginData();
    ear.socket.write("Subject: x\r\n\r\ntext\r\n");
    await vi.waitFor(() => expect(calls.writes).toBe(1));
    ear.socket.write("more\r\n.\r\n");
    ear.socket.resetAndDestroy();
    await vi.waitFor(() => expect(listener.sessions).toBe(0));
    expect(calls.discards).toBe(0);
    open();
    await vi.waitFor(() => expect(calls.discards).toBeGreaterThan(0));
    expect([calls.accepts, counts().messages]).toEqual([0, 0]);
  });

  test("octets are taken only as fast as the spool writes them", async () => {
    const { spool, calls, open } = createSlowSpool("write");
    const taken: Message[] = [];
    await listen({ limits: { sizeOctetsMax: 50_000_000 } }, { spool, enqueue: (message) => void taken.push(message) });
    const ear = Ear.plain();
    await ear.beginData();
    ear.socket.write(`Subject: x\r\n\r\n${"0123456789\r\n".repeat(2_000_000)}.\r\n`);
    await vi.waitFor(() => expect(calls.writes).toBe(1));
    await settle();
    expect(calls.writes).toBe(1);
    // What the kernel does not hold, the client still has.
    expect(ear.socket.writableLength).toBeGreaterThan(0);
    open();
    await ear.hear(/^250 2\.0\.0 queued/m);
    expect(taken[0]!.body.sizeOctets).toBe(24_000_000);
  });

  test("custody that has begun is waited for, whatever the deadline: the reply is what came of it", async () => {
    const clock = createFakeClock();
    const { spool, counts, calls, open } = createSlowSpool("accept");
    await listen({ limits: { decisionTimeoutMs: 10_000 } }, { spool, clock });
    const ear = Ear.plain();
    await ear.beginData();
    ear.heard = "";
    ear.socket.write("Subject: x\r\n\r\n.\r\n");
    await vi.waitFor(() => expect(calls.accepts).toBe(1));
    await clock.advance(60_000);
    expect(ear.heard).toBe("");
    open();
    await ear.hear(/^250 2\.0\.0 queued/);
    expect(counts().messages).toBe(1);
  });

  test("a message that is decided on after its 451 is never delivered", async () => {
    const clock = createFakeClock();
    const gate = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const spool = createMemorySpool();
    const wait = createBinding(
      "onArrival",
      async () => {
        asked.resolve();
        await gate.promise;
      },
      { timeoutMs: 3_600_000 },
    );
    await listen({ limits: { decisionTimeoutMs: 10_000 } }, { spool, clock, bindings: [wait] });
    const ear = Ear.plain();
    await ear.beginData();
    ear.heard = "";
    ear.socket.write("Subject: x\r\n\r\n.\r\n");
    await asked.promise;
    await clock.advance(9_000);
    expect(ear.heard).toBe("");
    await clock.advance(2_000);
    await ear.hear(/^451 4\.3\.0/);
    gate.resolve();
    await ear.say("NOOP", /^250/);
    await settle();
    expect(spool.counts().messages).toBe(0);
    expect(log.of("message.deferred").at(-1)).toMatchObject({ fields: { fault: "decision.timeout" } });
  });

  test("a client that does not read its replies is not worked for, and closed in the end", async () => {
    const clock = createFakeClock();
    await listen({ limits: { idleCommandsMax: 10_000_000, idleTimeoutMs: 30_000 } }, { clock });
    const ear = Ear.plain();
    await ear.begin();
    ear.socket.pause();
    const closed = new Promise<void>((resolve) => ear.socket.once("close", () => resolve()));
    ear.socket.write("HELP\r\n".repeat(1_500_000));
    // Until neither side moves any more.
    let before = -1;
    while (before !== ear.socket.writableLength) {
      before = ear.socket.writableLength;
      for (let turn = 0; turn < 50; turn++) await settle();
    }
    expect(ear.socket.writableLength).toBeGreaterThan(0);
    await clock.advance(29_000);
    expect(listener.sessions).toBe(1);
    await clock.advance(3_000);
    expect(listener.sessions).toBe(0);
    ear.socket.resume();
    await closed;
  });
});
