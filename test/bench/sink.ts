/** The far end of the benchmark: Postfix's smtp-sink, which takes everything, keeps nothing and counts. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { requireTool } from "../support/tools.ts";

export class CountingSink {
  readonly #child: ChildProcess;
  #count = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout!.on("data", (chunk: Buffer) => {
      const counts = [...chunk.toString("latin1").matchAll(/mesg=(\d+)/g)];
      this.#count = Number(counts.at(-1)?.[1] ?? this.#count);
    });
  }

  static async start(port: number): Promise<CountingSink> {
    const child = spawn(
      requireTool("smtp-sink"),
      [...asNobody(), "-c", "-h", "sink.example", `127.0.0.1:${port}`, "500"],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const sink = new CountingSink(child);
    await sleep(300);
    if (child.exitCode !== null) throw new Error(`Cannot start smtp-sink on port ${port}: exit ${child.exitCode}`);
    return sink;
  }

  /** Messages taken so far. */
  get count(): number {
    return this.#count;
  }

  async stop(): Promise<void> {
    await stopChild(this.#child);
  }
}

/** Takes one message on `port` and gives it back, whole with its last line: to see that a contender edits what it relays. */
export async function catchOne(options: {
  readonly port: number;
  readonly folder: string;
  readonly lastLine: string;
  readonly send: () => Promise<void>;
}): Promise<string> {
  const { port, folder, lastLine, send } = options;
  const caught = join(folder, "caught");
  mkdirSync(caught);
  chmodSync(caught, 0o777); // Where root starts it, it gives its rights away.
  const child = spawn(
    requireTool("smtp-sink"),
    [...asNobody(), "-h", "sink.example", "-d", "mail.", `127.0.0.1:${port}`, "50"],
    { cwd: caught, stdio: ["ignore", "ignore", "inherit"] },
  );
  try {
    await sleep(300);
    await send();
    const deadline = performance.now() + 15_000;
    for (;;) {
      const [file] = readdirSync(caught);
      const text = file === undefined ? "" : readFileSync(join(caught, file), "latin1");
      if (text.trimEnd().endsWith(lastLine)) return text;
      if (performance.now() > deadline) throw new Error("the sink got no message within 15 s");
      await sleep(50);
    }
  } finally {
    await stopChild(child);
  }
}

function asNobody(): string[] {
  return process.getuid?.() === 0 ? ["-u", "nobody"] : [];
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((done) => child.once("exit", done));
  child.kill("SIGTERM");
  await exited;
}
