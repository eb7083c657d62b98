/** Scripts among the bindings of an event: hops to the sandbox, what comes of them, and scripts that are told something. */
import { describe, expect, test } from "vitest";
import type { Binding } from "../../../src/events/binding.ts";
import { Dispatcher } from "../../../src/events/dispatcher.ts";
import type { AskName } from "../../../src/events/event.ts";
import type { Observation } from "../../../src/events/observation.ts";
import { parseRule } from "../../../src/events/rule.ts";
import type { ScriptRunner, ScriptStep } from "../../../src/events/script-runner.ts";
import { tellsAtOnceMax, tellsWaitingMax } from "../../../src/events/tell-queue.ts";
import { defer, proceed, settle, type Verdict } from "../../../src/events/verdict.ts";
import { formatMailbox, parseMailbox } from "../../../src/mail/mailbox.ts";
import type { Message } from "../../../src/mail/message.ts";
import { Fault } from "../../../src/platform/fault.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { createBinding, createMessage } from "../../support/events.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createRecordingLog } from "../../support/recording-log.ts";

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

describe("ask with scripts", () => {
  test("sends consecutive scripts in one hop and goes on behind them", async () => {
    const hops: string[][] = [];
    const { dispatcher } = createDispatcher({
      run: async (_event, _message, steps) => {
        hops.push(steps.map(({ binding }) => binding.id));
        return steps.map(({ binding }) => ({ binding, verdict: proceed, fault: null }));
      },
    });
    dispatcher.replaceBindings([
      createBinding("onArrival", never, { id: "a", target: script, priority: 1 }),
      createBinding("onArrival", never, { id: "b", target: script, priority: 2 }),
      createBinding("onArrival", () => undefined, { priority: 3 }),
      createBinding("onArrival", never, { id: "c", target: script, priority: 4 }),
    ]);
    await dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") });
    expect(hops).toEqual([["a", "b"], ["c"]]);
  });

  test("tests a rule again where a script before it changed what the rule looks at", async () => {
    const ran: string[] = [];
    const { dispatcher } = createDispatcher({
      run: async (_event, subject, steps, stopOnChange) => {
        const { message } = subject as { message: Message };
        const outcomes = [];
        for (const { binding } of steps) {
          ran.push(binding.id);
          outcomes.push({ binding, verdict: proceed, fault: null });
          if (binding.id === "a") {
            message.header = message.header.set("Subject", "now it is spam");
            if (stopOnChange) break;
          }
        }
        return outcomes;
      },
    });
    dispatcher.replaceBindings([
      createBinding("onArrival", never, { id: "a", target: script, priority: 1 }),
      createBinding("onArrival", never, { id: "b", target: script, priority: 2, rule: parseRule("SUBJECT=*spam*") }),
      createBinding("onArrival", never, { id: "c", target: script, priority: 3, rule: parseRule("SUBJECT=before") }),
    ]);
    await dispatcher.ask("onArrival", { message: createMessage("Subject: before\n\n") });
    expect(ran).toEqual(["a", "b"]);
  });

  test("a script's fault meets its onFault, and its verdict ends the list", async () => {
    const fault = new Fault("script.threw", "oops");
    const { dispatcher } = createDispatcher({
      run: async (_event, _message, steps) =>
        steps.map(({ binding }) =>
          binding.id === "a" ? { binding, verdict: proceed, fault } : { binding, verdict: defer("later"), fault: null },
        ),
    });
    dispatcher.replaceBindings([
      createBinding("onArrival", never, { id: "a", target: script, priority: 1, onFault: "proceed" }),
      createBinding("onArrival", never, { id: "b", target: script, priority: 2 }),
      createBinding("onArrival", never, { id: "c", priority: 3 }),
    ]);
    expect(await dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") })).toMatchObject({
      kind: "defer",
      by: "b",
    });
    expect(dispatcher.healthOf("a").lastFault).toBe(fault);
  });

  test("another version of a suspended script is asked at once, and late faults of the one before are not held against it", async () => {
    const versions: unknown[] = [];
    let finishLate: () => void = () => {};
    const late = new Promise<void>((resolve) => (finishLate = resolve));
    let waits = false;
    const { dispatcher } = createDispatcher({
      run: async (_event, _message, steps) => {
        const { binding } = steps[0]!;
        const isBad = binding.target === script;
        versions.push(binding.target.kind === "script" && binding.target.version);
        if (isBad && waits) await late;
        return [{ binding, verdict: proceed, fault: isBad ? new Fault("script.threw", "oops") : null }];
      },
    });
    const bind = (target: Binding["target"]) =>
      dispatcher.replaceBindings([createBinding("onArrival", never, { id: "a", source: "script", target })]);
    const ask = async () => await dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") });
    bind(script);
    for (let i = 0; i < 9; i++) await ask();
    waits = true;
    const lateAsks = Array.from({ length: 20 }, ask);
    waits = false;
    await ask();
    expect(dispatcher.healthOf("a").breaker).toBe("open");
    bind({ kind: "script", version: "sha256:2" });
    expect(dispatcher.healthOf("a").breaker).toBe("closed");
    expect(await ask()).toMatchObject({ kind: "proceed" });
    finishLate();
    await Promise.all(lateAsks);
    expect(await ask()).toMatchObject({ kind: "proceed" });
    expect(versions.slice(-2)).toEqual(["sha256:2", "sha256:2"]);
  });

  test("a sandbox that is down is the first script's fault, not a lost message", async () => {
    const { dispatcher } = createDispatcher();
    dispatcher.replaceBindings([createBinding("onArrival", never, { target: script })]);
    expect(await dispatcher.ask("onArrival", { message: createMessage("A: b\n\n") })).toMatchObject({ kind: "defer" });
  });
});

