/** The pickup folder: what is taken and when, what is left alone, and that nothing is lost on the way. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { defer, discard, quarantine, refuse, type Verdict } from "../../../src/events/verdict.ts";
import { BadMailDesk } from "../../../src/inbound/badmail-desk.ts";
import { Pickup, type Watching } from "../../../src/inbound/pickup.ts";
import { settleMs } from "../../../src/inbound/pickup-look.ts";
import { createId } from "../../../src/mail/ids.ts";
import { formatMailbox, parseMailbox } from "../../../src/mail/mailbox.ts";
import { createEntrance, type TestEntrance } from "../../support/entrance.ts";
import { createBinding } from "../../support/events.ts";
import { createRoom } from "../../support/listener.ts";
import { createSampleMessage, readMessage } from "../../support/sample-message.ts";

const text = "X-Sender: ann@example.org\nX-Receiver: bob@example.test\nSubject: one\n\ntext\n";

let here: TestEntrance;
let folder: string;
let pickup: Pickup;
let watching: Watching | null;

beforeEach(() => begin());
afterEach(async () => {
  await stop();
  here.close();
});

function begin(options: Parameters<typeof createEntrance>[0] = {}): void {
  here = createEntrance(options);
  folder = join(here.folder, "pickup");
  pickup = createPickup();
}

function createPickup(): Pickup {
  const watchFolder = (_folder: string, told: Watching) => {
    watching = told;
    return { close: () => void (watching = null) };
  };
  return new Pickup({ ...here, folder, watchFolder });
}

async function restart(options: Parameters<typeof createEntrance>[0]): Promise<void> {
  await stop();
  here.close();
  begin(options);
}

async function stop(): Promise<void> {
  const stopped = pickup.stop(0);
  await here.clock.advance(0);
  await stopped;
}

function put(name: string, content: string | Buffer = text): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

/** Two looks with the time between them that a file has to stay as it is; then whatever began is waited for. */
async function pass(): Promise<void> {
  await pickup.look();
  await here.clock.advance(settleMs);
  await pickup.look();
  await pickup.idle();
}

const claims = () => (existsSync(join(folder, ".claimed")) ? readdirSync(join(folder, ".claimed")) : []);
const left = () => readdirSync(folder).filter((name) => name !== ".claimed");

