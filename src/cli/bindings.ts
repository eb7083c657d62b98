/** `onarrival bindings list`: what is asked for each event, in the order it is asked. */
import type { BindingView } from "../admin/server-view.ts";
import { eventNames, eventTable, isEventName } from "../events/event-table.ts";
import { fieldNames, readEvent, shortId } from "./bindings-words.ts";
import { askServer } from "./control-client.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { formatTable } from "./table.ts";
import { type CommandContext, type Output, plain, type Style } from "./terminal.ts";

export async function listBindings(
  flags: SettingsFlags & { readonly json?: boolean; readonly tree?: boolean; readonly event?: string },
  context: CommandContext,
): Promise<ExitStatus> {
  const event = flags.event === undefined ? undefined : readEvent(flags.event);
  const { config } = loadSettings(flags, context);
  const { bindings: all } = await askServer<{ bindings: readonly BindingView[] }>({
    data: config.data,
    cwd: context.cwd,
    path: "/api/v1/bindings",
  });
  const bindings = event === undefined ? all : all.filter((binding) => binding.event === event);
  const { out, err } = context.terminal;
  if (flags.json) for (const binding of bindings) out.write(`${JSON.stringify(binding)}\n`);
  else if (bindings.length === 0)
    err.write(event === undefined ? "Nothing is bound.\n" : `Nothing is bound to ${event}.\n`);
  else if (flags.tree) out.write(formatTree(bindings, out, event === undefined));
  else out.write(formatBindings(bindings, out));
  return exitStatus.done;
}

/** A block for each event; the server's own handling stands in its place, dimmed; below a binding stands its rule, and why it is not asked. */
export function formatBindings(bindings: readonly BindingView[], out: Output): string {
  const blocks: string[] = [];
  for (const event of new Set(bindings.map((binding) => binding.event))) {
    const bound = bindings.filter((binding) => binding.event === event);
    const rows = bound.map((binding) => {
      const cells = [
        String(binding.priority),
        plain(shortId(binding)),
        kindOf(binding),
        paintedState(binding, out),
        String(binding.firings),
        binding.faults === 0 ? "0" : out.paint("red", String(binding.faults)),
        binding.onFault,
      ];
      return binding.source === "server"
        ? [...cells.slice(0, 2), "server", "", "", "", ""].map((cell) => out.paint("dim", cell))
        : cells;
    });
    const heads = ["priority", "binding", "kind", "state", "fired", "faults", "on fault"];
    const [head, ...lines] = formatTable(heads, rows, out).split("\n");
    const text = [out.paint("bold", event), `  ${head}`];
    for (const [i, binding] of bound.entries())
      text.push(`  ${lines[i]}`, ...detailsOf(binding, out).map((line) => `    ${line}`));
    blocks.push(`${text.join("\n")}\n`);
  }
  return blocks.join("\n");
}

/**
 * The events in the table's order with what is bound to each, as a tree.
 * @param isWhole Whether all bindings are there: then the events without any are named too.
 */
export function formatTree(bindings: readonly BindingView[], out: Output, isWhole: boolean): string {
  const width = Math.max(...bindings.map((binding) => plain(shortId(binding)).length));
  const blocks: string[] = [];
  for (const event of new Set(bindings.map((binding) => binding.event))) {
    const bound = bindings.filter((binding) => binding.event === event);
    const when = isEventName(event) ? `  ${out.paint("dim", eventTable[event].when)}` : "";
    const lines = [`${out.paint("bold", event)}${when}`];
    for (const [i, binding] of bound.entries()) {
      const isLast = i === bound.length - 1;
      const isOwn = binding.source === "server";
      const name = plain(shortId(binding)).padEnd(width);
      const state = isOwn
        ? out.paint("dim", "the server's own")
        : `${paintedState(binding, out)}${countsOf(binding, out)}`;
      const priority = String(binding.priority).padStart(5);
      lines.push(`${isLast ? "└─" : "├─"} ${priority}  ${isOwn ? out.paint("dim", name) : name}  ${state}`);
      for (const detail of detailsOf(binding, out)) lines.push(`${isLast ? "  " : "│ "}        ${detail}`);
    }
    blocks.push(`${lines.join("\n")}\n`);
  }
  const silent = eventNames.filter((event) => !bindings.some((binding) => binding.event === event));
  if (isWhole && silent.length > 0) blocks.push(out.paint("dim", wrap(`Nothing is bound to ${silent.join(", ")}.`)));
  return blocks.join("\n");
}

/** What does not fit in a column: the rule, what an admin set, why it is not asked, how it failed last. */
function detailsOf(binding: BindingView, out: Output): string[] {
  const { rule, phase, reason, overridden, lastFault, kind } = binding;
  const lines: string[] = [];
  if (rule !== null) lines.push(`${out.paint("dim", "rule")} ${plain(rule)}`);
  if (phase === "queue") lines.push(`${out.paint("dim", "phase")} queue: behind the reply`);
  if (overridden.length > 0)
    lines.push(
      out.paint("cyan", `set over it: ${overridden.map((field) => fieldNames[field] ?? plain(field)).join(", ")}`),
    );
  if (reason !== null && reason !== "disabled")
    lines.push(out.paint(kind === "missing" ? "yellow" : "red", plain(reason)));
  if (lastFault !== null && kind !== "broken")
    lines.push(`${out.paint("red", lastFault.code)} ${plain(lastFault.message)}`);
  return lines;
}

function countsOf({ firings, faults }: BindingView, out: Output): string {
  const fired = firings === 0 ? "" : `  fired ${firings}`;
  return `${fired}${faults === 0 ? "" : out.paint("red", `  ${faults === 1 ? "1 fault" : `${faults} faults`}`)}`;
}

function paintedState(binding: BindingView, out: Output): string {
  const state = stateOf(binding);
  return out.paint(stateStyles[state], state);
}

function stateOf({ enabled, reason, kind, breaker }: BindingView): keyof typeof stateStyles {
  if (kind === "missing" || kind === "broken") return kind;
  if (!enabled) return "disabled";
  if (breaker !== "closed") return "suspended";
  return reason === null ? "active" : "used up";
}

const stateStyles = {
  active: "green",
  disabled: "yellow",
  "used up": "yellow",
  missing: "yellow",
  suspended: "red",
  broken: "red",
} as const satisfies Record<string, Style>;

/** What it is, whether it can run or not: that is its state. */
function kindOf({ kind, source }: BindingView): string {
  return kind === "broken" || kind === "missing" ? (source === "script" ? "script" : "native") : kind;
}

/** Lines of at most 80 columns. */
function wrap(text: string): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines.at(-1)!;
    if (last !== "" && last.length + 1 + word.length > 80) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines.map((line) => `${line}\n`).join("");
}
