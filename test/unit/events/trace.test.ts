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
