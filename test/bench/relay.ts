/**
 * `npm run bench`: how fast mail goes through, and what CPU a message costs, side by side on this machine in one run. Every contender takes the same
 * messages over the same number of sessions, adds one field with the subject, keeps them durably, and relays them to the same sink.
 * `node test/bench/relay.ts [--messages N] [--sessions N] [--rounds N] [--only NAME]`; bounded in time: four minutes in all.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { freePorts } from "../support/free-ports.ts";
import { runProgram } from "../support/site.ts";
import { missingTools, requireTool } from "../support/tools.ts";
import { benchField, benchRecipient, benchSender, type Contender, type RunningContender } from "./contender.ts";
import { harakaContender } from "./contender-haraka.ts";
import { onArrivalContender } from "./contender-onarrival.ts";
import { postfixContender } from "./contender-postfix.ts";
import { readCpuMs } from "./cpu-time.ts";
import { CountingSink, catchOne } from "./sink.ts";

const messageOctets = 4_096;
const runMsMax = 230_000;
const roundMsMax = 40_000;

export interface Round {
  /** Messages at the sink for each second from the first connection on. */
  readonly deliveredPerSecond: number;
  /** Messages answered 250 for each second. */
  readonly acceptedPerSecond: number;
  readonly cpuMsPerMessage: number;
}

