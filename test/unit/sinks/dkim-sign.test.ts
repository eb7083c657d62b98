/** Signing: what is signed and with what, by a thread as it is; the signatures are checked by others than who made them. */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import type { QueuedSubject } from "../../../src/events/subject-transport.ts";
import type { Verdict } from "../../../src/events/verdict.ts";
import { hasSignature, signedFieldsMax } from "../../../src/mail/dkim-signature.ts";
import { splitMessage } from "../../../src/mail/header.ts";
import type { Message, Origin } from "../../../src/mail/message.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { createKey, DkimKeys, keysMax } from "../../../src/sinks/dkim-keys.ts";
import { authorDomain, dkimSign, isOwnMail } from "../../../src/sinks/dkim-sign.ts";
import { fileBody } from "../../../src/spool/body-file.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createRecordingLog } from "../../support/recording-log.ts";
import { createSampleMessage, readMessage } from "../../support/sample-message.ts";
import { createKeyFolder, type KeyFolder, verifyWithDkimpy, verifyWithMailauth } from "./dkim-setup.ts";

let site: KeyFolder;
beforeEach(() => {
  site = createKeyFolder();
});
afterEach(() => site.remove());

const everything = () => true;
const mail = (from: string, body = "Hello  there \r\n\r\n\r\n") =>
  `From: ${from}\r\nTo: grace@example.test,\r\n  alan@example.test\r\nSubject:  a  folded\r\n\tsubject\r\nDate: Mon, 05 Jan 2026 12:00:00 +0000\r\nMIME-Version: 1.0\r\nX-Other: not signed\r\n\r\n${body}`;

async function sign(message: Message, isOurs: (origin: Origin) => boolean = everything, rehearsal = false) {
  const log = createRecordingLog();
  const sink = dkimSign({
    keys: new DkimKeys({ folder: site.folder, clock: systemClock, log }),
    clock: systemClock,
    isOurs,
  });
  const subject: QueuedSubject = { message, attemptId: "A1" } as QueuedSubject;
  const context = { log, bindingId: "server/dkim-sign", properties: {}, rehearsal };
  try {
    const verdict = (await sink.onPostCategorize!(subject, context)) as Verdict | undefined;
    return { verdict, log };
  } finally {
    await sink.close?.();
  }
}

const signatures = (message: Message) => message.header.count("DKIM-Signature");
let dkimpyIsMissing = false;
afterAll(() => {
  if (dkimpyIsMissing) console.warn("NOT RUN: signatures against dkimpy; install python3-dkim and python3-nacl");
});

