/**
 * The type checker: TypeScript's own native compiler, in a process of its own that can be killed. What waits while one runs is checked together by
 * the next, as nearly all of its time goes into the library; so a folder of two hundred scripts takes hardly longer than one.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { constants, setPriority, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import { apiPaths, apiSources, scriptCompilerOptions } from "./declarations.ts";

/** An error of the type checker. */
export interface TypeProblem {
  /** Absolute path. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly column: number;
  /** Such as `TS2339`. */
  readonly code: string;
  /** TypeScript's words, in one line. */
  readonly message: string;
}

export type TypeChecked =
  | { readonly kind: "checked"; readonly problems: readonly TypeProblem[] }
  /** The compiler is not installed, or cannot be started: no script can be checked. */
  | { readonly kind: "unavailable"; readonly reason: string }
  /** These files could not be checked. */
  | { readonly kind: "failed"; readonly reason: string };

export interface TypeCheckerOptions {
  readonly clock: Clock;
  /** Path of the compiler; null: there is none. Absent: the one that is installed. */
  readonly executable?: string | null;
  /** Time for one run of it. */
  readonly timeoutMs?: number;
}

interface Job {
  /** Absolute paths: a script and all that it imports. */
  readonly inputs: readonly string[];
  readonly settle: (checked: TypeChecked) => void;
  /** Alone with the compiler: what it says is about this job. */
  alone: boolean;
}

const timeoutMsDefault = 10_000;
const outputLengthMax = 1_048_576;
/** Scripts that are checked together. */
const togetherMax = 200;
const problemsMax = 200;
/** So that mail comes first where there is too much to do. */
const niceness = constants.priority.PRIORITY_BELOW_NORMAL;
const stopped: TypeChecked = { kind: "failed", reason: "the type checker is stopped" };
const notInstalled = "TypeScript 7 is not installed for this platform (npm ci installs it, as typescript7)";

export class TypeChecker {
  readonly #options: TypeCheckerOptions;
  readonly #executable: string | null;
  #waiting: Job[] = [];
  /** Runs of the compiler, one after the other. Never rejects. */
  #work: Promise<void> = Promise.resolve();
  #kill: (() => void) | undefined;
  #closed = false;

  constructor(options: TypeCheckerOptions) {
    this.#options = options;
    this.#executable = options.executable === undefined ? findCompiler() : options.executable;
  }

