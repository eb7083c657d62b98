import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { RcptToSubject } from "../../../src/events/subject.ts";
import type { CategorizeSubject, Resolution } from "../../../src/events/subject-transport.ts";
import { formatMailbox, parseMailbox } from "../../../src/mail/mailbox.ts";
import { AddressBook, type AddressPaths, checkAddressFiles } from "../../../src/sinks/address-files.ts";
import { categorizer } from "../../../src/sinks/categorizer.ts";
import { relayControl } from "../../../src/sinks/relay-control.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { faultOf } from "../../support/fault-of.ts";
import { createRecordingLog } from "../../support/recording-log.ts";
import { createSampleMessage } from "../../support/sample-message.ts";
import { context } from "./subjects.ts";

const root = mkdtempSync(join(tmpdir(), "addresses-"));
afterAll(() => rmSync(root, { recursive: true }));
let sites = 0;

interface Site {
  readonly aliases?: string;
  readonly mailboxes?: string;
  readonly more?: Readonly<Record<string, string>>;
  readonly local?: readonly string[];
  readonly plus?: string;
}

function createSite({ aliases, mailboxes, more = {}, local = ["example.test", "second.test"], plus = "+" }: Site) {
  const folder = join(root, String(sites++));
  mkdirSync(folder);
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  if (aliases !== undefined) write("aliases", aliases);
  if (mailboxes !== undefined) write("mailboxes", mailboxes);
  for (const [name, text] of Object.entries(more)) write(name, text);
  const paths: AddressPaths = {
    aliases: aliases === undefined ? null : join(folder, "aliases"),
    mailboxes: mailboxes === undefined ? null : join(folder, "mailboxes"),
  };
  const clock = createFakeClock();
  const log = createRecordingLog();
  const domains = { local: new Set(local), plus };
  return { folder, write, paths, clock, log, domains, open: () => new AddressBook({ paths, domains, clock, log }) };
}

function describeFound(resolution: Resolution): string {
  if (resolution.kind === "unknown") return `unknown${resolution.reason ? `: ${resolution.reason}` : ""}`;
  if (resolution.kind !== "expand") return resolution.kind;
  const owner = resolution.owner ? ` by ${formatMailbox(resolution.owner)}` : "";
  return resolution.to.map(formatMailbox).join(" ") + owner;
}

const aliases = `
sales: ann, bob@other.example
sales@second.test: carla
team: :include:team.txt
owner-team: ann
gone: :fail: has left
far@remote.example: ann
@old.test: @example.test
@catch.test: ann
postmaster@role.test: ann
ann@loop.test: ann@loop.test, bob
news: ann
`;
const site = createSite({
  aliases,
  mailboxes: "ann\ncarla@second.test\nmary-jane\nann+own\n",
  more: { "team.txt": "ann\nzoe@far.example\n" },
  local: ["example.test", "second.test", "old.test", "catch.test", "role.test", "loop.test"],
});
const book = site.open();

