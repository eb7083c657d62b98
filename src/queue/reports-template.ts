/** Reads the template of reports from the file that the configuration names. */
import { readFile } from "node:fs/promises";
import { parseReportTemplate, type ReportTemplate } from "../mail/report-template.ts";
import { describeThrown, Fault } from "../platform/fault.ts";

/** null where none is named. @throws {Fault} `config.unreadable`, `report.template` */
export async function readReportTemplate(file: string | null): Promise<ReportTemplate | null> {
  if (file === null) return null;
  const octets = await readFile(file).catch((error: unknown) => {
    throw new Fault("config.unreadable", `Cannot read ${file} (delivery.dsn.template): ${describeThrown(error)}`, {
      cause: error,
    });
  });
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(octets);
  } catch (error) {
    throw new Fault("report.template", `Cannot use ${file}: it is not UTF-8`, { cause: error });
  }
  return parseReportTemplate(text, file);
}
