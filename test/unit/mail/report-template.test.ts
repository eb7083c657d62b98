/** The file with the words of reports: what it may hold, and what is said of what it may not. */
import { describe, expect, test } from "vitest";
import { reportKinds } from "../../../src/mail/dsn.ts";
import { ownTemplate, parseReportTemplate, templateOctetsMax } from "../../../src/mail/report-template.ts";
import {
  checkReportSubject,
  checkReportText,
  subjectLengthMax,
  wordsOctetsMax,
} from "../../../src/mail/report-words.ts";
import { faultOf } from "../../support/fault-of.ts";

describe("parseReportTemplate", () => {
  test("takes sections with and without a subject; the kinds that are not there have ours", () => {
    const template = parseReportTemplate(
      "# a comment\n\n[failed]\r\nSubject: Sorry {{count}}\r\n\r\nfirst\r\n\r\n[x] is no section\n\n[delayed]\nlate\n\n",
      "t.txt",
    );
    expect(template.failed).toEqual({ subject: "Sorry {{count}}", lines: ["first", "", "[x] is no section"] });
    expect(template.delayed).toEqual({ subject: ownTemplate().delayed!.subject, lines: ["late"] });
    expect(template.delivered).toBeUndefined();
  });

  test("our own words are one, with every kind", () => {
    for (const kind of reportKinds) expect(ownTemplate()[kind]!.lines).toContain("{{recipients}}");
  });

  test.each([
    ["an unknown section", "[fialed]\nx", 't.txt:1:2: there is no kind of report "fialed"; did you mean failed?'],
    [
      "a second section of a kind",
      "[failed]\nx\n[failed]\ny",
      "t.txt:3:2: a second section [failed]; the first is in line 1",
    ],
    ["text before the first section", "hello\n[failed]\nx", "t.txt:1:1: text before the first section"],
    ["a section without text", "[failed]\nSubject: x\n\n[relayed]\ny", "t.txt:1:1: the section [failed] has no text"],
    [
      "an unknown placeholder",
      "[failed]\nto {{resaon}}",
      "t.txt:2:4: there is no placeholder {{resaon}}; did you mean reason?",
    ],
    ["one that is not closed", "[failed]\nto {{reason", "t.txt:2:4: a brace pair without its other half"],
    ["one that is not opened", "[failed]\n{{date}} reason}}", "t.txt:2:16: a brace pair without its other half"],
    ["recipients within a line", "[failed]\nto {{recipients}}", "t.txt:2:4: {{recipients}} stands for several lines"],
    [
      "recipients in a subject",
      "[failed]\nSubject: {{recipients}}\nx",
      "t.txt:2:1: {{recipients}} cannot stand in a subject",
    ],
    ["a control character", "[failed]\na\u0007b", "t.txt:2:2: a control character"],
  ])("says where there is %s", (_why, text, words) => {
    const fault = faultOf(() => parseReportTemplate(text, "t.txt"));
    expect(fault.code).toBe("report.template");
    expect(fault.message).toContain(words);
  });

  test("says all that is wrong at once", () => {
    const fault = faultOf(() => parseReportTemplate("[a]\n[failed]\n{{x}}\n{{y}}", "t.txt"));
    expect(fault.facts.problems).toHaveLength(3);
  });

  test.each([
    ["at the limit", 0, true],
    ["above the limit", 1, false],
  ])("takes a file %s: %s", (_why, extra, taken) => {
    const head = "[failed]\n";
    const text = head + "x".repeat(templateOctetsMax - head.length + extra);
    if (taken) expect(parseReportTemplate(text, "t").failed).toBeDefined();
    else expect(faultOf(() => parseReportTemplate(text, "t")).code).toBe("report.template");
  });
});

describe("what a sink may put into a report", () => {
  test.each([
    ["some lines", "a\nb\tc\r\nd\n\n", "a\nb\tc\nd"],
    ["as much as there may be", "x".repeat(wordsOctetsMax), "x".repeat(wordsOctetsMax)],
    ["more", "x".repeat(wordsOctetsMax + 1), undefined],
    ["nothing", " \n", undefined],
    ["a control character", "a\u001bb", undefined],
    ["no text", 5 as unknown as string, undefined],
  ])("a text of %s", (_why, text, expected) => {
    if (expected === undefined) expect(faultOf(() => checkReportText(text)).code).toBe("report.invalid");
    else expect(checkReportText(text)).toBe(expected);
  });

  test.each([
    ["words", " Sorry ", "Sorry"],
    ["as many as there may be", "x".repeat(subjectLengthMax), "x".repeat(subjectLengthMax)],
    ["more", "x".repeat(subjectLengthMax + 1), undefined],
    ["a line end", "a\r\nBcc: b", undefined],
    ["nothing", "", undefined],
  ])("a subject of %s", (_why, subject, expected) => {
    if (expected === undefined) expect(faultOf(() => checkReportSubject(subject)).code).toBe("report.invalid");
    else expect(checkReportSubject(subject)).toBe(expected);
  });
});
