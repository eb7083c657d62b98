/** An explanation as people see it. */
import { expect, test } from "vitest";
import type { ExplainedBinding, ExplainReport } from "../../../src/admin/explain-view.ts";
import { formatExplanation } from "../../../src/cli/explain-report.ts";

const out = { write: () => {}, paint: (_style: string, text: string) => text };

const binding = (changes: Partial<ExplainedBinding>): ExplainedBinding => ({
  id: "sinks/x#onArrival",
  name: "x",
  source: "config",
  kind: "native",
  priority: 100,
  rule: null,
  outcome: "asked",
  verdict: null,
  fault: null,
  by: null,
  conditions: [],
  ...changes,
});

const report = (bindings: readonly ExplainedBinding[], changes: Partial<ExplainReport> = {}): ExplainReport => ({
  from: "<>",
  to: ["bob@example.test"],
  events: [{ event: "onRcptTo", about: "bob@example.test", bindings, reply: "550 5.7.1 No" }],
  reply: "550 5.7.1 No",
  result: "refused",
  destinations: [],
  live: true,
  ...changes,
});

test("formatExplanation shows every way a binding may fare, with its reason below it", () => {
  const text = formatExplanation(
    report([
      binding({ name: "asked", verdict: "proceed" }),
      binding({ name: "failed", verdict: "proceed", fault: "it\nbroke" }),
      binding({
        name: "other",
        outcome: "rule",
        conditions: [
          { condition: "RCPT TO = x@*", held: false, value: "bob@example.test" },
          { condition: "SUBJECT = x", held: false, value: "(none)" },
        ],
      }),
      binding({ name: "broken", source: "script", kind: "broken", outcome: "broken", by: "it is gone" }),
      binding({ name: "off", outcome: "disabled" }),
      binding({ name: "spent", outcome: "used-up" }),
      binding({ name: "tired", kind: "script", outcome: "suspended", verdict: "defer 451 4.3.0 Later" }),
      binding({ name: "skipped", outcome: "settled", by: "sinks/asked#onRcptTo" }),
      binding({ name: "relay-control", source: "server", priority: 24_575, verdict: "refuse 550 5.7.1 No" }),
      binding({ name: "late", priority: 30_000, outcome: "decided", by: "server/relay-control#onRcptTo" }),
    ]),
    "mail.eml",
    out,
  );
  expect(text.split("\n")).toEqual([
    "mail.eml  <> → bob@example.test  with the running server's bindings",
    "",
    "onRcptTo bob@example.test",
    "  priority  name           kind    what became of it",
    "  100       asked          native  proceed",
    "  100       failed         native  failed: it broke; proceed",
    "  100       other          native  its rule does not hold",
    "    does not hold: RCPT TO = x@*  (it is bob@example.test)",
    "    does not hold: SUBJECT = x  (there is none)",
    "  100       broken         script  broken",
    "    it is gone",
    "  100       off            native  disabled",
    "  100       spent          native  has fired as often as it may",
    "  100       tired          script  suspended after too many faults: defer 451 4.3.0 Later",
    "  100       skipped        native  passed by: sinks/asked#onRcptTo settled it",
    "  24575     relay-control  server  refuse 550 5.7.1 No",
    "  30000     late           native  not reached: server/relay-control#onRcptTo decided",
    "  → 550 5.7.1 No",
    "",
    "refused  550 5.7.1 No  (a rehearsal: nothing was kept or sent)",
    "",
  ]);
});

test("formatExplanation says where the bindings are from", () => {
  expect(formatExplanation(report([], { live: false }), "-", out)).toContain("with what the files say");
});

test("formatExplanation says where a message that is taken would go", () => {
  const destinations = [
    { recipient: "bob@example.test", fate: "delivered", hop: "maildir", by: "local domain", words: "folder Junk" },
    { recipient: "x@far.example", fate: "sent", hop: "smarthost", by: "smarthost", words: "" },
    { recipient: "no@example.test", fate: "failed", hop: null, by: null, words: "550 5.1.1\nNobody" },
  ];
  const text = formatExplanation(
    report([], { events: [], result: "accepted", reply: "250 OK", destinations }),
    "-",
    out,
  );
  expect(text.split("\n").slice(1)).toEqual([
    "",
    "then",
    "  recipient         outcome    next hop   by            and",
    "  bob@example.test  delivered  maildir    local domain  folder Junk",
    "  x@far.example     sent       smarthost  smarthost",
    "  no@example.test   failed                              550 5.1.1 Nobody",
    "",
    "accepted  250 OK  (a rehearsal: nothing was kept or sent)",
    "",
  ]);
});