describe("dkimSign", () => {
  test("signs with every key of the domain, and others find the signatures good", async () => {
    const keys = [await site.add("sender.example", "one"), await site.add("sender.example", "two", "ed25519")];
    const message = createSampleMessage({ data: mail("Ada <ada@sender.example>") });
    const before = await readMessage(message);
    expect((await sign(message)).verdict).toBeUndefined();
    const after = await readMessage(message);
    expect(after.subarray(after.length - before.length)).toEqual(before);
    expect(await verifyWithMailauth(after, keys)).toEqual(["pass", "pass"]);
    const others = verifyWithDkimpy(after, keys, 2);
    if (others === null) dkimpyIsMissing = true;
    else expect(others).toEqual([true, true]);
    const longest = Math.max(
      ...message.header.octets
        .toString("latin1")
        .split("\r\n")
        .map((line) => line.length),
    );
    expect(longest).toBeLessThanOrEqual(100);
  });

  test.each([
    ["the body", "there", "theirs"],
    ["a signed field", "folded", "changed"],
    ["another From on top", "From: ", "From: eve@example.com\r\nFrom: "],
    ["a second Subject at the end", "X-Other: not", "Subject: new\r\nX-Other: not"],
  ])("a change of %s is seen", async (_what, text, by) => {
    const key = await site.add("sender.example", "one");
    const message = createSampleMessage({ data: mail("ada@sender.example") });
    await sign(message);
    const changed = (await readMessage(message)).toString("latin1").replace(text, by);
    expect(await verifyWithMailauth(Buffer.from(changed, "latin1"), [key])).toEqual(["fail"]);
  });

  test("fields that are not signed may come and go", async () => {
    const key = await site.add("sender.example", "one");
    const message = createSampleMessage({ data: mail("ada@sender.example") });
    await sign(message);
    const changed = (await readMessage(message)).toString("latin1").replace("X-Other: not signed\r\n", "");
    expect(await verifyWithMailauth(Buffer.from(`Received: from x\r\n${changed}`, "latin1"), [key])).toEqual(["pass"]);
  });

  const bodies: readonly [why: string, body: string][] = [
    ["empty", ""],
    ["empty lines alone", "\r\n\r\n"],
    ["without a line end at its end", "Hello"],
    ["octets above ASCII", "\xe4\xf6\xfc \t \r\n"],
  ];
  test.each(bodies)("a body: %s", async (_why, body) => {
    const key = await site.add("sender.example", "one");
    const plain = createSampleMessage({ data: Buffer.from(mail("ada@sender.example", body), "latin1") });
    await sign(plain);
    const octets = await readMessage(plain);
    expect(await verifyWithMailauth(octets, [key])).toEqual(["pass"]);
    expect(verifyWithDkimpy(octets, [key], 1) ?? [true]).toEqual([true]);
  });

  test("a body in a file", async () => {
    const key = await site.add("sender.example", "one");
    const text = "A line  of a long body \r\n".repeat(20_000);
    const path = join(site.folder, "body");
    writeFileSync(path, text);
    const message = createSampleMessage({ data: mail("ada@sender.example"), body: fileBody(path, text.length) });
    await sign(message);
    expect(await verifyWithMailauth(await readMessage(message), [key])).toEqual(["pass"]);
    rmSync(path);
    const other = createSampleMessage({ data: mail("ada@sender.example"), body: fileBody(path, text.length) });
    expect((await sign(other)).log.of("dkim.not-signed").length).toBe(1);
  });

  test("a message that is asked about again is not signed again", async () => {
    await site.add("sender.example", "one");
    const message = createSampleMessage();
    await sign(message);
    await sign(message);
    expect(signatures(message)).toBe(1);
    await site.add("sender.example", "two");
    await sign(message);
    expect(signatures(message)).toBe(2);
  });

  test("a domain below one with a key is signed for by that; one beside it is not", async () => {
    await site.add("sender.example", "one");
    const below = createSampleMessage({ data: mail("ada@news.sender.example") });
    await sign(below);
    expect(below.header.get("DKIM-Signature")).toContain("d=sender.example;");
    const beside = createSampleMessage({ data: mail("ada@badsender.example") });
    await sign(beside);
    expect(signatures(beside)).toBe(0);
  });

  test("other people's mail, mail without one From, and rehearsals are left alone", async () => {
    await site.add("sender.example", "one");
    for (const [message, isOurs, rehearsal] of [
      [createSampleMessage(), () => false, false],
      [createSampleMessage(), everything, true],
      [createSampleMessage({ data: "Subject: x\r\n\r\nx\r\n" }), everything, false],
      [createSampleMessage({ data: `From: a@other.example\r\n${mail("ada@sender.example")}` }), everything, false],
    ] as const) {
      const before = message.header;
      await sign(message, isOurs, rehearsal);
      expect(message.header).toBe(before);
    }
  });

  test("a header of too many fields goes out as it is, and the log says so", async () => {
    await site.add("sender.example", "one");
    const many = (fields: number) =>
      createSampleMessage({ data: `From: ada@sender.example\r\n${"X: y\r\n".repeat(fields - 1)}\r\nx\r\n` });
    const most = many(signedFieldsMax);
    expect((await sign(most)).log.of("dkim.not-signed")).toEqual([]);
    expect(signatures(most)).toBe(1);
    const above = many(signedFieldsMax + 1);
    expect((await sign(above)).log.of("dkim.not-signed")).toMatchObject([{ level: "error" }]);
    expect(signatures(above)).toBe(0);
  });

  test("a message that cannot be signed in time is tried again later", async () => {
    const key = await site.add("sender.example", "one");
    const clock = createFakeClock();
    const script = new URL("../platform/thread-pool-worker.ts", import.meta.url);
    const sink = dkimSign({ keys: { keysFor: () => [key] }, clock, isOurs: everything, script, timeoutMs: 1_000 });
    const log = createRecordingLog();
    const subject = { message: createSampleMessage(), attemptId: "A1" } as QueuedSubject;
    const asked = sink.onPostCategorize!(subject, { log, bindingId: "x", properties: {}, rehearsal: false });
    await clock.advance(1_000);
    expect(await asked).toMatchObject({ kind: "defer", code: 451, status: "4.3.0" });
    await sink.close?.();
  });
});

