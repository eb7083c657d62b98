/** RELIABILITY P2: killed at every named point there is, under a load that passes them all, the server loses nothing and delivers nothing it refused. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { waitFor } from "../support/site.ts";
import { readSourceFiles } from "../tidy/source-files.ts";
import { auditCustody, type KillWindow } from "./custody.ts";
import { Load } from "./load.ts";
import { reporter, WideSite, wideAddressees } from "./wide-site.ts";

/** The points in the source, in the order of their names. */
const points = [
  ...new Set(
    readSourceFiles("src").flatMap(({ text }) =>
      [...text.matchAll(/crashPoint\("([^"]+)"\)/g)].map((found) => found[1]!),
    ),
  ),
].sort();

/** Points that this load does not pass; another test does. */
const elsewhere: Readonly<Record<string, string>> = {
  "http.answered": "test/unit/outbound",
  "release.accepted": "test/unit/spool",
};

test("there are points to be killed at", () => {
  expect(points.length).toBeGreaterThan(15);
});

test.each(points.filter((point) => !Object.hasOwn(elsewhere, point)))(
  "killed at %s",
  { timeout: 60_000 },
  async (point) => {
    const seed = points.indexOf(point) + 100;
    // The third time: something is under way by then. What is passed once a start is passed at the first.
    const times = point.includes("recovery") ? 1 : 3;
    const wide = await WideSite.start({
      seed,
      env: point.includes("recovery") ? {} : { ONARRIVAL_CRASH_AT: `${point}:${times}` },
    });
    const { site } = wide;
    const load = new Load({ port: site.smtpPort, sessions: 4, seed, addressees: wideAddressees, from: reporter });
    const windows: KillWindow[] = [];
    try {
      load.start();
      for (let i = 0; i < 5; i++) wide.pick();
      if (point.includes("recovery")) {
        await waitFor(() => load.journal.accepted.length > 20 || undefined, "some mail", 20_000);
        await site.kill9();
        site.setEnvironment({ ONARRIVAL_CRASH_AT: point });
        await site.up().then(
          () => expect.fail("the server came up, expected it to be killed"),
          () => {},
        );
      } else {
        await site.ended(30_000);
      }
      windows.push({ from: 0, to: Date.now() });
      site.setEnvironment({});
      await site.up();
      // It goes on as if nothing had been.
      const before = load.journal.accepted.length;
      await waitFor(() => load.journal.accepted.length > before + 10 || undefined, "mail after the restart", 20_000);
      await load.stop();
      await sleep(300);
      await site.drained();
      const journal = { ...load.journal, accepted: [...load.journal.accepted, ...wide.picked] };
      await waitFor(
        () => wide.delivered().filter(({ marker }) => marker.startsWith("p")).length >= 5 || undefined,
        "what was picked up",
        10_000,
      );
      const { violations } = auditCustody({
        journal,
        delivered: wide.delivered(),
        queuedIds: new Set(),
        kills: windows,
      });
      expect(violations).toEqual([]);
      expect(load.journal.accepted.length).toBeGreaterThan(10);
    } finally {
      await load.stop();
      await wide.remove();
    }
  },
);
