/** A trace as people see it. */
import { describe, expect, test } from "vitest";
import { type ShownEntry, TraceFormatter } from "../../../src/cli/trace-lines.ts";

const out = { write: () => {}, paint: (_style: string, text: string) => text };
const at = new Date(2026, 10, 23, 21, 5, 9).getTime();

const rows: readonly [why: string, entries: readonly ShownEntry[], text: string][] = [
  [
    "a client's session",
    [
      { kind: "opened", session: "01ABCDEFGHJK", direction: "in", place: "mx", ip: "192.0.2.1", port: 2525, at },
      { kind: "line", session: "01ABCDEFGHJK", way: "got", text: "EHLO x", at },
      { kind: "line", session: "01ABCDEFGHJK", way: "sent", text: "250 y", at },
    ],
    "21:05:09 FGHJK 192.0.2.1:2525 → mx\n21:05:09 FGHJK C: EHLO x\n21:05:09 FGHJK S: 250 y\n",
  ],
  [
    "a session of ours, where we are the client",
    [
      { kind: "opened", session: "A", direction: "out", place: "mail.example:25", ip: "2001:db8::1", port: 25, at },
      { kind: "line", session: "A", way: "got", text: "220 z", at },
      { kind: "line", session: "A", way: "sent", text: "EHLO us", at },
      { kind: "closed", session: "A", reason: "quit", at },
    ],
    "21:05:09 A     us → mail.example:25\n21:05:09 A     S: 220 z\n21:05:09 A     C: EHLO us\n21:05:09 A     closed: quit\n",
  ],
  [
    "decisions and notes",
    [
      {
        kind: "decision",
        session: "A",
        message: null,
        event: "onRcptTo",
        binding: "sinks/x#onRcptTo",
        verdict: "proceed",
        fault: "it broke",
        at,
      },
      { kind: "note", session: "A", text: "TLSv1.3", at },
    ],
    "21:05:09 A        ↳ onRcptTo sinks/x#onRcptTo: proceed (it broke)\n21:05:09 A        TLSv1.3\n",
  ],
  [
    "a client's words without what a terminal would obey",
    [{ kind: "line", session: "A", way: "got", text: "NOOP \u001b[31mred\u0007end", at }],
    "21:05:09 A     C: NOOP red end\n",
  ],
  ["what was left out", [{ kind: "missed", entries: 3 }], "… 3 entries left out: they came too fast\n"],
];

describe("TraceFormatter", () => {
  test.each(rows)("shows %s", (_why, entries, text) => {
    const formatter = new TraceFormatter(out);
    expect(entries.map((entry) => formatter.format(entry)).join("")).toBe(text);
  });
});
