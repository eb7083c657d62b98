/** `onarrival config check`, `show` and `schema`: the configuration as the server would see it. Safe beside a running server. */
import { environmentName, nameOptions } from "../config/environment.ts";
import type { LoadedConfig } from "../config/load.ts";
import { configTable } from "../config/option-table.ts";
import { type ConfigProblem, formatProblem, problemsOf } from "../config/problem.ts";
import { configJsonSchema, formatConfig } from "../config/reference.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { type CommandContext, plain } from "./terminal.ts";

type Flags = SettingsFlags & { readonly json?: boolean };

/** Every error on a line of its own, or one line that says there is none; what the file names is looked at once the file itself is right. */
export async function checkConfig(flags: Flags, context: CommandContext): Promise<ExitStatus> {
  const { out, err } = context.terminal;
  const { file, problems } = await findProblems(flags, context);
  if (flags.json) out.write(`${JSON.stringify({ file, problems })}\n`);
  else if (problems.length === 0) out.write(`${out.paint("green", "ok")} ${file ?? "no file, defaults only"}\n`);
  else {
    for (const problem of problems) out.write(`${plain(formatProblem(problem))}\n`);
    err.write(`${err.paint("red", problems.length === 1 ? "1 error" : `${problems.length} errors`)}\n`);
  }
  return problems.length === 0 ? exitStatus.done : exitStatus.usage;
}

async function findProblems(
  flags: Flags,
  context: CommandContext,
): Promise<{ readonly file: string | null; readonly problems: readonly ConfigProblem[] }> {
  let loaded: LoadedConfig;
  try {
    loaded = loadSettings(flags, context);
  } catch (error) {
    const problems = problemsOf(error);
    if (problems.length === 0) throw error;
    return { file: problems[0]!.file, problems };
  }
  const { checkNamed } = await import("../main-check.ts");
  return { file: loaded.file, problems: await checkNamed(loaded) };
}

/** The whole configuration, defaults included. */
export function showConfig(flags: Flags & { readonly origin?: boolean }, context: CommandContext): ExitStatus {
  const loaded = loadSettings(flags, context);
  const { out } = context.terminal;
  if (!flags.json) {
    out.write(`# ${loaded.file ?? "no file, defaults only"}\n`);
    out.write(formatConfig(loaded, { origins: flags.origin === true }));
    return exitStatus.done;
  }
  const options = nameOptions(configTable.children, loaded.values).flatMap(({ path, key }) => {
    const origin = loaded.origins.get(key);
    const value = path.reduce<unknown>(
      (at, step) => (at as Readonly<Record<string | number, unknown>> | null)?.[step],
      loaded.values,
    );
    // An option of a section that is not there has no origin.
    return origin === undefined
      ? []
      : [{ key, value, origin, environment: path[0] === "sinks" ? null : environmentName(key.split(".")) }];
  });
  out.write(`${JSON.stringify({ file: loaded.file, options })}\n`);
  return exitStatus.done;
}

export function showSchema(context: CommandContext): ExitStatus {
  context.terminal.out.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
  return exitStatus.done;
}
