/** A program that runs beside a test until it is stopped, in a process group of its own: what is left of a server that forks goes with it. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** What still runs when the test process itself ends takes its whole group along. */
const running = new Set<Daemon>();
process.once("exit", () => {
  for (const daemon of running) daemon.endGroup();
});

export class Daemon {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #logFile: string;
  readonly #exited: Promise<void>;
  #hasEnded = false;

  /** What it writes goes to `logFile`; its environment is PATH and `env`. */
  constructor(
    command: readonly string[],
    options: { readonly logFile: string; readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
  ) {
    const log = openSync(options.logFile, "a");
    this.#name = command[0]!;
    this.#logFile = options.logFile;
    this.#child = spawn(command[0]!, command.slice(1), {
      cwd: options.cwd,
      env: { PATH: process.env.PATH ?? "/usr/bin:/bin", ...options.env },
      stdio: ["ignore", log, log],
      detached: true,
    });
    closeSync(log);
    running.add(this);
    this.#exited = new Promise<void>((done) => {
      this.#child.once("exit", () => done());
      this.#child.once("error", () => done());
    }).then(() => {
      this.#hasEnded = true;
      running.delete(this);
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Resolves when something takes connections on each port. @throws {Error} with the program's last words where it ends or takes too long */
  async listensOn(ports: readonly number[], timeoutMs = 20_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (const port of ports) {
      while (!(await takesConnections(port))) {
        const trouble = this.#hasEnded
          ? "it ended"
          : performance.now() > deadline
            ? `not there after ${timeoutMs} ms`
            : "";
        if (trouble !== "") throw new Error(`Cannot use ${this.#name} on port ${port}: ${trouble}\n${this.#words()}`);
        await sleep(20);
      }
    }
  }

  /** SIGTERM, then SIGKILL; what it started ends with it. */
  async stop(): Promise<void> {
    if (!this.#hasEnded) this.#child.kill("SIGTERM");
    await Promise.race([this.#exited, sleep(5_000, undefined, { ref: false })]);
    this.endGroup();
    await this.#exited;
  }

  /** SIGKILL to it and to all it started. */
  async kill9(): Promise<void> {
    this.endGroup();
    await this.#exited;
  }

  endGroup(): void {
    try {
      process.kill(-this.#child.pid!, "SIGKILL");
    } catch {
      // Nobody is left in it.
    }
  }

  #words(): string {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, "utf8").slice(-2_000) : "";
  }
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("connect", () => socket.destroy());
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}
