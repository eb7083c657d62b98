/** Grants: what one asks for against what is allowed and what was approved, case by case. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Grants } from "../../../sandbox/protocol.ts";
import { Approvals } from "../../../src/scripting/approvals.ts";
import {
  capGrants,
  checkCeiling,
  coversRecipient,
  describeGrants,
  type GrantLimits,
  grantsBeyond,
  joinGrants,
} from "../../../src/scripting/grants.ts";
import { coversOrigin } from "../../../src/scripting/origins.ts";
import { createRecordingLog } from "../../support/recording-log.ts";

const isLocal = (domain: string) => domain === "example.test";
const limits: GrantLimits = {
  approval: "required",
  http: ["https://*.example.org", "https://one.example.com:8443"],
  dns: true,
  kv: true,
  submitMax: 10,
  submitTo: [],
  secrets: ["token"],
};

describe("coversOrigin", () => {
  test.each<[why: string, granted: string, wanted: string, covers: boolean]>([
    ["the same", "https://a.example.org", "https://a.example.org", true],
    ["the same with its port", "https://a.example.org", "https://a.example.org:443", true],
    ["the same in capitals", "https://A.example.org", "HTTPS://a.EXAMPLE.org", true],
    ["another port", "https://a.example.org", "https://a.example.org:8443", false],
    ["another scheme", "https://a.example.org", "http://a.example.org", false],
    ["another host", "https://a.example.org", "https://b.example.org", false],
    ["a host below", "https://*.example.org", "https://a.example.org", true],
    ["two below", "https://*.example.org", "https://b.a.example.org", true],
    ["the star is not the host itself", "https://*.example.org", "https://example.org", false],
    ["a host that only ends so", "https://*.example.org", "https://badexample.org", false],
    ["the same star", "https://*.example.org", "https://*.example.org", true],
    ["a narrower star", "https://*.example.org", "https://*.a.example.org", true],
    ["a wider star", "https://*.a.example.org", "https://*.example.org", false],
    ["a star under one host", "https://a.example.org", "https://*.a.example.org", false],
    ["an address", "http://[::1]:8080", "http://[::1]:8080", true],
    ["what is none", "ftp://a.example.org", "ftp://a.example.org", false],
    ["a star in between", "https://a.*.org", "https://a.b.org", false],
  ])("%s", (_why, granted, wanted, covers) => {
    expect(coversOrigin(granted, wanted)).toBe(covers);
  });
});

describe("coversRecipient", () => {
  test.each<[why: string, allowed: string, wanted: string, covers: boolean]>([
    ["an address", "ops@example.org", "ops@example.org", true],
    ["another of that domain", "ops@example.org", "Ops@example.org", false],
    ["the domain in capitals", "ops@example.org", "ops@EXAMPLE.ORG", true],
    ["the domain, asked for an address", "ops@example.org", "example.org", false],
    ["an address of a domain", "example.org", "ops@example.org", true],
    ["a domain below", "example.org", "a.example.org", false],
    ["a domain below a star", "*.example.org", "a.example.org", true],
    ["an address below a star", "*.example.org", "ops@a.example.org", true],
    ["the star's own domain", "*.example.org", "example.org", false],
    ["a narrower star", "*.example.org", "*.a.example.org", true],
    ["a wider star", "*.a.example.org", "*.example.org", false],
    ["a star under a domain", "example.org", "*.example.org", false],
  ])("%s", (_why, allowed, wanted, covers) => {
    expect(coversRecipient(allowed, wanted)).toBe(covers);
  });
});

describe("checkCeiling", () => {
  test.each<[why: string, asked: Grants, limits: Partial<GrantLimits>, words: RegExp | null]>([
    ["nothing", {}, {}, null],
    ["all that is allowed", { http: ["https://a.example.org"], dns: true, kv: true, secrets: ["token"] }, {}, null],
    [
      "an origin too many",
      { http: ["https://a.example.org", "https://b.example.net"] },
      { http: ["https://*.example.org"] },
      /http = \["https:\/\/\*\.example\.org","https:\/\/b\.example\.net"\]/,
    ],
    ["no look-ups", { dns: true }, { dns: false }, /dns = true/],
    ["no store", { kv: true }, { kv: false }, /kv = true/],
    ["as many messages as there may be", { submit: { max: 10, to: null } }, {}, null],
    ["one more", { submit: { max: 11, to: null } }, {}, /submit = 11/],
    [
      "anybody where some are named",
      { submit: { max: 1, to: null } },
      { submitTo: ["example.org"] },
      /submit_to = \[\]/,
    ],
    ["one of those", { submit: { max: 1, to: ["ops@example.org"] } }, { submitTo: ["example.org"] }, null],
    ["us", { submit: { max: 1, to: ["example.test"] } }, { submitTo: ["example.org"] }, null],
    [
      "others",
      { submit: { max: 1, to: ["example.net"] } },
      { submitTo: ["example.org"] },
      /submit_to = \["example\.org","example\.net"\]/,
    ],
    ["a secret", { secrets: ["key"] }, {}, /secrets = \["token","key"\]/],
    ["two of them", { dns: true, kv: true }, { dns: false, kv: false }, /dns = true; kv = true/],
  ])("%s", (_why, asked, changed, words) => {
    const check = () => checkCeiling("scripts/a.ts", asked, { ...limits, ...changed }, isLocal);
    if (words === null) check();
    else
      expect(check).toThrow(expect.objectContaining({ code: "grant.ceiling", message: expect.stringMatching(words) }));
  });
});

describe("grantsBeyond", () => {
  test.each<[why: string, asked: Grants, approved: Grants, beyond: Grants]>([
    ["the same", { http: ["https://a.example.org"], kv: true }, { http: ["https://a.example.org"], kv: true }, {}],
    ["less", { kv: true }, { kv: true, dns: true, secrets: ["token"] }, {}],
    [
      "more of each",
      { http: ["https://a.example.org", "https://b.example.org"], dns: true, kv: true, secrets: ["a", "b"] },
      { http: ["https://a.example.org"], secrets: ["a"] },
      { http: ["https://b.example.org"], dns: true, kv: true, secrets: ["b"] },
    ],
    ["mail to us", { submit: { max: 10, to: ["example.test", "ops@example.test"] } }, {}, {}],
    ["no mail at all", { submit: { max: 0, to: null } }, {}, {}],
    ["mail to anybody", { submit: { max: 1, to: null } }, {}, { submit: { max: 1, to: null } }],
    [
      "mail to anybody where some were approved",
      { submit: { max: 1, to: null } },
      { submit: { max: 5, to: ["example.org"] } },
      { submit: { max: 1, to: null } },
    ],
    ["fewer", { submit: { max: 1, to: ["example.net"] } }, { submit: { max: 5, to: null } }, {}],
    [
      "more messages",
      { submit: { max: 6, to: ["example.org"] } },
      { submit: { max: 5, to: ["example.org"] } },
      { submit: { max: 6, to: ["example.org"] } },
    ],
    [
      "one more recipient",
      { submit: { max: 1, to: ["example.org", "example.net", "example.test"] } },
      { submit: { max: 5, to: ["example.org"] } },
      { submit: { max: 1, to: ["example.net"] } },
    ],
  ])("%s", (_why, asked, approved, beyond) => {
    expect(grantsBeyond(asked, approved, isLocal)).toEqual(beyond);
    // What was beyond is not, once it is approved.
    expect(grantsBeyond(asked, joinGrants(approved, beyond), isLocal)).toEqual({});
  });
});

test("capGrants leaves what the configuration still allows", () => {
  const granted: Grants = {
    http: ["https://a.example.org", "https://b.example.net"],
    dns: true,
    kv: true,
    submit: { max: 10, to: ["example.org", "example.net", "example.test"] },
    secrets: ["token", "key"],
  };
  expect(capGrants(granted, { ...limits, dns: false, submitMax: 3, submitTo: ["example.org"] }, isLocal)).toEqual({
    http: ["https://a.example.org"],
    kv: true,
    submit: { max: 3, to: ["example.org", "example.test"] },
    secrets: ["token"],
  });
  expect(capGrants({ submit: { max: 1, to: null } }, { ...limits, submitTo: ["example.org"] }, isLocal)).toEqual({
    submit: { max: 1, to: ["example.org"] },
  });
  expect(
    capGrants(granted, { ...limits, http: [], dns: false, kv: false, submitMax: 0, secrets: [] }, isLocal),
  ).toEqual({});
});

test("describeGrants has a line for each", () => {
  expect(
    describeGrants({
      http: ["https://a.example.org"],
      dns: true,
      kv: true,
      submit: { max: 1, to: null },
      secrets: ["token"],
    }),
  ).toEqual(["http https://a.example.org", "dns", "kv", "submit: 1 message a run, to anybody", "secret token"]);
  expect(describeGrants({})).toEqual([]);
});

describe("Approvals", () => {
  let folder: string;
  beforeEach(() => {
    folder = join(mkdtempSync(join(tmpdir(), "onarrival-approvals-")), "scripts");
  });
  afterEach(() => rmSync(join(folder, ".."), { recursive: true }));
  const approval = (at: number) => ({ version: "sha256:1", added: ["kv"], author: "ann", at });

  test("remembers what was approved for whom, by whom, over a restart", async () => {
    const approvals = await Approvals.open(folder, createRecordingLog());
    expect(approvals.of("scripts/a.ts")).toEqual({});
    await approvals.approve("scripts/a.ts", { kv: true }, approval(1));
    await approvals.approve("scripts/a.ts", { http: ["https://a.example.org"] }, approval(2));
    const again = await Approvals.open(folder, createRecordingLog());
    expect(again.of("scripts/a.ts")).toEqual({ kv: true, http: ["https://a.example.org"] });
    expect(again.approvalsOf("scripts/a.ts")).toEqual([approval(1), approval(2)]);
    expect(again.of("scripts/b.ts")).toEqual({});
    expect((await Approvals.read(folder)).of("scripts/a.ts")).toMatchObject({ kv: true });
  });

  test("remembers the last hundred", async () => {
    const approvals = await Approvals.open(folder, createRecordingLog());
    for (let at = 1; at <= 101; at++) await approvals.approve("scripts/a.ts", { kv: true }, approval(at));
    expect(approvals.approvalsOf("scripts/a.ts").map(({ at }) => at)).toEqual(
      Array.from({ length: 100 }, (_, i) => i + 2),
    );
  });

  test.each([
    ["no JSON", "{ half"],
    ["another format", '{"format": 2, "scripts": {}}'],
    [
      "grants that are none",
      '{"format": 1, "scripts": {"scripts/a.ts": {"grants": {"http": "all"}, "approvals": []}}}',
    ],
  ])("puts a file aside that holds %s, and grants nothing by it", async (_why, text) => {
    const log = createRecordingLog();
    await (await Approvals.open(folder, log)).approve("scripts/a.ts", { kv: true }, approval(1));
    writeFileSync(join(folder, "approvals.json"), text);
    const approvals = await Approvals.open(folder, log);
    expect(approvals.of("scripts/a.ts")).toEqual({});
    expect(log.of("scripts.approvals-damaged")).toHaveLength(1);
    expect(readdirSync(folder)).toEqual(["approvals.damaged.json"]);
    expect(readFileSync(join(folder, "approvals.damaged.json"), "utf8")).toBe(text);
  });
});
