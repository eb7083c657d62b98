/** RELIABILITY P2: killed at every named point there is, under a load that passes them all, the server loses nothing and delivers nothing it refused. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { type CrashPoint, crashPoints } from "../../src/platform/crash-point.ts";
import { waitFor } from "../support/site.ts";
import { auditCustody } from "./custody.ts";
import { Load } from "./load.ts";
import { readMaildirs } from "./places.ts";
import { reporter, WideSite, wideAddressees } from "./wide-site.ts";

/** Not passed by mail alone. */
const special: readonly CrashPoint[] = ["release.accepted", "spool.recovery", "users.written"];

function createLoad({ site }: WideSite, seed: number): Load {
  return new Load({ port: site.smtpPort, sessions: 4, seed, addressees: wideAddressees, from: reporter });
}

/** It comes up again and goes on as if nothing had been; then everything is where it belongs. */
async function recover(wide: WideSite, load: Load): Promise<void> {
  const { site } = wide;
  site.setEnvironment({});
  await site.up();
  const before = load.journal.accepted.length;
  await waitFor(() => load.journal.accepted.length > before + 10 || undefined, "mail after the restart", 20_000);
  await load.stop();
  await sleep(300);
  const unread = () =>
    readdirSync(join(site.dataFolder, "pickup"), { recursive: true }).some((name) => /\.eml$/.test(String(name)));
  await waitFor(() => !unread() || undefined, "an empty pickup folder", 30_000);
  await site.drained();
  const journal = { ...load.journal, accepted: [...load.journal.accepted, ...wide.picked] };
  const kills = [{ from: 0, to: Date.now() }];
  const { violations } = auditCustody({ journal, delivered: wide.delivered(), queuedIds: new Set(), kills });
  expect(violations).toEqual([]);
  expect(load.journal.accepted.length).toBeGreaterThan(10);
}

test.each(crashPoints.filter((point) => !special.includes(point)))(
  "killed at %s",
  { timeout: 60_000 },
  async (point) => {
    const seed = crashPoints.indexOf(point) + 100;
    // The third time: something is under way by then.
    const wide = await WideSite.start({ seed, env: { ONARRIVAL_CRASH_AT: `${point}:3` } });
    const load = createLoad(wide, seed);
    try {
      load.start();
      for (let i = 0; i < 5; i++) wide.pick();
      await wide.site.ended(30_000);
      await recover(wide, load);
    } finally {
      await load.stop();
      await wide.remove();
    }
  },
);

test("killed at spool.recovery, while it starts again", { timeout: 60_000 }, async () => {
  const wide = await WideSite.start({ seed: 1 });
  const { site } = wide;
  const load = createLoad(wide, 1);
  try {
    load.start();
    await waitFor(() => load.journal.accepted.length > 20 || undefined, "some mail", 20_000);
    await site.kill9();
    site.setEnvironment({ ONARRIVAL_CRASH_AT: "spool.recovery" });
    await expect(site.up()).rejects.toThrow("SIGKILL");
    await recover(wide, load);
  } finally {
    await load.stop();
    await wide.remove();
  }
});

test("killed at release.accepted: what was let out of badmail is delivered, and let out once", {
  timeout: 60_000,
}, async () => {
  const wide = await WideSite.start({ seed: 2, env: { ONARRIVAL_CRASH_AT: "release.accepted" } });
  const { site } = wide;
  const load = new Load({
    port: site.smtpPort,
    sessions: 1,
    seed: 2,
    addressees: [{ to: ["jail@example.test"], places: ["badmail"] }],
    from: reporter,
    messagesMax: 3,
    asksForRefusals: false,
  });
  try {
    load.start();
    await load.finished();
    const badmail = join(site.dataFolder, "badmail");
    const ids = readdirSync(badmail);
    expect(ids).toHaveLength(3);
    await site.cli(["badmail", "release", ...ids]);
    await site.ended(10_000);
    site.setEnvironment({});
    await site.up();
    // Let out again: what is in the queue already, or was delivered, is not sent a second time by this.
    await site.cli(["badmail", "release", ...readdirSync(badmail)]);
    await site.drained();
    const jailed = readMaildirs(join(site.dataFolder, "mail/example.test")).filter(({ place }) => place === "jail");
    expect(new Set(jailed.map(({ marker }) => marker)).size).toBe(3);
    expect(jailed.length).toBeLessThanOrEqual(4);
  } finally {
    await load.stop();
    await wide.remove();
  }
});

test("killed at users.written: the file of users is the one from before, or the new one", {
  timeout: 60_000,
}, async () => {
  const wide = await WideSite.start({ seed: 3 });
  const { site } = wide;
  const file = join(site.dataFolder, "users.json");
  try {
    const add = (name: string) => site.cli(["user", "add", name, "--password-stdin"], "a long enough password\n");
    expect((await add("ann@example.test")).status).toBe(0);
    site.setEnvironment({ ONARRIVAL_CRASH_AT: "users.written" });
    expect((await add("bob@example.test")).status).toBe(null);
    site.setEnvironment({});
    expect(existsSync(file)).toBe(true);
    const { status, stdout } = await site.cli(["user", "list", "--json"]);
    expect(status).toBe(0);
    expect(stdout).toContain("ann@example.test");
  } finally {
    await wide.remove();
  }
});
