/** Real and odd messages through a running site, with a script that looks into every one: byte-identical, or refused with a reply that says why. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeWith } from "../support/describe-with.ts";
import { Site } from "../support/site.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { findTool } from "../support/tools.ts";
import { compareDelivered, fieldValue } from "./comparison.ts";
import { type CorpusMail, readExamples, readPythonCorpus, reasonToRefuse, toClientOctets } from "./corpus.ts";

const script = `import type { ArrivalHandler } from "onarrival";

export const onArrival: ArrivalHandler = async (mail) => {
  const [text, html] = [await mail.text(), await mail.html()];
  let octets = 0;
  for (const attachment of mail.attachments) octets += (await attachment.content()).length;
  mail.headers.add("X-Read", \`text=\${text.length} html=\${html.length} attachments=\${mail.attachments.length} octets=\${octets} defects=\${mail.defects.length}\`);
};
`;

/** The server's own: Return-Path and Delivered-To of the Maildir, Received of the listener. */
const traceFields = 3;

interface Result {
  readonly mail: CorpusMail;
  readonly reply: string;
  /** What the script read, where it was delivered. */
  readonly read: string | undefined;
  /** Sentence; undefined where all is as it must be. */
  readonly wrong: string | undefined;
}

let site: Site;
beforeAll(async () => {
  site = await Site.start({ scripts: { "read.ts": script } });
});
afterAll(() => site?.remove());

describeWith(["test_email-data"], "CPython's messages", () => {
  test("are delivered byte-identical or refused for what they are", { timeout: 120_000 }, async () => {
    const corpus = readPythonCorpus(findTool("test_email-data")!);
    expect(corpus.length).toBeGreaterThan(40);
    await sendAndJudge(corpus, "python");
  });
});

test("every example message is delivered byte-identical", { timeout: 60_000 }, async () => {
  const corpus = readExamples(join(import.meta.dirname, "../../scripts"));
  expect(corpus.length).toBeGreaterThan(0);
  await sendAndJudge(corpus, "example");
});

test("messages odd in their octets are delivered byte-identical or refused for what they are", {
  timeout: 60_000,
}, async () => {
  const collection = "odd octets";
  const odd: [name: string, data: string][] = [
    ["no header", "\r\nOnly a body\r\n"],
    ["no body", "Subject: no body\r\n"],
    ["header and empty line", "Subject: empty\r\n\r\n"],
    ["From line of an mbox", "From sender@example.org Thu Jan  1 12:00:00 2026\r\nSubject: mbox\r\n\r\ntext\r\n"],
    ["a line that is no field", "Subject: odd\r\nthis is no field\r\nX-Other: 1\r\n\r\ntext\r\n"],
    ["8-bit octets in header and body", "Subject: gr\xfc\xdfe\r\n\r\n\xff\xfe\x80\r\n"],
    ["a line of 5,000 octets", `Subject: long\r\n\r\n${"x".repeat(5_000)}\r\n`],
    ["dots", "Subject: dots\r\n\r\n.\r\n..\r\n...\r\n.x\r\n"],
    ["white space at line ends", "Subject: spaces  \r\nX-Folded: a \r\n\t \r\n b\r\n\r\ntrailing \t\r\n\r\n\r\n"],
    [
      "trace fields of its own",
      "Return-Path: <old@example.org>\r\nReceived: from a.example\r\n by b.example; Thu, 1 Jan 2026 12:00:00 +0000\r\nSubject: old\r\n\r\ntext\r\n",
    ],
    [
      "a boundary that never comes",
      'Content-Type: multipart/mixed; boundary="b"\r\nSubject: cut\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhalf',
    ],
    [
      "a body of 400,000 octets",
      `Subject: large\r\n\r\n${"0123456789012345678901234567890123456789\r\n".repeat(9_524)}`,
    ],
    ["a lone CR", "Subject: cr\r\n\r\nfirst\rsecond\r\n"],
    ["a NUL", "Subject: nul\r\n\r\nfirst\0second\r\n"],
  ];
  await sendAndJudge(
    odd.map(([name, data]) => ({ collection, name, data: toClientOctets(Buffer.from(data, "latin1")) })),
    "odd",
  );
});

/** Sends each to a mailbox of its own, waits for all, and fails with every difference at once. */
async function sendAndJudge(corpus: readonly CorpusMail[], user: string): Promise<void> {
  const client = await SmtpClient.connect(site.smtpPort);
  const replies: string[] = [];
  for (const [index, mail] of corpus.entries()) {
    const reply = await client.send({
      from: "sender@example.org",
      to: [`${user}${index}@example.test`],
      data: mail.data,
    });
    replies.push(`${reply.code} ${reply.text}`);
  }
  await client.quit();

  const results: Result[] = [];
  for (const [index, mail] of corpus.entries()) results.push(await judge(mail, replies[index]!, `${user}${index}`));
  printTable(results);
  const faults = site.log().filter((line) => /^(script|sandbox|sink)\.(failed|died|killed|broken)$/.test(line.event));
  expect(
    results.filter((result) => result.wrong !== undefined).map((result) => `${result.mail.name}: ${result.wrong}`),
  ).toEqual([]);
  expect(faults).toEqual([]);
}

async function judge(mail: CorpusMail, reply: string, user: string): Promise<Result> {
  const refusal = reasonToRefuse(mail.data);
  if (!reply.startsWith("250 ")) {
    return { mail, reply, read: undefined, wrong: refusal?.test(reply) ? undefined : `answered ${reply}` };
  }
  const delivered = readFileSync((await site.delivered(user))[0]!);
  const difference = compareDelivered(mail.data, delivered, { traceFields, ownField: "X-Read" });
  const wrong =
    refusal !== undefined
      ? "accepted, although it must be refused"
      : difference && `differs at octet ${difference.at}: ${JSON.stringify(difference)}`;
  if (wrong !== undefined) keepEvidence(mail, delivered);
  return { mail, reply, read: fieldValue(delivered, "X-Read"), wrong };
}

/** Both sides as files, for whoever looks into a difference. */
function keepEvidence(mail: CorpusMail, delivered: Buffer): void {
  const folder = join(import.meta.dirname, "../../.tmp/real-mail");
  mkdirSync(folder, { recursive: true });
  const name = mail.name.replaceAll(/[^\w.-]/g, "_");
  writeFileSync(join(folder, `${name}.sent`), mail.data);
  writeFileSync(join(folder, `${name}.delivered`), delivered);
}

function printTable(results: readonly Result[]): void {
  const refused = results.filter((result) => !result.reply.startsWith("250 "));
  const count = (pattern: RegExp) =>
    results.filter((result) => result.read !== undefined && pattern.test(result.read)).length;
  const rows: [string, number][] = [
    ["sent", results.length],
    [
      "delivered byte-identical",
      results.filter((result) => result.reply.startsWith("250 ") && result.wrong === undefined).length,
    ],
    ["refused, saying why", refused.filter((result) => result.wrong === undefined).length],
    ["otherwise", results.filter((result) => result.wrong !== undefined).length],
    ["script read text", count(/text=[1-9]/)],
    ["script read HTML", count(/html=[1-9]/)],
    ["script read attachments", count(/attachments=[1-9]/)],
    ["with defects", count(/defects=[1-9]/)],
  ];
  process.stdout.write(
    `${results[0]?.mail.collection}\n${rows.map(([name, number]) => `  ${name.padEnd(26)}${String(number).padStart(4)}\n`).join("")}`,
  );
  for (const result of refused) process.stdout.write(`  refused: ${result.mail.name}: ${result.reply}\n`);
}
