/** `onarrival bindings list`: what is asked for each event, in the order it is asked. */
import type { BindingView } from "../admin/server-view.ts";
import { nearestWord } from "../config/value.ts";
import { eventNames, isEventName } from "../events/event-table.ts";
import { askServer } from "./control-client.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { formatTable } from "./table.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";

export async function listBindings(
  flags: SettingsFlags & { readonly json?: boolean; readonly event?: string },
  context: CommandContext,
): Promise<ExitStatus> {
  if (flags.event !== undefined && !isEventName(flags.event)) {
    const nearest = nearestWord(flags.event, eventNames);
    throw new UsageError(`There is no event ${JSON.stringify(flags.event)}`, nearest && `Did you mean ${nearest}?`);
  }
  const { config } = loadSettings(flags, context);
  const { bindings: all } = await askServer<{ bindings: readonly BindingView[] }>({
    data: config.data,
    cwd: context.cwd,
    path: "/api/v1/bindings",
  });
  const bindings = flags.event === undefined ? all : all.filter((binding) => binding.event === flags.event);
  const { out, err } = context.terminal;
  if (flags.json) for (const binding of bindings) out.write(`${JSON.stringify(binding)}\n`);
  else if (bindings.length === 0)
    err.write(flags.event === undefined ? "Nothing is bound.\n" : `Nothing is bound to ${flags.event}.\n`);
  else out.write(formatBindings(bindings, out));
  return exitStatus.done;
}

/** A block for each event; the server's own handling stands in its place, dimmed; below a broken binding stands why. */
export function formatBindings(bindings: readonly BindingView[], out: Output): string {
  const blocks: string[] = [];
  for (const event of new Set(bindings.map((binding) => binding.event))) {
    const bound = bindings.filter((binding) => binding.event === event);
    const rows = bound.map((binding) => {
      const cells = [
        String(binding.priority),
        plain(binding.name),
        kindOf(binding),
        stateOf(binding, out),
        binding.onFault,
        plain(binding.rule ?? ""),
      ];
      return binding.source === "server"
        ? [...cells.slice(0, 2), "server", "", "", ""].map((cell) => out.paint("dim", cell))
        : cells;
    });
    const [head, ...lines] = formatTable(["priority", "name", "kind", "state", "on fault", "rule"], rows, out).split(
      "\n",
    );
    const text = [out.paint("bold", event), `  ${head}`];
    for (const [i, { kind, reason }] of bound.entries()) {
      text.push(`  ${lines[i]}`);
      if (kind === "broken" && reason !== null) text.push(`    ${out.paint("red", plain(reason))}`);
    }
    blocks.push(`${text.join("\n")}\n`);
  }
  return blocks.join("\n");
}

function stateOf({ enabled, reason, kind }: BindingView, out: Output): string {
  if (!enabled) return out.paint("yellow", "disabled");
  if (kind === "broken") return out.paint("red", "broken");
  return reason === null ? out.paint("green", "active") : out.paint("red", plain(reason));
}

/** What it is, whether it can run or not: that is its state. */
function kindOf({ kind, source }: BindingView): string {
  return kind === "broken" ? (source === "script" ? "script" : "native") : kind;
}
