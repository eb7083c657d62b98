/** The routes that change bindings: what they hand on, how they say no, and where they are not. */
import { describe, expect, test } from "vitest";
import { bindingRequestOctetsMax, createBindingApi } from "../../../src/admin/binding-control.ts";
import { createControlApi } from "../../../src/admin/control.ts";
import { createAdminApi } from "../../../src/admin/http.ts";
import { Fault, type FaultCode } from "../../../src/platform/fault.ts";
import { fakeBindingControl, fakeServerView } from "../../support/server-view.ts";

const encoded = encodeURIComponent("scripts/a b.ts#onArrival");

function served(control = fakeBindingControl()) {
  const api = createControlApi(fakeServerView(), [createBindingApi(control)]);
  const ask = (method: string, path: string, body?: unknown) =>
    api.request(path, {
      method,
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
  return { control, ask };
}

describe("createBindingApi", () => {
  test.each<readonly [why: string, method: string, path: string, body: unknown, asked: unknown[]]>([
    [
      "add",
      "POST",
      "/api/v1/bindings",
      { event: "onData", force: true },
      ["add", { event: "onData" }, { force: true }],
    ],
    [
      "set one, by its path",
      "PATCH",
      `/api/v1/bindings/${encoded}`,
      { set: { priority: 1 } },
      ["set", ["scripts/a b.ts#onArrival"], { set: { priority: 1 }, reset: [], force: false }],
    ],
    [
      "set several",
      "PATCH",
      "/api/v1/bindings",
      { ids: ["a", "b"], reset: ["rule"] },
      ["set", ["a", "b"], { set: {}, reset: ["rule"], force: false }],
    ],
    [
      "remove one",
      "DELETE",
      `/api/v1/bindings/${encoded}`,
      undefined,
      ["remove", ["scripts/a b.ts#onArrival"], { override: false }],
    ],
    [
      "remove several",
      "DELETE",
      "/api/v1/bindings",
      { ids: ["a"], override: true },
      ["remove", ["a"], { override: true }],
    ],
    [
      "import",
      "PUT",
      "/api/v1/bindings.json?mode=replace&dryRun=true",
      "{}",
      ["import", "{}", { mode: "replace", dryRun: true, force: false }],
    ],
    ["undo", "POST", "/api/v1/bindings/undo", undefined, ["undo", {}]],
    ["undo to a revision", "POST", "/api/v1/bindings/undo", { to: 0 }, ["undo", { to: 0 }]],
  ])("hands on: %s", async (_why, method, path, body, asked) => {
    const { control, ask } = served();
    const response = await ask(method, path, body);
    expect([response.status, control.asked]).toEqual([200, [asked]]);
    expect(await response.json()).toMatchObject({ revision: 4, warnings: ["mind this"] });
  });

  test("gives the document and the history, and leaves the other routes where they are", async () => {
    const { ask } = served();
    expect(await (await ask("GET", "/api/v1/bindings.json")).json()).toEqual({ format: 1 });
    const { revisions } = (await (await ask("GET", "/api/v1/bindings/history")).json()) as { revisions: unknown[] };
    expect(revisions).toHaveLength(2);
    expect((await ask("GET", "/api/v1/bindings")).status).toBe(200);
    expect((await ask("GET", "/api/v1/status")).status).toBe(200);
    expect((await ask("GET", "/api/v1/none")).status).toBe(404);
  });

  test.each<readonly [why: string, method: string, path: string, body: unknown, words: RegExp]>([
    ["what is no JSON", "POST", "/api/v1/bindings", "{", /the request is no JSON/],
    ["a list", "POST", "/api/v1/bindings", "[]", /expected a JSON object/],
    ["no ids", "PATCH", "/api/v1/bindings", { ids: [] }, /ids: expected/],
    ["ids that are none", "DELETE", "/api/v1/bindings", { ids: [7] }, /ids: expected/],
    ["a mode there is not", "PUT", "/api/v1/bindings.json?mode=x", "{}", /mode: expected merge or replace/],
    ["a revision that is none", "POST", "/api/v1/bindings/undo", { to: -1 }, /to: expected a revision/],
  ])("refuses %s", async (_why, method, path, body, words) => {
    const { control, ask } = served();
    const response = await ask(method, path, body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: "binding.invalid", error: expect.stringMatching(words) });
    expect(control.asked).toEqual([]);
  });

  test.each<readonly [code: FaultCode, status: number]>([
    ["binding.invalid", 400],
    ["binding.unknown", 404],
    ["binding.conflict", 409],
    ["sink.load", 409],
    ["data.unusable", 500],
  ])("answers %s with %i", async (code, status) => {
    const { ask } = served(fakeBindingControl({ undo: () => Promise.reject(new Fault(code, "words")) }));
    const response = await ask("POST", "/api/v1/bindings/undo");
    expect([response.status, await response.json()]).toEqual([status, { error: "words", code }]);
  });

  test("tells the column of a rule, and what no fault is about", async () => {
    const rule = new Fault("rule.syntax", "words", { facts: { column: 7 } });
    const { ask } = served(
      fakeBindingControl({
        undo: () => Promise.reject(rule),
        history: () => Promise.reject(new Error("the disk is gone")),
      }),
    );
    const response = await ask("POST", "/api/v1/bindings/undo");
    expect([response.status, await response.json()]).toEqual([400, { error: "words", code: "rule.syntax", column: 7 }]);
    const other = await ask("GET", "/api/v1/bindings/history");
    expect([other.status, await other.json()]).toEqual([500, { error: "the disk is gone" }]);
  });

  test.each([
    ["PUT", "/api/v1/bindings.json"],
    ["POST", "/api/v1/bindings"],
    ["PATCH", "/api/v1/bindings/x"],
  ])("%s %s takes a request of 1 MiB and none that is larger", async (method, path) => {
    const body = (octets: number) => `{"a":"${"x".repeat(octets - 8)}"}`;
    const { control, ask } = served();
    expect((await ask(method, path, body(bindingRequestOctetsMax))).status).toBe(200);
    const tooLarge = await ask(method, path, body(bindingRequestOctetsMax + 1));
    expect([tooLarge.status, control.asked.length]).toEqual([413, 1]);
  });
});

test.each([
  ["POST", "/api/v1/bindings"],
  ["PATCH", "/api/v1/bindings/x"],
  ["DELETE", "/api/v1/bindings/x"],
  ["PUT", "/api/v1/bindings.json"],
  ["GET", "/api/v1/bindings.json"],
  ["POST", "/api/v1/bindings/undo"],
])("the admin port does not answer %s %s", async (method, path) => {
  const api = createAdminApi({ view: fakeServerView(), hosts: [] });
  expect((await api.request(path, { method, headers: { host: "localhost" } })).status).toBe(404);
});
