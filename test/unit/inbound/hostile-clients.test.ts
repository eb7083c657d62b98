/** Clients that send anything: nothing is thrown out of a connection, nothing is kept, and the others are served. RFC 5321 §4.2.4. */
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Subject, type SubjectOptions, startSubject } from "../../support/listener.ts";
import { SmtpClient } from "../../support/smtp-client.ts";

/** The same sequence for the same seed, so that what fails fails again. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const pieces = [
  ...[
    "EHLO a\r\n",
    "HELO a\r\n",
    "LHLO a\r\n",
    "MAIL FROM:<a@b.example>\r\n",
    "RCPT TO:<ann@nowhere.example>\r\n",
    "DATA\r\n",
  ],
  ...[
    "BDAT 5\r\n",
    "BDAT 0 LAST\r\n",
    "BDAT 7 LAST\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "AUTH PLAIN\r\n",
    "AUTH LOGIN AAAA\r\n",
  ],
  ...[
    "AUTH SCRAM-SHA-256 biwsbj1hLHI9Yg==\r\n",
    "XCLIENT ADDR=192.0.2.1\r\n",
    "XFORWARD NAME=a\r\n",
    "X-FOO\r\n",
    "VRFY a\r\n",
  ],
  ...[
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "\r\n\r\n\0\r\nQUIT\n",
    ".\r\n",
    "\r\n.\r\n",
    "\r",
    "\n",
    "\0",
    "*\r\n",
    "=\r\n",
  ],
  ...[
    "MAIL FROM:<> SIZE=1 BODY=BINARYMIME RET=X ENVID=+\r\n",
    "STARTTLS \r\n",
    "a".repeat(3_000),
    "\xff\xfe\x80",
    "QUIT\r\n",
  ],
];

/** A dialogue of pieces and noise. */
function createNoise(random: (below: number) => number): Buffer[] {
  return Array.from({ length: 1 + random(25) }, () => {
    if (random(4) > 0) return Buffer.from(pieces[random(pieces.length)]!, "latin1");
    return Buffer.from(Array.from({ length: random(40) }, () => random(256)));
  });
}

const settings: readonly (readonly [why: string, options: SubjectOptions])[] = [
  [
    "a listener that offers everything",
    {
      inClear: true,
      mechanisms: "PLAIN,LOGIN,SCRAM-SHA-256",
      binaryMime: true,
      xclient: "127.0.0.1",
      xforward: "127.0.0.1",
    },
  ],
  [
    "one that sinks look at",
    {
      sinks: [
        "onCommand [VERB=X-FOO] capture-throw",
        "onCommand token",
        "onReply append more",
        "onAuth accept",
        "onHeaders drop-body",
      ],
    },
  ],
  ["one behind a load balancer", { proxy: "127.0.0.1" }],
  ["one that speaks LMTP", { role: "lmtp", sinks: ["onEndOfData answer-recipient ann@example.org 550 5.1.1 No"] }],
  ["one with implicit TLS", { tls: "implicit" }],
];

describe.each(settings)("%s", (_why, options) => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await startSubject({ ...options, connectionsPerClientMax: 1_000 });
  });
  afterAll(async () => {
    await subject.close();
  });

  test("outlives 200 connections of noise", async () => {
    const random = createRandom(20_261_123);
    const failures: unknown[] = [];
    const note = (error: unknown) => void failures.push(error);
    process.on("uncaughtException", note);
    process.on("unhandledRejection", note);
    try {
      for (let round = 0; round < 200; round++) {
        const noise = createNoise(random);
        await new Promise<void>((resolve) => {
          const socket = connect({ port: subject.port, host: "127.0.0.1", noDelay: true });
          socket.on("error", () => {});
          socket.on("close", () => resolve());
          socket.resume();
          for (const piece of noise) socket.write(piece);
          // Some say goodbye, some are just gone.
          if (random(3) > 0) socket.end();
          else socket.once("connect", () => setImmediate(() => socket.resetAndDestroy()));
        });
      }
    } finally {
      process.off("uncaughtException", note);
      process.off("unhandledRejection", note);
    }
    expect(failures).toEqual([]);
    expect(subject.log.of("listener.failed")).toEqual([]);
    expect(await subject.accepted()).toEqual([]);
  });

  test("serves the next one as ever", async () => {
    if (options.proxy || options.tls || options.role) return expect(subject.listener.port).toBeGreaterThan(0);
    const client = await SmtpClient.connect(subject.port);
    const reply = await client.send({
      from: "eve@client.example",
      to: ["ann@example.org"],
      data: Buffer.from("A: b\r\n\r\n"),
    });
    expect(reply.code).toBe(250);
    await client.quit();
  });
});
