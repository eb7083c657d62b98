/**
 * `node test/bench/engines.ts`: what a message costs each listener engine, in one run: 10 kept sessions, 4 KiB messages, thrown away once they are
 * parsed. Rounds alternate; the figures are medians. Needs Postfix's smtp-source.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { Dispatcher } from "../../src/events/dispatcher.ts";
import { startLibraryListener } from "../../src/inbound/library-engine.ts";
import type { ListenerOptions } from "../../src/inbound/listener.ts";
import { startNativeListener } from "../../src/inbound/native-engine.ts";
import { Reception } from "../../src/inbound/reception.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { silentLog } from "../../src/platform/log.ts";
import { BadMail } from "../../src/spool/badmail.ts";
import { createMemorySpool } from "../../src/spool/memory.ts";
import { runProgram } from "../support/site.ts";
import { missingTools, requireTool } from "../support/tools.ts";
import { readCpuMs } from "./cpu-time.ts";

const engines = { library: startLibraryListener, native: startNativeListener };
type Engine = keyof typeof engines;

const messages = 5_000;
const sessions = 10;
const messageOctets = 4_096;
const rounds = 5;

const [role, engine] = process.argv.slice(2);
if (role === "serve") await serve(engine as Engine);
else await compare();

/** A listener that keeps nothing; says its port on standard output and ends with its parent. */
async function serve(name: Engine): Promise<void> {
  const options: ListenerOptions = {
    name,
    address: "127.0.0.1",
    port: 0,
    role: "mx",
    hostname: "mx.example.test",
    limits: {
      sizeOctetsMax: 1_000_000,
      recipientsMax: 100,
      connectionsMax: 100,
      connectionsPerClientMax: 100,
      idleTimeoutMs: 60_000,
    },
    lineEnds: "refuse",
  };
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
  const servers = new Map<Engine, { readonly child: ChildProcess; readonly port: number; readonly rounds: Round[] }>();
  for (const name of Object.keys(engines) as Engine[]) {
    const child = spawn(process.execPath, [import.meta.filename, "serve", name], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const [line] = (await once(child.stdout!, "data")) as [Buffer];
    servers.set(name, { child, port: Number(line.toString()), rounds: [] });
  }
  // The first round warms up.
  for (let round = 0; round <= rounds; round++) {
    for (const { child, port, rounds: measured } of servers.values()) {
      const result = await measure(child.pid!, port);
      if (round > 0) measured.push(result);
    }
  }
  process.stdout.write(
    `${messages} messages of ${messageOctets} octets, ${sessions} sessions, median of ${rounds} rounds\n\n`,
  );
  process.stdout.write("engine   messages/s  CPU ms/message\n");
  for (const [name, { child, rounds: measured }] of servers) {
    const perSecond = median(measured.map((round) => round.perSecond)).toFixed(0);
    const cpu = median(measured.map((round) => round.cpuMsPerMessage)).toFixed(3);
    process.stdout.write(`${name.padEnd(7)}  ${perSecond.padStart(10)}  ${cpu.padStart(14)}\n`);
    child.stdin!.end();
  }
  const cpuOf = (name: Engine) => median(servers.get(name)!.rounds.map((round) => round.cpuMsPerMessage));
  process.stdout.write(`\nnative : library, CPU per message: ${(cpuOf("native") / cpuOf("library")).toFixed(2)}\n`);
}

async function measure(pid: number, port: number): Promise<Round> {
  const cpuBefore = readCpuMs([pid]);
  const begun = performance.now();
  await runProgram(requireTool("smtp-source"), [
    "-d",
    ...["-s", String(sessions), "-m", String(messages), "-l", String(messageOctets)],
    ...["-f", "a@example.org", "-t", "b@example.test", `127.0.0.1:${port}`],
  ]);
  const seconds = (performance.now() - begun) / 1_000;
  return { perSecond: messages / seconds, cpuMsPerMessage: (readCpuMs([pid]) - cpuBefore) / messages };
}

function median(values: readonly number[]): number {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)]!;
}
