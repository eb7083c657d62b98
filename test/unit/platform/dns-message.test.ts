import { encode } from "dns-packet";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isAskable, isHostName, type Question, readAnswer, writeQuestion } from "../../../src/platform/dns-message.ts";

const question: Question = { name: "x.test", type: "A" };
const asked = { name: "X.TEST", type: "A" } as const;
const record = { name: "x.Test", type: "A", ttl: 60, data: "192.0.2.1" } as const;
const answerWith = (changes: Parameters<typeof encode>[0]) =>
  readAnswer(7, question, encode({ type: "response", id: 7, questions: [asked], answers: [record], ...changes }));

describe("readAnswer", () => {
  test("names are the same in any case", () => {
    expect(answerWith({})).toMatchObject({ kind: "answer", data: ["192.0.2.1"], nameExists: true, ttlSeconds: 60 });
  });

  test.each<[why: string, changes: Parameters<typeof encode>[0]]>([
    ["another id", { id: 8 }],
    ["a question, not an answer", { type: "query" }],
    ["another name", { questions: [{ ...asked, name: "xx.test" }] }],
    ["another type", { questions: [{ ...asked, type: "AAAA" }] }],
    ["another class", { questions: [{ ...asked, class: "CH" }] }],
    ["two questions", { questions: [asked, asked] }],
    ["an answer without a question", { questions: [] }],
  ])("stray: %s", (_why, changes) => expect(answerWith(changes)).toEqual({ kind: "stray" }));

  test("unusable: a code in the upper bits that EDNS adds, which looks like success without them", () => {
    const options = {
      type: "OPT",
      name: ".",
      udpPayloadSize: 512,
      extendedRcode: 1,
      ednsVersion: 0,
      flags: 0,
    } as const;
    const reading = answerWith({ additionals: [{ ...options, flag_do: false, options: [] }] });
    expect(reading).toMatchObject({ kind: "unusable", reason: "extended code 1" });
  });

  test.each<[why: string, changes: Parameters<typeof encode>[0]]>([
    ["of other names", { answers: [{ ...record, name: "other.test" }] }],
    ["of other classes", { answers: [{ ...record, class: "CH" }] }],
    ["of other types", { answers: [{ ...record, type: "TXT", data: "x" }] }],
  ])("records %s are left out", (_why, changes) => {
    expect(answerWith(changes)).toMatchObject({ kind: "answer", data: [], nameExists: true });
  });

  test("the shortest time to live on the way holds", () => {
    const alias = { name: "x.test", type: "CNAME", data: "y.test" } as const;
    const answers = (one: number, other: number) => [
      { ...alias, ttl: one },
      { ...record, name: "y.test", ttl: other },
    ];
    expect(answerWith({ answers: answers(5, 60) })).toMatchObject({ ttlSeconds: 5 });
    expect(answerWith({ answers: answers(60, 5) })).toMatchObject({ ttlSeconds: 5 });
  });

  test.each([
    [30, 300, 30],
    [300, 30, 30],
  ])("that there is none lives as the SOA record (%i s) and its field (%i s) say", (ttl, minimum, ttlSeconds) => {
    const authorities = [
      { name: "test", type: "SOA", ttl, data: { mname: "ns.test", rname: "a.test", minimum } } as const,
    ];
    expect(answerWith({ flags: 3, answers: [], authorities })).toMatchObject({ nameExists: false, ttlSeconds });
  });

  test("never throws, whatever comes", () => {
    const right = encode({ type: "response", id: 7, questions: [asked], answers: [record, record] });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(right.length - 1), fc.nat(255)), { maxLength: 8 }),
        fc.nat(right.length),
        (changes, length) => {
          const octets = Buffer.from(right);
          for (const [at, octet] of changes) octets[at] = octet;
          readAnswer(octets.length > 1 ? octets.readUInt16BE(0) : 7, question, octets.subarray(0, length));
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe("writeQuestion", () => {
  const options = { edns: true, dnssec: true };
  test("asks for recursion, with EDNS and for signatures", () => {
    const octets = writeQuestion(0x1234, question, options);
    expect(octets.toString("hex", 0, 12)).toBe("123401200001000000000001");
    // Root, OPT, 1232 octets, DO.
    expect(octets.toString("hex", octets.length - 11)).toBe("00002904d0000080000000");
  });

  test("asks without both", () => {
    const octets = writeQuestion(1, question, { edns: false, dnssec: false });
    expect(octets.toString("hex")).toBe("00010100000100000000000001780474657374000001" + "0001");
  });
});

describe("isAskable", () => {
  const label = "x".repeat(63);
  const long = `${label}.${label}.${label}.${"x".repeat(61)}`;
  test.each<[name: string, expected: boolean]>([
    ["_25._tcp.x.test", true],
    [label, true],
    [`${label}x`, false],
    [long, true],
    [`${long}x`, false],
    ["", false],
    ["x..test", false],
    [".test", false],
    ["x test", false],
    ["bücher.test", false],
  ])("%j: %s", (name, expected) => expect(isAskable(name)).toBe(expected));
});

describe("isHostName", () => {
  test.each<[name: string, expected: boolean]>([
    ["mx.example.test", true],
    ["mx_1.example.test", true],
    ["192.0.2.1", true],
    ["-mx.test", false],
    ["mx-.test", false],
    ["mx.test.", false],
    ["*.test", false],
    ["", false],
    ["mx\n.test", false],
    [`${"x".repeat(63)}.test`, true],
    [`${"x".repeat(64)}.test`, false],
  ])("%j: %s", (name, expected) => expect(isHostName(name)).toBe(expected));
});
