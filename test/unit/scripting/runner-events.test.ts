/** What the server makes of runs at every event: the facts it sends, the powers it calls for a script, and what it undoes. The sandbox here says what it is told to. */
import { describe, expect, test } from "vitest";
import type { Effects, RunRequest, StepResult, VerdictResult } from "../../../sandbox/protocol.ts";
import type { EventName } from "../../../src/events/event.ts";
import { eventNames, eventTable } from "../../../src/events/event-table.ts";
import { Revocable } from "../../../src/events/undo.ts";
import { InboundSession, InboundTransaction } from "../../../src/inbound/session.ts";
import {
  ConnectDecision,
  HeadersDecision,
  HeloDecision,
  MailFromDecision,
  RcptToDecision,
} from "../../../src/inbound/subjects.ts";
import { parseMailbox } from "../../../src/mail/mailbox.ts";
import { LocalSubject } from "../../../src/outbound/local-subject.ts";
import { createScriptRunner } from "../../../src/scripting/runner.ts";
import { checkEffects, scriptedEvents } from "../../../src/scripting/subjects.ts";
import { createBinding, createMessage } from "../../support/events.ts";
import { createRecordingLog } from "../../support/recording-log.ts";

const [ann, bob, eve] = ["ann@example.com", "bob@example.org", "eve@example.org"].map(parseMailbox);
const message = () => createMessage("Subject: hello\n\nbody\n");

function sessionOf(): InboundSession {
  const session = new InboundSession({ listener: "mx", role: "mx", ip: "192.0.2.7", port: 4711, startedAt: 0 });
  session.sayHelo("client.example");
  return session;
}

function transactionOf(): InboundTransaction {
  const transaction = new InboundTransaction({ id: "M1", reversePath: ann!, parameters: new Map(), options: {} });
  transaction.add({ mailboxes: [bob!], options: undefined });
  return transaction;
}

const done: VerdictResult = { kind: "proceed", settled: false };

/** Runs one step at an event, with a sandbox that answers so; gives the outcome and what the sandbox was sent. */
async function run(
  event: EventName,
  subject: object,
  { effects = {}, verdict = done }: { readonly effects?: Effects; readonly verdict?: VerdictResult } = {},
) {
  const requests: RunRequest[] = [];
  const log = createRecordingLog();
  const runner = createScriptRunner({
    log,
    limits: {} as never,
    sandbox: {
      run: async (request) => {
        requests.push(request);
        const result: StepResult = {
          bindingId: "b",
          version: "v",
          effects,
          verdict,
          log: [{ level: "info", text: "seen", at: 0 }],
          usage: { cpuMs: 1, wallMs: 1, heapKiB: 1 },
          fault: null,
          defects: [],
        };
        return { steps: [result] };
      },
    },
  });
  const binding = createBinding(event, () => undefined, {
    id: "scripts/a.ts#x",
    name: "scripts/a.ts",
    target: { kind: "script", version: "sha256:1", grants: { dns: true } },
    properties: { level: 3 },
  });
  const [outcome] = await runner.run(event, subject as never, [{ binding, matchedRecipients: null }], false);
  return { outcome: outcome!, request: requests[0]!, log };
}

const power = (name: string, ...args: (string | null)[]): Effects => ({ powers: [{ name, args }] });

test("the events scripts can handle are those of the table", () => {
  expect(scriptedEvents).toEqual(eventNames.filter((name) => eventTable[name].scripts));
});

