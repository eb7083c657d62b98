/** What scripts in tests hear from outside: written answers, behind the grants, and nothing else. */
import { describe, expect, test } from "vitest";
import type { HostQuestion } from "../../../sandbox/host-call.ts";
import type { Grants } from "../../../sandbox/protocol.ts";
import { type AskedInTest, TestAnswers } from "../../../src/scripting/test-answers.ts";
import { readAnswers } from "../../../src/scripting/test-answers-file.ts";
import { faultOf } from "../../support/fault-of.ts";

const grants: Grants = { http: ["https://directory.example.org"], dns: true, kv: true, secrets: ["token", "other"] };
const written = {
  http: [
    { request: "GET https://directory.example.org/users/bob", json: { active: true } },
    { request: "GET https://directory.example.org/busy", status: 503, text: "later" },
    { request: "GET https://directory.example.org/busy", headers: { "X-Try": "2" } },
    { request: "POST https://directory.example.org/*", error: "timeout" },
  ],
  dns: { "MX example.org": [{ preference: 10, host: "mx.example.org" }], "A ill.example.org": { error: "unanswered" } },
  kv: { seen: 3, name: "x" },
  secrets: { token: "abc" },
};

function asker(given: Grants = grants) {
  return { bindingId: "b", step: 0, version: "v", script: "scripts/a.ts", grants: given };
}

function http(method: string, url: string): HostQuestion {
  return { kind: "http", method, url, headers: [], hasBody: false, timeoutMs: null, follow: true };
}

function open(given: Grants = grants) {
  const answers = new TestAnswers(readAnswers(written, "a.answers.json"), "a.answers.json");
  const calls = answers.calls(given);
  const who = asker(given);
  return {
    answers,
    ask: (question: HostQuestion, body: string | null = null) =>
      calls.answer(who, question, body === null ? null : Buffer.from(body), new AbortController().signal),
  };
}

describe("TestAnswers", () => {
  test.each<[why: string, question: HostQuestion, wanted: object]>([
    [
      "an answer in JSON",
      http("GET", "https://directory.example.org/users/bob"),
      {
        ok: true,
        body: Buffer.from('{"active":true}'),
        value: {
          status: 200,
          url: "https://directory.example.org/users/bob",
          redirected: false,
          headers: [["content-type", "application/json"]],
        },
      },
    ],
    ["a star", http("POST", "https://directory.example.org/any?x=1"), { ok: false, code: "timeout" }],
    [
      "a request nobody answered",
      http("GET", "https://directory.example.org/users/ann"),
      {
        ok: false,
        fatal: "script.no-answer",
        message: expect.stringContaining("GET https://directory.example.org/users/ann"),
      },
    ],
    ["an origin without a grant", http("GET", "https://example.com/"), { ok: false, fatal: "grant.missing" }],
    [
      "records",
      { kind: "dns", type: "MX", name: "example.org" },
      { ok: true, value: [{ preference: 10, host: "mx.example.org" }] },
    ],
    [
      "a server of names that fails",
      { kind: "dns", type: "A", name: "ill.example.org" },
      { ok: false, code: "unanswered" },
    ],
    ["a look-up nobody answered", { kind: "dns", type: "A", name: "example.org" }, { fatal: "script.no-answer" }],
    [
      "a list nobody answered",
      { kind: "dns.listed", list: "zen.example.org", subject: "192.0.2.1" },
      { fatal: "script.no-answer" },
    ],
    ["a key that is there", { kind: "kv.get", key: "seen" }, { ok: true, value: 3 }],
    ["a key that is not there", { kind: "kv.get", key: "else" }, { ok: true, value: null }],
    ["a sum", { kind: "kv.increment", key: "seen", by: 2, ttlS: null }, { ok: true, value: 5 }],
    [
      "a sum with what is no number",
      { kind: "kv.increment", key: "name", by: 2, ttlS: null },
      { ok: false, code: "invalid" },
    ],
    [
      "what is set only once",
      { kind: "kv.set", key: "seen", value: 1, ttlS: null, ifAbsent: true },
      { ok: true, value: false },
    ],
    ["keys", { kind: "kv.list", prefix: "", limit: 1, after: "" }, { ok: true, value: ["name"] }],
    ["a secret", { kind: "secret", name: "token" }, { ok: true, value: "abc" }],
    ["a secret nobody wrote down", { kind: "secret", name: "other" }, { fatal: "script.no-answer" }],
  ])("gives %s", async (_why, question, wanted) => {
    expect(await open().ask(question)).toMatchObject(wanted);
  });

  test("gives each of several that fit once, and the last one from then on", async () => {
    const { ask } = open();
    const busy = http("GET", "https://directory.example.org/busy");
    const statuses = [];
    for (let i = 0; i < 3; i++) {
      const answer = await ask(busy);
      statuses.push(answer.ok && (answer.value as { status: number }).status);
    }
    expect(statuses).toEqual([503, 200, 200]);
  });

  test("wants the grants of the script, as the server does", async () => {
    const { ask } = open({});
    for (const question of [
      http("GET", "https://directory.example.org/users/bob"),
      { kind: "dns", type: "MX", name: "example.org" },
      { kind: "kv.get", key: "seen" },
      { kind: "secret", name: "token" },
    ] as const)
      expect(await ask(question), question.kind).toMatchObject({ ok: false, fatal: "grant.missing" });
  });

  test("tells what was asked, and keeps its store from one message to the next", async () => {
    const { answers, ask } = open();
    await ask({ kind: "kv.set", key: "k", value: [1], ttlS: null, ifAbsent: false });
    await ask(http("POST", "https://directory.example.org/x"), '{"a":1}');
    expect(answers.asked).toEqual([
      { ask: "kv.set k", body: [1] },
      { ask: "POST https://directory.example.org/x", body: { a: 1 } },
    ]);
    const next: AskedInTest[] = [];
    answers.begin(next);
    expect(await ask({ kind: "kv.get", key: "k" })).toMatchObject({ value: [1] });
    expect(next).toEqual([{ ask: "kv.get k" }]);
  });
});

describe("readAnswers", () => {
  test.each<[why: string, given: unknown, words: string]>([
    ["a list", [], "the whole is no object"],
    ["a part that is none", { htpp: [] }, '"htpp" is none of http, dns, kv, secrets'],
    ["requests by name", { http: {} }, "http is no list"],
    [
      "a request without a method",
      { http: [{ request: "https://example.org/" }] },
      "http[0]: request is not of the form",
    ],
    [
      "a request with a word too much",
      { http: [{ request: "GET https://example.org/", body: "x" }] },
      '"body" is none of',
    ],
    [
      "a status that is none",
      { http: [{ request: "GET https://example.org/", status: 600 }] },
      "status is no number from 200 to 599",
    ],
    ["a look-up that is none", { dns: { "CNAME example.org": [] } }, "is no look-up"],
    ["a secret that is no text", { secrets: { token: 1 } }, "secrets.token is no text"],
  ])("refuses %s", (_why, given, words) => {
    const fault = faultOf(() => readAnswers(given, "a.answers.json"));
    expect(fault.code).toBe("script.tests-failed");
    expect(fault.message).toContain("a.answers.json");
    expect(fault.message).toContain(words);
  });

  test.each([200, 599])("takes status %d", (status) => {
    expect(readAnswers({ http: [{ request: "GET https://example.org/", status }] }, "x").http[0]?.status).toBe(status);
  });
});
