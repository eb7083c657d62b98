/** MTA-STS policies: discovered, kept, refreshed, never forgotten because somebody is in the way. RFC 8461 §3.3, §5.1, §10.2. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fileOctetsMax, policiesMaxDefault, StsPolicies } from "../../../src/outbound/mta-sts.ts";
import type { FetchedPolicy } from "../../../src/outbound/mta-sts-fetch.ts";
import { patternsLengthMax, type StsPolicy } from "../../../src/outbound/mta-sts-policy.ts";
import { createFakeClock, settle } from "../../support/fake-clock.ts";
import { createRecordingLog } from "../../support/recording-log.ts";

const day = 86_400_000;
const minute = 60_000;
const policy: StsPolicy = { mode: "enforce", mx: ["mx.example.org"], maxAgeSeconds: 7 * 86_400 };
const other: StsPolicy = { ...policy, mx: ["mx2.example.org"] };
const failed = { kind: "failed", result: "sts-policy-fetch-error", reason: "refused" } as const;
const domain = "example.org";

let folder: string;
const opened: StsPolicies[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mta-sts-"));
});
afterEach(async () => {
  for (const policies of opened.splice(0)) await policies.close();
  await rm(folder, { recursive: true, force: true });
});

/** What DNS and the policy host say is set by the test, and may change. */
function site() {
  const clock = createFakeClock();
  const log = createRecordingLog();
  const world = {
    txt: "v=STSv1; id=1;" as string | null | Error,
    fetched: { kind: "fetched", policy } as FetchedPolicy | Promise<FetchedPolicy>,
  };
  const fetches: string[] = [];
  const open = async (policiesMax?: number) => {
    const policies = await StsPolicies.open({
      path: join(folder, "mta-sts.json"),
      clock,
      log,
      resolver: {
        txt: async () => {
          if (world.txt instanceof Error) return { kind: "failed", reason: world.txt.message };
          if (world.txt === null) return { kind: "none", nameExists: false, authentic: false };
          return { kind: "found", values: [world.txt], authentic: false };
        },
      },
      fetchPolicy: async (asked) => {
        fetches.push(asked);
        return await world.fetched;
      },
      ...(policiesMax !== undefined && { policiesMax }),
    });
    opened.push(policies);
    return policies;
  };
  return { clock, log, world, fetches, open };
}

test("policyOf: no record, no policy, nothing fetched", async () => {
  const { world, fetches, open } = site();
  const policies = await open();
  world.txt = null;
  expect(await policies.policyOf(domain)).toEqual({ kind: "none" });
  world.txt = new Error("SERVFAIL");
  expect(await policies.policyOf(domain)).toEqual({ kind: "none", unheard: "SERVFAIL" });
  world.txt = "v=STSv1; id=1";
  expect(await policies.policyOf("[192.0.2.1]")).toEqual({ kind: "none" });
  expect(fetches).toEqual([]);
});

test("policyOf: fetched once for all who ask at the same time, and then known", async () => {
  const { fetches, open } = site();
  const policies = await open();
  const answers = await Promise.all([policies.policyOf(domain), policies.policyOf(domain)]);
  expect(answers).toEqual([
    { kind: "policy", policy },
    { kind: "policy", policy },
  ]);
  await policies.policyOf(domain);
  expect(fetches).toEqual([domain]);
});

test.each([
  ["the record is gone", null, { kind: "none" }],
  ["DNS fails", new Error("SERVFAIL"), { kind: "none", unheard: "SERVFAIL" }],
] as const)("policyOf: a known policy holds where %s, until it is over", async (_why, txt, after) => {
  const { clock, world, open } = site();
  const policies = await open();
  await policies.policyOf(domain);
  Object.assign(world, { txt, fetched: failed });
  await clock.advance(7 * day - 1);
  expect(await policies.policyOf(domain)).toEqual({ kind: "policy", policy });
  await clock.advance(1);
  expect(await policies.policyOf(domain)).toEqual(after);
});

test("policyOf: another id brings another policy; where that cannot be fetched the known one holds", async () => {
  const { world, open } = site();
  const policies = await open();
  await policies.policyOf(domain);
  Object.assign(world, { txt: "v=STSv1; id=2", fetched: failed });
  expect(await policies.policyOf(domain)).toEqual({ kind: "policy", policy });
  Object.assign(world, { txt: "v=STSv1; id=3", fetched: { kind: "fetched", policy: other } });
  expect(await policies.policyOf(domain)).toEqual({ kind: "policy", policy: other });
});

