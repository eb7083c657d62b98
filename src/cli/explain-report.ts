/** An explanation for people: a block for each event, a line for each binding, below it the condition that did not hold. */
import type { ExplainedBinding, ExplainedEvent, ExplainReport } from "../admin/explain-view.ts";
import { formatTable } from "./table.ts";
import { type Output, plain } from "./terminal.ts";

/** Characters of a value or a verdict that are shown. */
const wordsLengthMax = 160;

export function formatExplanation(report: ExplainReport, file: string, out: Output): string {
  const envelope = `${plain(report.from)} → ${report.to.map(plain).join(", ")}`;
  const head = `${out.paint("bold", plain(file))}  ${envelope}  ${out.paint("dim", report.live ? "with the running server's bindings" : "with what the files say")}\n`;
  const blocks = report.events.map((event) => formatEvent(event, out));
  const style = report.result === "accepted" ? "green" : "red";
  const last = `${out.paint(style, report.result)}  ${plain(report.reply)}  ${out.paint("dim", "(a rehearsal: nothing was kept or sent)")}\n`;
  return [head, ...blocks, ...formatDestinations(report, out), last].join("\n");
}

/** Where it would go, a line for each recipient. */
function formatDestinations({ destinations }: ExplainReport, out: Output): string[] {
  if (destinations.length === 0) return [];
  const rows = destinations.map(({ recipient, fate, hop, by, words }) => [
    plain(recipient),
    out.paint(fate === "delivered" || fate === "sent" ? "green" : "red", fate),
    plain(hop ?? ""),
    plain(by ?? ""),
    cut(plain(words)),
  ]);
  const lines = formatTable(["recipient", "outcome", "next hop", "by", "and"], rows, out).trimEnd().split("\n");
  return [`${[out.paint("bold", "then"), ...lines.map((line) => `  ${line.trimEnd()}`)].join("\n")}\n`];
}

function formatEvent({ event, about, bindings, reply }: ExplainedEvent, out: Output): string {
  const rows = bindings.map((binding) => [
    String(binding.priority),
    plain(binding.name),
    binding.source === "server" ? out.paint("dim", "server") : kindOf(binding),
    outcomeOf(binding, out),
  ]);
  const [head, ...lines] = formatTable(["priority", "name", "kind", "what became of it"], rows, out).split("\n");
  const text = [`${out.paint("bold", event)}${about === "" ? "" : ` ${plain(about)}`}`, `  ${head}`];
  for (const [i, binding] of bindings.entries()) {
    text.push(`  ${lines[i]}`);
    for (const line of reasonsOf(binding)) text.push(`    ${out.paint("dim", cut(plain(line)))}`);
  }
  if (reply !== "") text.push(`  ${out.paint("yellow", `→ ${cut(plain(reply))}`)}`);
  return `${text.join("\n")}\n`;
}

function kindOf({ kind, source }: ExplainedBinding): string {
  return kind === "broken" ? (source === "script" ? "script" : "native") : kind;
}

function outcomeOf(binding: ExplainedBinding, out: Output): string {
  const { outcome, verdict, fault, by } = binding;
  switch (outcome) {
    case "asked":
      if (fault !== null) return out.paint("red", cut(`failed: ${plain(fault)}; ${plain(verdict ?? "")}`));
      return out.paint(verdict?.startsWith("proceed") ? "green" : "yellow", cut(plain(verdict ?? "")));
    case "suspended":
      return out.paint("red", `suspended after too many faults: ${plain(verdict ?? "")}`);
    case "rule":
      return "its rule does not hold";
    case "settled":
      return `passed by: ${plain(by ?? "an earlier sink")} settled it`;
    case "decided":
      return `not reached: ${plain(by ?? "an earlier sink")} decided`;
    case "disabled":
      return out.paint("yellow", "disabled");
    case "used-up":
      return out.paint("yellow", "has fired as often as it may");
    case "broken":
      return out.paint("red", "broken");
  }
}

/** What stands below a line. */
function reasonsOf({ outcome, conditions, by }: ExplainedBinding): string[] {
  if (outcome === "broken") return [by ?? ""];
  return conditions.map(
    ({ condition, held, value }) =>
      `${held ? "holds" : "does not hold"}: ${condition}  (${value === "(none)" ? "there is none" : `it is ${value}`})`,
  );
}

function cut(text: string): string {
  return text.length > wordsLengthMax ? `${text.slice(0, wordsLengthMax)}…` : text;
}
