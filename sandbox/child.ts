/**
 * The child process in which scripts run: one channel, on descriptor 3, and nothing else. It takes one frame after the other; a script is
 * entered synchronously, so while one computes nothing else happens here, and the watchdog for that is the server's. Ends with its channel.
 */
import { writeSync } from "node:fs";
import { Socket } from "node:net";
import { ChildRun } from "./child-run.ts";
import { encodeFrame, type Frame, FrameDecoder } from "./frame.ts";
import { IsolateCache } from "./isolate-cache.ts";
import { type CompiledScript, type ScriptFault, ScriptFaultError } from "./protocol.ts";
import type { FromChild, ToChild } from "./wire.ts";

const channelFd = 3;
const octetsMax = 1_073_741_824;

const channel = new Socket({ fd: channelFd, readable: true, writable: true });
const decoder = new FrameDecoder({ headOctetsMax: 67_108_864, octetsMax });
const isolates = new IsolateCache(dieOf);
/** Runs that wait: for octets or texts of their message, for answers of the server, or for their turn in an isolate. */
const waiting = new Map<number, ChildRun>();
/** Runs that wait for their turn, and since when. */
const turns = new Map<number, number>();
/** Time to wait for a turn: others have to be over first, or dropped at the end of their time. */
const turnMsMax = 15_000;
let isLookingAtTurns = false;
const lateFault: ScriptFault = {
  code: "script.wall-limit",
  message: `The script did not get its turn within ${turnMsMax} ms: too many runs of it wait for answers of the server`,
  at: null,
  stack: "",
};
/** Settles when the texts that are read now are read: one message at a time, as each takes much memory. */
let reading = Promise.resolve();

setInterval(lookAtTurns, 1_000).unref();
channel.on("data", (chunk: Buffer) => {
  for (const frame of decoder.push(chunk)) take(frame);
});
channel.on("error", () => process.exit(0));
channel.on("close", () => process.exit(0));
send({ t: "ready" });
// The parser takes long to load and is rarely the first thing wanted: fetched while there is nothing else to do.
setTimeout(() => void import("mailparser"), 200).unref();

function take({ head, tail }: Frame): void {
  const message = head as ToChild;
  switch (message.t) {
    case "load":
      load(message, tail);
      break;
    case "unload":
      isolates.remove(message.version);
      break;
    case "run": {
      const announce = (step: number) => send({ t: "at", id: message.id, step, parsing: false });
      advance(message.id, new ChildRun(message, tail, isolates, announce));
      break;
    }
    case "octets": {
      const run = waiting.get(message.id);
      if (!run) return;
      waiting.delete(message.id);
      run.giveOctets(tail);
      advance(message.id, run);
      break;
    }
    case "answer": {
      const run = waiting.get(message.id);
      if (!run?.waitsIn(message.attempt)) return;
      run.giveAnswer(message.call, message.answer, message.clock, tail);
      advance(message.id, run);
      break;
    }
    case "drop":
      waiting.get(message.id)?.drop();
      waiting.delete(message.id);
      turns.delete(message.id);
  }
  lookAtTurns();
}

function load({ id, name, version, limits, codeOctets, warm }: ToChild & { readonly t: "load" }, tail: Buffer): void {
  const script: CompiledScript = {
    name,
    version,
    code: tail.toString("utf8", 0, codeOctets),
    sourceMap: tail.toString("utf8", codeOctets),
    inputs: [],
    sources: {},
  };
  isolates.add(script, limits);
  if (!warm) return;
  try {
    send({ t: "loaded", id, exports: isolates.load(version), fault: null });
  } catch (thrown) {
    if (!(thrown instanceof ScriptFaultError)) throw thrown;
    isolates.remove(version);
    send({ t: "loaded", id, exports: null, fault: thrown.fault });
  }
}

function advance(id: number, run: ChildRun): void {
  switch (run.advance()) {
    case "calls": {
      waiting.set(id, run);
      const calls = run.asked.map(({ call, question, body }) => ({ call, question, octets: body.length }));
      const bodies = run.asked.map(({ body }) => body);
      run.asked = [];
      send({ t: "calls", id, step: run.step, attempt: run.attempt, calls }, bodies);
      return;
    }
    case "turn":
      waiting.set(id, run);
      turns.set(id, performance.now());
      send({ t: "calls", id, step: run.step, attempt: run.attempt, calls: [] });
      return;
    case "done":
      waiting.delete(id);
      // Step results are JSON already.
      channel.write(encodeFrame(`{"t":"done","id":${id},"steps":[${run.results.join(",")}]}`, run.tails));
      return;
    case "octets":
      waiting.set(id, run);
      send({ t: "need", id });
      return;
    case "texts":
      waiting.set(id, run);
      send({ t: "at", id, step: run.step, parsing: true });
      reading = reading.then(() => parse(id, run));
  }
}

/** The next of those that wait for their turn, when there is an isolate for it, or its time is over. */
function lookAtTurns(): void {
  if (isLookingAtTurns || turns.size === 0) return;
  isLookingAtTurns = true;
  setImmediate(() => {
    isLookingAtTurns = false;
    for (const [id, sinceMs] of turns) {
      const run = waiting.get(id)!;
      const isLate = performance.now() - sinceMs > turnMsMax;
      if (!run.hasTurn && !isLate) continue;
      turns.delete(id);
      if (isLate) run.giveUp(lateFault);
      send({ t: "at", id, step: run.step, parsing: false });
      advance(id, run);
      break;
    }
    // Where there is nobody to wake us, there is nobody to wait for: frames come as long as runs are under way.
    if ([...turns.keys()].some((id) => waiting.get(id)!.hasTurn)) lookAtTurns();
  });
}

async function parse(id: number, run: ChildRun): Promise<void> {
  await run.parse();
  waiting.delete(id);
  send({ t: "at", id, step: run.step, parsing: false });
  advance(id, run);
  lookAtTurns();
}

function send(message: FromChild, tails: readonly Uint8Array[] = []): void {
  channel.write(encodeFrame(JSON.stringify(message), tails));
}

/** V8 has lost an isolate: nothing in this process can be trusted any more, not even a clean exit. */
function dieOf(message: string): void {
  try {
    writeSync(2, `catastrophe: ${message}\n`);
  } finally {
    process.kill(process.pid, "SIGKILL");
  }
}
