import { simpleParser } from "mailparser";
import { describe, expect, test } from "vitest";
import { createReport, type ReportedRecipient, type ReportKind } from "../../../src/mail/dsn.ts";
import type { EnvelopeOptions, OriginalRecipient } from "../../../src/mail/envelope.ts";
import { parseMailbox } from "../../../src/mail/mailbox.ts";
import { inlineBody, type Message } from "../../../src/mail/message.ts";
import { parseReportTemplate } from "../../../src/mail/report-template.ts";
import { recipientsNamedMax, writeWords } from "../../../src/mail/report-words.ts";
import { returnedHeaderOctetsMax, returnedMessageOctetsMax } from "../../../src/mail/returned-content.ts";
import { expectGolden } from "../../support/golden.ts";
import { createSampleMessage, readMessage, type SampleMessage } from "../../support/sample-message.ts";

const now = Date.UTC(2026, 0, 10, 12, 30);

function failedAt(mailbox: string, facts: Partial<ReportedRecipient> = {}): ReportedRecipient {
  return {
    mailbox: parseMailbox(mailbox),
    status: "5.1.1",
    reason: "",
    nextHop: "relay.example:25",
    reply: { code: 550, status: "5.1.1", text: "No such user here" },
    lastAttemptAt: now,
    ...facts,
  };
}

function reachedAt(mailbox: string, facts: Partial<ReportedRecipient> = {}): ReportedRecipient {
  return { ...failedAt(mailbox), status: "2.0.0", reply: null, nextHop: `maildir:${mailbox}`, ...facts };
}

function report(
  sample: SampleMessage = {},
  recipients: readonly ReportedRecipient[] = [failedAt("grace@example.test")],
  kind: ReportKind = "failed",
  template?: string,
): Promise<Message> {
  const original = createSampleMessage(sample);
  const facts = {
    kind,
    original,
    reversePath: original.envelope.reversePath!,
    recipients,
    hostName: "mail.example.test",
    ...(kind === "delayed" && { retryUntil: original.receivedAt + 6 * 86_400_000 }),
  };
  const words = template === undefined ? undefined : writeWords(facts, parseReportTemplate(template, "template"));
  return createReport({ ...facts, now, ...(words && { words }) });
}

async function textOf(message: Message): Promise<string> {
  return (await readMessage(message)).toString();
}

const original = { type: "rfc822", address: "Grace.Hopper@example.test" };

