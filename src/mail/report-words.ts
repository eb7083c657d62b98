/** What a report says to people: its subject and its first part, made of a template and the facts. Pure. */
import { Fault } from "../platform/fault.ts";
import { formatDate } from "./date.ts";
import { formatMailbox } from "./mailbox.ts";
import type { ReportedRecipient, ReportFacts, ReportWords } from "./report-facts.ts";
import { fillLines, ownTemplate, type ReportTemplate } from "./report-template.ts";
import { cleanLine, fitLine, wrap } from "./report-text.ts";
import { formatReply } from "./status.ts";

/** Octets of the part for people. */
export const wordsOctetsMax = 64 * 1024;
/** Characters of a subject. */
export const subjectLengthMax = 500;
/** Recipients that are named there; all of them are in the part for programs. */
export const recipientsNamedMax = 100;

/** The words of a report, by `template` where it has the kind, else by ours. */
export function writeWords(facts: Omit<ReportFacts, "words" | "now">, template: ReportTemplate | null): ReportWords {
  const { kind, original, reversePath, recipients, hostName, retryUntil } = facts;
  const section = template?.[kind] ?? ownTemplate()[kind]!;
  const subject = cleanLine(original.header.get("Subject") ?? "");
  const date = formatDate(original.receivedAt);
  const named = recipients.slice(0, recipientsNamedMax);
  const more = recipients.length - named.length;
  const values = {
    recipients: [
      ...named.flatMap((recipient, place) => [...(place === 0 ? [] : [""]), ...describeRecipient(recipient)]),
      ...(more > 0 ? ["", `and ${more} more, named in the part for programs`] : []),
    ],
    them: recipients.length === 1 ? "this recipient" : "these recipients",
    count: String(recipients.length),
    reason: reasonOf(recipients[0]),
    message: `${subject && `"${subject}" `}of ${date}`,
    subject,
    date,
    sender: formatMailbox(reversePath),
    hostname: hostName,
    postmaster: `postmaster@${hostName}`,
    retry_until: retryUntil === undefined ? "it is too old" : formatDate(retryUntil),
  };
  return {
    subject: cleanLine(fillLines([section.subject], values).join(" ")),
    text: fillLines(section.lines, values).join("\n"),
  };
}

/** @throws {Fault} `report.invalid` */
export function checkReportText(text: string): string {
  if (typeof text !== "string" || text.trim() === "") throw invalid("text", "it is empty");
  const plain = text.replace(/\r\n/g, "\n").replace(/\n+$/, "");
  if (/[\x00-\x08\x0b-\x1f\x7f]/.test(plain)) throw invalid("text", "it holds control characters");
  if (Buffer.byteLength(plain) > wordsOctetsMax) throw invalid("text", `it is longer than ${wordsOctetsMax} octets`);
  return plain;
}

/** @throws {Fault} `report.invalid` */
export function checkReportSubject(subject: string): string {
  if (typeof subject !== "string" || subject.trim() === "") throw invalid("subject", "it is empty");
  if (/[\x00-\x1f\x7f]/.test(subject)) throw invalid("subject", "it holds control characters");
  if (subject.length > subjectLengthMax) throw invalid("subject", `it is longer than ${subjectLengthMax} characters`);
  return subject.trim();
}

/** The text as lines that every server takes; what is too long is cut. */
export function linesOf(text: string): string[] {
  return text.split("\n").flatMap(fitLine);
}

function describeRecipient({ mailbox, reason, reply, nextHop }: ReportedRecipient): string[] {
  return [
    `<${formatMailbox(mailbox)}>`,
    ...wrap(cleanLine(reason)),
    ...(reply ? wrap(`${cleanLine(nextHop) || "the next hop"} said: ${cleanLine(formatReply(reply))}`) : []),
  ];
}

function reasonOf(recipient: ReportedRecipient | undefined): string {
  if (!recipient) return "";
  return cleanLine(recipient.reason) || (recipient.reply ? cleanLine(formatReply(recipient.reply)) : "");
}

function invalid(what: string, why: string): Fault {
  return new Fault("report.invalid", `Cannot take this ${what} for a report: ${why}`);
}
