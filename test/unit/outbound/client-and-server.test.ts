import { createServer, type Socket } from "node:net";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { inlineBody } from "../../../src/mail/message.ts";
import { ServerSession } from "../../../src/smtp/server-session.ts";
import type { ServerSettings } from "../../../src/smtp/server-settings.ts";
import { createSampleMessage, readMessage } from "../../support/sample-message.ts";
import { agree, settings } from "../smtp/session-driver.ts";
import { clientFor, recipientsOf } from "./smtp-setup.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** Our own server session on a socket, agreeing to everything; `hidden` keywords are not announced. */
async function startOwnServer(changed: Partial<ServerSettings> = {}, hidden: readonly string[] = []) {
  const messages: Buffer[] = [];
  const steps: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    const session = new ServerSession({ ...settings, startTls: false, sizeOctetsMax: 10_000_000, ...changed });
    let pieces: Buffer[] = [];
    const work = () => {
      for (let step = session.next(); step !== null; step = session.next()) {
        if (step.kind === "octets") pieces.push(Buffer.from(step.octets));
        else steps.push(step.kind === "mail" ? `mail ${JSON.stringify(step.options)}` : step.kind);
        if (step.kind === "end-of-data") {
          messages.push(Buffer.concat(pieces));
          pieces = [];
        }
        if (step.kind === "helo")
          session.welcome(step.keywords.filter((word) => !hidden.includes(word.split(" ")[0]!)));
        else agree(step, session);
        if (step.kind === "close") socket.end();
      }
      const output = session.takeOutput();
      if (output !== "") socket.write(output);
    };
    session.greet();
    work();
    socket.on("data", (chunk: Buffer) => {
      session.receive(chunk);
      work();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { port: address.port, messages, steps };
}

describe("our client and our server", () => {
  test.each([
    { why: "DATA", hidden: ["CHUNKING"] },
    { why: "DATA, one command at a time", hidden: ["CHUNKING", "PIPELINING"] },
    { why: "BDAT", hidden: [] },
    { why: "BDAT, one command at a time", hidden: ["PIPELINING"] },
  ])("any message arrives octet by octet by $why", async ({ hidden }) => {
    const server = await startOwnServer({}, hidden);
    const client = clientFor(server.port);
    const words = fc.array(fc.constantFrom(".", "\r\n", "a", "\r\n.\r\n", "\xff", "a".repeat(20_000)), {
      maxLength: 30,
    });
    await fc.assert(
      fc.asyncProperty(words, fc.boolean(), async (words, inline) => {
        const body = inlineBody(Buffer.from(`${words.join("")}\r\n`, "latin1"));
        const message = createSampleMessage({
          data: "Subject: x\r\n\r\n",
          body: inline ? body : { ...body, inline: undefined },
        });
        expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
        expect(server.messages.at(-1)!.equals(await readMessage(message))).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  test("binary octets arrive by BDAT as they are, and what the sender asked for comes along", async () => {
    const server = await startOwnServer();
    const octets = Buffer.from("\r\n.\r\n\n\r.\r\n\0 no end", "latin1");
    const message = createSampleMessage({ data: "Subject: x\r\n\r\n", body: inlineBody(octets) });
    const options = { body: "BINARYMIME", ret: "HDRS", envelopeId: "a+b c" } as const;
    message.envelope = { ...message.envelope, options };
    expect(await clientFor(server.port).deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
    expect(server.messages[0]!.equals(await readMessage(message))).toBe(true);
    const mail = server.steps.find((step) => step.startsWith("mail"))!;
    expect(JSON.parse(mail.slice(5))).toMatchObject(options);
  });

  test.each(["SCRAM-SHA-256", "PLAIN", "LOGIN"])("logs in by %s", async (mechanism) => {
    const server = await startOwnServer({ mechanisms: () => [mechanism] });
    const client = clientFor(server.port, { user: "ann", password: "secret" });
    const message = createSampleMessage();
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
    expect(server.steps).toContain(mechanism === "SCRAM-SHA-256" ? "proved" : "auth");
  });

  test("a wrong password is not let in by SCRAM-SHA-256", async () => {
    const server = await startOwnServer({ mechanisms: () => ["SCRAM-SHA-256"] });
    const client = clientFor(server.port, { user: "ann", password: "wrong" });
    const message = createSampleMessage();
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([
      { kind: "deferred", reply: { code: 535 } },
    ]);
  });
});