describe("createReport", () => {
  const goldens: {
    why: string;
    name: string;
    kind?: ReportKind;
    sample?: SampleMessage;
    recipients?: ReportedRecipient[];
    template?: string;
  }[] = [
    { why: "one recipient, refused by a peer", name: "dsn-refused.eml" },
    {
      why: "two recipients: one given up without a word, one refused here",
      name: "dsn-two-recipients.eml",
      recipients: [
        failedAt("grace@example.test", {
          status: "4.4.7",
          reason: "It could not be delivered within the time allowed for it.",
          reply: null,
        }),
        failedAt("jörg@bücher.example", {
          status: "5.6.7",
          reason: "The message needs SMTPUTF8, which the next server does not offer.",
          reply: null,
        }),
      ],
    },
    {
      why: "a message in another charset, and a peer with a lot to say",
      name: "dsn-eight-bit.eml",
      sample: {
        from: "jörg@sender.example",
        data: "From: jörg@sender.example\r\nSubject: Grüße\r\nX-Long: a\r\n b\r\n\r\nbody\r\n",
      },
      recipients: [
        failedAt("grace@example.test", {
          reply: { code: 554, status: "5.7.1", text: `für immer nein ${"word ".repeat(30)}` },
        }),
      ],
    },
    {
      why: "an envelope id, and a recipient whom the sender knows by another address",
      name: "dsn-original-recipient.eml",
      sample: { options: { envelopeId: "QQ314159+1=2", ret: "HDRS" } },
      recipients: [failedAt("grace@example.test", { originalRecipient: original })],
    },
    {
      why: "the whole message was asked for",
      name: "dsn-full.eml",
      sample: { options: { ret: "FULL" }, data: "Subject: whole\r\n\r\nGrüße\r\n.dot\r\n--=_\r\nlast line" },
    },
    {
      why: "two recipients delivered: the whole message goes back with failures only",
      name: "dsn-delivered.eml",
      kind: "delivered",
      sample: { options: { ret: "FULL", envelopeId: "QQ314159" } },
      recipients: [reachedAt("grace@example.test", { originalRecipient: original }), reachedAt("jörg@example.test")],
    },
    {
      why: "handed to a server that reports no deliveries",
      name: "dsn-relayed.eml",
      kind: "relayed",
      recipients: [
        reachedAt("grace@example.test", {
          nextHop: "relay.example:25",
          reply: { code: 250, status: "2.0.0", text: "Ok: queued as 4711" },
        }),
      ],
    },
    {
      why: "sent on to all those an alias stands for",
      name: "dsn-expanded.eml",
      kind: "expanded",
      recipients: [reachedAt("all@example.test", { originalRecipient: original, nextHop: "" })],
    },
    {
      why: "late, by a server that says why",
      name: "dsn-delayed.eml",
      kind: "delayed",
      sample: { options: { ret: "FULL", envelopeId: "QQ314159" } },
      recipients: [
        failedAt("grace@example.test", {
          status: "4.3.0",
          reply: { code: 451, status: "4.3.0", text: "Come again later" },
          originalRecipient: original,
        }),
        failedAt("hal@example.test", {
          status: "4.4.1",
          reason: "The recipient's server does not answer.",
          reply: null,
        }),
      ],
    },
    {
      why: "back to a sender who sent by SMTPUTF8: the addresses and the header as they are",
      name: "dsn-utf8.eml",
      sample: {
        from: "jörg@sender.example",
        options: { smtpUtf8: true, body: "8BITMIME" },
        data: "From: Jörg <jörg@sender.example>\r\nTo: zoë@example.test\r\nSubject: Grüße\r\n\r\nbody\r\n",
      },
      recipients: [
        failedAt("zoë@example.test", {
          reply: { code: 550, status: "5.1.1", text: "für zoë gibt es hier nichts" },
          originalRecipient: { type: "utf-8", address: "zoë+x@example.test" },
        }),
      ],
    },
    {
      why: "the whole of a message with UTF-8 in its header",
      name: "dsn-utf8-full.eml",
      sample: {
        options: { smtpUtf8: true, ret: "FULL" },
        data: "Subject: Grüße\r\n\r\nGrüße\r\n",
      },
    },
    {
      why: "in the words of a template",
      name: "dsn-template.eml",
      recipients: [failedAt("grace@example.test"), failedAt("hal@example.test")],
      template: `# Ours
[failed]
Subject: {{count}} Empfänger nicht erreicht: {{subject}}

Guten Tag {{sender}},

  {{recipients}}

Grund: {{reason}}
{{hostname}} · {{ postmaster }}
`,
    },
  ];
  test.each(goldens)("is as the golden file has it: $why", async ({ name, sample, recipients, kind, template }) => {
    expectGolden(name, await textOf(await report(sample, recipients, kind, template)));
  });

  test("goes to the reverse-path from the null one", async () => {
    const { envelope, receivedAt, header } = await report();
    expect(envelope).toEqual({ reversePath: null, recipients: [{ mailbox: parseMailbox("ada@sender.example") }] });
    expect(receivedAt).toBe(now);
    expect(header.get("Auto-Submitted")).toBe("auto-replied");
    expect(header.get("In-Reply-To")).toBe("<1@sender.example>");
  });

  test("has CRLF line ends only, in lines of at most 998 octets", async () => {
    const failed = failedAt("grace@example.test", {
      originalRecipient: original,
      reply: { code: 550, status: undefined, text: "word ".repeat(400) },
    });
    const text = await textOf(await report({ options: { envelopeId: "x".repeat(100), ret: "FULL" } }, [failed]));
    expect(text.replaceAll("\r\n", "")).not.toMatch(/[\r\n]/);
    expect(Math.max(...text.split("\r\n").map((line) => Buffer.byteLength(line)))).toBeLessThanOrEqual(998);
  });

  test("is a multipart/report that a reader takes apart", async () => {
    const parsed = await simpleParser(await readMessage(await report()), { keepDeliveryStatus: true });
    expect(parsed.headers.get("content-type")).toMatchObject({
      value: "multipart/report",
      params: { "report-type": "delivery-status" },
    });
    expect(parsed.text).toContain("<grace@example.test>");
    expect(parsed.attachments.map(({ contentType }) => contentType)).toEqual([
      "message/delivery-status",
      "text/rfc822-headers",
    ]);
    expect(parsed.attachments[1]!.content.toString()).toContain("Subject: Hello");
  });

  test("carries the header of the message and nothing of its body", async () => {
    const text = await textOf(await report({ data: "Subject: x\r\n\r\nthe secret body\r\n" }));
    expect(text).toContain("Subject: x\r\n");
    expect(text).not.toContain("the secret body");
  });

  const hostile: {
    why: string;
    reply?: string;
    subject?: string;
    reason?: string;
    envelopeId?: string;
    original?: OriginalRecipient;
  }[] = [
    {
      why: "a peer that writes fields of its own",
      reply: "no\r\nAction: delivered\r\n\r\nFinal-Recipient: rfc822; eve@x.example",
    },
    { why: "a peer that writes a boundary", reply: "no\r\n--=_0\r\nContent-Type: text/html" },
    { why: "a reason with line ends", reason: "a\r\nb\nc\rd\0e" },
    { why: "an envelope id with line ends", envelopeId: "x\r\nAction: delivered\r\n\r\nFinal-Recipient: a\0\n" },
    {
      why: "an original recipient with line ends",
      original: { type: "rfc822", address: "a@x.example\r\nAction: delivered\r\n\r\nFinal-Recipient: b" },
    },
    {
      why: "an international original recipient with line ends",
      original: { type: "utf-8", address: "ä\r\nAction: delivered\n\nFinal-Recipient: b\0" },
    },
    { why: "an address type with line ends", original: { type: "a\r\nAction: delivered", address: "b" } },
    { why: "a subject with an encoded line end", subject: "=?utf-8?q?a=0D=0ABcc:_eve=40x.example?=" },
  ];
  test.each(hostile)(
    "lets nobody write lines into it: $why",
    async ({ reply, subject, reason, envelopeId, original }) => {
      const failed = failedAt("grace@example.test", {
        ...(original ? { originalRecipient: original } : {}),
        reason: reason ?? "",
        reply: reply === undefined ? null : { code: 550, status: undefined, text: reply },
      });
      const options = envelopeId === undefined ? {} : { envelopeId };
      const data = `Subject: ${subject ?? "x"}\r\n\r\nbody\r\n`;
      const text = await textOf(await report({ data, options }, [failed]));
      expect(text.replaceAll("\r\n", "")).not.toMatch(/[\r\n\0]/);
      expect(text.match(/^Action: /gm)).toHaveLength(1);
      expect(text.match(/^Final-Recipient: /gm)).toHaveLength(1);
      expect(text).not.toMatch(/^(Bcc:|Content-Type: text\/html)/m);
    },
  );

  test("its boundary is not in the header it carries", async () => {
    // The id holds the time, so a guess of it may stand in the message; what matters is that the last boundary is the last.
    const first = await report();
    const guess = `=_${first.id.slice(0, 9)}`;
    const text = await textOf(await report({ data: `Subject: ${guess}\r\nX: --${guess}\r\n\r\nbody\r\n` }));
    const boundary = /boundary="(.*)"/.exec(text)![1]!;
    expect(text.split(`--${boundary}`)).toHaveLength(5);
  });

  test.each([
    { why: "below the limit", extra: -1, whole: true },
    { why: "at the limit", extra: 0, whole: true },
    { why: "above the limit", extra: 1, whole: false },
  ])("a header $why is carried whole: $whole", async ({ extra, whole }) => {
    const first = "Subject: x\r\n";
    const field = (length: number) => `X: ${"y".repeat(length - 5)}\r\n`;
    const lines: string[] = [];
    let left = returnedHeaderOctetsMax + extra - first.length;
    for (; left > 1_000; left -= 500) lines.push(field(500));
    lines.push(field(left));
    const text = await textOf(await report({ data: `${first}${lines.join("")}\r\nbody\r\n` }));
    expect(text.includes(lines.at(-1)!)).toBe(whole || lines.at(-1) === lines[0]);
    expect(text).toContain(lines[0]);
  });

  test("a Message-ID that is none is not repeated", async () => {
    const { header } = await report({ data: "Message-ID: <a b@c> <d@e>\r\n\r\nx\r\n" });
    expect(header.has("In-Reply-To")).toBe(false);
  });
});

