/** What badmail lets go of, and when. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { inlineBody } from "../../../src/mail/message.ts";
import { BadMail } from "../../../src/spool/badmail.ts";
import { BadMailRetention } from "../../../src/spool/badmail-retention.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createRecordingLog } from "../../support/recording-log.ts";
import { createSampleMessage } from "../../support/sample-message.ts";

const hour = 3_600_000;
const clock = createFakeClock();
const log = createRecordingLog();
let folder: string;
let badmail: BadMail;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "onarrival-badmail-"));
  badmail = new BadMail(folder);
});
afterEach(() => rmSync(folder, { recursive: true }));

async function keep(ageMs: number, sizeOctets = 100): Promise<string> {
  const empty = createSampleMessage({ data: "A: b\r\n\r\n" });
  const message = createSampleMessage({
    data: "A: b\r\n\r\n",
    body: inlineBody(Buffer.alloc(sizeOctets - empty.sizeOctets)),
  });
  await badmail.keep(message, { reason: "odd", binding: null, at: clock.now() - ageMs });
  return message.id;
}

async function left(bounds: { readonly retentionMs: number; readonly sizeOctetsMax: number }): Promise<string[]> {
  const retention = new BadMailRetention({ badmail, clock, log, ...bounds });
  await retention.look();
  await retention.stop();
  return await badmail.ids();
}

test.each<[why: string, ages: readonly number[], retentionMs: number, sizeOctetsMax: number, left: readonly number[]]>([
  ["older than they may be", [5 * hour, 3 * hour + 1, 3 * hour, hour], 3 * hour, 0, [2, 3]],
  ["no bound of age", [5_000 * hour, hour], 0, 0, [0, 1]],
  ["the oldest, where it is too much", [hour, 3 * hour, 2 * hour], 0, 250, [0, 2]],
  ["just as much as may be", [hour, 3 * hour], 0, 200, [0, 1]],
  ["both", [9 * hour, 2 * hour, hour], 8 * hour, 100, [2]],
  ["nothing of the last minute, however much it is", [59_999, 30_000], 1, 1, [0, 1]],
  ["what is a minute old", [60_000, 30_000], 1, 1, [1]],
])("removes %s", async (_why, ages, retentionMs, sizeOctetsMax, expected) => {
  const ids: string[] = [];
  for (const age of ages) ids.push(await keep(age));
  expect(new Set(await left({ retentionMs, sizeOctetsMax }))).toEqual(new Set(expected.map((place) => ids[place])));
});

test("says of each that it went, and why", async () => {
  const [old, much] = [await keep(5 * hour), await keep(2 * hour)];
  await left({ retentionMs: 3 * hour, sizeOctetsMax: 1 });
  const said = log.of("badmail.removed").map(({ fields }) => [fields.message, fields.why]);
  expect(said.slice(-2)).toEqual([
    [old, "retention"],
    [much, "size"],
  ]);
});

test("a folder that cannot be read counts by its own time, and is no obstacle to the others", async () => {
  const [broken, old] = [await keep(5 * hour), await keep(5 * hour)];
  writeFileSync(join(folder, broken, "reason.json"), "{");
  expect(await left({ retentionMs: hour, sizeOctetsMax: 0 })).not.toContain(old);
});

test("looks by itself, and no more once stopped", async () => {
  const retention = new BadMailRetention({ badmail, clock, log, retentionMs: hour, sizeOctetsMax: 0 });
  retention.start();
  await clock.advance(0);
  await retention.look();
  expect(clock.nextAt! - clock.now()).toBe(600_000);
  await retention.stop();
  expect(clock.nextAt).toBeUndefined();
});