interface Lane {
  readonly contender: Contender;
  readonly server: RunningContender;
  readonly sink: CountingSink;
  readonly rounds: Round[];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      messages: { type: "string", default: "2000" },
      sessions: { type: "string", default: "20" },
      rounds: { type: "string", default: "3" },
      only: { type: "string" },
    },
  });
  const [messages, sessions, rounds] = [Number(values.messages), Number(values.sessions), Number(values.rounds)];
  const missing = missingTools(["smtp-source", "smtp-sink"]);
  if (missing.length > 0) {
    print(`NOT RUN: the benchmark needs ${missing.join(", ")}`);
    process.exitCode = 1;
    return;
  }

  const deadline = performance.now() + runMsMax;
  const loadBefore = loadavg()[0] ?? 0;
  const folder = mkdtempSync(join(tmpdir(), "onarrival-bench-"));
  chmodSync(folder, 0o755); // A contender may run as another user and must come through.
  const mail = join(folder, "mail.txt");
  writeFileSync(mail, composeMail());
  const lanes: Lane[] = [];
  const notRun: string[] = [];
  try {
    for (const contender of [onArrivalContender(), postfixContender(), harakaContender()]) {
      if (values.only !== undefined && !contender.name.toLowerCase().startsWith(values.only.toLowerCase())) continue;
      if (contender.missing !== undefined) {
        notRun.push(`${contender.name}: ${contender.missing}`);
        continue;
      }
      try {
        const lane = await openLane(contender, join(folder, contender.name.split(" ")[0]!.toLowerCase()), mail);
        lanes.push(lane);
        await runRound(lane, { messages: Math.ceil(messages / 4), sessions, mail }); // Warm-up: compilers, caches, connections.
        print(`${contender.name} is warm`);
      } catch (error) {
        notRun.push(`${contender.name}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    for (let round = 0; round < rounds; round++) {
      // Each round begins with another, so that nobody always has the machine at its quietest.
      const order = lanes.map((_, index) => lanes[(index + round) % lanes.length]!);
      for (const lane of order) {
        if (performance.now() + roundMsMax > deadline) {
          notRun.push(`${lane.contender.name}: round ${round + 1} (out of time)`);
          continue;
        }
        try {
          lane.rounds.push(await runRound(lane, { messages, sessions, mail }));
        } catch (error) {
          notRun.push(
            `${lane.contender.name}: round ${round + 1}: ${error instanceof Error ? error.message : String(error)}`,
          );
        }
      }
    }
  } finally {
    for (const { server, sink } of lanes) {
      await server.stop();
      await sink.stop();
    }
    if (process.env.BENCH_KEEP === undefined) rmSync(folder, { recursive: true, force: true });
    else print(`kept: ${folder}`);
  }
  print(formatTable(lanes, { messages, sessions, notRun, loadBefore }));
  if (lanes.every((lane) => lane.rounds.length === 0)) process.exitCode = 1;
}

/** Starts a contender and its sink, and makes sure by one message that it edits what it relays. */
async function openLane(contender: Contender, folder: string, mail: string): Promise<Lane> {
  mkdirSync(folder);
  const [sinkPort] = await freePorts(1);
  const server = await contender.start({ folder, sinkPort: sinkPort! });
  try {
    const caught = await catchOne({
      port: sinkPort!,
      folder,
      lastLine,
      send: () => sendMail(server.port, { messages: 1, sessions: 1, mail }),
    });
    if (!new RegExp(`^${benchField}: a message of the benchmark\r?$`, "m").test(caught))
      throw new Error(`it relays without the field ${benchField}`);
    const sink = await CountingSink.start(sinkPort!);
    return { contender, server, sink, rounds: [] };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function runRound(
  { server, sink }: Lane,
  load: { readonly messages: number; readonly sessions: number; readonly mail: string },
): Promise<Round> {
  const { messages } = load;
  const target = sink.count + messages;
  const cpuBefore = readCpuMs(server.processes);
  const began = performance.now();
  let acceptedMs = 0;
  const sending = sendMail(server.port, load).then(() => {
    acceptedMs = performance.now() - began;
  });
  // Whoever fails to send is heard of below; until then the count is watched.
  sending.catch(() => {});
  while (sink.count < target) {
    if (performance.now() - began > roundMsMax) {
      throw new Error(
        `${messages - (target - sink.count)} of ${messages} messages at the sink within ${roundMsMax / 1_000} s`,
      );
    }
    await sleep(2);
  }
  const deliveredMs = performance.now() - began;
  await sending;
  await sleep(500); // What is left to do behind the last message is part of its cost.
  return {
    deliveredPerSecond: (messages * 1_000) / deliveredMs,
    acceptedPerSecond: (messages * 1_000) / acceptedMs,
    cpuMsPerMessage: (readCpuMs(server.processes) - cpuBefore) / messages,
  };
}

async function sendMail(
  port: number,
  { messages, sessions, mail }: { readonly messages: number; readonly sessions: number; readonly mail: string },
): Promise<void> {
  const args = [
    "-d",
    "-s",
    String(sessions),
    "-m",
    String(messages),
    "-F",
    mail,
    "-M",
    "source.example",
    "-f",
    benchSender,
    "-t",
    benchRecipient,
  ];
  const { status, stderr } = await runProgram(requireTool("smtp-source"), [...args, `inet:127.0.0.1:${port}`], {
    timeoutMs: roundMsMax,
  });
  if (status !== 0) throw new Error(`smtp-source ended with ${status ?? "a signal"}: ${stderr.trim().slice(0, 200)}`);
}

const lastLine = "the end of the message";

function composeMail(): string {
  const header = [
    `From: ${benchSender}`,
    `To: ${benchRecipient}`,
    "Subject: a message of the benchmark",
    "Date: Thu, 01 Jan 2026 12:00:00 +0000",
    "Message-ID: <bench@client.example>",
  ].join("\n");
  const line = "the quick brown fox jumps over the lazy dog, and over again, and again\n";
  const fill = messageOctets - header.length - lastLine.length - 3;
  return `${header}\n\n${line.repeat(Math.ceil(fill / line.length)).slice(0, fill - 1)}\n${lastLine}\n`;
}

function formatTable(
  lanes: readonly Lane[],
  {
    messages,
    sessions,
    notRun,
    loadBefore,
  }: {
    readonly messages: number;
    readonly sessions: number;
    readonly notRun: readonly string[];
    readonly loadBefore: number;
  },
): string {
  const rows = lanes
    .filter((lane) => lane.rounds.length > 0)
    .map((lane) => ({
      name: lane.contender.name,
      facts: lane.contender.facts,
      rounds: lane.rounds.length,
      delivered: median(lane.rounds.map((round) => round.deliveredPerSecond)),
      accepted: median(lane.rounds.map((round) => round.acceptedPerSecond)),
      cpu: median(lane.rounds.map((round) => round.cpuMsPerMessage)),
      spread: lane.rounds.map((round) => round.deliveredPerSecond.toFixed(0)).join(" "),
    }));
  const ours = rows.find((row) => row.name === "OnArrival");
  const ratio = (value: number, base: number | undefined) =>
    base === undefined ? "-" : `${(value / base).toFixed(2)}×`;
  const lines = [
    "",
    `Relay: ${messages} messages of ${messageOctets} octets over ${sessions} sessions, one field added, to smtp-sink; each as durable as it is by default. Medians of the rounds.`,
    `Machine: ${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? "unknown"}), Linux ${release()}, node ${process.versions.node}; generator and sink share the cores.`,
    "",
    `${"".padEnd(20)}${"delivered/s".padStart(12)}${"of ours".padStart(9)}${"accepted/s".padStart(12)}${"CPU ms/message".padStart(16)}${"of ours".padStart(9)}   delivered/s by round`,
    ...rows.map(
      (row) =>
        `${row.name.padEnd(20)}${row.delivered.toFixed(0).padStart(12)}${ratio(row.delivered, ours?.delivered).padStart(9)}${row.accepted.toFixed(0).padStart(12)}${row.cpu.toFixed(2).padStart(16)}${ratio(row.cpu, ours?.cpu).padStart(9)}   ${row.spread}`,
    ),
    "",
    ...rows.map((row) => `${row.name}: ${row.facts}`),
    ...notRun.map((line) => `NOT RUN: ${line}`),
    ...(loadBefore > availableParallelism() / 2
      ? [
          `NOT QUIET: the load average was ${loadBefore.toFixed(1)} before the run; only the ratios are worth something.`,
        ]
      : []),
  ];
  return lines.join("\n");
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130)); // What runs is ended on the way out.
await main();
