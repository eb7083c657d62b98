/** Edits of a body in every structure that mail has: what comes out, octet by octet, and that it can be read again. */
import { writeFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fileNameOf } from "../../../sandbox/attachments.ts";
import { type BodyEdit, editBody } from "../../../sandbox/body-edit.ts";
import { findText, isProtected } from "../../../sandbox/body-texts.ts";
import { decodeCharset } from "../../../sandbox/content-field.ts";
import { MailContent } from "../../../sandbox/mail-content.ts";
import type { MimePart } from "../../../sandbox/mime.ts";
import type { NewAttachmentInput } from "../../../sandbox/new-part.ts";
import { expectGolden } from "../../support/golden.ts";
import { applied, mailInputOf, messageOf } from "../../support/scripts.ts";

const setText = (text: string): BodyEdit => ({ op: "setText", text });
const setHtml = (text: string): BodyEdit => ({ op: "setHtml", text });
const appendText = (text: string, wrap = false): BodyEdit => ({ op: "appendText", text, wrap });
const appendHtml = (text: string): BodyEdit => ({ op: "appendHtml", text });
const remove = (part: string): BodyEdit => ({ op: "remove", part });
const rename = (part: string, fileName: string): BodyEdit => ({ op: "rename", part, fileName });
const replace = (
  part: string,
  content: string | Buffer,
  facts: { readonly fileName?: string; readonly contentType?: string } = {},
): BodyEdit => ({
  op: "replace",
  part,
  octets: Buffer.from(content),
  isText: typeof content === "string",
  fileName: facts.fileName ?? null,
  contentType: facts.contentType ?? null,
});
const attachment = (
  fileName: string,
  content: string | Buffer,
  facts: Partial<NewAttachmentInput> = {},
): NewAttachmentInput => ({
  octets: Buffer.from(content),
  isText: typeof content === "string",
  fileName,
  contentType: null,
  contentId: null,
  ...facts,
});
const attach = (fileName: string, content: string | Buffer, facts: Partial<NewAttachmentInput> = {}): BodyEdit => ({
  op: "attach",
  attachment: attachment(fileName, content, facts),
  wrap: false,
});

/** The whole message after the edits. */
function edited(octets: Buffer, edits: readonly BodyEdit[]): Buffer {
  const mail = mailInputOf(octets);
  const fields = mail.fields.map((_, index) => index);
  const { splices, fields: after, fieldsChanged } = editBody(new MailContent(octets), edits, fields, mail);
  return applied(octets, { effects: { ...(fieldsChanged && { fields: after }), splices } } as never);
}

/** Text, HTML and attachments as another reader sees them. */
function seen(octets: Buffer) {
  const content = new MailContent(octets);
  const textOf = (type: "text/plain" | "text/html") => {
    const { part } = findText(content, type);
    if (!part) return null;
    return decodeCharset(content.content(part), part.type.parameters.get("charset") ?? "us-ascii");
  };
  return {
    text: textOf("text/plain"),
    html: textOf("text/html"),
    attachments: [...content.attachments.values()].map((part) => [
      fileNameOf(part),
      part.contentType,
      content.content(part).toString("latin1"),
    ]),
    defects: content.tree.defects,
    root: content.tree.root.contentType,
  };
}

const from = "From: a@example.com\n";
const plain = `${from}Subject: x\n\nHello\n`;
const html = `${from}Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\nX-Last: y\n\n<html><body>Hi</body></html>\n`;
const alternative = `${from}MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=a\n\n--a\nContent-Type: text/plain; charset=utf-8; format=flowed\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe\n--a\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\nPHA+R3LDvMOfZTwvcD4=\n--a--\n`;
const related = `${from}MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=m\n\npre\n--m\nContent-Type: multipart/related; boundary=r\n\n--r\nContent-Type: text/html\n\n<p>x</p>\n--r\nContent-Type: image/png\nContent-ID: <p@example.com>\n\nPNG\n--r--\n--m\nContent-Type: application/pdf; name=a.pdf\n\nPDF\n--m--\nepilogue\n`;
const open = `${from}Content-Type: multipart/mixed; boundary=m\n\n--m\n\nfirst\n--m\nContent-Type: image/png\n\nP\n`;
const image = `${from}Content-Type: image/png; name=x.png\nContent-Transfer-Encoding: base64\nContent-Disposition: inline\n\nAAAA\n`;
const signed = `${from}Content-Type: multipart/signed; boundary=s\n\n--s\n\ntext\n--s\nContent-Type: application/pgp-signature\n\nsig\n--s--\n`;
const report = `${from}Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: text/plain\n\nsee below\n--m\nContent-Type: message/rfc822\n\nFrom: b@example.com\nContent-Type: text/plain\n\ninside\n--m--\n`;

