/** Reading inside of messages that mean harm, or are real: never a fault, always in time, and the ranges always true. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { editBody } from "../../../sandbox/body-edit.ts";
import { answerAddresses, answerWords } from "../../../sandbox/field-answers.ts";
import { MailContent } from "../../../sandbox/mail-content.ts";
import { mailInputOf, messageOf } from "../../support/scripts.ts";

const wallMsMax = 2_500;

async function read(octets: Buffer) {
  const content = new MailContent(octets);
  await content.parse();
  const structure = JSON.parse(content.structure()) as {
    attachments: { fileName?: string; contentType: string }[];
  };
  for (const part of content.attachments.values()) content.content(part);
  return { content, ...structure, ...content.texts! };
}

describe("MailContent", () => {
  it.each([
    ["100,000 fields", () => `${"X-Field: value\n".repeat(100_000)}\nhello\n`],
    ["a field of 1 MB", () => `X-Field: ${"value ".repeat(170_000)}\n\nhello\n`],
    ["a field of 1 MB, folded", () => `X-Field: ${"value\n ".repeat(150_000)}x\n\nhello\n`],
    [
      "nesting of 10,000",
      () =>
        Array.from({ length: 10_000 }, (_, i) => `Content-Type: multipart/mixed; boundary=b${i}\n\n--b${i}\n`).join(""),
    ],
    ["10,000 messages in messages", () => "Content-Type: message/rfc822\n\n".repeat(10_000)],
    ["50,000 parts", () => `Content-Type: multipart/mixed; boundary=b\n\n${"--b\n\nx\n".repeat(50_000)}--b--\n`],
    ["an address of 273 KB without @", () => `From: ${"a".repeat(273_000)}\n\nhello\n`],
    ["100,000 addresses", () => `To: ${"a@example.com, ".repeat(100_000)}\n\nhello\n`],
    [
      "2 MB of flowed text in one line",
      () => `Content-Type: text/plain; format=flowed; delsp=yes\n\n${"word ".repeat(400_000)}\n`,
    ],
    ["a flood of encoded words", () => `Subject: ${"=?utf-8?q?a?= ".repeat(20_000)}\n\nhello\n`],
    [
      "a flood of RFC 2231 segments",
      () =>
        `Content-Type: application/x; ${Array.from({ length: 20_000 }, (_, i) => `name*${i}*=a`).join("; ")}\n\nhello\n`,
    ],
    ["names of objects", () => "__proto__: x\nconstructor: y\nContent-Type: text/plain; __proto__=x\n\nhello\n"],
    ["two From fields", () => "From: a@example.com\nFrom: b@example.com\n\nhello\n"],
    ["HTML nested 100,000 deep", () => `Content-Type: text/html\n\n${"<b>".repeat(100_000)}hello\n`],
    ["2 MB of HTML", () => `Content-Type: text/html\n\n${"<p>hello ".repeat(220_000)}\n`],
    [
      "a boundary of 2 KB, many times",
      () =>
        `Content-Type: multipart/mixed; boundary=${"b".repeat(2_000)}\n\n${`--${"b".repeat(1_999)}\n`.repeat(1_000)}`,
    ],
    [
      "a million lines that begin like delimiters",
      () => `Content-Type: multipart/mixed; boundary=b\n\n--b\n\n${"--\n".repeat(1_000_000)}--b--\n`,
    ],
    ["a charset that is none", () => "Content-Type: text/plain; charset=x-none\n\nhello\n"],
    ["no end of quoted-printable", () => `Content-Transfer-Encoding: quoted-printable\n\n${"=".repeat(500_000)}\n`],
    ["base64 that is none", () => `Content-Transfer-Encoding: base64\n\n${"!".repeat(500_000)}\n`],
  ])("reads in time: %s", async (_why, make) => {
    const octets = messageOf(make());
    const started = performance.now();
    await read(octets);
    expect(performance.now() - started).toBeLessThan(wallMsMax);
  });

  it.each([
    ["a path", "../../x", "../../x"],
    ["a NUL", "a\0b.exe", "a\0b.exe"],
    ["a device", "CON", "CON"],
    ["300 characters", "x".repeat(300), "x".repeat(300)],
    ["RFC 2231 in disguise", "=?utf-8?q?evil=2Eexe?=", "evil.exe"],
  ])("gives file names as they are meant: %s", async (_why, written, expected) => {
    const { attachments } = await read(
      Buffer.from(`Content-Type: application/x\r\nContent-Disposition: attachment; filename="${written}"\r\n\r\nx`),
    );
    expect(attachments[0]!.fileName).toBe(expected);
  });

  it("lists what mailparser would, and what is text and named besides", async () => {
    const { attachments } = await read(
      messageOf(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: text/plain; name=notes.txt\n\nnamed\n--b\nContent-Type: text/calendar\n\nBEGIN:VCALENDAR\n--b\nContent-Type: image/gif\n\nGIF\n--b\nContent-Type: message/rfc822\n\nSubject: in\n\nx\n--b\nContent-Type: text/html\nContent-Disposition: attachment\n\n<p>\n--b--\n",
      ),
    );
    expect(attachments.map(({ contentType }) => contentType)).toEqual([
      "text/plain",
      "text/calendar",
      "image/gif",
      "message/rfc822",
      "text/html",
    ]);
  });

  it("finds the same text with and without large attachments kept from the parser", async () => {
    const make = (size: number) =>
      messageOf(
        `Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n--b\nContent-Type: application/x; name=a\nContent-Transfer-Encoding: base64\n\n${"QUFB".repeat(size)}\n--b\nContent-Type: text/html\n\n<p>end</p>\n--b--\n`,
      );
    const [small, large] = [await read(make(10)), await read(make(100_000))];
    expect(large.text).toBe(small.text);
    expect(large.html).toContain("<p>end</p>");
    expect(large.html).toBe(small.html);
  });
});

describe("answerAddresses and answerWords", () => {
  it.each([
    ["273 KB without @", "a".repeat(273_000)],
    ["100,000 addresses", "a@example.com, ".repeat(100_000)],
    ["100,000 open quotes", '"'.repeat(100_000)],
    ["100,000 open comments", "(".repeat(100_000)],
    ["100,000 open groups", "a:".repeat(100_000)],
    ["100,000 brackets", "<".repeat(100_000)],
    ["100,000 commas", ",".repeat(100_000)],
  ])("are quick: %s", (_why, value) => {
    const started = performance.now();
    expect((JSON.parse(answerAddresses(value)) as unknown[]).length).toBeLessThanOrEqual(1_000);
    answerWords(value);
    expect(performance.now() - started).toBeLessThan(1_000);
  });
});

describe("editBody", () => {
  const bye = { op: "appendText", text: "bye", wrap: false } as const;
  const line = fc.constantFrom(
    "--a",
    "--a--",
    "--b",
    "--b--",
    "",
    "text",
    "Content-Type: multipart/mixed; boundary=a",
    "Content-Type: multipart/mixed; boundary=b",
    "Content-Type: image/png",
    "Content-Type: message/rfc822",
    "Content-Disposition: attachment",
  );

  it("gives splices in order and inside of the body, and takes out every attachment, for any message", () => {
    fc.assert(
      fc.property(fc.array(line, { maxLength: 40 }), (lines) => {
        const octets = Buffer.from(lines.map((text) => `${text}\r\n`).join(""));
        const content = new MailContent(octets);
        const mail = mailInputOf(octets);
        const fields = mail.fields.map((_, index) => index);
        const edited = editBody(
          content,
          [...[...content.attachments.keys()].map((part) => ({ op: "remove", part }) as const), bye],
          fields,
          mail,
        );
        const bodyLength = octets.length - content.tree.root.bodyStart;
        let last = 0;
        const pieces: Uint8Array[] = [octets.subarray(0, content.tree.root.bodyStart)];
        for (const { start, end, octets: inserted } of edited.splices) {
          expect(start >= last && end >= start && end <= bodyLength).toBe(true);
          pieces.push(
            octets.subarray(content.tree.root.bodyStart + last, content.tree.root.bodyStart + start),
            inserted,
          );
          last = end;
        }
        pieces.push(octets.subarray(content.tree.root.bodyStart + last));
        // The root's own fields are edited in the header, which is not written here.
        if (!edited.fieldsChanged) expect([...new MailContent(Buffer.concat(pieces)).attachments.keys()]).toEqual([]);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("real messages", () => {
  const folder = ["/usr/lib/python3.11/test/test_email/data", "/usr/lib/python3.12/test/test_email/data"].find((path) =>
    existsSync(path),
  );
  const files = folder ? readdirSync(folder).filter((name) => /^msg_.*\.txt$/.test(name)) : [];
  if (!folder) console.warn("NOT RUN: real messages (install libpython3.11-testsuite)");

  it.runIf(folder)("are read without a throw, and keep their octets", async () => {
    for (const name of files) {
      const octets = Buffer.from(readFileSync(join(folder!, name), "latin1").replace(/\r?\n/g, "\r\n"), "latin1");
      const { content } = await read(octets);
      const mail = mailInputOf(octets);
      const { splices } = editBody(
        content,
        [],
        mail.fields.map((_, index) => index),
        mail,
      );
      expect(splices).toEqual([]);
    }
    expect(files.length).toBeGreaterThan(40);
  });
});