describe("facts", () => {
  const session = {
    listener: "mx",
    ip: "192.0.2.7",
    host: null,
    helo: "client.example",
    user: null,
    tls: null,
    auth: null,
  };
  const inSession = { session: expect.objectContaining(session) };
  const envelope = { from: "ann@example.com", to: ["bob@example.org"] };
  const outcome = { attemptId: "a", forwardPath: bob, nextHop: "mx:example.org" };
  const base = {
    session: sessionOf(),
    transaction: transactionOf(),
    options: {},
    parameters: new Map([["SIZE", "9"]]),
  };
  const queued = () => ({ message: message(), attemptId: "a" });
  test.each<[event: EventName, subject: object, facts: object]>([
    ["onConnect", base, inSession],
    [
      "onHelo",
      { ...base, verb: "EHLO", name: "x", keywords: ["SIZE"] },
      { ...inSession, verb: "EHLO", name: "x", keywords: ["SIZE"] },
    ],
    [
      "onMailFrom",
      { ...base, reversePath: null, options: { sizeOctets: 9 } },
      { ...inSession, from: null, parameters: { SIZE: "9" }, size: 9 },
    ],
    [
      "onRcptTo",
      { ...base, forwardPath: eve },
      { ...inSession, envelope, recipient: "eve@example.org", parameters: { SIZE: "9" } },
    ],
    ["onData", base, { ...inSession, envelope }],
    ["onHeaders", { ...base, header: message().header }, { ...inSession, envelope }],
    ["onArrival", { message: message() }, {}],
    ["onPreCategorize", queued(), { attemptId: "a" }],
    ["onPostCategorize", queued(), { attemptId: "a" }],
    [
      "onRoute",
      { ...queued(), domain: "example.org", recipients: [bob], nextHop: { kind: "smarthost" } },
      { attemptId: "a", domain: "example.org", recipients: ["bob@example.org"], nextHop: "smarthost" },
    ],
    [
      "onLocalDelivery",
      { ...queued(), forwardPath: bob, nextHop: { kind: "drop" }, folder: null },
      { attemptId: "a", recipient: "bob@example.org", nextHop: "drop", folder: null },
    ],
    [
      "onDsn",
      {
        message: message(),
        kind: "failed",
        recipients: [{ mailbox: bob, status: "5.1.1", reason: "x", nextHop: "secret" }],
        text: "t",
        subject: "s",
      },
      {
        kind: "failed",
        recipients: [{ address: "bob@example.org", status: "5.1.1", reason: "x" }],
        reportText: "t",
        reportSubject: "s",
      },
    ],
    [
      "onDelivered",
      { message: message(), ...outcome, reply: { code: 250, text: "ok" } },
      {
        attemptId: "a",
        recipient: "bob@example.org",
        nextHop: "mx:example.org",
        lastReply: { code: 250, status: null, text: "ok" },
      },
    ],
    [
      "onDeferred",
      { message: message(), ...outcome, reply: null, reason: "busy", nextAttemptAt: 5 },
      {
        attemptId: "a",
        recipient: "bob@example.org",
        nextHop: "mx:example.org",
        lastReply: null,
        reason: "busy",
        nextAttemptAt: 5,
      },
    ],
    [
      "onFailed",
      { message: message(), ...outcome, reply: null, reason: "gone" },
      { attemptId: "a", recipient: "bob@example.org", nextHop: "mx:example.org", lastReply: null, reason: "gone" },
    ],
  ])("%s", async (event, subject, facts) => {
    const { request } = await run(event, subject);
    expect(request.subject).toEqual(facts);
    expect(JSON.parse(JSON.stringify(request.subject))).toEqual(request.subject);
    expect(request.mail?.id ?? null).toBe(
      "message" in subject ? "01TESTMESSAGE000" : event === "onHeaders" ? "M1" : null,
    );
  });

  test("the header goes along before there is a message", async () => {
    const { request } = await run("onHeaders", { ...base, header: message().header });
    expect(request.mail).toMatchObject({ fields: [["Subject", "hello"]], envelope });
    expect(await request.octets()).toHaveLength(0);
  });

  test("grants and properties are those of the binding; who is told never ends the hop", async () => {
    expect((await run("onConnect", base)).request.steps[0]).toMatchObject({
      grants: { dns: true },
      properties: { level: 3 },
      proceedOnFault: false,
    });
    expect(
      (await run("onDelivered", { message: message(), ...outcome, reply: null })).request.steps[0]?.proceedOnFault,
    ).toBe(true);
  });

  test("what a script logs says which session or message it was about", async () => {
    const { session } = base;
    expect((await run("onConnect", { session })).log.of("script.logged")[0]?.fields).toEqual({
      script: "scripts/a.ts",
      session: session.id,
      text: "seen",
    });
    expect((await run("onArrival", { message: message() })).log.of("script.logged")[0]?.fields).toMatchObject({
      message: "01TESTMESSAGE000",
    });
  });
});

