import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Mailbox, parseMailbox, sameMailbox } from "../../../src/mail/mailbox.ts";
import { FolderSync } from "../../../src/outbound/folder-sync.ts";
import { MailboxFull, MaildirStore, maildirPath } from "../../../src/outbound/maildir.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createSampleMessage, readMessage, sampleData } from "../../support/sample-message.ts";

let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "maildir-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const grace = parseMailbox("Grace@example.test");

function createStore(): MaildirStore {
  return new MaildirStore({ root: join(root, "mail"), clock: createFakeClock() });
}

describe("MaildirStore.deliver", () => {
  test("the file is the message, byte by byte, below the two fields of final delivery", async () => {
    const message = createSampleMessage();
    const path = await createStore().deliver(message, grace);
    expect(path.startsWith(join(root, "mail", "example.test", "grace", "new"))).toBe(true);
    expect(await readFile(path, "latin1")).toBe(
      `Return-Path: <ada@sender.example>\r\nDelivered-To: Grace@example.test\r\n${sampleData}`,
    );
  });

  test("the null reverse-path is <>, and octets that are no text stay as they are", async () => {
    const message = createSampleMessage({
      from: null,
      data: Buffer.from("Subject: \xff\r\n\r\n\x00\x80\n\r\r\n", "latin1"),
    });
    const octets = await readFile(await createStore().deliver(message, grace));
    const trace = "Return-Path: <>\r\nDelivered-To: Grace@example.test\r\n";
    expect(octets.subarray(0, trace.length).toString()).toBe(trace);
    expect(octets.subarray(trace.length).equals(await readMessage(message))).toBe(true);
  });

  test("the same message twice is one file, and nothing stays in tmp", async () => {
    const store = createStore();
    const message = createSampleMessage();
    const paths = await Promise.all([store.deliver(message, grace), store.deliver(message, grace)]);
    expect(new Set(paths).size).toBe(1);
    const maildir = maildirPath(join(root, "mail"), grace);
    expect(await readdir(join(maildir, "new"))).toHaveLength(1);
    expect(await readdir(join(maildir, "tmp"))).toEqual([]);
    expect(await readdir(join(maildir, "cur"))).toEqual([]);
  });

  test("two recipients with one Maildir get a file each", async () => {
    const store = createStore();
    const message = createSampleMessage();
    const news = { ...grace, localPart: `${grace.localPart}+news` };
    await store.deliver(message, grace);
    await store.deliver(message, news, { owner: grace });
    expect(await readdir(join(maildirPath(join(root, "mail"), grace), "new"))).toHaveLength(2);
  });

  test("a message that was delivered before the server was killed, and read since, is not delivered again", async () => {
    const message = createSampleMessage();
    const path = await createStore().deliver(message, grace);
    const read = path.replace("/new/", "/cur/");
    await rename(path, `${read}:2,S`);
    // The server that starts now knows that the message is from before.
    const clock = createFakeClock(message.receivedAt + 1);
    await new MaildirStore({ root: join(root, "mail"), clock }).deliver(message, grace);
    const maildir = maildirPath(join(root, "mail"), grace);
    expect(await readdir(join(maildir, "new"))).toEqual([]);
    expect(await readdir(join(maildir, "cur"))).toHaveLength(1);
  });

  test("a Maildir removed in between is made again", async () => {
    const store = createStore();
    await store.deliver(createSampleMessage(), grace);
    await rm(join(root, "mail"), { recursive: true });
    const path = await store.deliver(createSampleMessage(), grace);
    expect(await readFile(path, "latin1")).toContain(sampleData);
  });

  test("what cannot be written is thrown, leaves nothing behind, and works again once it can be", async () => {
    const store = createStore();
    await writeFile(join(root, "mail"), "in the way");
    await expect(store.deliver(createSampleMessage(), grace)).rejects.toMatchObject({
      code: expect.stringMatching(/^E(NOTDIR|EXIST)$/),
    });
    await rm(join(root, "mail"));
    await store.deliver(createSampleMessage(), grace);
    expect(await readdir(join(root, "mail", "example.test", "grace", "new"))).toHaveLength(1);
  });

  test("a body that cannot be read leaves nothing in new or tmp", async () => {
    const store = createStore();
    const sound = createSampleMessage();
    const broken = createSampleMessage({
      body: {
        ...sound.body,
        inline: undefined,
        async *chunks() {
          yield Buffer.from("half");
          throw new Error("the disk is gone");
        },
      },
    });
    await expect(store.deliver(broken, grace)).rejects.toThrow("the disk is gone");
    const maildir = maildirPath(join(root, "mail"), grace);
    expect([await readdir(join(maildir, "new")), await readdir(join(maildir, "tmp"))]).toEqual([[], []]);
  });
});

