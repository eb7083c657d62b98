import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { LmtpDelivery } from "../../../src/outbound/lmtp.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { createSampleMessage } from "../../support/sample-message.ts";
import type { Answer } from "../../support/smtp-peer.ts";
import { recipientsOf, scripted } from "./smtp-setup.ts";

let lmtp: LmtpDelivery | undefined;
afterEach(() => lmtp?.close());

function create(): LmtpDelivery {
  lmtp = new LmtpDelivery({ hostName: "mail.example.test", clock: systemClock });
  return lmtp;
}

function workFor(port: number, ...to: string[]) {
  const message = createSampleMessage({ to });
  return { server: { host: "127.0.0.1", port }, message, recipients: recipientsOf(message), attemptId: "A1" };
}

/** Takes whom it knows; at the end of data it answers for each of them. */
function mailboxes(atEnd: Readonly<Record<string, string>>): Answer {
  let taken: string[] = [];
  return (line) => {
    const [, user] = /^RCPT TO:<(\w+)@/.exec(line) ?? [];
    if (user !== undefined) {
      if (!(user in atEnd)) return "550 5.1.1 No such user";
      taken.push(user);
      return "250 2.1.5 OK";
    }
    if (line === "") return "220 mailboxes.example LMTP";
    if (line.startsWith("LHLO")) return "250-mailboxes.example\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES";
    if (line === "DATA") return "354 Go on";
    if (line === ".") {
      const replies = taken.map((name) => atEnd[name]!).join("\r\n");
      taken = [];
      return replies;
    }
    return line === "QUIT" ? "221 Bye" : "250 OK";
  };
}

describe("LmtpDelivery.deliver", () => {
  test("each recipient has a reply of his own", async () => {
    const peer = await scripted(
      mailboxes({ grace: "250 2.0.0 Saved", full: "552 5.2.2 Quota exceeded", later: "452 4.2.2 Quota exceeded" }),
    );
    const to = ["grace", "nobody", "full", "later"].map((user) => `${user}@example.test`);
    const outcomes = await create().deliver(workFor(peer.port, ...to));
    const told = [...outcomes].sort((one, other) => one.index - other.index);
    const nextHop = `lmtp://127.0.0.1:${peer.port}`;
    expect(told).toMatchObject([
      { kind: "delivered", nextHop, reply: { code: 250 } },
      { kind: "failed", nextHop, reply: { code: 550, status: "5.1.1" } },
      { kind: "failed", nextHop, reply: { code: 552, status: "5.2.2" } },
      { kind: "deferred", nextHop, reply: { code: 452, status: "4.2.2" } },
    ]);
    expect(peer.lines[0]).toBe("LHLO mail.example.test");
  });

  test("connections to a server are kept for the next message", async () => {
    const peer = await scripted(mailboxes({ grace: "250 2.0.0 Saved" }));
    const delivery = create();
    for (let i = 0; i < 3; i++)
      expect(await delivery.deliver(workFor(peer.port, "grace@example.test"))).toMatchObject([{ kind: "delivered" }]);
    expect(peer.connections).toBe(1);
  });

  test("of more than 16 servers the one that was used longest ago is left", async () => {
    const peers: Awaited<ReturnType<typeof scripted>>[] = [];
    for (let i = 0; i < 17; i++) peers.push(await scripted(mailboxes({ grace: "250 2.0.0 Saved" })));
    const delivery = create();
    for (const { port } of [...peers.slice(0, 16), peers[0]!, peers[16]!])
      expect(await delivery.deliver(workFor(port, "grace@example.test"))).toMatchObject([{ kind: "delivered" }]);
    await expect.poll(() => peers[1]!.lines.at(-1)).toBe("QUIT");
    for (const [place, { lines }] of peers.entries()) if (place !== 1) expect(lines.at(-1)).not.toBe("QUIT");
  });

  test("a server that is not there defers", async () => {
    const peer = await scripted(() => undefined);
    await peer.close();
    expect(await create().deliver(workFor(peer.port, "grace@example.test"))).toMatchObject([
      { kind: "deferred", nextHop: `lmtp://127.0.0.1:${peer.port}` },
    ]);
  });

  test("by a socket of this machine, under its name", async () => {
    const folder = await mkdtemp(join(tmpdir(), "lmtp-"));
    const socket = join(folder, "lmtp");
    const peer = await scripted(mailboxes({ grace: "250 2.0.0 Saved" }));
    // What comes by the socket goes on to the peer's port.
    const server = createServer((one) => {
      const other = connect(peer.port, "127.0.0.1");
      one.pipe(other).pipe(one);
      one.on("error", () => other.destroy());
      other.on("error", () => one.destroy());
    });
    await new Promise<void>((resolve) => server.listen(socket, () => resolve()));
    const work = { ...workFor(peer.port, "grace@example.test"), server: { socket } };
    expect(await create().deliver(work)).toMatchObject([{ kind: "delivered", nextHop: `lmtp:${socket}` }]);
    lmtp?.close();
    await new Promise((resolve) => server.close(resolve));
    expect(await create().deliver(work)).toMatchObject([{ kind: "deferred", nextHop: `lmtp:${socket}` }]);
    await rm(folder, { recursive: true });
  });

  test("when the attempt's time is over it is deferred, and the connection ends", async () => {
    const abort = new AbortController();
    const peer = await scripted((line) => {
      if (line.startsWith("MAIL")) abort.abort();
      return line.startsWith("MAIL") ? undefined : mailboxes({})(line, undefined as never);
    });
    const work = { ...workFor(peer.port, "grace@example.test"), signal: abort.signal };
    expect(await create().deliver(work)).toMatchObject([{ kind: "deferred" }]);
  });
});