describe("createReport: addresses as the sender wrote them", () => {
  const tooLong = "ü".repeat(500);
  test.each([
    { why: "plain", given: { type: "rfc822", address: "a+b@x.example" }, written: "rfc822; a+b@x.example" },
    { why: "another type", given: { type: "x400", address: "/C=se/" }, written: "x400; /C=se/" },
    {
      why: "international",
      given: { type: "utf-8", address: "jörg+x@x.example" },
      written: "utf-8; j\\x{F6}rg\\x{2B}x@x.example",
    },
    {
      why: "international, and encoded already",
      given: { type: "UTF-8", address: "j\\x{F6}rg@x.example" },
      written: "UTF-8; j\\x{F6}rg@x.example",
    },
    {
      why: "beyond the basic plane",
      given: { type: "utf-8", address: "\u{1F600}@x.example" },
      written: "utf-8; \\x{1F600}@x.example",
    },
    { why: "octets that the type has not", given: { type: "rfc822", address: "jörg" }, written: "rfc822; j?rg" },
    { why: "too long for a line", given: { type: "utf-8", address: tooLong }, written: undefined },
  ])("$why", async ({ given, written }) => {
    const text = await textOf(await report({}, [failedAt("grace@example.test", { originalRecipient: given })]));
    expect(/^Original-Recipient: (.*)\r$/m.exec(text)?.[1]).toBe(written);
    expect(text).toContain("Final-Recipient: rfc822; grace@example.test");
  });
});

