/**
 * A sandbox process, seen from the server: started with nothing of ours but a channel, spoken to in frames, killed without asking. What the
 * frames mean is pool.ts. Its environment is empty, and Node's permission model keeps it from files, network, processes and threads.
 */
import { type ChildProcess as NodeProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Duplex } from "node:stream";
import { childProgram, guestFile } from "./child-program.ts";
import { type Frame, FrameDecoder, FrameError } from "./frame.ts";
import { plainLine } from "./plain-line.ts";
import { checkMessage, ProtocolError } from "./validate.ts";
import type { FromChild } from "./wire.ts";

export interface ChildEvents {
  /** @throws {ProtocolError} where the message does not fit; the process is then killed */
  onMessage(message: FromChild, tail: Buffer): void;
  /** Once, when the process and its channel are gone. */
  onEnd(end: ChildEnd): void;
}

export type KillReason = "wall-limit" | "rss-limit" | "protocol";

export interface ChildEnd {
  /** Why we killed it, or null where it ended by itself. */
  readonly killed: KillReason | null;
  /** Whether it ended because V8 found no memory. */
  readonly outOfMemory: boolean;
  readonly reason: string;
}

/** Octets of JSON in a frame from the child: results of many steps. */
const headOctetsMax = 33_554_432;
/** Octets of a frame from the child: the JSON and the octets of splices. */
const octetsMax = 268_435_456;
const stderrLengthMax = 4_096;
const pageOctets = 4_096;

export class ChildProcess {
  readonly #process: NodeProcess;
  readonly #channel: Duplex;
  #corked = false;
  #killed: KillReason | null = null;
  #why = "";
  #stderr = "";
  #ended = false;
  readonly #gone = Promise.withResolvers<void>();

  constructor(events: ChildEvents, file: string = childProgram()) {
    this.#process = spawn(process.execPath, [...nodeOptions(file), file], {
      env: {},
      stdio: ["ignore", "ignore", "pipe", "pipe"],
      windowsHide: true,
    });
    // Where no descriptor is left there are no streams, which the types do not know; the error that says so comes all the same.
    const stdio = this.#process.stdio as NodeProcess["stdio"] | undefined;
    this.#channel = stdio
      ? (stdio[3] as Duplex)
      : new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    const decoder = new FrameDecoder({ headOctetsMax, octetsMax });
    this.#channel.on("data", (chunk: Buffer) => {
      if (this.#killed || this.#ended) return;
      try {
        for (const frame of decoder.push(chunk)) this.#take(frame, events);
      } catch (thrown) {
        if (!(thrown instanceof FrameError) && !(thrown instanceof ProtocolError)) throw thrown;
        this.kill("protocol", thrown.message);
      }
    });
    // A channel that breaks is told by the end of the process.
    this.#channel.on("error", () => {});
    this.#process.stderr?.on("data", (chunk: Buffer) => {
      if (this.#stderr.length < stderrLengthMax) this.#stderr += chunk.toString("latin1", 0, stderrLengthMax);
    });
    this.#process.once("error", (error) => this.#end(events, `could not be started: ${error.message}`));
    this.#process.once("close", (code, signal) =>
      this.#end(events, signal === null ? `exit status ${code}` : `signal ${signal}`),
    );
    // A process that closed its channel and lives on is of no use.
    this.#channel.once("close", () => this.#process.kill("SIGKILL"));
  }

  /** 0 where it could not be started. */
  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Writes a frame; those of one moment go out together. */
  send(frame: Buffer): void {
    if (this.#ended || this.#killed) return;
    if (!this.#corked) {
      this.#corked = true;
      this.#channel.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#channel.uncork();
      });
    }
    this.#channel.write(frame);
  }

  kill(reason: KillReason, why = ""): void {
    if (this.#killed || this.#ended) return;
    this.#killed = reason;
    this.#why = why;
    this.#process.kill("SIGKILL");
  }

  /** Ends it without a reason to tell; resolves when it is gone. */
  async close(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#gone.promise;
  }

  /** Resident memory in MiB, or 0 where the system does not tell. */
  get rssMiB(): number {
    try {
      return (Number(readFileSync(`/proc/${this.pid}/statm`, "latin1").split(" ")[1]) * pageOctets) / 1_048_576 || 0;
    } catch {
      return 0;
    }
  }

  #take(frame: Frame, events: ChildEvents): void {
    if (this.#killed) return;
    events.onMessage(checkMessage(frame.head), frame.tail);
  }

  #end(events: ChildEvents, status: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#channel.destroy();
    const words = this.#stderr.replace(/\(node:\d+\) .*Warning: .*\n|\(Use `node --trace-warnings .*\n/g, "").trim();
    this.#gone.resolve();
    events.onEnd({
      killed: this.#killed,
      outOfMemory: /catastrophe|out of memory|heap limit/i.test(words),
      reason: plainLine([this.#killed ?? status, this.#why, words].filter((part) => part !== "").join(": ")),
    });
  }
}

/** What the process may read: its own files and the packages it needs; nothing else, and it may write, connect and start nothing. */
function nodeOptions(file: string): string[] {
  const packages = dirname(dirname(createRequire(import.meta.url).resolve("isolated-vm/package.json")));
  const own = import.meta.dirname;
  const readable = [
    join(packages, "/"),
    join(own, "/"),
    join(dirname(own), "package.json"),
    file,
    join(dirname(file), guestFile),
    "/etc/alpine-release",
  ];
  return [
    // isolated-vm needs it: https://github.com/laverdet/isolated-vm, "Requirements".
    "--no-node-snapshot",
    "--no-warnings",
    "--permission",
    "--allow-addons",
    ...readable.map((path) => `--allow-fs-read=${path}`),
  ];
}
