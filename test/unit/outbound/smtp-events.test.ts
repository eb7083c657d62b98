import { describe, expect, test } from "vitest";
import type { Handlers } from "../../../src/events/sink.ts";
import type {
  BeforeDataSubject,
  ServerResponseSubject,
  SessionStartSubject,
} from "../../../src/events/subject-outbound.ts";
import { defer, drop, refuse } from "../../../src/events/verdict.ts";
import type { Outcome } from "../../../src/queue/attempt.ts";
import { createBinding } from "../../support/events.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createSampleMessage } from "../../support/sample-message.ts";
import { type Answer, agree, type ScriptedPeer } from "../../support/smtp-peer.ts";
import { clientFor, eventsWith, recipientsOf, scripted } from "./smtp-setup.ts";

interface Played {
  readonly peer: ScriptedPeer;
  readonly outcomes: readonly Outcome[];
  /** Kind, code and status of each outcome. */
  readonly said: readonly string[];
}

/** One message to two recipients, with these handlers bound. */
async function play(handlers: Handlers, answer: Answer = (line) => agree(line, ["PIPELINING"])): Promise<Played> {
  const peer = await scripted(answer);
  const message = createSampleMessage({ to: ["a@x.example", "b@x.example"] });
  const client = clientFor(peer.port, {}, { events: eventsWith(handlers) });
  const outcomes = await client.deliver(message, recipientsOf(message), "attempt-1");
  const said = outcomes.map(({ kind, reply, status }) => [kind, reply?.code, status].filter(Boolean).join(" "));
  return { peer, outcomes, said };
}

const delivered = ["delivered 250", "delivered 250"];

describe("onSessionStart", () => {
  test("chooses the name, the source address, the credentials; inserted lines go before EHLO", async () => {
    const { peer, said } = await play(
      {
        onSessionStart(subject) {
          expect(subject.session).toMatchObject({ host: "127.0.0.1", ip: null, tls: null, messages: 0 });
          expect(subject.choice).toEqual({
            name: "mail.example.test",
            tls: "off",
            sourceAddress: null,
            credentials: null,
          });
          subject.choose({ name: "other.example.test", sourceAddress: "127.0.0.1" });
          subject.choose({ credentials: { user: "ann", password: "secret" } });
          subject.insert("NOOP before");
        },
      },
      (line) => (line.startsWith("AUTH") ? "235 in" : agree(line, ["AUTH PLAIN"])),
    );
    expect(said).toEqual(delivered);
    expect(peer.lines.slice(0, 3)).toEqual(["NOOP before", "EHLO other.example.test", "AUTH PLAIN AGFubgBzZWNyZXQ="]);
  });

  test("may ask for TLS", async () => {
    const { peer, outcomes } = await play({ onSessionStart: (subject) => subject.choose({ tls: "required" }) });
    expect(outcomes).toMatchObject([{ kind: "deferred", reason: expect.stringContaining("offers no TLS") }, {}]);
    expect(peer.lines.some((line) => line.startsWith("MAIL"))).toBe(false);
  });

  test("drop: no connection is made, and the next hop is not thought to be down", async () => {
    let drops = 1;
    const peer = await scripted((line) => agree(line));
    const events = eventsWith({ onSessionStart: () => (drops-- > 0 ? drop("not today") : undefined) });
    const client = clientFor(peer.port, {}, { events });
    const message = createSampleMessage();
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([
      { kind: "deferred", reply: null, reason: expect.stringContaining("not today (sinks/") },
    ]);
    expect(peer.connections).toBe(0);
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
  });

  test.each([
    { why: "a name that is none", choice: { name: "a b" } },
    { why: "a policy that is none", choice: { tls: "maybe" as "off" } },
    { why: "an address that is none", choice: { sourceAddress: "localhost" } },
    { why: "credentials with a NUL", choice: { credentials: { user: "a\0b", password: "c" } } },
    { why: "an empty password", choice: { credentials: { user: "a", password: "" } } },
  ])("does not take $why", async ({ choice }) => {
    const codes: unknown[] = [];
    const { said } = await play({
      onSessionStart(subject) {
        try {
          subject.choose(choice);
        } catch (error) {
          codes.push((error as { readonly code?: unknown }).code);
        }
      },
    });
    expect(codes).toEqual(["command.not-allowed"]);
    expect(said).toEqual(delivered);
  });

  test("nothing can be chosen once the session began", async () => {
    let kept: SessionStartSubject | undefined;
    await play({
      onSessionStart(subject) {
        kept = subject;
      },
    });
    expect(() => kept!.choose({ name: "late.example" })).toThrow("the event is over");
    expect(() => kept!.insert("NOOP")).toThrow("the event is over");
  });
});

