/** What sendmail's options mean, how its input ends, what a message of this machine lacks, and how it exits. */
import { describe, expect, test } from "vitest";
import { UsageError } from "../../../src/cli/failure.ts";
import { pickupFile } from "../../../src/cli/sendmail-delivery.ts";
import { exitOfResult, exitOfThrown } from "../../../src/cli/sendmail-exit.ts";
import { readInput } from "../../../src/cli/sendmail-input.ts";
import { completeMessage, readAddresses, readSender } from "../../../src/cli/sendmail-message.ts";
import { readSendmailOptions, type SendmailOptions } from "../../../src/cli/sendmail-options.ts";
import { addressedByPickup } from "../../../src/inbound/pickup-envelope.ts";
import { parseAddressList } from "../../../src/mail/address-list.ts";
import { fieldValue, splitMessage } from "../../../src/mail/header.ts";
import { formatMailbox, parseMailbox } from "../../../src/mail/mailbox.ts";
import { Fault } from "../../../src/platform/fault.ts";

const defaults: SendmailOptions = {
  mode: "message",
  from: null,
  fullName: null,
  headerRecipients: false,
  dotEnds: true,
  notify: null,
  ret: null,
  envelopeId: null,
  config: null,
  recipients: ["a@b.test"],
};

describe("readSendmailOptions", () => {
  test.each<[why: string, args: string[], options: Partial<SendmailOptions>]>([
    ["a recipient alone", ["a@b.test"], {}],
    ["several in one word", ["a@b.test,c@d.test  e@f.test"], { recipients: ["a@b.test", "c@d.test", "e@f.test"] }],
    ["what PHP gives", ["-t", "-i"], { headerRecipients: true, dotEnds: false, recipients: [] }],
    ["flags in one word", ["-ti"], { headerRecipients: true, dotEnds: false, recipients: [] }],
    [
      "what cron gives",
      ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"],
      { fullName: "CronDaemon", dotEnds: false, recipients: ["root"] },
    ],
    ["what git gives", ["-f", "x@y.test", "-i", "a@b.test"], { from: "x@y.test", dotEnds: false }],
    ["a sender in the same word", ["-fx@y.test", "a@b.test"], { from: "x@y.test" }],
    ["the old name of the sender", ["-r", "x@y.test", "a@b.test"], { from: "x@y.test" }],
    ["the null sender", ["-f", "", "a@b.test"], { from: "" }],
    ["old names of -i and -t", ["-oi", "-ot"], { dotEnds: false, headerRecipients: true, recipients: [] }],
    ["-O in words", ["-O", "IgnoreDots=true", "a@b.test"], { dotEnds: false }],
    [
      "reports",
      ["-N", "Success,DELAY", "-R", "hdrs", "-V", "x1", "a@b.test"],
      { notify: ["success", "delay"], ret: "HDRS", envelopeId: "x1" },
    ],
    ["the longest envelope id", ["-V", "x".repeat(100), "a@b.test"], { envelopeId: "x".repeat(100) }],
    ["a dash as address, behind --", ["--", "-x@b.test"], { recipients: ["-x@b.test"] }],
    [
      "what changes nothing",
      [
        "-v",
        "-n",
        "-m",
        "-U",
        "-G",
        "-oem",
        "-odb",
        "-X",
        "/tmp/log",
        "-L",
        "tag",
        "-d0",
        "-Am",
        "-h",
        "3",
        "-p",
        "x:y",
        "a@b.test",
      ],
      {},
    ],
    ["SMTP", ["-bs", "-i"], { mode: "session", dotEnds: false, recipients: [] }],
    ["SMTP in two words", ["-b", "s"], { mode: "session", recipients: [] }],
    ["the queue", ["-bp"], { mode: "list", recipients: [] }],
    ["aliases", ["-bi"], { mode: "aliases", recipients: [] }],
    ["aliases too", ["-I"], { mode: "aliases", recipients: [] }],
    ["the queue run", ["-q"], { mode: "flush", recipients: [] }],
    ["one with a time", ["-q30m"], { mode: "flush", recipients: [] }],
    ["our configuration", ["-C", "/etc/x.toml", "-bp"], { mode: "list", config: "/etc/x.toml", recipients: [] }],
  ])("reads %s", (_why, args, options) => {
    expect(readSendmailOptions(args)).toEqual({ ...defaults, ...options });
  });

  test.each([
    ["nobody to send to", [], /expected recipients, or -t/],
    ["nobody behind -bm", ["-bm"], /expected recipients/],
    ["an option there is not", ["-Z", "a@b.test"], /no option -Z/],
    ["an option without its value", ["-f"], /-f needs a value/],
    ["a daemon", ["-bd"], /no mode -bd/],
    ["a report there is not", ["-N", "often", "a@b.test"], /-N: expected never/],
    ["never and more", ["-N", "never,delay", "a@b.test"], /-N: expected never/],
    ["an envelope id that is longer", ["-V", "x".repeat(101), "a@b.test"], /-V: expected/],
    ["one that is longer as xtext", ["-V", "+".repeat(34), "a@b.test"], /-V: expected/],
    ["one that is not ASCII", ["-V", "ä", "a@b.test"], /-V: expected/],
    ["none at all", ["-V", "", "a@b.test"], /-V: expected/],
    ["half a message", ["-R", "half", "a@b.test"], /-R: expected full or hdrs/],
  ])("refuses %s", (_why, args, words) => {
    expect(() => readSendmailOptions(args)).toThrow(words);
  });
});

