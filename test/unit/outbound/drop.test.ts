import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { addressedByPickup } from "../../../src/inbound/pickup-envelope.ts";
import { splitMessage } from "../../../src/mail/header.ts";
import { parseMailbox } from "../../../src/mail/mailbox.ts";
import { DropFolder, DropFull, type DropSettings } from "../../../src/outbound/drop.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { createFakeClock, type FakeClock } from "../../support/fake-clock.ts";
import { createRecordingLog } from "../../support/recording-log.ts";
import { createSampleMessage, type SampleMessage, sampleData } from "../../support/sample-message.ts";

let root = "";
let clock: FakeClock;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "drop-"));
  clock = createFakeClock();
});
afterEach(() => rm(root, { recursive: true, force: true }));

function createDrop(settings: Partial<DropSettings> = {}, log = silentLog): DropFolder {
  return new DropFolder({
    folder: join(root, "drop"),
    settings: { octetsMax: 0, retentionMs: 0, ...settings },
    clock,
    log,
  });
}

const recipients = (...texts: string[]) => texts.map((text) => ({ mailbox: parseMailbox(text) }));
const grace = recipients("grace@example.test");

describe("DropFolder.deliver", () => {
  test("one file for all: the envelope above, the message as it is", async () => {
    const message = createSampleMessage();
    const path = await createDrop().deliver(message, recipients("grace@example.test", '"a b"@example.test'));
    expect(await readdir(join(root, "drop"))).toEqual([
      expect.stringMatching(new RegExp(`^${message.id}-\\w{32}\\.eml$`)),
    ]);
    expect(await readFile(path, "latin1")).toBe(
      `X-Sender: ada@sender.example\r\nX-Receiver: grace@example.test\r\nX-Receiver: "a b"@example.test\r\n${sampleData}`,
    );
    expect((await stat(path)).mode & 0o777).toBe(0o640);
    expect((await stat(join(root, "drop"))).mode & 0o777).toBe(0o700);
  });

  const forms: { why: string; from?: null | string; to?: string; data: string; file: string }[] = [
    {
      why: "the null reverse-path",
      from: null,
      data: "A: b\r\n\r\n",
      file: "X-Sender: <>\r\nX-Receiver: grace@example.test\r\nA: b\r\n\r\n",
    },
    {
      why: "international addresses as they are",
      to: "jörg@example.test",
      data: "A: b\r\n\r\n",
      file: "X-Sender: ada@sender.example\r\nX-Receiver: jörg@example.test\r\nA: b\r\n\r\n",
    },
    {
      why: "fields at the top that would be taken for the envelope are left out, those further down are not",
      data: "x-receiver: eve@far.example\r\nX-Sender: eve@far.example\r\nA: b\r\nX-Receiver: stays\r\n\r\nbody",
      file: "X-Sender: ada@sender.example\r\nX-Receiver: grace@example.test\r\nA: b\r\nX-Receiver: stays\r\n\r\nbody",
    },
    {
      why: "a header of nothing else",
      data: "X-Receiver: eve@far.example\r\n\r\nbody",
      file: "X-Sender: ada@sender.example\r\nX-Receiver: grace@example.test\r\n\r\nbody",
    },
    {
      why: "no header",
      data: "no field\r\n",
      file: "X-Sender: ada@sender.example\r\nX-Receiver: grace@example.test\r\n\r\nno field\r\n",
    },
  ];
  test.each(forms)("$why", async ({ from, to = "grace@example.test", data, file }) => {
    const message = createSampleMessage({ data, ...(from === undefined ? {} : { from }) });
    expect(await readFile(await createDrop().deliver(message, recipients(to)), "utf8")).toBe(file);
  });

  const addresses: (SampleMessage & { readonly why: string })[] = [
    { why: "common ones", from: "ada@sender.example", to: ["grace@example.test", "eve@example.test"] },
    { why: "the null reverse-path", from: null, to: ["grace@example.test"] },
    { why: "quoted ones", from: '"a,b <c>"@sender.example', to: ['"say \\"x\\""@example.test', '"a b"@example.test'] },
    { why: "international ones", from: "jörg@xn--bcher-kva.example", to: ["δοκιμή@example.test"] },
    { why: "an address literal", from: "ada@[192.0.2.1]", to: ["grace@[ipv6:2001:db8::1]"] },
    {
      why: "a forged envelope in the message",
      from: "ada@sender.example",
      to: ["grace@example.test"],
      data: `X-Receiver: eve@far.example\r\n${sampleData}`,
    },
    {
      why: "what was asked for the message",
      from: "ada@sender.example",
      to: ["grace@example.test"],
      options: { smtpUtf8: true, requireTls: true, ret: "HDRS", envelopeId: "a b+c=>" },
    },
    {
      why: "what was asked for each recipient",
      from: null,
      to: ["grace@example.test", "eve@example.test", "bob@example.test"],
      toOptions: [
        { notify: ["never"] },
        undefined,
        {
          notify: ["success", "failure", "delay"],
          originalRecipient: { type: "utf-8", address: "jörg \\+=@example.test" },
        },
      ],
    },
  ];
  test.each(addresses)(
    "what the pickup folder reads is the envelope that was, and the message: $why",
    async ({ why: _why, ...sample }) => {
      const message = createSampleMessage(sample);
      const file = splitMessage(await readFile(await createDrop().deliver(message, message.envelope.recipients)));
      const read = addressedByPickup(file.header);
      expect(read.envelope).toEqual(message.envelope);
      const octets = Buffer.concat([read.header.octets, file.separator, file.body]);
      expect(octets.toString("latin1")).toBe(sampleData);
    },
  );

  test("with what was asked for, the addresses have brackets; what a sink chose is not written", async () => {
    const message = createSampleMessage({ options: { body: "8BITMIME", ret: "FULL" }, data: "A: b\r\n\r\n" });
    const [to] = recipients("grace@example.test");
    const options = { notify: ["failure", "delay"], route: "drop", folder: "x", accepted: "local" } as const;
    const path = await createDrop().deliver(message, [{ ...to!, options }]);
    expect(await readFile(path, "utf8")).toBe(
      "X-Sender: <ada@sender.example> RET=FULL\r\nX-Receiver: <grace@example.test> NOTIFY=FAILURE,DELAY\r\nA: b\r\n\r\n",
    );
  });

  test("an original recipient that nobody would read again is left out, and nothing else is", async () => {
    const [to] = recipients("grace@example.test");
    const address = `${"ö".repeat(90)}@example.test`;
    const options = { notify: ["never"], originalRecipient: { type: "utf-8", address } } as const;
    const path = await createDrop().deliver(createSampleMessage({ data: "A: b\r\n\r\n" }), [{ ...to!, options }]);
    expect(await readFile(path, "utf8")).toContain("X-Receiver: <grace@example.test> NOTIFY=NEVER\r\n");
  });

  test("the same message again is the same file, and for others it is another", async () => {
    const drop = createDrop();
    const message = createSampleMessage();
    await Promise.all([drop.deliver(message, grace), drop.deliver(message, grace)]);
    expect(await readdir(join(root, "drop"))).toHaveLength(1);
    await drop.deliver(message, [...grace, ...recipients("ada@example.test")]);
    expect(await readdir(join(root, "drop"))).toHaveLength(2);
  });

  test("a folder that was removed is made again", async () => {
    const drop = createDrop();
    await drop.deliver(createSampleMessage(), grace);
    await rm(join(root, "drop"), { recursive: true });
    await drop.deliver(createSampleMessage(), grace);
    expect(await readdir(join(root, "drop"))).toHaveLength(1);
  });

  test("what cannot be written leaves nothing, and works once it can be", async () => {
    const drop = createDrop();
    await writeFile(join(root, "drop"), "in the way");
    await expect(drop.deliver(createSampleMessage(), grace)).rejects.toMatchObject({ code: expect.any(String) });
    await rm(join(root, "drop"));
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
    await expect(drop.deliver(broken, grace)).rejects.toThrow("the disk is gone");
    expect(await readdir(join(root, "drop"))).toEqual([]);
    await drop.deliver(sound, grace);
  });

  const sizeOctets = `X-Sender: ada@sender.example\r\nX-Receiver: grace@example.test\r\n${sampleData}`.length;
  const limits = [
    { why: "above what one needs", octetsMax: sizeOctets + 1, fits: true },
    { why: "at what one needs", octetsMax: sizeOctets, fits: true },
    { why: "below what one needs", octetsMax: sizeOctets - 1, fits: false },
  ];
  test.each(limits)(
    "size_max $why: it fits is $fits, and there is no room for a second",
    async ({ octetsMax, fits }) => {
      const drop = createDrop({ octetsMax });
      const first = await drop.deliver(createSampleMessage(), grace).catch((error: unknown) => error);
      if (!fits) expect(first).toBeInstanceOf(DropFull);
      await expect(drop.deliver(createSampleMessage(), grace)).rejects.toThrow("no room");
      if (!fits) return;
      await rm(first as string);
      await clock.advance(10_000);
      await drop.deliver(createSampleMessage(), grace);
    },
  );
});

