/** `onarrival test --event`: a script at every event it may handle, with what the event is given made of a message or of flags. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compileScript, stopCompiler } from "../../../sandbox/compile.ts";
import { Sandbox } from "../../../sandbox/host.ts";
import { defaultLimits } from "../../../sandbox/protocol.ts";
import { test as runTest } from "../../../src/cli/test.ts";
import type { TestFlags } from "../../../src/cli/test-flags.ts";
import type { EventName } from "../../../src/events/event.ts";
import { eventNames, eventTable } from "../../../src/events/event-table.ts";
import { parseMailbox } from "../../../src/mail/mailbox.ts";
import { bindingOf, createTestMessage } from "../../../src/main-test-message.ts";
import type { TestResult } from "../../../src/main-test-result.ts";
import { Tester } from "../../../src/main-test-run.ts";
import { recordTerminal } from "../../support/terminal.ts";

const cwd = mkdtempSync(join(tmpdir(), "test-events-"));
const root = join(cwd, "scripts");
mkdirSync(root);
const mail = Buffer.from("From: ada@example.com\r\nTo: rob@example.test\r\nSubject: Hello\r\n\r\nHi.\r\n");
writeFileSync(join(cwd, "hello.eml"), mail);
let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await Sandbox.start({ processes: 1 });
});
afterAll(async () => {
  await sandbox.close();
  await stopCompiler();
  rmSync(cwd, { recursive: true, force: true });
});

async function resultOf(event: EventName, body: string): Promise<TestResult> {
  const file = join(root, `${event}.ts`);
  writeFileSync(file, `export const ${event} = async (mail, { log }) => { ${body} };`);
  const compiled = await compileScript({ root, file });
  const asked = bindingOf(compiled, await sandbox.load(compiled), event);
  const tester = new Tester({ sandbox, limits: defaultLimits });
  tester.dispatcher.replaceBindings([asked]);
  const message = createTestMessage(
    mail,
    {
      event,
      ip: "192.0.2.9",
      helo: "client.example.com",
      user: null,
      listener: "mx",
      from: undefined,
      to: [parseMailbox("rob@example.test")],
    },
    1,
  );
  const { result } = await tester.run(message, { file: "hello.eml", asked });
  sandbox.unload(compiled.version);
  return result;
}

describe("Tester", () => {
  const rows: readonly [event: EventName, body: string, expected: object][] = [
    ["onConnect", "mail.setBanner('hello ' + mail.session.ip)", { said: ["banner hello 192.0.2.9"] }],
    ["onHelo", "mail.hide('CHUNKING'); log.info(mail.name)", { said: ["hide CHUNKING"] }],
    [
      "onMailFrom",
      "if (mail.size > 10) mail.refuse('Too large for ' + mail.from)",
      {
        verdict: { kind: "refuse", code: 550, status: "5.7.1", text: "Too large for ada@example.com", settled: false },
      },
    ],
    ["onRcptTo", "mail.rewrite('x@example.org')", { said: ["rewrite to x@example.org"] }],
    [
      "onData",
      "mail.drop(mail.envelope.to.join())",
      { verdict: { kind: "drop", code: 421, status: "4.7.0", text: "rob@example.test", settled: false } },
    ],
    ["onHeaders", "if (mail.subject === 'Hello') mail.dropBody()", { said: ["drop body"] }],
    [
      "onArrival",
      "mail.subject = 'x'",
      { changes: expect.objectContaining({ fields: [{ op: "set", name: "Subject", before: "Hello", after: "x" }] }) },
    ],
    [
      "onPreCategorize",
      "mail.discard(mail.attemptId)",
      { verdict: { kind: "discard", text: "TEST000000000001", settled: false } },
    ],
    [
      "onPostCategorize",
      "mail.quarantine(mail.subject)",
      { verdict: { kind: "quarantine", text: "Hello", settled: false } },
    ],
    [
      "onRoute",
      "mail.route('smtp://relay.' + mail.domain + ':2525')",
      { said: ["route to smtp://relay.example.test:2525"] },
    ],
    ["onLocalDelivery", "mail.fileInto('Junk')", { said: ["file into Junk"] }],
    ["onDsn", "mail.setReportSubject(mail.kind + ' ' + mail.recipients[0].status)", { said: ["subject failed 5.1.1"] }],
    [
      "onDelivered",
      "log.info(mail.lastReply.code + ' ' + mail.recipient)",
      { log: [expect.objectContaining({ text: "250 rob@example.test" })] },
    ],
    [
      "onDeferred",
      "log.info(mail.reason + ' ' + (mail.nextAttemptAt - mail.receivedAt))",
      { log: [expect.objectContaining({ text: "451 4.3.0 Please try again later 900000" })] },
    ],
    [
      "onFailed",
      "throw new Error(mail.reason)",
      {
        fault: expect.objectContaining({ code: "script.threw", message: "550 5.1.1 There is no such mailbox" }),
        verdict: { kind: "proceed", settled: false },
      },
    ],
  ];
  test("has a row for every event scripts can handle", () => {
    expect(rows.map(([event]) => event)).toEqual(eventNames.filter((name) => eventTable[name].scripts));
  });

  test.each(rows)("%s: %s", async (event, body, expected) => {
    const result = await resultOf(event, body);
    expect(result).toMatchObject({
      event,
      matched: true,
      envelope: { from: "ada@example.com", to: ["rob@example.test"] },
      ...expected,
    });
    if (!("fault" in expected)) expect(result.fault).toBeNull();
    if (!("said" in expected)) expect(result).not.toHaveProperty("said");
  });
});

describe("onarrival test --event", () => {
  writeFileSync(
    join(root, "gate.ts"),
    "export const onConnect = (event) => { if (event.session.ip === '203.0.113.9') event.drop('Not you'); };\nexport const onRcptTo = (event) => event.refuse(event.session.helo + ' ' + event.envelope.from + ' ' + event.recipient);\n",
  );
  async function run(args: string[], flags: TestFlags) {
    const context = recordTerminal({ cwd });
    const status = await runTest(args, flags, context);
    return { status, out: context.outText() };
  }

  test("goes without a message before there is one", async () => {
    const { status, out } = await run(["scripts/gate.ts"], { event: "onConnect", ip: "203.0.113.9", json: true });
    expect(status).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      file: "(no message)",
      event: "onConnect",
      verdict: { kind: "drop", text: "Not you" },
    });
  });

  test("takes session and envelope from flags", async () => {
    const flags = { event: "onRcptTo", helo: "h.example", from: "a@example.org", to: ["b@example.org"], json: true };
    const { out } = await run(["scripts/gate.ts"], flags);
    expect(JSON.parse(out)).toMatchObject({ verdict: { text: "h.example a@example.org b@example.org" } });
  });

  test("without the flag a script is asked what it handles", async () => {
    const { out } = await run(["scripts/gate.ts", "hello.eml"], {});
    expect(out).toContain("event     onConnect");
  });

  test("tells that a script does not handle the event", async () => {
    const { status, out } = await run(["scripts/gate.ts", "hello.eml"], { event: "onHelo", json: true });
    expect(status).toBe(1);
    expect(JSON.parse(out).fault.message).toBe("The script does not handle onHelo: it exports onConnect, onRcptTo");
  });

  test("tells that a rule asks too early", async () => {
    writeFileSync(join(root, "early.ts"), 'export const rule = "SUBJECT = x*";\nexport const onConnect = () => {};\n');
    const { status, out } = await run(["scripts/early.ts"], { event: "onConnect", json: true });
    expect(status).toBe(1);
    expect(JSON.parse(out).fault.message).toMatch(/"SUBJECT = x\*" never holds at onConnect: there is no header yet$/);
  });

  test.each([
    ["a message where the event has one", ["scripts/gate.ts"], { event: "onRoute" }],
    ["a script", [], { event: "onConnect" }],
  ])("needs %s", async (_why, args, flags) => {
    await expect(run(args, flags)).rejects.toMatchObject({ name: "UsageError" });
  });
});
