/** What a script may export, as it is checked where it is loaded and where the server hears of it. */
import { describe, expect, test } from "vitest";
import { GrantsError, readGrants } from "../../../sandbox/export-grants.ts";
import { checkExports, type ExportedName } from "../../../sandbox/exports.ts";
import { ScriptFaultError } from "../../../sandbox/protocol.ts";
import { ProtocolError } from "../../../sandbox/shape-check.ts";
import { checkExportsFrame } from "../../../sandbox/validate-exports.ts";
import { checkPowers } from "../../../sandbox/validate-powers.ts";

const handler: ExportedName = ["onArrival", "function", ""];
const worker: ExportedName = ["default", "object", "email"];
const grants = (value: unknown): ExportedName => ["grants", "object", JSON.stringify(value)];

function wordsOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof ScriptFaultError || error instanceof GrantsError) return error.message;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("checkExports", () => {
  test.each<[why: string, names: readonly ExportedName[], expected: object]>([
    ["handlers of several events", [["onRcptTo", "function", ""], handler], { handlers: ["onRcptTo", "onArrival"] }],
    [
      "what is not for us",
      [handler, ["settings", "object", ""], ["once", "function", ""]],
      { handlers: ["onArrival"] },
    ],
    ["grants", [handler, grants({ dns: true, kv: false })], { handlers: ["onArrival"], grants: { dns: true } }],
    ["a worker handles onArrival", [worker], { handlers: ["onArrival"], worker: true }],
    [
      "a worker beside another handler",
      [["onRcptTo", "function", ""], worker],
      { handlers: ["onRcptTo", "onArrival"], worker: true },
    ],
  ])("takes %s", (_why, names, expected) => {
    expect(checkExports(names)).toEqual(expected);
    // What went through the child's check goes through the server's, and comes out as it was.
    expect(checkExportsFrame(JSON.parse(JSON.stringify(checkExports(names))))).toEqual(expected);
  });

  test.each<[why: string, names: readonly ExportedName[], words: RegExp]>([
    ["nothing", [], /^The script exports no handler/],
    ["another case", [["onarrival", "function", ""]], /did you mean onArrival\?/],
    [
      "an event of native sinks",
      [["onCommand", "function", ""]],
      /^onCommand cannot be handled by scripts: the events of the commands/,
    ],
    [
      "an event that is none",
      [["onLunch", "function", ""]],
      /there is no such event; scripts handle onConnect, onHelo/,
    ],
    ["a handler that is no function", [["onData", "object", ""]], /^onData is a function, not an object/],
    ["a worker and onArrival", [handler, worker], /both would handle the same messages/],
    ["a default export that is none", [["default", "function", ""]], /^A default export is a worker/],
    ["split", [handler, ["split", "boolean", "true"]], /^split is not supported by this version/],
    [
      "a phase without onArrival",
      [
        ["onData", "function", ""],
        ["phase", "string", "queue"],
      ],
      /^phase is of onArrival/,
    ],
    ["grants that are a list", [handler, ["grants", "array", "[]"]], /^grants is an object such as .* not an array/],
    ["grants beyond the cap", [handler, ["grants", "object", `"${"x".repeat(16_384)}"`]], /at most 16384 characters/],
    ["grants that are no JSON", [handler, ["grants", "object", ""]], /^grants is a plain object/],
  ])("refuses %s", (_why, names, words) => {
    expect(wordsOf(() => checkExports(names))).toMatch(words);
  });
});

