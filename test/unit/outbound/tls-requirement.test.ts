/** Which TLS a host has to have, and by whose word; how it went is counted. RFC 7672, RFC 8461. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Target } from "../../../src/outbound/hop-targets.ts";
import type { StsAnswer } from "../../../src/outbound/mta-sts.ts";
import { type RecordedTls, TlsCounts } from "../../../src/outbound/tls-report.ts";
import { openTlsRequirements, TlsRequirements, type TlsSettings } from "../../../src/outbound/tls-requirement.ts";
import type { Answer, MxRecord, TlsaRecord } from "../../../src/platform/resolver.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createFakeResolver } from "../../support/fake-resolver.ts";
import { createRecordingLog } from "../../support/recording-log.ts";

const usable: TlsaRecord = { usage: 3, selector: 1, matchingType: 1, data: Buffer.alloc(32) };
const signed: Answer<TlsaRecord> = { kind: "found", values: [usable], authentic: true };
const unusable: Answer<TlsaRecord> = { kind: "found", values: [{ ...usable, usage: 1 }], authentic: true };
const none: Answer<TlsaRecord> = { kind: "none", nameExists: false, authentic: true };
const sts = (mode: "enforce" | "testing" | "none", mx = "mx.example.org"): StsAnswer => ({
  kind: "policy",
  policy: { mode, mx: [mx], maxAgeSeconds: 1 },
});
const noSts: StsAnswer = { kind: "none" };
const target = (facts: Partial<Target> = {}): Target => ({
  host: "mx.example.org",
  port: 25,
  addresses: ["192.0.2.1"],
  authentic: true,
  ...facts,
});
const all: TlsSettings = { overrides: [], mtaSts: true, dane: true };

function requirements(
  policy: StsAnswer,
  tlsa: Answer<TlsaRecord> | Readonly<Record<string, Answer<TlsaRecord>>>,
  settings: TlsSettings = all,
  mx: Answer<MxRecord> = { kind: "none", nameExists: true, authentic: false },
) {
  const asked: string[] = [];
  const recorded: RecordedTls[] = [];
  const tls = new TlsRequirements({
    settings: () => settings,
    resolver: {
      mx: async () => mx,
      tlsa: async (name) => {
        asked.push(name);
        return "kind" in tlsa ? (tlsa as Answer<TlsaRecord>) : tlsa[name]!;
      },
    },
    sts: {
      policyOf: async (domain) => {
        asked.push(domain);
        return policy;
      },
      close: async () => {},
    },
    counts: {
      record: (result) => recorded.push(result),
      report: () => ({ rows: [], totals: [] }),
      close: async () => {},
    },
  });
  return { tls, asked, recorded };
}

const verifiedBySts = { policy: "verified", by: "mta-sts" };
const byDefault = { policy: "opportunistic", by: "default" };
const unnamed = { policy: "mta-sts", result: "validation-failure" };

describe("of", () => {
  test.each<[string, StsAnswer, Answer<TlsaRecord>, object]>([
    ["nothing is known", noSts, none, byDefault],
    ["DANE", noSts, signed, { policy: "verified", by: "dane", tlsa: [usable] }],
    ["DANE goes before MTA-STS", sts("enforce"), signed, { policy: "verified", by: "dane", tlsa: [usable] }],
    [
      "DANE does not mind what MTA-STS names",
      sts("enforce", "b.example"),
      signed,
      { policy: "verified", by: "dane", tlsa: [usable] },
    ],
    ["records nobody can use", noSts, unusable, { policy: "required", by: "dane" }],
    ["and a policy that asks for more", sts("enforce"), unusable, verifiedBySts],
    ["records without signature", noSts, { ...signed, authentic: false }, byDefault],
    ["MTA-STS", sts("enforce"), none, verifiedBySts],
    ["a policy on trial", sts("testing"), none, { policy: "opportunistic", by: "mta-sts" }],
    ["a policy on trial that does not fit", sts("testing", "b.example"), none, { ...byDefault, failed: unnamed }],
    [
      "a policy that cannot be had: mail goes as without",
      { kind: "failed", result: "sts-policy-invalid", reason: "" },
      none,
      { ...byDefault, failed: { policy: "mta-sts", result: "sts-policy-invalid" } },
    ],
    [
      "DANE goes before that too",
      { kind: "failed", result: "sts-policy-invalid", reason: "" },
      signed,
      { policy: "verified", by: "dane", tlsa: [usable] },
    ],
    ["a policy taken back", sts("none"), none, byDefault],
  ])("%s", async (_why, policy, tlsa, requirement) => {
    const { tls } = requirements(policy, tlsa);
    expect(await tls.of("example.org", [target()], true)).toEqual([requirement]);
  });

  test("records that cannot be looked up: the host is refused", async () => {
    const { tls } = requirements(noSts, { kind: "failed", reason: "SERVFAIL" });
    expect(await tls.of("example.org", [target()], true)).toEqual([
      {
        policy: "verified",
        by: "dane",
        refused: expect.stringContaining("SERVFAIL"),
        failed: { policy: "dane", result: "dnssec-invalid" },
      },
    ]);
  });

  const failed: Answer<TlsaRecord> = { kind: "failed", reason: "SERVFAIL" };
  const own = { policy: "verified", by: "dane", tlsa: [usable] };
  type Row = [why: string, behind: Answer<TlsaRecord>, at: Answer<TlsaRecord>, requirement: object, questions: number];
  // RFC 7672 §2.2.2.
  test.each<Row>([
    ["the name behind it goes first", signed, failed, { ...own, tlsaBase: "mx.behind.example" }, 1],
    ["then its own", none, signed, own, 2],
    ["records without signature are none", { ...signed, authentic: false }, signed, own, 2],
    ["neither has any", none, none, byDefault, 2],
    ["records nobody can use count", unusable, signed, { policy: "required", by: "dane" }, 1],
    [
      "a failure is not gone around",
      failed,
      signed,
      {
        policy: "verified",
        by: "dane",
        refused: expect.stringContaining("mx.behind.example"),
        failed: { policy: "dane", result: "dnssec-invalid" },
      },
      1,
    ],
  ])("records of an exchanger that is an alias: %s", async (_why, behind, at, requirement, questions) => {
    const { tls, asked } = requirements(noSts, {
      "_25._tcp.mx.behind.example": behind,
      "_25._tcp.mx.example.org": at,
    });
    expect(await tls.of("example.org", [target({ canonicalHost: "mx.behind.example" })], true)).toEqual([requirement]);
    expect(asked.filter((name) => name.startsWith("_25."))).toHaveLength(questions);
  });

  test("a host that an enforced policy does not name is refused, the others are not", async () => {
    const { tls, recorded } = requirements(sts("enforce"), none);
    const of = await tls.of("example.org", [target({ host: "b.example" }), target()], true);
    expect(of).toEqual([
      { ...verifiedBySts, refused: expect.stringContaining("b.example"), failed: unnamed },
      verifiedBySts,
    ]);
    // To ask is not to try: `onarrival route` asks too.
    expect(recorded).toEqual([]);
  });

  test("what is not signed, or configured, is not asked for records", async () => {
    const { tls, asked } = requirements(noSts, signed);
    expect(await tls.of("example.org", [target({ authentic: false })], true)).toEqual([byDefault]);
    expect(await tls.of(null, [target()], false)).toEqual([byDefault]);
    expect(asked).toEqual(["example.org"]);
    await tls.of("example.org", [target({ port: 2525 })], true);
    expect(asked.at(-1)).toBe("_2525._tcp.mx.example.org");
  });

  test.each(["off", "opportunistic", "required", "verified"] as const)(
    "the operator's word %s goes before all",
    async (policy) => {
      const overrides = [
        { host: "*.example.org", policy },
        { host: "mx.example.org", policy: "off" as const },
      ];
      const { tls, asked } = requirements(sts("enforce"), signed, { ...all, overrides });
      expect(await tls.of("example.org", [target()], true)).toEqual([{ policy, by: "config" }]);
      expect(asked).toEqual([]);
      const [, second] = await tls.of("example.org", [target(), target({ host: "b.example" })], true);
      expect(second).toMatchObject({ by: "dane" });
    },
  );

  test("DANE and MTA-STS can be turned off", async () => {
    const { tls, asked } = requirements(sts("enforce"), signed, { ...all, mtaSts: false, dane: false });
    expect(await tls.of("example.org", [target()], true)).toEqual([byDefault]);
    expect(asked).toEqual([]);
  });
});

describe("doubtOf", () => {
  const records = (authentic: boolean, ...hosts: string[]): Answer<MxRecord> => {
    const [first = "", ...rest] = hosts;
    const record = (host: string): MxRecord => ({ preference: 10, host });
    return { kind: "found", values: [record(first), ...rest.map(record)], authentic };
  };
  const named = records(false, "mx.example.org");
  const noAnswer: Answer<MxRecord> = { kind: "failed", reason: "no answer" };
  const unfetched: StsAnswer = { kind: "failed", result: "sts-policy-fetch-error", reason: "404" };
  // RFC 8689 §4.2.1.
  test.each<[string, Answer<MxRecord>, StsAnswer, ("failed" | "deferred")?]>([
    ["signed records that name it", records(true, "a.example", "mx.example.org"), noSts],
    ["signed records that name others", records(true, "a.example"), noSts, "failed"],
    ["records without signature", named, noSts, "failed"],
    ["signed, that there are none", { kind: "none", nameExists: true, authentic: true }, noSts, "failed"],
    ["an enforced policy that names it", named, sts("enforce")],
    ["the same while DNS fails", noAnswer, sts("enforce")],
    ["an enforced policy that names others", named, sts("enforce", "a.example"), "failed"],
    ["a policy on trial", named, sts("testing"), "failed"],
    ["a policy taken back", named, sts("none"), "failed"],
    ["a policy that cannot be fetched", named, unfetched, "deferred"],
    ["a policy that cannot be looked up", named, { kind: "none", unheard: "SERVFAIL" }, "deferred"],
    ["records that cannot be looked up", noAnswer, noSts, "deferred"],
  ])("%s", async (_why, mx, policy, kind) => {
    const { tls } = requirements(policy, none, all, mx);
    const doubt = kind === undefined ? null : { kind, reason: expect.stringContaining("example.org") };
    expect(await tls.doubtOf("example.org", "mx.example.org")).toEqual(doubt);
  });

  test("the domain's own host proves the domain itself", async () => {
    const { tls, asked } = requirements(noSts, none, all, named);
    expect(await tls.doubtOf("example.org", "example.org")).toBeNull();
    expect(asked).toEqual([]);
  });

  test("policies that are turned off say nothing", async () => {
    const { tls } = requirements(sts("enforce"), none, { ...all, mtaSts: false }, named);
    expect(await tls.doubtOf("example.org", "mx.example.org")).toMatchObject({ kind: "failed" });
  });
});

describe("counts", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "tls-report-"));
  });
  afterEach(() => rm(folder, { recursive: true }));
  const result: RecordedTls = { domain: "example.org", policy: "mta-sts", host: "mx.example.org", result: "success" };

  async function open(limits: { readonly daysMax?: number; readonly rowsMax?: number } = {}) {
    const clock = createFakeClock();
    const log = createRecordingLog();
    const path = join(folder, "tls-report.json");
    return { clock, log, path, counts: await TlsCounts.open({ path, clock, log, ...limits }) };
  }

  test("by day, policy and result, kept over a restart; totals are of this process", async () => {
    const { counts } = await open();
    for (const policy of ["mta-sts", "mta-sts", "dane", "default"] as const) counts.record({ ...result, policy });
    counts.record({ ...result, result: "what is that" });
    await counts.close();
    const again = (await open()).counts.report();
    expect(again.rows.map(({ policyType, result, count }) => `${policyType} ${result} ${count}`)).toEqual([
      "sts success 2",
      "tlsa success 1",
      "no-policy-found success 1",
      "sts validation-failure 1",
    ]);
    expect(again.rows).toEqual(counts.report().rows);
    expect(again.totals).toEqual([]);
    expect(counts.report().totals[0]).toEqual({ policyType: "sts", result: "success", count: 2 });
  });

  test("rowsMax and daysMax bound what is kept; nothing goes uncounted within a day", async () => {
    const { clock, counts } = await open({ daysMax: 2, rowsMax: 2 });
    for (const domain of ["a.example", "b.example", "c.example", "d.example"]) counts.record({ ...result, domain });
    expect(counts.report().rows.map(({ domain, count }) => `${domain} ${count}`)).toEqual([
      "a.example 1",
      "b.example 1",
      "(others) 2",
    ]);
    for (let days = 0; days < 2; days++) {
      await clock.advance(86_400_000);
      counts.record(result);
    }
    expect(counts.report().rows.map(({ day }) => day)).toEqual(["2026-01-06", "2026-01-07"]);
    await counts.close();
  });

  test.each([
    ["no JSON", "{"],
    ["no rows", "{}"],
    ["a row that is none", '{"rows":[{"day":"2026-01-05"}]}'],
    ["null in the place of a row", '{"rows":[null]}'],
  ])("a file with %s is told, and counting begins anew", async (_why, text) => {
    await writeFile(join(folder, "tls-report.json"), text);
    const { counts, log } = await open();
    expect(log.of("tls-report.unreadable")).toHaveLength(1);
    expect(counts.report().rows).toEqual([]);
  });

  test("openTlsRequirements puts the parts together, and close saves them", async () => {
    const clock = createFakeClock();
    const log = createRecordingLog();
    const resolver = createFakeResolver(
      { txt: { "_mta-sts.example.org": ["v=STSv1; id=1"] }, a: { "mta-sts.example.org": ["10.0.0.1"] } },
      clock,
    );
    const options = { folder, clock, log, resolver, settings: () => all, mayConnect: () => false };
    const tls = await openTlsRequirements(options);
    const failed = { policy: "mta-sts", result: "sts-policy-fetch-error" } as const;
    expect(await tls.of("example.org", [target()], true)).toEqual([{ ...byDefault, failed }]);
    tls.record({ ...failed, domain: "example.org", host: "mx.example.org" });
    await tls.close();
    expect(log.of("mta-sts.fetch-failed")).toHaveLength(1);
    expect((await openTlsRequirements(options)).report().rows).toMatchObject([
      { result: "sts-policy-fetch-error", count: 1 },
    ]);
  });
});