describe("readInput", () => {
  const read = async (pieces: string[], dotEnds = true, octetsMax = 100) =>
    (
      await readInput(pieces.map((piece) => Buffer.from(piece)) as unknown as AsyncIterable<Buffer>, {
        dotEnds,
        octetsMax,
      })
    ).toString();

  test.each([
    ["a line with a dot", ["a\n.\nb\n"], "a\n"],
    ["one that ends in CRLF", ["a\r\n.\r\nb"], "a\r\n"],
    ["one at the very start", [".\nb"], ""],
    ["one in pieces", ["a\n", ".", "\n", "b"], "a\n"],
    ["one in small pieces", ["a", "\n", ".", "\r", "\n", "b"], "a\n"],
    ["one at the end of input", ["a\n."], "a\n"],
    ["no dot alone on a line", ["a\n..\n.b\nc.\n"], "a\n..\n.b\nc.\n"],
    ["a carriage return and more behind the dot", ["a\n.\rb\n"], "a\n.\rb\n"],
    ["nothing", [], ""],
  ])("ends at %s", async (_why, pieces, text) => {
    expect(await read(pieces)).toBe(text);
  });

  test("takes dots as they are with -i", async () => {
    expect(await read(["a\n.\nb\n", "."], false)).toBe("a\n.\nb\n.");
  });

  test.each([
    ["below", 99, true],
    ["at", 100, true],
    ["above", 101, false],
  ])("%s the limit", async (_why, octets, isTaken) => {
    const taken = read(["x".repeat(octets)]);
    if (isTaken) expect(await taken).toHaveLength(octets);
    else await expect(taken).rejects.toMatchObject({ code: "message.too-large" });
  });
});

describe("addresses of this machine", () => {
  test.each([
    ["a name alone", "root", ["root@example.test"]],
    ["an address", "a@b.test", ["a@b.test"]],
    ["one with a name", "Ann <ann>", ["ann@example.test"]],
    ["several with names", '"Ann, B" <ann>, bob (the other)', ["ann@example.test", "bob@example.test"]],
  ])("readAddresses takes %s", (_why, word, addresses) => {
    expect(readAddresses([word], "example.test")).toEqual(addresses);
  });

  test("readAddresses and readSender refuse what is none", () => {
    expect(() => readAddresses(["a b@@"], "example.test")).toThrow(UsageError);
    expect(() => readSender("a@", "example.test")).toThrow(UsageError);
    expect(() => readSender("a@b.test, c@d.test", "example.test")).toThrow(UsageError);
  });

  test.each([
    ["nothing", "", "<>"],
    ["the null one", "<>", "<>"],
    ["a user", "www-data", "www-data@host.example"],
    ["an address in brackets", "<a@b.test>", "a@b.test"],
    ["one with a name", "Ann <a@b.test>", "a@b.test"],
  ])("readSender takes %s", (_why, text, sender) => {
    expect(readSender(text, "host.example")).toBe(sender);
  });
});

