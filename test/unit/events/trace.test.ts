/** Those who follow a trace, and the sessions that must not feel them. */
import { expect, test } from "vitest";
import { type TraceEntry, Tracer } from "../../../src/events/trace.ts";

const note = (text: string): TraceEntry => ({ kind: "note", session: "A", text, at: 1 });

test("Tracer gives a follower that throws nothing more, and the others go on", () => {
  const tracer = new Tracer();
  const heard: TraceEntry[] = [];
  let asked = 0;
  tracer.follow(() => {
    asked++;
    throw new Error("the reader is gone");
  });
  const leave = tracer.follow((entry) => heard.push(entry));
  tracer.publish(note("one"));
  tracer.publish(note("two"));
  expect(asked).toBe(1);
  expect(heard).toEqual([note("one"), note("two")]);
  expect(tracer.active).toBe(true);
  leave();
  expect(tracer.active).toBe(false);
});

test("Tracer tells who follows later of a session before anything else of it, and nothing of one that only ends", () => {
  const tracer = new Tracer();
  const opened = (session: string): TraceEntry => ({
    kind: "opened",
    session,
    direction: "in",
    place: "mx",
    ip: "192.0.2.1",
    port: 50_000,
    at: 1,
  });
  const closed = (session: string): TraceEntry => ({ kind: "closed", session, reason: "quit", at: 2 });
  const leave = tracer.follow(() => {});
  for (const session of ["A", "B", "C"]) tracer.publish(opened(session));
  leave();
  tracer.publish(closed("C"));
  const heard: TraceEntry[] = [];
  tracer.follow((entry) => heard.push(entry));
  for (const entry of [note("one"), note("two"), closed("A"), closed("B")]) tracer.publish(entry);
  expect(heard).toEqual([opened("A"), note("one"), note("two"), closed("A")]);
});
