/** `onarrival scripts rollback`, `unpin` and `approve`: which version of a script runs, by word of the operator. The running server does it. */
import type { ScriptView } from "../admin/server-view.ts";
import { reachServer } from "./bindings-change.ts";
import { type AnswerSource, confirm } from "./confirm.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { authorOf, findScript } from "./script-names.ts";
import { shortVersion } from "./script-places.ts";
import type { SettingsFlags } from "./settings.ts";
import { type CommandContext, plain } from "./terminal.ts";

type Flags = SettingsFlags & { readonly json?: boolean; readonly author?: string };

const path = "/api/v1/scripts";
/** A version is loaded before it is live. */
const timeoutMs = 60_000;

export async function rollbackScript(
  name: string,
  version: string | undefined,
  flags: Flags,
  context: CommandContext,
): Promise<ExitStatus> {
  const ask = reachServer(flags, context);
  const { name: script } = await scriptNamed(name, ask);
  const body = { script, author: authorOf(flags, context) ?? undefined, ...(version !== undefined && { version }) };
  const view = (await ask<{ script: ScriptView }>({ method: "POST", path: `${path}/rollback`, body, timeoutMs }))
    .script;
  return tell(view, flags, context, `${plain(view.name)} runs ${shortVersion(view.version)}${pinWords(view)}.\n`);
}

export async function unpinScript(name: string, flags: Flags, context: CommandContext): Promise<ExitStatus> {
  const ask = reachServer(flags, context);
  const { name: script } = await scriptNamed(name, ask);
  const body = { script, author: authorOf(flags, context) ?? undefined };
  const view = (await ask<{ script: ScriptView }>({ method: "POST", path: `${path}/unpin`, body, timeoutMs })).script;
  const words =
    view.state === "broken-edit" || view.state === "pending"
      ? `${plain(view.name)} still runs ${shortVersion(view.version)}: ${plain(view.lastFault?.message ?? "")}\n`
      : `${plain(view.name)} runs ${shortVersion(view.version)}, as its file says.\n`;
  return tell(view, flags, context, words);
}

export async function approveScript(
  name: string,
  flags: Flags & { readonly yes?: boolean },
  context: CommandContext,
  input: AnswerSource = process.stdin,
): Promise<ExitStatus> {
  const ask = reachServer(flags, context);
  const { err } = context.terminal;
  const { name: script, pending } = await scriptNamed(name, ask);
  if (!pending) {
    err.write(`Nothing of ${plain(script)} waits for approval.\n`);
    return exitStatus.failed;
  }
  err.write(`${plain(script)} ${shortVersion(pending.version)} asks for:\n`);
  for (const grant of pending.added) err.write(`  ${err.paint("yellow", "+")} ${plain(grant)}\n`);
  if (!flags.yes && input.isTTY !== true)
    throw new UsageError("Not approved: there is no terminal to ask on", "--yes approves what is shown above");
  if (!(await confirm(`Grant that to ${plain(script)}, and make it live`, flags, context, input))) {
    err.write("Nothing was changed.\n");
    return exitStatus.failed;
  }
  const body = { script, version: pending.version, author: authorOf(flags, context) ?? undefined };
  const view = (await ask<{ script: ScriptView }>({ method: "POST", path: `${path}/approve`, body, timeoutMs })).script;
  return tell(view, flags, context, `${plain(view.name)} runs ${shortVersion(view.version)}.\n`);
}

/** @throws {UsageError} with the nearest name where there is no such script */
export async function scriptNamed(name: string, ask: ReturnType<typeof reachServer>): Promise<ScriptView> {
  const { scripts } = await ask<{ scripts: readonly ScriptView[] }>({ path });
  const found = findScript(
    name,
    scripts.map((script) => script.name),
  );
  return scripts.find((script) => script.name === found)!;
}

function tell(view: ScriptView, { json }: Flags, { terminal: { out } }: CommandContext, words: string): ExitStatus {
  out.write(json ? `${JSON.stringify(view)}\n` : words);
  return view.version === null || view.state === "broken-edit" || view.state === "pending"
    ? exitStatus.failed
    : exitStatus.done;
}

function pinWords({ pinned }: ScriptView): string {
  return pinned ? ", whatever its file says; the next save or onarrival scripts unpin ends that" : "";
}