describe("AddressBook.resolve", () => {
  test.each([
    ["a mailbox", "ann@example.test", "local"],
    ["a mailbox in capitals", "ANN@example.test", "local"],
    ["a mailbox at another local domain", "ann@second.test", "local"],
    ["a mailbox at one domain only", "carla@second.test", "local"],
    ["its name at another domain", "carla@example.test", "unknown"],
    ["an alias at every domain", "sales@example.test", "ann@example.test bob@other.example"],
    ["an address before the name", "sales@second.test", "carla@second.test"],
    ["a list with an owner", "team@example.test", "ann@example.test zoe@far.example by owner-team@example.test"],
    ["the owner itself", "owner-team@example.test", "ann@example.test"],
    ["nobody, with words", "gone@example.test", "unknown: has left"],
    ["nobody", "nemo@example.test", "unknown"],
    ["somebody else's", "x@remote.example", "relay"],
    ["an alias of somebody else's address", "far@remote.example", "ann@example.test"],
    ["a domain for a domain", "ann@old.test", "local"],
    ["a domain for a domain, any name", "xyz+d@old.test", "xyz+d@example.test"],
    ["a catch-all", "xyz@catch.test", "ann@catch.test"],
    ["a mailbox before the catch-all", "ann@catch.test", "local"],
    ["a detail", "ann+news@example.test", "local"],
    ["a detail of an alias", "sales+x@example.test", "ann@example.test bob@other.example"],
    ["a detail of nobody", "nemo+news@example.test", "unknown"],
    ["a plus in front", "+ann@example.test", "unknown"],
    ["postmaster, by an alias", "postmaster@role.test", "ann@role.test"],
    ["postmaster of the first domain", "Postmaster@example.test", "local"],
    ["postmaster of another domain", "postmaster@second.test", "postmaster@example.test"],
    ["abuse", "abuse@second.test", "postmaster@second.test"],
    ["abuse where all is caught", "abuse@catch.test", "ann@catch.test"],
    ["one that names itself", "ann@loop.test", "ann@loop.test bob@loop.test"],
  ])("%s: %s", (_why, address, expected) => {
    expect(describeFound(book.resolve(parseMailbox(address)).resolution)).toBe(expected);
  });

  test.each([
    ["without a file of mailboxes", "ann@example.test", "local"],
    ["and with a catch-all", "xyz@second.test", "ann@second.test"],
    ["and whom the catch-all names", "ann@second.test", "ann@second.test"],
  ])("every local part is taken %s", (_why, address, expected) => {
    const open = createSite({ aliases: "@second.test: ann" }).open();
    expect(describeFound(open.resolve(parseMailbox(address)).resolution)).toBe(expected);
  });

  test.each([
    ["one with a mailbox", "ann@example.test", "local"],
    ["its detail", "ann+x@example.test", "local"],
    ["one without", "sales@example.test", "unknown"],
    ["somebody else's", "far@remote.example", "unknown"],
  ])("in a circle %s is %s", (_why, address, expected) => {
    const mailbox = parseMailbox(address);
    expect(book.resolve(mailbox, [mailbox]).resolution.kind).toBe(expected);
  });

  test("says which line it was", () => {
    expect(book.resolve(parseMailbox("gone@example.test")).by).toBe("aliases line 6");
  });
});

describe("AddressBook.mailboxOf", () => {
  test.each([
    ["the address itself", "ann@example.test", "ann@example.test"],
    ["a detail", "ann+news@example.test", "ann@example.test"],
    ["a detail with a mailbox of its own", "ann+own@example.test", "ann+own@example.test"],
    ["a detail of somebody a sink has taken", "nemo+news@example.test", "nemo@example.test"],
    ["an alias that stays itself", "ann@loop.test", "ann@loop.test"],
    ["postmaster", "postmaster@example.test", "postmaster@example.test"],
  ])("%s: %s", (_why, address, expected) => {
    expect(formatMailbox(book.mailboxOf(parseMailbox(address)))).toBe(expected);
  });

  test("without a separator nothing is a detail", () => {
    const plain = createSite({ plus: "" }).open();
    expect(formatMailbox(plain.mailboxOf(parseMailbox("ann+news@example.test")))).toBe("ann+news@example.test");
  });

  test("a dash is a separator only where nobody has it in his name", () => {
    const dashed = createSite({ plus: "-", mailboxes: "mary-jane\nmary\n" }).open();
    expect(formatMailbox(dashed.mailboxOf(parseMailbox("mary-jane@example.test")))).toBe("mary-jane@example.test");
    expect(formatMailbox(dashed.mailboxOf(parseMailbox("mary-x@example.test")))).toBe("mary@example.test");
  });
});