describe("createReport: what goes back", () => {
  const full = { ret: "FULL" } as const;
  const whole = "Content-Type: message/rfc822";
  const headerOnly = "Content-Type: text/rfc822-headers";

  test("the whole message is one that a reader takes out again", async () => {
    const parsed = await simpleParser(await readMessage(await report({ options: full })), { keepDeliveryStatus: true });
    const returned = parsed.attachments.find(({ contentType }) => contentType === "message/rfc822");
    expect(returned!.content.toString()).toContain("Subject: Hello\r\n");
    expect(returned!.content.toString()).toContain("\r\n\r\nFirst line\r\n.dot");
  });

  test.each([
    { why: "below the limit", extra: -1, type: whole },
    { why: "at the limit", extra: 0, type: whole },
    { why: "above the limit", extra: 1, type: headerOnly },
  ])("a message $why", async ({ extra, type }) => {
    const head = "Subject: x\r\n\r\n";
    const data = head + "y".repeat(returnedMessageOctetsMax + extra - head.length);
    const text = await textOf(await report({ data, options: full }));
    expect(text).toContain(type);
    expect(text.includes("too long to be returned whole")).toBe(type === headerOnly);
  });

  test.each([
    { why: "NUL", body: "a\0b\r\n" },
    { why: "a lone CR", body: "a\rb\r\n" },
    { why: "a lone CR at the end", body: "a\r\n\r" },
    { why: "a lone LF", body: "a\r\n\nb" },
    { why: "a lone LF at the start", body: "\nb" },
  ])("of a body with $why the header alone, with a word of it", async ({ body }) => {
    const text = await textOf(await report({ data: `Subject: x\r\n\r\n${body}`, options: full }));
    expect(text).toContain(headerOnly);
    expect(text).toContain("holds binary data");
    expect(text.replaceAll("\r\n", "")).not.toMatch(/[\r\n\0]/);
  });

  test("a field that holds binary data stays out of the header", async () => {
    const data = "Subject: x\r\nX-A: a\0b\r\nX-B: a\rb\r\nX-C: c\r\n\r\nbody\r\n";
    const text = await textOf(await report({ data }));
    expect(text).toContain("\r\nSubject: x\r\nX-C: c\r\n");
    expect(text.replaceAll("\r\n", "")).not.toMatch(/[\r\n\0]/);
  });

  test("of a message that cannot be read the header alone: the report is made all the same", async () => {
    const body = { ...inlineBody(Buffer.from("x")), octets: () => Promise.reject(new Error("the disk is gone")) };
    const text = await textOf(await report({ body, options: full }));
    expect(text).toContain(headerOnly);
    expect(text).toContain("cannot be returned whole");
    expect(text).not.toContain("disk");
  });

  test.each<{ why: string; options: EnvelopeOptions; kind: ReportKind }>([
    { why: "nothing was asked", options: {}, kind: "failed" },
    { why: "RET=HDRS", options: { ret: "HDRS" }, kind: "failed" },
    { why: "RET=FULL of what was delivered", options: full, kind: "delivered" },
    { why: "RET=FULL of what was relayed", options: full, kind: "relayed" },
    { why: "RET=FULL of what needs TLS all the way", options: { ...full, requireTls: true }, kind: "failed" },
  ])("the header alone, without an excuse: $why", async ({ options, kind }) => {
    const text = await textOf(await report({ options }, undefined, kind));
    expect(text).toContain(headerOnly);
    expect(text).not.toContain("First line");
    expect(text).not.toContain("here is its header");
  });
});