describe("MaildirStore.deliver: final delivery", () => {
  const read = async (data: string, to = grace) =>
    (await readFile(await createStore().deliver(createSampleMessage({ data }), to), "latin1")).split("\r\n");

  test("a Return-Path that came along is somebody's claim, and goes", async () => {
    const lines = await read(
      "Return-Path: <forged@far.example>\r\nSubject: one\r\nreturn-path:\r\n <again@far.example>\r\n\r\nReturn-Path: stays\r\n",
    );
    expect(lines).toEqual([
      "Return-Path: <ada@sender.example>",
      "Delivered-To: Grace@example.test",
      "Subject: one",
      "",
      "Return-Path: stays",
      "",
    ]);
  });

  const said: { why: string; data: string; top: string[] }[] = [
    {
      why: "it is said already: not twice",
      data: "Delivered-To: Grace@example.test\r\nSubject: one\r\n\r\n",
      top: ["Delivered-To: Grace@example.test", "Subject: one"],
    },
    {
      why: "another was before him: both",
      data: "Delivered-To: sales@example.test\r\n\r\n",
      top: ["Delivered-To: Grace@example.test", "Delivered-To: sales@example.test"],
    },
    { why: "a message without a header", data: "no field here\r\n", top: ["Delivered-To: Grace@example.test", ""] },
  ];
  test.each(said)("Delivered-To: $why", async ({ data, top }) => {
    expect((await read(data)).slice(1, 3)).toEqual(top);
  });

  test("a recipient with details in his address is delivered to the Maildir of its owner", async () => {
    const to = parseMailbox("grace+news@example.test");
    const path = await createStore().deliver(createSampleMessage(), to, { owner: grace });
    expect(path.startsWith(join(maildirPath(join(root, "mail"), grace), "new"))).toBe(true);
    expect(await readFile(path, "latin1")).toContain("Delivered-To: grace+news@example.test\r\n");
  });

  test("files are for their owner alone, and say their size in their name", async () => {
    const path = await createStore().deliver(createSampleMessage(), grace);
    const { size, mode } = await stat(path);
    expect(path.endsWith(`,S=${size}`)).toBe(true);
    expect(mode & 0o777).toBe(0o600);
    expect((await stat(maildirPath(join(root, "mail"), grace))).mode & 0o777).toBe(0o700);
  });

  test("a folder is a Maildir of its own within the Maildir, and marked", async () => {
    const store = createStore();
    const maildir = maildirPath(join(root, "mail"), grace);
    const path = await store.deliver(createSampleMessage(), grace, { folder: "Lists/dev" });
    expect(path.startsWith(join(maildir, ".Lists.dev", "new"))).toBe(true);
    expect((await readdir(join(maildir, ".Lists.dev"))).sort()).toEqual(["cur", "maildirfolder", "new", "tmp"]);
    expect((await readdir(maildir)).sort()).toEqual([".Lists.dev", "cur", "new", "tmp"]);
    expect(await readdir(join(maildir, "new"))).toEqual([]);
    await rm(join(maildir, ".Lists.dev"), { recursive: true });
    await store.deliver(createSampleMessage(), grace, { folder: "Lists/dev" });
    expect(await readdir(join(maildir, ".Lists.dev", "new"))).toHaveLength(1);
  });
});