describe("completeMessage", () => {
  const facts = { from: "ann@host.example", fullName: null, domain: "example.test" };
  const complete = (text: string, parts: Partial<typeof facts> | { fullName: string } = {}) =>
    completeMessage(Buffer.from(text), { ...facts, ...parts }).toString();

  test.each([
    ["what has all", "From: a@b.test\nTo: c@d.test\n\nhi\n", "From: a@b.test\nTo: c@d.test\n\nhi\n"],
    [
      "names without a domain",
      "From: root (Cron Daemon)\nTo: root\nCc: Bob <bob>, c@d.test\n\n",
      "From: root@example.test (Cron Daemon)\nTo: root@example.test\nCc: Bob <bob@example.test>, c@d.test\n\n",
    ],
    ["no From", "Subject: x\n\nhi\n", "Subject: x\nFrom: ann@host.example\r\n\nhi\n"],
    ["no line end behind its header", "Subject: x", "Subject: x\r\nFrom: ann@host.example\r\n"],
    [
      "names beside others' octets",
      'From: a@b.test\nTo: "Jörg, A" <jo>,\n =?utf-8?q?=C3=84?= <ae>\nCc: Zoë <zoe>\n\n',
      'From: a@b.test\nTo: "Jörg, A" <jo@example.test>,\n =?utf-8?q?=C3=84?= <ae@example.test>\nCc: Zoë <zoe@example.test>\n\n',
    ],
    ["no header", "hi there\n", "From: ann@host.example\r\n\r\nhi there\n"],
    ["the line of a mailbox file", "From ann Mon Nov  2 09:30:00 2026\nFrom: a@b.test\n\nhi", "From: a@b.test\n\nhi"],
    [
      "words where addresses should be",
      "From: a@b.test\nTo: undisclosed-recipients:;\n\n",
      "From: a@b.test\nTo: undisclosed-recipients:;\n\n",
    ],
    [
      "a quoted name with a comma",
      'From: a@b.test\nTo: "x, y" <z>\n\n',
      'From: a@b.test\nTo: "x, y" <z@example.test>\n\n',
    ],
  ])("completes %s", (_why, text, completed) => {
    expect(complete(text)).toBe(completed);
  });

  test("a list of many names stays whole, and in lines that servers take", () => {
    const names = Array.from({ length: 20_000 }, (_, i) => `n${i}`);
    const completed = complete(`From: a@b.test\nTo: ${names.join(", ")},\n \nSubject: x\n\nhi`);
    expect(Math.max(...completed.split("\n").map((line) => line.length))).toBeLessThanOrEqual(998);
    const { header } = splitMessage(Buffer.from(completed));
    expect(header.fields.map(({ name }) => name)).toEqual(["From", "To", "Subject"]);
    expect(parseAddressList(fieldValue(header.fields[1]!)).map(formatMailbox)).toEqual(
      names.map((name) => `${name}@example.test`),
    );
  });

  test("writes the full name as a phrase, and no From for the null sender", () => {
    expect(complete("\nhi", { fullName: 'Ann "A" B' })).toContain('From: "Ann \\"A\\" B" <ann@host.example>\r\n');
    expect(complete("\nhi", { fullName: "Änn" })).toMatch(/^From: =\?utf-8\?.*\?= <ann@host\.example>\r\n/i);
    expect(splitMessage(Buffer.from(complete("\nhi", { fullName: "Änn" }))).header.get("From")).toBe(
      "Änn <ann@host.example>",
    );
    expect(complete("\nhi", { fullName: "a\nBcc: eve" })).toContain('From: "a Bcc: eve" <');
    expect(complete("\nhi", { fullName: "=?a b" })).toMatch(/^From: =\?utf-8\?[^"]*\?= <ann@host\.example>\r\n/i);
    expect(complete("Subject: x\n\n", { from: "<>" })).toBe("Subject: x\n\n");
  });
});

test.each([
  ["without a name", null],
  ["with one", "Jörg"],
  ["with a long one", "ö".repeat(100)],
])("completeMessage leaves an address beyond ASCII as it is: %s", (_why, fullName) => {
  const facts = { from: "jörg=?@host.example", fullName, domain: "example.test" };
  const completed = completeMessage(Buffer.from("\nhi"), facts).toString();
  const { header } = splitMessage(Buffer.from(completed));
  expect(header.get("From")).toBe(fullName === null ? facts.from : `${fullName} <${facts.from}>`);
  expect(completed).toMatch(/[ <]jörg=\?@host\.example>?\r\n/);
  expect(Math.max(...completed.split("\r\n").map((line) => line.length))).toBeLessThanOrEqual(78);
});

test("completeMessage cuts a name that would not fit on a line", () => {
  const facts = { from: "ann@host.example", fullName: '"'.repeat(5_000), domain: "example.test" };
  const [line] = completeMessage(Buffer.from("\nhi"), facts).toString().split("\r\n");
  expect(line!.length).toBeLessThanOrEqual(998);
});

describe("pickupFile", () => {
  const envelope = { from: "a@b.test", to: ["c@d.test"], origin: "sendmail", user: null } as const;
  test.each([
    ["a message", envelope, "Subject: x\n\nhi\n", "X-Sender: a@b.test\r\nX-Receiver: c@d.test\r\nSubject: x\n\nhi\n"],
    [
      "the null sender",
      { ...envelope, from: "<>" },
      "Subject: x\n\n",
      "X-Sender: <>\r\nX-Receiver: c@d.test\r\nSubject: x\n\n",
    ],
    [
      "one that would be an envelope of its own",
      envelope,
      "X-Receiver: eve@d.test\nx-sender: <>\nSubject: x\nX-Receiver: stays\n\n",
      "X-Sender: a@b.test\r\nX-Receiver: c@d.test\r\nSubject: x\nX-Receiver: stays\n\n",
    ],
    [
      "recipients of the header",
      { ...envelope, headerRecipients: true },
      "To: e@f.test, C@D.test\nCc: c@d.test\n\n",
      "X-Sender: a@b.test\r\nX-Receiver: c@d.test\r\nX-Receiver: e@f.test\r\nX-Receiver: C@d.test\r\nTo: e@f.test, C@D.test\nCc: c@d.test\n\n",
    ],
    [
      "none in the header",
      { ...envelope, headerRecipients: true },
      "Subject: x\n\n",
      "X-Sender: a@b.test\r\nX-Receiver: c@d.test\r\nSubject: x\n\n",
    ],
  ])("writes %s", (_why, given, text, file) => {
    expect(pickupFile(given, Buffer.from(text)).toString()).toBe(file);
  });

  test("writes what -N, -R and -V asked for, of each recipient, so that the pickup folder reads it", () => {
    const given = {
      ...envelope,
      to: ["c@d.test", "e@f.test"],
      notify: ["success", "delay"],
      ret: "HDRS",
      envelopeId: "a b",
    } as const;
    const file = pickupFile(given, Buffer.from("Subject: x\n\n"));
    expect(file.toString()).toBe(
      "X-Sender: <a@b.test> RET=HDRS ENVID=a+20b\r\nX-Receiver: <c@d.test> NOTIFY=SUCCESS,DELAY\r\nX-Receiver: <e@f.test> NOTIFY=SUCCESS,DELAY\r\nSubject: x\n\n",
    );
    expect(addressedByPickup(splitMessage(file).header).envelope).toEqual({
      reversePath: parseMailbox("a@b.test"),
      recipients: ["c@d.test", "e@f.test"].map((to) => ({
        mailbox: parseMailbox(to),
        options: { notify: ["success", "delay"] },
      })),
      options: { ret: "HDRS", envelopeId: "a b" },
    });
  });

  test("throws submission.malformed where nobody is named", () => {
    const nobody = { ...envelope, to: [], headerRecipients: true };
    expect(() => pickupFile(nobody, Buffer.from("Subject: x\n\n"))).toThrow(
      expect.objectContaining({ code: "submission.malformed" }),
    );
  });
});

test.each([
  ["taken", { kind: "accepted", id: "x" }, 0],
  ["dropped by a sink", { kind: "discarded", id: "x" }, 0],
  ["an unknown user", { kind: "refused", reply: { code: 550, status: "5.1.1", text: "" }, reason: "" }, 67],
  ["content that is wrong", { kind: "refused", reply: { code: 554, status: "5.6.0", text: "" }, reason: "" }, 65],
  ["a refusal", { kind: "refused", reply: { code: 550, status: "5.7.1", text: "" }, reason: "" }, 69],
  ["not now", { kind: "deferred", reply: { code: 451, text: "" }, reason: "" }, 75],
] as const)("exitOfResult: %s", (_why, result, exit) => {
  expect(exitOfResult(result)).toBe(exit);
});

test.each([
  ["wrong usage", new UsageError("x"), 64],
  ["no server", new Fault("control.not-running", "x"), 75],
  [
    "a socket of somebody else's",
    new Fault("control.refused", "x", { cause: Object.assign(new Error(), { code: "EACCES" }) }),
    77,
  ],
  ["an address the server refuses", new Fault("control.refused", "x", { facts: { status: 400 } }), 65],
  ["a server in trouble", new Fault("control.refused", "x", { facts: { status: 500 } }), 75],
  ["a message without recipients", new Fault("submission.malformed", "x"), 65],
  ["a configuration that is not there", new Fault("config.unreadable", "x"), 78],
  ["a bug", new TypeError("x"), 70],
])("exitOfThrown: %s", (_why, thrown, exit) => {
  expect(exitOfThrown(thrown)).toBe(exit);
});