describe("createReport: what it asks of the servers on its way", () => {
  test.each<{ why: string; sample: SampleMessage; options: EnvelopeOptions | undefined }>([
    { why: "nothing", sample: { options: { ret: "FULL", body: "8BITMIME", smtpUtf8: true } }, options: undefined },
    {
      why: "TLS all the way, as its message",
      sample: { options: { requireTls: true } },
      options: { requireTls: true },
    },
    { why: "SMTPUTF8 for an international address", sample: { from: "jörg@x.example" }, options: { smtpUtf8: true } },
    {
      why: "both",
      sample: { from: "jörg@x.example", options: { requireTls: true } },
      options: { smtpUtf8: true, requireTls: true },
    },
  ])("$why", async ({ sample, options }) => {
    const { envelope } = await report(sample);
    expect(envelope.options).toEqual(options);
    expect(envelope.recipients[0]!.options).toBeUndefined();
  });
});

describe("createReport: in UTF-8 only where the sender can read it", () => {
  const international = "Subject: Grüße\r\n\r\nbody\r\n";
  const plain = "Subject: x\r\n\r\nGrüße\r\n";
  test.each<{ why: string; smtpUtf8: boolean; data: string; to: string; orcpt?: OriginalRecipient; global: boolean }>([
    { why: "neither", smtpUtf8: false, data: plain, to: "grace@example.test", global: false },
    { why: "a header without SMTPUTF8", smtpUtf8: false, data: international, to: "grace@example.test", global: false },
    { why: "a recipient without SMTPUTF8", smtpUtf8: false, data: plain, to: "zoë@example.test", global: false },
    { why: "SMTPUTF8 that was not needed", smtpUtf8: true, data: plain, to: "grace@example.test", global: false },
    { why: "a header", smtpUtf8: true, data: international, to: "grace@example.test", global: true },
    { why: "a recipient", smtpUtf8: true, data: plain, to: "zoë@example.test", global: true },
    {
      why: "an original recipient",
      smtpUtf8: true,
      data: plain,
      to: "grace@example.test",
      orcpt: { type: "utf-8", address: "zoë@example.test" },
      global: true,
    },
  ])("$why: $global", async ({ smtpUtf8, data, to, orcpt, global }) => {
    const failed = failedAt(to, orcpt ? { originalRecipient: orcpt } : {});
    const text = await textOf(await report({ data, options: smtpUtf8 ? { smtpUtf8: true } : {} }, [failed]));
    expect(text.includes("Content-Type: message/global-delivery-status\r\n")).toBe(global);
    expect(text.includes("Content-Type: message/delivery-status\r\n")).toBe(!global);
    expect(text.includes("Content-Type: message/global-headers\r\n")).toBe(global && data === international);
    const status = text.slice(text.indexOf("Reporting-MTA"), text.indexOf("Last-Attempt-Date"));
    expect(/[^\x00-\x7f]/.test(status)).toBe(global && (orcpt !== undefined || to !== "grace@example.test"));
  });

  test("a message whose header is in no charset that anybody knows goes back as before", async () => {
    const data = Buffer.from("Subject: Gr\xfc\xdfe\r\n\r\nbody\r\n", "latin1");
    expect(await textOf(await report({ data, options: { smtpUtf8: true } }))).toContain("text/rfc822-headers");
  });
});

describe("createReport: what it holds of much", () => {
  test.each([
    { why: "at the limit", count: recipientsNamedMax, said: false },
    { why: "above the limit", count: recipientsNamedMax + 1, said: true },
  ])("recipients $why: all for programs, some for people", async ({ count, said }) => {
    const failed = Array.from({ length: count }, (_, i) => failedAt(`user${i}@example.test`));
    const text = await textOf(await report({}, failed));
    expect(text.match(/^Final-Recipient: /gm)).toHaveLength(count);
    expect(text.match(/^<user\d+@/gm)).toHaveLength(recipientsNamedMax);
    expect(text.includes("and 1 more, named in the part for programs")).toBe(said);
  });

  test("a subject and a reply in letters of four octets stay within lines", async () => {
    const data = `Subject: ${"\u{1F600}".repeat(600)}\r\n\r\nbody\r\n`;
    const failed = failedAt("zoë@example.test", {
      reply: { code: 550, status: undefined, text: "\u{1F600}".repeat(600) },
    });
    const text = await textOf(await report({ data, options: { smtpUtf8: true } }, [failed]));
    // The header that goes back is the sender's own.
    const ours = text.slice(0, text.indexOf("message/global-headers"));
    expect(Math.max(...ours.split("\r\n").map((line) => Buffer.byteLength(line)))).toBeLessThanOrEqual(998);
    expect(text).not.toContain("\ufffd");
  });
});