/** Reviewed by eye; `GOLDEN=write` writes them anew. */
const golden: readonly (readonly [why: string, message: string, edits: readonly BodyEdit[]])[] = [
  ["plain-set-attach", plain, [setText("Neu: ü\n"), attach("a.txt", "content")]],
  ["plain-html-append-attach", plain, [attach("grün.pdf", Buffer.from("x")), setHtml("<p>hi</p>"), appendText("bye")]],
  ["html-text-append", html, [setText("plain"), appendHtml("<p>é €</p>")]],
  ["alternative-both", alternative, [appendHtml("<p>ü</p>"), setText(" > one\ntwo "), appendText("three")]],
  ["related-text-mail-remove", related, [setText("plain"), attach("b.eml", "Subject: in\n\nx\n"), remove("2")]],
  [
    "related-rename-replace",
    related,
    [rename("2", "größe; 1.pdf"), replace("1.2", Buffer.from("X"), { fileName: "x.gif", contentType: "image/gif" })],
  ],
  ["open-attach-twice", open, [attach("n.txt", "1"), appendText("bye"), attach("n2.txt", "2")]],
  ["image-texts-rename", image, [setText("T"), setHtml("<p>T"), rename("1", "y.png")]],
  ["signed-wrapped", signed, [appendText("Notice", true), attach("n.txt", "x")]],
  ["message-inside", report, [appendText("more"), setHtml("<p>more</p>"), remove("2")]],
];

describe("editBody, golden files", () => {
  it.each(golden)("%s", (why, message, edits) => {
    const out = edited(messageOf(message), edits).toString("latin1");
    if (process.env["GOLDEN"] === "write")
      writeFileSync(`test/golden/content-${why}.eml`, out.replaceAll("\r\n", "\n"));
    expect(out.replaceAll("\r\n", "")).not.toMatch(/[\r\n]/);
    expectGolden(`content-${why}.eml`, out);
    expect(seen(Buffer.from(out, "latin1")).defects).toEqual([]);
  });
});

