/** Sinks that hold a message against a number: size-limit, header-limit, rate-limit, and what a rate is made of. */
import { describe, expect, test } from "vitest";
import type { HeadersSubject } from "../../../src/events/subject.ts";
import { splitMessage } from "../../../src/mail/header.ts";
import { TokenBuckets } from "../../../src/sinks/token-buckets.ts";
import { createMessage } from "../../support/events.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import {
  context,
  createSession,
  createTransaction,
  kindOf,
  mailFrom,
  makeSink,
  rcptTo,
  rehearsal,
} from "./subjects.ts";

describe("size-limit", () => {
  const tooLarge = { kind: "refuse", code: 552, status: "5.3.4" };
  test.each([
    ["nothing announced", undefined, { kind: "proceed" }],
    ["no size known", 0, { kind: "proceed" }],
    ["below", 999, { kind: "proceed" }],
    ["at", 1_000, { kind: "proceed" }],
    ["above", 1_001, tooLarge],
  ])("at MAIL and RCPT, %s the limit", async (_why, sizeOctets, verdict) => {
    const sink = await makeSink("size-limit", { size_max: 1_000 });
    const options = sizeOctets === undefined ? {} : { sizeOctets };
    expect(sink.onMailFrom!(mailFrom("<>", createSession(), options), context)).toMatchObject(verdict);
    expect(sink.onRcptTo!(rcptTo({}, createSession(), options), context)).toMatchObject(verdict);
  });

  test.each([
    ["below", 999, "proceed"],
    ["at", 1_000, "proceed"],
    ["above", 1_001, "refuse"],
  ])("at the end of data, %s the limit, our trace field not counted", async (_why, octets, kind) => {
    const sink = await makeSink("size-limit", { size_max: 1_000, text: "No" });
    const sent = `Subject: x\r\n\r\n${"x".repeat(octets - 14)}`;
    const message = createMessage(`Received: by us\r\n${sent}`);
    expect(sink.onArrival!({ message }, context)).toMatchObject({ kind });
    const subject = { session: createSession(), message, perRecipient: false, answerRecipient() {} };
    expect(sink.onEndOfData!(subject, context)).toMatchObject({ kind });
  });
});

describe("header-limit", () => {
  const ask = async (text: string, properties: Readonly<Record<string, unknown>>) => {
    const sink = await makeSink("header-limit", properties);
    const { header } = splitMessage(Buffer.from(text.replaceAll("\n", "\r\n")));
    const subject: HeadersSubject = {
      session: createSession(),
      transaction: createTransaction("ann@example.org"),
      header,
      dropBody() {},
    };
    return sink.onHeaders!(subject, context);
  };
  const fields = (count: number) => Array.from({ length: count }, (_, i) => `X-${i}: y\n`).join("");
  test.each([
    ["fields below", fields(4), { fields_max: 5 }, undefined],
    ["fields at", fields(5), { fields_max: 5 }, undefined],
    ["fields above", fields(6), { fields_max: 5 }, "552 5.3.4"],
    ["octets at", `X: ${"y".repeat(1_019)}\n`, { size_max: 1_024 }, undefined],
    ["octets above", `X: ${"y".repeat(1_020)}\n`, { size_max: 1_024 }, "552 5.3.4"],
    ["octets of a field at", `X: ${"y".repeat(251)}\n`, { field_size_max: 256 }, undefined],
    ["octets of a field above", `X: ${"y".repeat(252)}\n`, { field_size_max: 256 }, "552 5.3.4"],
    ["hops at", "Received: x\nReceived: y\n", { received_max: 2 }, undefined],
    ["hops above", "Received: x\nReceived: y\nReceived: z\n", { received_max: 2 }, "554 5.4.6"],
    ["one From", "From: a@b.example\n", {}, undefined],
    ["two From fields", "From: a@b.example\nX: y\nfrom: c@d.example\n", {}, "550 5.6.0"],
    ["two Subject fields that are allowed", "Subject: x\nSubject: y\n", { single: false }, undefined],
    ["two fields that may stand twice", "Comments: x\nComments: y\n", {}, undefined],
    ["a required field that is there", "from: a@b.example\nDate: x\n", { required: ["From", "Date"] }, undefined],
    ["a required field that is missing", "From: a@b.example\n", { required: ["From", "Date"] }, "550 5.6.0"],
    ["no header", "", {}, undefined],
  ])("%s: %#", async (_why, text, properties, refused) => {
    const verdict = await ask(text, properties);
    if (refused === undefined) expect(verdict).toMatchObject({ kind: "proceed" });
    else {
      const [code, status] = refused.split(" ");
      expect(verdict).toMatchObject({ kind: "refuse", code: Number(code), status });
    }
  });
});

