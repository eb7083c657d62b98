/** `--answers FILE`: what a script in `onarrival test` hears from outside. Without the file it has an empty store, and everything else is a fault that says how to answer it. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { HostCalls } from "../../sandbox/host-call.ts";
import type { Grants } from "../../sandbox/protocol.ts";
import { describeThrown } from "../platform/fault.ts";
import type { AskedInTest, TestAnswers } from "../scripting/test-answers.ts";
import { noAnswers, readAnswers, type WrittenAnswers } from "../scripting/test-answers-file.ts";
import { UsageError } from "./failure.ts";
import type { CommandContext } from "./terminal.ts";

/** The answers of a round: the store goes from one message to the next, as in a server. */
export class GivenAnswers {
  readonly #written: WrittenAnswers;
  readonly #source: string;
  #answers: TestAnswers | undefined;

  /** @throws {UsageError} */
  static async read(file: string | undefined, { cwd }: CommandContext): Promise<GivenAnswers> {
    if (file === undefined) return new GivenAnswers(noAnswers, "a file that is named with --answers");
    const text = await readFile(resolve(cwd, file), "utf8").catch((error: unknown) => {
      throw new UsageError(`Cannot read the answers ${file}: ${describeThrown(error)}`);
    });
    try {
      return new GivenAnswers(readAnswers(JSON.parse(text), file), file);
    } catch (error) {
      throw new UsageError(
        error instanceof SyntaxError ? `Cannot read the answers ${file}: it is no JSON` : describeThrown(error),
      );
    }
  }

  private constructor(written: WrittenAnswers, source: string) {
    this.#written = written;
    this.#source = source;
  }

  /** Those of the next message. */
  next(grants: Grants): { readonly calls: HostCalls; readonly asked: readonly AskedInTest[] } {
    const asked: AskedInTest[] = [];
    this.#answers?.begin(asked);
    const calls: HostCalls = {
      // Loaded with the first question: most scripts ask none.
      answer: async (...question) => {
        if (!this.#answers) {
          const { TestAnswers } = await import("../scripting/test-answers.ts");
          this.#answers ??= new TestAnswers(this.#written, this.#source);
          this.#answers.begin(asked);
        }
        return await this.#answers.calls(grants).answer(...question);
      },
    };
    return { calls, asked };
  }
}
