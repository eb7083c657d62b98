/**
 * The words of reports for people, as a file writes them: a section for each kind, in it a subject and a text with placeholders. Our own words are written in
 * the same way. Pure.
 */
import { Fault } from "../platform/fault.ts";
import { nearestWord } from "../platform/value.ts";
import { type ReportKind, reportKinds } from "./report-facts.ts";
import { ownTemplateText } from "./report-own-words.ts";

/** Octets of a template. */
export const templateOctetsMax = 64 * 1024;

/** What can stand between `{{` and `}}`. */
export const placeholders = [
  "recipients",
  "them",
  "count",
  "reason",
  "message",
  "subject",
  "date",
  "sender",
  "hostname",
  "postmaster",
  "retry_until",
] as const;
export type Placeholder = (typeof placeholders)[number];

export interface TemplateSection {
  readonly subject: string;
  readonly lines: readonly string[];
}

/** Kinds without a section have our own words. */
export type ReportTemplate = { readonly [Kind in ReportKind]?: TemplateSection };

const placeholder = /\{\{([^{}]*)\}\}/g;

/**
 * Reads a template.
 * @throws {Fault} `report.template` with all that is wrong, each with its line and column
 */
export function parseReportTemplate(text: string, file: string): ReportTemplate {
  const problems: string[] = [];
  const say = (line: number, column: number, words: string) => problems.push(`${file}:${line}:${column}: ${words}`);
  if (Buffer.byteLength(text) > templateOctetsMax)
    throw new Fault("report.template", `Cannot use ${file}: longer than ${templateOctetsMax} octets`);
  const sections = new Map<ReportKind, string[]>();
  const beginsAt = new Map<ReportKind, number>();
  let kind: ReportKind | "unknown" | null = null;
  for (const [i, line] of text
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .entries()) {
    const number = i + 1;
    const name = /^\[([^[\]]*)\]\s*$/.exec(line)?.[1];
    if (name !== undefined) {
      kind = reportKinds.find((one) => one === name) ?? "unknown";
      if (kind === "unknown")
        say(number, 2, `there is no kind of report ${JSON.stringify(name)}${expected(name, reportKinds)}`);
      else if (sections.has(kind)) {
        say(number, 2, `a second section [${kind}]; the first is in line ${beginsAt.get(kind)}`);
        kind = "unknown";
      } else {
        sections.set(kind, []);
        beginsAt.set(kind, number);
      }
    } else if (kind === null) {
      if (line.trim() !== "" && !line.startsWith("#"))
        say(number, 1, "text before the first section; expected [failed] or another kind, or a comment");
    } else {
      for (const { column, words } of lineProblems(line)) say(number, column, words);
      if (kind !== "unknown") sections.get(kind)!.push(line);
    }
  }
  const template: { [Kind in ReportKind]?: TemplateSection } = {};
  for (const [name, lines] of sections) {
    const section = readSection(lines);
    if (section.lines.length === 0) say(beginsAt.get(name)!, 1, `the section [${name}] has no text`);
    if (/\{\{\s*recipients\s*\}\}/.test(section.subject))
      say(beginsAt.get(name)! + 1, 1, "{{recipients}} cannot stand in a subject; {{count}} can");
    template[name] = section.subject === "" ? { ...section, subject: ownTemplate()[name]!.subject } : section;
  }
  if (problems.length > 0)
    throw new Fault("report.template", `Cannot use the template of reports:\n${problems.join("\n")}`, {
      facts: { problems },
    });
  return template;
}

let own: ReportTemplate | undefined;

/** Our own words, for each kind. */
export function ownTemplate(): ReportTemplate {
  own ??= parseReportTemplate(ownTemplateText, "our own words");
  return own;
}

/** The lines with every placeholder filled; `recipients` fills a line of its own with several. */
export function fillLines(
  lines: readonly string[],
  values: Readonly<Record<Exclude<Placeholder, "recipients">, string>> & { readonly recipients: readonly string[] },
): string[] {
  return lines.flatMap((line) => {
    if (/^\s*\{\{\s*recipients\s*\}\}\s*$/.test(line)) return values.recipients;
    return line.replace(placeholder, (_whole, name: string) => String(values[name.trim() as Placeholder]));
  });
}

/** A first line `Subject: …` is no text; nor are the empty lines around it. */
function readSection(lines: readonly string[]): TemplateSection {
  const subject = /^Subject:(.*)$/i.exec(lines[0] ?? "")?.[1]?.trim();
  const rest = subject === undefined ? lines : lines.slice(1);
  const first = rest.findIndex((line) => line.trim() !== "");
  const last = rest.findLastIndex((line) => line.trim() !== "");
  return { subject: subject ?? "", lines: first === -1 ? [] : rest.slice(first, last + 1) };
}

function lineProblems(line: string): { readonly column: number; readonly words: string }[] {
  const problems: { column: number; words: string }[] = [];
  const control = /[\x00-\x08\x0b-\x1f\x7f]/.exec(line);
  if (control) problems.push({ column: control.index + 1, words: "a control character" });
  for (const match of line.matchAll(placeholder)) {
    const name = match[1]!.trim();
    const column = match.index + 1;
    if (!placeholders.some((one) => one === name))
      problems.push({ column, words: `there is no placeholder {{${name}}}${expected(name, placeholders)}` });
    else if (name === "recipients" && line.trim() !== match[0] && !/^Subject:/i.test(line))
      problems.push({ column, words: "{{recipients}} stands for several lines: expected it alone on its line" });
  }
  const open = line.replace(placeholder, (found) => " ".repeat(found.length)).search(/\{\{|\}\}/);
  if (open !== -1) problems.push({ column: open + 1, words: "a brace pair without its other half; expected {{NAME}}" });
  return problems;
}

function expected(name: string, known: readonly string[]): string {
  const nearest = nearestWord(name, known);
  return nearest === undefined ? `; expected one of ${known.join(", ")}` : `; did you mean ${nearest}?`;
}
