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

/** What still runs when the benchmark itself is ended takes its whole group along. */
const running = new Set<Daemon>();
process.once("exit", () => {
  for (const daemon of running) process.kill(-daemon.pid, "SIGKILL");
});

/** A program that runs, in a process group of its own, until it is stopped; what it writes goes to `logFile`. */
export class Daemon {
  readonly #child: ChildProcess;
  readonly #logFile: string;
  readonly #exited: Promise<void>;

  constructor(
    command: readonly string[],
    options: { readonly logFile: string; readonly cwd: string; readonly env?: Record<string, string> },
  ) {
    const { logFile, cwd, env = {} } = options;
    const log = openSync(logFile, "a");
    this.#logFile = logFile;
    this.#child = spawn(command[0]!, command.slice(1), {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", log, log],
      detached: true,
    });
    closeSync(log);
    running.add(this);
    this.#exited = new Promise<void>((done) => {
      this.#child.once("exit", () => done());
      this.#child.once("error", () => done());
    }).then(() => {
      running.delete(this);
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Resolves when the port greets as SMTP servers do. */
  async listensOn(port: number, timeoutMs = 20_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!(await greets(port))) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        throw new Error(`it ended with ${this.#child.exitCode ?? this.#child.signalCode}; see ${this.#logFile}`);
      if (performance.now() > deadline)
        throw new Error(`it does not listen on port ${port} within ${timeoutMs} ms; see ${this.#logFile}`);
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

function greets(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ port, host: "127.0.0.1" });
    let greeted = false;
    socket.setTimeout(2_000, () => socket.destroy());
    socket.once("data", (data) => {
      greeted = data.toString("latin1").startsWith("220");
      socket.end("QUIT\r\n");
    });
    socket.on("error", () => {}); // Not there yet; `close` says so.
    socket.once("close", () => done(greeted));
  });
}