describe("TokenBuckets", () => {
  test("gives the burst at once, then one for each interval, and no more after a long rest", () => {
    const buckets = new TokenBuckets({ intervalMs: 1_000, burst: 3, keysMax: 10 });
    const takes = (at: number, times: number) => Array.from({ length: times }, () => buckets.take("k", at));
    expect(takes(0, 4)).toEqual([true, true, true, false]);
    expect(takes(999, 1)).toEqual([false]);
    expect(takes(1_000, 2)).toEqual([true, false]);
    expect(takes(1_000_000, 4)).toEqual([true, true, true, false]);
  });

  test("takes nothing where it only looks or says no", () => {
    const buckets = new TokenBuckets({ intervalMs: 100, burst: 1, keysMax: 10 });
    expect([buckets.take("k", 0, true), buckets.take("k", 0, true), buckets.take("k", 0)]).toEqual([true, true, true]);
    for (let i = 0; i < 5; i++) expect(buckets.take("k", 99)).toBe(false);
    expect(buckets.take("k", 100)).toBe(true);
  });

  test("remembers no more keys than it may; the one not asked for longest goes", () => {
    const buckets = new TokenBuckets({ intervalMs: 1_000, burst: 1, keysMax: 2 });
    for (const key of ["a", "b"]) buckets.take(key, 0);
    buckets.take("a", 1_000);
    buckets.take("c", 1_000);
    expect(buckets.size).toBe(2);
    expect(buckets.take("a", 1_000)).toBe(false);
    expect(buckets.take("b", 500)).toBe(true);
  });

  test("does not forget who is held back, however many others come", () => {
    const buckets = new TokenBuckets({ intervalMs: 1_000, burst: 1, keysMax: 2 });
    buckets.take("a", 0);
    for (let i = 0; i < 5; i++) {
      buckets.take(`other-${i}`, 0);
      expect(buckets.take("a", 1)).toBe(false);
    }
  });

  test("forgets nobody for one that is known", () => {
    const buckets = new TokenBuckets({ intervalMs: 1_000, burst: 2, keysMax: 2 });
    for (const key of ["a", "a", "b", "b"]) buckets.take(key, 0);
    expect([buckets.take("b", 1_000), buckets.take("a", 999)]).toEqual([true, false]);
  });

  test("a rate with a third of a second is exact", () => {
    const buckets = new TokenBuckets({ intervalMs: 1_000 / 3, burst: 3, keysMax: 2 });
    let taken = 0;
    for (let ms = 0; ms < 10_000; ms += 10) if (buckets.take("k", ms)) taken++;
    expect(taken).toBe(3 + 29);
  });
});