describe("DropFolder.start", () => {
  const dayMs = 24 * 60 * 60_000;
  const own = "0123456789ABCDEF-0123456.eml";
  const cases: { why: string; name: string; ageMs: number; retentionMs: number; stays: boolean }[] = [
    { why: "our file, below its age", name: own, ageMs: dayMs - 1_000, retentionMs: dayMs, stays: true },
    { why: "our file, at its age", name: own, ageMs: dayMs, retentionMs: dayMs, stays: false },
    { why: "our file, above its age", name: own, ageMs: dayMs + 1_000, retentionMs: dayMs, stays: false },
    { why: "our file, kept for ever", name: own, ageMs: 1_000 * dayMs, retentionMs: 0, stays: true },
    { why: "another's file", name: "letter.eml", ageMs: 9 * dayMs, retentionMs: dayMs, stays: true },
    { why: "half a file of ours, an hour old", name: `.${own}.tmp`, ageMs: 3_600_000, retentionMs: 0, stays: false },
    {
      why: "half a file that is being written",
      name: `.${own}.tmp`,
      ageMs: 3_599_000,
      retentionMs: dayMs,
      stays: true,
    },
    { why: "another's half file", name: ".letter.tmp", ageMs: 9 * dayMs, retentionMs: dayMs, stays: true },
  ];
  test.each(cases)("$why: stays is $stays", async ({ name, ageMs, retentionMs, stays }) => {
    const log = createRecordingLog();
    const drop = createDrop({ retentionMs }, log);
    const kept = await drop.deliver(createSampleMessage(), grace);
    await rm(kept);
    const path = join(root, "drop", name);
    await writeFile(path, "x");
    const at = new Date(clock.now() - ageMs);
    await utimes(path, at, at);
    drop.start();
    await clock.advance(0);
    await drop.close();
    expect(await readdir(join(root, "drop"))).toEqual(stays ? [name] : []);
    expect(log.of("drop.swept").map(({ fields }) => fields.removed)).toEqual(stays ? [] : [1]);
  });

  test("it goes on every ten minutes until it is closed, also where the folder is not there yet", async () => {
    const drop = createDrop({ retentionMs: 60_000 });
    drop.start();
    await clock.advance(0);
    const path = await drop.deliver(createSampleMessage(), grace);
    await utimes(path, new Date(0), new Date(0));
    await expect.poll(() => clock.nextAt).toBeDefined();
    await clock.advance(10 * 60_000);
    await expect.poll(() => readdir(join(root, "drop"))).toEqual([]);
    await drop.close();
    await clock.advance(20 * 60_000);
    expect(clock.nextAt).toBeUndefined();
  });
});
