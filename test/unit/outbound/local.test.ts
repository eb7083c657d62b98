import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Handlers } from "../../../src/events/sink.ts";
import type { LocalDeliverySubject } from "../../../src/events/subject-transport.ts";
import { defer, discard, proceed, quarantine, refuse } from "../../../src/events/verdict.ts";
import { parseMailbox } from "../../../src/mail/mailbox.ts";
import type { Message } from "../../../src/mail/message.ts";
import { DropFolder } from "../../../src/outbound/drop.ts";
import { LocalDelivery, type LocalDeliveryOptions, type LocalHop, localDelivery } from "../../../src/outbound/local.ts";
import { MaildirStore } from "../../../src/outbound/maildir.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { Fault } from "../../../src/platform/fault.ts";
import type { Outcome } from "../../../src/queue/attempt.ts";
import type { StoredRecipient } from "../../../src/spool/spool.ts";
import { createRecordingLog, type RecordingLog } from "../../support/recording-log.ts";
import { createSampleMessage, readMessage, type SampleMessage, sampleData } from "../../support/sample-message.ts";
import { eventsWith, recipientsOf } from "./smtp-setup.ts";

let root = "";
let log: RecordingLog;
/** What was given to LMTP and HTTP: who, and what. */
let handed: { readonly way: string; readonly to: readonly string[]; readonly message: Message }[];
let kept: { readonly message: Message; readonly reason: string; readonly binding: string | null }[];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "local-"));
  log = createRecordingLog();
  handed = [];
  kept = [];
});
afterEach(() => rm(root, { recursive: true, force: true }));

const maildir: LocalHop = { kind: "maildir" };
const drop: LocalHop = { kind: "drop" };
const http: LocalHop = { kind: "http", url: "https://app.example/mail" };
const lmtp: LocalHop = { kind: "lmtp", server: { socket: "/run/lmtp" } };

function create(handlers: Handlers, options: Partial<LocalDeliveryOptions> = {}): LocalDelivery {
  const take = (way: string) => ({
    async deliver(work: { readonly message: Message; readonly recipients: readonly StoredRecipient[] }) {
      handed.push({ way, message: work.message, to: work.recipients.map(({ mailbox }) => mailbox.localPart) });
      return work.recipients.map(
        ({ index }): Outcome => ({ index, kind: "delivered", nextHop: way, reply: null, reason: "" }),
      );
    },
  });
  return new LocalDelivery({
    events: eventsWith(handlers, { id: "sinks/one" }),
    log,
    maildirs: new MaildirStore({ root: join(root, "mail"), clock: systemClock }),
    drop: new DropFolder({
      folder: join(root, "drop"),
      settings: { octetsMax: 0, retentionMs: 0 },
      clock: systemClock,
      log,
    }),
    lmtp: take("lmtp"),
    http: take("http"),
    quarantine: async (message, { reason, binding }) => void kept.push({ message, reason, binding }),
    ...options,
  });
}

function deliver(
  handler: ((subject: LocalDeliverySubject) => unknown) | undefined,
  { hop = maildir, signal, ...sample }: SampleMessage & { readonly hop?: LocalHop; readonly signal?: AbortSignal } = {},
  options: Partial<LocalDeliveryOptions> = {},
): Promise<Outcome[]> {
  const message = createSampleMessage(sample);
  const recipients = recipientsOf(message);
  const handlers = handler ? { onLocalDelivery: handler as NonNullable<Handlers["onLocalDelivery"]> } : {};
  return create(handlers, options).deliver({ hop, message, recipients, attemptId: "A1", ...(signal && { signal }) });
}

/** Where mail for somebody is, and what it says. */
async function filed(user: string): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  const folder = join(root, "mail", "example.test", user);
  for (const name of ["", ...(await readdir(folder)).filter((entry) => entry.startsWith("."))]) {
    const files = await readdir(join(folder, name, "new"));
    if (files.length > 0)
      found[name] = await Promise.all(files.map((file) => readFile(join(folder, name, "new", file), "latin1")));
  }
  return found;
}

