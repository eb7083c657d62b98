/**
 * RELIABILITY §6 towards the next hop: servers that refuse, break off, fall silent and reset, at every step. What they said for good goes back to the sender, everything
 * else is delivered once they are well again; nothing is lost.
 */
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeWith } from "../support/describe-with.ts";
import { freePorts } from "../support/free-ports.ts";
import { Daemon } from "../support/peers/daemon.ts";
import { Site, waitFor } from "../support/site.ts";
import { expectReply, SmtpClient } from "../support/smtp-client.ts";
import { requireTool } from "../support/tools.ts";
import { readMaildirs } from "./places.ts";
import { RecordingPeer } from "./recording-peer.ts";

let site: Site;
let port: number;

beforeAll(async () => {
  [port] = (await freePorts(1)) as [number];
  site = await Site.start({
    config: `
[domains]
local = ["example.test"]
relay = ["remote.example"]
[[routes]]
match = "remote.example"
to = "smtp://127.0.0.1:${port}"
[delivery]
attempt_timeout = "4s"
[delivery.retry]
first = "1h"
max = "1h"
`,
  });
});
afterAll(() => site.remove());

/** It does not want to run as root. */
const asUser = process.getuid?.() === 0 ? ["-u", "postfix"] : [];

let count = 0;

async function send(): Promise<{ readonly id: string; readonly marker: string }> {
  const marker = `down-${count++}`;
  const client = await SmtpClient.connect(site.smtpPort);
  const data = Buffer.from(
    `From: <reporter@example.test>\r\nX-Marker: ${marker}\r\nSubject: ${marker}\r\n\r\nbody of ${marker}\r\n`,
  );
  const reply = expectReply(
    await client.send({ from: "reporter@example.test", to: ["bob@remote.example"], data }),
    250,
  );
  await client.quit();
  return { id: /queued as (\S+)/.exec(reply.text)![1]!, marker };
}

/** How the first attempt ended. */
async function outcomeOf(id: string): Promise<string> {
  const line = await site.logged(
    (line) => line.message === id && /^delivery\.(delivered|deferred|failed)$/.test(line.event),
    `of the outcome of ${id}`,
    30_000,
  );
  return line.event.slice("delivery.".length);
}

/** What is queued goes to a server that is well; gives how often each marker arrived. */
async function recover(markers: readonly string[]): Promise<void> {
  const peer = await RecordingPeer.start(port);
  try {
    const arrived = () => markers.every((marker) => peer.delivered.some((one) => one.marker === marker));
    for (const end = performance.now() + 30_000; !arrived() && performance.now() < end; await sleep(500))
      expect((await site.cli(["queue", "retry", "--all"])).status).toBeLessThan(2);
    expect(arrived()).toBe(true);
    await site.drained();
  } finally {
    await peer.close();
  }
}

describeWith(["smtp-sink"], "a next hop that misbehaves", () => {
  const soft = ["EHLO", "MAIL", "RCPT", "DATA", "."].map(
    (verb) => [`defers ${verb}`, ["-r", verb], "deferred"] as const,
  );
  const hard = ["MAIL", "RCPT", "DATA", "."].map((verb) => [`refuses ${verb}`, ["-f", verb], "failed"] as const);
  const gone = ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."].map(
    (verb) => [`breaks off at ${verb}`, ["-q", verb], "deferred"] as const,
  );
  const shut = ["MAIL", "RCPT", "DATA", "."].map((verb) => [`says 421 to ${verb}`, ["-Q", verb], "deferred"] as const);
  const slow = ["MAIL", "DATA", "."].map((verb) => [`is silent at ${verb}`, ["-W", `${verb}:20`], "deferred"] as const);
  test.each([
    ...soft,
    ...hard,
    ...gone,
    ...shut,
    ...slow,
    // It says 550 and closes without reading on: who is still writing may be reset before he hears it.
    ["breaks off in the data", ["-A", "0"], "deferred or failed"],
    ["knows no EHLO", ["-e"], "delivered"],
  ] as const)("%s", { timeout: 90_000 }, async (_what, flags, expected) => {
    const sink = new Daemon([requireTool("smtp-sink"), ...asUser, ...flags, `127.0.0.1:${port}`, "10"], {
      logFile: join(site.folder, "sink.log"),
      cwd: site.folder,
    });
    try {
      await sink.listensOn([port]);
      const { id, marker } = await send();
      const outcome = await outcomeOf(id);
      expect(expected.split(" or ")).toContain(outcome);
      await sink.stop();
      if (outcome === "deferred") await recover([marker]);
      if (outcome === "failed")
        await waitFor(
          () =>
            readMaildirs(join(site.dataFolder, "mail/example.test"), "reporter").some((one) => one.marker === marker) ||
            undefined,
          "the report",
          10_000,
        );
    } finally {
      await sink.stop();
    }
  });
});

/** A server that does as it likes with each connection. */
async function misbehave(serve: (socket: Socket) => void): Promise<{ close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    serve(socket);
  });
  await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
  return {
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((done) => server.close(() => done()));
    },
  };
}

/** Answers every command well, until `stop` says otherwise of what came. */
function answering(stop: (heard: string, socket: Socket) => boolean): (socket: Socket) => void {
  return (socket) => {
    socket.write("220 peer.example\r\n");
    let heard = "";
    socket.on("data", (chunk) => {
      heard += chunk.toString("latin1");
      if (stop(heard, socket)) return;
      if (/DATA\r\n$/.test(heard)) socket.write("354 go\r\n");
      else if (/\r\n$/.test(heard) && !/DATA\r\n/.test(heard)) socket.write("250 fine\r\n");
    });
  };
}

test.each<[string, (socket: Socket) => void]>([
  ["takes the connection and says nothing", () => {}],
  [
    "resets the connection after the final dot",
    answering((heard, socket) => /\r\n\.\r\n$/.test(heard) && Boolean(socket.resetAndDestroy())),
  ],
  ["never answers the final dot", answering((heard) => /\r\n\.\r\n$/.test(heard))],
  [
    "closes its half after DATA",
    answering((heard, socket) => /DATA\r\n$/.test(heard) && Boolean(socket.end("354 go\r\n"))),
  ],
  [
    "answers without end",
    (socket) => {
      const timer = setInterval(() => socket.write("220-still greeting\r\n"), 1);
      socket.on("close", () => clearInterval(timer));
    },
  ],
  ["answers garbage", (socket) => void socket.write(Buffer.from([0xff, 0xfe, 0x0d, 0x0a, 0x00, 0x0d, 0x0a]))],
])("a next hop that %s: deferred, and delivered when it is well", { timeout: 60_000 }, async (_what, serve) => {
  const peer = await misbehave(serve);
  let sent: { readonly id: string; readonly marker: string };
  try {
    sent = await send();
    expect(await outcomeOf(sent.id)).toBe("deferred");
  } finally {
    await peer.close();
  }
  await recover([sent.marker]);
});
