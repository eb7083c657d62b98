/** Scripts behind the 250, in the whole server: each event of a message's way through the queue, to its mailbox, its next hop, or its report. */
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { type RunningServer, startServer } from "../../src/main.ts";
import { freePorts } from "../support/free-ports.ts";
import { createRecordingLog, type RecordingLog } from "../support/recording-log.ts";
import { SmtpClient } from "../support/smtp-client.ts";

const script = `
export const onPreCategorize = (mail) => {
  mail.headers.set("X-Pre", mail.attemptId === "" ? "none" : "one attempt");
};
export const onPostCategorize = (mail, { log }) => {
  mail.headers.set("X-Post", mail.headers.get("X-Pre") + ", " + mail.envelope.to.length);
  if (mail.subject === "keep apart") mail.quarantine("by script");
};
export const onRoute = (mail, { log }) => {
  log.info("route", mail.domain, mail.nextHop);
  if (mail.domain === "gone.example") mail.refuse("Nobody goes there", { status: "5.1.2" });
};
export const onLocalDelivery = (mail, { log }) => {
  log.info("local", mail.recipient, mail.nextHop, mail.folder, mail.matchedRecipients.length);
  if (mail.recipient === "carl@example.test") mail.fileInto("Lists/dev");
  if (mail.recipient === "eve@example.test") mail.subject = "not here";
};
export const onDsn = async (mail) => {
  mail.setReportSubject("Sorry: " + mail.recipients[0].status);
  mail.setReportText(mail.reportText + "\\n\\nAsk " + mail.from.address);
};
export const onDelivered = async (mail, { log }) => {
  log.info("delivered", mail.recipient, mail.lastReply, (await mail.text()).trim());
};
export const onDeferred = (mail, { log }) => {
  log.info("deferred", mail.recipient, mail.nextAttemptAt > mail.receivedAt);
  throw new Error("its own affair");
};
export const onFailed = (mail, { log }) => {
  log.info("failed", mail.recipient, mail.reason.includes("Nobody goes there"));
};
`;

let folder: string;
let server: RunningServer;
let log: RecordingLog;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "onarrival-events-"));
  mkdirSync(join(folder, "scripts"));
  writeFileSync(join(folder, "scripts/way.ts"), script);
  log = createRecordingLog();
  const [mx, admin] = await freePorts(2);
  const config = `[[listeners]]\nname = "mx"\naddress = "127.0.0.1"\nport = ${mx}\n[admin]\nport = ${admin}\n[scripts]\nprocesses = 1\n[domains]\nlocal = ["example.test"]\nrelay = ["gone.example"]\n`;
  writeFileSync(join(folder, "onarrival.toml"), config);
  server = await startServer(loadConfig({ path: join(folder, "onarrival.toml"), env: {}, cwd: folder }), { log });
});
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

async function send(subject: string, ...to: readonly string[]): Promise<void> {
  const client = await SmtpClient.connect(server.listeners[0]!.port);
  await client.command("EHLO client.example");
  await client.command("MAIL FROM:<ann@example.test>");
  for (const recipient of to) expect(await client.command(`RCPT TO:<${recipient}>`)).toMatchObject({ code: 250 });
  await client.command("DATA");
  const data = `From: ann@example.test\r\nSubject: ${subject}\r\n\r\nThe body.\r\n.`;
  expect(await client.command(data)).toMatchObject({ code: 250 });
  await client.quit();
}

const said = () => log.of("script.logged").map(({ fields }) => String(fields.text));
const waitFor = (words: string) => expect.poll(said, { timeout: 10_000 }).toContain(words);
const mailIn = (pattern: string) => globSync(join(folder, "data", pattern)).map((file) => readFileSync(file, "utf8"));

test("a message for two of ours is edited before its first attempt, filed, and told of", async () => {
  await send("hello", "bob@example.test", "carl@example.test");
  await waitFor("delivered bob@example.test null The body.");
  await waitFor("delivered carl@example.test null The body.");
  expect(said()).toContain("route example.test null");
  expect(said()).toContain("local bob@example.test maildir null 1");
  const [bob] = mailIn("mail/example.test/bob/new/*");
  expect(bob).toContain("X-Pre: one attempt\r\n");
  expect(bob).toContain("X-Post: one attempt, 2\r\n");
  expect(mailIn("mail/example.test/carl/.Lists.dev/new/*")).toHaveLength(1);
});

test("an edit where only reading is possible is a fault, and the delivery is tried again", async () => {
  await send("edit", "eve@example.test");
  await waitFor("deferred eve@example.test true");
  const faults = () => log.of("script.failed").map(({ fields }) => [fields.trigger, fields.code, fields.reason]);
  await expect.poll(faults, { timeout: 5_000 }).toHaveLength(2);
  expect(faults()).toEqual([
    [
      "onLocalDelivery",
      "script.action-invalid",
      "subject cannot be set at onLocalDelivery: a message is edited at onArrival, onPreCategorize and onPostCategorize",
    ],
    ["onDeferred", "script.threw", "its own affair"],
  ]);
});

test("a refusal on the way is a failure, and its report says what a script wrote", async () => {
  await send("away", "bob@gone.example");
  await waitFor("failed bob@gone.example true");
  await expect.poll(() => mailIn("mail/example.test/ann/new/*").length, { timeout: 10_000 }).toBe(1);
  const [report] = mailIn("mail/example.test/ann/new/*");
  expect(report).toContain("Subject: Sorry: 5.1.2\r\n");
  expect(report).toContain("Ask ann@example.test\r\n");
});

test("onPostCategorize keeps a message in badmail, with its edits", async () => {
  await send("keep apart", "bob@example.test");
  await expect
    .poll(() => mailIn("badmail/*/*.eml").concat(mailIn("badmail/*.eml")).length, { timeout: 10_000 })
    .toBe(1);
});