describe("ask with scripts, at every kind of event", () => {
  const session = { listener: "mx", ip: "192.0.2.1", helo: "client.example", user: null };
  const message = createMessage("Subject: x\n\n");
  const [bob, eve] = ["bob@example.test", "eve@example.test"].map(parseMailbox);
  const transaction = { reversePath: bob, recipients: [bob], options: {} };
  const events: readonly [event: AskName, subject: object][] = [
    ["onConnect", { session }],
    ["onHelo", { session, verb: "EHLO", name: "client.example", keywords: [] }],
    ["onMailFrom", { session, reversePath: bob, parameters: new Map(), options: {} }],
    ["onRcptTo", { session, transaction, forwardPath: eve, parameters: new Map(), options: {} }],
    ["onData", { session, transaction }],
    ["onHeaders", { session, transaction, header: message.header }],
    ["onArrival", { message }],
    ["onPreCategorize", { message, attemptId: "a" }],
    ["onPostCategorize", { message, attemptId: "a" }],
    ["onRoute", { message, attemptId: "a", domain: "example.test", recipients: [bob], nextHop: null }],
    ["onLocalDelivery", { message, attemptId: "a", forwardPath: bob, nextHop: { kind: "drop" }, folder: null }],
    ["onDsn", { message, kind: "failed", recipients: [{ mailbox: bob }], text: "x", subject: "y" }],
  ];

  test.each(events)(
    "%s: native sinks and scripts in one order, scripts that stand together in one hop",
    async (event, subject) => {
      const order: string[] = [];
      const { dispatcher } = createDispatcher({
        run: async (name, given, steps) => {
          expect([name, given]).toEqual([event, subject]);
          order.push(steps.map(({ binding }) => binding.id).join("+"));
          return steps.map(({ binding }) => ({ binding, verdict: proceed, fault: null }));
        },
      });
      const say = (word: string) => () => void order.push(word);
      dispatcher.replaceBindings([
        createBinding(event, never, { id: "c", source: "script", target: script, priority: 30_000 }),
        createBinding(event, say("server"), { source: "server" }),
        createBinding(event, never, { id: "a", source: "script", target: script }),
        createBinding(event, never, { id: "b", source: "script", target: script }),
        createBinding(event, say("native")),
        createBinding(event, say("first"), { priority: 0 }),
      ]);
      expect(await dispatcher.ask(event, subject as never)).toBe(proceed);
      expect(order).toEqual(["first", "native", "a+b", "server", "c"]);
    },
  );

  test.each(events.filter(([event]) => event !== "onDsn"))(
    "%s: a script's defer ends the list, and settle leaves the server's own",
    async (event, subject) => {
      let verdict: Verdict = defer("later");
      const own: string[] = [];
      const { dispatcher } = createDispatcher({
        run: async (_event, _subject, steps) =>
          steps.slice(0, 1).map(({ binding }) => ({ binding, verdict, fault: null })),
      });
      dispatcher.replaceBindings([
        createBinding(event, never, { id: "a", source: "script", target: script }),
        createBinding(event, never, { priority: 25_000 }),
        createBinding(event, () => void own.push("own"), { source: "server", priority: 26_000 }),
      ]);
      expect(await dispatcher.ask(event, subject as never)).toMatchObject({ kind: "defer", by: "a" });
      verdict = settle;
      expect(await dispatcher.ask(event, subject as never)).toBe(settle);
      expect(own).toEqual(["own"]);
    },
  );

  test.each<[why: string, event: AskName, onFault: Binding["onFault"], expected: object]>([
    ["waits", "onConnect", "defer", { kind: "defer", code: 451 }],
    ["goes on", "onRcptTo", "proceed", { kind: "proceed" }],
    ["is refused", "onMailFrom", "refuse", { kind: "refuse", code: 550 }],
    ["waits where there is no message to keep", "onHeaders", "quarantine", { kind: "defer", code: 451 }],
    ["is kept", "onLocalDelivery", "quarantine", { kind: "quarantine" }],
    ["gets its report where nothing can wait", "onDsn", "defer", { kind: "proceed" }],
    ["waits where nothing can be kept", "onRoute", "quarantine", { kind: "defer" }],
  ])("a fault: mail %s, at %s with onFault %s", async (_why, event, onFault, expected) => {
    const { dispatcher } = createDispatcher({
      run: async (_event, _subject, [step]) => [
        { binding: step!.binding, verdict: proceed, fault: new Fault("script.threw", "oops") },
      ],
    });
    dispatcher.replaceBindings([createBinding(event, never, { id: "a", target: script, onFault })]);
    const [, subject] = events.find(([name]) => name === event)!;
    expect(await dispatcher.ask(event, subject as never)).toMatchObject(expected);
    expect(dispatcher.healthOf("a")).toMatchObject({ firings: 1, faults: 1, lastFault: { code: "script.threw" } });
  });

  test.each<[why: string, event: AskName, rule: string | null, matched: readonly string[] | null]>([
    ["all of the message", "onArrival", null, null],
    ["those of the rule", "onArrival", "RCPT TO=bob@*", ["bob@example.test"]],
    ["the one it is about", "onLocalDelivery", null, ["bob@example.test"]],
    ["the one it is about, by the rule", "onLocalDelivery", "RCPT TO=bob@*", ["bob@example.test"]],
    ["those of the domain", "onRoute", null, ["bob@example.test"]],
    ["those of the report", "onDsn", "RCPT TO=bob@*", ["bob@example.test"]],
    ["nobody before there is a message", "onRcptTo", "RCPT TO=eve@*", null],
  ])("matched recipients are %s: %s with %s", async (_why, event, rule, matched) => {
    const seen: unknown[] = [];
    const { dispatcher } = createDispatcher({
      run: async (_event, _subject, steps) => {
        seen.push(...steps.map(({ matchedRecipients }) => matchedRecipients?.map(formatMailbox) ?? null));
        return steps.map(({ binding }) => ({ binding, verdict: proceed, fault: null }));
      },
    });
    dispatcher.replaceBindings([
      createBinding(event, never, { target: script, rule: rule === null ? null : parseRule(rule) }),
    ]);
    const two = { ...message, envelope: { ...message.envelope, recipients: [{ mailbox: bob }, { mailbox: eve }] } };
    const [, subject] = events.find(([name]) => name === event)!;
    await dispatcher.ask(event, (event === "onArrival" ? { message: two } : subject) as never);
    expect(seen).toEqual([matched]);
  });

  test("nothing bound, or a rule that does not hold, asks no sandbox", async () => {
    const { dispatcher } = createDispatcher();
    expect(dispatcher.ask("onConnect", { session } as never)).toBe(proceed);
    dispatcher.replaceBindings([
      createBinding("onConnect", never, { target: script, rule: parseRule("CLIENT=203.0.113.1") }),
    ]);
    expect(await dispatcher.ask("onConnect", { session } as never)).toBe(proceed);
  });
});

