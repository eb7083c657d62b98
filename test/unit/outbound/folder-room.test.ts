import { describe, expect, test } from "vitest";
import { FolderRoom } from "../../../src/outbound/folder-room.ts";
import { createFakeClock, settle } from "../../support/fake-clock.ts";

function create(octets: () => number | Promise<number>) {
  const clock = createFakeClock();
  const counted: string[] = [];
  const room = new FolderRoom({
    clock,
    count: async (folder) => {
      counted.push(folder);
      return octets();
    },
  });
  return { clock, counted, room };
}

describe("FolderRoom.reserve", () => {
  const limits = [
    { why: "above", octetsMax: 101, fits: true },
    { why: "at", octetsMax: 100, fits: true },
    { why: "below", octetsMax: 99, fits: false },
  ];
  test.each(limits)("$why what is there with the file: fits is $fits", async ({ octetsMax, fits }) => {
    const { room } = create(() => 60);
    expect((await room.reserve("a", 40, octetsMax)) !== undefined).toBe(fits);
  });

  test("what is being written counts; what came to nothing does not", async () => {
    const { room } = create(() => 0);
    const [one, two] = await Promise.all([room.reserve("a", 60, 100), room.reserve("a", 60, 100)]);
    expect([one === undefined, two === undefined]).toEqual([false, true]);
    one!.free();
    const three = await room.reserve("a", 60, 100);
    three!.used();
    expect(await room.reserve("a", 41, 100)).toBeUndefined();
    expect(await room.reserve("a", 40, 100)).toBeDefined();
  });

  test("a folder is counted once, then after ten minutes, and each by itself", async () => {
    const { room, clock, counted } = create(() => 0);
    for (let i = 0; i < 3; i++) (await room.reserve("a", 1, 100))!.used();
    await room.reserve("b", 1, 100);
    expect(counted).toEqual(["a", "b"]);
    await clock.advance(10 * 60_000 - 1);
    await room.reserve("a", 1, 100);
    expect(counted).toEqual(["a", "b"]);
    await clock.advance(1);
    await room.reserve("a", 1, 100);
    expect(counted).toEqual(["a", "b", "a"]);
  });

  test("a full one is counted again after ten seconds", async () => {
    let octets = 100;
    const { room, clock, counted } = create(() => octets);
    expect(await room.reserve("a", 1, 100)).toBeUndefined();
    octets = 0;
    await clock.advance(9_999);
    expect(await room.reserve("a", 1, 100)).toBeUndefined();
    await clock.advance(1);
    expect(await room.reserve("a", 1, 100)).toBeDefined();
    expect(counted).toEqual(["a", "a"]);
  });

  test("who asks while it is counted waits for that count", async () => {
    let told = (_octets: number) => {};
    const { room, counted } = create(() => new Promise((resolve) => (told = resolve)));
    const both = [room.reserve("a", 60, 100), room.reserve("a", 60, 100)];
    await settle();
    told(0);
    expect((await Promise.all(both)).map((reservation) => reservation !== undefined)).toEqual([true, false]);
    expect(counted).toEqual(["a"]);
  });

  test("a count that fails is thrown, and made again", async () => {
    let broken = true;
    const { room } = create(() => {
      if (broken) throw new Error("EIO");
      return 0;
    });
    await expect(room.reserve("a", 1, 100)).rejects.toThrow("EIO");
    broken = false;
    expect(await room.reserve("a", 1, 100)).toBeDefined();
  });

  test("of ten thousand folders those nobody writes to are forgotten", async () => {
    const { room, counted } = create(() => 0);
    await room.reserve("busy", 60, 100);
    for (let i = 0; i < 10_000; i++) (await room.reserve(`${i}`, 1, 100))!.used();
    counted.length = 0;
    expect(await room.reserve("busy", 60, 100)).toBeUndefined();
    expect(await room.reserve("0", 1, 100)).toBeDefined();
    expect(counted).toEqual(["0"]);
  });
});
