/** The live half of the control API, without a socket. */
import { describe, expect, test } from "vitest";
import { createLiveApi } from "../../../src/admin/control-live.ts";
import { type TraceEntry, Tracer } from "../../../src/events/trace.ts";
import { Fault } from "../../../src/platform/fault.ts";

const note = (text: string): TraceEntry => ({ kind: "note", session: "A", text, at: 1 });

function createApi() {
  const tracer = new Tracer();
  const api = createLiveApi({ tracer, explain: () => Promise.reject(new Error("not asked")) });
  return { tracer, api };
}

describe("GET /api/v1/trace", () => {
  test("gives each entry as a line, from the moment it is asked until it is left", async () => {
    const { tracer, api } = createApi();
    tracer.publish(note("before"));
    const response = await api.request("/api/v1/trace");
    expect(response.headers.get("Content-Type")).toBe("application/x-ndjson");
    expect(tracer.active).toBe(true);
    const reader = response.body!.getReader();
    const read = async () => new TextDecoder().decode((await reader.read()).value);
    expect(await read()).toBe("\n");
    tracer.publish(note("one"));
    tracer.publish(note("two"));
    expect(JSON.parse(await read())).toEqual(note("one"));
    expect(JSON.parse(await read())).toEqual(note("two"));
    await reader.cancel();
    expect(tracer.active).toBe(false);
  });

  test("leaves out what a slow reader cannot take, and says how much", async () => {
    const { tracer, api } = createApi();
    const reader = (await api.request("/api/v1/trace")).body!.getReader();
    await reader.read();
    const long = "x".repeat(1_000_000);
    for (let i = 0; i < 8; i++) tracer.publish(note(long));
    const kinds: string[] = [];
    for (let i = 0; i < 5; i++) {
      const value = JSON.parse(new TextDecoder().decode((await reader.read()).value)) as { kind: string };
      kinds.push(value.kind);
    }
    tracer.publish(note("later"));
    const missed = JSON.parse(new TextDecoder().decode((await reader.read()).value)) as object;
    expect(kinds).toEqual(["note", "note", "note", "note", "note"]);
    expect(missed).toEqual({ kind: "missed", entries: 3 });
    await reader.cancel();
  });

  test.each([
    ["a direction that is none", "?direction=up", 'direction: expected "in" or "out"'],
    ["a rule that is none", "?rule=FROM", "Cannot read the rule"],
  ])("refuses %s", async (_why, query, words) => {
    const { tracer, api } = createApi();
    const response = await api.request(`/api/v1/trace${query}`);
    expect(response.status).toBe(400);
    expect(((await response.json()) as { error: string }).error).toContain(words);
    expect(tracer.active).toBe(false);
  });
});

describe("POST /api/v1/explain", () => {
  test("reads no more of a request than its bound, whether its length was said or not", async () => {
    const { api } = createApi();
    let pulled = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled++;
        controller.enqueue(new Uint8Array(16 * 1024 * 1024));
      },
    });
    const request = new Request("http://localhost/api/v1/explain", { method: "POST", body: endless, duplex: "half" });
    expect((await api.request(request)).status).toBe(413);
    expect(pulled).toBeLessThan(16);
  });
});

describe("POST /api/v1/explain", () => {
  const request = {
    mail: "",
    session: { ip: "192.0.2.1", helo: "a.example", user: null, listener: "mx", tls: false },
    from: "",
    to: ["a@example.test"],
  };
  const post = (body: unknown, explain: () => Promise<never>) =>
    createLiveApi({ tracer: new Tracer(), explain }).request("/api/v1/explain", {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
    });

  test.each([
    ["no JSON", "{", "the request is no JSON"],
    ["no object", "[]", "expected a JSON object"],
    ["no message", { ...request, mail: 1 }, "mail, from: expected texts"],
    ["recipients that are no list", { ...request, to: "a@example.test" }, "to: expected a list"],
    ["a recipient that is no text", { ...request, to: [1] }, "to: expected a list"],
    ["no session", { ...request, session: null }, "session: expected ip"],
    ["a session without TLS or not", { ...request, session: { ...request.session, tls: "no" } }, "session: expected"],
  ])("%s is 400, and nobody is asked", async (_why, body, words) => {
    const response = await post(body, () => Promise.reject(new Error("asked")));
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: "control.invalid", error: expect.stringContaining(words) });
  });

  test.each([
    ["an address that is none: the asker's", new Fault("address.syntax", "Cannot read it"), 400],
    ["what is a bug: ours", new Error("broken"), 500],
  ])("%s", async (_why, thrown, status) => {
    expect((await post(request, () => Promise.reject(thrown))).status).toBe(status);
  });
});
