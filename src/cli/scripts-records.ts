/** `onarrival scripts records`: the runs a server has recorded, because they faulted. Reads files; needs no server. */
import { join, relative } from "node:path";
import { listRecords } from "../scripting/records-folder.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { shortVersion } from "./script-places.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { formatTable } from "./table.ts";
import { type CommandContext, plain } from "./terminal.ts";

/** @param name A script: `tag-external`, `scripts/tag-external.ts`; absent: all of them. */
export async function showRecords(
  name: string | undefined,
  flags: SettingsFlags & { readonly json?: boolean },
  context: CommandContext,
): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const { out, err } = context.terminal;
  const folder = join(config.data, "records");
  const all = await listRecords(folder);
  const found = name === undefined ? all : all.filter(({ script }) => stemOf(script) === stemOf(name));
  const shown = (file: string) => (relative(context.cwd, file).startsWith("..") ? file : relative(context.cwd, file));
  if (flags.json)
    for (const { onarrival: _kind, ...record } of found)
      out.write(`${JSON.stringify({ ...record, file: shown(record.file) })}\n`);
  else if (found.length === 0)
    err.write(`There are no records${name === undefined ? "" : ` of ${plain(name)}`} in ${folder}.\n`);
  else {
    const rows = found.map(({ at, script, version, event, fault, file }) => [
      new Date(at).toISOString().slice(0, 19).replace("T", " "),
      plain(script),
      shortVersion(version),
      plain(event),
      fault ? out.paint("red", plain(fault.code)) : "",
      plain(fault ? `${fault.at === null ? "" : `${fault.at}: `}${fault.message}` : "").slice(0, 80),
      plain(shown(file)),
    ]);
    out.write(formatTable(["at", "script", "version", "event", "fault", "what", "record"], rows, out));
    err.write(
      `Run one again: onarrival replay FILE, or with a mended script: onarrival replay FILE --script scripts/x.ts\n`,
    );
  }
  return exitStatus.done;
}

function stemOf(script: string): string {
  return script.replace(/^.*\//, "").replace(/\.\w+$/, "");
}