describe("onMessageStart", () => {
  test("sets parameters, replaces the command, inserts lines before it", async () => {
    const { peer, said } = await play({
      onMessageStart(subject) {
        expect(subject.command).toBe("MAIL FROM:<ada@sender.example>");
        expect(subject.attemptId).toBe("attempt-1");
        expect(subject.recipients.map(({ localPart }) => localPart)).toEqual(["a", "b"]);
        subject.setCommand("MAIL FROM:<bounce@sender.example> RET=FULL");
        subject.setParameter("ret", "HDRS");
        subject.insert("XFORWARD NAME=a.example");
      },
    });
    expect(said).toEqual(delivered);
    expect(peer.lines.slice(1, 3)).toEqual(["XFORWARD NAME=a.example", "MAIL FROM:<bounce@sender.example> RET=HDRS"]);
  });

  test.each([
    { why: "refuse", verdict: refuse("no", { status: "5.7.9" }), said: "failed 5.7.9", connections: 1 },
    { why: "defer", verdict: defer("later", { status: "4.7.9" }), said: "deferred 4.7.9", connections: 1 },
    { why: "drop", verdict: drop("bye"), said: "deferred 4.7.0", connections: 2 },
  ])("$why: the peer hears nothing of the message", async ({ verdict, said, connections }) => {
    const peer = await scripted((line) => agree(line));
    const events = eventsWith({ onMessageStart: ({ message }) => (message.id === "ONE" ? verdict : undefined) });
    const client = clientFor(peer.port, {}, { events });
    const one = createSampleMessage({ id: "ONE" });
    const [outcome] = await client.deliver(one, recipientsOf(one));
    expect(`${outcome!.kind} ${outcome!.status}`).toBe(said);
    expect(peer.lines).toEqual(["EHLO mail.example.test"]);
    const other = createSampleMessage({ id: "OTHER" });
    expect(await client.deliver(other, recipientsOf(other))).toMatchObject([{ kind: "delivered" }]);
    expect(peer.connections).toBe(connections);
  });

  test("an edit of the message changes nothing: it is on its way", async () => {
    const { peer, said } = await play({
      onMessageStart({ message }) {
        message.header = message.header.set("Subject", "edited");
        message.envelope = { ...message.envelope, reversePath: null };
      },
    });
    expect(said).toEqual(delivered);
    expect(peer.messages[0]!.toString()).not.toContain("edited");
    expect(peer.lines).toContain("MAIL FROM:<ada@sender.example>");
  });

  test.each([
    { why: "defer", onFault: "defer", said: "deferred" },
    { why: "refuse", onFault: "refuse", said: "failed" },
    { why: "proceed", onFault: "proceed", said: "delivered" },
  ] as const)("a sink that throws: onFault $why decides", async ({ onFault, said }) => {
    const peer = await scripted((line) => agree(line));
    const events = eventsWith(
      {
        onMessageStart() {
          throw new Error("a sink's mistake");
        },
      },
      { onFault },
    );
    const message = createSampleMessage();
    const [outcome] = await clientFor(peer.port, {}, { events }).deliver(message, recipientsOf(message));
    expect(outcome!.kind).toBe(said);
  });
});

