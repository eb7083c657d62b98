import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { inlineBody } from "../../../src/mail/message.ts";
import { BadMail } from "../../../src/spool/badmail.ts";
import { createSampleMessage, readMessage } from "../../support/sample-message.ts";

const reason = { reason: "too odd", binding: "scripts/a.ts#onArrival", at: Date.UTC(2026, 0, 5, 12) };

let folder: string;
let badmail: BadMail;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "onarrival-badmail-"));
  badmail = new BadMail(folder);
});

afterEach(() => rmSync(folder, { recursive: true }));

describe("keep", () => {
  test("keeps the message to the octet, with envelope and reason beside it", async () => {
    const message = createSampleMessage();
    await badmail.keep(message, reason);
    expect(await badmail.ids()).toEqual([message.id]);
    expect(readFileSync(join(folder, message.id, "message.eml"))).toEqual(await readMessage(message));
    expect(JSON.parse(readFileSync(join(folder, message.id, "reason.json"), "utf8"))).toMatchObject({
      id: message.id,
      reason: "too odd",
      binding: "scripts/a.ts#onArrival",
      from: "ada@sender.example",
      to: ["grace@example.test"],
    });
  });

  test("keeps what the client asked for, where it asked", async () => {
    const asked = createSampleMessage({
      to: ["a@example.test", "b@example.test"],
      options: { requireTls: true },
      toOptions: [undefined, { notify: ["never"] }],
    });
    const plain = createSampleMessage();
    await badmail.keep(asked, reason);
    await badmail.keep(plain, reason);
    const recordOf = ({ id }: { readonly id: string }) =>
      JSON.parse(readFileSync(join(folder, id, "reason.json"), "utf8"));
    expect(recordOf(asked)).toMatchObject({ options: { requireTls: true }, toOptions: [null, { notify: ["never"] }] });
    expect(Object.keys(recordOf(plain))).not.toEqual(expect.arrayContaining(["options"]));
    expect(Object.keys(recordOf(plain))).not.toEqual(expect.arrayContaining(["toOptions"]));
  });

  test("a message that is kept already stays as it is", async () => {
    const message = createSampleMessage();
    await badmail.keep(message, reason);
    const before = readFileSync(join(folder, message.id, "reason.json"));
    // A server that was killed before it could say that it is kept.
    await badmail.keep(message, { ...reason, reason: "again" });
    expect(readdirSync(folder)).toEqual([message.id]);
    expect(readFileSync(join(folder, message.id, "reason.json"))).toEqual(before);
  });

  test("what a crash may leave half done is never one of those that are kept", async () => {
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    const slow = {
      ...inlineBody(Buffer.from("text\r\n")),
      async *chunks() {
        reached.resolve();
        await gate.promise;
        yield Buffer.from("text\r\n");
      },
    };
    const message = createSampleMessage({ body: slow });
    const kept = badmail.keep(message, reason);
    await reached.promise;
    expect(await badmail.ids()).toEqual([]);
    gate.resolve();
    await kept;
    expect(readdirSync(folder)).toEqual([message.id]);
  });

  test("leaves nothing behind where it fails", async () => {
    const broken = {
      ...inlineBody(Buffer.from("text\r\n")),
      async *chunks() {
        yield Buffer.from("te");
        throw new Error("the disk is gone");
      },
    };
    await expect(badmail.keep(createSampleMessage({ body: broken }), reason)).rejects.toThrow("the disk is gone");
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("keepFile", () => {
  const file = { ...reason, id: "0000000000000001", file: "one.eml", origin: "pickup", fault: "submission.malformed" };

  test("keeps the file to the octet, with the reason beside it, and leaves the file itself where it is", async () => {
    const path = join(folder, "one.eml");
    const octets = Buffer.from([0, 10, 13, 255]);
    writeFileSync(path, octets);
    await badmail.keepFile(path, file);
    expect(readFileSync(join(folder, file.id, "message.eml"))).toEqual(octets);
    expect(readFileSync(path)).toEqual(octets);
    expect((await badmail.find(file.id))!.record).toMatchObject({
      file: "one.eml",
      message: null,
      binding: reason.binding,
    });
    rmSync(path);
    expect(readFileSync(join(folder, file.id, "message.eml"))).toEqual(octets);
  });

  test("keeps nothing of a file that is not there", async () => {
    await expect(badmail.keepFile(join(folder, "none"), file)).rejects.toThrow(/ENOENT/);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("find", () => {
  test("gives all that was kept of a message", async () => {
    const message = createSampleMessage({
      from: null,
      options: { ret: "FULL" },
      toOptions: [{ notify: ["never"] }],
      notes: { a: 1 },
    });
    await badmail.keep(message, { ...reason, rule: "SIZE=>1", fault: "sink.failed" });
    expect(await badmail.find(message.id)).toEqual({
      id: message.id,
      problem: null,
      sizeOctets: message.sizeOctets,
      at: reason.at,
      record: {
        id: message.id,
        receivedAt: message.receivedAt,
        quarantinedAt: reason.at,
        reason: "too odd",
        binding: reason.binding,
        rule: "SIZE=>1",
        fault: "sink.failed",
        file: null,
        message: {
          envelope: message.envelope,
          origin: message.origin,
          notes: { a: 1 },
          parts: { headerOctets: message.header.octets.length, separatorOctets: 2 },
        },
      },
    });
  });

  test("gives nothing where there is nothing, and makes no path of what is no id", async () => {
    expect(await badmail.find("0000000000000000")).toBeUndefined();
    await expect(badmail.find("../../etc/passwd")).rejects.toThrow(/message id/);
  });
});

describe("remove", () => {
  test("removes the one that is named", async () => {
    const [one, other] = [createSampleMessage(), createSampleMessage()];
    for (const message of [one, other]) await badmail.keep(message, reason);
    await badmail.remove(one.id);
    expect(readdirSync(folder)).toEqual([other.id]);
  });

  test("says so where it is not there", async () => {
    await expect(badmail.remove("0000000000000000")).rejects.toMatchObject({ code: "badmail.unknown" });
  });
});

describe("remove", () => {
  test("leaves alone what is being written anew under the same id", async () => {
    const message = createSampleMessage();
    await badmail.keep(message, reason);
    mkdirSync(join(folder, `${message.id}.tmp`));
    await badmail.remove(message.id);
    expect(readdirSync(folder)).toEqual([`${message.id}.tmp`]);
  });

  test("is not kept from it by what an earlier removal left", async () => {
    const message = createSampleMessage();
    await badmail.keep(message, reason);
    mkdirSync(join(folder, `${message.id}.gone`));
    writeFileSync(join(folder, `${message.id}.gone`, "reason.json"), "{}");
    await badmail.remove(message.id);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("sweep", () => {
  test("removes what a killed server left half written, and nothing else", async () => {
    const message = createSampleMessage();
    await badmail.keep(message, reason);
    const left = createSampleMessage().id;
    mkdirSync(join(folder, `${left}.tmp`));
    writeFileSync(join(folder, `${left}.tmp`, "message.eml"), "Subject: ha");
    const others = ["notes.tmp", `${left}.txt`, `x${left}.tmp`];
    for (const name of others) writeFileSync(join(folder, name), "somebody's");
    expect(await badmail.sweep()).toBe(1);
    expect(readdirSync(folder).sort()).toEqual([message.id, ...others].sort());
    expect(readdirSync(join(folder, message.id)).sort()).toEqual(["message.eml", "reason.json"]);
    expect(await badmail.sweep()).toBe(0);
  });

  test("finds nothing where there is no folder yet", async () => {
    expect(await new BadMail(join(folder, "none")).sweep()).toBe(0);
  });
});
