/** Questions of a sandbox process: what a guest can say is taken, everything else is a lie. */
import { describe, expect, it } from "vitest";
import { ProtocolError } from "../../../sandbox/shape-check.ts";
import { checkCalls } from "../../../sandbox/validate-calls.ts";

const http = {
  kind: "http",
  method: "GET",
  url: "https://a.example/",
  headers: [["x-a", "1"]],
  hasBody: false,
  timeoutMs: null,
  follow: true,
};
const one = (question: object, octets = 0) => [{ call: 1, question, octets }];
const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);

describe("checkCalls", () => {
  it("gives questions with their octets", () => {
    const post = { ...http, method: "POST", hasBody: true };
    const calls = checkCalls(
      [
        { call: 4, question: post, octets: 2 },
        { call: 5, question: { kind: "kv.get", key: "k" }, octets: 0 },
        { call: 6, question: post, octets: 0 },
      ],
      Buffer.from("ab"),
      4,
    );
    expect(calls.map(({ call, body }) => [call, body && Buffer.from(body).toString()])).toEqual([
      [4, "ab"],
      [5, null],
      [6, ""],
    ]);
  });

  it.each<[string, object]>([
    ["a request", http],
    ["the longest URL", { ...http, url: "x".repeat(8_192) }],
    ["a look-up", { kind: "dns", type: "TXT", name: "_dmarc.example.org" }],
    ["a key of 512 characters", { kind: "kv.delete", key: "x".repeat(512) }],
    ["a value a hundred levels deep", { kind: "kv.set", key: "k", value: nested(100), ttlS: null, ifAbsent: false }],
    ["a time", { kind: "sleep", ms: 60_000 }],
    ["giving up", { kind: "cancel", call: 1 }],
  ])("takes %s as it is", (_why, question) => {
    expect(checkCalls(one(question), Buffer.alloc(0), 1)[0]!.question).toEqual(question);
  });

  it.each<[string, object]>([
    ["a URL that is too long", { ...http, url: "x".repeat(8_193) }],
    ["a method in lower case", { ...http, method: "get" }],
    ["a method with a line end", { ...http, method: "GET\r\n" }],
    ["a field with a line end", { ...http, headers: [["x-a", "1\r\nx-b: 2"]] }],
    ["a field with a NUL", { ...http, headers: [["x-a", "\0"]] }],
    ["a field without a name", { ...http, headers: [["", "1"]] }],
    ["a field that is none", { ...http, headers: ["x-a"] }],
    ["too many fields", { ...http, headers: Array.from({ length: 102 }, () => ["a", "b"]) }],
    ["a timeout below 0", { ...http, timeoutMs: -1 }],
    ["a record type nobody knows", { kind: "dns", type: "ANY", name: "a.example" }],
    ["a name with a control character", { kind: "dns", type: "A", name: "a\x01.example" }],
    ["a name of 321 characters", { kind: "dns", type: "A", name: "a".repeat(321) }],
    ["a key of 513 characters", { kind: "kv.get", key: "x".repeat(513) }],
    ["a key that is no text", { kind: "kv.get", key: 5 }],
    ["no value", { kind: "kv.set", key: "k", ttlS: null, ifAbsent: false }],
    ["a value that is too deep", { kind: "kv.set", key: "k", value: nested(102), ttlS: null, ifAbsent: false }],
    ["a value that is too long", { kind: "kv.set", key: "k", value: "x".repeat(65_536), ttlS: null, ifAbsent: false }],
    ["a time of 0 to live", { kind: "kv.set", key: "k", value: 1, ttlS: 0, ifAbsent: false }],
    ["an increment by nothing", { kind: "kv.increment", key: "k", by: null, ttlS: null }],
    ["a list of 1,001", { kind: "kv.list", prefix: "", limit: 1_001, after: "" }],
    ["a time over a minute", { kind: "sleep", ms: 60_001 }],
    ["another kind", { kind: "constructor" }],
  ])("refuses %s", (_why, question) => {
    expect(() => checkCalls(one(question), Buffer.alloc(0), 1)).toThrow(ProtocolError);
  });

  it.each<[string, readonly unknown[], string]>([
    ["a call with another number", [{ call: 2, question: http, octets: 0 }], ""],
    ["octets that are not there", one({ ...http, hasBody: true }, 1), ""],
    ["octets of a question that has none", one(http, 1), "x"],
    ["octets of no call", one(http), "x"],
    ["no object", [5], ""],
  ])("refuses %s", (_why, calls, tail) => {
    expect(() => checkCalls(calls, Buffer.from(tail), 1)).toThrow(ProtocolError);
  });
});