test("policyOf: a failed fetch is told, and not tried again for five minutes", async () => {
  const { clock, log, world, fetches, open } = site();
  const policies = await open();
  world.fetched = failed;
  expect(await policies.policyOf(domain)).toEqual(failed);
  await clock.advance(5 * minute - 1);
  expect(await policies.policyOf(domain)).toEqual(failed);
  expect(fetches).toHaveLength(1);
  expect(log.of("mta-sts.fetch-failed")).toHaveLength(1);
  await clock.advance(1);
  world.fetched = { kind: "fetched", policy };
  expect(await policies.policyOf(domain)).toEqual({ kind: "policy", policy });
});

test("policyOf: a policy a day old is fetched again, and nobody waits for that", async () => {
  const { clock, world, fetches, open } = site();
  const policies = await open();
  await policies.policyOf(domain);
  await clock.advance(day - 1);
  await policies.policyOf(domain);
  expect(fetches).toHaveLength(1);
  await clock.advance(1);
  const { promise, resolve } = Promise.withResolvers<FetchedPolicy>();
  world.fetched = promise;
  expect(await policies.policyOf(domain)).toEqual({ kind: "policy", policy });
  expect(fetches).toHaveLength(2);
  resolve({ kind: "fetched", policy: other });
  await settle();
  expect(await policies.policyOf(domain)).toEqual({ kind: "policy", policy: other });
});

test("policyOf: a policy of no duration is kept for five minutes", async () => {
  const { clock, world, fetches, open } = site();
  const policies = await open();
  world.fetched = { kind: "fetched", policy: { ...policy, maxAgeSeconds: 0 } };
  await policies.policyOf(domain);
  await policies.policyOf(domain);
  expect(fetches).toHaveLength(1);
  Object.assign(world, { txt: null, fetched: failed });
  await clock.advance(5 * minute - 1);
  expect(await policies.policyOf(domain)).toHaveProperty("kind", "policy");
  await clock.advance(1);
  expect(await policies.policyOf(domain)).toEqual({ kind: "none" });
});

test("policiesMax: the one not asked for longest goes", async () => {
  const { world, open } = site();
  const policies = await open(2);
  for (const name of ["a.example", "b.example"]) await policies.policyOf(name);
  await policies.policyOf("a.example");
  await policies.policyOf("c.example");
  world.txt = null;
  expect(policies.size).toBe(2);
  expect(await policies.policyOf("a.example")).toHaveProperty("kind", "policy");
  expect(await policies.policyOf("b.example")).toEqual({ kind: "none" });
});

test("open: what was known is known after a restart, as long as it is fresh", async () => {
  const { clock, world, open } = site();
  const policies = await open();
  await policies.policyOf(domain);
  await policies.close();
  world.txt = null;
  expect(await (await open()).policyOf(domain)).toEqual({ kind: "policy", policy });
  await clock.advance(7 * day);
  expect(await (await open()).policyOf(domain)).toEqual({ kind: "none" });
});

test("open: as many policies as are kept, each as long as it may be, are read back", async () => {
  const { world, open } = site();
  const mx = Array.from({ length: 100 }, (_, i) => `${String(i).padStart(patternsLengthMax / 100 - 8, "x")}.example`);
  world.fetched = { kind: "fetched", policy: { ...policy, mx } };
  const policies = await open();
  const names = [1, 2].map((i) => `${i}${".a".repeat(125)}`);
  for (const name of names) await policies.policyOf(name);
  await policies.close();
  const { length } = await readFile(join(folder, "mta-sts.json"), "utf8");
  expect((length / names.length) * policiesMaxDefault).toBeLessThan(fileOctetsMax);
});

test("open: a change is saved a second later by itself", async () => {
  const { clock, open } = site();
  const policies = await open();
  await policies.policyOf(domain);
  await clock.advance(1_000);
  await policies.close();
  expect(await readFile(join(folder, "mta-sts.json"), "utf8")).toContain("mx.example.org");
});

test.each([
  ["no JSON", "{"],
  ["another version", '{"version":2,"policies":[]}'],
  ["an entry that is none", '{"version":1,"policies":[{"domain":"example.org"}]}'],
  ["null in the place of an entry", '{"version":1,"policies":[null]}'],
])("open: a file with %s is told, and stops nothing", async (_why, text) => {
  const { log, open } = site();
  await writeFile(join(folder, "mta-sts.json"), text);
  const policies = await open();
  expect(log.of("mta-sts.unreadable")).toHaveLength(1);
  expect(await policies.policyOf(domain)).toEqual({ kind: "policy", policy });
});

test("save: a folder that is gone is told, and stops nothing", async () => {
  const { log, open } = site();
  const policies = await open();
  await rm(folder, { recursive: true });
  await policies.save();
  expect(log.of("mta-sts.not-saved")).toHaveLength(1);
  expect(await policies.policyOf(domain)).toEqual({ kind: "policy", policy });
});