describe("editBody, texts", () => {
  const plainIn = (fields: string, body: string | Buffer) =>
    Buffer.concat([messageOf(`${from}${fields}\n`), Buffer.from(body)]);

  it.each([
    ["ASCII stays as it is", "", "x\r\n", "new", "7bit", ""],
    ["no charset named, and none fits", "", "x\r\n", "ü", "quoted-printable", "utf-8"],
    [
      "the charset fits, 8bit is said",
      "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n",
      "x\r\n",
      "ü",
      "8bit",
      "iso-8859-1",
    ],
    [
      "the charset fits, 8bit is not said",
      "Content-Type: text/plain; charset=iso-8859-1\n",
      "x\r\n",
      "ü",
      "quoted-printable",
      "iso-8859-1",
    ],
    [
      "a euro is not in ISO 8859-1",
      "Content-Type: text/plain; charset=iso-8859-1\n",
      "x\r\n",
      "€",
      "quoted-printable",
      "utf-8",
    ],
    [
      "a euro is in Windows-1252",
      "Content-Type: text/plain; charset=windows-1252\n",
      "x\r\n",
      "€",
      "quoted-printable",
      "windows-1252",
    ],
    [
      "Cyrillic in KOI8-R",
      "Content-Type: text/plain; charset=koi8-r\n",
      "x\r\n",
      "привет",
      "quoted-printable",
      "koi8-r",
    ],
    ["a charset that shifts", "Content-Type: text/plain; charset=iso-2022-jp\n", "x\r\n", "new", "7bit", "utf-8"],
    [
      "base64 stays",
      "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n",
      "eA==\r\n",
      "ü",
      "base64",
      "utf-8",
    ],
    ["a line of 998 is let be", "", "x\r\n", "y".repeat(998), "7bit", ""],
    ["a line of 999 is not", "", "x\r\n", "y".repeat(999), "quoted-printable", ""],
    ["no body at all", "Content-Type: text/plain\n", "", "new", "7bit", ""],
  ])("setText keeps charset and encoding where it can: %s", (_why, fields, body, text, encoding, charset) => {
    const out = edited(plainIn(fields, body), [setText(text)]);
    const { root } = new MailContent(out).tree;
    expect(seen(out).text).toBe(`${text}\r\n`);
    expect(root.fields.get("content-transfer-encoding")?.value ?? "7bit").toBe(encoding);
    expect(root.type.parameters.get("charset") ?? "").toBe(charset);
  });

  it("setText takes format=flowed away, as its lines are meant as they are", () => {
    const out = edited(plainIn("Content-Type: text/plain; format=flowed; delsp=yes; x=y\n", "a b \r\nc\r\n"), [
      setText("one \ntwo"),
    ]);
    expect(out.toString()).toContain("Content-Type: text/plain; x=y\r\n");
  });

  it("appendText stuffs what would be read as flow or quote", () => {
    const out = edited(plainIn("Content-Type: text/plain; format=flowed\n", "a b \r\nc\r\n"), [
      appendText("> q  \nFrom me\n in"),
    ]);
    expect(out.toString().split("\r\n\r\n").slice(1).join("\r\n\r\n")).toBe(
      "a b \r\nc\r\n\r\n > q\r\n From me\r\n  in\r\n",
    );
  });

  it.each([
    ["in front of the body's end", "<body>a</body></html>", "<body>aX</body></html>"],
    ["whatever its case", "<BODY>a</Body ></html>", "<BODY>aX</Body ></html>"],
    ["in front of the last one", "</body>a</body>", "</body>aX</body>"],
    ["in front of the end of HTML", "a</html>", "aX</html>"],
    ["at the end", "a", "aX"],
  ])("appendHtml adds %s", (_why, before, after) => {
    const out = edited(plainIn("Content-Type: text/html\n", before), [appendHtml("X")]);
    expect(seen(out).html?.trimEnd()).toBe(after);
  });

  it("appendHtml makes UTF-8 of a charset that is wide", () => {
    const out = edited(
      plainIn(
        "Content-Type: text/html; charset=utf-16le\nContent-Transfer-Encoding: base64\n",
        Buffer.from(Buffer.from("<p>é", "utf16le").toString("base64")),
      ),
      [appendHtml("€")],
    );
    expect(seen(out).html).toBe("<p>é€\r\n");
  });

  it("puts a text into a part of nothing but a header", () => {
    const out = edited(
      messageOf(`${from}Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain\n--x--\n`),
      [setText("new")],
    );
    expect(out.toString()).toContain("--x\r\nContent-Type: text/plain\r\n\r\nnew\r\n--x--\r\n");
  });

  it("goes on from what was set, and forgets what was appended before", () => {
    expect(seen(edited(messageOf(plain), [appendText("a"), setText("b"), appendText("c")])).text).toBe(
      "b\r\n\r\nc\r\n",
    );
    expect(seen(edited(messageOf(html), [appendHtml("a"), setHtml("b</body>"), appendHtml("c")])).html?.trimEnd()).toBe(
      "bc</body>",
    );
  });
});