describe("a file", () => {
  test("is sent to whom it says, and removed", async () => {
    await pickup.start();
    put("one.eml");
    await pass();
    const { envelope, id, origin } = here.queued[0]!;
    expect([envelope.reversePath?.localPart, envelope.recipients.map(({ mailbox }) => formatMailbox(mailbox))]).toEqual(
      ["ann", ["bob@example.test"]],
    );
    expect(origin.listener).toBe("pickup");
    const sent = (await readMessage((await here.spool.load(id))!)).toString();
    expect(sent).toMatch(
      /^Received: by mx\.example\.test \(OnArrival, pickup\)[\s\S]*\r\nSubject: one\r\n[\s\S]*\r\n\r\ntext\r\n$/,
    );
    expect(sent).not.toMatch(/X-(?:Sender|Receiver)/);
    expect([left(), claims()]).toEqual([[], []]);
    expect(here.log.of("message.accepted")[0]!.fields).toMatchObject({
      file: "one.eml",
      entrance: "pickup",
      message: id,
    });
  });

  test("is not taken before it has stayed as it is between two looks", async () => {
    await pickup.start();
    put("slow.eml", "X-Sender: ann@example.org\n");
    await pickup.look();
    await here.clock.advance(settleMs - 1);
    put("slow.eml");
    await pickup.look();
    await here.clock.advance(settleMs - 1);
    await pickup.look();
    await pickup.idle();
    expect([here.queued.length, left()]).toEqual([0, ["slow.eml"]]);
    await here.clock.advance(1);
    await pickup.look();
    await pickup.idle();
    expect([here.queued.length, left()]).toEqual([1, []]);
  });

  test.each<[why: string, name: string]>([
    ["hidden", ".one.eml"],
    ["temporary", "one.eml.tmp"],
  ])("that is %s is left alone, without a word, until it is renamed", async (_why, name) => {
    await pickup.start();
    const path = put(name);
    await pass();
    expect([here.queued.length, left(), here.log.lines]).toEqual([0, [name], []]);
    renameSync(path, join(folder, "one.eml"));
    await pass();
    expect(here.queued).toHaveLength(1);
  });

  test.each<[why: string, make: (path: string, outside: string) => void, reason: RegExp]>([
    ["a symbolic link", (path, outside) => symlinkSync(outside, path), /symbolic link/],
    ["a folder", (path) => mkdirSync(path), /no regular file/],
    ["a pipe", (path) => void execFileSync("mkfifo", [path]), /no regular file/],
    ["empty", (path) => writeFileSync(path, ""), /empty/],
  ])("that is %s is left where it is, with one line", async (_why, make, reason) => {
    await pickup.start();
    const outside = join(here.folder, "outside.eml");
    writeFileSync(outside, text);
    make(join(folder, "odd"), outside);
    await pass();
    await pass();
    expect([here.queued.length, left()]).toEqual([0, ["odd"]]);
    expect(here.log.of("pickup.refused")).toMatchObject([
      { fields: { file: "odd", reason: expect.stringMatching(reason) } },
    ]);
  });

  test("that cannot be claimed is left where it is, with one line", async () => {
    await pickup.start();
    writeFileSync(join(folder, ".claimed"), "in the way");
    put("one.eml");
    await pass();
    await pass();
    expect([left(), here.log.of("pickup.refused").length, here.queued.length]).toEqual([["one.eml"], 1, 0]);
    rmSync(join(folder, ".claimed"));
    await pass();
    expect(here.queued).toHaveLength(1);
  });

  test.each<[why: string, name: string]>([
    ["255 octets", `${"n".repeat(251)}.eml`],
    ["characters beyond ASCII", `${"ü".repeat(120)}.eml`],
    ["a line end", "a\nb.eml"],
    ["an id's form", "0123456789ABCDEF-x"],
  ])("may have a name of %s", async (_why, name) => {
    await pickup.start();
    put(name);
    await pass();
    expect([here.queued.length, left(), claims()]).toEqual([1, [], []]);
  });
});

test("what a file asks for is asked of the queue", async () => {
  await pickup.start();
  put(
    "one.eml",
    "X-Sender: <ann@example.org> RET=HDRS ENVID=x1\nX-Receiver: <bob@example.test> NOTIFY=NEVER\nX-Receiver: carol@example.test\nSubject: x\n\nt\n",
  );
  await pass();
  expect(here.queued[0]!.envelope).toEqual({
    reversePath: parseMailbox("ann@example.org"),
    recipients: [
      { mailbox: parseMailbox("bob@example.test"), options: { notify: ["never"] } },
      { mailbox: parseMailbox("carol@example.test") },
    ],
    options: { ret: "HDRS", envelopeId: "x1" },
  });
});

