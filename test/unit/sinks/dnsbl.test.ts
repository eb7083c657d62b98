import { describe, expect, test } from "vitest";
import type { Session } from "../../../src/events/subject.ts";
import { ipOctets, networkOf, reversedLabels } from "../../../src/sinks/ip-octets.ts";
import { createMessage } from "../../support/events.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createFakeResolver, type FakeRecords } from "../../support/fake-resolver.ts";
import { createRecordingLog } from "../../support/recording-log.ts";
import { context, createSession, kindOf, makeSink, rcptTo, rehearsal } from "./subjects.ts";

const name = "7.2.0.192";
const answers = (...addresses: string[]): FakeRecords => ({ a: { [`${name}.bl.example`]: addresses } });

async function makeDnsbl(properties: Readonly<Record<string, unknown>>, records: FakeRecords) {
  const clock = createFakeClock();
  const resolver = createFakeResolver(records, clock);
  const log = createRecordingLog();
  const sink = await makeSink("dnsbl", { zones: ["bl.example"], ...properties }, { clock, resolver, log });
  const ask = (session: Session = createSession(), asked = context) =>
    sink.onRcptTo!(rcptTo({}, session), { ...asked, log });
  return { sink, ask, resolver, log, clock };
}

describe("ip-octets", () => {
  test.each([
    ["IPv4", "192.0.2.7", "7.2.0.192"],
    ["IPv4 in its IPv6 form", "::ffff:192.0.2.7", "7.2.0.192"],
    ["the same in hexadecimal", "::ffff:c000:207", "7.2.0.192"],
    ["IPv6", "2001:db8::567:89ab", "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"],
    ["IPv6 with a zone", "fe80::1%eth0", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f"],
  ])("reversedLabels: %s", (_why, ip, labels) => {
    expect(reversedLabels(ipOctets(ip)!)).toBe(labels);
  });

  test.each([
    ["192.0.2.7", 24, 64, "192.0.2.0/24"],
    ["192.0.2.7", 32, 64, "192.0.2.7/32"],
    ["192.0.255.7", 20, 64, "192.0.240.0/20"],
    ["::ffff:192.0.2.7", 24, 64, "192.0.2.0/24"],
    ["2001:db8:1:2:3:4:5:6", 24, 64, "2001:db8:1:2:0:0:0:0/64"],
    ["2001:db8:1:ffff::1", 24, 52, "2001:db8:1:f000:0:0:0:0/52"],
    ["not an address", 24, 64, "not an address"],
  ])("networkOf: %s /%d /%d", (ip, v4, v6, network) => {
    expect(networkOf(ip, { v4, v6 })).toBe(network);
  });
});

describe("dnsbl", () => {
  test.each([
    ["no list has it", { zones: ["bl.example"] }, {}, "proceed"],
    ["a list has it", {}, answers("127.0.0.2"), "refuse"],
    ["action defer", { action: "defer" }, answers("127.0.0.2"), "defer"],
    ["an answer outside of 127.0.0.0/8", {}, answers("192.0.2.1"), "proceed"],
    ["the list refuses to answer us", {}, answers("127.255.255.254"), "proceed"],
    ["one answer that counts among others", {}, answers("192.0.2.1", "127.0.0.4"), "refuse"],
    [
      "a code below those wanted",
      { zones: [{ zone: "bl.example", codes: ["127.0.0.4-6"] }] },
      answers("127.0.0.3"),
      "proceed",
    ],
    [
      "the first code wanted",
      { zones: [{ zone: "bl.example", codes: ["127.0.0.4-6"] }] },
      answers("127.0.0.4"),
      "refuse",
    ],
    [
      "the last code wanted",
      { zones: [{ zone: "bl.example", codes: ["127.0.0.4-6"] }] },
      answers("127.0.0.6"),
      "refuse",
    ],
    [
      "a code above those wanted",
      { zones: [{ zone: "bl.example", codes: ["127.0.0.4-6"] }] },
      answers("127.0.0.7"),
      "proceed",
    ],
    ["any octet", { zones: [{ zone: "bl.example", codes: ["127.0.*.1"] }] }, answers("127.0.200.1"), "refuse"],
    ["a score below the threshold", { threshold: 2 }, answers("127.0.0.2"), "proceed"],
    [
      "a score at the threshold",
      { threshold: 2, zones: [{ zone: "bl.example", weight: 2 }] },
      answers("127.0.0.2"),
      "refuse",
    ],
    [
      "a list of the good outweighs it",
      { zones: ["bl.example", { zone: "good.example", weight: -1 }] },
      { a: { [`${name}.bl.example`]: ["127.0.0.2"], [`${name}.good.example`]: ["127.0.10.1"] } },
      "proceed",
    ],
    ["the list fails", {}, { failing: [`${name}.bl.example`] }, "proceed"],
  ])("%s", async (_why, properties, records: FakeRecords, kind) => {
    const { ask } = await makeDnsbl(properties, records);
    expect(await kindOf(ask())).toBe(kind);
  });

  test.each([["::1"], ["127.0.0.1"], ["10.1.2.3"], ["::ffff:192.168.1.1"], ["fd00::1"], ["198.51.100.9"]])(
    "asks nobody about %s",
    async (ip) => {
      const { ask, resolver } = await makeDnsbl({ except_networks: ["198.51.100.0/24"] }, {});
      expect(ask(createSession({ ip }))).toMatchObject({ kind: "proceed" });
      expect(resolver.asked).toEqual([]);
    },
  );

  test("asks nobody about a user, and about IPv6 by nibbles", async () => {
    const { ask, resolver } = await makeDnsbl({}, {});
    await ask(createSession({ user: "ann" }));
    expect(resolver.asked).toEqual([]);
    await ask(createSession({ ip: "2001:db8::1" }));
    expect(resolver.asked).toEqual([`4 1${".0".repeat(23)}.8.b.d.0.1.0.0.2.bl.example`]);
  });

  test("asks all lists at a time, once in a session, and again where the client is another", async () => {
    const { ask, resolver } = await makeDnsbl({ zones: ["bl.example", "two.example"] }, answers("127.0.0.2"));
    const session = createSession();
    expect(await kindOf(await Promise.all([ask(session), ask(session)]).then(([one]) => one))).toBe("refuse");
    expect(resolver.asked).toHaveLength(2);
    // From then on without a promise.
    expect(ask(session)).toMatchObject({ kind: "refuse" });
    expect(session.notes.get("dnsbl")).toMatchObject({ score: 1, listed: true });
    // As XCLIENT does it.
    Object.assign(session, { ip: "192.0.2.8" });
    expect(await kindOf(ask(session))).toBe("proceed");
    expect(resolver.asked).toHaveLength(4);
  });

  test.each([
    ["the heaviest list", {}, "Your address is listed at heavy.example"],
    ["no list where its name has no room", { text: "é".repeat(240) }, "é".repeat(240)],
    ["no list", { tell_zone: false, text: "Not from here" }, "Not from here"],
  ])("tells %s", async (_why, properties, text) => {
    const { ask } = await makeDnsbl(
      { zones: ["bl.example", { zone: "heavy.example", weight: 3 }], ...properties },
      { a: { [`${name}.bl.example`]: ["127.0.0.2"], [`${name}.heavy.example`]: ["127.0.0.2"] } },
    );
    expect(await ask()).toMatchObject({ kind: "refuse", code: 550, status: "5.7.1", text });
  });

  test("goes on without a list that is late, and says so once in ten minutes", async () => {
    const { ask, clock, log } = await makeDnsbl({ deadline: "2s" }, { silent: [`${name}.bl.example`] });
    const askLate = async (ms: number) => {
      let kind = "";
      void kindOf(ask()).then((answer) => (kind = answer));
      await clock.advance(ms);
      return kind;
    };
    expect(await askLate(1_999)).toBe("");
    expect(await askLate(2_000)).toBe("proceed");
    expect(log.of("dnsbl.list-failed")).toMatchObject([{ level: "warn", fields: { zone: "bl.example" } }]);
    await clock.advance(600_000);
    await askLate(2_000);
    expect(log.of("dnsbl.list-failed")).toHaveLength(2);
  });

  test("keeps what it has to say of a list for mail that is real", async () => {
    const { ask, log } = await makeDnsbl({}, answers("127.255.255.254"));
    await ask(createSession(), rehearsal);
    expect(log.of("dnsbl.list-failed")).toEqual([]);
    await ask();
    expect(log.of("dnsbl.list-failed")).toHaveLength(1);
  });

  test("writes no field that is too long, whatever a list answers", async () => {
    const many = Array.from({ length: 250 }, (_, i) => `127.0.0.${i + 2}`);
    const { sink } = await makeDnsbl({ action: "mark" }, answers(...many));
    const message = createMessage("Subject: x\n\nbody\n");
    await sink.onEndOfData!({ session: createSession(), message, perRecipient: false, answerRecipient() {} }, context);
    expect(message.header.get("X-DNSBL")).toMatch(/^score=1; bl\.example=127\.0\.0\.2\/.*\/127\.0\.0\.17$/);
  });

  test.each([
    ["a listed client", answers("127.0.0.2", "127.0.0.4"), "score=1; bl.example=127.0.0.2/127.0.0.4"],
    ["any other, whose own mark is taken away", {}, undefined],
  ])("marks the messages of %s", async (_why, records: FakeRecords, field) => {
    const { sink } = await makeDnsbl({ action: "mark", mark_field: "X-Listed" }, records);
    expect(sink.onRcptTo).toBeUndefined();
    const message = createMessage("X-Listed: no\nSubject: x\n\nbody\n");
    const subject = { session: createSession(), message, perRecipient: false, answerRecipient() {} };
    await sink.onEndOfData!(subject, context);
    expect(message.header.getAll("X-Listed")).toEqual(field === undefined ? [] : [field]);
    expect(message.notes["dnsbl"] !== undefined).toBe(field !== undefined);
  });

  test.each([
    ["no zones", { zones: [] }, /zones: expected a list of zones/],
    ["a zone that is none", { zones: ["no zone"] }, /"no zone" is no zone/],
    ["a weight of 0", { zones: [{ zone: "bl.example", weight: 0 }] }, /weight of bl.example/],
    ["a weight above its limit", { zones: [{ zone: "bl.example", weight: 101 }] }, /from -100 to 100/],
    ["a code outside of 127.0.0.0/8", { zones: [{ zone: "bl.example", codes: ["10.0.0.1"] }] }, /is no code of/],
    ["a code that runs backwards", { zones: [{ zone: "bl.example", codes: ["127.0.0.4-2"] }] }, /is no code of/],
    ["a slip in a zone's keys", { zones: [{ zone: "bl.example", wieght: 2 }] }, /did you mean weight/],
    ["several at once", { zone: "x", treshold: 5 }, /there is no property "zone".*did you mean threshold/],
  ])("takes no %s", async (_why, properties, message) => {
    await expect(makeDnsbl(properties, {})).rejects.toMatchObject({
      code: "sink.properties",
      message: expect.stringMatching(message) as string,
    });
  });

  test("takes weights at their limits", async () => {
    const zones = [
      { zone: "bl.example", weight: 100 },
      { zone: "good.example", weight: -100 },
    ];
    await expect(makeDnsbl({ zones }, {})).resolves.toBeDefined();
  });
});
