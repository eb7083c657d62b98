/** The entrance for mail without an SMTP client: the same care as behind a listener, and what such mail lacks. */
import { afterEach, describe, expect, test } from "vitest";
import type { MessageSubject } from "../../../src/events/subject.ts";
import type { OversizeSubject } from "../../../src/events/subject-transport.ts";
import { defer, discard, quarantine, refuse } from "../../../src/events/verdict.ts";
import type { Submission } from "../../../src/inbound/entrance.ts";
import { addressedByHeader } from "../../../src/mail/addressed.ts";
import { parseMailbox } from "../../../src/mail/mailbox.ts";
import type { Message } from "../../../src/mail/message.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import { createEntrance, type TestEntrance } from "../../support/entrance.ts";
import { createBinding } from "../../support/events.ts";
import { createRoom } from "../../support/listener.ts";
import { readMessage } from "../../support/sample-message.ts";

let here: TestEntrance;
afterEach(() => here?.close());

const to = (...mailboxes: string[]) => mailboxes.map((mailbox) => ({ mailbox: parseMailbox(mailbox) }));
const envelope = { reversePath: parseMailbox("ann@example.org"), recipients: to("bob@example.test") };
const text = "From: ann@example.org\nSubject: one\n\ntext\n";

function submit(options: Parameters<typeof createEntrance>[0] = {}, changes: Partial<Submission> = {}) {
  here = createEntrance(options);
  return here.entrance.submit({ origin: "submit", envelope, octets: Buffer.from(text), ...changes });
}

async function acceptedText(): Promise<string> {
  return (await readMessage((await here.spool.load(here.queued[0]!.id))!)).toString();
}