describe("AddressBook's files", () => {
  test("a broken file is a fault at the start, with every problem of every file", () => {
    const broken = createSite({
      aliases: "x y\nteam: :include:team\nall: :include:gone\n",
      mailboxes: "b ob\n",
      more: { team: "@\n" },
    });
    const fault = faultOf(broken.open);
    expect(fault.code).toBe("config.invalid");
    const places = (fault.facts.problems as { file: string; line: number | null }[]).map(
      ({ file, line }) => `${file.slice(broken.folder.length + 1)}:${line}`,
    );
    expect(places).toEqual(["aliases:1", "team:1", "gone:null", "mailboxes:1"]);
    expect(fault.message).toContain("cannot be read: it is not there");
    expect(checkAddressFiles(broken.paths)).toHaveLength(4);
  });

  test.each([
    ["a folder", (folder: string) => mkdirSync(join(folder, "list")), /not a file/],
    ["octets that are no UTF-8", (folder: string) => writeFileSync(join(folder, "list"), Buffer.from([0xff])), /UTF-8/],
    [
      "too many octets",
      (folder: string) => writeFileSync(join(folder, "list"), Buffer.alloc(16 * 1024 * 1024 + 1, "#")),
      /more than 16777216/,
    ],
  ])("%s is no file of addresses", (_why, make, message) => {
    const bad = createSite({ aliases: "all: :include:list" });
    make(bad.folder);
    expect(faultOf(bad.open).message).toMatch(message);
  });

  test("more than 200 included files are refused", () => {
    const lines = Array.from({ length: 201 }, (_, at) => `l${at}: :include:l${at}`).join("\n");
    const more = Object.fromEntries(Array.from({ length: 201 }, (_, at) => [`l${at}`, "ann"]));
    expect(faultOf(createSite({ aliases: lines, more }).open).message).toContain("at most 200 included files");
  });

  test("a changed file is taken up, not more often than once a second", async () => {
    const changing = createSite({ aliases: "x: ann", more: { list: "ann" } });
    const open = changing.open();
    const find = () => describeFound(open.resolve(parseMailbox("x@example.test")).resolution);
    expect(find()).toBe("ann@example.test");
    changing.write("aliases", "x: :include:list");
    await changing.clock.advance(999);
    expect(find()).toBe("ann@example.test");
    changing.write("list", "bob, carla");
    await changing.clock.advance(1);
    expect(find()).toBe("bob@example.test carla@example.test");
    changing.write("list", "dora");
    await changing.clock.advance(1_000);
    expect(find()).toBe("dora@example.test");
    expect(changing.log.of("addresses.read")).toHaveLength(2);
  });

  test.each([
    ["a second ago", 1_000, true],
    ["within the last second", 999, false],
    ["in a time that has not come", -1, true],
  ])("a file that was written %s is taken up at the next look: %s ms, %s", async (_why, ageMs, taken) => {
    const changing = createSite({ mailboxes: "ann\nbob" });
    const open = changing.open();
    const find = () => describeFound(open.resolve(parseMailbox("ann@example.test")).resolution);
    await changing.clock.advance(1_000);
    changing.write("mailboxes", "");
    const writtenAt = (changing.clock.now() - ageMs) / 1_000;
    utimesSync(join(changing.folder, "mailboxes"), writtenAt, writtenAt);
    expect(find()).toBe(taken ? "unknown" : "local");
    await changing.clock.advance(1_000);
    expect(find()).toBe("unknown");
  });

  test("a file that is broken later leaves the last good one in force, and is told once", async () => {
    const changing = createSite({ aliases: "x: ann" });
    const open = changing.open();
    const find = () => describeFound(open.resolve(parseMailbox("x@example.test")).resolution);
    changing.write("aliases", "x: |program");
    for (let second = 0; second < 3; second++) {
      await changing.clock.advance(1_000);
      expect(find()).toBe("ann@example.test");
    }
    expect(changing.log.of("addresses.file-broken").map(({ fields }) => fields.problems)).toEqual([
      [expect.stringMatching(/aliases:1:4: mail is not given to programs/)],
    ]);
    changing.write("aliases", "x: bob");
    utimesSync(join(changing.folder, "aliases"), 1, 1);
    await changing.clock.advance(1_000);
    expect(find()).toBe("bob@example.test");
  });

  test("a reload that cannot be read changes nothing", () => {
    const good = createSite({ aliases: "x: ann" });
    const open = good.open();
    expect(faultOf(() => open.reload({ aliases: join(good.folder, "none"), mailboxes: null })).code).toBe(
      "config.invalid",
    );
    expect(describeFound(open.resolve(parseMailbox("x@example.test")).resolution)).toBe("ann@example.test");
    open.reload({ aliases: null, mailboxes: null });
    expect(describeFound(open.resolve(parseMailbox("x@example.test")).resolution)).toBe("local");
  });
});