describe("onPerRecipient", () => {
  test("fails or defers one without asking the peer, and rewrites the other", async () => {
    const { peer, said } = await play({
      onPerRecipient(subject) {
        if (subject.index === 0) return refuse("not him", { status: "5.7.9" });
        subject.setParameter("NOTIFY", "NEVER");
        return undefined;
      },
    });
    expect(said).toEqual(["failed 5.7.9", "delivered 250"]);
    expect(peer.lines.filter((line) => line.startsWith("RCPT"))).toEqual(["RCPT TO:<b@x.example> NOTIFY=NEVER"]);
  });

  test("all of them refused: nothing is said at all", async () => {
    const { peer, said } = await play({ onPerRecipient: () => defer("later", { status: "4.7.9" }) });
    expect(said).toEqual(["deferred 4.7.9", "deferred 4.7.9"]);
    expect(peer.lines).toEqual(["EHLO mail.example.test"]);
  });

  test("inserted lines go before their RCPT", async () => {
    const { peer, said } = await play({ onPerRecipient: (subject) => subject.insert(`X-FOR ${subject.index}`) });
    expect(said).toEqual(delivered);
    expect(peer.lines.slice(1, 6).map((line) => line.split(":")[0])).toEqual([
      "MAIL FROM",
      "X-FOR 0",
      "RCPT TO",
      "X-FOR 1",
      "RCPT TO",
    ]);
  });

  test("drop gives the whole transaction up", async () => {
    const { said } = await play({ onPerRecipient: ({ index }) => (index === 1 ? drop("bye") : undefined) });
    expect(said).toEqual(["deferred 4.7.0", "deferred 4.7.0"]);
  });
});

describe("onBeforeData", () => {
  test("sees whom the peer has accepted, and may insert", async () => {
    const seen: string[] = [];
    const { peer, said } = await play(
      {
        onBeforeData(subject) {
          seen.push(...subject.recipients.map(({ localPart }) => localPart));
          subject.insert("NOOP");
        },
      },
      (line) => (line.includes("a@x.example") ? "550 5.1.1 nobody" : agree(line, ["PIPELINING"])),
    );
    expect(seen).toEqual(["b"]);
    expect(said).toEqual(["failed 550", "delivered 250"]);
    expect(peer.lines.indexOf("NOOP")).toBe(peer.lines.indexOf("DATA") - 1);
  });

  test.each([
    { why: "refuse", verdict: refuse("no", { status: "5.7.9" }), said: "failed 5.7.9", last: "RSET" },
    { why: "defer", verdict: defer("no", { status: "4.7.9" }), said: "deferred 4.7.9", last: "RSET" },
    { why: "drop", verdict: drop("no"), said: "deferred 4.7.0", last: "RCPT TO:<b@x.example>" },
  ])("$why: abandoned before DATA", async ({ verdict, said, last }) => {
    const played = await play({ onBeforeData: () => verdict });
    expect(played.said).toEqual([said, said]);
    expect(played.peer.lines.at(-1)).toBe(last);
  });

  test("a sink that is bound when DATA has gone already is not asked: its commands would be mail data", async () => {
    const events = eventsWith({});
    const peer = await scripted((line) => {
      if (line.startsWith("RCPT"))
        events.replaceBindings([
          createBinding("onBeforeData", (subject: BeforeDataSubject) => {
            subject.insert("NOOP");
            return refuse("no");
          }),
        ]);
      return agree(line, ["PIPELINING"]);
    });
    const message = createSampleMessage();
    const [outcome] = await clientFor(peer.port, {}, { events }).deliver(message, recipientsOf(message));
    expect(outcome!.kind).toBe("delivered");
    expect(peer.messages[0]!.toString()).not.toContain("NOOP");
  });

  test.each([
    { why: "with CHUNKING", extensions: ["PIPELINING", "CHUNKING"] },
    { why: "with PIPELINING", extensions: ["PIPELINING"] },
  ])("nothing of the message is sent before it was asked: $why", async ({ extensions }) => {
    let peer: ScriptedPeer | undefined;
    const linesThen: string[] = [];
    peer = await scripted((line) => agree(line, extensions));
    const events = eventsWith({
      onBeforeData() {
        linesThen.push(...peer.lines);
      },
    });
    const message = createSampleMessage();
    await clientFor(peer.port, {}, { events }).deliver(message, recipientsOf(message));
    expect(linesThen.at(-1)).toMatch(/^RCPT/);
  });
});

