/** Which sessions a follower of the trace sees, and what of them. */
import { describe, expect, test } from "vitest";
import { TraceFilter } from "../../../src/admin/trace-filter.ts";
import { parseRule } from "../../../src/events/rule.ts";
import type { TraceEntry } from "../../../src/events/trace.ts";

const opened = (session: string, direction: "in" | "out" = "in", ip = "192.0.2.1"): TraceEntry => ({
  kind: "opened",
  session,
  direction,
  place: direction === "in" ? "mx" : "mail.example.net:25",
  ip,
  port: 50_000,
  at: 1,
});
const line = (session: string, text: string, way: "got" | "sent" = "got"): TraceEntry => ({
  kind: "line",
  session,
  way,
  text,
  at: 2,
});
const closed = (session: string): TraceEntry => ({ kind: "closed", session, reason: "quit", at: 3 });

const dialogue: readonly TraceEntry[] = [
  opened("A"),
  line("A", "EHLO client.example.org"),
  line("A", "MAIL FROM:<ann@example.org> SIZE=100"),
  line("A", "RCPT TO:<bob@example.test>"),
  line("A", "DATA"),
  closed("A"),
];

function show(rule: string | null, entries: readonly TraceEntry[], direction?: "in" | "out"): number[] {
  const filter = new TraceFilter({ rule: rule === null ? null : parseRule(rule), direction });
  return entries.map((entry) => filter.take(entry).length);
}

describe("TraceFilter", () => {
  test.each<[why: string, rule: string | null, shown: number[]]>([
    ["every session without a rule", null, [1, 1, 1, 1, 1, 1]],
    ["all from the start where the client is meant", "CLIENT = 192.0.2.0/24", [1, 1, 1, 1, 1, 1]],
    ["nothing of another client", "CLIENT = 192.0.2.2", [0, 0, 0, 0, 0, 0]],
    ["nothing of another listener", "LISTENER = submission", [0, 0, 0, 0, 0, 0]],
    ["what came before, once EHLO names the client", "EHLO = *.example.org", [0, 2, 1, 1, 1, 1]],
    ["what came before, once the sender is known", "MAIL FROM = *@example.org", [0, 0, 3, 1, 1, 1]],
    ["what came before, once the recipient is known", "RCPT TO = bob@*", [0, 0, 0, 4, 1, 1]],
    ["nothing where one of two conditions does not hold", "RCPT TO = bob@*; MAIL FROM = x@*", [0, 0, 0, 0, 0, 0]],
  ])("shows %s", (_why, rule, shown) => {
    expect(show(rule, dialogue)).toEqual(shown);
  });

  test("reads the envelope of our own sessions from what we send", () => {
    const entries = [
      opened("B", "out"),
      line("B", "MAIL FROM:<>", "got"),
      line("B", "MAIL FROM:<ann@example.org>", "sent"),
      line("B", "250 OK", "got"),
    ];
    expect(show("MAIL FROM = ann@example.org", entries)).toEqual([0, 0, 3, 1]);
    expect(show(null, entries, "in")).toEqual([0, 0, 0, 0]);
    expect(show(null, entries, "out")).toEqual([1, 1, 1, 1]);
  });

  test("shows what belongs to no session it knows only to who asked for everything", () => {
    const entries = [line("?", "NOOP")];
    expect(show(null, entries)).toEqual([1]);
    expect(show("CLIENT = *", entries)).toEqual([0]);
    expect(show(null, entries, "in")).toEqual([0]);
  });

  test("keeps at most 500 entries of a session that is not shown yet, the last ones", () => {
    const filter = new TraceFilter({ rule: parseRule("RCPT TO = bob@*"), direction: undefined });
    filter.take(opened("A"));
    for (let i = 0; i < 600; i++) filter.take(line("A", `NOOP ${i}`));
    const shown = filter.take(line("A", "RCPT TO:<bob@example.test>"));
    expect(shown).toHaveLength(501);
    expect(shown[0]).toMatchObject({ text: "NOOP 100" });
  });

  test("takes no harm from a line that is no address", () => {
    expect(show("RCPT TO = bob@*", [opened("A"), line("A", "RCPT TO:<bob@@>"), line("A", "RCPT TO:<bob@x>")])).toEqual([
      0, 0, 3,
    ]);
  });

  test("keeps no more than a bound of all sessions together; those that wait longest lose theirs", () => {
    const filter = new TraceFilter({ rule: parseRule("RCPT TO = bob@*"), direction: undefined });
    const names = Array.from({ length: 100 }, (_, place) => `S${place}`);
    for (const name of names) filter.take(opened(name));
    // 100 sessions with 100 lines of 2,048 characters: 20 MiB.
    for (const name of names)
      for (let count = 0; count < 100; count++) filter.take(line(name, `NOOP ${"x".repeat(2_043)}`));
    const shown = names.map((name) => filter.take(line(name, "RCPT TO:<bob@example.test>")).length);
    expect(shown[0]).toBe(1);
    expect(shown[99]).toBe(102);
    const keptEntries = shown.reduce((sum, entries) => sum + entries - 1, 0);
    expect(keptEntries * (2_048 + 256)).toBeGreaterThan(15 * 1024 * 1024);
    expect(keptEntries * (2_048 + 256)).toBeLessThanOrEqual(16 * 1024 * 1024 + 100 * 256);
  });

  test("forgets what it kept of a session that is over", () => {
    const filter = new TraceFilter({ rule: parseRule("RCPT TO = bob@*"), direction: undefined });
    for (const entry of [...dialogue.slice(0, 3), closed("A")]) expect(filter.take(entry)).toEqual([]);
    for (const entry of [opened("A"), line("A", "RCPT TO:<bob@example.test>")]) filter.take(entry);
    expect(filter.take(line("A", "DATA"))).toEqual([line("A", "DATA")]);
  });
});
