/** What people see: tables, test reports, listings; and that nobody else's words can do anything to their terminal. */
import { describe, expect, test } from "vitest";
import { formatBindings } from "../../../src/cli/bindings.ts";
import { Progress } from "../../../src/cli/progress.ts";
import { shortVersion } from "../../../src/cli/script-places.ts";
import { formatScripts } from "../../../src/cli/scripts.ts";
import { formatDistance, formatTable } from "../../../src/cli/table.ts";
import { plain } from "../../../src/cli/terminal.ts";
import { formatRun, formatSummary } from "../../../src/cli/test-report.ts";
import { fakeServerView } from "../../support/server-view.ts";
import { plainOutput, recordTerminal, taggedOutput } from "../../support/terminal.ts";
import { testResult } from "../../support/test-result.ts";

const nowMs = Date.parse("2026-11-02T09:40:00Z");

test("formatTable makes columns as wide as they need, styles not counted", () => {
  expect(
    formatTable(
      ["a", "long head"],
      [
        ["\u001b[31mwide cell\u001b[39m", "x"],
        ["y", "é"],
      ],
      plainOutput,
    ),
  ).toBe("a          long head\n\u001b[31mwide cell\u001b[39m  x\ny          é\n");
});

test.each([
  ["in a while", "2026-11-02T09:44:30Z", "in 4m"],
  ["long ago", "2026-10-30T09:40:00Z", "3d ago"],
  ["hours", "2026-11-02T07:39:00Z", "2h ago"],
  ["seconds", "2026-11-02T09:40:05Z", "in 5s"],
  ["at this moment", "2026-11-02T09:40:00.400Z", "now"],
])("formatDistance: %s", (_why, iso, words) => {
  expect(formatDistance(iso, nowMs)).toBe(words);
});

test.each([
  ["escape sequences", "a\u001b[2Jb", "ab"],
  ["titles of the window", "a\u001b]0;x\u0007b", "ab"],
  ["line ends", "a\r\nb", "a b"],
  ["a bell", "a\u0007b", "a b"],
  ["text that turns around", "a\u202eb", "a b"],
  ["nothing", "grün → ok", "grün → ok"],
])("plain takes away %s", (_why, text, harmless) => {
  expect(plain(text)).toBe(harmless);
});

describe("formatRun", () => {
  const options = { steps: null, writtenTo: null };

  test("shows what came in, what changed, what was logged and what it cost", () => {
    const result = testResult({
      verdict: { kind: "proceed", settled: true },
      changes: {
        envelope: { from: null, added: ["c@example.test"], removed: ["b@example.test"] },
        fields: [
          { op: "set", name: "Subject", before: "Hello", after: "[external] Hello" },
          { op: "add", name: "X-Seen", after: "yes" },
          { op: "remove", name: "X-Old", before: "no" },
        ],
        parts: [{ op: "remove", part: "2", contentType: "application/x-msdownload", fileName: "a.exe" }],
      },
      log: [{ level: "info", text: "tagged", at: "2026-11-02T09:30:00.000Z" }],
      defects: ["part 3: no end"],
    });
    const conditions = [{ condition: "RCPT TO=*@example.test", held: true, value: "b@example.test" }];
    expect(
      formatRun(
        { result, conditions, onFault: "defer", spooled: null },
        { ...options, writtenTo: "out/a.eml" },
        plainOutput,
      ),
    ).toBe(
      [
        "a.eml  scripts/a.ts abababa",
        "  envelope  a@example.com → b@example.test",
        "  rule      holds  RCPT TO=*@example.test  b@example.test",
        "  verdict   proceed (settled: those behind are not asked)",
        "  envelope  - from a@example.com",
        "            + from <>",
        "            - to b@example.test",
        "            + to c@example.test",
        "  header    - Subject: Hello",
        "            + Subject: [external] Hello",
        "            + X-Seen: yes",
        "            - X-Old: no",
        "  parts     - part 2  application/x-msdownload  a.exe",
        "  defects   part 3: no end",
        "  log       info  tagged",
        "  usage     1.3 ms computing · 2.5 ms in all · 1,234 KiB heap",
        "  written   out/a.eml",
        "",
      ].join("\n"),
    );
  });

  test("shows a fault with its place and stack, and what becomes of the message", () => {
    const result = testResult({
      verdict: { kind: "defer", code: 451, status: "4.3.0", text: "Try later", settled: false },
      fault: {
        code: "script.threw",
        message: "x is undefined",
        at: "scripts/a.ts:3:5",
        stack: "at deep (scripts/a.ts:3:5)\nat onArrival (scripts/a.ts:9:3)",
      },
    });
    const text = formatRun({ result, conditions: [], onFault: "defer", spooled: null }, options, plainOutput);
    expect(text).toContain(
      "  fault     script.threw  scripts/a.ts:3:5: x is undefined\n            at deep (scripts/a.ts:3:5)\n            at onArrival (scripts/a.ts:9:3)\n",
    );
    expect(text).toContain("  verdict   defer 451 4.3.0 Try later  because onFault is defer\n");
  });

  test("says in three lines that a script is not asked", () => {
    const result = testResult({ matched: false, usage: { cpuMs: 0, wallMs: 0, heapKiB: 0 } });
    const conditions = [{ condition: "USER=*", held: false, value: "nobody" }];
    expect(formatRun({ result, conditions, onFault: "defer", spooled: null }, options, plainOutput)).toBe(
      "a.eml  scripts/a.ts abababa\n  envelope  a@example.com → b@example.test\n  rule      fails  USER=*  nobody\n            the script is not asked about this message\n",
    );
  });

  test("lets no word of a message or a script reach the terminal as it is", () => {
    const evil = "\u001b]0;owned\u0007\u001b[2Jx\r\ny";
    const result = testResult({
      file: evil,
      script: evil,
      envelope: { from: evil, to: [evil] },
      verdict: { kind: "refuse", code: 550, status: "5.7.1", text: evil, settled: false },
      changes: {
        envelope: { added: [evil], removed: [evil] },
        fields: [{ op: "set", name: evil, before: evil, after: evil }],
        parts: [{ op: "append", part: evil, contentType: evil, fileName: evil }],
      },
      log: [{ level: "info", text: evil, at: "" }],
      defects: [evil],
      fault: { code: "script.threw", message: evil, at: evil, stack: `${evil}\n${evil}` },
    });
    const conditions = [{ condition: evil, held: true, value: evil }];
    const text = formatRun({ result, conditions, onFault: "defer", spooled: null }, options, plainOutput);
    expect(text).not.toMatch(/[\u001b\u0007\r]/);
  });
});