describe("onSessionEnd", () => {
  test("inserts before QUIT", async () => {
    const peer = await scripted((line) => agree(line));
    const events = eventsWith({ onSessionEnd: (subject) => subject.insert("NOOP bye") });
    const message = createSampleMessage();
    await clientFor(peer.port, {}, { events, limits: { transactionsMax: 1 } }).deliver(message, recipientsOf(message));
    await expect.poll(() => peer.lines.slice(-2)).toEqual(["NOOP bye", "QUIT"]);
  });

  test("keep: the connection is there for the next message, beyond what one may carry", async () => {
    const peer = await scripted((line) => agree(line));
    let ends = 0;
    const events = eventsWith({
      onSessionEnd(subject) {
        expect(subject.session.messages).toBe(++ends);
        subject.keep();
      },
    });
    const client = clientFor(peer.port, {}, { events, limits: { transactionsMax: 1 } });
    for (let count = 0; count < 3; count++) {
      const message = createSampleMessage();
      expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
      await expect.poll(() => ends).toBe(count + 1);
    }
    expect(peer.connections).toBe(1);
    client.retire();
    await expect.poll(() => peer.lines.at(-1)).toBe("QUIT");
  });

  test("keep lasts as long as an idle connection does: then it is asked again", async () => {
    const clock = createFakeClock();
    const peer = await scripted((line) => agree(line));
    let ends = 0;
    const events = eventsWith({ onSessionEnd: (subject) => (ends++ === 0 ? subject.keep() : undefined) });
    const client = clientFor(peer.port, {}, { events, clock, limits: { idleMs: 1_000 } });
    const message = createSampleMessage();
    await client.deliver(message, recipientsOf(message));
    await clock.advance(999);
    expect(ends).toBe(0);
    await clock.advance(1);
    expect(ends).toBe(1);
    await clock.advance(1_000);
    expect(ends).toBe(2);
    await expect.poll(() => peer.lines.at(-1)).toBe("QUIT");
  });
});

