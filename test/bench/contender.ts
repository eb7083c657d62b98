/** What the benchmark asks of a mail server: be there, relay everything to the sink, add one field, and say which processes are its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface Contender {
  readonly name: string;
  /** Version and the settings that matter, in one line. */
  readonly facts: string;
  /** What is missing to run it, or undefined. */
  readonly missing: string | undefined;
  /** Starts it in `folder`, relaying to the sink. It takes mail for `example.net` once this resolves. */
  start(options: { readonly folder: string; readonly sinkPort: number }): Promise<RunningContender>;
}

export interface RunningContender {
  readonly port: number;
  /** Processes whose CPU counts, each with all below it. */
  readonly processes: readonly number[];
  stop(): Promise<void>;
}

/** The field every contender adds, with the subject as its value. */
export const benchField = "X-Bench";
export const benchSender = "sender@example.org";
export const benchRecipient = "recipient@example.net";

/** A program that runs until it is stopped; what it writes goes to `logFile`. */
export class Daemon {
  readonly #child: ChildProcess;
  readonly #logFile: string;
  readonly #exited: Promise<void>;

  constructor(command: readonly string[], options: { readonly logFile: string; readonly cwd: string; readonly env?: Record<string, string> }) {
    const { logFile, cwd, env = {} } = options;
    const log = openSync(logFile, "a");
    this.#logFile = logFile;
    this.#child = spawn(command[0]!, command.slice(1), { cwd, env: { ...process.env, ...env }, stdio: ["ignore", log, log] });
    closeSync(log);
    this.#exited = new Promise((done) => {
      this.#child.once("exit", () => done());
      this.#child.once("error", () => done());
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Resolves when the port greets as SMTP servers do, or, with `greets: false`, takes a connection. */
  async listensOn(port: number, { greets = true, timeoutMs = 20_000 } = {}): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!(await answers(port, greets))) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) throw new Error(`it ended with ${this.#child.exitCode ?? this.#child.signalCode}; see ${this.#logFile}`);
      if (performance.now() > deadline) throw new Error(`it does not listen on port ${port} within ${timeoutMs} ms; see ${this.#logFile}`);
      await sleep(50);
    }
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    await Promise.race([this.#exited, sleep(10_000, undefined, { ref: false })]);
    this.#child.kill("SIGKILL");
    await this.#exited;
  }
}

function answers(port: number, greets: boolean): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.setTimeout(2_000, () => socket.destroy());
    socket.once("connect", () => {
      if (!greets) socket.destroy();
    });
    let greeted = !greets;
    socket.once("data", (data) => {
      greeted = data.toString("latin1").startsWith("220");
      socket.end("QUIT\r\n");
    });
    let failed = false;
    socket.once("error", () => {
      failed = true;
    });
    socket.once("close", () => done(greeted && !failed));
  });
}
