/** The reporter: reports of delay, the question at onDsn, the template, and how much one report holds. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Binding } from "../../../src/events/binding.ts";
import { Dispatcher } from "../../../src/events/dispatcher.ts";
import type { DsnSubject } from "../../../src/events/subject-transport.ts";
import { discard, refuse } from "../../../src/events/verdict.ts";
import type { Message } from "../../../src/mail/message.ts";
import { parseReportTemplate } from "../../../src/mail/report-template.ts";
import type { Outcome, Settlement } from "../../../src/queue/attempt.ts";
import { createReporter, type ReporterOptions, reportedRecipientsMax } from "../../../src/queue/reports.ts";
import { readReportTemplate } from "../../../src/queue/reports-template.ts";
import { createBinding } from "../../support/events.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createRecordingLog } from "../../support/recording-log.ts";
import { createSampleMessage, readMessage, type SampleMessage } from "../../support/sample-message.ts";

function setUp(
  sample: SampleMessage,
  outcome: Partial<Outcome>,
  options: Partial<ReporterOptions> & { bindings?: Binding[]; delayed?: boolean } = {},
) {
  const { bindings, delayed, ...given } = options;
  const log = createRecordingLog();
  const clock = createFakeClock();
  const dispatcher = new Dispatcher({ log, clock, scripts: { run: () => Promise.reject(new Error("no script")) } });
  dispatcher.replaceBindings(bindings ?? []);
  const report = createReporter({ hostName: "mail.example.test", clock, log, events: dispatcher, ...given });
  const message = createSampleMessage(sample);
  const settlements = message.envelope.recipients.map(
    (recipient, index): Settlement => ({
      recipient: { ...recipient, index, state: "queued", attempts: 0, nextAttemptAt: 0, lastOutcome: "" },
      outcome: { index, kind: "failed", nextHop: "", reply: null, reason: "x", ...outcome },
      update: { index, state: "failed", attempts: 1, nextAttemptAt: 0, lastOutcome: "" },
      ...(delayed && { delayed }),
    }),
  );
  return { log, message, make: () => report(message, settlements) };
}

const textOf = async (message: Message | undefined) => (await readMessage(message!)).toString();

describe("createReporter: of what is delayed", () => {
  test.each<{
    why: string;
    delayed: boolean;
    notify?: ("delay" | "failure" | "success" | "never")[];
    kind?: Outcome["kind"];
    made: number;
  }>([
    { why: "nothing asked", delayed: true, made: 1 },
    { why: "asked for", delayed: true, notify: ["delay"], made: 1 },
    { why: "held", delayed: true, kind: "held", made: 1 },
    { why: "failures alone asked for", delayed: true, notify: ["failure"], made: 0 },
    { why: "never", delayed: true, notify: ["never"], made: 0 },
    { why: "not late enough", delayed: false, notify: ["delay"], made: 0 },
  ])("$why: $made", async ({ delayed, notify, kind = "deferred", made }) => {
    const { make } = setUp({ toOptions: [notify && { notify }] }, { kind }, { delayed });
    expect(await make()).toHaveLength(made);
  });

  test("never about the null reverse-path", async () => {
    expect(await setUp({ from: null }, { kind: "deferred" }, { delayed: true }).make()).toEqual([]);
  });

  test.each<{ why: string; outcome: Partial<Outcome>; status: string; until: boolean }>([
    {
      why: "the peer's",
      outcome: { reply: { code: 452, status: "4.2.2", text: "full" } },
      status: "4.2.2",
      until: true,
    },
    { why: "nobody answers", outcome: { destinationDown: true }, status: "4.4.1", until: true },
    { why: "nothing is known", outcome: {}, status: "4.0.0", until: false },
  ])("tells status and end: $why", async ({ outcome, status, until }) => {
    const options = until ? { lifetimeMs: () => 86_400_000 } : {};
    const [report] = await setUp({}, { kind: "deferred", ...outcome }, { delayed: true, ...options }).make();
    const text = await textOf(report);
    expect(text).toContain(`Action: delayed\r\nStatus: ${status}\r\n`);
    expect(text.includes("Will-Retry-Until: Tue, 06 Jan 2026 12:00:00 +0000")).toBe(until);
    expect(report!.envelope.reversePath).toBeNull();
  });
});

describe("createReporter: onDsn", () => {
  test("a sink sees the report and changes its words", async () => {
    const seen: DsnSubject[] = [];
    const bind = createBinding("onDsn", (subject: DsnSubject) => {
      seen.push(subject);
      subject.setSubject("Leider nein: ä");
      subject.setText(`${subject.text}\n\nAsk Ann.`);
    });
    const { make } = setUp({}, { status: "5.1.1" }, { bindings: [bind] });
    const text = await textOf((await make())[0]);
    expect(text).toContain("Subject: Leider nein: =?UTF-8?");
    expect(text).toContain("There is no such mailbox.");
    expect(text).toContain("It will not be tried again.\r\n\r\nAsk Ann.\r\n");
    expect(seen[0]).toMatchObject({ kind: "failed", recipients: [{ status: "5.1.1" }] });
  });

  test("what it does to the message is a fault, and the report is made", async () => {
    const bind = createBinding("onDsn", ({ message }: DsnSubject) => {
      message.header = message.header.set("Subject", "forged");
    });
    const { make, log, message } = setUp({}, {}, { bindings: [bind] });
    expect(await textOf((await make())[0])).toContain("Subject: Hello\r\n");
    expect(message.header.get("Subject")).toBe("Hello");
    expect(log.of("sink.failed")).toMatchObject([{ fields: { code: "message.revoked" } }]);
  });

  test.each<{ why: string; handler: (subject: DsnSubject) => unknown; code: string; onFault?: Binding["onFault"] }>([
    {
      why: "throws",
      handler: () => {
        throw new Error("it fails");
      },
      code: "sink.failed",
    },
    {
      why: "throws, and its fault refuses",
      handler: () => Promise.reject(new Error("x")),
      code: "sink.failed",
      onFault: "refuse",
    },
    { why: "refuses, which nobody can here", handler: () => refuse("no"), code: "verdict.not-allowed" },
    { why: "gives a text that is none", handler: ({ setText }) => setText(""), code: "report.invalid" },
  ])("a sink that $why loses no report, and nothing it said holds", async ({ handler, code, onFault }) => {
    const bind = createBinding(
      "onDsn",
      (subject: DsnSubject) => {
        subject.setSubject("changed");
        return handler(subject);
      },
      onFault ? { onFault } : {},
    );
    const { make, log } = setUp({}, {}, { bindings: [bind] });
    const [report] = await make();
    expect(report!.header.get("Subject")).toMatch(/^Undeliverable/);
    expect(log.of("sink.failed")).toMatchObject([{ fields: { code } }]);
  });

  test("discard suppresses it, and the log says so", async () => {
    const bind = createBinding("onDsn", () => discard("nobody reads it"), { id: "b" });
    const { make, log } = setUp({}, {}, { bindings: [bind] });
    expect(await make()).toEqual([]);
    expect(log.of("dsn.suppressed")).toMatchObject([
      { fields: { reason: "nobody reads it", by: "b", recipients: ["grace@example.test"] } },
    ]);
  });
});

describe("createReporter: words and bounds", () => {
  test("the template is read anew for each report", async () => {
    let template = parseReportTemplate("[failed]\nfirst", "t");
    const { make } = setUp({}, {}, { template: () => template });
    expect(await textOf((await make())[0])).toContain("\r\nfirst\r\n");
    template = parseReportTemplate("[failed]\nsecond", "t");
    expect(await textOf((await make())[0])).toContain("\r\nsecond\r\n");
  });

  test.each([
    { why: "below the limit", count: reportedRecipientsMax - 1, reports: 1 },
    { why: "at the limit", count: reportedRecipientsMax, reports: 1 },
    { why: "above the limit", count: reportedRecipientsMax + 1, reports: 2 },
  ])("recipients $why are in $reports", async ({ count, reports }) => {
    const to = Array.from({ length: count }, (_, i) => `u${i}@example.test`);
    const made = await setUp({ to }, {}).make();
    const texts = await Promise.all(made.map(textOf));
    expect(texts).toHaveLength(reports);
    expect(texts.join("").match(/^Action: failed/gm)).toHaveLength(count);
  });
});

describe("readReportTemplate", () => {
  test("none, one, one that is not there, one that is not UTF-8", async () => {
    const folder = mkdtempSync(join(tmpdir(), "onarrival-template-"));
    try {
      const file = join(folder, "t.txt");
      expect(await readReportTemplate(null)).toBeNull();
      await expect(readReportTemplate(file)).rejects.toMatchObject({ code: "config.unreadable" });
      writeFileSync(file, "[failed]\nGrüße");
      expect((await readReportTemplate(file))!.failed!.lines).toEqual(["Grüße"]);
      writeFileSync(file, Buffer.from("[failed]\nGr\xfc\xdfe", "latin1"));
      await expect(readReportTemplate(file)).rejects.toMatchObject({ code: "report.template" });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
