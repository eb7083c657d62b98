import { describe, expect, test } from "vitest";
import { Dispatcher } from "../../../src/events/dispatcher.ts";
import type { Observation } from "../../../src/events/observation.ts";
import { parseRule } from "../../../src/events/rule.ts";
import type { ScriptRunner } from "../../../src/events/script-runner.ts";
import type { AnyHandler } from "../../../src/events/sink.ts";
import { Revocable } from "../../../src/events/undo.ts";
import { discard, drop, proceed, refuse, settle, type Verdict } from "../../../src/events/verdict.ts";
import type { Message } from "../../../src/mail/message.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { createBinding, createMessage } from "../../support/events.ts";
import { createFakeClock } from "../../support/fake-clock.ts";

const noScripts: ScriptRunner = { run: () => Promise.reject(new Error("no script is bound")) };

function createDispatcher(scripts: ScriptRunner = noScripts) {
  const clock = createFakeClock();
  const observations: Observation[] = [];
  const dispatcher = new Dispatcher({
    log: silentLog,
    clock,
    scripts,
    observe: (observation) => observations.push(observation),
  });
  return { dispatcher, clock, observations };
}

const script = { kind: "script", version: "sha256:1" } as const;
const never = () => {
  throw new Error("must not be asked");
};

describe("ask", () => {
  test("answers proceed, without a promise, where nothing is bound", () => {
    expect(createDispatcher().dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") })).toBe(proceed);
  });

  test("asks in order of priority, the server's own last among equals, native before script", async () => {
    const order: string[] = [];
    const { dispatcher } = createDispatcher({
      run: async (_event, _message, steps) => {
        order.push("script");
        return steps.map(({ binding }) => ({ binding, verdict: proceed, fault: null }));
      },
    });
    const say = (word: string) => () => void order.push(word);
    dispatcher.replaceBindings([
      createBinding("onArrival", say("server"), { source: "server" }),
      createBinding("onArrival", never, { source: "script", target: script }),
      createBinding("onArrival", say("native")),
      createBinding("onArrival", say("late"), { priority: 30_000 }),
      createBinding("onArrival", say("first"), { priority: 0 }),
    ]);
    expect(await dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") })).toBe(proceed);
    expect(order).toEqual(["first", "native", "script", "server", "late"]);
  });

  test("asks onArrival's two phases apart", () => {
    const order: string[] = [];
    const say = (word: string) => () => void order.push(word);
    const { dispatcher } = createDispatcher();
    dispatcher.replaceBindings([
      createBinding("onArrival", say("behind the reply"), { phase: "queue", priority: 0 }),
      createBinding("onArrival", say("before the reply")),
      createBinding("onArrival", say("before it too"), { phase: "session" }),
    ]);
    const message = createMessage("A: b\n\n");
    dispatcher.ask("onArrival", { message });
    expect(order.splice(0)).toEqual(["before the reply", "before it too"]);
    dispatcher.ask("onArrival", { message }, "queue");
    expect(order).toEqual(["behind the reply"]);
    expect(dispatcher.bindingsOf("onArrival")).toHaveLength(2);
    expect(dispatcher.bindingsOf("onArrival/queue")).toHaveLength(1);
  });

  test("takes the phase queue for onArrival alone", () => {
    const { dispatcher } = createDispatcher();
    expect(() => dispatcher.replaceBindings([createBinding("onDsn", never, { phase: "queue" })])).toThrow(
      "only onArrival has phases",
    );
  });

  test("stays synchronous while sinks are, and waits for one that is not", async () => {
    const { dispatcher } = createDispatcher();
    dispatcher.replaceBindings([createBinding("onArrival", () => proceed)]);
    expect(dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") })).toBe(proceed);
    dispatcher.replaceBindings([
      createBinding("onArrival", async () => refuse("no")),
      createBinding("onArrival", never),
    ]);
    expect(await dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") })).toMatchObject({
      kind: "refuse",
      text: "no",
    });
  });

  test("a verdict other than proceed ends the list and says whose it is; settle ends it too", () => {
    const { dispatcher } = createDispatcher();
    dispatcher.replaceBindings([
      createBinding("onArrival", () => discard("enough"), { id: "a" }),
      createBinding("onArrival", never),
    ]);
    expect(dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") })).toEqual({
      kind: "discard",
      reason: "enough",
      by: "a",
    });
    dispatcher.replaceBindings([createBinding("onArrival", () => settle), createBinding("onArrival", never)]);
    expect(dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") })).toBe(settle);
  });

  test("the server's own handling is asked even behind a settle", async () => {
    const { dispatcher } = createDispatcher();
    const own = createBinding("onArrival", () => refuse("loop"), { id: "own", source: "server" });
    dispatcher.replaceBindings([createBinding("onArrival", () => settle), createBinding("onArrival", never), own]);
    expect(dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") })).toMatchObject({
      kind: "refuse",
      by: "own",
    });
    dispatcher.replaceBindings([
      createBinding("onArrival", async () => settle),
      createBinding("onArrival", never),
      own,
    ]);
    expect(await dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") })).toMatchObject({
      kind: "refuse",
      by: "own",
    });
  });

  test.each([
    [
      "it throws at once",
      () => {
        throw new Error("oops");
      },
    ],
    [
      "its promise rejects",
      async () => {
        throw new Error("oops");
      },
    ],
  ])("undoes a sink's edits where %s, then onFault decides", async (_why, fail) => {
    const { dispatcher, observations } = createDispatcher();
    const message = createMessage("Subject: before\n\nbody\n");
    const edit = ({ message: edited }: { message: Message }) => {
      edited.header = edited.header.set("Subject", "after");
      return fail();
    };
    dispatcher.replaceBindings([
      createBinding("onArrival", edit, { onFault: "proceed" }),
      createBinding("onArrival", () => undefined),
    ]);
    expect(await dispatcher.ask("onArrival", { message })).toMatchObject({ kind: "proceed" });
    expect(message.header.get("Subject")).toBe("before");
    expect(observations[0]).toMatchObject({ fault: { code: "sink.failed" } });
  });

  test.each([
    ["at once", (verdict: Verdict) => verdict],
    ["later", async (verdict: Verdict) => verdict],
  ])("undoes a sink's edits where the verdict it gives %s is none the event takes", async (_why, give) => {
    const { dispatcher } = createDispatcher();
    const message = createMessage("Subject: before\n\nbody\n");
    const edit = ({ message: edited }: { message: Message }) => {
      edited.header = edited.header.set("Subject", "after");
      return give(drop());
    };
    dispatcher.replaceBindings([createBinding("onArrival", edit, { onFault: "proceed" })]);
    expect(await dispatcher.ask("onArrival", { message })).toMatchObject({ kind: "proceed" });
    expect(message.header.get("Subject")).toBe("before");
  });

  test.each([
    ["defer", { kind: "defer", code: 451, status: "4.3.0" }],
    ["refuse", { kind: "refuse", code: 550, status: "5.3.0" }],
    ["quarantine", { kind: "quarantine" }],
    ["proceed", { kind: "proceed" }],
  ] as const)("onFault %s", (onFault, verdict) => {
    const { dispatcher } = createDispatcher();
    dispatcher.replaceBindings([createBinding("onArrival", never, { onFault })]);
    expect(dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") })).toMatchObject(verdict);
  });

  test.each<[why: string, answer: unknown, expected: object]>([
    [
      "a plain object, with the usual code",
      { kind: "refuse", text: "no" },
      { kind: "refuse", code: 550, status: "5.7.1" },
    ],
    ["a code of another class", { kind: "refuse", text: "no", code: 250 }, { kind: "defer", code: 451 }],
    ["no text", { kind: "refuse" }, { kind: "defer", code: 451 }],
    ["a text of two lines", { kind: "discard", reason: "a\r\nb" }, { kind: "defer", code: 451 }],
    ["no verdict at all", "refuse", { kind: "defer", code: 451 }],
    ["an object of another kind", { kind: "maybe" }, { kind: "defer", code: 451 }],
  ])("takes what a sink answers for what it is: %s", (_why, answer, expected) => {
    const { dispatcher } = createDispatcher();
    dispatcher.replaceBindings([createBinding("onArrival", () => answer)]);
    expect(dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") })).toMatchObject(expected);
  });

  test("a verdict the event does not take is a fault", () => {
    const { dispatcher, observations } = createDispatcher();
    dispatcher.replaceBindings([createBinding("onRcptTo", () => discard("not here"))]);
    const subject = { session: {}, transaction: {}, parameters: new Map() } as never;
    expect(dispatcher.ask("onRcptTo", subject)).toMatchObject({ kind: "defer" });
    expect(observations[0]?.fault?.code).toBe("verdict.not-allowed");
  });

  test("skips what is disabled, broken, used up, or whose rule does not hold", () => {
    const { dispatcher } = createDispatcher();
    let asked = 0;
    dispatcher.replaceBindings([
      createBinding("onArrival", never, { enabled: false }),
      createBinding("onArrival", never, { target: { kind: "broken", reason: "gone" } }),
      createBinding("onArrival", never, { rule: parseRule("RCPT TO=*@elsewhere.example") }),
      createBinding("onArrival", () => void asked++, { rule: parseRule("RCPT TO=*@example.test"), maxFirings: 2 }),
    ]);
    for (let i = 0; i < 3; i++) dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") });
    expect(asked).toBe(2);
  });

  test("suspends a binding after ten faults within a minute, and one probe brings it back", async () => {
    const { dispatcher, clock } = createDispatcher();
    let asked = 0;
    let works = false;
    const moody = () => {
      asked++;
      if (!works) throw new Error("oops");
    };
    dispatcher.replaceBindings([createBinding("onArrival", moody, { id: "moody", onFault: "defer" })]);
    const ask = () => dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") });
    for (let i = 0; i < 12; i++) expect(ask()).toMatchObject({ kind: "defer" });
    expect(asked).toBe(10);
    expect(dispatcher.healthOf("moody").breaker).toBe("open");
    await clock.advance(60_000);
    expect(ask()).toMatchObject({ kind: "defer" });
    expect(asked).toBe(11);
    works = true;
    await clock.advance(60_000);
    expect(ask()).toMatchObject({ kind: "proceed" });
    expect(dispatcher.healthOf("moody").breaker).toBe("closed");
  });

  test("a probe that never ends is followed by another one", async () => {
    const { dispatcher, clock } = createDispatcher();
    let asked = 0;
    const moody = () => {
      asked++;
      if (asked <= 10) throw new Error("oops");
      return asked === 11 ? new Promise<never>(() => {}) : proceed;
    };
    dispatcher.replaceBindings([
      createBinding("onArrival", moody, { id: "moody", onFault: "defer", timeoutMs: 600_000 }),
    ]);
    const ask = () => dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") });
    for (let i = 0; i < 10; i++) ask();
    await clock.advance(60_000);
    expect(ask()).toBeInstanceOf(Promise);
    expect(ask()).toMatchObject({ kind: "defer" });
    await clock.advance(60_000);
    expect(ask()).toMatchObject({ kind: "proceed" });
    expect(dispatcher.healthOf("moody").breaker).toBe("closed");
  });

  test.each([
    ["within its time", 4_999, "proceed"],
    ["at the end of its time", 5_001, "refuse"],
  ] as const)("an answer %s", async (_why, afterMs, kind) => {
    const { dispatcher, clock } = createDispatcher();
    const edit: AnyHandler = (subject) => {
      const { message } = subject as { message: Message };
      message.header = message.header.set("Subject", "edited");
      return new Promise((resolve) => clock.after(afterMs, () => resolve(proceed)));
    };
    dispatcher.replaceBindings([createBinding("onArrival", edit, { id: "slow", onFault: "refuse", timeoutMs: 5_000 })]);
    const message = createMessage("Subject: as it was\n\n");
    const verdict = dispatcher.ask("onArrival", { message });
    await clock.advance(6_000);
    expect(await verdict).toMatchObject({ kind });
    expect(message.header.get("Subject")).toBe(kind === "proceed" ? "edited" : "as it was");
    expect(dispatcher.healthOf("slow").lastFault?.code).toBe(kind === "proceed" ? undefined : "sink.timeout");
  });
});

describe("what a failing sink said of its subject", () => {
  /** As subjects of the inbound events are made. */
  class Decision extends Revocable {
    accepted: string | null = null;
    readonly accept = (as: string): void => {
      this.accepted = as;
    };
  }
  const say =
    (as: string, fails: boolean): AnyHandler =>
    (subject) => {
      (subject as unknown as Decision).accept(as);
      if (fails) throw new Error("oops");
      return proceed;
    };
  const later =
    (as: string): AnyHandler =>
    async (subject) => {
      (subject as unknown as Decision).accept(as);
      throw new Error("oops");
    };

  test.each([
    ["at once", say("relay", true)],
    ["later", later("relay")],
  ])("is taken back where it fails %s; what others said stays", async (_why, failing) => {
    const { dispatcher } = createDispatcher();
    dispatcher.replaceBindings([
      createBinding("onRcptTo", say("local", false), { id: "a", priority: 1 }),
      createBinding("onRcptTo", failing, { id: "b", priority: 2, onFault: "proceed" }),
    ]);
    const decision = new Decision();
    expect(await dispatcher.ask("onRcptTo", decision as never)).toMatchObject({ kind: "proceed" });
    expect(decision.accepted).toBe("local");
    expect(dispatcher.healthOf("b").faults).toBe(1);
  });
});

describe("observeSkip", () => {
  test("is told of each binding that is passed by, and why; of those behind a verdict nothing", async () => {
    const skips: string[] = [];
    const dispatcher = new Dispatcher({
      log: silentLog,
      clock: createFakeClock(),
      scripts: noScripts,
      observeSkip: ({ binding, reason }) => skips.push(`${binding.id} ${reason}`),
    });
    const willing = () => proceed;
    dispatcher.replaceBindings([
      createBinding("onArrival", never, { id: "off", enabled: false, priority: 1 }),
      createBinding("onArrival", never, { id: "other", rule: parseRule("SUBJECT = x*"), priority: 2 }),
      createBinding("onArrival", willing, { id: "once", maxFirings: 1, priority: 3 }),
      createBinding("onArrival", never, { id: "broken", target: { kind: "broken", reason: "?" }, priority: 4 }),
      createBinding("onArrival", never, { id: "script-off", target: script, enabled: false, priority: 5 }),
      createBinding("onArrival", never, {
        id: "script-other",
        target: script,
        rule: parseRule("SUBJECT = x*"),
        priority: 6,
      }),
      createBinding("onArrival", () => settle, { id: "settles", priority: 7 }),
      createBinding("onArrival", never, { id: "later", priority: 8 }),
      createBinding("onArrival", () => refuse("No"), { id: "own", source: "server", priority: 9 }),
      createBinding("onArrival", never, { id: "last", source: "server", priority: 10 }),
    ]);
    const ask = () => dispatcher.ask("onArrival", { message: createMessage("Subject: y\n\n") });
    expect(await ask()).toMatchObject({ kind: "refuse", by: "own" });
    const always = [
      "off disabled",
      "other rule",
      "broken broken",
      "script-off disabled",
      "script-other rule",
      "later settled",
    ];
    expect(skips).toEqual(always);
    skips.length = 0;
    await ask();
    expect(skips).toEqual([...always.slice(0, 2), "once used-up", ...always.slice(2)]);
  });
});

describe("replaceBindings", () => {
  test("a message in hand keeps the bindings it began with; they are released when it is done", async () => {
    const { dispatcher } = createDispatcher();
    let go: () => void = () => {};
    const gate = new Promise<void>((resolve) => (go = resolve));
    const order: string[] = [];
    dispatcher.replaceBindings([
      createBinding("onArrival", () => gate, { priority: 1 }),
      createBinding("onArrival", () => void order.push("old"), { priority: 2 }),
    ]);
    const asked = dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") });
    dispatcher.replaceBindings([createBinding("onArrival", () => void order.push("new"))], () =>
      order.push("released"),
    );
    dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") });
    go();
    await asked;
    await Promise.resolve();
    expect(order).toEqual(["new", "old", "released"]);
  });

  test("refuses a binding that cannot be, and keeps the former ones", () => {
    const { dispatcher } = createDispatcher();
    dispatcher.replaceBindings([createBinding("onArrival", () => undefined, { id: "kept" })]);
    expect(() => dispatcher.replaceBindings([createBinding("onArrival", never, { priority: 32_768 })])).toThrow(
      /priority 32768/,
    );
    expect(() => dispatcher.replaceBindings([createBinding("onAuth", never, { target: script })])).toThrow(
      /scripts cannot handle it/,
    );
    expect(dispatcher.bindingsOf("onArrival").map((binding) => binding.id)).toEqual(["kept"]);
  });
});

describe("tell", () => {
  test("reaches every binding, and what one throws is its own affair", async () => {
    const { dispatcher } = createDispatcher();
    const told: string[] = [];
    dispatcher.replaceBindings([
      createBinding("onTrack", never, { id: "bad" }),
      createBinding("onTrack", async () => never(), { id: "worse" }),
      createBinding("onTrack", ({ step }: { step: string }) => void told.push(step)),
    ]);
    dispatcher.tell("onTrack", { messageId: "m", step: "received", code: 1000, at: 0, facts: {} });
    await Promise.resolve();
    await Promise.resolve();
    expect(told).toEqual(["received"]);
    expect(dispatcher.healthOf("bad").faults).toBe(1);
    expect(dispatcher.healthOf("worse").faults).toBe(1);
  });
});