describe("editBody, attachments", () => {
  it.each([
    ["short ASCII", "a b.txt"],
    ["quotes and backslashes", 'a"b\\c.txt'],
    ["other letters", "größe €.txt"],
    ["60 characters", "x".repeat(60)],
    ["61 characters", "x".repeat(61)],
    ["255 characters that take three octets", "€".repeat(255)],
    ["an encoded word that is none", "=?utf-8?q?x?=.txt"],
    ["what looks like RFC 2231", "a*0*='%41.txt"],
    ["a semicolon and blanks", "a; b=c; d.txt"],
  ])("keeps a file's name: %s", (_why, name) => {
    for (const message of [plain, related]) {
      const out = edited(messageOf(message), [attach(name, "x")]);
      expect(seen(out).attachments.at(-1)).toEqual([
        name,
        name.endsWith(".txt") ? "text/plain" : "application/octet-stream",
        "x",
      ]);
    }
    expect(seen(edited(messageOf(related), [rename("2", name)])).attachments.at(-1)?.[0]).toBe(name);
    expect(seen(edited(messageOf(image), [rename("1", name)])).attachments[0]?.[0]).toBe(name);
  });

  it("replaces the content of the message itself", () => {
    const out = edited(messageOf(image), [replace("1", Buffer.from([0, 255, 10]))]);
    expect(seen(out).attachments).toEqual([["x.png", "image/png", "\0\xff\n"]]);
  });

  it("says that a text put in place is UTF-8, and leaves octets what they were said to be", () => {
    const message = messageOf(
      `${from}Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/csv; charset=iso-8859-1; name=a.csv\n\nä\n--x--\n`,
    );
    const typeOf = (edit: BodyEdit) =>
      [...new MailContent(edited(message, [edit])).attachments.values()][0]!.type.parameters.get("charset");
    expect(typeOf(replace("1", "é"))).toBe("utf-8");
    expect(typeOf(replace("1", Buffer.from([0xe9])))).toBe("iso-8859-1");
  });

  it("attaches a message as it is, and as octets where it cannot be one", () => {
    const whole = "Subject: in\r\n\r\nä\r\n";
    expect(edited(messageOf(plain), [attach("m.eml", whole)]).toString()).toContain(
      `Content-Transfer-Encoding: 8bit\r\n`,
    );
    expect(seen(edited(messageOf(plain), [attach("m.eml", Buffer.from("a\0b"))])).attachments).toEqual([
      ["m.eml", "application/octet-stream", "a\0b"],
    ]);
  });

  it("finds a boundary that is nowhere in the message", () => {
    const once = edited(messageOf(plain), [attach("a.txt", "x")]);
    const boundary = new MailContent(once).tree.root.type.parameters.get("boundary")!;
    const out = edited(messageOf(plain.replace("Hello", "x".repeat(5))), [
      attach("m.eml", `Subject: x\n\n--${boundary}--\n`),
    ]);
    expect(seen(out).attachments).toHaveLength(1);
    expect(out.toString().split(boundary)).toHaveLength(2);
  });

  it("keeps the order in which parts are taken out and put in at one place", () => {
    const out = edited(messageOf(related), [remove("2"), attach("one.txt", "1"), attach("two.txt", "2")]);
    expect(seen(out).attachments.map(([name]) => name)).toEqual([undefined, "one.txt", "two.txt"]);
    expect(out.toString()).toContain("--m--\r\nepilogue");
  });
});

describe("isProtected", () => {
  it.each([
    ["plain", plain, false],
    ["signed", signed, true],
    ["S/MIME", `${from}Content-Type: application/pkcs7-mime; name=smime.p7m\n\nx\n`, true],
    ["S/MIME by its name alone", `${from}Content-Type: application/octet-stream; name=SMIME.P7M\n\nx\n`, true],
    ["OpenPGP in the text", `${from}\n-----BEGIN PGP MESSAGE-----\nx\n`, true],
    ["a key in the text", `${from}\n-----BEGIN PGP PUBLIC KEY BLOCK-----\nx\n`, false],
    [
      "what is signed is one part of several",
      `${from}Content-Type: multipart/mixed; boundary=m\n\n--m\n${signed.slice(from.length)}--m\n\nfooter\n--m--\n`,
      false,
    ],
  ])("is right about %s", (_why, message, expected) => {
    expect(isProtected(new MailContent(messageOf(message)))).toBe(expected);
  });
});

// -- Any structure, any edits -----------------------------------------------------------------------------------------------------------------

interface Leaf {
  readonly type: string;
  readonly body: string;
}
interface Branch {
  readonly type: string;
  readonly parts: readonly Tree[];
  readonly closed: boolean;
}
type Tree = Leaf | Branch;

