import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
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
