/** The gate of the type checker: what a type error means for a version that was saved is said by `scripts.types`. */
import { basename, relative } from "node:path";
import { plainLine } from "../../sandbox/plain-line.ts";
import { ScriptFaultError } from "../../sandbox/protocol.ts";
import type { Log } from "../platform/log.ts";
import type { Gate } from "./gates.ts";
import type { TypeChecker, TypeProblem } from "./typecheck.ts";

/** Errors of a script that are told; what is over is counted. */
const toldMax = 10;

export interface TypecheckGateOptions {
  /** Absolute path of the scripts folder. */
  readonly folder: string;
  readonly checker: Pick<TypeChecker, "check">;
  /** With "warn" the version is live before it is checked. */
  readonly policy: "block" | "warn";
  readonly log: Log;
}

/** Where there is no type checker, the log says so once, and every version passes. */
export function createTypecheckGate({ folder, checker, policy, log }: TypecheckGateOptions): Gate {
  let toldOfNone = false;
  return {
    name: "types",
    policy,
    async check({ script, compiled, wasLive }) {
      // What was live before goes on, whatever the API of this edition says of it: the mail needs it.
      if (policy === "block" && wasLive) return [];
      const checked = await checker.check(compiled.inputs);
      if (checked.kind === "unavailable") {
        if (!toldOfNone) log.warn("types.unavailable", { reason: checked.reason });
        toldOfNone = true;
        return [];
      }
      if (checked.kind === "failed") {
        const words = `The types could not be checked: ${checked.reason}`;
        if (policy === "warn") return [words];
        throw new ScriptFaultError({ code: "script.types", message: plainLine(words), at: null, stack: "" });
      }
      const { problems } = checked;
      if (problems.length === 0) return [];
      const lines = problems.slice(0, toldMax).map((problem) => describeProblem(problem, folder));
      if (policy === "warn") {
        const more = problems.length - lines.length;
        return more > 0 ? [...lines, `${script} has ${more} more type errors`] : lines;
      }
      const others =
        problems.length === 1 ? "" : problems.length === 2 ? " (and one more)" : ` (and ${problems.length - 1} more)`;
      throw new ScriptFaultError({
        code: "script.types",
        message: plainLine(`${problems[0]!.message} (${problems[0]!.code})`, 440) + others,
        at: placeOf(problems[0]!, folder),
        stack: lines.join("\n"),
      });
    },
  };
}

/** `scripts/x.ts:12:7: Property … does not exist (TS2339)` */
function describeProblem(problem: TypeProblem, folder: string): string {
  return plainLine(`${placeOf(problem, folder)}: ${problem.message} (${problem.code})`, 500);
}

/** `scripts/x.ts:12:7` */
export function placeOf({ file, line, column }: TypeProblem, folder: string): string {
  return `${basename(folder)}/${relative(folder, file)}:${line}:${column}`;
}
