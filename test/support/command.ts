/** The command line as users run it: a process, its output, its exit status. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";

const launcher = join(import.meta.dirname, "../../src/cli/launch.mjs");

export interface CommandResult {
  /** Exit status; a signal's name where it was killed. */
  readonly status: number | string;
  readonly out: string;
  readonly err: string;
}

export interface RunningCommand {
  readonly child: ChildProcess;
  /** Resolves when the text stands in standard output or standard error. @throws {Error} with all output where the command ends first */
  until(text: string | RegExp): Promise<void>;
  readonly ended: Promise<CommandResult>;
}

export interface CommandOptions {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly stdin?: string;
  /** Node that runs it; the one that runs the tests where none is given. */
  readonly node?: string;
  /** Launcher that is run; the project's own where none is given. */
  readonly launcher?: string;
}

/** Starts `onarrival ARGS`. The environment holds PATH and what is given, nothing of the machine's own options. */
export function startCommand(args: readonly string[], options: CommandOptions): RunningCommand {
  const child = spawn(options.node ?? process.execPath, [options.launcher ?? launcher, ...args], {
    cwd: options.cwd,
    env: { PATH: process.env.PATH, ...options.env },
    stdio: "pipe",
  });
  let out = "";
  let err = "";
  const watchers = new Set<() => void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
    for (const watcher of watchers) watcher();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
    for (const watcher of watchers) watcher();
  });
  // A command that does not read its input may end before it is written.
  child.stdin.on("error", () => {});
  child.stdin.end(options.stdin ?? "");
  const ended = new Promise<CommandResult>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ status: code ?? signal ?? -1, out, err }));
  });
  return {
    child,
    ended,
    until: (text) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (![out, err].some((output) => (typeof text === "string" ? output.includes(text) : text.test(output))))
            return;
          watchers.delete(look);
          resolve();
        };
        watchers.add(look);
        look();
        ended.then(() => reject(new Error(`ended before ${String(text)} was written\n${out}\n${err}`)), reject);
      }),
  };
}

export async function runCommand(args: readonly string[], options: CommandOptions): Promise<CommandResult> {
  return await startCommand(args, options).ended;
}