describe("a file that cannot be sent", () => {
  test.each<[why: string, content: string | Buffer, fault: string]>([
    ["no header", "just words\n", "submission.malformed"],
    ["no sender", "X-Receiver: bob@example.test\n\ntext\n", "submission.malformed"],
    ["no recipient", "X-Sender: ann@example.org\nSubject: x\n\ntext\n", "submission.malformed"],
    ["a recipient that is no address", "X-Sender: ann@example.org\nX-Receiver: bob\n\ntext\n", "submission.malformed"],
    [
      "a line end in an address",
      "X-Sender: ann@example.org\nX-Receiver: bob@example.test\r RCPT\n\ntext\n",
      "submission.malformed",
    ],
    [
      "recipients beyond the limit",
      `X-Sender: <>\n${[1, 2, 3, 4].map((n) => `X-Receiver: a${n}@example.test\n`).join("")}\nx`,
      "submission.malformed",
    ],
    [
      "a report there is not",
      "X-Sender: <ann@example.org> RET=HALF\nX-Receiver: bob@example.test\n\nt\n",
      "submission.malformed",
    ],
    ["a NUL", "X-Sender: ann@example.org\nX-Receiver: bob@example.test\n\n\0\n", "message.nul"],
    ["octets of any kind", Buffer.from(Array.from({ length: 512 }, (_, i) => i & 255)), "message.nul"],
    ["too many octets", `${text}${"x".repeat(20_000)}`, "message.too-large"],
    ["line ends alone", "\n\n\n\n", "submission.malformed"],
  ])("is in badmail with the reason, to the octet: %s", async (_why, content, fault) => {
    await pickup.start();
    put("bad.eml", content);
    await pass();
    const [item] = (await new BadMailDesk(here).list({}, { limit: 2 })).items;
    expect(item).toMatchObject({ file: "bad.eml", fault, origin: "pickup", problem: null });
    expect(readFileSync(join(here.badmail.folder, item!.id, "message.eml"))).toEqual(Buffer.from(content));
    expect([here.queued.length, left(), claims()]).toEqual([0, [], []]);
  });

  test("is kept too where a sink refuses it: nobody is there to be told", async () => {
    await restart({ bindings: [createBinding("onArrival", () => refuse("Not this"))] });
    await pickup.start();
    put("one.eml");
    await pass();
    expect((await new BadMailDesk(here).list({}, { limit: 2 })).items).toMatchObject([
      { reason: "Not this", fault: null, file: "one.eml" },
    ]);
    expect(claims()).toEqual([]);
  });

  test.each<[why: string, verdict: Verdict, kept: number]>([
    ["discarded", discard("Junk"), 0],
    ["quarantined", quarantine("Odd"), 1],
  ])("is gone where a sink had it %s", async (_why, verdict, kept) => {
    await restart({ bindings: [createBinding("onArrival", () => verdict)] });
    await pickup.start();
    put("one.eml");
    await pass();
    expect([claims(), left(), (await here.badmail.ids()).length]).toEqual([[], [], kept]);
  });

  test("waits where badmail cannot take it", async () => {
    await pickup.start();
    writeFileSync(here.badmail.folder, "in the way");
    put("bad.eml", "just words\n");
    await pass();
    expect([claims().length, here.log.of("pickup.not-kept").length]).toEqual([1, 1]);
    rmSync(here.badmail.folder);
    await here.clock.advance(10_000);
    await pickup.idle();
    expect([claims(), (await here.badmail.ids()).length]).toEqual([[], 1]);
  });
});

describe("a file that is deferred", () => {
  test("waits, and is tried again under the same id, less and less often", async () => {
    let asked = 0;
    await restart({ bindings: [createBinding("onArrival", () => (asked++ < 2 ? defer("Later") : undefined))] });
    await pickup.start();
    put("one.eml");
    await pass();
    const [claim] = claims();
    expect([asked, left()]).toEqual([1, []]);
    await here.clock.advance(10_000);
    await pickup.idle();
    expect([asked, claims()]).toEqual([2, [claim]]);
    await here.clock.advance(19_999);
    await pickup.idle();
    expect(asked).toBe(2);
    await here.clock.advance(1);
    await pickup.idle();
    expect([asked, claims(), here.queued.map(({ id }) => id)]).toEqual([3, [], [claim!.slice(0, 16)]]);
  });

  test("is in badmail after some days, with what was said last", async () => {
    await restart({ bindings: [createBinding("onArrival", () => defer("Never"))] });
    await pickup.start();
    put("one.eml");
    await pass();
    for (let attempt = 1; attempt < 250; attempt++) {
      await here.clock.advance(30 * 60_000);
      await pickup.idle();
    }
    expect([claims(), (await new BadMailDesk(here).list({}, { limit: 1 })).items[0]!.reason]).toEqual([[], "Never"]);
  });

  test("is taken up by the server after this one", async () => {
    await pickup.start();
    mkdirSync(join(folder, ".claimed"));
    const id = createId(here.clock.now());
    writeFileSync(join(folder, ".claimed", `${id}-one.eml`), text);
    await stop();
    pickup = createPickup();
    await pickup.start();
    await pickup.idle();
    expect([here.queued.map((message) => message.id), claims()]).toEqual([[id], []]);
  });

  test("is left in the folder while the disk is short", async () => {
    const room = { ...createRoom(), short: () => (isShort ? "short" : null) };
    let isShort = true;
    await restart({ room });
    await pickup.start();
    put("one.eml");
    await pass();
    expect([left(), claims()]).toEqual([["one.eml"], []]);
    isShort = false;
    await pass();
    expect(here.queued).toHaveLength(1);
  });
});

