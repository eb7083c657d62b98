/** Room on the disk: when mail is turned away, when it is let in again, and what is done where nobody knows. */
import { tmpdir } from "node:os";
import { describe, expect, test } from "vitest";
import { type DiskFacts, DiskSpace } from "../../../src/inbound/disk-space.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createRecordingLog } from "../../support/recording-log.ts";

const reserve = { reserveOctets: 1_000, inodesReserve: 10 };

async function createDisk(facts: DiskFacts) {
  const clock = createFakeClock();
  const log = createRecordingLog();
  const disk = { ...facts, looks: 0, fault: null as Error | null, hangs: false };
  const measure = async (): Promise<DiskFacts> => {
    disk.looks++;
    if (disk.hangs) await new Promise(() => {});
    if (disk.fault) throw disk.fault;
    return { freeOctets: disk.freeOctets, freeInodes: disk.freeInodes };
  };
  const space = new DiskSpace({ folder: "/data", clock, log, ...reserve, measure });
  await space.start();
  return { clock, log, disk, space };
}

describe("refusal", () => {
  test.each<[why: string, facts: DiskFacts, sizeOctets: number, code: number | null]>([
    ["there is room", { freeOctets: 5_000, freeInodes: 100 }, 0, null],
    ["just the reserve is left", { freeOctets: 1_000, freeInodes: 10 }, 0, null],
    ["an octet less", { freeOctets: 999, freeInodes: 10 }, 0, 452],
    ["an inode less", { freeOctets: 1_000, freeInodes: 9 }, 0, 452],
    ["a file system that does not count inodes", { freeOctets: 1_000, freeInodes: null }, 0, null],
    ["what is announced fits just so", { freeOctets: 5_000, freeInodes: 100 }, 4_000, null],
    ["what is announced is an octet too much", { freeOctets: 5_000, freeInodes: 100 }, 4_001, 452],
  ])("%s", async (_why, facts, sizeOctets, code) => {
    const { space } = await createDisk(facts);
    expect(space.refusal(sizeOctets)?.code ?? null).toBe(code);
    space.stop();
  });

  test("lets mail in again by itself, with a line where it begins and where it is over", async () => {
    const { space, disk, clock, log } = await createDisk({ freeOctets: 999, freeInodes: 100 });
    expect(space.short()).toMatch(/space/);
    // At the border itself it stays as it is.
    disk.freeOctets = 1_050;
    await clock.advance(1_000);
    expect(space.refusal(0)?.code).toBe(452);
    disk.freeOctets = 1_100;
    await clock.advance(1_000);
    expect([space.refusal(0), space.short()]).toEqual([null, null]);
    expect(log.lines.map(({ event }) => event)).toEqual(["disk.short", "disk.enough"]);
    space.stop();
  });

  test("looks once a second and not more, and no more once stopped", async () => {
    const { space, disk, clock } = await createDisk({ freeOctets: 5_000, freeInodes: 100 });
    for (let i = 0; i < 100; i++) space.refusal(0);
    await clock.advance(10_000);
    expect(disk.looks).toBe(11);
    space.stop();
    await clock.advance(10_000);
    expect([disk.looks, clock.nextAt]).toEqual([11, undefined]);
  });

  test("looks at once where the spool ran into the end, and once for all who ask meanwhile", async () => {
    const { space, disk } = await createDisk({ freeOctets: 5_000, freeInodes: 100 });
    disk.freeOctets = 0;
    await Promise.all([space.look(), space.look()]);
    expect([space.refusal(0)?.code, disk.looks]).toEqual([452, 2]);
    space.stop();
  });

  test("lets mail in where it cannot look, with one line", async () => {
    const { space, disk, clock, log } = await createDisk({ freeOctets: 0, freeInodes: 0 });
    disk.fault = new Error("EIO");
    await clock.advance(5_000);
    expect([space.refusal(1e15), space.short()]).toEqual([null, null]);
    expect(log.of("disk.unknown")).toHaveLength(1);
    space.stop();
  });

  test("lets mail in where a look does not come back", async () => {
    const { space, disk, clock } = await createDisk({ freeOctets: 0, freeInodes: 0 });
    disk.hangs = true;
    await clock.advance(30_000);
    expect(space.refusal(0)?.code).toBe(452);
    await clock.advance(1_001);
    expect(space.refusal(0)).toBeNull();
    expect(disk.looks).toBe(2);
    space.stop();
  });
});

test("looks at a real disk", async () => {
  const space = new DiskSpace({
    folder: tmpdir(),
    clock: systemClock,
    log: silentLog,
    reserveOctets: 1,
    inodesReserve: 0,
  });
  await space.start();
  space.stop();
  expect(space.refusal(0)).toBeNull();
  expect(space.refusal(Number.MAX_SAFE_INTEGER)?.code).toBe(452);
});