describe("MaildirStore.deliver: what others left in tmp", () => {
  const hourMs = 60 * 60_000;
  const ages = [
    { why: "below 36 hours", ageMs: 36 * hourMs - 1_000, stays: true },
    { why: "at 36 hours", ageMs: 36 * hourMs, stays: true },
    { why: "above 36 hours", ageMs: 36 * hourMs + 1_000, stays: false },
  ];
  test.each(ages)("$why: stays is $stays", async ({ ageMs, stays }) => {
    const clock = createFakeClock();
    const tmp = join(maildirPath(join(root, "mail"), grace), "tmp");
    await mkdir(join(tmp, "folder"), { recursive: true });
    await writeFile(join(tmp, "1.left"), "half");
    const at = new Date(clock.now() - ageMs);
    for (const name of ["1.left", "folder"]) await utimes(join(tmp, name), at, at);
    await new MaildirStore({ root: join(root, "mail"), clock }).deliver(createSampleMessage(), grace);
    expect((await readdir(tmp)).sort()).toEqual(stays ? ["1.left", "folder"] : ["folder"]);
  });

  test("it is looked for again when 36 hours have gone by, and not with each message", async () => {
    const clock = createFakeClock();
    const store = new MaildirStore({ root: join(root, "mail"), clock });
    await store.deliver(createSampleMessage(), grace);
    const tmp = join(maildirPath(join(root, "mail"), grace), "tmp");
    await writeFile(join(tmp, "1.left"), "half");
    await utimes(join(tmp, "1.left"), new Date(0), new Date(0));
    await store.deliver(createSampleMessage(), grace);
    expect(await readdir(tmp)).toEqual(["1.left"]);
    await clock.advance(36 * hourMs);
    await store.deliver(createSampleMessage(), grace);
    expect(await readdir(tmp)).toEqual([]);
  });
});

describe("MaildirStore.deliver: how much a mailbox may hold", () => {
  const delivered = `Return-Path: <ada@sender.example>\r\nDelivered-To: Grace@example.test\r\n${sampleData}`.length;
  function limited(mailboxOctetsMax: number, clock = createFakeClock()): MaildirStore {
    return new MaildirStore({ root: join(root, "mail"), clock, mailboxOctetsMax });
  }

  const limits = [
    { why: "above what two need", octetsMax: 2 * delivered + 1, taken: 2 },
    { why: "at what two need", octetsMax: 2 * delivered, taken: 2 },
    { why: "below what two need", octetsMax: 2 * delivered - 1, taken: 1 },
  ];
  test.each(limits)("$why: $taken are taken", async ({ octetsMax, taken }) => {
    const store = limited(octetsMax);
    const folders = [null, "Junk", "Junk"];
    const ends = await Promise.allSettled(
      folders.map((folder) => store.deliver(createSampleMessage(), grace, { folder })),
    );
    const failures = ends.flatMap((end) => (end.status === "rejected" ? [end.reason as unknown] : []));
    expect(failures).toHaveLength(3 - taken);
    for (const failure of failures) expect(failure).toBeInstanceOf(MailboxFull);
    expect(failures.every((failure) => (failure as MailboxFull).never)).toBe(false);
    // Another mailbox is another matter.
    await store.deliver(createSampleMessage(), parseMailbox("ada@example.test"));
  });

  test("a message that is larger than any mailbox never fits", async () => {
    const failure = await limited(delivered - 1)
      .deliver(createSampleMessage(), grace)
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ name: "MailboxFull", never: true });
  });

  test("what lies there counts, read or unread, in every folder; a size in a name is believed", async () => {
    const maildir = maildirPath(join(root, "mail"), grace);
    for (const folder of ["cur", "new", ".Junk/cur"]) await mkdir(join(maildir, folder), { recursive: true });
    await writeFile(join(maildir, "cur", "1.a:2,S"), "x".repeat(100));
    await writeFile(join(maildir, "new", "2.b,S=1000"), "x");
    await writeFile(join(maildir, ".Junk", "cur", "3.c,S=10000:2,"), "x");
    await expect(limited(11_100 + delivered - 1).deliver(createSampleMessage(), grace)).rejects.toThrow("no room");
    await limited(11_100 + delivered).deliver(createSampleMessage(), grace);
  });

  test("room that was made is seen after ten seconds", async () => {
    const clock = createFakeClock();
    const store = limited(delivered, clock);
    const path = await store.deliver(createSampleMessage(), grace);
    await rm(path);
    await expect(store.deliver(createSampleMessage(), grace)).rejects.toThrow("no room");
    await clock.advance(10_000);
    await store.deliver(createSampleMessage(), grace);
  });

  test("what could not be written takes no room", async () => {
    const store = limited(delivered);
    await writeFile(join(root, "mail"), "in the way");
    await expect(store.deliver(createSampleMessage(), grace)).rejects.toMatchObject({ code: expect.any(String) });
    await rm(join(root, "mail"));
    await store.deliver(createSampleMessage(), grace);
  });
});

