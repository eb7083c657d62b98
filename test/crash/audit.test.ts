/** The life of a message is told from the log alone. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { formatLife, lifeOf } from "./audit.ts";

const id = "01KB2C3D4E5F6G7H";
const log = [
  { time: "t1", level: "info", event: "session.opened", session: "S1", ip: "192.0.2.1" },
  { time: "t2", level: "info", event: "message.accepted", session: "S1", message: id, sizeOctets: 12 },
  { time: "t3", level: "info", event: "message.accepted", session: "S1", message: "another" },
  { time: "t4", level: "info", event: "session.opened", session: "S2" },
  { time: "t5", level: "info", event: "message.delivered", message: id, to: ["ada@example.test"] },
  { time: "t6", level: "info", event: "session.closed", session: "S1" },
];
const folder = mkdtempSync(join(tmpdir(), "onarrival-audit-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("lifeOf gives the message's lines and its session's, and nobody else's", () => {
  expect(lifeOf(log, id).map((line) => line.time)).toEqual(["t1", "t2", "t5", "t6"]);
});

test("lifeOf of a session's id gives all that happened in it", () => {
  expect(lifeOf(log, "S1").map((line) => line.time)).toEqual(["t1", "t2", "t3", "t6"]);
});

test("lifeOf goes on in forks, copies in badmail and reports, and in what came of these, to their end", () => {
  const family = [
    { time: "a", level: "info", event: "message.accepted", session: "S1", message: "M" },
    // Logged before what names it: two lines may be written in either order.
    { time: "b", level: "warn", event: "delivery.failed", message: "F1" },
    { time: "c", level: "info", event: "message.categorized", message: "M", forks: ["F1", "F2"] },
    { time: "d", level: "warn", event: "recipient.quarantined", message: "M", kept: "Q" },
    { time: "e", level: "info", event: "dsn.queued", message: "F1", report: "R" },
    { time: "f", level: "info", event: "delivery.delivered", message: "F2" },
    { time: "g", level: "info", event: "message.categorized", message: "R", forks: ["RF"] },
    { time: "h", level: "info", event: "delivery.delivered", message: "RF" },
    { time: "i", level: "info", event: "badmail.released", message: "Q" },
    { time: "j", level: "info", event: "delivery.delivered", message: "other" },
    { time: "k", level: "info", event: "message.categorized", message: "other", forks: ["another"] },
  ];
  const timesOf = (one: string) => lifeOf(family, one).map((line) => line.time);
  expect(timesOf("M").join("")).toBe("abcdefghi");
  // A fork's life begins where it was split off; that of its parent's other children is not its own.
  expect(timesOf("F1").join("")).toBe("bcegh");
  expect(timesOf("R").join("")).toBe("egh");
});

test("lifeOf does not end in a circle", () => {
  const circle = [
    { event: "message.categorized", message: "A", forks: ["B"] },
    { event: "message.categorized", message: "B", forks: ["A"] },
  ];
  expect(lifeOf(circle, "A")).toHaveLength(2);
});

test("formatLife shows time, event and facts in columns", () => {
  expect(formatLife(lifeOf(log, "S2"))).toBe("t4  info   session.opened  session=S2");
});

test("audit.ts prints the life, and says with exit status 1 that an id is unknown", () => {
  const file = join(folder, "log");
  writeFileSync(file, `${log.map((line) => JSON.stringify(line)).join("\n")}\n{"half`);
  const script = join(import.meta.dirname, "audit.ts");
  expect(execFileSync(process.execPath, [script, file, id], { encoding: "utf8" }).trim().split("\n")).toHaveLength(4);
  expect(spawnSync(process.execPath, [script, file, "01KB2C3D4E5F6G7J"]).status).toBe(1);
  expect(spawnSync(process.execPath, [script, file]).status).toBe(2);
});
