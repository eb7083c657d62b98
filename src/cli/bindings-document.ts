/** `onarrival bindings export|import|undo|history`: the document of all changes as a whole, and the way back. */
import { readFile, writeFile } from "node:fs/promises";
import { text as readAll } from "node:stream/consumers";
import type { BindingRevision } from "../admin/binding-control.ts";
import { count } from "../platform/value.ts";
import { change, formatChanges, reachServer } from "./bindings-change.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import type { SettingsFlags } from "./settings.ts";
import { formatDistance } from "./table.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";

type Flags = SettingsFlags & { readonly json?: boolean };

const documentPath = "/api/v1/bindings.json";

/** To a file, or to standard output. A file that is there already stays. */
export async function exportBindings(
  file: string | undefined,
  flags: Flags,
  context: CommandContext,
): Promise<ExitStatus> {
  const document = await reachServer(flags, context)<unknown>({ path: documentPath });
  const json = `${JSON.stringify(document, null, 2)}\n`;
  const { out, err } = context.terminal;
  if (file === undefined) out.write(json);
  else {
    await writeFile(file, json, { flag: "wx", mode: 0o600 }).catch((error: unknown) => {
      throw unusable("write", file, error);
    });
    err.write(`Written to ${file}.\n`);
  }
  return exitStatus.done;
}

export async function importBindings(
  file: string,
  flags: Flags & { readonly replace?: boolean; readonly dryRun?: boolean; readonly force?: boolean },
  context: CommandContext,
): Promise<ExitStatus> {
  const json =
    file === "-"
      ? await readAll(process.stdin)
      : await readFile(file, "utf8").catch((error: unknown) => {
          throw unusable("read", file, error);
        });
  const query = new URLSearchParams({
    mode: flags.replace ? "replace" : "merge",
    ...(flags.dryRun && { dryRun: "true" }),
    ...(flags.force && { force: "true" }),
  });
  const question = { method: "PUT", path: `${documentPath}?${query}`, body: json } as const;
  return await change(reachServer(flags, context), question, flags, context);
}

export async function undoBindings(
  flags: Flags & { readonly to?: string },
  context: CommandContext,
): Promise<ExitStatus> {
  const kind = count({ min: 0, max: Number.MAX_SAFE_INTEGER });
  const to = flags.to === undefined ? undefined : kind.parse(kind.fromText(flags.to));
  if (to && !("value" in to)) throw new UsageError(`--to: expected a revision, not ${JSON.stringify(flags.to)}`);
  const body = to ? { to: to.value } : {};
  const question = { method: "POST", path: "/api/v1/bindings/undo", body } as const;
  return await change(reachServer(flags, context), question, flags, context);
}

export async function showHistory(flags: Flags, context: CommandContext): Promise<ExitStatus> {
  const question = { path: "/api/v1/bindings/history" };
  const { revisions } = await reachServer(flags, context)<{ revisions: readonly BindingRevision[] }>(question);
  const { out, err } = context.terminal;
  if (flags.json) for (const revision of revisions) out.write(`${JSON.stringify(revision)}\n`);
  else if (revisions.length === 0) err.write("Nothing was changed yet.\n");
  else out.write(formatHistory(revisions, Date.now(), out));
  return exitStatus.done;
}

/** The newest last, as in a log; what each changed stands below it. */
export function formatHistory(revisions: readonly BindingRevision[], nowMs: number, out: Output): string {
  return revisions
    .map(({ revision, changedAt, restored, isPresent, changes }) => {
      const notes = [
        restored === null ? "" : `  took up revision ${restored} again`,
        isPresent ? `  ${out.paint("green", "live")}` : "",
      ].join("");
      const head = `${out.paint("bold", String(revision))}  ${plain(changedAt)} (${formatDistance(changedAt, nowMs)})${notes}\n`;
      return head + formatChanges(changes, out).replace(/^/gm, "  ").replace(/ +$/, "");
    })
    .join("");
}

function unusable(verb: string, file: string, error: unknown): UsageError {
  const { code } = error as NodeJS.ErrnoException;
  const why =
    code === "EEXIST" ? "it is there already" : code === "ENOENT" ? "it is not there" : (code ?? String(error));
  return new UsageError(`Cannot ${verb} ${file}: ${why}`);
}