test("formatSummary counts verdicts, the most frequent first", () => {
  const verdicts = new Map([
    ["refuse", 2],
    ["proceed", 118],
  ]);
  expect(formatSummary({ verdicts, faults: 0, unmatched: 0 }, plainOutput)).toBe(
    "120 messages: 118 proceed, 2 refuse\n",
  );
  expect(formatSummary({ verdicts, faults: 1, unmatched: 3 }, plainOutput)).toBe(
    "120 messages: 118 proceed, 2 refuse; 3 not asked about, 1 fault\n",
  );
});

test("formatScripts shows under a script why its edit does not run", () => {
  expect(formatScripts(fakeServerView().scripts(), plainOutput)).toBe(
    [
      "script        state        version  priority  runs  faults  rule",
      "scripts/a.ts  live         abababa  1000      3     0       RCPT TO=*@example.test",
      "scripts/b.ts  broken-edit  cdcdcdc  24575     1     1",
      '  script.compile scripts/b.ts:3:7: Expected ";" (the version before runs)',
      "",
    ].join("\n"),
  );
  expect(shortVersion(null)).toBe("-");
});

test("formatBindings lists by event, the server's own dimmed in its place, and says what is broken", () => {
  const text = formatBindings(fakeServerView().bindings(), taggedOutput);
  expect(text.split("\n")[0]).toBe("<bold>onRcptTo</bold>");
  expect(text).toContain("<dim>relay-control</dim>");
  expect(text).toContain("<red>broken</red>");
  expect(text).toContain("\n    <red>no such export</red>\n");
  expect(text).toContain("<green>active</green>");
});

describe("Progress", () => {
  test("says nothing about work that is quick", () => {
    const { terminal, errText } = recordTerminal();
    const progress = new Progress(terminal, { what: "messages", total: 3, nowMs: () => 0 });
    progress.update(1);
    progress.clear();
    expect(errText()).toBe("");
  });

  test("is a line now and then where nothing can be redrawn", () => {
    let now = 0;
    const { terminal, errText } = recordTerminal();
    const progress = new Progress(terminal, { what: "messages", total: 100, nowMs: () => now });
    for (let done = 1; done <= 12; done++) {
      now += 1_000;
      progress.update(done);
    }
    progress.clear();
    expect(errText()).toBe("5 of 100 messages, about 95 s left\n10 of 100 messages, about 90 s left\n");
  });

  test("redraws one line on a terminal, and takes it away", () => {
    let now = 0;
    const { terminal, errText } = recordTerminal({ isLive: true });
    const progress = new Progress(terminal, { what: "messages", total: 4, nowMs: () => now });
    now = 2_000;
    progress.update(2);
    progress.clear();
    expect(errText()).toBe(`\r\u001b[K[${"#".repeat(15)}${".".repeat(15)}] 2 of 4 messages, about 2 s left\r\u001b[K`);
  });
});
