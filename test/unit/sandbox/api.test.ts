/** The script API as api.ts promises it, through a real sandbox process. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { Sandbox } from "../../../sandbox/host.ts";
import type { StepResult } from "../../../sandbox/protocol.ts";
import { createField } from "../../../src/mail/header.ts";
import {
  applied,
  createScriptFolder,
  messageOf,
  runOn,
  runScript,
  type ScriptFolder,
  stepOf,
} from "../../support/scripts.ts";

let sandbox: Sandbox;
let folder: ScriptFolder;
beforeAll(async () => {
  folder = await createScriptFolder();
  sandbox = await Sandbox.start({ processes: 1 });
});
afterAll(async () => {
  await sandbox.close();
  await stopCompiler();
  await folder.remove();
});

const plain = messageOf(`Received: from x
From: =?utf-8?q?J=C3=B6rg?= <joerg@example.com>
To: "Sales, Team" <sales@example.org>, friends: a@example.org, b@example.org;
Subject: =?utf-8?b?R3LDvMOfZQ==?=
 and more
Date: Fri, 02 Jan 2026 03:04:05 +0000
Message-ID: <1@example.com>
X-Twice: one
x-twice: two

Hello
`);

const mixed = messageOf(`From: a@example.com
Subject: with parts
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b1"

preamble
--b1
Content-Type: multipart/alternative; boundary=b2

--b2
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Gr=C3=BC=C3=9Fe
--b2
Content-Type: text/html

<p>Gr&uuml;&szlig;e</p>
--b2--
--b1
Content-Type: application/pdf; name="plain.pdf"
Content-Disposition: attachment; filename*0*=utf-8''gr%C3%BC; filename*1*=n.pdf
Content-Transfer-Encoding: base64

JVBERi0xLjQ=
--b1
Content-Type: image/png
Content-Disposition: inline
Content-ID: <pic@example.com>
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--b1--
epilogue
`);

async function run(body: string, octets = plain, options: Parameters<typeof runScript>[3] = {}): Promise<StepResult> {
  return runScript(
    { sandbox, folder },
    `export const onArrival = async (mail, context) => { const { log } = context; ${body} };`,
    octets,
    options,
  );
}

async function logOf(body: string, octets = plain): Promise<string[]> {
  const result = await run(body, octets);
  expect(result.fault).toBeNull();
  return result.log.map(({ text }) => text);
}

describe("Mail, reading", () => {
  it.each([
    ["decoded and unfolded", "mail.subject", "Grüße and more"],
    ["name decoded", "mail.from", '{"address":"joerg@example.com","name":"Jörg"}'],
    [
      "groups taken apart",
      "mail.to.map((a) => a.name + '|' + a.address).join()",
      "Sales, Team|sales@example.org,|a@example.org,|b@example.org",
    ],
    ["no such field", "mail.cc.length + mail.replyTo.length", "0"],
    ["a date", "mail.date.getTime() === Date.UTC(2026, 0, 2, 3, 4, 5)", "true"],
    ["with brackets", "mail.messageId", "<1@example.com>"],
    ["names without case, in order", "mail.headers.getAll('X-TWICE')", '["one","two"]'],
    ["the first", "mail.headers.get('x-twice')", "one"],
    ["absent", "String(mail.headers.get('nope')) + mail.headers.has('nope')", "undefinedfalse"],
    ["iteration keeps names as written", "[...mail.headers].slice(-2).map(([n]) => n).join()", "X-Twice,x-twice"],
    [
      "the session",
      "mail.session.ip + ' ' + mail.session.helo + ' ' + mail.session.user",
      "192.0.2.7 client.example null",
    ],
    [
      "the envelope",
      "mail.envelope.from + ' ' + mail.envelope.to",
      "sender@example.com one@example.org,two@example.org",
    ],
    ["id and size", "mail.id + ' ' + mail.size", `m-1 ${plain.length}`],
    ["when it came", "mail.receivedAt.toISOString()", "2026-01-02T03:04:05.000Z"],
    ["no attachments", "mail.attachments.length + ' ' + mail.defects.length", "0 0"],
    ["the text", "(await mail.text()).trim()", "Hello"],
    ["no HTML", "await mail.html()", ""],
    ["every octet", "(await mail.raw()).length", String(plain.length)],
  ])("%s: %s", async (_why, expression, expected) => {
    expect(await logOf(`log.info(${expression});`)).toEqual([expected]);
  });

  it("finds text, HTML and attachments inside of parts", async () => {
    expect(
      await logOf(
        `log.info((await mail.text()).trim()); log.info(await mail.html());
         for (const a of mail.attachments) log.info([a.part, a.fileName, a.contentType, a.size, a.contentId, a.inline].join("|"), new Uint8Array(await a.content()).toHex());`,
        mixed,
      ),
    ).toEqual([
      "Grüße",
      "<p>Gr&uuml;&szlig;e</p>",
      "2|grün.pdf|application/pdf|8||false 255044462d312e34",
      "3||image/png|8|pic@example.com|true 89504e470d0a1a0a",
    ]);
  });

  it("makes text of HTML where there is no plain part", async () => {
    const html = messageOf("From: a@example.com\nContent-Type: text/html\n\n<p>Only <b>HTML</b></p>\n");
    expect(await logOf("log.info((await mail.text()).trim());", html)).toEqual(["Only HTML"]);
  });

  it("tells of defects, and never fails for them", async () => {
    const broken = messageOf(
      "From: a@example.com\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain\n\nnever closed\n",
    );
    const result = await run("log.info(mail.defects.join()); log.info((await mail.text()).trim());", broken);
    expect(result.fault).toBeNull();
    expect(result.log.map(({ text }) => text)).toEqual(["The multipart/mixed is not closed", "never closed"]);
    expect(result.defects).toEqual(["The multipart/mixed is not closed"]);
  });
});

describe("Mail, header edits", () => {
  it.each([
    [
      "subject keeps its place",
      "mail.subject = '[x] ' + mail.subject;",
      [0, 1, 2, ["Subject", "[x] Grüße and more"], 4, 5, 6, 7],
    ],
    [
      "set replaces the first and drops the others",
      "mail.headers.set('X-TWICE', 'new');",
      [0, 1, 2, 3, 4, 5, ["X-Twice", "new"]],
    ],
    ["set adds where there is none", "mail.headers.set('X-New', '1');", [0, 1, 2, 3, 4, 5, 6, 7, ["X-New", "1"]]],
    ["add is last", "mail.headers.add('Subject', 'again');", [0, 1, 2, 3, 4, 5, 6, 7, ["Subject", "again"]]],
    ["remove takes all", "log.info(mail.headers.remove('x-twice'));", [0, 1, 2, 3, 4, 5]],
    [
      "an address in ASCII is quoted where it must",
      "mail.from = { name: 'Doe, Jane', address: 'jane@example.com' };",
      [0, ["From", '"Doe, Jane" <jane@example.com>'], 2, 3, 4, 5, 6, 7],
    ],
    [
      "a name in other than ASCII is not quoted",
      `mail.from = 'Müller, "Jörg" <j@example.com>';`,
      [0, ["From", "Müller Jörg <j@example.com>"], 2, 3, 4, 5, 6, 7],
    ],
    [
      "a list",
      "mail.to = ['a@example.com', { name: 'B', address: 'b@example.com' }];",
      [0, 1, ["To", "a@example.com, B <b@example.com>"], 3, 4, 5, 6, 7],
    ],
    ["an empty list removes the field", "mail.to = [];", [0, 1, 3, 4, 5, 6, 7]],
    [
      "told to be what it is, a field stays",
      "mail.subject = mail.subject; mail.headers.set('Message-ID', '<1@example.com>');",
      undefined,
    ],
  ])("%s", async (_why, body, expected) => {
    const result = await run(body);
    expect(result.fault).toBeNull();
    expect(result.effects.fields).toEqual(expected);
  });

  it("shows a script its own edits", async () => {
    expect(
      await logOf(
        "mail.subject = 'new'; mail.headers.add('X-A', 'ä'); log.info(mail.subject, mail.headers.get('x-a'));",
      ),
    ).toEqual(["new ä"]);
  });
});

describe("Mail, addresses", () => {
  it("survive the way into the message: names in any script, several in a list", async () => {
    const names = ["Jörg", "Müller & Söhne", "Doe, Jane", 'The "Boss"', "張 偉", ""];
    const list = names.map((name, i) => ({ name, address: `a${i}@example.com` }));
    const result = await run(`mail.to = ${JSON.stringify(list)};`);
    const [name, value] = result.effects.fields![2] as [string, string];
    const octets = Buffer.concat([createField(name, value).octets, messageOf("\n")]);
    expect(octets.every((octet) => octet < 0x80)).toBe(true);
    expect(await logOf("log.info(mail.to.map((a) => [a.name, a.address]));", octets)).toEqual([
      JSON.stringify(list.map((one) => [one.name, one.address])),
    ]);
  });
});

describe("Mail, envelope", () => {
  it.each([
    [
      "add",
      "mail.envelope.add('three@example.net');",
      { to: ["one@example.org", "two@example.org", "three@example.net"] },
    ],
    ["add what is there", "mail.envelope.add('ONE@example.org');", {}],
    ["remove", "log.info(mail.envelope.remove('ONE@EXAMPLE.ORG'));", { to: ["two@example.org"] }],
    ["remove what is not there", "log.info(mail.envelope.remove('x@example.org'));", {}],
    [
      "replace by several",
      "mail.envelope.replace('one@example.org', 'a@example.net', 'two@example.org');",
      { to: ["a@example.net", "two@example.org"] },
    ],
    ["redirect", "mail.envelope.redirect('all@example.net', 'ALL@example.net');", { to: ["all@example.net"] }],
    ["null reverse-path", "mail.envelope.from = null;", { from: null }],
    ["another reverse-path", "mail.envelope.from = 'x@example.net';", { from: "x@example.net" }],
  ])("%s", async (_why, body, expected) => {
    const result = await run(body);
    expect(result.fault).toBeNull();
    expect(result.effects).toEqual(expected);
  });
});

describe("Mail, verdicts", () => {
  it.each([
    ["none", "", { kind: "proceed", settled: false }],
    ["refuse", "mail.refuse('No');", { kind: "refuse", text: "No" }],
    [
      "refuse with code and status",
      "mail.refuse('No', { code: 554, status: '5.7.26' });",
      { kind: "refuse", text: "No", code: 554, status: "5.7.26" },
    ],
    ["defer", "mail.defer('Later', { code: 450 });", { kind: "defer", text: "Later", code: 450 }],
    ["discard", "mail.discard('spam');", { kind: "discard", reason: "spam" }],
    ["quarantine", "mail.quarantine('odd');", { kind: "quarantine", reason: "odd" }],
    ["settle", "mail.settle();", { kind: "proceed", settled: true }],
  ])("%s", async (_why, body, expected) => {
    const result = await run(body);
    expect(result.fault).toBeNull();
    expect(result.verdict).toEqual(expected);
  });
});

describe("Mail, what is not allowed", () => {
  it.each([
    ["CRLF in a field", "mail.headers.add('X-A', 'a\\r\\nBcc: x@example.com');", "script.action-invalid", "one line"],
    ["LF in the subject", "mail.subject = 'a\\nb';", "script.action-invalid", "one line"],
    ["NUL in a field", "mail.headers.set('X-A', 'a\\0b');", "script.action-invalid", "one line"],
    ["a colon in a name", "mail.headers.add('X:A', 'b');", "script.action-invalid", "name"],
    ["an empty name", "mail.headers.add('', 'b');", "script.action-invalid", "name"],
    ["a name of 77", "mail.headers.add('x'.repeat(77), 'b');", "script.action-invalid", "name"],
    ["a word that cannot be folded", "mail.headers.add('X-A', 'x'.repeat(901));", "script.action-invalid", "too long"],
    ["a value that is none", "mail.headers.add('X-A', {});", "script.action-invalid", "text"],
    ["CRLF in a reply", "mail.refuse('a\\r\\n250 ok');", "script.action-invalid", "one line"],
    ["a reply without words", "mail.refuse(' ');", "script.action-invalid", "text"],
    ["a reply too long", "mail.refuse('ä'.repeat(241));", "script.action-invalid", "480"],
    ["refuse with 4yz", "mail.refuse('a', { code: 450 });", "script.action-invalid", "500"],
    ["defer with 5yz", "mail.defer('a', { code: 550 });", "script.action-invalid", "400"],
    ["refuse with a 4 status", "mail.refuse('a', { status: '4.7.1' });", "script.action-invalid", "status"],
    ["two verdicts", "mail.refuse('a'); mail.discard('b');", "script.action-invalid", "one is all"],
    ["a verdict and settle", "mail.settle(); mail.refuse('b');", "script.action-invalid", "one is all"],
    [
      "two verdicts, caught",
      "mail.refuse('a'); try { mail.refuse('b'); } catch {}",
      "script.action-invalid",
      "one is all",
    ],
    ["no address", "mail.envelope.add('nobody');", "script.action-invalid", "no address"],
    [
      "an address with CRLF",
      "mail.envelope.add('a@b.example\\r\\nRCPT TO:<x@y>');",
      "script.action-invalid",
      "no address",
    ],
    ["an address with a space", "mail.envelope.redirect('a b@example.com');", "script.action-invalid", "no address"],
    [
      "CRLF in a display name",
      "mail.from = { name: 'a\\r\\nBcc: x', address: 'a@example.com' };",
      "script.action-invalid",
      "one line",
    ],
    ["NUL in appended text", "await mail.appendText('a\\0');", "script.action-invalid", "control"],
    [
      "an edit too many",
      "for (let i = 0; i < 1001; i++) mail.headers.add('X-A', String(i));",
      "script.action-limit",
      "1000",
    ],
    [
      "edits too large",
      "for (let i = 0; i < 40; i++) mail.headers.add('X-A', 'abcd '.repeat(7000));",
      "script.action-limit",
      "octets",
    ],
    ["writing what is read only", "mail.id = 'x';", "script.action-invalid", "id cannot be set"],
    ["a misspelt property", "mail.subjct = 'x';", "script.threw", "not extensible"],
    ["a list is frozen", "mail.envelope.to.push('x@example.com');", "script.threw", "not extensible"],
    ["process", "process.env.HOME", "script.threw", "there is no process to see"],
    ["fetch", "await fetch('http://127.0.0.1/')", "grant.missing", "http"],
    ["Buffer", "Buffer.from('x')", "script.threw", "Uint8Array"],
    ["setInterval", "setInterval(() => {}, 1)", "script.threw", "use setTimeout"],
  ])("%s", async (_why, body, code, words) => {
    const result = await run(body);
    expect(result.fault).toMatchObject({ code, message: expect.stringContaining(words) });
    expect(result.effects).toEqual({});
    expect(result.verdict).toEqual({ kind: "proceed", settled: false });
  });

  it("takes a thousand edits, the longest name, the longest word and the longest reply", async () => {
    expect(
      (await run("for (let i = 0; i < 1000; i++) mail.headers.add('X-A', String(i));")).effects.fields,
    ).toHaveLength(1008);
    expect((await run("mail.headers.add('x'.repeat(76), 'x'.repeat(900));")).fault).toBeNull();
    expect((await run("mail.refuse('ä'.repeat(240));")).fault).toBeNull();
  });
});

describe("Log", () => {
  it("joins words, writes objects as JSON, and has console write there too", async () => {
    const result = await run(
      "log.warn('a', 1, { b: [2] }, null); console.log('from console'); console.error(new TypeError('bad'));",
    );
    expect(result.log.map(({ level, text }) => [level, text])).toEqual([
      ["warn", 'a 1 {"b":[2]} null'],
      ["info", "from console"],
      ["error", "TypeError: bad"],
    ]);
  });

  it("cuts what is over its limits and says so", async () => {
    const result = await run("for (let i = 0; i < 500; i++) log.info(i); ");
    expect(result.log).toHaveLength(101);
    expect(result.log.at(-1)).toMatchObject({
      level: "warn",
      text: "More than 100 log lines in one run: the others are not shown",
    });
    const long = await run("log.info('ä'.repeat(5000));");
    expect(long.log[0]!.text).toBe(`${"ä".repeat(1000)}…`);
  });

  it("makes a line of it: no control character, no escape sequence, no line end", async () => {
    const result = await run(String.raw`log.info("a\r\n{\"level\":\"fatal\"}\x1b[2J\x1b]0;title\x07b\u202ec\u2028d");`);
    expect(result.log[0]!.text).toBe('a {"level":"fatal"}b c d');
  });

  it("keeps what was logged before a fault", async () => {
    const result = await run("log.info('before'); throw new Error('no');");
    expect(result.fault?.code).toBe("script.threw");
    expect(result.log.map(({ text }) => text)).toEqual(["before"]);
    const stopped = await run("log.info('before'); for (;;);", plain, { limits: { cpuMs: 100 } });
    expect(stopped.fault?.code).toBe("script.cpu-limit");
    expect(stopped.log.map(({ text }) => text)).toEqual(["before"]);
  });
});

describe("Attachment.remove", () => {
  it("cuts the part and leaves every other octet", async () => {
    const result = await run("mail.attachments[0].remove(); log.info(mail.attachments.length);", mixed);
    expect(result.fault).toBeNull();
    expect(result.effects.parts).toEqual([
      { op: "remove", part: "2", contentType: "application/pdf", fileName: "grün.pdf" },
    ]);
    const text = mixed.toString("latin1");
    const from = text.indexOf("--b1\r\nContent-Type: application/pdf");
    const to = text.indexOf("--b1\r\nContent-Type: image/png");
    expect(applied(mixed, result).toString("latin1")).toBe(text.slice(0, from) + text.slice(to));
  });

  it("leaves an empty text where nothing else is left", async () => {
    const only = messageOf(
      "From: a@example.com\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: application/zip\n\nPK\n--x--\n",
    );
    const result = await run("for (const a of mail.attachments) a.remove();", only);
    expect(applied(only, result).toString()).toBe(
      messageOf(
        "From: a@example.com\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain; charset=us-ascii\n\n\n--x--\n",
      ).toString(),
    );
  });

  it("empties a message that is the attachment", async () => {
    const single = messageOf(
      "From: a@example.com\nContent-Type: application/zip; name=a.zip\nContent-Transfer-Encoding: base64\n\nUEsDBA==\n",
    );
    const result = await run("log.info(mail.attachments[0].fileName); mail.attachments[0].remove();", single);
    expect(result.effects.fields).toEqual([0, ["Content-Type", "text/plain; charset=us-ascii"]]);
    expect(applied(single, result).toString()).toBe(
      "From: a@example.com\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\r\n",
    );
  });

  it("lists what is inside of an attached message, and takes it out of there", async () => {
    const forwarded = messageOf(
      "From: a@example.com\nContent-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: text/plain\n\nsee\n--o\nContent-Type: message/rfc822\n\nFrom: b@example.com\nContent-Type: multipart/mixed; boundary=i\n\n--i\nContent-Type: text/plain\n\ninner\n--i\nContent-Type: application/x-msdownload; name=evil.exe\n\nMZ\n--i--\n--o--\n",
    );
    const result = await run(
      "for (const a of mail.attachments) { log.info(a.part, a.fileName ?? a.contentType); if (/exe$/.test(a.fileName ?? '')) a.remove(); }",
      forwarded,
    );
    expect(result.log.map(({ text }) => text)).toEqual(["2 message/rfc822", "2.2 evil.exe"]);
    const out = applied(forwarded, result).toString();
    expect(out).not.toContain("evil");
    expect(out).toContain("inner\r\n--i--\r\n--o--\r\n");
  });
});

describe("Mail.appendText", () => {
  const append = (text: string) => `log.info(await mail.appendText(${JSON.stringify(text)}));`;

  it("adds ASCII to ASCII without touching what is there", async () => {
    const result = await run(append("Bye\nnow"));
    expect(result.effects.fields).toBeUndefined();
    expect(result.effects.parts).toEqual([{ op: "append", part: "1", contentType: "text/plain" }]);
    expect(applied(plain, result).toString()).toBe(`${plain.toString()}\r\nBye\r\nnow\r\n`);
  });

  it("adds other text to a message in ASCII by making it UTF-8", async () => {
    const result = await run(append("Grüße"));
    expect(result.effects.fields?.slice(-3)).toEqual([
      ["MIME-Version", "1.0"],
      ["Content-Type", "text/plain; charset=utf-8"],
      ["Content-Transfer-Encoding", "quoted-printable"],
    ]);
    expect(applied(plain, result).toString().split("\r\n\r\n").slice(1).join("\r\n\r\n")).toBe(
      "Hello\r\n\r\nGr=C3=BC=C3=9Fe\r\n",
    );
  });

  it("adds to the plain part of a multipart, in that part's encoding", async () => {
    const result = await run(append("größer"), mixed);
    expect(applied(mixed, result).toString()).toBe(
      mixed.toString().replace("Gr=C3=BC=C3=9Fe", "Gr=C3=BC=C3=9Fe\r\n\r\ngr=C3=B6=C3=9Fer"),
    );
  });

  it.each([
    [
      "Latin-1 becomes UTF-8 where it lacks a letter",
      "Content-Type: text/plain; charset=iso-8859-1; format=flowed\nContent-Transfer-Encoding: 8bit",
      Buffer.from("caf\xe9", "latin1"),
      "€",
      "café\r\n\r\n€",
      "text/plain; charset=utf-8; format=flowed",
    ],
    [
      "base64 stays base64",
      "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64",
      Buffer.from(Buffer.from("gr\u00fcn").toString("base64")),
      "ä",
      "grün\r\n\r\nä",
      "text/plain; charset=utf-8",
    ],
    [
      "8bit UTF-8 stays as it is",
      "Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit",
      Buffer.from("grün"),
      "ä",
      "grün\r\n\r\nä",
      "text/plain; charset=UTF-8",
    ],
    [
      "a line of 999 needs an encoding",
      "Content-Type: text/plain",
      Buffer.from("x"),
      "y".repeat(999),
      `x\r\n\r\n${"y".repeat(999)}`,
      "text/plain; charset=utf-8",
    ],
  ])("%s", async (_why, head, body, text, expected, type) => {
    const octets = Buffer.concat([
      messageOf(`From: a@example.com\nContent-Type: multipart/mixed; boundary=z\n\n--z\n${head}\n\n`),
      body,
      messageOf("\n--z--\n"),
    ]);
    const result = await run(append(text), octets);
    expect(result.log[0]!.text).toBe("true");
    const out = applied(octets, result);
    const again = await run("log.info(await mail.text()); log.info((await mail.raw()).length);", out, {
      limits: { logLineOctetsMax: 4_000 },
    });
    expect(again.log[0]!.text).toBe(expected.replaceAll("\r\n", " ").replace("  ", " "));
    expect(out.toString("latin1")).toContain(type);
    expect(out.toString("latin1").endsWith("\r\n--z--\r\n")).toBe(true);
  });

  it("adds to a plain part that is empty, and keeps the delimiter on a line of its own", async () => {
    const empty = messageOf("From: a@example.com\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n--x--\n");
    const result = await run(append("Bye"), empty);
    expect(applied(empty, result).toString()).toBe(
      "From: a@example.com\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nBye\r\n--x--\r\n",
    );
  });

  it.each([
    ["no plain part", "Content-Type: text/html\n\n<p>x</p>\n"],
    [
      "signed",
      'Content-Type: multipart/signed; boundary=x; protocol="application/pgp-signature"\n\n--x\nContent-Type: text/plain\n\nsigned\n--x\nContent-Type: application/pgp-signature\n\nsig\n--x--\n',
    ],
    ["encrypted", "Content-Type: application/pkcs7-mime; name=smime.p7m\n\nx\n"],
    ["PGP in the text", "Content-Type: text/plain\n\n-----BEGIN PGP SIGNED MESSAGE-----\nx\n"],
    ["the text is an attachment", "Content-Type: text/plain\nContent-Disposition: attachment\n\nx\n"],
  ])("gives false and changes nothing: %s", async (_why, rest) => {
    const result = await run(append("x"), messageOf(`From: a@example.com\n${rest}`));
    expect(result.log[0]!.text).toBe("false");
    expect(result.effects).toEqual({});
  });
});

describe("Faults", () => {
  it("say file, line and column of what the author wrote", async () => {
    await folder.write({
      "lib/check.ts":
        "export function check(mail: { subject: string }): void {\n  const none: undefined | { x: number } = undefined;\n  none!.x;\n}\n",
    });
    const script = await folder.compile(
      'import { check } from "./lib/check.ts";\n\nexport const onArrival = (mail) => {\n  check(mail);\n};\n',
      "outer.ts",
    );
    await sandbox.load(script);
    const { steps } = await runOn(sandbox, plain, [stepOf(script.version)]);
    expect(steps[0]!.fault).toMatchObject({
      code: "script.threw",
      message: "TypeError: Cannot read properties of undefined (reading 'x')",
      at: "scripts/lib/check.ts:3:9",
    });
    expect(steps[0]!.fault!.stack.split("\n")).toEqual([
      "at check (scripts/lib/check.ts:3:9)",
      "at onArrival (scripts/outer.ts:4:3)",
    ]);
  });
});