describe("categorizer", () => {
  test("answers where nobody has, and only there", () => {
    const said: Resolution[] = [];
    const subject = (resolution: Resolution | null) =>
      ({
        message: createSampleMessage(),
        forwardPath: parseMailbox("sales@second.test"),
        expandedFrom: [],
        resolution,
        resolve: (one: Resolution) => said.push(one),
      }) as unknown as CategorizeSubject;
    categorizer(book).onCategorize!(subject({ kind: "local" }), context);
    expect(said).toEqual([]);
    categorizer(book).onCategorize!(subject(null), context);
    expect(said.map(describeFound)).toEqual(["carla@second.test"]);
  });
});

describe("relayControl with an address book", () => {
  const sink = relayControl({ localDomains: site.domains.local, relayDomains: new Set(["relay.example"]), book });
  test.each([
    ["a mailbox", "ann@example.test", {}, "proceed"],
    ["an alias", "sales@example.test", {}, "proceed"],
    ["nobody", "nemo@example.test", {}, "550 5.1.1 No such mailbox here"],
    ["nobody, from a user", "nemo@example.test", { user: "carla" }, "550 5.1.1 No such mailbox here"],
    ["nobody, accepted by a sink", "nemo@example.test", { accepted: "local" }, "proceed"],
    ["one who left", "gone@example.test", {}, "550 5.1.1 has left"],
    ["postmaster", "postmaster@second.test", {}, "proceed"],
    ["abuse", "abuse@example.test", {}, "proceed"],
    ["an address of a relay domain", "nemo@relay.example", {}, "proceed"],
    ["an alias of somebody else's address", "far@remote.example", {}, "550 5.7.1 We do not relay"],
    ["the same, from a user", "far@remote.example", { user: "carla" }, "proceed"],
  ] as const)(
    "%s: %s",
    (_why, address, {
      user = null,
      accepted = null,
    }: { user?: string | null; accepted?: "local" | null }, expected) => {
      const subject = { session: { user }, forwardPath: parseMailbox(address), accepted } as RcptToSubject;
      const verdict = sink.onRcptTo!(subject, context);
      const words =
        verdict && "kind" in verdict && "code" in verdict
          ? `${verdict.code} ${verdict.status} ${verdict.text}`
          : "proceed";
      expect(words).toBe(expected);
    },
  );
});

describe("AddressBook.refusal follows what leads to one address", () => {
  const chain = (prefix: string, links: number, end: string) =>
    Array.from({ length: links }, (_, at) => `${prefix}${at}: ${at === links - 1 ? end : `${prefix}${at + 1}`}\n`).join(
      "",
    );
  const { open } = createSite({
    aliases: `@old.test: @example.test
one: nobody
two: one
words: left
left: :fail: has left
both: nobody, left
away: x@far.example
list: :include:none
self: self
a: b
b: a
c: d
d: ann@second.test
ann@second.test: c
in: a
${chain("deep", 10, "ann")}${chain("over", 11, "ann")}`,
    mailboxes: "ann@example.test\nann@second.test\n",
    more: { none: "# nobody yet\n" },
    local: ["example.test", "second.test", "old.test"],
  });
  const followed = open();
  const none = "No such mailbox here";
  test.each([
    ["a domain for a domain, somebody", "ann@old.test", null],
    ["a domain for a domain, nobody", "zoe@old.test", none],
    ["a name for nobody", "one@example.test", none],
    ["a name for a name for nobody", "two@example.test", none],
    ["a domain, a name, nobody", "one@old.test", none],
    ["the words of who is refused at last", "words@example.test", "has left"],
    ["several are not looked at", "both@example.test", null],
    ["somebody else's", "away@example.test", null],
    ["a list without members", "list@example.test", "The list has no members"],
    ["one that names itself stays", "self@example.test", null],
    ["a circle of nobody", "a@example.test", none],
    ["one that leads into it", "in@example.test", none],
    ["a circle with a mailbox in it", "c@second.test", null],
    ["as many steps as are followed later", "deep0@example.test", null],
    ["one more", "over0@example.test", none],
  ])("%s: %s", (_why, address, expected) => {
    expect(followed.refusal(parseMailbox(address))).toBe(expected);
  });

  test("in a file of aliases alone every local part is somebody", () => {
    const loose = createSite({ aliases: "@old.test: @example.test", local: ["example.test", "old.test"] }).open();
    expect(loose.refusal(parseMailbox("zoe@old.test"))).toBeNull();
  });
});