describe("onServerResponse", () => {
  test("hears every reply, with what it answers, secrets masked", async () => {
    const heard: string[] = [];
    const { said } = await play(
      {
        onSessionStart: (subject) => subject.choose({ credentials: { user: "ann", password: "secret" } }),
        onServerResponse({ verb, command, reply, message, forwardPath, attemptId, inserted }) {
          const about = [message && "message", attemptId, forwardPath?.localPart, inserted && "inserted"];
          heard.push([verb || "-", command, reply.code, ...about.filter(Boolean)].join(" "));
        },
        onBeforeData: (subject) => subject.insert("NOOP"),
      },
      (line) => (line.startsWith("AUTH") ? "235 in" : agree(line, ["PIPELINING", "AUTH PLAIN"])),
    );
    expect(said).toEqual(delivered);
    expect(heard).toEqual([
      "-  220",
      "EHLO EHLO mail.example.test 250",
      "AUTH AUTH PLAIN *** 235",
      "MAIL MAIL FROM:<ada@sender.example> 250 message attempt-1",
      "RCPT RCPT TO:<a@x.example> 250 message attempt-1 a",
      "RCPT RCPT TO:<b@x.example> 250 message attempt-1 b",
      "NOOP NOOP 250 message attempt-1 inserted",
      "DATA DATA 354 message attempt-1",
      "_EOD . 250 message attempt-1",
    ]);
  });

  const at = (
    verb: string,
    then: (subject: ServerResponseSubject) => ReturnType<NonNullable<Handlers["onServerResponse"]>>,
  ): Handlers => ({
    onServerResponse: (subject) => (subject.verb === verb ? then(subject) : undefined),
  });
  const no = refuse("no", { status: "5.7.9" });
  const later = defer("later", { status: "4.7.9" });

  const rulings: { why: string; handlers: Handlers; answer?: Answer; said: string[]; last?: string }[] = [
    {
      why: "5yz to RCPT made transient",
      handlers: at("RCPT", () => later),
      answer: (line) => (line.startsWith("RCPT") ? "550 no" : agree(line)),
      said: ["deferred 550 4.7.9", "deferred 550 4.7.9"],
      last: "RSET",
    },
    {
      why: "4yz to RCPT made permanent",
      handlers: at("RCPT", () => no),
      answer: (line) => (line.startsWith("RCPT") ? "450 no" : agree(line)),
      said: ["failed 450 5.7.9", "failed 450 5.7.9"],
      last: "RSET",
    },
    {
      why: "5yz to MAIL made transient",
      handlers: at("MAIL", () => later),
      answer: (line) => (line.startsWith("MAIL") ? "550 no" : agree(line)),
      said: ["deferred 550 4.7.9", "deferred 550 4.7.9"],
    },
    {
      why: "a yes to MAIL made permanent",
      handlers: at("MAIL", () => no),
      said: ["failed 250 5.7.9", "failed 250 5.7.9"],
      last: "RSET",
    },
    {
      why: "5yz to DATA made transient",
      handlers: at("DATA", () => later),
      answer: (line) => (line === "DATA" ? "554 no" : agree(line)),
      said: ["deferred 554 4.7.9", "deferred 554 4.7.9"],
      last: "RSET",
    },
    {
      why: "354 made permanent: closed, nothing sent",
      handlers: at("DATA", () => no),
      said: ["failed 354 5.7.9", "failed 354 5.7.9"],
      last: "DATA",
    },
    {
      why: "4yz to the message made permanent",
      handlers: at("_EOD", () => no),
      answer: (line) => (line === "." ? "451 no" : agree(line)),
      said: ["failed 451 5.7.9", "failed 451 5.7.9"],
    },
    {
      why: "a message that was taken is delivered, whatever a sink says",
      handlers: at("_EOD", () => later),
      said: delivered,
    },
    {
      why: "drop at a message that was taken closes, and no more",
      handlers: at("_EOD", () => drop("bye")),
      said: delivered,
    },
    {
      why: "drop at RCPT",
      handlers: at("RCPT", () => drop("bye")),
      said: ["deferred 250 4.7.0", "deferred 250 4.7.0"],
      last: "RCPT TO:<a@x.example>",
    },
    {
      why: "goOn reset at RCPT",
      handlers: at("RCPT", (subject) => subject.goOn("reset")),
      said: ["deferred 250", "deferred 250"],
      last: "RSET",
    },
    {
      why: "goOn quit at RCPT",
      handlers: at("RCPT", (subject) => subject.goOn("quit")),
      said: ["deferred 250", "deferred 250"],
      last: "QUIT",
    },
    {
      why: "goOn reset keeps the answers there are",
      handlers: at("RCPT", (subject) => (subject.forwardPath?.localPart === "b" ? subject.goOn("reset") : undefined)),
      answer: (line) => (line.includes("a@x.example") ? "550 no" : agree(line)),
      said: ["failed 550", "deferred 250"],
      last: "RSET",
    },
    {
      why: "the greeting refused by a sink: deferred, the message is not at fault",
      handlers: at("", () => no),
      said: ["deferred 220", "deferred 220"],
      last: "QUIT",
    },
    {
      why: "EHLO refused by a sink",
      handlers: at("EHLO", () => no),
      said: ["deferred 250", "deferred 250"],
      last: "QUIT",
    },
    {
      why: "an inserted command refused: nothing changes",
      handlers: { onMessageStart: (subject) => subject.insert("NOOP") },
      answer: (line) => (line === "NOOP" ? "550 no" : agree(line)),
      said: delivered,
    },
    {
      why: "an inserted command refused, and a sink minds",
      handlers: { ...at("NOOP", () => no), onBeforeData: (subject) => subject.insert("NOOP") },
      answer: (line) => (line === "NOOP" ? "550 no" : agree(line)),
      said: ["failed 550 5.7.9", "failed 550 5.7.9"],
      last: "RSET",
    },
  ];
  test.each(rulings)("$why", async ({ handlers, answer, said, last }) => {
    const played = await play(handlers, answer);
    expect(played.said).toEqual(said);
    if (last) await expect.poll(() => played.peer.lines.at(-1)).toBe(last);
    if (said[0]!.startsWith("failed") || said[0]!.startsWith("deferred")) {
      const messages = played.peer.messages.filter((octets) => octets.length > 5);
      expect(messages.length).toBe(played.peer.lines.includes(".") ? 1 : 0);
    }
  });

  test("a sink that is bound while commands are pipelined hears the next transaction, not half of this one", async () => {
    const events = eventsWith({});
    const heard: string[] = [];
    const peer = await scripted((line) => {
      if (line.startsWith("RCPT") && events.bindingsOf("onServerResponse").length === 0)
        events.replaceBindings([
          createBinding("onServerResponse", (subject: ServerResponseSubject) => {
            heard.push(subject.verb);
            return subject.verb === "RCPT" ? later : undefined;
          }),
        ]);
      return agree(line, ["PIPELINING"]);
    });
    const client = clientFor(peer.port, {}, { events });
    const message = createSampleMessage();
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
    expect(heard).toEqual([]);
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "deferred", status: "4.7.9" }]);
    expect(heard).toEqual(["MAIL", "RCPT", "RSET"]);
    expect(peer.connections).toBe(1);
  });

  test("a recipient the peer took and a sink does not want: the others go without him", async () => {
    const { peer, said } = await play(
      at("RCPT", ({ forwardPath }) => (forwardPath?.localPart === "a" ? no : undefined)),
    );
    expect(said).toEqual(["failed 250 5.7.9", "delivered 250"]);
    expect(peer.lines.filter((line) => /^(?:MAIL|RCPT|RSET|DATA)/.test(line)).map((line) => line.slice(0, 10))).toEqual(
      ["MAIL FROM:", "RCPT TO:<a", "RSET", "MAIL FROM:", "RCPT TO:<b", "DATA"],
    );
  });

  test.each([
    { verb: "", taken: false },
    { verb: "EHLO", taken: false },
    { verb: "MAIL", taken: false },
    { verb: "RCPT", taken: false },
    { verb: "DATA", taken: false },
    { verb: "_EOD", taken: false },
    { verb: "NOOP", taken: true },
    { verb: "AUTH", taken: true },
  ])("accept at $verb: $taken", async ({ verb, taken }) => {
    const codes: unknown[] = [];
    const { said } = await play(
      {
        onSessionStart: (subject) => subject.choose({ credentials: { user: "a", password: "b" } }),
        onMessageStart: (subject) => subject.insert("NOOP"),
        ...at(verb, (subject) => {
          try {
            subject.accept();
            codes.push("accepted");
          } catch (error) {
            codes.push((error as { readonly code?: unknown }).code);
          }
        }),
      },
      (line) => {
        const said = line === "." ? "_EOD" : line.split(" ")[0]!;
        if (said === "AUTH" && verb !== "AUTH") return "235 in";
        return said === verb ? "450 4.0.0 no" : agree(line, ["AUTH PLAIN"]);
      },
    );
    expect(codes[0]).toBe(taken ? "accepted" : "reply.custody");
    expect(said[0]!.startsWith("delivered")).toBe(taken);
  });
});
