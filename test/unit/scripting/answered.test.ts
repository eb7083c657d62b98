import { expect, test } from "vitest";
import { AnsweredLately } from "../../../src/scripting/answered.ts";
import { createRecordingLog } from "../../support/recording-log.ts";

function site(get: () => Promise<unknown> = async () => null) {
  const log = createRecordingLog();
  const clock = { now: 1_000_000 };
  const store = { get, set: async () => true };
  return { clock, log, answered: new AnsweredLately({ store, now: () => clock.now, log }) };
}

test("AnsweredLately answers many messages of one moment once, and holds that no longer than it takes", async () => {
  const { answered, clock } = site();
  expect(await answered.claim("a", "X@example.org", 1)).not.toBeNull();
  expect(await answered.claim("a", "x@example.org", 1)).toBeNull();
  expect(await answered.claim("b", "x@example.org", 1)).not.toBeNull();
  clock.now += 60_000 - 1;
  expect(await answered.claim("a", "x@example.org", 1)).toBeNull();
  clock.now += 1;
  expect(await answered.claim("a", "x@example.org", 1)).not.toBeNull();
});

test("AnsweredLately answers nobody where the store fails, and says so", async () => {
  const { answered, log } = site(() => Promise.reject(new Error("no disk")));
  expect(await answered.claim("a", "x@example.org", 1)).toBeNull();
  expect(log.lines).toMatchObject([{ event: "script.answer-unknown", fields: { reason: "no disk" } }]);
});

test("AnsweredLately asks nothing where every time is answered", async () => {
  const { answered } = site(() => Promise.reject(new Error("asked")));
  expect(await answered.claim("a", "x@example.org", 0)).not.toBeNull();
  expect(await answered.claim("a", "x@example.org", 0)).not.toBeNull();
});