describe("submit", () => {
  test("takes a text into custody, with the fields it lacks and every line end made whole", async () => {
    const result = await submit({}, { user: "ann" });
    expect(result).toEqual({ kind: "accepted", id: here.queued[0]!.id });
    const { id } = here.queued[0]!;
    expect(await acceptedText()).toBe(
      [
        `Received: by mx.example.test (OnArrival, submit) id ${id} for`,
        " <bob@example.test>; Mon, 05 Jan 2026 12:00:00 +0000",
        "From: ann@example.org",
        "Subject: one",
        "Date: Mon, 05 Jan 2026 12:00:00 +0000",
        `Message-ID: <${id}@mx.example.test>`,
        "",
        "text",
        "",
      ].join("\r\n"),
    );
    expect(here.queued[0]!.origin).toMatchObject({ listener: "submit", ip: "127.0.0.1", user: "ann" });
    expect(here.log.of("message.accepted")[0]!.fields).toMatchObject({ entrance: "submit", user: "ann", message: id });
  });

  test("an address beyond ASCII stands in From as it is", async () => {
    await submit(
      {},
      {
        envelope: { ...envelope, reversePath: parseMailbox("jörg@example.org") },
        octets: Buffer.from("Subject: x\n\n"),
      },
    );
    expect(await acceptedText()).toContain("\r\nFrom: jörg@example.org\r\n");
  });

  test.each<[why: string, text: string, fields: readonly string[], body: string]>([
    [
      "fields that are there stay",
      "From: a@b.example\nDate: x\nmessage-id: <1@b.example>\n\nt\n",
      ["From", "Date", "message-id"],
      "t\r\n",
    ],
    ["a text without a header is a body", "Hello, Bob\nbye", ["From", "Date", "Message-ID"], "Hello, Bob\r\nbye\r\n"],
    ["a header alone, its last line without an end", "Subject: x", ["Subject", "From", "Date", "Message-ID"], ""],
    ["nothing at all", "", ["From", "Date", "Message-ID"], ""],
    ["a lone CR ends a line too", "A: b\r\rt\r", ["A", "From", "Date", "Message-ID"], "t\r\n"],
    ["a dot is a dot", "A: b\n\n.\n..\n", ["A", "From", "Date", "Message-ID"], ".\r\n..\r\n"],
  ])("%s", async (_why, octets, fields, body) => {
    expect(await submit({}, { octets: Buffer.from(octets) })).toMatchObject({ kind: "accepted" });
    const message = (await here.spool.load(here.queued[0]!.id))!;
    expect(message.header.fields.map(({ name }) => name)).toEqual(["Received", ...fields]);
    expect((await message.body.octets()).toString()).toBe(body);
    expect(message.separator.toString()).toBe("\r\n");
  });

  test("comes to the same in pieces of any size", async () => {
    const octets = Buffer.from("A: b\r\nC: d\n\none\r\ntwo\rthree");
    const texts = new Set<string>();
    for (const size of [1, 2, 3, 7, octets.length]) {
      await submit(
        {},
        {
          id: "0000000000000000",
          octets: (async function* () {
            for (let at = 0; at < octets.length; at += size) yield octets.subarray(at, at + size);
          })(),
        },
      );
      texts.add(await acceptedText());
      here.close();
    }
    expect([...texts]).toEqual([expect.stringMatching(/\r\n\r\none\r\ntwo\r\nthree\r\n$/)]);
  });

  test.each<[why: string, changes: Partial<Submission>, kind: string, code: number, fault: string | null]>([
    ["a NUL", { octets: Buffer.from("A: b\n\n\0\n") }, "refused", 550, "message.nul"],
    ["an octet too many", { octets: Buffer.alloc(9_999, "x") }, "refused", 552, "message.too-large"],
    ["nobody it is for", { envelope: { ...envelope, recipients: [] } }, "refused", 550, "submission.malformed"],
    [
      "a recipient too many",
      { envelope: { ...envelope, recipients: to("a@b.example", "c@b.example", "d@b.example", "e@b.example") } },
      "refused",
      550,
      "submission.malformed",
    ],
    ["a header that names nobody", { envelope: addressedByHeader }, "refused", 550, "submission.malformed"],
    ["a source that fails", { octets: failing() }, "deferred", 451, null],
  ])("keeps nothing of what has %s", async (_why, changes, kind, code, fault) => {
    expect(await submit({}, changes)).toMatchObject({ kind, reply: { code }, fault });
    expect([here.spool.counts().messages, here.queued.length]).toEqual([0, 0]);
    expect(here.log.of(`message.${kind}`)).toHaveLength(1);
  });

  test("takes a message of exactly the limit", async () => {
    expect(await submit({}, { octets: Buffer.from(`${"x".repeat(9_998)}\r\n`) })).toMatchObject({ kind: "accepted" });
  });

  test("names a recipient once, and asks for SMTPUTF8 where an address needs it", async () => {
    const recipients = to("bob@example.test", "BOB@example.test", "jörg@example.test");
    await submit({}, { envelope: { ...envelope, recipients } });
    expect(here.queued[0]!.envelope).toMatchObject({
      recipients: [recipients[0], recipients[2]],
      options: { smtpUtf8: true },
    });
  });

  test("reads the envelope from the header, and sends nobody the Bcc", async () => {
    await submit(
      {},
      { envelope: addressedByHeader, octets: Buffer.from("From: a@b.example\nBcc: c@d.example\n\nt\n") },
    );
    expect(here.queued[0]!.envelope.recipients).toEqual(to("c@d.example"));
    expect(await acceptedText()).not.toContain("Bcc");
  });

  test.each<[why: string, verdict: unknown, result: object]>([
    [
      "refused",
      refuse("No", { code: 554, status: "5.7.9" }),
      { kind: "refused", reply: { code: 554, status: "5.7.9", text: "No" } },
    ],
    ["deferred", defer("Later"), { kind: "deferred", reply: { code: 451 }, reason: "Later" }],
    ["discarded", discard("Junk"), { kind: "discarded" }],
    ["quarantined", quarantine("Odd"), { kind: "quarantined" }],
  ])("a sink at onArrival has its way: %s", async (kind, verdict, result) => {
    const handler = () => verdict;
    expect(await submit({ bindings: [createBinding("onArrival", handler, { id: "b1" })] })).toMatchObject(result);
    expect(here.spool.counts().messages).toBe(0);
    expect(await here.badmail.ids()).toHaveLength(kind === "quarantined" ? 1 : 0);
    expect(here.log.of(`message.${kind}`)[0]!.fields).toMatchObject({ by: "b1", entrance: "submit" });
  });

  test("tells the steps of its way like any other mail's", async () => {
    const steps: string[] = [];
    await submit({
      bindings: [createBinding("onTrack", ({ step }: { readonly step: string }) => void steps.push(step))],
    });
    expect(steps).toEqual(["received", "spooled"]);
  });

  test("revokes the message a sink may still hold: what is in custody stays as it was decided", async () => {
    let seen: Message | undefined;
    const handler = ({ message }: MessageSubject) => {
      seen = message;
    };
    await submit({ bindings: [createBinding("onArrival", handler)] });
    expect(() => {
      seen!.notes = { late: true };
    }).toThrow(expect.objectContaining({ code: "message.revoked" }));
    expect((await here.spool.load(seen!.id))!.notes).toEqual({});
  });

  test("asks onOversize once where more comes than is taken", async () => {
    const asked: number[] = [];
    const handler = ({ sizeOctets, allow, transaction }: OversizeSubject) => {
      asked.push(sizeOctets);
      expect(transaction).toBeNull();
      allow(20_000);
    };
    const bindings = [createBinding("onOversize", handler)];
    const octets = (pieces: number) =>
      (async function* () {
        for (let i = 0; i < pieces; i++) yield Buffer.from(`${"x".repeat(998)}\r\n`);
      })();
    expect(await submit({ bindings }, { octets: octets(20) })).toMatchObject({ kind: "accepted" });
    here.close();
    expect(await submit({ bindings }, { octets: octets(21) })).toMatchObject({ kind: "refused", reply: { code: 552 } });
    expect(asked).toEqual([11_000, 11_000]);
  });

  test.each<[why: string, origin: Submission["origin"], kind: string]>([
    ["turned away while the disk is short", "pickup", "deferred"],
    ["back from badmail: it has its place already", "release", "accepted"],
  ])("%s", async (_why, origin, kind) => {
    expect(await submit({ room: createRoom(-1) }, { origin })).toMatchObject({ kind });
  });

  test("is deferred where the spool has no room, and the disk is looked at", async () => {
    let looks = 0;
    const spool = createMemorySpool();
    const full = { ...spool, accept: () => Promise.reject(Object.assign(new Error("ENOSPC"), { code: "spool.full" })) };
    expect(await submit({ spool: full, onFull: () => void looks++ })).toMatchObject({ kind: "deferred" });
    expect(looks).toBe(1);
  });
});

async function* failing(): AsyncGenerator<Buffer> {
  yield Buffer.from("A: b\n");
  throw new Error("gone");
}
