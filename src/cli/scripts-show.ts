/** `onarrival scripts show`: all there is to say of one script as it runs. */
import type { ScriptView } from "../admin/server-view.ts";
import { reachServer } from "./bindings-change.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { shortVersion } from "./script-places.ts";
import { scriptNamed } from "./scripts-change.ts";
import type { SettingsFlags } from "./settings.ts";
import { formatDistance } from "./table.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";

export async function showScript(
  name: string,
  flags: SettingsFlags & { readonly json?: boolean },
  context: CommandContext,
): Promise<ExitStatus> {
  const script = await scriptNamed(name, reachServer(flags, context));
  const { out } = context.terminal;
  out.write(flags.json ? `${JSON.stringify(script)}\n` : formatScript(script, Date.now(), out));
  return exitStatus.done;
}

export function formatScript(script: ScriptView, nowMs: number, out: Output): string {
  const { pinned, pending, lastFault } = script;
  const facts: readonly (readonly [name: string, value: string])[] = [
    ["script", out.paint("bold", plain(script.name))],
    ["state", script.state],
    ["version", script.version ?? "none runs"],
    ...(script.since === null ? [] : [["since", formatDistance(script.since, nowMs)] as const]),
    ...(pinned
      ? [
          [
            "pinned",
            `${formatDistance(pinned.time, nowMs)}${pinned.author === null ? "" : ` by ${plain(pinned.author)}`}`,
          ] as const,
        ]
      : []),
    ["events", script.events.join(", ")],
    ["priority", String(script.priority)],
    ["rule", plain(script.rule ?? "every message")],
    ["on a fault", script.onFault],
    ...several("granted", script.grants.length === 0 ? ["nothing"] : script.grants),
    ...(pending ? several("waits for", [...pending.added, `in ${shortVersion(pending.version)}`]) : []),
    ["runs", `${script.runs}, ${script.faults} of them failed`],
    ...several("warnings", script.warnings),
    ...(lastFault
      ? [
          [
            "last fault",
            `${lastFault.code} ${lastFault.at === null ? "" : `${plain(lastFault.at)}: `}${plain(lastFault.message)}`,
          ] as const,
        ]
      : []),
  ];
  return facts.map(([name, value]) => `${out.paint("dim", name.padEnd(12))}${value}\n`).join("");
}

function several(name: string, values: readonly string[]): readonly (readonly [name: string, value: string])[] {
  return values.map((value, index) => [index === 0 ? name : "", plain(value)] as const);
}
