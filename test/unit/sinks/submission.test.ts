/** What transcripts cannot play of submission: who waits how long, floods, rehearsals, mail that came in elsewhere. */
import { describe, expect, test } from "vitest";
import type { SinkContext } from "../../../src/events/sink.ts";
import type { AuthSubject, Session } from "../../../src/events/subject.ts";
import { PasswordChecks } from "../../../src/platform/password.ts";
import { submissionBindings } from "../../../src/sinks/submission-bindings.ts";
import {
  clientFailures,
  freeFailures,
  Lockout,
  waitMsFirst,
  waitMsMax,
} from "../../../src/sinks/submission-lockout.ts";
import { userRate } from "../../../src/sinks/submission-rate.ts";
import { senderLoginMatch } from "../../../src/sinks/submission-sender.ts";
import { usersSink } from "../../../src/sinks/submission-users.ts";
import { type User, userKey } from "../../../src/sinks/users-document.ts";
import { UsersFile } from "../../../src/sinks/users-file.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createRecordingLog } from "../../support/recording-log.ts";
import { createSampleMessage } from "../../support/sample-message.ts";
import { createUser, testPassword, testUsers } from "../../support/submission-users.ts";
import { context, createSession, kindOf, mailFrom, rcptTo, rehearsal } from "./subjects.ts";

describe("Lockout", () => {
  const fail = (lockout: Lockout, nowMs: number, user = "ann", ip = "192.0.2.7") => {
    lockout.begin(ip, user, nowMs);
    lockout.end(ip, user, nowMs, "failed");
  };

  test("a few failures cost nothing, the next a minute, each further one twice as long, an hour at most", () => {
    const lockout = new Lockout();
    let now = 0;
    for (let i = 0; i < freeFailures; i++) {
      expect(lockout.mayTry("192.0.2.7", "ann", now)).toBe(true);
      fail(lockout, now);
    }
    expect(lockout.mayTry("192.0.2.7", "ann", now)).toBe(true);
    for (const waitMs of [1, 2, 4, 8, 16, 32, 60, 60].map((minutes) => minutes * 60_000)) {
      fail(lockout, now);
      expect(lockout.mayTry("192.0.2.7", "ann", now + waitMs - 1), `${waitMs}`).toBe(false);
      now += waitMs;
      expect(lockout.mayTry("192.0.2.7", "ann", now), `${waitMs}`).toBe(true);
    }
    expect([waitMsFirst, waitMsMax]).toEqual([60_000, 3_600_000]);
  });

  test("another client and another user are not locked out with him", () => {
    const lockout = new Lockout();
    for (let i = 0; i <= freeFailures; i++) fail(lockout, 0);
    expect(lockout.mayTry("192.0.2.7", "ann", 0)).toBe(false);
    expect(lockout.mayTry("192.0.2.8", "ann", 0)).toBe(true);
    expect(lockout.mayTry("192.0.2.7", "bob", 0)).toBe(true);
  });

  test("a client that tries many users is locked out as a whole, a /64 as one", () => {
    const lockout = new Lockout();
    for (let i = 0; i < clientFailures - 1; i++) fail(lockout, 0, `user${i}`, `2001:db8::${i + 1}`);
    expect(lockout.mayTry("2001:db8::ffff", "ann", 0)).toBe(true);
    fail(lockout, 0, "another", "2001:db8::1");
    expect(lockout.mayTry("2001:db8::ffff", "ann", 0)).toBe(false);
    expect(lockout.mayTry("2001:db8:0:1::1", "ann", 0)).toBe(true);
    expect(lockout.mayTry("2001:db8::ffff", "ann", 60_000)).toBe(true);
  });

  test("success forgets, and so does time; what was not decided is taken back", () => {
    const lockout = new Lockout();
    for (let i = 0; i < freeFailures; i++) fail(lockout, 0);
    lockout.begin("192.0.2.7", "ann", 0);
    expect(lockout.mayTry("192.0.2.7", "ann", 0)).toBe(false);
    lockout.end("192.0.2.7", "ann", 0, "undecided");
    expect(lockout.mayTry("192.0.2.7", "ann", 0)).toBe(true);
    lockout.begin("192.0.2.7", "ann", 0);
    lockout.end("192.0.2.7", "ann", 0, "succeeded");
    expect(lockout.size).toBe(0);
  });

  test("who was let try after his wait, and came to no decision, does not wait once more", () => {
    const lockout = new Lockout();
    for (let i = 0; i < freeFailures + 3; i++) fail(lockout, 0);
    expect(lockout.mayTry("192.0.2.7", "ann", 4 * 60_000)).toBe(true);
    lockout.begin("192.0.2.7", "ann", 4 * 60_000);
    lockout.end("192.0.2.7", "ann", 4 * 60_000, "undecided");
    expect(lockout.mayTry("192.0.2.7", "ann", 4 * 60_000)).toBe(true);
    fail(lockout, 4 * 60_000);
    expect(lockout.mayTry("192.0.2.7", "ann", 12 * 60_000 - 1)).toBe(false);
  });

  test("remembers only so many", () => {
    const lockout = new Lockout();
    for (let i = 0; i < 20_005; i++) lockout.begin("192.0.2.7", `user${i}`, 0);
    expect(lockout.size).toBe(20_000);
  });
});

