/**
 * `node test/bench/engines.ts`: what a message costs each listener engine, in one run: 10 kept sessions, 4 KiB messages, thrown away once they are
 * parsed. With a client that pipelines, as relaying servers do, and with one that waits for each reply (Postfix's smtp-source), where most of the
 * cost is the kernel's, four writes a message whichever engine makes them; and with a connection for each message. Rounds alternate; the figures
 * are medians.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { Dispatcher } from "../../src/events/dispatcher.ts";
import { Tracer } from "../../src/events/trace.ts";
import { startLibraryListener } from "../../src/inbound/library-engine.ts";
import { startNativeListener } from "../../src/inbound/native-engine.ts";
import { Reception } from "../../src/inbound/reception.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { silentLog } from "../../src/platform/log.ts";
import { BadMail } from "../../src/spool/badmail.ts";
import { createMemorySpool } from "../../src/spool/memory.ts";
import { listenerOptions } from "../support/listener-options.ts";
import { runProgram } from "../support/site.ts";
import { missingTools, requireTool } from "../support/tools.ts";
import { readCpuMs } from "./cpu-time.ts";

const engines = { library: startLibraryListener, native: startNativeListener };
type Engine = keyof typeof engines;

const messages = 5_000;
/** With a connection for each: the library greets after 100 ms. */
const freshMessages = 300;
const sessions = 10;
const messageOctets = 4_096;
const rounds = 5;
/** What is to be reached, pipelining. */
const ratioMax = 0.5;
const clients = ["pipelining", "lockstep", "fresh"] as const;
type Client = (typeof clients)[number];

const [role, engine] = process.argv.slice(2);
if (role === "serve") await serve(engine as Engine);
else await compare();

/** A listener that keeps nothing; says its port on standard output and ends with its parent. */
async function serve(name: Engine): Promise<void> {
  const options = listenerOptions({ name });
  const dispatcher = new Dispatcher({
    log: silentLog,
    clock: systemClock,
    scripts: { run: () => Promise.reject(new Error("no script is bound")) },
  });
  const reception = new Reception(options, {
    dispatcher,
    spool: { ...createMemorySpool(), accept: async () => {} },
    badmail: new BadMail("/nonexistent"),
    clock: systemClock,
    log: silentLog,
    tracer: new Tracer(),
    overloaded: () => false,
    postmasterDomain: "example.test",
    enqueue: () => {},
  });
  const listener = await engines[name](options, reception, { clock: systemClock, log: silentLog });
  process.stdout.write(`${listener.port}\n`);
  process.stdin.resume();
  process.stdin.on("end", () => process.exit(0));
}

interface Round {
  readonly perSecond: number;
  readonly cpuMsPerMessage: number;
}

async function compare(): Promise<void> {
  const missing = missingTools(["smtp-source"]);
  if (missing.length > 0) {
    process.stdout.write(`NOT RUN: this benchmark needs ${missing.join(", ")}\n`);
    process.exitCode = 1;
    return;
  }
  const servers = new Map<
    Engine,
    { readonly child: ChildProcess; readonly port: number; readonly rounds: Record<Client, Round[]> }
  >();
  for (const name of Object.keys(engines) as Engine[]) {
    const child = spawn(process.execPath, [import.meta.filename, "serve", name], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const [line] = (await once(child.stdout!, "data")) as [Buffer];
    servers.set(name, { child, port: Number(line.toString()), rounds: { pipelining: [], lockstep: [], fresh: [] } });
  }
  // The first round warms up.
  for (let round = 0; round <= rounds; round++) {
    for (const client of clients) {
      for (const { child, port, rounds: measured } of servers.values()) {
        const result = await measure(client, child.pid!, port);
        if (round > 0) measured[client].push(result);
      }
    }
  }
  for (const { child } of servers.values()) child.stdin!.end();
  process.stdout.write(
    `${messages} messages of ${messageOctets} octets, ${sessions} sessions, median of ${rounds} rounds\n\n`,
  );
  process.stdout.write("client      engine   messages/s  CPU ms/message\n");
  const cpuOf = (name: Engine, client: Client) =>
    median(servers.get(name)!.rounds[client].map((round) => round.cpuMsPerMessage));
  for (const client of clients) {
    for (const [name, { rounds: measured }] of servers) {
      const perSecond = median(measured[client].map((round) => round.perSecond)).toFixed(0);
      const cpu = cpuOf(name, client).toFixed(3);
      process.stdout.write(`${client.padEnd(10)}  ${name.padEnd(7)}  ${perSecond.padStart(10)}  ${cpu.padStart(14)}\n`);
    }
  }
  process.stdout.write("\n");
  for (const client of clients) {
    const ratio = cpuOf("native", client) / cpuOf("library", client);
    const wanted =
      client === "pipelining" ? `   (at most ${ratioMax}: ${ratio <= ratioMax ? "reached" : "NOT REACHED"})` : "";
    process.stdout.write(`native : library, CPU per message, ${client}: ${ratio.toFixed(2)}${wanted}\n`);
  }
}

async function measure(client: Client, pid: number, port: number): Promise<Round> {
  const cpuBefore = readCpuMs([pid]);
  const begun = performance.now();
  const count = client === "fresh" ? freshMessages : messages;
  if (client === "pipelining") {
    const load = join(import.meta.dirname, "pipelining-client.ts");
    await runProgram(process.execPath, [load, ...[port, sessions, messages, messageOctets].map(String)]);
  } else {
    await runProgram(requireTool("smtp-source"), [
      ...(client === "fresh" ? [] : ["-d"]),
      ...["-s", String(sessions), "-m", String(count), "-l", String(messageOctets)],
      ...["-f", "a@example.org", "-t", "b@example.test", `127.0.0.1:${port}`],
    ]);
  }
  const seconds = (performance.now() - begun) / 1_000;
  return { perSecond: count / seconds, cpuMsPerMessage: (readCpuMs([pid]) - cpuBefore) / count };
}

function median(values: readonly number[]): number {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)]!;
}