describe("tell with scripts", () => {
  const bob = parseMailbox("bob@example.test");
  const outcome = (message = createMessage("Subject: x\n\n")) => ({
    message,
    attemptId: "a-1",
    forwardPath: bob,
    nextHop: "drop",
    reply: null,
  });
  const answers = (steps: readonly ScriptStep[]) =>
    steps.map(({ binding }) => ({ binding, verdict: proceed, fault: null }));

  test("native sinks are told at once; the scripts behind that, in one hop, with the message as it was", async () => {
    const order: string[] = [];
    const { dispatcher } = createDispatcher({
      run: async (_event, subject, steps) => {
        order.push("scripts");
        await Promise.resolve();
        const { message } = subject as { message: Message };
        order.push(`${steps.map(({ binding }) => binding.id).join("+")} ${message.header.get("Subject")}`);
        expect(steps[0]!.matchedRecipients).toEqual([bob]);
        return answers(steps);
      },
    });
    dispatcher.replaceBindings([
      createBinding("onDelivered", never, { id: "a", target: script, priority: 1 }),
      createBinding("onDelivered", () => void order.push("native"), { priority: 2 }),
      createBinding("onDelivered", never, { id: "off", target: script, enabled: false, priority: 3 }),
      createBinding("onDelivered", never, {
        id: "other",
        target: script,
        rule: parseRule("RCPT TO=eve@*"),
        priority: 4,
      }),
      createBinding("onDelivered", never, { id: "b", target: script, rule: parseRule("RCPT TO=bob@*"), priority: 5 }),
    ]);
    const subject = outcome();
    // Scripts run in their turn: what becomes of the message meanwhile is nothing to them.
    dispatcher.tell("onDelivered", subject);
    subject.message.header = subject.message.header.set("Subject", "changed");
    await dispatcher.whenTold();
    expect(order).toEqual(["native", "scripts", "a+b x"]);
    expect(dispatcher.healthOf("a").firings).toBe(1);
    expect(dispatcher.healthOf("off").firings).toBe(0);
  });

  test("a fault of one is its own affair: the others are told, and mail goes on", async () => {
    const told: string[] = [];
    const { dispatcher } = createDispatcher({
      run: async (_event, _subject, [step]) => {
        const { binding } = step!;
        told.push(binding.id);
        if (binding.id === "down") throw new Error("the sandbox is down");
        const fault = binding.id === "bad" ? new Fault("script.threw", "oops") : null;
        return [{ binding, verdict: proceed, fault }];
      },
    });
    const ids = ["bad", "down", "good"];
    dispatcher.replaceBindings(
      ids.map((id, priority) => createBinding("onFailed", never, { id, priority, target: script, onFault: "refuse" })),
    );
    dispatcher.tell("onFailed", { ...outcome(), reason: "gone" });
    await dispatcher.whenTold();
    expect(told).toEqual(ids);
    expect(ids.map((id) => dispatcher.healthOf(id).lastFault?.code)).toEqual([
      "script.threw",
      "sink.failed",
      undefined,
    ]);
  });

  test("ten faults suspend a script, and it is not told for a while", async () => {
    let runs = 0;
    const { dispatcher } = createDispatcher({
      run: async (_event, _subject, [step]) => {
        runs++;
        return [{ binding: step!.binding, verdict: proceed, fault: new Fault("script.threw", "oops") }];
      },
    });
    dispatcher.replaceBindings([createBinding("onDelivered", never, { id: "a", target: script })]);
    for (let i = 0; i < 12; i++) {
      dispatcher.tell("onDelivered", outcome());
      await dispatcher.whenTold();
    }
    expect(runs).toBe(10);
    expect(dispatcher.healthOf("a").breaker).toBe("open");
  });

  test("the set of bindings is released when the last of them is told", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { dispatcher } = createDispatcher({
      run: async (_event, _subject, steps) => {
        await promise;
        return answers(steps);
      },
    });
    dispatcher.replaceBindings([createBinding("onDelivered", never, { target: script })]);
    dispatcher.tell("onDelivered", outcome());
    let isReleased = false;
    dispatcher.replaceBindings([], () => (isReleased = true));
    expect(isReleased).toBe(false);
    resolve();
    await dispatcher.whenTold();
    expect(isReleased).toBe(true);
  });

  test("few run at once, some wait, and what comes on top is counted in the log", async () => {
    const log = createRecordingLog();
    const clock = createFakeClock();
    const { promise, resolve } = Promise.withResolvers<void>();
    let runs = 0;
    const dispatcher = new Dispatcher({
      log,
      clock,
      scripts: {
        run: async (_event, _subject, steps) => {
          runs++;
          await promise;
          return answers(steps);
        },
      },
    });
    dispatcher.replaceBindings([createBinding("onDelivered", never, { target: script })]);
    const tellAll = (count: number) => {
      for (let i = 0; i < count; i++) dispatcher.tell("onDelivered", outcome());
    };
    tellAll(tellsAtOnceMax + tellsWaitingMax);
    expect(runs).toBe(tellsAtOnceMax);
    expect(log.of("scripts.untold")).toEqual([]);
    tellAll(3);
    expect(log.of("scripts.untold").map(({ fields }) => fields)).toEqual([{ runs: 1, waiting: tellsWaitingMax }]);
    await clock.advance(10_000);
    tellAll(1);
    expect(log.of("scripts.untold")[1]?.fields).toEqual({ runs: 3, waiting: tellsWaitingMax });
    tellAll(2);
    resolve();
    await dispatcher.whenTold();
    expect(runs).toBe(tellsAtOnceMax + tellsWaitingMax);
    expect(log.of("scripts.untold")[2]?.fields).toEqual({ runs: 2, waiting: 0 });
  });
});
