/** The routes of the queue: what they hand on, what they refuse, and how they count by age. */
import { describe, expect, test } from "vitest";
import { createControlApi } from "../../../src/admin/control.ts";
import { createQueueApi, queueLimitMax, queueVerbs } from "../../../src/admin/queue-control.ts";
import { summarize } from "../../../src/admin/queue-summary.ts";
import { Fault } from "../../../src/platform/fault.ts";
import { deferredItem, destination, fakeQueueControl, firstId, heldItem } from "../../support/operator-controls.ts";
import { fakeServerView } from "../../support/server-view.ts";

function served(control = fakeQueueControl()) {
  const api = createControlApi(fakeServerView(), [createQueueApi(control, () => Date.parse("2026-11-02T09:40:00Z"))]);
  const ask = async (method: string, path: string, body?: unknown) => {
    const response = await api.request(path, { method, ...(body !== undefined && { body: JSON.stringify(body) }) });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  return { control, ask, api };
}

describe("GET /api/v1/queue", () => {
  test.each([
    ["nothing", "", {}, { limit: 1_000, offset: 0 }],
    ["a page", "?limit=5&offset=10", {}, { limit: 5, offset: 10 }],
    ["the longest page", `?limit=${queueLimitMax}`, {}, { limit: queueLimitMax, offset: 0 }],
    ["names from before", "?from=a%40B.test&to=%40C.test", { sender: "a@b.test", domain: "c.test" }, expect.anything()],
    ["one recipient from before", "?to=x%40c.test", { recipient: "x@c.test" }, expect.anything()],
    ["the null sender", "?sender=%3C%3E", { sender: "<>" }, expect.anything()],
    ["a sender's domain", "?sender=%40EXAMPLE.org", { sender: "@example.org" }, expect.anything()],
    ["all names below", "?domain=*.Example.org", { domain: "*.example.org" }, expect.anything()],
    ["an international domain", "?domain=b%C3%BCcher.example", { domain: "xn--bcher-kva.example" }, expect.anything()],
    ["a recipient in brackets", "?recipient=%3Cx%40c.test%3E", { recipient: "x@c.test" }, expect.anything()],
    [
      "ages and a state",
      "?olderThanMs=0&newerThanMs=5&state=held",
      { olderThanMs: 0, newerThanMs: 5, state: "held" },
      expect.anything(),
    ],
    ["a destination", "?destination=smtp%3A%2F%2Fa%3A25", { destination: "smtp://a:25" }, expect.anything()],
    ["ids", `?ids=${firstId}`, { ids: [firstId] }, expect.anything()],
  ])("hands on %s", async (_why, query, selection, page) => {
    const { control, ask } = served();
    expect((await ask("GET", `/api/v1/queue${query}`)).status).toBe(200);
    expect(control.asked).toEqual([["list", selection, page]]);
  });

  test.each([
    ["a limit below one", "?limit=0", /limit: expected a whole number from 1 to 100000/],
    ["a limit above the largest", "?limit=100001", /from 1 to 100000/],
    ["a limit that is no number", "?limit=1e3", /from 1 to 100000/],
    ["a condition there is not", "?sendr=x", /unknown key "sendr"/],
    ["a recipient that is none", "?recipient=x", /expected local-part@domain/],
    ["a domain that is none", "?domain=a%20b", /is no domain/],
    ["a sender's domain that is none", "?sender=%40", /names no domain/],
    ["a state there is not", "?state=old", /expected new, deferred, held, running/],
    ["an age below zero", "?olderThanMs=-1", /olderThanMs/],
    ["an id that is none", "?ids=abc", /"abc" is no id/],
  ])("refuses %s", async (_why, query, words) => {
    const { control, ask } = served();
    const { status, body } = await ask("GET", `/api/v1/queue${query}`);
    expect([status, control.asked]).toEqual([400, []]);
    expect(body.error).toMatch(words);
  });

  test("tells one message, its header and its octets, and 404 where there is none", async () => {
    const { ask, api } = served();
    expect(await ask("GET", `/api/v1/queue/${firstId}`)).toEqual({ status: 200, body: { item: deferredItem } });
    const octets = async (part: string) =>
      Buffer.from(await (await api.request(`/api/v1/queue/${firstId}/${part}`)).arrayBuffer()).toString("latin1");
    expect(await octets("header")).toBe("Subject: x\r\n");
    expect(await octets("raw")).toBe("Subject: x\r\n\r\nh\xe9llo\r\n");
    for (const path of ["/api/v1/queue/ZZZ", "/api/v1/queue/ZZZ/raw"])
      expect(await ask("GET", path)).toEqual({
        status: 404,
        body: { error: 'no message "ZZZ" is in the queue', code: "spool.unknown-message" },
      });
  });
});

describe("POST /api/v1/queue/VERB", () => {
  test.each(queueVerbs)("%s hands on the selection and the options", async (verb) => {
    const { control, ask } = served();
    const body = { selection: { domain: "Example.org" }, dryRun: true, reason: " why ", text: "no" };
    expect(await ask("POST", `/api/v1/queue/${verb}`, body)).toMatchObject({ status: 200, body: { messages: 2 } });
    expect(control.asked).toEqual([[verb, { domain: "example.org" }, { dryRun: true, reason: "why", text: "no" }]]);
  });

  test("takes the whole queue only where that is said", async () => {
    const { control, ask } = served();
    for (const body of [undefined, {}, { selection: {} }, { all: "true" }])
      expect(await ask("POST", "/api/v1/queue/remove", body)).toMatchObject({
        status: 400,
        body: { error: "Cannot remove the whole queue unless it is said: all", code: "control.invalid" },
      });
    expect(control.asked).toEqual([]);
    expect((await ask("POST", "/api/v1/queue/remove", { all: true })).status).toBe(200);
    expect(control.asked).toEqual([["remove", {}, { dryRun: false }]]);
  });

  test.each([
    ["a verb there is not", "burn", { all: true }, 404, /no such path/],
    ["a selection that is none", "hold", { selection: [] }, 400, /expected an object/],
    ["a condition there is not", "hold", { selection: { domian: "x.test" } }, 400, /unknown key "domian"/],
    ["no ids at all", "hold", { selection: { ids: [] } }, 400, /from 1 to 10000/],
    ["a reason of two lines", "hold", { all: true, reason: "a\nb" }, 400, /one line/],
    ["a list", "hold", [], 400, /expected a JSON object/],
  ])("refuses %s", async (_why, verb, body, status, words) => {
    const { control, ask } = served();
    const answer = await ask("POST", `/api/v1/queue/${verb}`, body);
    expect([answer.status, control.asked]).toEqual([status, []]);
    expect(answer.body.error).toMatch(words);
  });

  test.each([
    ["something unknown", "spool.unknown-message", 404],
    ["a conflict", "binding.conflict", 409],
    ["the operator's affair", "spool.failed", 500],
  ] as const)("a fault that is %s has its status", async (_why, code, status) => {
    const { ask } = served(fakeQueueControl({ change: () => Promise.reject(new Fault(code, "the words")) }));
    expect(await ask("POST", "/api/v1/queue/retry", { all: true })).toEqual({
      status,
      body: { error: "the words", code },
    });
  });
});

describe("/api/v1/destinations", () => {
  test("lists the busiest first", async () => {
    const { ask } = served();
    const { body } = await ask("GET", "/api/v1/destinations");
    expect((body.destinations as { name: string }[]).map(({ name }) => name)).toEqual(["mx:example.org", "local"]);
  });

  test.each([
    ["a limit of connections", { connectionsMax: 1 }, { connectionsMax: 1 }],
    ["the default again", { connectionsMax: null, rate: null }, { connectionsMax: null, rate: null }],
    ["a rate", { rate: { times: 100, withinMs: 60_000 } }, { rate: { times: 100, withinMs: 60_000 } }],
    ["a suspension", { suspend: { forMs: 1_000 } }, { suspend: { forMs: 1_000 } }],
    ["a suspension without end", { suspend: {} }, { suspend: { forMs: null } }],
    ["its end", { suspend: null }, { suspend: null }],
    ["waking", { wake: true }, { wake: true }],
  ])("hands on %s", async (_why, body, change) => {
    const { control, ask } = served();
    const path = `/api/v1/destinations/${encodeURIComponent("smtp://a.example:25,b")}`;
    expect(await ask("PATCH", path, body)).toMatchObject({
      status: 200,
      body: { destination: { waiting: destination.waiting } },
    });
    expect(control.asked).toEqual([["shape", "smtp://a.example:25,b", change]]);
  });

  test.each([
    ["nothing", {}],
    ["no connections", { connectionsMax: 0 }],
    ["too many", { connectionsMax: 10_001 }],
    ["half a rate", { rate: { times: 1 } }],
    ["a rate of words", { rate: "1/s" }],
    ["a suspension too short", { suspend: { forMs: 999 } }],
    ["a key there is not", { connections: 1 }],
  ])("refuses %s", async (_why, body) => {
    const { control, ask } = served();
    expect(await ask("PATCH", "/api/v1/destinations/x", body)).toMatchObject({ status: 400 });
    expect(control.asked).toEqual([]);
  });
});

describe("summarize", () => {
  const at = (minutesAgo: number) => new Date(Date.parse("2026-11-02T09:40:00Z") - minutesAgo * 60_000).toISOString();
  const nowMs = Date.parse("2026-11-02T09:40:00Z");

  test("counts recipients that wait, by age, at a bound in the column before", () => {
    const items = [0, 5, 5.001, 1_280, 1_280.001].map((minutes) => ({ ...deferredItem, receivedAt: at(minutes) }));
    const { rows } = summarize(items, { by: "domain", nowMs, messages: 5 });
    expect(rows).toEqual([{ name: "example.org", total: 5, counts: [2, 1, 0, 0, 0, 0, 0, 0, 1, 1] }]);
  });

  test("by the sender's domain and by destination, the largest first", () => {
    const names = (by: "sender" | "destination") =>
      summarize([deferredItem, heldItem], { by, nowMs, messages: 2 }).rows.map(({ name, total }) => [name, total]);
    expect(names("sender")).toEqual([
      ["<>", 3],
      ["example.com", 1],
    ]);
    expect(names("destination")).toEqual([
      ["smarthost", 3],
      ["mx:example.org", 1],
    ]);
  });

  test("is served, with what was counted of how many", async () => {
    const { control, ask } = served();
    expect(await ask("GET", "/api/v1/queue/summary?by=destination&state=held")).toMatchObject({
      status: 200,
      body: { by: "destination", counted: 2, messages: 2 },
    });
    expect(control.asked).toEqual([["list", { state: "held" }, { limit: queueLimitMax, offset: 0 }]]);
    expect((await ask("GET", "/api/v1/queue/summary?by=age")).status).toBe(400);
  });
});