describe("DkimKeys", () => {
  const setup = () => {
    const clock = createFakeClock();
    const log = createRecordingLog();
    return { clock, log, keys: new DkimKeys({ folder: site.folder, clock, log }) };
  };
  const selectors = async (keys: DkimKeys, domain = "sender.example") =>
    (await keys.keysFor(domain)).map(({ selector }) => selector);

  test("sees a key that was made, replaced or removed a few seconds later, and knows at once of a domain without one", async () => {
    const { clock, keys } = setup();
    expect(await selectors(keys)).toEqual([]);
    await site.add("sender.example", "one");
    expect(keys.keysFor("sender.example")).toEqual([]);
    await clock.advance(5_000);
    expect(await selectors(keys)).toEqual(["one"]);
    expect(keys.keysFor("sender.example")).not.toBeInstanceOf(Promise);
    await site.add("sender.example", "two", "ed25519");
    await clock.advance(5_000);
    expect(await selectors(keys)).toEqual(["one", "two"]);
    rmSync(join(site.folder, "sender.example"), { recursive: true });
    await clock.advance(5_000);
    expect(await selectors(keys)).toEqual([]);
  });

  test("garbage in the place of a key is said once a minute, and the others sign", async () => {
    const { clock, log, keys } = setup();
    await site.add("sender.example", "good");
    writeFileSync(join(site.folder, "sender.example", "bad.pem"), "no key", { mode: 0o600 });
    writeFileSync(join(site.folder, "sender.example", "Not A Selector.pem"), "", { mode: 0o600 });
    const weak = (await import("node:crypto")).generateKeyPairSync("rsa", { modulusLength: 512 }).privateKey;
    writeFileSync(join(site.folder, "sender.example", "weak.pem"), weak.export({ type: "pkcs8", format: "pem" }), {
      mode: 0o600,
    });
    for (let i = 0; i < 3; i++) {
      expect(await selectors(keys)).toEqual(["good"]);
      await clock.advance(10_000);
    }
    expect(log.of("dkim.key-unusable").length).toBe(3);
    await clock.advance(40_000);
    await selectors(keys);
    expect(log.of("dkim.key-unusable").length).toBe(6);
  });

  test("a key that others may read is warned about, one that is its owner's alone is not", async () => {
    const { log, keys } = setup();
    await site.add("sender.example", "one");
    await site.add("sender.example", "two");
    chmodSync(join(site.folder, "sender.example", "two.pem"), 0o640);
    expect(await selectors(keys)).toEqual(["one", "two"]);
    expect(log.of("dkim.key-exposed")).toMatchObject([
      { level: "warn", fields: { path: expect.stringContaining("two.pem") } },
    ]);
  });

  test("a folder that cannot be read costs the signature and is said", async () => {
    const { log } = setup();
    writeFileSync(join(site.folder, "file"), "");
    const keys = new DkimKeys({ folder: join(site.folder, "file"), clock: createFakeClock(), log });
    expect(await selectors(keys)).toEqual([]);
    expect(log.of("dkim.folder-unreadable").length).toBe(1);
  });

  test("four keys of a domain sign, a fifth does not", async () => {
    const { log, keys } = setup();
    for (let i = 0; i < keysMax; i++) await site.add("sender.example", `s${i}`, "ed25519");
    expect((await selectors(keys)).length).toBe(keysMax);
    expect(log.lines).toEqual([]);
    await site.add("sender.example", "s9", "ed25519");
    const fresh = setup();
    expect((await selectors(fresh.keys)).length).toBe(keysMax);
    expect(fresh.log.of("dkim.key-unusable").length).toBe(1);
  });

  test("createKey overwrites nothing, and what it makes is its owner's alone", async () => {
    await site.add("sender.example", "one");
    await expect(site.add("sender.example", "one")).rejects.toMatchObject({ code: "EEXIST" });
    mkdirSync(join(site.folder, "not a domain"));
    await createKey(site.folder, { domain: "b.example", selector: "x", type: "ed25519", bits: 0 });
    const { statSync } = await import("node:fs");
    expect(statSync(join(site.folder, "b.example", "x.pem")).mode & 0o777).toBe(0o600);
    expect(statSync(join(site.folder, "b.example")).mode & 0o777).toBe(0o700);
  });
});

describe("isOwnMail", () => {
  const { origin } = createSampleMessage();
  const rows: readonly [why: string, change: Partial<Origin>, ours: boolean][] = [
    ["a stranger", {}, false],
    ["a user", { user: "ann" }, true],
    ["the pickup folder", { listener: "pickup", ip: "127.0.0.1" }, true],
    ["a report of ours", { listener: "dsn", ip: "127.0.0.1" }, true],
    ["a listener that has the name of an entrance", { listener: "pickup" }, false],
    ["what is released from badmail, whoever wrote it", { listener: "release", ip: "127.0.0.1" }, false],
  ];
  test.each(rows)("%s", (_why, change, ours) => {
    expect(isOwnMail({ ...origin, ...change })).toBe(ours);
  });
});

describe("authorDomain", () => {
  const rows: readonly [why: string, header: string, domain: string | undefined][] = [
    ["an address", "From: ada@sender.example", "sender.example"],
    ["a name", "From: Ada Lovelace <ada@Sender.Example>", "sender.example"],
    ["an address for a name", 'From: "x@evil.example" <ada@sender.example>', "sender.example"],
    [
      "an encoded word that holds an address",
      "From: =?utf-8?q?=3Cx=40evil.example=3E?= <ada@sender.example>",
      "sender.example",
    ],
    ["two authors", "From: a@one.example, b@two.example", "one.example"],
    ["none", "To: a@one.example", undefined],
    ["two fields", "From: a@one.example\r\nfrom: b@two.example", undefined],
    ["nonsense", "From: nobody at all", undefined],
  ];
  test.each(rows)("%s", (_why, header, domain) => {
    expect(authorDomain(splitMessage(Buffer.from(`${header}\r\n\r\n`)).header)).toBe(domain);
  });
});

describe("hasSignature", () => {
  const { header } = splitMessage(Buffer.from("DKIM-Signature: v=1; s=One;\r\n d=sender.example ; b=x\r\n\r\n"));
  test.each([
    ["sender.example", "one", true],
    ["sender.example", "two", false],
    ["example", "one", false],
  ])("%s %s", (domain, selector, there) => {
    expect(hasSignature(header, { domain, selector })).toBe(there);
  });
});
