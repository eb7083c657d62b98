/** A test result as people read it: what came in, what the verdict is, what changed, what was logged, what it cost, and what went wrong where. */

import type { Difference, TestResult } from "../main-test-result.ts";
import type { Step, TestRun } from "../main-test-run.ts";
import { shortVersion } from "./script-places.ts";
import { type Output, plain, type Style } from "./terminal.ts";

const labelWidth = 10;
const addressesMax = 5;
const stackLinesMax = 8;

/** A block for one message; a short one where nothing happened. */
export function formatRun(
  { result, conditions, onFault }: TestRun,
  options: { readonly steps: readonly Step[] | null; readonly writtenTo: string | null },
  out: Output,
): string {
  const { file, script, version, envelope, matched, changes, said = [], log, usage, defects, fault } = result;
  const lines: string[] = [];
  const add = (label: string, ...texts: readonly string[]) => {
    for (const [i, text] of texts.entries())
      lines.push(`  ${out.paint("dim", (i === 0 ? label : "").padEnd(labelWidth))}${text}`);
  };
  if (result.event !== "onArrival") add("event", result.event);
  add("envelope", `${shownPath(envelope.from)} → ${shownAddresses(envelope.to)}`);
  if (conditions.length > 0) {
    add(
      "rule",
      ...conditions.map(
        ({ condition, held, value }) =>
          `${held ? out.paint("green", "holds") : out.paint("yellow", "fails")}  ${plain(condition)}  ${out.paint("dim", plain(value))}`,
      ),
    );
  }
  if (options.steps) {
    add(
      "sinks",
      ...options.steps.map(
        (step) => `${plain(step.binding)}  ${step.fault ? out.paint("red", step.fault.code) : step.verdict.kind}`,
      ),
    );
  }
  if (fault) {
    add(
      "fault",
      out.paint("red", `${fault.code}  ${fault.at ? `${plain(fault.at)}: ` : ""}${plain(fault.message)}`),
      ...stackLines(fault.stack).map((line) => out.paint("dim", line)),
    );
  }
  add("verdict", shownVerdict(result, onFault, out));
  const { from, added, removed } = changes.envelope;
  const envelopeChanges = [
    ...(from === undefined
      ? []
      : [`${out.paint("red", `- from ${shownPath(envelope.from)}`)}`, out.paint("green", `+ from ${shownPath(from)}`)]),
    ...removed.map((address) => out.paint("red", `- to ${plain(address)}`)),
    ...added.map((address) => out.paint("green", `+ to ${plain(address)}`)),
  ];
  if (envelopeChanges.length > 0) add("envelope", ...envelopeChanges);
  const fieldChanges = changes.fields.flatMap(({ name, before, after }) => [
    ...(before === undefined ? [] : [out.paint("red", `- ${plain(name)}: ${plain(before)}`)]),
    ...(after === undefined ? [] : [out.paint("green", `+ ${plain(name)}: ${plain(after)}`)]),
  ]);
  if (fieldChanges.length > 0) add("header", ...fieldChanges);
  if (changes.parts.length > 0) {
    add(
      "parts",
      ...changes.parts.map(({ op, part, contentType, fileName }) =>
        out.paint(
          op === "remove" ? "red" : "green",
          `${op === "remove" ? "-" : "+"} part ${plain(part)}  ${plain(contentType)}${fileName ? `  ${plain(fileName)}` : ""}`,
        ),
      ),
    );
  }
  if (said.length > 0) add("said", ...said.map(plain));
  if (defects.length > 0) add("defects", ...defects.map(plain));
  if (log.length > 0)
    add(
      "log",
      ...log.map(({ level, text }) => `${out.paint(levelStyles[level] ?? "dim", level.padEnd(5))} ${plain(text)}`),
    );
  if (usage.wallMs > 0)
    add(
      "usage",
      `${usage.cpuMs.toFixed(1)} ms computing · ${usage.wallMs.toFixed(1)} ms in all · ${usage.heapKiB.toLocaleString("en")} KiB heap`,
    );
  if (options.writtenTo !== null) add("written", options.writtenTo);
  const head = `${out.paint("bold", plain(file))}  ${out.paint("dim", `${plain(script)}${version === null ? "" : ` ${shortVersion(version)}`}`)}`;
  if (!matched && !fault && !options.steps)
    lines.splice(
      conditions.length + (result.event === "onArrival" ? 1 : 2),
      lines.length,
      `  ${" ".repeat(labelWidth)}${out.paint("dim", "the script is not asked about this message")}`,
    );
  return `${head}\n${lines.join("\n")}\n`;
}

