/**
 * What sessions and large messages cost in memory: 2,000 idle sessions of one server, and a message of 100 MB streamed through another. RSS is read
 * from /proc; the server's sandbox processes and its spool's thread are part of neither figure's growth. Run: node test/bench/memory.ts
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePorts } from "../support/free-ports.ts";
import { Daemon } from "../support/peers/daemon.ts";

const root = resolve(import.meta.dirname, "../..");
const kib = 1024;

const idleSessions = 2_000;
const idleKibMax = 40;
const streamedOctets = 100_000_000;
const streamMibMax = 32;

const idleKib = await withServer(measureIdle);
const streamMib = await withServer(measureStream);
console.log(`${idleSessions} idle sessions       ${idleKib.toFixed(1)} KiB each   (at most ${idleKibMax})`);
console.log(`100 MB streamed through   RSS grew by ${streamMib.toFixed(1)} MiB at most   (at most ${streamMibMax})`);
const reached = idleKib <= idleKibMax && streamMib <= streamMibMax;
console.log(reached ? "reached" : "NOT REACHED");
process.exitCode = reached ? 0 : 1;

async function withServer<T>(
  work: (server: { readonly port: number; readonly pid: number }) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "onarrival-memory-"));
  const [port, adminPort] = await freePorts(2);
  mkdirSync(join(folder, "scripts"));
  writeFileSync(
    join(folder, "onarrival.toml"),
    `[[listeners]]
port = ${port}
limits = { connections_max = 5000, connections_per_client_max = 5000, size_max = "200MB" }
[domains]
local = ["example.test"]
[admin]
port = ${adminPort}
`,
  );
  const server = new Daemon([join(root, "node_modules/.bin/node"), join(root, "src/cli/launch.mjs"), "serve"], {
    logFile: join(folder, "onarrival.log"),
    cwd: folder,
    env: { ONARRIVAL_CONFIG: join(folder, "onarrival.toml") },
  });
  try {
    await server.listensOn([port!]);
    return await work({ port: port!, pid: server.pid });
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** KiB by which RSS grows for each session that has said EHLO and waits. */
async function measureIdle({ port, pid }: { readonly port: number; readonly pid: number }): Promise<number> {
  // What the first sessions need once (code that is compiled, pools that are made) is not theirs.
  const first = await openSessions(port, 200);
  for (const socket of first) socket.destroy();
  await sleep(1_000);
  const before = rssKib(pid);
  const sockets = await openSessions(port, idleSessions);
  await sleep(1_000);
  const after = rssKib(pid);
  for (const socket of sockets) socket.destroy();
  return (after - before) / idleSessions;
}

async function openSessions(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let at = 0; at < count; at += 50) {
    sockets.push(...(await Promise.all(Array.from({ length: Math.min(50, count - at) }, () => openSession(port)))));
  }
  return sockets;
}

function openSession(port: number): Promise<Socket> {
  return new Promise((done, failed) => {
    const socket = connect(port, "127.0.0.1");
    let heard = "";
    socket.on("error", failed);
    socket.on("data", (chunk: Buffer) => {
      heard += chunk.toString("latin1");
      if (/^220 .*\r\n$/.test(heard)) {
        heard = "";
        socket.write("EHLO client.example.org\r\n");
      } else if (/^250 [^\r]*\r\n$/m.test(heard)) done(socket);
    });
  });
}

/** MiB by which RSS grows at most while a large message goes through to the Maildir. */
async function measureStream({ port, pid }: { readonly port: number; readonly pid: number }): Promise<number> {
  await send(port, 1_000_000);
  await send(port, 1_000_000);
  await sleep(1_000);
  const before = rssKib(pid);
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, rssKib(pid));
  }, 20);
  await send(port, streamedOctets);
  await sleep(3_000);
  clearInterval(timer);
  return (most - before) / kib;
}

async function send(port: number, octets: number): Promise<void> {
  const socket = await openSession(port);
  const replies: string[] = [];
  let wake = () => {};
  socket.removeAllListeners("data");
  socket.on("data", (chunk: Buffer) => {
    replies.push(chunk.toString("latin1"));
    wake();
  });
  const reply = async () => {
    while (replies.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    return replies.splice(0).join("");
  };
  for (const command of ["MAIL FROM:<a@example.org>", "RCPT TO:<b@example.test>", "DATA"]) {
    socket.write(`${command}\r\n`);
    await reply();
  }
  const line = `${"x".repeat(76)}\r\n`;
  const block = Buffer.from(line.repeat(800));
  socket.write("Subject: large\r\n\r\n");
  for (let sent = 0; sent < octets; sent += block.length)
    if (!socket.write(block)) await new Promise((resolve) => socket.once("drain", resolve));
  socket.write(".\r\n");
  const last = await reply();
  if (!last.startsWith("250")) throw new Error(`the message was not taken: ${last}`);
  socket.destroy();
}

function rssKib(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))![1]);
}
