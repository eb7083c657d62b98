/** Content, notes, ways and new messages as the script API promises them, through a real sandbox process. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { Sandbox } from "../../../sandbox/host.ts";
import type { MailInput, ScriptLimits, StepResult } from "../../../sandbox/protocol.ts";
import { applied, createScriptFolder, messageOf, runScript, type ScriptFolder } from "../../support/scripts.ts";

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

const plain = messageOf("From: a@example.com\nSubject: x\nMessage-ID: <1@example.com>\n\nHello\n");
const mixed = messageOf(
  "From: a@example.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=m\n\n--m\n\ntext\n--m\nContent-Type: text/csv; charset=iso-8859-1; name=a.csv\nContent-Transfer-Encoding: quoted-printable\n\n=E9\n--m--\n",
);
const signed = messageOf(
  "From: a@example.com\nContent-Type: multipart/signed; boundary=s\n\n--s\n\ntext\n--s\nContent-Type: application/pgp-signature; name=s.asc\n\nsig\n--s--\n",
);

function run(
  body: string,
  octets = plain,
  options: { readonly limits?: Partial<ScriptLimits>; readonly mail?: Partial<MailInput> } = {},
): Promise<StepResult> {
  const script = `export const onArrival = async (mail, { log }) => {\n${body}\n};\n`;
  return runScript({ sandbox, folder }, script, octets, {
    ...options,
    mail: { id: "0123456789ABCDEF", ...options.mail },
  });
}

const said = (result: StepResult) => result.log.map(({ text }) => text);

describe("Mail, content", () => {
  it("edits texts and attachments, in whatever order", async () => {
    const result = await run(
      "await mail.appendText('bye'); await mail.setHtml('<p>hi'); mail.attachments[0].replace(new Uint8Array([65, 66]).buffer, { fileName: 'b.csv' }); await mail.attach({ content: 'ü', fileName: 'ü.txt' }); log.info(mail.attachments[0].fileName);",
      mixed,
    );
    expect(result.fault).toBeNull();
    expect(said(result)).toEqual(["b.csv"]);
    expect(result.effects.parts?.map(({ op, part }) => `${op} ${part}`)).toEqual([
      "replace 2",
      "append 1",
      "add ",
      "add ",
    ]);
    const out = applied(mixed, result).toString();
    expect(out).toContain("text\r\n\r\nbye\r\n");
    expect(out).toContain("\r\n\r\nQUI=\r\n--m\r\n");
    expect(out).toContain("filename*=utf-8''%C3%BC.txt");
  });

  it("reads attachments as text and as a stream, as they were when the run began", async () => {
    const result = await run(
      "const [a] = mail.attachments; a.replace('other'); log.info(await a.text()); for await (const piece of a.stream()) log.info(piece.length);",
      mixed,
    );
    expect(said(result)).toEqual(["é", "1"]);
  });

  it.each([
    ["setText", "await mail.setText('x')"],
    ["setHtml", "await mail.setHtml('x')"],
    ["attach", "await mail.attach({ content: 'x', fileName: 'x.txt' })"],
    ["remove", "mail.attachments[0].remove()"],
    ["rename", "mail.attachments[0].rename('x')"],
    ["replace", "mail.attachments[0].replace('x')"],
  ])("never breaks a signature: %s is a fault", async (_why, body) => {
    const result = await run(`log.info(mail.isProtected); ${body};`, signed);
    expect(said(result)).toEqual(["true"]);
    expect(result.fault).toMatchObject({
      code: "script.protected",
      message: expect.stringContaining("signed or encrypted"),
    });
    expect(result.effects).toEqual({});
  });

  it("puts a protected message whole into a new one", async () => {
    const result = await run(
      "log.info(await mail.appendText('no')); log.info(await mail.appendText('Notice', { wrap: true })); await mail.attach({ content: 'x', fileName: 'x.txt' }); log.info(await mail.appendText('more'));",
      signed,
    );
    expect(said(result)).toEqual(["false", "true", "true"]);
    const out = applied(signed, result).toString();
    expect(out).toContain("Notice\r\n\r\nmore\r\n");
    expect(out).toContain(signed.toString());
  });

  it("wraps nothing that can be edited", async () => {
    const result = await run("await mail.appendText('bye', { wrap: true });");
    expect(applied(plain, result).toString()).toBe(`${plain.toString()}\r\nbye\r\n`);
  });

  it.each([
    ["below", 99, null],
    ["at", 100, null],
    ["above", 101, "script.action-limit"],
  ])("limits what a run writes: %s", async (_why, octets, code) => {
    const body = `await mail.attach({ content: new Uint8Array(${octets - 10}), fileName: 'x' }); await mail.appendText('1234567890');`;
    const result = await run(body, plain, { limits: { contentOctetsMax: 100 } });
    expect(result.fault?.code ?? null).toBe(code);
  });

  it("carries an attachment of several megabytes", async () => {
    const result = await run("await mail.attach({ content: new Uint8Array(5_000_000).fill(65), fileName: 'x.bin' });");
    expect(result.fault).toBeNull();
    expect(applied(plain, result).length).toBeGreaterThan(6_600_000);
  });

  it.each([
    ["a text that is none", "await mail.setText(1)", "takes a text"],
    ["NUL", "await mail.setText('a\\0')", "control"],
    ["no file name", "await mail.attach({ content: 'x' })", "file name"],
    ["a file name with a line end", "await mail.attach({ content: 'x', fileName: 'a\\nb' })", "control"],
    [
      "a content type that is none",
      "await mail.attach({ content: 'x', fileName: 'a', contentType: 'x\\r\\nBcc: y' })",
      "content type",
    ],
    ["a multipart", "await mail.attach({ content: 'x', fileName: 'a', contentType: 'multipart/mixed' })", "one part"],
    [
      "a content id with brackets",
      "await mail.attach({ content: 'x', fileName: 'a', contentId: '<a>' })",
      "content id",
    ],
    ["content that is neither", "await mail.attach({ content: {}, fileName: 'a' })", "octets"],
    ["an option that is no truth value", "await mail.appendText('x', { wrap: 1 })", "true or false"],
  ])("says what is wrong: %s", async (_why, body, words) => {
    const result = await run(body);
    expect(result.fault).toMatchObject({ code: "script.action-invalid", message: expect.stringContaining(words) });
  });

  it("is not fooled by a script that changed the language", async () => {
    const result = await run(
      "const octets = new Uint8Array(1); octets[0] = 66; Uint8Array.prototype.toBase64 = () => 'AAAA'; Object.defineProperty(Array.prototype, '0', { set() { throw 1; }, configurable: true }); Array.prototype[Symbol.iterator] = () => ({ next: () => ({ done: true }) }); String.prototype.slice = () => ''; await mail.attach({ content: octets, fileName: 'x' }); mail.submit({ to: 'b@example.org', subject: 's', text: 't' });",
    );
    expect(result.fault).toBeNull();
    expect(applied(plain, result).toString()).toContain("\r\n\r\nQg==\r\n");
    expect(result.effects.submissions?.[0]?.to).toEqual(["b@example.org"]);
  });
});

describe("Mail, notes", () => {
  const notes = { seen: 1, list: [1, { a: null }] };

  it.each([
    ["nothing where they are only read", "log.info(mail.notes.seen)", undefined],
    ["nothing where they are the same again", "mail.notes.seen = 1", undefined],
    ["all of them where one is new", "mail.notes.more = { x: 'ü' }", { ...notes, more: { x: "ü" } }],
    ["what is changed inside", "mail.notes.list[1].a = true", { seen: 1, list: [1, { a: true }] }],
    ["without what was deleted", "delete mail.notes.list", { seen: 1 }],
  ])("gives %s", async (_why, body, expected) => {
    const result = await run(body, plain, { mail: { notes } });
    expect(result.fault).toBeNull();
    expect(result.effects.notes).toEqual(expected);
  });

  it.each([
    ["16 KiB are kept", "mail.notes.x = 'x'.repeat(16_384 - 8)", null],
    ["an octet more is not", "mail.notes.x = 'x'.repeat(16_384 - 7)", "script.action-limit"],
    ["a circle", "mail.notes.x = mail.notes", "script.action-invalid"],
    ["a BigInt", "mail.notes.x = 1n", "script.action-invalid"],
    ["notes that say they are something else", "mail.notes.toJSON = () => 1", "script.action-invalid"],
    ["another object in their place", "mail.notes = {}", "script.action-invalid"],
  ])("%s", async (_why, body, code) => {
    expect((await run(body)).fault?.code ?? null).toBe(code);
  });
});

describe("Mail, ways", () => {
  it("gives routes, folders and recipients", async () => {
    const result = await run(
      "mail.route('mx', 'one@example.org'); mail.route('hold:later'); mail.fileInto('Junk'); mail.redirect('two@example.org');",
    );
    expect(result.effects).toEqual({
      to: ["two@example.org"],
      routes: [
        { recipients: ["one@example.org"], to: "mx" },
        { recipients: null, to: "hold:later" },
      ],
      folders: [{ recipients: null, to: "Junk" }],
    });
  });

  it.each([
    ["nobody of the message", "mail.route('mx', 'nobody@example.org')", "no recipient"],
    ["no words", "mail.route(' ')", "a next hop"],
    ["two lines", "mail.fileInto('a\\nb')", "one line"],
  ])("says what is wrong: %s", async (_why, body, words) => {
    expect((await run(body)).fault).toMatchObject({ message: expect.stringContaining(words) });
  });
});

describe("Mail, new messages", () => {
  it("submits a message, and tells its id", async () => {
    const result = await run(
      "log.info(mail.submit({ from: 'Bot <bot@example.org>', to: ['b@example.org', { address: 'c@example.org', name: 'Cäsar' }], bcc: 'd@example.org', subject: 'Grüße', text: 'Hallo', html: '<p>Hallo', headers: { 'X-A': 'b' }, attachments: [{ content: 'x', fileName: 'x.txt' }] }));",
    );
    const [made] = result.effects.submissions!;
    expect(said(result)).toEqual([made!.id]);
    expect(made).toMatchObject({
      kind: "submit",
      from: "bot@example.org",
      to: ["b@example.org", "c@example.org", "d@example.org"],
    });
    expect(made!.id).toMatch(/^012345678[0-9A-Z]{7}$/);
    expect(made!.fields.slice(0, 5)).toEqual([
      ["From", "Bot <bot@example.org>"],
      ["To", "b@example.org, Cäsar <c@example.org>"],
      ["Subject", "Grüße"],
      ["X-A", "b"],
      ["Auto-Submitted", "auto-generated"],
    ]);
    expect(made!.fields.map(([name]) => name)).not.toContain("Bcc");
    expect(Buffer.from(made!.octets!).toString()).toMatch(
      /^--=_[\s\S]*multipart\/alternative[\s\S]*<p>Hallo[\s\S]*eA==\r\n--=_[0-9a-f]{32}--\r\n$/,
    );
  });

  it("replies to the sender, in his thread, from the recipient that matched", async () => {
    const result = await run("log.info(typeof mail.reply({ text: 'away', onceWithin: 5 }));", plain);
    expect(said(result)).toEqual(["string"]);
    expect(result.effects.submissions).toMatchObject([
      { kind: "reply", from: null, to: ["sender@example.com"], onceWithinMs: 5 },
    ]);
    expect(Object.fromEntries(result.effects.submissions![0]!.fields)).toMatchObject({
      To: "sender@example.com",
      From: "one@example.org",
      Subject: "Re: x",
      "In-Reply-To": "<1@example.com>",
      References: "<1@example.com>",
      "Auto-Submitted": "auto-replied",
    });
  });

  it.each([
    ["the null sender", "", { envelope: { from: null, to: ["one@example.org"] } }],
    ["a machine", "", { envelope: { from: "MAILER-DAEMON@example.com", to: ["one@example.org"] } }],
    ["himself", "", { envelope: { from: "one@example.org", to: ["one@example.org"] } }],
    ["a list", "List-Id: <x>\n", {}],
    ["an automatic answer", "Auto-Submitted: auto-replied\n", {}],
    ["bulk mail", "Precedence: bulk\n", {}],
    ["who wants none", "X-Auto-Response-Suppress: DR, OOF\n", {}],
  ])("does not answer %s, whatever a script does to the header", async (_why, fields, mail) => {
    const octets = messageOf(`From: a@example.com\n${fields}\nHello\n`);
    const result = await run(
      "mail.headers.remove('List-Id'); mail.headers.remove('Auto-Submitted'); log.info(mail.reply({ text: 'x' }));",
      octets,
      { mail },
    );
    expect(said(result)).toEqual(["null"]);
    expect(result.effects.submissions).toBeUndefined();
  });

  it("forwards the message in hand", async () => {
    const result = await run("mail.forward(['x@example.org', 'X@example.org'], { from: null });");
    expect(result.effects.submissions).toMatchObject([
      { kind: "forward", from: null, to: ["x@example.org"], octets: null, fields: [] },
    ]);
  });

  it.each([
    ["nobody", "mail.submit({ subject: 'x', to: [] })", "has a recipient"],
    ["no address", "mail.submit({ subject: 'x', to: 'x' })", "No address for To"],
    ["no subject", "mail.submit({ to: 'b@example.org' })", "subject"],
    [
      "a field of ours",
      "mail.submit({ to: 'b@example.org', subject: 'x', headers: { Received: 'y' } })",
      "server writes it",
    ],
    [
      "a field of two lines",
      "mail.submit({ to: 'b@example.org', subject: 'x', headers: { 'X-A': 'y\\r\\nBcc: z' } })",
      "one line",
    ],
    ["time that is none", "mail.reply({ onceWithin: -1 })", "onceWithin"],
    ["half a millisecond", "mail.reply({ onceWithin: 0.5 })", "onceWithin"],
  ])("says what is wrong: %s", async (_why, body, words) => {
    const result = await run(body);
    expect(result.fault).toMatchObject({ code: "script.action-invalid", message: expect.stringContaining(words) });
    expect(result.effects).toEqual({});
  });
});