function setUp(
  options: {
    readonly find?: (name: string) => Promise<User | undefined>;
    readonly passwords?: Pick<PasswordChecks, "check">;
  } = {},
) {
  const log = createRecordingLog();
  const find = options.find ?? (async (name: string) => testUsers.get(userKey(name)));
  const clock = createFakeClock();
  const sink = usersSink({
    users: { find, usualHash: "usual" },
    passwords: options.passwords ?? new PasswordChecks(),
    clock,
    accepted: new WeakMap(),
  });
  const accepted: string[] = [];
  const login = (
    user: string,
    secret: string | null,
    session: Partial<Session> = {},
    given: SinkContext = context,
    facts: object = {},
  ) =>
    sink.onAuth!(
      {
        session: createSession({ role: "submission", ...session }),
        mechanism: "PLAIN",
        user,
        secret,
        acceptAs: (name: string) => void accepted.push(name),
        acceptedAs: null,
        verifyWith() {},
        ...facts,
      } satisfies AuthSubject,
      { ...given, log },
    );
  return { login, accepted, log };
}

describe("usersSink", () => {
  test.each<{
    why: string;
    user?: string;
    secret: string | null;
    session?: Partial<Session>;
    facts?: object;
    accepted: string[];
  }>([
    { why: "a user", secret: testPassword, accepted: ["ann@example.org"] },
    { why: "a wrong password", secret: "x", accepted: [] },
    { why: "another listener", secret: testPassword, session: { role: "mx" }, accepted: [] },
    { why: "a proof without a password", secret: null, accepted: [] },
    { why: "whom somebody accepted", secret: testPassword, facts: { acceptedAs: "someone" }, accepted: [] },
    { why: "who is disabled", user: "bob@example.org", secret: testPassword, accepted: [] },
  ])("$why: $accepted", async ({ user = "ANN@example.org", secret, session, facts, accepted }) => {
    const setup = setUp();
    expect(await kindOf(setup.login(user, secret, session, context, facts))).toBe("proceed");
    expect(setup.accepted).toEqual(accepted);
  });

  test("who is no user, and who is disabled, takes a check all the same", async () => {
    const checked: unknown[] = [];
    const { login, log } = setUp({
      passwords: {
        check: async (_password, hash, usual) => {
          checked.push([hash, usual]);
          return false;
        },
      },
    });
    await login("nobody", "x");
    await login("bob@example.org", testPassword);
    expect(checked).toEqual([
      [null, "usual"],
      [null, testUsers.get("bob@example.org")!.password],
    ]);
    expect(log.of("users.refused").map(({ fields }) => fields.reason)).toEqual(["no such user", "disabled"]);
    expect(JSON.stringify(log.lines)).not.toContain(testPassword);
  });

  test("many tries at once are not one: above the limit none is checked", async () => {
    const { login } = setUp();
    const kinds = await Promise.all(Array.from({ length: 10 }, () => kindOf(login("ann@example.org", "wrong"))));
    expect(kinds.filter((kind) => kind === "proceed")).toHaveLength(freeFailures + 1);
    expect(kinds.filter((kind) => kind === "defer")).toHaveLength(10 - freeFailures - 1);
  });

  test("where too many wait it is 454, and nothing is held against anybody", async () => {
    const { login } = setUp({ passwords: { check: async () => "busy" } });
    for (let i = 0; i < 10; i++)
      expect(await login("ann@example.org", testPassword)).toMatchObject({
        kind: "defer",
        code: 454,
        status: "4.7.0",
        text: expect.stringContaining("Too many logins"),
      });
  });

  test("a rehearsal remembers nothing, and a fault of ours neither", async () => {
    const { login } = setUp();
    for (let i = 0; i < 10; i++) expect(await kindOf(login("ann@example.org", "wrong", {}, rehearsal))).toBe("proceed");
    const broken = setUp({ find: () => Promise.reject(new Error("the disk is gone")) });
    for (let i = 0; i < 10; i++) await expect(broken.login("ann@example.org", "x")).rejects.toThrow("the disk");
  });
});

