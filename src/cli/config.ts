/** `onarrival config check`, `show` and `schema`: the configuration as the server would see it. Safe beside a running server. */
import { environmentName, nameOptions } from "../config/environment.ts";
import { configTable } from "../config/option-table.ts";
import { formatProblem, problemsOf } from "../config/problem.ts";
import { configJsonSchema, formatConfig } from "../config/reference.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { type CommandContext, plain } from "./terminal.ts";

type Flags = SettingsFlags & { readonly json?: boolean };

/** Every error on a line of its own, or one line that says there is none. */
export function checkConfig(flags: Flags, context: CommandContext): ExitStatus {
  const { out, err } = context.terminal;
  try {
    const { file } = loadSettings(flags, context);
    if (flags.json) out.write(`${JSON.stringify({ file, problems: [] })}\n`);
    else out.write(`${out.paint("green", "ok")} ${file ?? "no file, defaults only"}\n`);
    return exitStatus.done;
  } catch (error) {
    const problems = problemsOf(error);
    if (problems.length === 0) throw error;
    if (flags.json) out.write(`${JSON.stringify({ file: problems[0]!.file, problems })}\n`);
    else {
      for (const problem of problems) out.write(`${plain(formatProblem(problem))}\n`);
      err.write(`${err.paint("red", problems.length === 1 ? "1 error" : `${problems.length} errors`)}\n`);
    }
    return exitStatus.usage;
  }
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
