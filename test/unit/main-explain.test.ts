/** Explanations: one message through a rehearsed session, and what is kept of each ask. */
import { describe, expect, test } from "vitest";
import type { ExplainRequest } from "../../src/admin/explain-view.ts";
import type { Binding } from "../../src/events/binding.ts";
import { orderBindings } from "../../src/events/binding.ts";
import { type BindingHealth, freshHealth } from "../../src/events/health.ts";
import { parseRule } from "../../src/events/rule.ts";
import type { HeloSubject, RcptToSubject, ReplySubject } from "../../src/events/subject.ts";
import type { LocalDeliverySubject, RouteSubject } from "../../src/events/subject-transport.ts";
import { discard, proceed, refuse, settle } from "../../src/events/verdict.ts";
import { parseMailbox } from "../../src/mail/mailbox.ts";
import type { Message } from "../../src/mail/message.ts";
import { explainMail } from "../../src/main-explain.ts";
import type { Stage } from "../../src/main-rehearsal.ts";
import { localDelivery } from "../../src/outbound/local.ts";
import { Router } from "../../src/outbound/router.ts";
import { categorizer } from "../../src/sinks/categorizer.ts";
import { serverBindings } from "../../src/sinks/load-sinks.ts";
import { loopGuard } from "../../src/sinks/loop-guard.ts";
import { relayControl } from "../../src/sinks/relay-control.ts";
import { createCategorizing } from "../support/categorizing.ts";
import { createBinding } from "../support/events.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { listenerOptions } from "../support/listener-options.ts";

const mail = "From: ann@example.org\r\nTo: bob@example.test\r\nSubject: Hi\r\n\r\n.one\r\n";

function createStage(bindings: readonly Binding[], options: Partial<Stage> = {}): Stage {
  const domains = { localDomains: new Set(["example.test"]), relayDomains: new Set<string>() };
  const own = serverBindings([
    { sink: relayControl(domains), events: ["onRcptTo"] },
    { sink: loopGuard(), events: ["onArrival"] },
  ]);
  const lists = orderBindings([...bindings, ...own]);
  return {
    live: false,
    bindingsOf: (list) => lists[list] ?? [],
    healthOf: () => freshHealth,
    scripts: { run: () => Promise.reject(new Error("no script is bound")) },
    listeners: [listenerOptions({ name: "mx" })],
    postmasterDomain: "example.test",
    clock: createFakeClock(),
    ...options,
  };
}

/** A stage that knows the way of mail beyond its arrival. */
function createWholeStage(bindings: readonly Binding[], options: Partial<Stage> = {}): Stage {
  const { book, clock, events } = createCategorizing({ aliases: "team: ann, zoe@far.example\n" });
  const table = {
    localDomains: new Set(["example.test"]),
    routes: [],
    local: { kind: "maildir" },
    smarthost: true,
    remote: "mx",
  } as const;
  const router = new Router({ events, table });
  const own = serverBindings([
    { sink: categorizer(book), events: ["onCategorize"] },
    { sink: router.sink(), events: ["onRoute"] },
    { sink: localDelivery, events: ["onLocalDelivery"] },
  ]);
  return createStage([...bindings, ...own], { own: { router, book }, clock, ...options });
}

const request = (changes: Partial<ExplainRequest> = {}): ExplainRequest => ({
  mail: Buffer.from(mail).toString("base64"),
  session: { ip: "192.0.2.1", helo: "client.example.org", user: null, listener: "mx", tls: false },
  from: "ann@example.org",
  to: ["bob@example.test"],
  ...changes,
});

const outcomes = (report: Awaited<ReturnType<typeof explainMail>>, event: string) =>
  report.events
    .filter((one) => one.event === event)
    .map(({ about, bindings }) => [
      about,
      ...bindings.map(({ name, outcome, by }) => `${name} ${outcome}${by ? ` ${by}` : ""}`),
    ]);