describe("maildirPath", () => {
  const names: { why: string; mailbox: Mailbox; path: string }[] = [
    {
      why: "a common mailbox",
      mailbox: { localPart: "grace.hopper+list", domain: "example.test" },
      path: "example.test/grace.hopper+list",
    },
    {
      why: "case does not matter",
      mailbox: { localPart: "GRACE", domain: "example.test" },
      path: "example.test/grace",
    },
    {
      why: "a slash",
      mailbox: { localPart: "../../etc/passwd", domain: "example.test" },
      path: "example.test/%2E.%2F..%2Fetc%2Fpasswd",
    },
    { why: "the parent folder", mailbox: { localPart: "..", domain: "example.test" }, path: "example.test/%2E." },
    { why: "the folder itself", mailbox: { localPart: ".", domain: "example.test" }, path: "example.test/%2E" },
    { why: "NUL", mailbox: { localPart: "a\0b", domain: "example.test" }, path: "example.test/a%00b" },
    { why: "a percent sign", mailbox: { localPart: "a%2Fb", domain: "example.test" }, path: "example.test/a%252fb" },
    { why: "a space", mailbox: { localPart: "a b", domain: "example.test" }, path: "example.test/a%20b" },
    {
      why: "letters beyond ASCII",
      mailbox: { localPart: "Jörg", domain: "example.test" },
      path: "example.test/j%C3%B6rg",
    },
    { why: "an address literal", mailbox: { localPart: "a", domain: "[ipv6:::1]" }, path: "%5Bipv6%3A%3A%3A1%5D/a" },
  ];
  test.each(names)("$why", ({ mailbox, path }) => {
    expect(maildirPath("/mail", mailbox)).toBe(`/mail/${path}`);
  });

  test("stays two levels below the root, and two mailboxes never share a folder", () => {
    const localPart = fc.string({ minLength: 1, maxLength: 30, unit: "binary" });
    fc.assert(
      fc.property(localPart, localPart, (one, other) => {
        const [first, second] = [one, other].map((text) => ({ localPart: text, domain: "example.test" })) as [
          Mailbox,
          Mailbox,
        ];
        const path = maildirPath("/mail", first);
        expect(path).toMatch(/^\/mail\/example\.test\/[^/\0]+$/);
        expect(path.split("/").at(-1)).not.toMatch(/^\.{1,2}$/);
        expect(path === maildirPath("/mail", second)).toBe(sameMailbox(first, second));
      }),
      { numRuns: 2_000 },
    );
  });

  test("the longest local part still fits a file name", () => {
    expect(
      maildirPath("/mail", { localPart: "\u0130".repeat(32), domain: "example.test" })
        .split("/")
        .at(-1)!.length,
    ).toBeLessThanOrEqual(255);
  });
});

describe("FolderSync.sync", () => {
  test("who asks while one runs shares the next, and no one gets a sync that began before", async () => {
    const ends: (() => void)[] = [];
    const folders = new FolderSync(() => new Promise((resolve) => ends.push(resolve)));
    const done: string[] = [];
    const ask = (name: string) => folders.sync("/a").then(() => done.push(name));
    const all = [ask("first"), ask("second"), ask("third")];
    expect(ends).toHaveLength(1);
    ends[0]!();
    await all[0];
    expect(done).toEqual(["first"]);
    await expect.poll(() => ends.length).toBe(2);
    all.push(ask("fourth"));
    ends[1]!();
    await Promise.all(all.slice(0, 3));
    expect(done).toEqual(["first", "second", "third"]);
    await expect.poll(() => ends.length).toBe(3);
    ends[2]!();
    await Promise.all(all);
  });

  test("a sync that fails fails for who asked, and not for the next", async () => {
    let count = 0;
    const folders = new FolderSync(async () => {
      if (count++ === 0) throw new Error("EIO");
    });
    const first = folders.sync("/a");
    const second = folders.sync("/a");
    await expect(first).rejects.toThrow("EIO");
    await second;
    expect(count).toBe(2);
  });
});