  /** Checks a script. Never rejects. `inputs` are absolute paths, the script's own and those of all that it imports. */
  check(inputs: readonly string[]): Promise<TypeChecked> {
    if (this.#executable === null) return Promise.resolve({ kind: "unavailable", reason: notInstalled });
    if (this.#closed) return Promise.resolve(stopped);
    return new Promise((settle) => {
      this.#waiting.push({ inputs, settle, alone: false });
      // What is asked for in the same moment is checked together.
      this.#work = this.#work.then(() => this.#next(this.#executable!));
    });
  }

  /** Ends what is under way; resolves when nothing of it is left, on the disk either. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#kill?.();
    for (const { settle } of this.#waiting.splice(0)) settle(stopped);
    await this.#work;
  }

  async #next(executable: string): Promise<void> {
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0]!;
      const count = first.alone ? 1 : this.#waiting.findIndex(({ alone }) => alone);
      const jobs = this.#waiting.splice(0, Math.min(count === -1 ? togetherMax : count, togetherMax));
      const checked = await this.#run(executable, [...new Set(jobs.flatMap(({ inputs }) => inputs))]);
      for (const job of jobs.toReversed()) {
        const own = ofFiles(checked, job.inputs);
        // What one script declares for all could be what is wrong with another: each that has something is looked at by itself.
        if (
          jobs.length > 1 &&
          !this.#closed &&
          (own.kind === "failed" || (own.kind === "checked" && own.problems.length > 0))
        )
          this.#waiting.unshift({ ...job, alone: true });
        else job.settle(own);
      }
    }
  }

  async #run(executable: string, inputs: readonly string[]): Promise<TypeChecked> {
    // A package's own files are read where they are imported, and checked by nobody.
    const files = inputs.filter((path) => !path.includes("/node_modules/"));
    let folder: string | undefined;
    try {
      folder = await mkdtemp(join(tmpdir(), "onarrival-types-"));
      const api = await apiSources();
      const project = {
        compilerOptions: { ...scriptCompilerOptions, paths: apiPaths(api.folder, ".ts") },
        files: [...files, ...api.globals],
      };
      await writeFile(join(folder, "tsconfig.json"), JSON.stringify(project));
      if (this.#closed) return stopped;
      return await this.#compile(executable, folder);
    } catch (error) {
      return { kind: "failed", reason: describeThrown(error) };
    } finally {
      if (folder !== undefined) await rm(folder, { recursive: true, force: true }).catch(() => {});
    }
  }

  #compile(executable: string, folder: string): Promise<TypeChecked> {
    const { clock, timeoutMs = timeoutMsDefault } = this.#options;
    return new Promise((settle) => {
      const child = spawn(executable, ["-p", folder, "--pretty", "false", "--singleThreaded"], {
        cwd: folder,
        // Nothing of the server's environment is the compiler's business; the limit is the soft one of its collector.
        env: { GOMEMLIMIT: "512MiB" },
        stdio: ["ignore", "pipe", "pipe"],
      });
      let output = "";
      let reason: string | undefined;
      const stop = (why: string) => {
        reason ??= why;
        child.kill("SIGKILL");
      };
      this.#kill = () => stop("the type checker is stopped");
      const cancel = clock.after(timeoutMs, () => stop(`not done within ${timeoutMs} ms`));
      const hear = (text: string) => {
        output += text;
        if (output.length > outputLengthMax) stop("it found more errors than can be told");
      };
      child.stdout.setEncoding("utf8").on("data", hear);
      child.stderr.setEncoding("utf8").on("data", hear);
      const done = (checked: TypeChecked) => {
        cancel();
        this.#kill = undefined;
        settle(checked);
      };
      child.on("spawn", () => {
        try {
          if (child.pid !== undefined) setPriority(child.pid, niceness);
        } catch {
          // It may have ended already.
        }
      });
      child.on("error", (error) =>
        done({ kind: "unavailable", reason: `the compiler cannot be run: ${describeThrown(error)}` }),
      );
      child.on("close", (status) => {
        const problems = parseProblems(output, folder);
        if (reason !== undefined) done({ kind: "failed", reason });
        else if (status === 0 || problems.length > 0) done({ kind: "checked", problems });
        else
          done({
            kind: "failed",
            reason: `the compiler ended with status ${status}: ${output.trim().slice(0, 300) || "no words"}`,
          });
      });
    });
  }
}

/** Path of the native compiler; null where it is not installed. */
export function findCompiler(): string | null {
  try {
    const main = createRequire(import.meta.url).resolve("typescript7/package.json");
    const binary = createRequire(main).resolve(
      `@typescript/typescript-${process.platform}-${process.arch}/package.json`,
    );
    const path = join(dirname(binary), "lib", process.platform === "win32" ? "tsc.exe" : "tsc");
    return existsSync(path) ? path : null;
  } catch {
    return null;
  }
}

/** Errors as the compiler writes them without colours: `path(line,column): error TS1: words`, lines that begin with blanks belong to the one before. */
export function parseProblems(output: string, folder: string): readonly TypeProblem[] {
  const problems: TypeProblem[] = [];
  for (const line of output.split(/\r?\n/)) {
    const match = /^(.+)\((\d+),(\d+)\): error (TS\d+): (.*)$/.exec(line);
    if (match) {
      const [, path, row, column, code, message] = match;
      problems.push({
        file: resolve(folder, path!),
        line: Number(row),
        column: Number(column),
        code: code!,
        message: message!,
      });
    } else if (/^\s+\S/.test(line) && problems.length > 0) {
      const last = problems.pop()!;
      problems.push({ ...last, message: `${last.message} ${line.trim()}` });
    }
  }
  return problems.slice(0, problemsMax);
}

function ofFiles(checked: TypeChecked, inputs: readonly string[]): TypeChecked {
  if (checked.kind !== "checked") return checked;
  return { kind: "checked", problems: checked.problems.filter(({ file }) => inputs.includes(file)) };
}
