import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { eventNames, eventTable } from "../../src/events/event-table.ts";
import { eventsPage, renderEventsPage } from "./events-reference.ts";

test("docs/events.md is what the event table says; else run `node test/tidy/events-reference.ts --write`", () => {
  expect(readFileSync(eventsPage, "utf8")).toBe(renderEventsPage());
});

test("docs/events.md has every event, and marks those that are not fired yet", () => {
  const page = renderEventsPage();
  for (const name of eventNames) {
    const line = page.split("\n").find((one) => one.startsWith(`| \`${name}\``));
    expect(line, name).toBeDefined();
    expect(line!.includes("*not yet*"), name).toBe(!eventTable[name].fired);
    expect(line!.includes("**script**"), name).toBe(eventTable[name].scripts);
  }
});

test("the event table: an ask event takes verdicts or only proceed, a tell event takes none", () => {
  for (const name of eventNames) {
    const { mode, verdicts, when } = eventTable[name];
    if (mode === "tell") expect([name, verdicts]).toEqual([name, []]);
    expect(new Set(verdicts).size, name).toBe(verdicts.length);
    expect(verdicts, name).not.toContain("proceed");
    expect(when, name).toMatch(/^\S.*[^.]$/);
  }
});