describe("LocalDelivery.deliver without sinks", () => {
  test("every recipient has his mail, by his Maildir", async () => {
    const outcomes = await deliver(undefined, { to: ["grace@example.test", "ada@example.test"] });
    expect(outcomes).toEqual([
      {
        index: 0,
        kind: "delivered",
        nextHop: "maildir:grace@example.test",
        reply: null,
        reason: "written to the Maildir",
        status: "2.0.0",
      },
      {
        index: 1,
        kind: "delivered",
        nextHop: "maildir:ada@example.test",
        reply: null,
        reason: "written to the Maildir",
        status: "2.0.0",
      },
    ]);
    expect(Object.keys(await filed("ada"))).toEqual([""]);
  });

  test("the server's own sink alone costs no copy and no question", async () => {
    let asked = 0;
    const events = eventsWith({ onLocalDelivery: localDelivery.onLocalDelivery! }, { source: "server" });
    const counted = {
      bindingsOf: events.bindingsOf.bind(events),
      ask: () => {
        asked++;
        return proceed;
      },
    };
    expect(await deliver(undefined, { hop: http }, { events: counted })).toMatchObject([{ kind: "delivered" }]);
    expect(asked).toBe(0);
  });

  test("the mailbox may be another than the address", async () => {
    await deliver(
      undefined,
      { to: ["grace+news@example.test"] },
      { mailboxOf: () => parseMailbox("grace@example.test") },
    );
    expect((await filed("grace"))[""]![0]).toContain("Delivered-To: grace+news@example.test");
  });

  test("the folder that was chosen with the recipient; one that is none is the inbox", async () => {
    await deliver(undefined, {
      to: ["grace@example.test", "ada@example.test"],
      toOptions: [{ folder: "Lists/dev" }, { folder: "../x" }],
    });
    expect(Object.keys(await filed("grace"))).toEqual([".Lists.dev"]);
    expect(Object.keys(await filed("ada"))).toEqual([""]);
    expect(log.of("delivery.no-such-folder").map(({ fields }) => fields.to)).toEqual(["ada@example.test"]);
  });

  const groups: { hop: LocalHop; way: string }[] = [
    { hop: http, way: "http" },
    { hop: lmtp, way: "lmtp" },
  ];
  test.each(groups)("by $way all recipients go together", async ({ hop, way }) => {
    const outcomes = await deliver(undefined, { hop, to: ["grace@example.test", "ada@example.test"] });
    expect(handed.map(({ way, to }) => [way, to])).toEqual([[way, ["grace", "ada"]]]);
    expect(outcomes.map(({ index, kind }) => [index, kind])).toEqual([
      [0, "delivered"],
      [1, "delivered"],
    ]);
  });

  test("by drop one file has them all", async () => {
    expect(await deliver(undefined, { hop: drop, to: ["grace@example.test", "ada@example.test"] })).toMatchObject([
      { index: 0, kind: "delivered", nextHop: "drop" },
      { index: 1, kind: "delivered", nextHop: "drop" },
    ]);
    expect(await readdir(join(root, "drop"))).toHaveLength(1);
  });

  test("when the attempt's time is over nothing is begun", async () => {
    for (const hop of [maildir, drop, http, lmtp])
      expect(await deliver(undefined, { hop, signal: AbortSignal.abort() })).toMatchObject([
        { kind: "deferred", reason: "the attempt's time was over" },
      ]);
    expect(handed).toEqual([]);
    expect(await readdir(root)).toEqual([]);
  });
});

describe("LocalDelivery.deliver: trouble with the disk", () => {
  const failing = (error: unknown) => ({ deliver: () => Promise.reject(error as Error) });
  const noSpace = Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  const rows: { why: string; error: unknown; status: string }[] = [
    { why: "a full disk", error: noSpace, status: "4.3.1" },
    { why: "a quota of the system", error: Object.assign(new Error("quota"), { code: "EDQUOT" }), status: "4.3.1" },
    { why: "a spool that says so", error: new Fault("spool.full", "no room"), status: "4.3.1" },
    { why: "anything else", error: Object.assign(new Error("denied"), { code: "EACCES" }), status: "4.3.0" },
  ];
  test.each(rows)("$why defers, $status", async ({ error, status }) => {
    expect(await deliver(undefined, {}, { maildirs: failing(error) })).toMatchObject([{ kind: "deferred", status }]);
    expect(await deliver(undefined, { hop: drop }, { drop: failing(error) })).toMatchObject([
      { kind: "deferred", status },
    ]);
  });

  test("a Maildir that cannot be written defers its recipient alone", async () => {
    const maildirs = new MaildirStore({ root: join(root, "mail"), clock: systemClock });
    const one = {
      deliver: (...args: Parameters<MaildirStore["deliver"]>) =>
        args[1].localPart === "ada" ? Promise.reject(noSpace) : maildirs.deliver(...args),
    };
    expect(
      await deliver(undefined, { to: ["grace@example.test", "ada@example.test"] }, { maildirs: one }),
    ).toMatchObject([
      { index: 0, kind: "delivered" },
      { index: 1, kind: "deferred" },
    ]);
  });

  test("a full mailbox defers 4.2.2; one that is too small for the message fails 5.2.3", async () => {
    const maildirs = new MaildirStore({ root: join(root, "mail"), clock: systemClock, mailboxOctetsMax: 300 });
    expect(await deliver(undefined, {}, { maildirs })).toMatchObject([{ kind: "delivered" }]);
    expect(await deliver(undefined, {}, { maildirs })).toMatchObject([{ kind: "deferred", status: "4.2.2" }]);
    maildirs.mailboxOctetsMax = 100;
    expect(await deliver(undefined, {}, { maildirs })).toMatchObject([{ kind: "failed", status: "5.2.3" }]);
  });

  test("a full drop folder defers all, 4.3.1", async () => {
    const full = new DropFolder({
      folder: join(root, "drop"),
      settings: { octetsMax: 10, retentionMs: 0 },
      clock: systemClock,
      log,
    });
    const to = ["grace@example.test", "ada@example.test"];
    expect(await deliver(undefined, { hop: drop, to }, { drop: full })).toMatchObject([
      { index: 0, kind: "deferred", status: "4.3.1" },
      { index: 1, kind: "deferred", status: "4.3.1" },
    ]);
  });
});