const leaf: fc.Arbitrary<Tree> = fc.record({
  type: fc.constantFrom(
    "Content-Type: text/plain\n",
    "",
    "Content-Type: text/html; charset=utf-8\n",
    "Content-Type: image/png\nContent-Transfer-Encoding: base64\n",
    "Content-Type: application/pdf; name=a.pdf\n",
    "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n",
    "Content-Type: message/rfc822\n",
  ),
  body: fc.constantFrom("", "a\n", "QUJD\n", "Subject: in\n\ntext\n", "<p>x</p></body>\n", "no end", "=41 \n"),
});
const tree: fc.Arbitrary<Tree> = fc.letrec<{ tree: Tree; branch: Tree }>((tie) => ({
  tree: fc.oneof({ depthSize: "small" }, leaf, tie("branch")),
  branch: fc.record({
    type: fc.constantFrom("mixed", "alternative", "related"),
    parts: fc.array(tie("tree"), { maxLength: 4 }),
    closed: fc.boolean(),
  }),
})).tree;

function written(node: Tree, depth = 0, counter = { parts: 0 }): string {
  if (!("parts" in node)) return `${node.type}\n${node.body}`;
  const boundary = `b${depth}x${counter.parts++}`;
  const parts = node.parts.map((part) => `--${boundary}\n${written(part, depth + 1, counter)}\n`).join("");
  return `Content-Type: multipart/${node.type}; boundary=${boundary}\n\n${parts}${node.closed ? `--${boundary}--\n` : ""}`;
}

const edit: fc.Arbitrary<BodyEdit> = fc.oneof(
  fc.constantFrom("new", "größer", "").map(setText),
  fc.constantFrom("<b>new</b>", "<b>größer").map(setHtml),
  fc.constantFrom("more", "größer").map((text) => appendText(text)),
  fc.constantFrom("<i>more", "€").map(appendHtml),
  fc.constantFrom("1", "2", "1.1", "1.2", "2.1").map(remove),
  fc.constantFrom("1", "2", "1.2").map((part) => rename(part, "größe.pdf")),
  fc.constantFrom("1", "2", "1.2").map((part) => replace(part, "other")),
  fc.constantFrom("a.txt", "b.eml").map((name) => attach(name, "Subject: x\r\n\r\ny")),
);

describe("editBody, any edits of any structure", () => {
  it("can be read again, with every part that was not touched as it was", () => {
    fc.assert(
      fc.property(tree, fc.array(edit, { minLength: 1, maxLength: 5 }), (node, edits) => {
        const before = messageOf(`From: a@example.com\n${written(node)}`);
        const content = new MailContent(before);
        const after = edited(before, edits);
        const touched = new Set<MimePart>();
        for (const { op, part } of edits as readonly { op: string; part?: string }[]) {
          const found = part === undefined ? undefined : content.attachments.get(part);
          if (found) touched.add(found);
          if (/Text$/.test(op)) touched.add(findText(content, "text/plain").part ?? content.tree.root);
          if (/Html$/.test(op)) touched.add(findText(content, "text/html").part ?? content.tree.root);
        }
        // What is in a part that was taken out or replaced went with it.
        const isTouched = (part: MimePart | null): boolean =>
          part !== null &&
          ((touched.has(part) && part.children.length === 0) || touched.has(part.parent!) || isTouched(part.parent));
        const visit = (part: MimePart) => {
          if (part.children.length === 0 && !isTouched(part) && part.parent !== null)
            expect(after.includes(before.subarray(part.start, part.bodyEnd))).toBe(true);
          part.children.forEach(visit);
        };
        visit(content.tree.root);
        const again = new MailContent(after);
        const removed = new Set(
          edits.flatMap((one) => (one.op === "remove" && content.attachments.has(one.part) ? [one.part] : [])),
        );
        const added = edits.filter(({ op }) => op === "attach").length;
        if (content.tree.defects.length === 0 && removed.size === 0 && !written(node).includes("message/rfc822"))
          expect(again.attachments.size).toBe(content.attachments.size + added);
        expect(again.tree.defects.filter((defect) => !content.tree.defects.includes(defect))).toEqual([]);
      }),
      { numRuns: 3_000 },
    );
  });

  it("gives the same octets again", () => {
    fc.assert(
      fc.property(tree, fc.array(edit, { minLength: 1, maxLength: 3 }), (node, edits) => {
        const before = messageOf(`From: a@example.com\n${written(node)}`);
        expect(edited(before, edits).equals(edited(before, edits))).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});
