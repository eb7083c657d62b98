/** `onarrival bindings list`: what is asked for each event, in the order it is asked. */
import type { BindingView } from "../admin/server-view.ts";
import { askServer } from "./control-client.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { formatTable } from "./table.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";

export async function listBindings(
  flags: SettingsFlags & { readonly json?: boolean; readonly event?: string },
  context: CommandContext,
): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const { bindings: all } = await askServer<{ bindings: readonly BindingView[] }>({
    data: config.data,
    cwd: context.cwd,
    path: "/api/v1/bindings",
  });
  const bindings = flags.event === undefined ? all : all.filter((binding) => binding.event === flags.event);
  const { out, err } = context.terminal;
  if (flags.json) for (const binding of bindings) out.write(`${JSON.stringify(binding)}\n`);
  else if (bindings.length === 0) err.write("Nothing is bound.\n");
  else out.write(formatBindings(bindings, out));
  return exitStatus.done;
}

/** A block for each event; the server's own handling stands in its place, dimmed. */
export function formatBindings(bindings: readonly BindingView[], out: Output): string {
  const blocks: string[] = [];
  for (const event of new Set(bindings.map((binding) => binding.event))) {
    const rows = bindings
      .filter((binding) => binding.event === event)
      .map((binding) => {
        const cells = [
          String(binding.priority),
          plain(binding.name),
          binding.kind,
          stateOf(binding, out),
          binding.onFault,
          plain(binding.rule ?? ""),
        ];
        return binding.source === "server"
          ? [...cells.slice(0, 2), "server", "", "", ""].map((cell) => out.paint("dim", cell))
          : cells;
      });
    blocks.push(
      `${out.paint("bold", event)}\n${indent(formatTable(["priority", "name", "kind", "state", "on fault", "rule"], rows, out))}`,
    );
  }
  return blocks.join("\n");
}

function stateOf({ enabled, reason, kind }: BindingView, out: Output): string {
  if (!enabled) return out.paint("yellow", reason === null ? "disabled" : `disabled: ${plain(reason)}`);
  if (reason !== null) return out.paint("red", kind === "broken" ? `broken: ${plain(reason)}` : plain(reason));
  return out.paint("green", "active");
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, "  ");
}