describe("LocalDelivery.deliver: what sinks say", () => {
  test("they are asked for each recipient, with the attempt's id", async () => {
    const asked: string[] = [];
    await deliver(
      ({ forwardPath, attemptId, nextHop, folder }) =>
        void asked.push(`${forwardPath.localPart} ${attemptId} ${nextHop.kind} ${folder}`),
      {
        to: ["grace@example.test", "ada@example.test"],
        toOptions: [undefined, { folder: "Junk" }],
      },
    );
    expect(asked).toEqual(["grace A1 maildir null", "ada A1 maildir Junk"]);
  });

  test("fileInto chooses the folder, for this recipient", async () => {
    await deliver(
      (subject) => (subject.forwardPath.localPart === "ada" ? subject.fileInto("Junk") : subject.fileInto(null)),
      {
        to: ["eve@example.test", "ada@example.test"],
        toOptions: [{ folder: "Lists" }],
      },
    );
    expect(Object.keys(await filed("eve"))).toEqual([""]);
    expect(Object.keys(await filed("ada"))).toEqual([".Junk"]);
  });

  test("its powers may be taken out of the subject", async () => {
    await deliver(({ fileInto }) => fileInto("Junk"));
    expect(Object.keys(await filed("grace"))).toEqual([".Junk"]);
  });

  test("a folder that cannot be is the sink's fault: onFault decides", async () => {
    expect(await deliver((subject) => subject.fileInto("../../etc"))).toMatchObject([{ kind: "deferred" }]);
    await expect(readdir(join(root, "mail"))).rejects.toThrow();
  });

  const verdicts: { why: string; verdict: ReturnType<typeof refuse>; outcome: Partial<Outcome> }[] = [
    {
      why: "refuse",
      verdict: refuse("Not here", { code: 550, status: "5.1.1" }),
      outcome: {
        kind: "failed",
        status: "5.1.1",
        reply: { code: 550, status: "5.1.1", text: "Not here" },
        reason: "refused by sinks/one",
      },
    },
    {
      why: "defer",
      verdict: defer("Later", { status: "4.2.0" }),
      outcome: {
        kind: "deferred",
        status: "4.2.0",
        reply: { code: 451, status: "4.2.0", text: "Later" },
        reason: "deferred by sinks/one",
      },
    },
    {
      why: "discard: nobody is told that it arrived",
      verdict: discard("unwanted"),
      outcome: { kind: "delivered", reason: "discarded: unwanted", dsnPassedOn: true },
    },
    {
      why: "quarantine: nobody is told that it arrived",
      verdict: quarantine("odd"),
      outcome: {
        kind: "delivered",
        reason: expect.stringMatching(/^quarantined as \w{16}: odd$/) as unknown as string,
        dsnPassedOn: true,
      },
    },
  ];
  test.each(verdicts)("$why, for this recipient alone", async ({ verdict, outcome }) => {
    const outcomes = await deliver(({ forwardPath }) => (forwardPath.localPart === "grace" ? verdict : undefined), {
      to: ["grace@example.test", "ada@example.test"],
    });
    expect(outcomes).toHaveLength(2);
    expect(outcomes.find(({ index }) => index === 0)).toMatchObject({
      nextHop: "maildir:grace@example.test",
      ...outcome,
    });
    expect(outcomes.find(({ index }) => index === 1)).toMatchObject({ kind: "delivered" });
    expect(await readdir(join(root, "mail", "example.test"))).toEqual(["ada"]);
  });

  test("quarantine keeps what the sink made of it, for him alone, under an id of its own", async () => {
    const message = { to: ["grace@example.test", "ada@example.test"], id: "01TESTMESSAGE000" };
    await deliver(({ message }) => {
      message.header = message.header.add("X-Spam", "yes");
      return quarantine("odd");
    }, message);
    expect(kept.map(({ reason, binding }) => [reason, binding])).toEqual([
      ["odd", "sinks/one"],
      ["odd", "sinks/one"],
    ]);
    expect(kept.map(({ message }) => message.envelope.recipients.map(({ mailbox }) => mailbox.localPart))).toEqual([
      ["grace"],
      ["ada"],
    ]);
    expect(new Set([...kept.map(({ message }) => message.id), "01TESTMESSAGE000"]).size).toBe(3);
    expect((await readMessage(kept[0]!.message)).toString()).toContain("X-Spam: yes\r\n");
    expect(log.of("delivery.decided").map(({ fields }) => [fields.to, fields.binding])).toEqual([
      ["grace@example.test", "sinks/one"],
      ["ada@example.test", "sinks/one"],
    ]);
    // Killed before anybody knew of it, it is tried again: the same copy.
    await deliver(() => quarantine("odd"), message);
    expect(new Set(kept.map(({ message }) => message.id)).size).toBe(2);
  });

  test("what badmail cannot keep is deferred, and not lost", async () => {
    const broken = () => Promise.reject(new Error("the disk is full"));
    expect(await deliver(() => quarantine("odd"), {}, { quarantine: broken })).toMatchObject([
      { kind: "deferred", reason: expect.stringContaining("the disk is full") },
    ]);
  });

  test("consume: the sink has it, and it is written nowhere", async () => {
    expect(await deliver((subject) => subject.consume("put into\r\nthe shop"))).toEqual([
      { index: 0, kind: "delivered", nextHop: "sink", reply: null, reason: "put into the shop", status: "2.0.0" },
    ]);
    expect(await readdir(root)).toEqual([]);
  });

  test("consume: no verdict takes it back, a fault does", async () => {
    const said = await deliver((subject) => {
      subject.consume();
      return refuse("No");
    });
    expect(said).toMatchObject([{ kind: "delivered", reason: "delivered by sinks/one" }]);
    const failed = await deliver((subject) => {
      subject.consume();
      throw new Error("not durable after all");
    });
    expect(failed).toMatchObject([{ kind: "deferred" }]);
  });

  test("edits are for this recipient: each gets what was made for him, the others go together", async () => {
    await deliver(
      ({ message, forwardPath }) => {
        if (forwardPath.localPart !== "ada") return;
        message.header = message.header.prepend("X-For", "ada");
        message.envelope = { ...message.envelope, reversePath: null };
      },
      { hop: http, to: ["grace@example.test", "ada@example.test", "eve@example.test"] },
    );
    expect(handed.map(({ to }) => to)).toEqual([["grace", "eve"], ["ada"]]);
    expect((await readMessage(handed[0]!.message)).toString()).toBe(sampleData);
    expect((await readMessage(handed[1]!.message)).toString()).toBe(`X-For: ada\r\n${sampleData}`);
    expect(handed[1]!.message.envelope.reversePath).not.toBeNull();
  });

  test("a sink that changes the message too late gets a fault, and changes nothing", async () => {
    let late: Message | undefined;
    await deliver(({ message }) => void (late = message));
    expect(() => (late!.header = late!.header.add("X-Late", "yes"))).toThrow(
      expect.objectContaining({ code: "message.revoked" }),
    );
    expect((await filed("grace"))[""]![0]).not.toContain("X-Late");
  });

  test("an event that cannot be asked about defers, and leaves the others alone", async () => {
    const events = {
      bindingsOf: () => [{ source: "config" }] as never,
      ask: (_event: string, { forwardPath }: LocalDeliverySubject) => {
        if (forwardPath.localPart === "ada") throw new Error("a bug");
        return { kind: "proceed", settled: false } as const;
      },
    } as unknown as LocalDeliveryOptions["events"];
    expect(await deliver(undefined, { to: ["ada@example.test", "grace@example.test"] }, { events })).toMatchObject([
      { index: 0, kind: "deferred", reason: expect.stringContaining("a bug") },
      { index: 1, kind: "delivered" },
    ]);
  });
});
