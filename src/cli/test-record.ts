/** `--record DIR`: a record of every run of an `onarrival test`, for `onarrival replay`. */
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Sandbox } from "../../sandbox/host.ts";
import type { RunAnswer, RunRequest } from "../../sandbox/protocol.ts";
import { recordRun } from "../../sandbox/record.ts";
import { writeRun } from "../scripting/records.ts";
import type { CommandContext } from "./terminal.ts";

export class RunRecorder {
  readonly #sandbox: Pick<Sandbox, "run" | "scriptOf">;
  readonly #folder: string;
  #count = 0;

  /** null where nothing is to be recorded. */
  static of(
    sandbox: Pick<Sandbox, "run" | "scriptOf">,
    folder: string | undefined,
    { cwd }: CommandContext,
  ): RunRecorder | null {
    return folder === undefined ? null : new RunRecorder(sandbox, resolve(cwd, folder));
  }

  private constructor(sandbox: Pick<Sandbox, "run" | "scriptOf">, folder: string) {
    this.#sandbox = sandbox;
    this.#folder = folder;
  }

  async run(request: RunRequest): Promise<RunAnswer> {
    const recording = recordRun(request);
    const answer = await this.#sandbox.run(recording.request);
    const { about, text } = await writeRun(recording, answer.steps, {
      at: Date.now(),
      scriptOf: (version) => this.#sandbox.scriptOf(version),
    });
    await mkdir(this.#folder, { recursive: true });
    const script = about.script.replace(/^.*\//, "").replace(/\.\w+$/, "");
    const name = `${String(++this.#count).padStart(4, "0")}-${script}.json`;
    await writeFile(join(this.#folder, name), text, { mode: 0o600 });
    return answer;
  }
}
