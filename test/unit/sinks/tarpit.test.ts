import { describe, expect, test } from "vitest";
import { createFakeClock, settle } from "../../support/fake-clock.ts";
import { context, createSession, makeSink, rehearsal, replyOf } from "./subjects.ts";

/** What a tarpit does with replies, each said when the one before it was: how long each waits, in milliseconds. */
async function waitsOf(
  properties: Readonly<Record<string, unknown>>,
  codes: readonly number[],
  { session = createSession(), with: asked = context } = {},
) {
  const clock = createFakeClock();
  const sink = await makeSink("tarpit", properties, { clock });
  const waits: number[] = [];
  for (const code of codes) {
    const before = clock.now();
    const answer = sink.onReply!(replyOf(code, session), asked);
    let isSaid = !(answer instanceof Promise);
    if (answer instanceof Promise) void answer.then(() => (isSaid = true));
    while (!isSaid) await clock.advance(1_000);
    waits.push(clock.now() - before);
  }
  return waits;
}

describe("tarpit", () => {
  const s = 1_000;
  test.each([
    [
      "negative replies behind those that are free",
      { free: 2 },
      [550, 450, 550, 250, 451],
      {},
      [0, 0, 5 * s, 0, 5 * s],
    ],
    ["the first where none is free", { free: 0, delay: "10s" }, [550], {}, [10 * s]],
    ["no 421", { free: 0 }, [421, 550], {}, [0, 5 * s]],
    ["no user who logged in", { free: 0 }, [550], { session: createSession({ user: "ann" }) }, [0]],
    ["no rehearsal", { free: 0 }, [550], { with: rehearsal }, [0]],
    ["every reply of a listed client", { networks: ["192.0.2.0/24"] }, [220, 250, 550], {}, [5 * s, 5 * s, 5 * s]],
    ["no excepted client", { free: 0, except_networks: ["192.0.2.7"] }, [550], {}, [0]],
    [
      "until a session has waited enough",
      { free: 0, delay: "2s", session_delay_max: "5s" },
      [550, 550, 550, 550],
      {},
      [2 * s, 2 * s, 1 * s, 0],
    ],
  ])("delays %s", async (_why, properties, codes, options, waits) => {
    expect(await waitsOf(properties, codes, options)).toEqual(waits);
  });

  test("holds so many sessions and no more; one that goes makes room", async () => {
    const clock = createFakeClock();
    const sink = await makeSink("tarpit", { free: 0, sessions_max: 2 }, { clock });
    const [one, two, three] = [createSession(), createSession(), createSession()];
    const first = sink.onReply!(replyOf(550, one), context);
    expect(first).toBeInstanceOf(Promise);
    expect(sink.onReply!(replyOf(550, two), context)).toBeInstanceOf(Promise);
    expect(sink.onReply!(replyOf(550, three), context)).toBeUndefined();
    sink.onDisconnect!({ session: one, reason: "closed", messagesAccepted: 0, durationMs: 1 }, context);
    await first;
    expect(sink.onReply!(replyOf(550, three), context)).toBeInstanceOf(Promise);
  });

  test("lets everybody go when it is closed", async () => {
    const clock = createFakeClock();
    const sink = await makeSink("tarpit", { free: 0 }, { clock });
    let isSaid = false;
    void Promise.resolve(sink.onReply!(replyOf(550, createSession()), context)).then(() => (isSaid = true));
    await settle();
    expect(isSaid).toBe(false);
    await sink.close!();
    await settle();
    expect(isSaid).toBe(true);
    expect(clock.nextAt).toBeUndefined();
  });

  test.each([
    ["above", "51s", false],
    ["at", "50s", true],
  ])("takes a delay %s its limit: %s", async (_why, delay, taken) => {
    const made = makeSink("tarpit", { delay });
    await (taken
      ? expect(made).resolves.toMatchObject({ name: "tarpit" })
      : expect(made).rejects.toMatchObject({ code: "sink.properties" }));
  });
});
