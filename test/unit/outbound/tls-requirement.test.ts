/** Which TLS a host has to have, and by whose word; how it went is counted. RFC 7672, RFC 8461. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Target } from "../../../src/outbound/hop-targets.ts";
import type { StsAnswer } from "../../../src/outbound/mta-sts.ts";
import { type RecordedTls, TlsCounts } from "../../../src/outbound/tls-report.ts";
import { openTlsRequirements, TlsRequirements, type TlsSettings } from "../../../src/outbound/tls-requirement.ts";
import type { Answer, TlsaRecord } from "../../../src/platform/resolver.ts";
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

function requirements(policy: StsAnswer, tlsa: Answer<TlsaRecord>, settings: TlsSettings = all) {
  const asked: string[] = [];
  const recorded: RecordedTls[] = [];
  const tls = new TlsRequirements({
    settings: () => settings,
    resolver: {
      tlsa: async (name) => {
        asked.push(name);
        return tlsa;
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
    ["a policy on trial that does not fit", sts("testing", "b.example"), none, byDefault],
    ["a policy taken back", sts("none"), none, byDefault],
  ])("%s", async (_why, policy, tlsa, requirement) => {
    const { tls } = requirements(policy, tlsa);
    expect(await tls.of("example.org", [target()], true)).toEqual([requirement]);
  });

  test("records that cannot be looked up: the host is refused", async () => {
    const { tls } = requirements(noSts, { kind: "failed", reason: "SERVFAIL" });
    expect(await tls.of("example.org", [target()], true)).toEqual([
      { policy: "verified", by: "dane", refused: expect.stringContaining("SERVFAIL") },
    ]);
  });

  test("a host that an enforced policy does not name is refused, the others are not", async () => {
    const { tls, recorded } = requirements(sts("enforce"), none);
    const of = await tls.of("example.org", [target({ host: "b.example" }), target()], true);
    expect(of).toEqual([{ ...verifiedBySts, refused: expect.stringContaining("b.example") }, verifiedBySts]);
    expect(recorded).toEqual([
      { domain: "example.org", policy: "mta-sts", host: "b.example", result: "validation-failure" },
    ]);
  });

  test("a policy that cannot be had is counted, and mail goes as without", async () => {
    const { tls, recorded } = requirements({ kind: "failed", result: "sts-policy-invalid", reason: "" }, none);
    expect(await tls.of("example.org", [target()], true)).toEqual([byDefault]);
    expect(recorded).toMatchObject([{ result: "sts-policy-invalid" }]);
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
    expect(await tls.of("example.org", [target()], true)).toEqual([byDefault]);
    await tls.close();
    expect(log.of("mta-sts.fetch-failed")).toHaveLength(1);
    expect((await openTlsRequirements(options)).report().rows).toMatchObject([
      { result: "sts-policy-fetch-error", count: 1 },
    ]);
  });
});