describe("powers", () => {
  const options = { parameters: new Map(), options: {} };
  const connect = () => new ConnectDecision(sessionOf());
  const helo = () => new HeloDecision(sessionOf(), { verb: "EHLO", name: "x", keywords: ["SIZE 10", "CHUNKING"] });
  const mailFrom = () => new MailFromDecision(sessionOf(), { reversePath: ann!, ...options });
  const rcptTo = () => new RcptToDecision(sessionOf(), { transaction: transactionOf(), forwardPath: eve!, ...options });
  const headers = () =>
    new HeadersDecision({ session: sessionOf(), transaction: transactionOf(), header: message().header });
  const local = () =>
    new LocalSubject({
      message: message(),
      attemptId: "a",
      forwardPath: bob!,
      nextHop: { kind: "drop" },
      folder: null,
    });

  /** Stand-ins where the subject is made inside of the queue or the router. */
  class Route extends Revocable {
    hop: unknown = null;
    readonly attemptId = "a";
    readonly domain = "example.org";
    readonly recipients = [bob!];
    readonly nextHop = null;
    readonly message = message();
    readonly to = (hop: unknown) => {
      this.hop = hop;
      this.note(`route to ${String(hop)}`);
    };
  }
  class Dsn extends Revocable {
    readonly message = message();
    readonly kind = "failed";
    readonly recipients = [];
    text = "t";
    subject = "s";
    readonly setText = (text: string) => {
      this.text = text;
    };
    readonly setSubject = (subject: string) => {
      this.subject = subject;
    };
  }

  test.each<[event: EventName, subject: object, effects: Effects, key: string, value: unknown]>([
    ["onConnect", connect(), power("setBanner", "ESMTP ready"), "banner", "ESMTP ready"],
    ["onHelo", helo(), power("offer", "X-A", "b"), "keywords", ["SIZE 10", "CHUNKING", "X-A b"]],
    ["onHelo", helo(), power("hide", "chunking"), "keywords", ["SIZE 10"]],
    ["onMailFrom", mailFrom(), power("rewrite", null), "reversePath", null],
    ["onMailFrom", mailFrom(), power("rewrite", "bob@example.org"), "reversePath", bob],
    ["onRcptTo", rcptTo(), power("rewrite", "bob@example.org", "ann@example.com"), "forwardPaths", [bob, ann]],
    ["onRcptTo", rcptTo(), power("accept", "relay"), "accepted", "relay"],
    ["onHeaders", headers(), power("dropBody"), "bodyIsWanted", false],
    ["onRoute", new Route(), power("route", "smtp://relay.example"), "hop", "smtp://relay.example"],
    ["onLocalDelivery", local(), power("fileInto", "Junk"), "folder", "Junk"],
    ["onLocalDelivery", local(), power("fileInto", null), "folder", null],
    ["onDsn", new Dsn(), power("setReportText", "one\ntwo"), "text", "one\ntwo"],
    ["onDsn", new Dsn(), power("setReportSubject", "Sorry"), "subject", "Sorry"],
  ])("%s: %o", async (event, subject, effects, key, value) => {
    const { outcome } = await run(event, subject, { effects });
    expect(outcome.fault).toBeNull();
    expect((subject as Record<string, unknown>)[key]).toEqual(value);
  });

  test("are told in words to those who watch, also when others have said something since", async () => {
    const subject = helo();
    const { outcome } = await run("onHelo", subject, { effects: power("hide", "CHUNKING") });
    await run("onHelo", subject, { effects: power("offer", "X-B") });
    expect(outcome.did?.()).toEqual(["hide CHUNKING"]);
  });

  test("are said by the binding", async () => {
    const subject = local();
    await run("onLocalDelivery", subject, { effects: power("fileInto", "Junk") });
    expect(subject.asked).toBe("scripts/a.ts#x");
  });

  // What a sandbox process may say that was broken into: the guest says none of it.
  test.each<[why: string, event: EventName, subject: () => Revocable, effects: Effects, code: string]>([
    ["one of another event", "onConnect", connect, power("rewrite", "x@example.org"), "script.action-invalid"],
    ["one that is none", "onConnect", connect, power("constructor"), "script.action-invalid"],
    ["no text", "onConnect", connect, power("setBanner", null), "script.action-invalid"],
    ["no argument", "onHelo", helo, power("hide"), "script.action-invalid"],
    ["two lines", "onConnect", connect, power("setBanner", "a\r\n250 b"), "reply.invalid"],
    ["no keyword", "onHelo", helo, power("offer", "A B"), "reply.invalid"],
    ["no address", "onMailFrom", mailFrom, power("rewrite", "x"), "address.syntax"],
    ["nobody", "onRcptTo", rcptTo, power("rewrite"), "script.action-invalid"],
    ["a third way", "onRcptTo", rcptTo, power("accept", "maybe"), "script.action-invalid"],
    ["a path for a folder", "onLocalDelivery", local, power("fileInto", "../../etc"), "folder.invalid"],
    ["an edit", "onLocalDelivery", local, { fields: [["X", "y"]] }, "script.action-invalid"],
    ["an edit without a message", "onConnect", connect, { to: [] }, "script.action-invalid"],
  ])("not with %s, at %s", async (_why, event, subject, effects, code) => {
    const made = subject();
    const before = { ...made };
    const { outcome } = await run(event, made, { effects });
    expect(outcome).toMatchObject({ verdict: { kind: "proceed" }, fault: { code, facts: { script: "scripts/a.ts" } } });
    expect({ ...made, words: [], asked: "" }).toEqual({ ...before, words: [], asked: "" });
  });

  test("all that a run said is undone where one thing of it cannot be", async () => {
    const subject = helo();
    const powers = [power("hide", "CHUNKING"), power("offer", "X-B"), power("offer", "A B")].flatMap(
      (one) => one.powers ?? [],
    );
    const { outcome } = await run("onHelo", subject, { effects: { powers } });
    expect(outcome.fault?.code).toBe("reply.invalid");
    expect(subject.keywords).toEqual(["SIZE 10", "CHUNKING"]);
  });

  test("a message's edits are undone with the powers, and a verdict the event does not take undoes both", async () => {
    const subject = { message: message() };
    const effects: Effects = { fields: [["Subject", "edited"]] };
    const refused = await run("onArrival", subject, { effects: { ...effects, ...power("hide", "X") } });
    expect(refused.outcome.fault?.code).toBe("script.action-invalid");
    const dropped = await run("onArrival", subject, { effects, verdict: { kind: "drop", text: "x" } });
    expect(dropped.outcome.fault?.code).toBe("verdict.not-allowed");
    expect(subject.message.header.get("Subject")).toBe("hello");
    await run("onArrival", subject, { effects });
    expect(subject.message.header.get("Subject")).toBe("edited");
  });
});

describe("checkEffects", () => {
  const all: Effects = {
    from: null,
    to: [],
    fields: [],
    splices: [],
    parts: [],
    notes: {},
    routes: [],
    folders: [],
    refusals: [],
    submissions: [],
  };
  const keys = Object.keys(all);
  const content = ["fields", "splices", "parts", "notes", "submissions"];
  test.each<[event: EventName, allowed: readonly string[]]>([
    ["onConnect", []],
    ["onRcptTo", []],
    ["onHeaders", []],
    ["onArrival", keys],
    ["onPreCategorize", content],
    ["onPostCategorize", [...content, "routes", "folders"]],
    ["onRoute", []],
    ["onLocalDelivery", ["submissions"]],
    ["onDsn", []],
    ["onDelivered", ["submissions"]],
  ])("%s takes %o", (event, allowed) => {
    const isTaken = (key: string) => {
      try {
        checkEffects(event, { [key]: all[key as keyof Effects] });
        return true;
      } catch {
        return false;
      }
    };
    expect(keys.filter(isTaken)).toEqual(keys.filter((key) => allowed.includes(key)));
  });
});