describe("senderLoginMatch", () => {
  const find = async (name: string) => testUsers.get(userKey(name));
  const sink = (mustMatch = true) =>
    senderLoginMatch({
      users: { find },
      accepted: new WeakMap(),
      listeners: new Set(["submission"]),
      mustMatch: () => mustMatch,
    });
  test.each<{ why: string; session: Partial<Session>; from?: string; mustMatch?: boolean; kind: string }>([
    { why: "another's address", session: { role: "submission", user: "ann@example.org" }, kind: "refuse" },
    {
      why: "another's, where nothing must match",
      session: { role: "submission", user: "ann@example.org" },
      mustMatch: false,
      kind: "proceed",
    },
    {
      why: "his own",
      session: { role: "submission", user: "ann@example.org" },
      from: "<ann@example.org>",
      kind: "proceed",
    },
    {
      why: "the null reverse-path",
      session: { role: "submission", user: "ann@example.org" },
      from: "<>",
      kind: "proceed",
    },
    { why: "on another listener", session: { role: "mx", user: "ann@example.org" }, kind: "proceed" },
    { why: "without a login", session: { role: "submission", user: null }, kind: "proceed" },
    { why: "a user of another sink's", session: { role: "submission", user: "stranger" }, kind: "proceed" },
    {
      why: "who was disabled since",
      session: { role: "submission", user: "bob@example.org" },
      from: "<bob@example.org>",
      mustMatch: false,
      kind: "refuse",
    },
  ])("at MAIL: $why: $kind", async ({ session, from = "<eve@example.org>", mustMatch, kind }) => {
    expect(await kindOf(sink(mustMatch).onMailFrom!(mailFrom(from, createSession(session)), context))).toBe(kind);
  });

  test.each<{ why: string; user: string | null; listener?: string; data: string; mustMatch?: boolean; kind: string }>([
    { why: "his own", user: "ann@example.org", data: "From: Ann <ann@example.org>\r\n\r\n", kind: "proceed" },
    { why: "another's", user: "ann@example.org", data: "From: eve@example.org\r\n\r\n", kind: "refuse" },
    {
      why: "another's, between encoded words that would make a comment of it",
      user: "ann@example.org",
      data: "From: =?utf-8?q?ann=40example.org_=28?= <eve@example.org> =?utf-8?q?=29?=\r\n\r\n",
      kind: "refuse",
    },
    {
      why: "another's, whose name is encoded and looks like his own address",
      user: "ann@example.org",
      data: "From: =?utf-8?q?=3Cann=40example=2Eorg=3E?= <eve@example.org>\r\n\r\n",
      kind: "refuse",
    },
    {
      why: "another's, in the second field",
      user: "ann@example.org",
      data: "From: ann@example.org\r\nfrom : eve@example.org\r\n\r\n",
      kind: "refuse",
    },
    {
      why: "his own, with a comma in an encoded name",
      user: "ann@example.org",
      data: "From: =?utf-8?q?M=C3=BCller=2C_Ann?= <ann@example.org>\r\n\r\n",
      kind: "proceed",
    },
    { why: "none at all", user: "ann@example.org", data: "Subject: x\r\n\r\n", kind: "refuse" },
    {
      why: "none at all, where nothing must match",
      user: "ann@example.org",
      mustMatch: false,
      data: "Subject: x\r\n\r\n",
      kind: "proceed",
    },
    { why: "none at all, of a user of another sink's", user: "stranger", data: "Subject: x\r\n\r\n", kind: "proceed" },
    { why: "an empty one", user: "ann@example.org", data: "From:\r\n\r\n", kind: "refuse" },
    { why: "a group without members", user: "ann@example.org", data: "From: all:;\r\n\r\n", kind: "refuse" },
    {
      why: "another's, by another listener",
      user: "ann@example.org",
      listener: "mx",
      data: "From: eve@example.org\r\n\r\n",
      kind: "proceed",
    },
    { why: "another's, without a login", user: null, data: "From: eve@example.org\r\n\r\n", kind: "proceed" },
    {
      why: "another's, where nothing must match",
      user: "ann@example.org",
      mustMatch: false,
      data: "From: eve@example.org\r\n\r\n",
      kind: "proceed",
    },
  ])("From: $why: $kind", async ({ user, listener = "submission", data, mustMatch, kind }) => {
    const message = createSampleMessage({ data });
    Object.assign(message, { origin: { ...message.origin, user, listener } });
    expect(await kindOf(sink(mustMatch).onArrival!({ message }, context))).toBe(kind);
  });
});

