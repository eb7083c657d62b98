/** Which questions of scripts are answered: grants, the configuration, counts; and what a failing part of the server means for them. */
import { describe, expect, it } from "vitest";
import type { Asker, HostQuestion } from "../../../sandbox/host-call.ts";
import type { Grants } from "../../../sandbox/protocol.ts";
import { Fault } from "../../../src/platform/fault.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { type CallLimits, type CallPorts, createServerCalls, dnsLookupsMax } from "../../../src/scripting/calls.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createFakeResolver } from "../../support/fake-resolver.ts";

const limits: CallLimits = {
  http: ["https://*.example.org", "https://private.example.com"],
  privateAddresses: false,
  httpRequestsMax: 2,
  httpOctetsMax: 1_024,
  httpTimeoutMs: 1_000,
  dns: true,
  kv: true,
  secrets: ["token"],
};
const all: Grants = { http: ["https://a.example.org"], dns: true, kv: true, secrets: ["token"] };
const never = new AbortController().signal;

function setUp(change: Partial<CallLimits> = {}, ports: Partial<CallPorts> = {}) {
  const asked: unknown[][] = [];
  const store =
    (name: string, value: unknown) =>
    async (...args: unknown[]) => {
      asked.push([name, ...args]);
      return value as never;
    };
  const calls = createServerCalls({
    limits: () => ({ ...limits, ...change }),
    resolver: createFakeResolver(
      { a: { "a.example.org": ["127.0.0.1"], "x.example": ["192.0.2.1"] } },
      createFakeClock(),
    ),
    kv: {
      get: store("get", 7),
      set: store("set", true),
      delete: store("delete", false),
      increment: store("increment", 3),
      list: store("list", ["a"]),
    },
    secrets: { read: async (name) => ({ ok: true, value: `secret of ${name}` }) },
    log: silentLog,
    ...ports,
  });
  const asker = (grants: Grants): Asker => ({
    bindingId: "b",
    step: 0,
    version: "sha256:x",
    script: "scripts/x.ts",
    grants,
  });
  return {
    asked,
    asker,
    ask: (question: HostQuestion, grants: Grants | Asker = all) =>
      calls.answer("version" in grants ? grants : asker(grants), question, null, never),
  };
}

const http = (url: string): HostQuestion => ({
  kind: "http",
  method: "GET",
  url,
  headers: [],
  hasBody: false,
  timeoutMs: null,
  follow: true,
});
const a: HostQuestion = { kind: "dns", type: "A", name: "x.example" };
const get: HostQuestion = { kind: "kv.get", key: "k" };
const secret: HostQuestion = { kind: "secret", name: "token" };

describe("createServerCalls", () => {
  it.each<[string, HostQuestion, unknown]>([
    ["a look-up", a, ["192.0.2.1"]],
    ["a list", { kind: "dns.listed", list: "zen.example.org", subject: "192.0.2.1" }, null],
    ["the store", get, 7],
    ["a secret", secret, "secret of token"],
    ["a timer", { kind: "sleep", ms: 0 }, null],
  ])("answers %s", async (_why, question, value) => {
    expect(await setUp().ask(question)).toEqual({ ok: true, value });
  });

  it.each<[string, HostQuestion, Grants, Partial<CallLimits>, string]>([
    ["http without a grant", http("https://a.example.org/x"), {}, {}, '{ http: ["https://a.example.org"] }'],
    ["another host", http("https://b.example.org"), all, {}, '"https://b.example.org"'],
    ["another port", http("https://a.example.org:8443"), all, {}, '"https://a.example.org:8443"'],
    ["another scheme", http("http://a.example.org"), all, {}, '"http://a.example.org"'],
    ["a name in front of the host's", http("https://a.example.org@b.example"), all, {}, '"https://b.example"'],
    [
      "http that the configuration does not allow",
      http("https://a.example.org"),
      all,
      { http: [] },
      "not allowed by [scripts.grants]",
    ],
    ["dns without a grant", a, {}, {}, "{ dns: true }"],
    ["dns that the configuration does not allow", a, all, { dns: false }, "not allowed"],
    [
      "a list without a grant",
      { kind: "dns.listed", list: "x.example", subject: "a.example" },
      { kv: true },
      {},
      "{ dns: true }",
    ],
    ["the store without a grant", get, { dns: true }, {}, "{ kv: true }"],
    ["the store, where the configuration has none", get, all, { kv: false }, "not allowed"],
    ["a secret without a grant", secret, {}, {}, '{ secrets: ["token"] }'],
    ["another secret", { kind: "secret", name: "other" }, all, {}, '"other"'],
    ["a secret that the configuration does not allow", secret, all, { secrets: [] }, "not allowed"],
  ])("ends the run for %s, and asks nobody", async (_why, question, grants, change, words) => {
    const { ask, asked } = setUp(change);
    expect(await ask(question, grants)).toMatchObject({
      ok: false,
      fatal: "grant.missing",
      message: expect.stringContaining(words),
    });
    expect(asked).toEqual([]);
  });

  it("counts requests and look-ups for each run by itself", async () => {
    const { ask, asker } = setUp();
    const [one, other] = [asker(all), asker(all)];
    for (let i = 0; i < 2; i++)
      expect(await ask(http("https://a.example.org"), one)).toMatchObject({ code: "private-address" });
    expect(await ask(http("https://a.example.org"), one)).toMatchObject({
      fatal: "grant.limit",
      message: "More than 2 HTTP requests in one run (scripts.grants.http_requests_max)",
    });
    expect(await ask(http("https://a.example.org"), other)).toMatchObject({ code: "private-address" });
    for (let i = 0; i < dnsLookupsMax; i++) expect((await ask(a, one)).ok).toBe(true);
    expect(await ask(a, one)).toMatchObject({ fatal: "grant.limit" });
    expect((await ask(a, other)).ok).toBe(true);
  });

  it("gives the store the name of the script", async () => {
    const { ask, asked } = setUp();
    await ask({ kind: "kv.set", key: "k", value: [1], ttlS: 5, ifAbsent: true });
    await ask({ kind: "kv.delete", key: "k" });
    await ask({ kind: "kv.increment", key: "k", by: 2, ttlS: null });
    await ask({ kind: "kv.list", prefix: "p", limit: 3, after: "pa" });
    expect(asked).toEqual([
      ["set", "scripts/x.ts", "k", [1], { ttlS: 5, ifAbsent: true }],
      ["delete", "scripts/x.ts", "k"],
      ["increment", "scripts/x.ts", "k", 2, null],
      ["list", "scripts/x.ts", "p", { limit: 3, after: "pa" }],
    ]);
  });

  it.each([
    ["a full store", new Fault("kv.full", "it is full"), { code: "full", message: "it is full" }],
    [
      "a store that failed",
      new Fault("kv.failed", "the disk is full"),
      { code: "failed", message: "the disk is full" },
    ],
    ["no number", new Fault("script.action-invalid", "k holds a text"), { code: "invalid", message: "k holds a text" }],
    [
      "a bug of ours",
      new Error("undefined is not a function"),
      { code: "failed", message: "kv.get failed in the server" },
    ],
  ])("is an error for the script, and no end of its run, with %s", async (_why, thrown, expected) => {
    const { ask } = setUp({}, { kv: { get: () => Promise.reject(thrown) } as never });
    expect(await ask(get)).toEqual({ ok: false, ...expected });
  });

  it("answers nobody who gives no URL", async () => {
    expect(await setUp().ask(http("example.org"))).toMatchObject({ ok: false, code: "invalid" });
  });
});