describe("rate-limit", () => {
  test("counts messages by client: at the rate it passes, above it is deferred, and time lets it pass again", async () => {
    const clock = createFakeClock();
    const sink = await makeSink("rate-limit", { rate: "2/1m" }, { clock });
    const ask = (ip: string) => kindOf(sink.onMailFrom!(mailFrom("ann@example.org", createSession({ ip })), context));
    expect([await ask("192.0.2.1"), await ask("192.0.2.1"), await ask("192.0.2.1")]).toEqual([
      "proceed",
      "proceed",
      "defer",
    ]);
    expect(await ask("192.0.2.2")).toBe("proceed");
    await clock.advance(29_999);
    expect(await ask("192.0.2.1")).toBe("defer");
    await clock.advance(1);
    expect(await ask("192.0.2.1")).toBe("proceed");
  });

  test.each([
    ["an IPv6 client is its /64", ["client"], { ip: "2001:db8:1:2:3::4" }, { ip: "2001:db8:1:2::9" }, true],
    ["another /64 is another", ["client"], { ip: "2001:db8:1:2::4" }, { ip: "2001:db8:1:3::4" }, false],
    ["IPv4 clients are one each", ["client"], { ip: "192.0.2.1" }, { ip: "192.0.2.2" }, false],
    ["a network is a /24", ["client-network"], { ip: "192.0.2.1" }, { ip: "192.0.2.2" }, true],
    ["a user wherever he is", ["user"], { user: "ann", ip: "192.0.2.1" }, { user: "ann", ip: "198.51.100.1" }, true],
    ["HELO without case", ["helo"], { helo: "A.example" }, { helo: "a.EXAMPLE" }, true],
    ["a listener", ["listener"], { listener: "a" }, { listener: "b" }, false],
    ["parts together", ["listener", "client"], { ip: "192.0.2.1" }, { ip: "192.0.2.2" }, false],
    ["parts that run into each other", ["helo", "user"], { helo: "a b", user: "c" }, { helo: "a", user: "b c" }, false],
  ])("key: %s", async (_why, key, one, other, same) => {
    const sink = await makeSink("rate-limit", { rate: "1/h", key });
    await sink.onMailFrom!(mailFrom("ann@example.org", createSession(one)), context);
    const second = await kindOf(sink.onMailFrom!(mailFrom("eve@example.com", createSession(other)), context));
    expect(second).toBe(same ? "defer" : "proceed");
  });

  test.each([
    ["a sender", "sender", { from: "Ann@example.org" }, { from: "ann@example.org" }, true],
    ["two senders of a domain", "sender-domain", { from: "a@example.org" }, { from: "b@example.org" }, true],
    ["the null reverse-path", "sender-domain", { from: "<>" }, { from: "<>" }, true],
    ["a recipient", "recipient", { to: "a@example.test" }, { to: "b@example.test" }, false],
    ["recipients of a domain", "recipient-domain", { to: "a@example.test" }, { to: "b@example.test" }, true],
  ] as const)("counts recipients by %s", async (_why, key, one, other, same) => {
    const sink = await makeSink("rate-limit", { rate: "1/h", key: [key], count: "recipients" });
    await sink.onRcptTo!(rcptTo(one), context);
    expect(await sink.onRcptTo!(rcptTo(other), context)).toMatchObject(
      same ? { kind: "defer", code: 450, status: "4.7.28" } : { kind: "proceed" },
    );
  });

  test("counts connections, with the replies of a greeting", async () => {
    const sink = await makeSink("rate-limit", { rate: "1/h", count: "connections" });
    const subject = { session: createSession(), setBanner() {} };
    expect(sink.onMailFrom).toBeUndefined();
    expect(await sink.onConnect!(subject, context)).toMatchObject({ kind: "proceed" });
    expect(await sink.onConnect!(subject, context)).toMatchObject({ kind: "defer", code: 421 });
  });

  test("lets pass who is excepted, who has no user where users count, and remembers no rehearsal", async () => {
    const excepting = await makeSink("rate-limit", { rate: "1/h", except_networks: ["192.0.2.0/24"] });
    const users = await makeSink("rate-limit", { rate: "1/h", key: ["user"] });
    const rehearsed = await makeSink("rate-limit", { rate: "1/h" });
    for (let i = 0; i < 3; i++) {
      expect(await kindOf(excepting.onMailFrom!(mailFrom("<>"), context))).toBe("proceed");
      expect(await kindOf(users.onMailFrom!(mailFrom("<>"), context))).toBe("proceed");
      expect(await kindOf(rehearsed.onMailFrom!(mailFrom("<>"), rehearsal))).toBe("proceed");
    }
    await rehearsed.onMailFrom!(mailFrom("<>"), context);
    expect(await kindOf(rehearsed.onMailFrom!(mailFrom("<>"), rehearsal))).toBe("defer");
  });

  test("takes a burst apart from its rate, and refuses where it is told to", async () => {
    const sink = await makeSink("rate-limit", { rate: "1/1h", burst: 2, action: "refuse", text: "Enough" });
    const ask = () => sink.onMailFrom!(mailFrom("<>"), context);
    expect([await kindOf(ask()), await kindOf(ask())]).toEqual(["proceed", "proceed"]);
    expect(await ask()).toMatchObject({ kind: "refuse", code: 550, status: "5.7.28", text: "Enough" });
  });

  test.each([
    ["a rate without time", { rate: "10" }, /rate: expected a rate/],
    ["a rate of none", { rate: "0/1m" }, /rate: expected a rate/],
    ["a rate of a year", { rate: "1/365d" }, /rate: expected a rate/],
    ["recipients where messages are counted", { rate: "1/m", key: ["recipient"] }, /recipient cannot be known/],
    [
      "senders where connections are counted",
      { rate: "1/m", count: "connections", key: ["sender", "client"] },
      /sender cannot be known/,
    ],
    ["a key with a slip", { rate: "1/m", key: ["sender-domian"] }, /did you mean "sender-domain"/],
  ])("takes no %s", async (_why, properties, message) => {
    await expect(makeSink("rate-limit", properties)).rejects.toMatchObject({
      code: "sink.properties",
      message: expect.stringMatching(message) as string,
    });
  });
});

test("a synchronous sink of the kit costs little: a hundred thousand asks in well under two seconds", async () => {
  const sinks = await Promise.all([
    makeSink("size-limit", { size_max: "5MiB" }),
    makeSink("rate-limit", { rate: "1000000/1s", count: "recipients", key: ["client", "sender-domain"] }),
    makeSink("access-list", {
      deny_senders: Array.from({ length: 10_000 }, (_, i) => `user${i}@junk.example`),
      deny_clients: ["203.0.113.0/24"],
    }),
  ]);
  const subject = rcptTo({}, createSession(), { sizeOctets: 1_000 });
  const before = performance.now();
  for (let i = 0; i < 100_000 / sinks.length; i++)
    for (const sink of sinks) if (sink.onRcptTo!(subject, context) instanceof Promise) throw new Error("a promise");
  expect(performance.now() - before).toBeLessThan(2_000);
});
