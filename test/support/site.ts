/**
 * A whole site in a temporary folder, started as users start it, for tests that look at the product from outside: SMTP on a loopback port,
 * Maildirs, log lines, the queue as the command line shows it. Nothing here imports the server.
 */
import { type ChildProcess, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePorts } from "./free-ports.ts";

const root = resolve(import.meta.dirname, "../..");
const node = join(root, "node_modules/.bin/node");
const launcher = join(root, "src/cli/launch.mjs");

/** The server answers within 5 s of its start (RELIABILITY P7); a machine that runs tests beside it gets some more. */
const readyWithinMs = 20_000;

export interface SiteOptions {
  /** Files below `scripts/`, by name. */
  readonly scripts?: Readonly<Record<string, string>>;
  /** `onarrival.toml`; without it a site with the defaults and no file. */
  readonly config?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** What the server is started under, `["strace", …]` for one. */
  readonly under?: readonly string[];
  /** Called with the site's folder before the first start. */
  readonly prepare?: (folder: string) => void;
}

export type LogLine = Readonly<Record<string, unknown>> & { readonly event: string };

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class Site {
  readonly folder: string;
  readonly smtpPort: number;
  readonly adminPort: number;
  readonly #options: SiteOptions;
  #env: Readonly<Record<string, string>>;
  #process: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();

  private constructor(folder: string, ports: readonly number[], options: SiteOptions) {
    this.folder = folder;
    this.smtpPort = ports[0]!;
    this.adminPort = ports[1]!;
    this.#options = options;
    this.#env = options.env ?? {};
  }

  /** Resolves when `/readyz` answers 200. @throws {Error} with the server's own words where it does not come up */
  static async start(options: SiteOptions = {}): Promise<Site> {
    const folder = mkdtempSync(join(tmpdir(), "onarrival-site-"));
    mkdirSync(join(folder, "scripts"));
    mkdirSync(join(folder, "data"));
    for (const [name, source] of Object.entries(options.scripts ?? {})) {
      const file = join(folder, "scripts", name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, source);
    }
    if (options.config !== undefined) writeFileSync(join(folder, "onarrival.toml"), options.config);
    options.prepare?.(folder);
    const site = new Site(folder, await freePorts(2), options);
    try {
      await site.up();
      return site;
    } catch (error) {
      await site.remove();
      throw error;
    }
  }

  get dataFolder(): string {
    return join(this.folder, "data");
  }
  get scriptsFolder(): string {
    return join(this.folder, "scripts");
  }
  get logFile(): string {
    return join(this.folder, "onarrival.log");
  }
  /** What the server wrote on standard error: the banner, and why it did not start. */
  get errorFile(): string {
    return join(this.folder, "onarrival.err");
  }
  /** The server's process. */
  get pid(): number {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error("Cannot name the server's process: it is not running");
    if (this.#options.under === undefined) return pid;
    return processesBelow(pid).find(({ command }) => command.startsWith(`${node} ${launcher}`))?.pid ?? pid;
  }

  /** Starts the server on the folders as they are; for a site that was stopped or killed. */
  async up(): Promise<void> {
    // Straight into files: nothing the server wrote is lost with it, and a slow test does not slow the server.
    const out = openSync(this.logFile, "a");
    const err = openSync(this.errorFile, "a");
    const [command, ...prefix] = [...(this.#options.under ?? []), node];
    const child = spawn(command!, [...prefix, launcher, "serve"], {
      cwd: this.folder,
      env: this.environment(),
      stdio: ["ignore", out, err],
    });
    closeSync(out);
    closeSync(err);
    this.#process = child;
    let ended = false;
    this.#exited = new Promise((done) => {
      child.once("exit", done);
      child.once("error", done);
    }).then(() => {
      ended = true;
    });
    const deadline = performance.now() + readyWithinMs;
    while (!(await this.ready())) {
      if (ended)
        throw new Error(
          `Cannot start the site: the server ended with ${child.exitCode ?? child.signalCode}\n${this.#words()}`,
        );
      if (performance.now() > deadline) {
        await this.kill9();
        throw new Error(`Cannot start the site: not ready within ${readyWithinMs} ms\n${this.#words()}`);
      }
      await sleep(20);
    }
  }

  /** Whether `/readyz` answers 200 now. */
  ready(): Promise<boolean> {
    return new Promise((done) => {
      const request = get(
        { host: "127.0.0.1", port: this.adminPort, path: "/readyz", timeout: 2_000, agent: false },
        (response) => {
          response.resume();
          done(response.statusCode === 200);
        },
      );
      request.on("timeout", () => request.destroy());
      request.on("error", () => done(false));
    });
  }

  /** SIGTERM, and waits for the end. Gives the exit status. */
  async stop(): Promise<number | null> {
    const child = this.#process;
    if (child === undefined) return null;
    if (child.exitCode === null && child.signalCode === null) process.kill(this.pid, "SIGTERM");
    await Promise.race([this.#exited, sleep(30_000, undefined, { ref: false })]);
    if (child.exitCode === null && child.signalCode === null) {
      await this.kill9();
      throw new Error(`Cannot stop the site: still running 30 s after SIGTERM\n${this.#words()}`);
    }
    this.#process = undefined;
    return child.exitCode;
  }

  /** SIGKILL: no handler runs, nothing is flushed. */
  async kill9(): Promise<void> {
    const child = this.#process;
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(this.pid, "SIGKILL");
    await this.#exited;
    this.#process = undefined;
  }

  /** Other variables from the next start on. */
  setEnvironment(env: Readonly<Record<string, string>>): void {
    this.#env = env;
  }

  /** Waits until the server has ended by itself. @throws {Error} where it has not in time */
  async ended(timeoutMs: number): Promise<void> {
    const late = sleep(timeoutMs, "late", { ref: false });
    if ((await Promise.race([this.#exited, late])) === "late")
      throw new Error(`The server still runs after ${timeoutMs} ms\n${this.#words()}`);
    this.#process = undefined;
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.up();
  }

  /** Stops what runs and takes the folder away. */
  async remove(): Promise<void> {
    try {
      await this.stop();
    } finally {
      rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
    }
  }

  /** Every line of the log so far; a half line at the end, of a server that was killed, is left out. */
  log(): LogLine[] {
    return parseLog(readFileSync(this.logFile, "utf8"));
  }

  /** Waits for a line of the log. @throws {Error} where none came in time */
  async logged(wanted: (line: LogLine) => boolean, what: string, timeoutMs = 10_000): Promise<LogLine> {
    return await waitFor(() => this.log().find(wanted), `the log line ${what}`, timeoutMs);
  }

  /** Files delivered to a mailbox of a local domain, oldest name first. */
  maildir(user: string, domain = "example.test"): string[] {
    const folder = join(this.dataFolder, "mail", domain, user, "new");
    return existsSync(folder)
      ? readdirSync(folder)
          .sort()
          .map((name) => join(folder, name))
      : [];
  }

  /** Waits until a mailbox holds that many messages. Gives their files. */
  async delivered(user: string, count = 1, timeoutMs = 20_000): Promise<string[]> {
    return await waitFor(
      () => {
        const files = this.maildir(user);
        return files.length >= count ? files : undefined;
      },
      `${count} message(s) for ${user}`,
      timeoutMs,
    );
  }

  /** Ids of the messages in the queue, as `onarrival queue list --json` tells them. */
  async queuedIds(): Promise<string[]> {
    const { status, stdout, stderr } = await this.cli(["queue", "list", "--json"]);
    if (status !== 0) throw new Error(`Cannot list the queue: exit ${status}: ${stderr}`);
    return [...stdout.matchAll(/"(?:id|messageId)":\s*"([0-9A-Z]{16})"/g)].map((match) => match[1]!);
  }

  /** Waits until nothing is queued any more. */
  async drained(timeoutMs = 60_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const left = await this.queuedIds();
      if (left.length === 0) return;
      if (performance.now() > deadline)
        throw new Error(`Still queued after ${timeoutMs} ms: ${left.length}, ${left.slice(0, 5).join(" ")}`);
      await sleep(200);
    }
  }

  /** Runs a verb of the command line against this site. */
  async cli(args: readonly string[], input?: string): Promise<Finished> {
    const options = { cwd: this.folder, env: this.environment(), ...(input !== undefined && { input }) };
    return await runProgram(node, [launcher, ...args], options);
  }

  /** The server's environment: nothing of the test's own but the way to programs. */
  environment(): Record<string, string> {
    return {
      PATH: process.env.PATH ?? "/usr/bin:/bin",
      HOME: this.folder,
      NO_COLOR: "1",
      ...(this.#options.config === undefined ? {} : { ONARRIVAL_CONFIG: join(this.folder, "onarrival.toml") }),
      ONARRIVAL_DATA: this.dataFolder,
      ONARRIVAL_SCRIPTS: this.scriptsFolder,
      ONARRIVAL_SMTP_PORT: String(this.smtpPort),
      ONARRIVAL_ADMIN_PORT: String(this.adminPort),
      ...this.#env,
    };
  }

  #words(): string {
    const tail = (file: string) => (existsSync(file) ? readFileSync(file, "utf8").slice(-2_000) : "");
    return `${tail(this.errorFile)}\n${tail(this.logFile)}`.trim();
  }
}

/** Lines of JSON; what is no whole line is left out. */
export function parseLog(text: string): LogLine[] {
  const lines: LogLine[] = [];
  for (const line of text.split("\n")) {
    if (!line.startsWith("{")) continue;
    try {
      lines.push(JSON.parse(line));
    } catch {
      // The half line of a server that was killed while it wrote.
    }
  }
  return lines;
}

/** Runs a program to its end, bounded in time. */
export function runProgram(
  command: string,
  args: readonly string[],
  options: {
    readonly cwd?: string;
    readonly env?: Record<string, string>;
    readonly input?: string | Buffer;
    readonly timeoutMs?: number;
  } = {},
): Promise<Finished> {
  return new Promise((done, reject) => {
    const { input, timeoutMs = 60_000, ...rest } = options;
    const child = spawn(command, args, {
      ...rest,
      stdio: ["pipe", "pipe", "pipe"],
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    child.stdin.on("error", () => {}); // A program that ends without reading its input is told by its status.
    child.stdin.end(input);
    child.once("error", reject);
    child.once("close", (status) => done({ status, stdout, stderr }));
  });
}

/** Asks again and again until there is an answer. @throws {Error} where none came in time */
export async function waitFor<Value>(ask: () => Value | undefined, what: string, timeoutMs: number): Promise<Value> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`Waited ${timeoutMs} ms for ${what}`);
    await sleep(20);
  }
}

/** Processes below `pid`, however deep, with their command lines. Linux only. */
export function processesBelow(pid: number): { readonly pid: number; readonly command: string }[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "latin1");
      parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      // It ended in between.
    }
  }
  const below: { pid: number; command: string }[] = [];
  const walk = (parent: number): void => {
    for (const [child, of] of parents) {
      if (of !== parent) continue;
      try {
        below.push({
          pid: child,
          command: readFileSync(`/proc/${child}/cmdline`, "latin1").replaceAll("\0", " ").trim(),
        });
      } catch {
        continue;
      }
      walk(child);
    }
  };
  walk(pid);
  return below;
}