describe("after a crash", () => {
  test("what is in the queue, or in badmail, is not sent again", async () => {
    await pickup.start();
    mkdirSync(join(folder, ".claimed"));
    const queued = createSampleMessage();
    const quarantined = createSampleMessage();
    await here.spool.accept([queued], 0);
    await here.badmail.keep(quarantined, { reason: "odd", binding: null, at: 0 });
    for (const { id } of [queued, quarantined]) writeFileSync(join(folder, ".claimed", `${id}-x.eml`), text);
    await stop();
    pickup = createPickup();
    await pickup.start();
    await pickup.idle();
    expect([here.queued, claims(), here.log.of("pickup.found-again").length]).toEqual([[], [], 2]);
  });

  test("a file is removed only behind the spool's word", async () => {
    const order: string[] = [];
    const { spool } = here;
    const accept: typeof spool.accept = async (...words) => {
      order.push(`accept while ${claims().length} is claimed`);
      await spool.accept(...words);
    };
    await restart({ spool: { ...spool, createBody: () => spool.createBody(), accept } });
    await pickup.start();
    put("one.eml");
    await pass();
    expect([order, claims()]).toEqual([["accept while 1 is claimed"], []]);
  });
});

describe("the folder", () => {
  test("is made where it is missing", async () => {
    await pickup.start();
    expect(existsSync(folder)).toBe(true);
  });

  test("may go and come back: one line each", async () => {
    await pickup.start();
    rmSync(folder, { recursive: true });
    await pass();
    await pass();
    mkdirSync(folder);
    put("one.eml");
    await pass();
    await pass();
    expect(here.queued).toHaveLength(1);
    expect(here.log.lines.map(({ event }) => event).filter((event) => event.startsWith("pickup"))).toEqual([
      "pickup.folder-missing",
      "pickup.folder-back",
    ]);
  });

  test("is looked at soon after a change, and now and then without one", async () => {
    await pickup.start();
    put("one.eml");
    expect(here.clock.nextAt! - here.clock.now()).toBe(10_000);
    // Changes without end do not put it off without end.
    watching!.onChange();
    await here.clock.advance(60);
    watching!.onChange();
    expect(here.clock.nextAt! - here.clock.now()).toBe(40);
  });

  test("may hold many files: a few at a time are read, and all are sent", async () => {
    let atOnce = 0;
    let most = 0;
    const handler = async () => {
      most = Math.max(most, ++atOnce);
      await new Promise((resolve) => setImmediate(resolve));
      atOnce--;
    };
    await restart({ bindings: [createBinding("onArrival", handler)] });
    await pickup.start();
    for (let i = 0; i < 1_200; i++) put(`${i}.eml`);
    for (let i = 0; i < 5; i++) await pass();
    expect([here.queued.length, left()]).toEqual([1_200, []]);
    expect([2, 3, 4]).toContain(most);
  });

  test("is left alone once the server stops", async () => {
    await pickup.start();
    put("one.eml");
    await stop();
    await pass();
    expect([here.queued.length, left()]).toEqual([0, ["one.eml"]]);
  });
});
