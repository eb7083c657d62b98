/** `onarrival bindings add|set|enable|disable|remove`: one change each, live at once, or an error and nothing changed. */
import { resolve } from "node:path";
import type { BindingChange } from "../admin/binding-control.ts";
import type { BindingView } from "../admin/server-view.ts";
import { Fault } from "../platform/fault.ts";
import { type FieldFlags, findId, readEvent, readFieldFlags, readFieldNames } from "./bindings-words.ts";
import { askServer, type ServerQuestion } from "./control-client.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";

type Flags = SettingsFlags & { readonly json?: boolean };

const bindingsPath = "/api/v1/bindings";

export async function addBinding(
  event: string,
  flags: Flags &
    FieldFlags & {
      readonly use?: string;
      readonly module?: string;
      readonly export?: string;
      readonly name?: string;
      readonly disabled?: boolean;
      readonly force?: boolean;
    },
  context: CommandContext,
): Promise<ExitStatus> {
  const { use, module, export: exported, name } = flags;
  if ((use === undefined) === (module === undefined))
    throw new UsageError("Cannot add a binding: expected --use NAME or --module FILE, one of them");
  if (exported !== undefined && module === undefined)
    throw new UsageError("Cannot add a binding: --export goes with --module");
  const body = {
    event: readEvent(event),
    ...(use !== undefined && { use }),
    ...(module !== undefined && { module: resolve(context.cwd, module) }),
    ...(exported !== undefined && { export: exported }),
    ...(name !== undefined && { name }),
    ...readFieldFlags(flags),
    ...(flags.disabled && { enabled: false }),
    ...(flags.force && { force: true }),
  };
  return await change(reachServer(flags, context), { method: "POST", path: bindingsPath, body }, flags, context);
}

export async function setBinding(
  id: string,
  flags: Flags & FieldFlags & { readonly reset?: readonly string[]; readonly force?: boolean },
  context: CommandContext,
): Promise<ExitStatus> {
  const set = readFieldFlags(flags);
  const reset = readFieldNames(flags.reset ?? []);
  if (Object.keys(set).length === 0 && reset.length === 0)
    throw new UsageError("Cannot set anything: expected at least one flag", "onarrival bindings set --help shows them");
  const ask = reachServer(flags, context);
  const body = { ids: await findIds([id], ask), set, reset, ...(flags.force && { force: true }) };
  return await change(ask, { method: "PATCH", path: bindingsPath, body }, flags, context);
}

/** Several at once are one change. */
export async function enableBindings(
  ids: readonly string[],
  enabled: boolean,
  flags: Flags,
  context: CommandContext,
): Promise<ExitStatus> {
  const ask = reachServer(flags, context);
  const body = { ids: await findIds(ids, ask), set: { enabled } };
  return await change(ask, { method: "PATCH", path: bindingsPath, body }, flags, context);
}

export async function removeBindings(
  ids: readonly string[],
  flags: Flags & { readonly override?: boolean },
  context: CommandContext,
): Promise<ExitStatus> {
  const ask = reachServer(flags, context);
  const body = { ids: await findIds(ids, ask), ...(flags.override && { override: true }) };
  return await change(ask, { method: "DELETE", path: bindingsPath, body }, flags, context);
}

/** Asks for a change and says what it did. */
export async function change(
  ask: AskForChange,
  question: Question,
  flags: { readonly json?: boolean; readonly dryRun?: boolean },
  { terminal: { out, err } }: CommandContext,
): Promise<ExitStatus> {
  const answer = await ask<BindingChange>(question);
  for (const warning of answer.warnings) err.write(`${err.paint("yellow", "warning:")} ${plain(warning)}\n`);
  if (flags.json) out.write(`${JSON.stringify(answer)}\n`);
  else if (answer.changes.length === 0) err.write("Nothing changed: it is so already.\n");
  else {
    out.write(formatChanges(answer.changes, out));
    const words = flags.dryRun
      ? "Nothing was changed: this was a dry run."
      : `Live now, as revision ${answer.revision}.`;
    err.write(`${err.paint("dim", words)}\n`);
  }
  return exitStatus.done;
}

type Question = Omit<ServerQuestion, "data" | "cwd">;

/** @throws {UsageError} where what is asked is wrong; {Fault} where it does not fit what is there */
export type AskForChange = <Answer>(question: Question) => Promise<Answer>;

/** The server of the configuration. */
export function reachServer(flags: SettingsFlags, context: CommandContext): AskForChange {
  const { config } = loadSettings(flags, context);
  return async <Answer>(question: Question) => {
    try {
      return await askServer<Answer>({ data: config.data, cwd: context.cwd, ...question });
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== "control.refused" || error.facts.words === undefined) throw error;
      const { status, code, words } = error.facts;
      if (status === 400 || status === 413) throw new UsageError(String(words));
      const hint = code === "sink.load" ? " (--force binds it all the same, as broken)" : "";
      throw new Fault("control.refused", `${String(words)}${hint}`, { cause: error });
    }
  };
}

/** A line for each binding that changed, and one for each field below it. */
export function formatChanges(changes: BindingChange["changes"], out: Output): string {
  return changes
    .map(({ sign, id, words }) => {
      const head = `${out.paint(signStyles[sign], sign)} ${plain(id)}\n`;
      return head + words.map((line) => `    ${plain(line)}\n`).join("");
    })
    .join("");
}

const signStyles = { "+": "green", "-": "red", "~": "yellow" } as const;

async function findIds(texts: readonly string[], ask: AskForChange): Promise<readonly string[]> {
  const { bindings } = await ask<{ bindings: readonly BindingView[] }>({ path: bindingsPath });
  return [...new Set(texts.map((text) => findId(text, bindings)))];
}
