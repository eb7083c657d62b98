import { simpleParser } from "mailparser";
import { describe, expect, test } from "vitest";
import { createFailureReport, type FailedRecipient, reportedHeaderOctetsMax } from "../../../src/mail/dsn.ts";
import { parseMailbox } from "../../../src/mail/mailbox.ts";
import type { Message } from "../../../src/mail/message.ts";
import { expectGolden } from "../../support/golden.ts";
import { createSampleMessage, readMessage, type SampleMessage } from "../../support/sample-message.ts";

const now = Date.UTC(2026, 0, 10, 12, 30);

function failedAt(mailbox: string, facts: Partial<FailedRecipient> = {}): FailedRecipient {
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

function report(
  sample: SampleMessage = {},
  failed: readonly FailedRecipient[] = [failedAt("grace@example.test")],
): Message {
  const original = createSampleMessage(sample);
  return createFailureReport({
    original,
    reversePath: original.envelope.reversePath!,
    failed,
    hostName: "mail.example.test",
    now,
  });
}

async function textOf(message: Message): Promise<string> {
  return (await readMessage(message)).toString();
}

describe("createFailureReport", () => {
  const goldens: { why: string; name: string; sample?: SampleMessage; failed?: FailedRecipient[] }[] = [
    { why: "one recipient, refused by a peer", name: "dsn-refused.eml" },
    {
      why: "two recipients: one given up without a word, one refused here",
      name: "dsn-two-recipients.eml",
      failed: [
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
      failed: [
        failedAt("grace@example.test", {
          reply: { code: 554, status: "5.7.1", text: `für immer nein ${"word ".repeat(30)}` },
        }),
      ],
    },
  ];
  test.each(goldens)("is as the golden file has it: $why", async ({ name, sample, failed }) => {
    expectGolden(name, await textOf(report(sample, failed)));
  });

  test("goes to the reverse-path from the null one", () => {
    const { envelope, receivedAt, header } = report();
    expect(envelope).toEqual({ reversePath: null, recipients: [{ mailbox: parseMailbox("ada@sender.example") }] });
    expect(receivedAt).toBe(now);
    expect(header.get("Auto-Submitted")).toBe("auto-replied");
    expect(header.get("In-Reply-To")).toBe("<1@sender.example>");
  });

  test("has CRLF line ends only, in lines of at most 998 octets", async () => {
    const text = await textOf(
      report({}, [
        failedAt("grace@example.test", { reply: { code: 550, status: undefined, text: "word ".repeat(400) } }),
      ]),
    );
    expect(text.replaceAll("\r\n", "")).not.toMatch(/[\r\n]/);
    expect(Math.max(...text.split("\r\n").map((line) => Buffer.byteLength(line)))).toBeLessThanOrEqual(998);
  });

  test("is a multipart/report that a reader takes apart", async () => {
    const parsed = await simpleParser(await readMessage(report()), { keepDeliveryStatus: true });
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
    const text = await textOf(report({ data: "Subject: x\r\n\r\nthe secret body\r\n" }));
    expect(text).toContain("Subject: x\r\n");
    expect(text).not.toContain("the secret body");
  });

  const hostile: { why: string; reply?: string; subject?: string; reason?: string }[] = [
    {
      why: "a peer that writes fields of its own",
      reply: "no\r\nAction: delivered\r\n\r\nFinal-Recipient: rfc822; eve@x.example",
    },
    { why: "a peer that writes a boundary", reply: "no\r\n--=_0\r\nContent-Type: text/html" },
    { why: "a reason with line ends", reason: "a\r\nb\nc\rd\0e" },
    { why: "a subject with an encoded line end", subject: "=?utf-8?q?a=0D=0ABcc:_eve=40x.example?=" },
  ];
  test.each(hostile)("lets nobody write lines into it: $why", async ({ reply, subject, reason }) => {
    const failed = failedAt("grace@example.test", {
      reason: reason ?? "",
      reply: reply === undefined ? null : { code: 550, status: undefined, text: reply },
    });
    const text = await textOf(report({ data: `Subject: ${subject ?? "x"}\r\n\r\nbody\r\n` }, [failed]));
    expect(text.replaceAll("\r\n", "")).not.toMatch(/[\r\n\0]/);
    expect(text.match(/^Action: /gm)).toHaveLength(1);
    expect(text.match(/^Final-Recipient: /gm)).toHaveLength(1);
    expect(text).not.toMatch(/^(Bcc:|Content-Type: text\/html)/m);
  });

  test("its boundary is not in the header it carries", async () => {
    // The id holds the time, so a guess of it may stand in the message; what matters is that the last boundary is the last.
    const first = report();
    const guess = `=_${first.id.slice(0, 9)}`;
    const text = await textOf(report({ data: `Subject: ${guess}\r\nX: --${guess}\r\n\r\nbody\r\n` }));
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
    let left = reportedHeaderOctetsMax + extra - first.length;
    for (; left > 1_000; left -= 500) lines.push(field(500));
    lines.push(field(left));
    const text = await textOf(report({ data: `${first}${lines.join("")}\r\nbody\r\n` }));
    expect(text.includes(lines.at(-1)!)).toBe(whole || lines.at(-1) === lines[0]);
    expect(text).toContain(lines[0]);
  });

  test("a Message-ID that is none is not repeated", () => {
    const { header } = report({ data: "Message-ID: <a b@c> <d@e>\r\n\r\nx\r\n" });
    expect(header.has("In-Reply-To")).toBe(false);
  });
});