test.each<{ why: string; fields: string; mustMatch?: boolean; words: string | null }>([
  { why: "his own", fields: "Sender: Ann <ann.smith@example.org>", words: null },
  { why: "another's", fields: "Sender: eve@example.org", words: "The Sender field has to name one of your addresses" },
  { why: "another's in the second", fields: "Sender: ann@example.org\r\nsender: eve@example.org", words: "The Sender" },
  { why: "an empty one", fields: "Sender:", words: "The Sender" },
  { why: "words", fields: "Sender: Ann", words: "The Sender" },
  { why: "another's, where nothing must match", fields: "Sender: eve@example.org", mustMatch: false, words: null },
])("senderLoginMatch looks at Sender: $why", async ({ fields, mustMatch = true, words }) => {
  const sink = senderLoginMatch({
    users: { find: async (name) => testUsers.get(userKey(name)) },
    accepted: new WeakMap(),
    listeners: new Set(["submission"]),
    mustMatch: () => mustMatch,
  });
  const message = createSampleMessage({ data: `From: ann@example.org\r\n${fields}\r\n\r\n` });
  Object.assign(message, { origin: { ...message.origin, user: "ann@example.org", listener: "submission" } });
  expect(await sink.onArrival!({ message }, context)).toMatchObject(
    words === null ? { kind: "proceed" } : { kind: "refuse", code: 550, text: expect.stringContaining(words) },
  );
});

test("who is removed while he is logged in sends no more; a stranger to the file does", async () => {
  const users = new Map(testUsers);
  const parts = {
    users: { find: async (name: string) => users.get(userKey(name)), usualHash: null },
    accepted: new WeakMap<Session, string>(),
  };
  const sink = usersSink({ ...parts, passwords: { check: async () => true }, clock: createFakeClock() });
  const match = senderLoginMatch({ ...parts, listeners: new Set(["submission"]), mustMatch: () => true });
  const session = createSession({ role: "submission", user: "ann@example.org" });
  const facts = { mechanism: "PLAIN", user: "ann@example.org", secret: "x", acceptedAs: null };
  await sink.onAuth!({ session, ...facts, acceptAs() {}, verifyWith() {} }, context);
  const send = (given: Session, from: string) => kindOf(match.onMailFrom!(mailFrom(from, given), context));
  expect(await send(session, "<ann@example.org>")).toBe("proceed");
  users.clear();
  expect([await send(session, "<ann@example.org>"), await send(session, "<>")]).toEqual(["refuse", "refuse"]);
  expect(await send({ ...session }, "<eve@example.org>")).toBe("proceed");
});

describe("userRate", () => {
  test("a user's own rate goes before the usual one; each user has his own; a rehearsal takes nothing", async () => {
    const users = {
      known: (name: string) =>
        name === "dora" ? createUser("dora", { rate: { times: 2, withinMs: 60_000 } }) : undefined,
    };
    const sink = userRate({ users, clock: createFakeClock(), rate: () => ({ times: 1, withinMs: 60_000 }) });
    const send = (user: string, given = context) =>
      kindOf(sink.onRcptTo!(rcptTo({}, createSession({ role: "submission", user })), given));
    expect(await send("dora", rehearsal)).toBe("proceed");
    expect([await send("dora"), await send("dora"), await send("dora")]).toEqual(["proceed", "proceed", "defer"]);
    expect([await send("ann"), await send("ANN"), await send("bob")]).toEqual(["proceed", "defer", "proceed"]);
  });

  test("without a rate, and without a login, nothing is limited", async () => {
    const sink = userRate({ users: { known: () => undefined }, clock: createFakeClock(), rate: () => null });
    for (const user of ["ann", null])
      for (let i = 0; i < 100; i++)
        expect(await kindOf(sink.onRcptTo!(rcptTo({}, createSession({ role: "submission", user })), context))).toBe(
          "proceed",
        );
  });
});

describe("submissionBindings", () => {
  const clock = createFakeClock();
  const users = new UsersFile({ file: "/nowhere", clock, log: createRecordingLog() });
  const settings = () => ({ senderMustMatch: true, rate: null });

  test("are for the submission listeners, and none where there is none", () => {
    expect(submissionBindings({ users, clock, listeners: [], settings })).toEqual([]);
    const bindings = submissionBindings({ users, clock, listeners: ["one", "two"], settings });
    expect(bindings.map(({ sink, events, rule }) => [sink.name, events, rule])).toEqual([
      ["users", ["onAuth"], "LISTENER=one; LISTENER=two"],
      ["sender-login-match", ["onMailFrom", "onArrival"], "LISTENER=one; LISTENER=two"],
      ["user-rate", ["onRcptTo"], "LISTENER=one; LISTENER=two"],
    ]);
    for (const { sink, events } of bindings) for (const event of events) expect(sink[event]).toBeTypeOf("function");
  });
});