describe("explainMail", () => {
  test("tells who was asked, who was not and why, in order, and what becomes of the message", async () => {
    const report = await explainMail(
      createStage([
        createBinding("onArrival", () => proceed, { id: "a", name: "a", priority: 1 }),
        createBinding("onArrival", () => proceed, { id: "b", name: "b", priority: 2, rule: parseRule("SUBJECT = x*") }),
        createBinding("onArrival", () => proceed, { id: "c", name: "c", priority: 3, enabled: false }),
        createBinding("onArrival", () => proceed, {
          id: "d",
          name: "d",
          priority: 4,
          target: { kind: "broken", reason: "it is gone" },
        }),
        createBinding("onArrival", () => settle, { id: "e", name: "e", priority: 5 }),
        createBinding("onArrival", () => proceed, { id: "f", name: "f", priority: 6 }),
      ]),
      request(),
    );
    expect(outcomes(report, "onArrival")).toEqual([
      ["", "a asked", "b rule", "c disabled", "d broken it is gone", "e asked", "f settled e", "loop-guard asked"],
    ]);
    expect(report.events.find(({ event }) => event === "onArrival")!.bindings[1]!.conditions).toEqual([
      { condition: "SUBJECT = x*", held: false, value: '"Hi"' },
    ]);
    expect(report).toMatchObject({ result: "accepted", live: false });
    expect(report.reply).toMatch(/^250 2\.0\.0 queued as /);
  });

  test("names who decided, and asks nobody behind it", async () => {
    const never = () => {
      throw new Error("must not be asked");
    };
    const report = await explainMail(
      createStage([
        createBinding("onMailFrom", () => refuse("Not you"), { id: "no", name: "no", priority: 1 }),
        createBinding("onMailFrom", never, { id: "late", name: "late", priority: 2 }),
        createBinding("onArrival", never, { id: "never", name: "never" }),
      ]),
      request(),
    );
    expect(outcomes(report, "onMailFrom")).toEqual([["", "no asked", "late decided no"]]);
    expect(report.events.map(({ event }) => event)).toEqual(["onMailFrom"]);
    expect(report.events[0]!.reply).toBe("550 5.7.1 Not you");
    expect(report.result).toBe("refused");
  });

  test("asks for each recipient, and goes on with those that are taken", async () => {
    const report = await explainMail(createStage([]), request({ to: ["x@elsewhere.example", "bob@example.test"] }));
    expect(outcomes(report, "onRcptTo")).toEqual([
      ["x@elsewhere.example", "relay-control asked"],
      ["bob@example.test", "relay-control asked"],
    ]);
    expect(report.events[0]!.reply).toBe("550 5.7.1 We do not relay");
    expect(report.events[1]!.reply).toBe("");
    expect(report.result).toBe("accepted");
  });

  test("takes the session as it is told: user, client, encrypted", async () => {
    const seen: unknown[] = [];
    const look = (subject: unknown) => {
      const { session } = subject as { session: { ip: string; user: string | null; tls: object | null; helo: string } };
      seen.push(session.ip, session.user, session.tls !== null, session.helo);
      return proceed;
    };
    const report = await explainMail(
      createStage([createBinding("onMailFrom", look, { id: "look" })]),
      request({
        session: { ip: "2001:db8::7", helo: "here.example.org", user: "ann", listener: "mx", tls: true },
        to: ["x@elsewhere.example"],
      }),
    );
    expect(seen).toEqual(["2001:db8::7", "ann", true, "here.example.org"]);
    expect(report.result).toBe("accepted");
  });

  test.each([
    ["suspended", { ...freshHealth, breaker: "open" as const }, 0, "suspended", "deferred"],
    ["used up", { ...freshHealth, firings: 3 }, 3, "used-up", "accepted"],
  ] satisfies [string, BindingHealth, number, string, string][])(
    "shows a binding that is %s in the running server as that",
    async (_why, health, maxFirings, outcome, result) => {
      const asked = () => discard("must not be asked");
      const stage = createStage([createBinding("onArrival", asked, { id: "a", name: "a", maxFirings })], {
        live: true,
        healthOf: (id) => (id === "a" ? health : freshHealth),
      });
      const report = await explainMail(stage, request());
      expect(outcomes(report, "onArrival")[0]![1]).toBe(`a ${outcome}`);
      expect(report).toMatchObject({ result, live: true });
    },
  );

  test("tells sinks that it is a rehearsal, and what becomes of mail that nobody keeps", async () => {
    const told: boolean[] = [];
    const report = await explainMail(
      createStage([
        createBinding(
          "onArrival",
          (_subject, { rehearsal }) => {
            told.push(rehearsal);
            return discard("for the test");
          },
          { id: "a" },
        ),
      ]),
      request({ from: "<>" }),
    );
    expect(told).toEqual([true]);
    expect(report).toMatchObject({ result: "discarded", from: "<>" });
  });

  test("tells what a sink did beside its verdict, and names the recipient the client named", async () => {
    const report = await explainMail(
      createStage([
        createBinding(
          "onRcptTo",
          (subject) => {
            (subject as RcptToSubject).rewrite(parseMailbox("ann@example.test"), parseMailbox("eve@example.test"));
          },
          { id: "alias", priority: 1 },
        ),
        createBinding("onHelo", (subject) => (subject as HeloSubject).hide("CHUNKING"), { id: "helo" }),
        createBinding(
          "onArrival",
          (subject) => {
            const { message } = subject as { message: Message };
            message.header = message.header.set("Subject", "Hello").remove("To");
          },
          { id: "edit", priority: 1 },
        ),
        createBinding("onReply", (subject) => (subject as ReplySubject).append("See example.org"), {
          id: "append",
          rule: parseRule("VERB = _EOD", "onReply"),
        }),
        createBinding("onArrival", () => refuse("Not here"), { id: "no", priority: 2 }),
      ]),
      request({ to: ["team@example.test"] }),
    );
    const verdicts = (event: string) =>
      report.events.filter((one) => one.event === event).map(({ about, bindings }) => [about, bindings[0]!.verdict]);
    expect(verdicts("onRcptTo")).toEqual([["team@example.test", "rewrite to ann@example.test, eve@example.test"]]);
    expect(verdicts("onHelo")).toEqual([["EHLO", "hide CHUNKING"]]);
    expect(verdicts("onArrival")).toEqual([["", "edit header: To, Subject"]]);
    expect(report.reply).toBe("550 5.7.1 Not here / See example.org");
  });

  test("refuses a listener that is not there", async () => {
    const session = { ...request().session, listener: "nowhere" };
    await expect(explainMail(createStage([]), request({ session }))).rejects.toThrow(
      'There is no listener "nowhere": expected mx',
    );
  });

  test("goes on through the queue's events, each with what it is about, to where the mail would end", async () => {
    const report = await explainMail(
      createWholeStage([
        createBinding("onArrival", () => proceed, { id: "late", name: "late", phase: "queue" }),
        createBinding("onArrival", () => proceed, {
          id: "never",
          name: "never",
          phase: "queue",
          rule: parseRule("SUBJECT = x*"),
        }),
        createBinding("onPreCategorize", () => settle, { id: "pre", name: "pre", priority: 1 }),
        createBinding("onPreCategorize", () => proceed, { id: "behind", name: "behind", priority: 2 }),
        createBinding("onPostCategorize", () => proceed, { id: "post", name: "post" }),
        createBinding(
          "onRoute",
          ({ domain, to }: RouteSubject) => (domain === "far.example" ? to("hold") : undefined),
          {
            id: "way",
            name: "way",
            priority: 1,
          },
        ),
        createBinding("onLocalDelivery", ({ fileInto }: LocalDeliverySubject) => fileInto("Junk"), {
          id: "file",
          name: "file",
          enabled: false,
        }),
      ]),
      request({ to: ["team@example.test"] }),
    );
    const asked = report.events
      .slice(report.events.findIndex(({ event }) => event === "onArrival"))
      .map(({ event, about, bindings }) => [
        `${event} ${about}`.trim(),
        ...bindings.map(({ name, outcome }) => `${name} ${outcome}`),
      ]);
    expect(asked).toEqual([
      ["onArrival", "loop-guard asked"],
      ["onArrival/queue", "late asked", "never rule"],
      ["onPreCategorize", "pre asked", "behind settled"],
      ["onCategorize team@example.test", "categorizer asked"],
      ["onCategorize ann@example.test", "categorizer asked"],
      ["onCategorize zoe@far.example", "categorizer asked"],
      ["onPostCategorize ann@example.test", "post asked"],
      ["onPostCategorize zoe@far.example", "post asked"],
      ["onRoute example.test", "way asked", "router asked"],
      ["onLocalDelivery ann@example.test", "file disabled", "local-delivery asked"],
      ["onRoute far.example", "way asked", "router asked"],
    ]);
    expect(report.destinations).toEqual([
      { recipient: "ann@example.test", fate: "delivered", hop: "maildir", by: "local domain", words: "" },
      { recipient: "zoe@far.example", fate: "held", hop: "hold", by: "way", words: "held by a route" },
    ]);
  });

  test("names who decided behind the reply, and asks nobody behind him", async () => {
    const never = () => {
      throw new Error("must not be asked");
    };
    const report = await explainMail(
      createWholeStage([
        createBinding("onPreCategorize", () => refuse("Not you"), { id: "no", name: "no", priority: 1 }),
        createBinding("onPreCategorize", never, { id: "behind", name: "behind", priority: 2 }),
        createBinding("onPostCategorize", never, { id: "post", name: "post" }),
      ]),
      request(),
    );
    expect(report.result).toBe("accepted");
    expect(outcomes(report, "onPreCategorize")).toEqual([["", "no asked", "behind decided no"]]);
    expect(report.events.at(-1)!.event).toBe("onPreCategorize");
    expect(report.destinations).toMatchObject([{ fate: "failed", by: "no", words: "550 5.7.1 Not you" }]);
  });

  test("has nothing to tell of a message that was not taken", async () => {
    const report = await explainMail(createWholeStage([]), request({ to: ["x@elsewhere.example"] }));
    expect(report).toMatchObject({ result: "refused", destinations: [] });
  });

  test("shows a binding behind the reply that is suspended in the running server as that", async () => {
    const report = await explainMail(
      createWholeStage([createBinding("onPostCategorize", () => proceed, { id: "a", name: "a" })], {
        healthOf: (id) => (id === "a" ? { ...freshHealth, breaker: "open" } : freshHealth),
      }),
      request(),
    );
    expect(outcomes(report, "onPostCategorize")).toEqual([["bob@example.test", "a suspended"]]);
    expect(report.destinations).toMatchObject([{ recipient: "bob@example.test", fate: "deferred", by: "a" }]);
  });

  test("gives sinks behind the reply the message with its text", async () => {
    const seen: string[] = [];
    const look = async ({ message }: { readonly message: Message }) => {
      seen.push((await message.body.octets()).toString());
    };
    await explainMail(createWholeStage([createBinding("onPreCategorize", look, { id: "look" })]), request());
    expect(seen).toEqual([".one\r\n"]);
  });
});