/** What differs from what is expected, one place a line, what was expected before what was found. @param expectFile null: whoever calls has said of what */
export function formatDifferences(differences: readonly Difference[], expectFile: string | null, out: Output): string {
  const lines = differences.flatMap(({ path, expected, found }) => [
    `  ${plain(path) || "(all of it)"}`,
    out.paint("red", `    expected ${shownValue(expected)}`),
    out.paint("green", `    found    ${shownValue(found)}`),
  ]);
  const head = expectFile === null ? "" : `${out.paint("red", "differs")} from ${plain(expectFile)}\n`;
  return `${head}${lines.join("\n")}\n`;
}

function shownValue(value: unknown): string {
  return value === undefined ? "nothing" : plain(JSON.stringify(value));
}

/** One line for many messages: `120 messages: 118 proceed, 2 refuse; 1 fault`. */
export function formatSummary(
  results: { readonly verdicts: ReadonlyMap<string, number>; readonly faults: number; readonly unmatched: number },
  out: Output,
): string {
  const total = [...results.verdicts.values()].reduce((sum, count) => sum + count, 0);
  const counts = [...results.verdicts]
    .sort((one, other) => other[1] - one[1])
    .map(([kind, count]) => `${count} ${kind}`);
  const notes = [
    ...(results.unmatched > 0 ? [`${results.unmatched} not asked about`] : []),
    ...(results.faults > 0 ? [out.paint("red", results.faults === 1 ? "1 fault" : `${results.faults} faults`)] : []),
  ];
  return `${total} messages: ${counts.join(", ")}${notes.length > 0 ? `; ${notes.join(", ")}` : ""}\n`;
}

const verdictStyles: Readonly<Record<string, Style>> = {
  proceed: "green",
  refuse: "red",
  defer: "yellow",
  discard: "yellow",
  quarantine: "yellow",
};
const levelStyles: Readonly<Record<string, Style>> = { debug: "dim", info: "cyan", warn: "yellow", error: "red" };

function shownVerdict({ verdict, fault }: TestResult, onFault: string, out: Output): string {
  const words = [verdict.code, verdict.status, verdict.text && plain(verdict.text)]
    .filter((word) => word !== undefined && word !== "")
    .join(" ");
  const settled = verdict.settled ? " (settled: those behind are not asked)" : "";
  const because =
    fault && verdict.kind !== "proceed"
      ? out.paint("dim", `  because onFault is ${onFault}`)
      : fault
        ? out.paint("dim", "  the message passes as it came")
        : "";
  return `${out.paint(verdictStyles[verdict.kind] ?? "bold", verdict.kind)}${words === "" ? "" : ` ${words}`}${settled}${because}`;
}

function shownPath(path: string | null): string {
  return path === null ? "<>" : plain(path);
}

function shownAddresses(addresses: readonly string[]): string {
  const shown = addresses.slice(0, addressesMax).map(plain).join(", ");
  return addresses.length > addressesMax ? `${shown} and ${addresses.length - addressesMax} more` : shown;
}

function stackLines(stack: string): string[] {
  const lines = stack
    .split("\n")
    .map((line) => plain(line).trim())
    .filter((line) => line !== "");
  // The first place stands beside the message already.
  return lines.length < 2 ? [] : lines.slice(0, stackLinesMax);
}
