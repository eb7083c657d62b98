import { describe, expect, test } from "vitest";
import { type HttpAnswer, outcomesOf } from "../../../src/outbound/http-outcome.ts";
import { createSampleMessage } from "../../support/sample-message.ts";
import { recipientsOf } from "./smtp-setup.ts";

const now = Date.UTC(2026, 0, 5, 12);

function outcomes(answer: Partial<HttpAnswer>, to: readonly string[] = ["grace@example.test"]) {
  const recipients = recipientsOf(createSampleMessage({ to }));
  return outcomesOf(
    { code: 200, fields: {}, body: Buffer.alloc(0), brokenOff: false, ...answer },
    { recipients, nextHop: "https://app.example/mail", now },
  );
}

describe("outcomesOf", () => {
  const codes: { why: string; code: number; kind: string; status: string }[] = [
    { why: "taken", code: 200, kind: "delivered", status: "2.0.0" },
    { why: "taken, to be worked on", code: 202, kind: "delivered", status: "2.0.0" },
    { why: "taken, nothing to say", code: 204, kind: "delivered", status: "2.0.0" },
    { why: "the last of its class", code: 299, kind: "delivered", status: "2.0.0" },
    { why: "elsewhere", code: 302, kind: "deferred", status: "4.4.4" },
    { why: "bad request", code: 400, kind: "failed", status: "5.5.0" },
    { why: "our secret is wrong", code: 401, kind: "deferred", status: "4.3.0" },
    { why: "our secret is wrong", code: 403, kind: "deferred", status: "4.3.0" },
    { why: "the program is not there yet", code: 404, kind: "deferred", status: "4.3.0" },
    { why: "too slow", code: 408, kind: "deferred", status: "4.3.0" },
    { why: "gone for good", code: 410, kind: "failed", status: "5.1.1" },
    { why: "too large", code: 413, kind: "failed", status: "5.3.4" },
    { why: "not this kind", code: 415, kind: "failed", status: "5.6.1" },
    { why: "understood, and refused", code: 422, kind: "failed", status: "5.6.0" },
    { why: "too early", code: 425, kind: "deferred", status: "4.3.0" },
    { why: "too many", code: 429, kind: "deferred", status: "4.3.0" },
    { why: "a mistake of its own", code: 500, kind: "deferred", status: "4.3.0" },
    { why: "not now", code: 503, kind: "deferred", status: "4.3.0" },
    { why: "no code of HTTP", code: 999, kind: "deferred", status: "4.3.0" },
  ];
  test.each(codes)("$code, $why: $kind", ({ code, kind, status }) => {
    expect(outcomes({ code })).toMatchObject([{ index: 0, kind, status, nextHop: "https://app.example/mail" }]);
  });

  const waits: { why: string; value: string | undefined; retryAfterMs: number | undefined }[] = [
    { why: "seconds", value: "120", retryAfterMs: 120_000 },
    { why: "a date", value: "Mon, 05 Jan 2026 12:01:00 GMT", retryAfterMs: 60_000 },
    { why: "a date that has been", value: "Mon, 05 Jan 2026 11:00:00 GMT", retryAfterMs: 0 },
    { why: "a day", value: "86400", retryAfterMs: 86_400_000 },
    { why: "more than a day is a day", value: "86401", retryAfterMs: 86_400_000 },
    { why: "no time", value: "soon", retryAfterMs: undefined },
    { why: "nothing", value: undefined, retryAfterMs: undefined },
  ];
  test.each(waits)("Retry-After of $why", ({ value, retryAfterMs }) => {
    const [outcome] = outcomes({ code: 503, fields: { "retry-after": value } });
    expect(outcome!.retryAfterMs).toBe(retryAfterMs);
  });

  const lines = [
    { why: "the first line alone", body: "no such list\nsecret trace", reason: "HTTP 422: no such list" },
    { why: "blank lines before it", body: "\r\n  no\r\n", reason: "HTTP 422: no" },
    { why: "control characters", body: "a\x1b[31mb\x00c", reason: "HTTP 422: a [31mb c" },
    { why: "200 characters", body: "x".repeat(200), reason: `HTTP 422: ${"x".repeat(200)}` },
    { why: "more of them are cut", body: "x".repeat(201), reason: `HTTP 422: ${"x".repeat(200)}…` },
    { why: "nothing", body: "", reason: "HTTP 422" },
  ];
  test.each(lines)("words: $why", ({ body, reason }) => {
    expect(outcomes({ code: 422, body: Buffer.from(body) })[0]!.reason).toBe(reason);
  });

  test.each([
    ["JSON, for it may have said more", "application/json", 200, "deferred"],
    ["words, which say no more than the code", "text/plain", 200, "delivered"],
    ["JSON behind a no", "application/json", 422, "failed"],
  ])("an answer that broke off: %s", (_why, type, code, kind) => {
    const answer = { code, fields: { "content-type": type }, body: Buffer.from('{"recipients":['), brokenOff: true };
    expect(outcomes(answer, ["a@example.test", "b@example.test"]).map((one) => one.kind)).toEqual([kind, kind]);
  });

  const json = { "content-type": "application/json; charset=utf-8" };
  const to = ["grace@example.test", "ada@example.test", "jörg@example.test"];
  const said: { why: string; fields?: HttpAnswer["fields"]; code?: number; body: unknown; kinds: string[] }[] = [
    {
      why: "each by his address, whatever its case; who is not named is delivered",
      body: {
        recipients: [
          { to: "Ada@example.test", result: "failed", reason: "left" },
          { to: "jörg@example.test", result: "deferred" },
        ],
      },
      kinds: ["delivered", "failed", "deferred"],
    },
    {
      why: "a word that is no result",
      body: { recipients: [{ to: to[0], result: "bounced" }] },
      kinds: ["delivered", "delivered", "delivered"],
    },
    { why: "what is no list", body: { recipients: "all" }, kinds: ["delivered", "delivered", "delivered"] },
    {
      why: "null in the list",
      body: { recipients: [null, { to: to[0], result: "failed" }] },
      kinds: ["failed", "delivered", "delivered"],
    },
    { why: "null", body: null, kinds: ["delivered", "delivered", "delivered"] },
    {
      why: "another kind of content",
      fields: {},
      body: { recipients: [{ to: to[0], result: "failed" }] },
      kinds: ["delivered", "delivered", "delivered"],
    },
    {
      why: "beside another code than 2yz",
      code: 503,
      body: { recipients: [{ to: to[0], result: "delivered" }] },
      kinds: ["deferred", "deferred", "deferred"],
    },
  ];
  test.each(said)("an answer for single recipients: $why", ({ fields = json, code = 200, body, kinds }) => {
    const all = outcomes({ code, fields, body: Buffer.from(JSON.stringify(body)) }, to);
    expect(all.map(({ kind }) => kind)).toEqual(kinds);
  });

  test("its words are the reason; what is no JSON takes nothing back", () => {
    const body = Buffer.from(JSON.stringify({ recipients: [{ to: to[0], result: "failed", reason: "left\nus" }] }));
    expect(outcomes({ code: 207, fields: json, body }, to)[0]).toMatchObject({
      status: "5.0.0",
      reason: "HTTP 207, for grace@example.test: left",
    });
    expect(outcomes({ fields: json, body: Buffer.from("{") })).toMatchObject([{ kind: "delivered" }]);
  });
});
