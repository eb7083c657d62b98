/**
 * RELIABILITY §6 where descriptors run out: 128 for the whole server, and 300 clients that come and say nothing. Who finds no room is refused or waits; mail in custody is
 * delivered all the same or waits its turn; the server lives, takes mail again when they are gone, and keeps no descriptor of theirs.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeWith } from "../support/describe-with.ts";
import { Site, waitFor } from "../support/site.ts";
import { expectReply, SmtpClient } from "../support/smtp-client.ts";
import { requireTool } from "../support/tools.ts";
import { RecordingPeer } from "./recording-peer.ts";

const descriptorsMax = 128;
const clientsMax = 300;

/** Descriptors of the server's process, by what they are; sockets and pipes without their numbers. */
function descriptorsOf(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((name) => {
    try {
      return [readlinkSync(join(folder, name)).replace(/\[\d+\]$/, "")];
    } catch {
      return []; // Closed in between.
    }
  });
}

/** What became of a client that says nothing. */
interface Idle {
  readonly socket: Socket;
  heard: string;
  isOver: boolean;
}

function comeAndWait(port: number): Idle {
  const idle: Idle = { socket: connect({ port, host: "127.0.0.1" }), heard: "", isOver: false };
  idle.socket.on("data", (chunk: Buffer) => (idle.heard += chunk.toString("latin1")));
  idle.socket.on("error", () => {});
  idle.socket.on("close", () => (idle.isOver = true));
  return idle;
}

describeWith(["prlimit"], "a server without descriptors", () => {
  let site: Site;
  let peer: RecordingPeer;
  beforeAll(async () => {
    peer = await RecordingPeer.start();
    peer.setAway(true);
    site = await Site.start({
      config: `
[domains]
local = ["example.test"]
relay = ["remote.example"]
[[listeners]]
[listeners.limits]
connections_per_client_max = 1000
[[routes]]
match = "remote.example"
to = "smtp://127.0.0.1:${peer.port}"
[delivery.retry]
first = "1s"
max = "2s"
`,
      under: [requireTool("prlimit"), `--nofile=${descriptorsMax}`],
    });
  });
  afterAll(async () => {
    await site?.remove();
    await peer?.close();
  });

  let count = 0;
  async function send(to: string): Promise<string> {
    const client = await SmtpClient.connect(site.smtpPort, { timeoutMs: 10_000 });
    const marker = `fd-${count++}`;
    const data = Buffer.from(`X-Marker: ${marker}\r\nSubject: ${marker}\r\n\r\nbody\r\n`);
    expectReply(await client.send({ from: "reporter@example.test", to: [to], data }), 250);
    await client.quit();
    return marker;
  }

  test("lives through 300 idle clients, delivers what it has, and is as before when they are gone", {
    timeout: 180_000,
  }, async () => {
    await send("ada@example.test");
    await site.delivered("ada");
    const markers: string[] = [];
    for (let i = 0; i < 10; i++) markers.push(await send("bob@remote.example"));
    const before = descriptorsOf(site.pid).sort();

    const clients = Array.from({ length: clientsMax }, () => comeAndWait(site.smtpPort));
    try {
      // Nobody else has room now: clients were greeted until there was none left.
      await sleep(5_000);
      const greeted = clients.filter(({ heard }) => heard.startsWith("220 "));
      expect(greeted.length).toBeGreaterThan(0);
      expect(greeted.length).toBeLessThan(descriptorsMax);
      expect(descriptorsOf(site.pid).length).toBeLessThanOrEqual(descriptorsMax);
      // Whoever heard anything else heard that it is for now; the others wait or were hung up on.
      for (const { heard } of clients) if (heard !== "") expect(heard).toMatch(/^(220|421) /);
      for (const { socket } of clients.slice(clientsMax / 2)) socket.destroy();
      peer.setAway(false);
      await sleep(3_000);
    } finally {
      for (const { socket } of clients) socket.destroy();
    }

    await waitFor(
      () => markers.every((marker) => peer.delivered.some((one) => one.marker === marker)) || undefined,
      "the mail that was in custody",
      60_000,
    );
    await site.drained();
    expect(markers.map((marker) => peer.delivered.filter((one) => one.marker === marker).length)).toEqual(
      markers.map(() => 1),
    );
    await send("ada@example.test");
    await site.delivered("ada", 2);
    expect(site.maildir("reporter")).toEqual([]);
    expect(await site.ready()).toBe(true);
    // Idle connections to the next hop and of the last client are closed after some seconds.
    const now = () => descriptorsOf(site.pid).sort();
    await waitFor(
      () => now().length <= before.length || undefined,
      `${before.length} descriptors as before`,
      30_000,
    ).catch(() => expect(now()).toEqual(before));
    expect(await site.stop()).toBe(0);
  });
});