describe("readGrants", () => {
  test.each<[why: string, given: unknown, expected: object]>([
    ["nothing", {}, {}],
    ["false is nothing", { dns: false, submit: false }, {}],
    [
      "origins, each once, as they are compared",
      { http: ["https://A.example.org/", "https://a.example.org", "http://x:8080"] },
      { http: ["https://a.example.org", "http://x:8080"] },
    ],
    ["every host below", { http: ["https://*.example.org:8443"] }, { http: ["https://*.example.org:8443"] }],
    [
      "the scheme's own port is left out",
      { http: ["https://a.example:443", "http://a.example:80", "http://a.example:443"] },
      { http: ["https://a.example", "http://a.example", "http://a.example:443"] },
    ],
    ["an address", { http: ["http://[2001:db8::1]:8080"] }, { http: ["http://[2001:db8::1]:8080"] }],
    ["messages to anybody", { submit: true }, { submit: { max: 10, to: null } }],
    [
      "messages to some",
      { submit: { max: 2, to: ["Ops@example.org", "*.example.org", "example.com"] } },
      { submit: { max: 2, to: ["ops@example.org", "*.example.org", "example.com"] } },
    ],
    ["secrets", { secrets: ["api-key"] }, { secrets: ["api-key"] }],
  ])("takes %s", (_why, given, expected) => {
    expect(readGrants(given)).toEqual(expected);
    expect(readGrants(JSON.parse(JSON.stringify(readGrants(given))))).toEqual(expected);
  });

  test.each<[why: string, given: unknown, words: RegExp]>([
    ["no object", null, /^grants is an object/],
    ["an unknown key with a known meaning", { fetch: [] }, /^There is no grant fetch: did you mean http\?$/],
    ["a misspelt key", { secret: ["x"] }, /did you mean secrets\?/],
    [
      "a key of no meaning",
      { colour: true },
      /^There is no grant colour: expected some of http, dns, kv, submit, secrets$/,
    ],
    ["one origin as a text", { http: "https://example.org" }, /^grants.http is a list of origins/],
    ["no scheme", { http: ["example.org"] }, /"example.org" has no scheme: write "https:\/\/example.org"/],
    ["another scheme", { http: ["ftp://example.org"] }, /is not HTTP/],
    ["a path", { http: ["https://example.org/api"] }, /names more than a host: an origin is "https:\/\/example.org"/],
    ["credentials", { http: ["https://u:p@example.org"] }, /holds a user/],
    ["a star within", { http: ["https://api.*.org"] }, /has a "\*" in the wrong place/],
    ["a star for all", { http: ["https://*"] }, /has a "\*" in the wrong place/],
    ["a port that is none", { http: ["https://example.org:70000"] }, /has a port that is none/],
    ["something else in the list", { http: [1] }, /and 1 is none/],
    ["too many of them", { http: Array.from({ length: 101 }, (_, i) => `https://h${i}.example`) }, /at most 100/],
    ["dns of another type", { dns: "yes" }, /^grants.dns is true or false, not "yes"/],
    ["submit of another type", { submit: 3 }, /^grants.submit is true, or an object/],
    ["no messages", { submit: { max: 0 } }, /from 1 to 1000, not 0/],
    ["one message too many", { submit: { max: 1001 } }, /from 1 to 1000, not 1001/],
    ["an unknown key of submit", { submit: { count: 1 } }, /has max and to, and no count/],
    ["no recipient", { submit: { to: ["a b"] } }, /is no address or domain/],
    ["a secret with a path", { secrets: ["../key"] }, /is no name of a secret/],
  ])("refuses %s", (_why, given, words) => {
    expect(wordsOf(() => readGrants(given))).toMatch(words);
  });
});

describe("what a process that was broken into says", () => {
  test.each<[why: string, work: () => unknown]>([
    ["grants that are none", () => checkExportsFrame({ handlers: [], grants: { http: ["gopher://x"] } })],
    ["a call without a name", () => checkPowers([{ args: [] }], 10)],
    ["a name that is none", () => checkPowers([{ name: "__proto__", args: [] }], 10)],
    ["an argument that is an object", () => checkPowers([{ name: "hide", args: [{}] }], 10)],
    ["an argument beyond the cap", () => checkPowers([{ name: "hide", args: ["x".repeat(65_537)] }], 10)],
    ["too many arguments", () => checkPowers([{ name: "offer", args: Array(1_001).fill("x") }], 10)],
    ["more calls than edits", () => checkPowers(Array(11).fill({ name: "hide", args: ["x"] }), 10)],
  ])("is refused: %s", (_why, work) => {
    expect(work).toThrow(ProtocolError);
  });

  test("and what it may say is taken", () => {
    const calls = Array(10).fill({ name: "rewrite", args: ["x".repeat(65_536), null] });
    expect(checkPowers(calls, 10)).toEqual(calls);
  });
});
