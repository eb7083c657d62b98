/** What handlers of each event are given and may answer, through a real sandbox process: facts, verdicts, powers, and verbs of other events. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Json } from "../../../sandbox/api.ts";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { handlerNames } from "../../../sandbox/exports.ts";
import { Sandbox } from "../../../sandbox/host.ts";
import { defaultLimits, type StepResult } from "../../../sandbox/protocol.ts";
import { eventNames, eventTable } from "../../../src/events/event-table.ts";
import { createScriptFolder, mailInputOf, messageOf, runOn, type ScriptFolder, stepOf } from "../../support/scripts.ts";

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

const octets = messageOf(`From: ann@example.com
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
Content-Type: multipart/mixed; boundary=b

--b

Hello
--b
Content-Type: text/csv; name=a.csv
Content-Disposition: attachment

1,2
--b--
`);
const session = {
  id: "s-1",
  listener: "mx",
  ip: "192.0.2.7",
  host: null,
  helo: "client.example",
  user: null,
  tls: "TLSv1.3",
  auth: null,
};
const envelope = { from: "ann@example.com", to: ["bob@example.org"] };
const outcome = { attemptId: "a-1", recipient: "bob@example.org", nextHop: "mx:example.org" };
const lastReply = { code: 250, status: "2.0.0", text: "ok" };
const reported = [{ address: "bob@example.org", status: "5.1.1", reason: "There is no such mailbox." }];

/** What the server sends with each event. */
const subjects: Readonly<Record<string, Readonly<Record<string, Json>>>> = {
  onConnect: { session },
  onHelo: { session, verb: "EHLO", name: "client.example", keywords: ["SIZE 1000", "CHUNKING"] },
  onMailFrom: { session, from: "ann@example.com", parameters: { SIZE: "1000" }, size: 1000 },
  onRcptTo: { session, envelope, recipient: "carl@example.org", parameters: {} },
  onData: { session, envelope },
  onHeaders: { session, envelope },
  onArrival: {},
  onPreCategorize: { attemptId: "a-1" },
  onPostCategorize: { attemptId: "a-1" },
  onRoute: { attemptId: "a-1", domain: "example.org", recipients: ["bob@example.org"], nextHop: null },
  onLocalDelivery: { ...outcome, folder: null },
  onDsn: { kind: "failed", recipients: reported, reportText: "It failed.", reportSubject: "Failed" },
  onDelivered: { ...outcome, lastReply },
  onDeferred: { ...outcome, lastReply, reason: "busy", nextAttemptAt: 0 },
  onFailed: { ...outcome, lastReply: null, reason: "gone" },
};
const withoutMail = ["onConnect", "onHelo", "onMailFrom", "onRcptTo", "onData"];

async function run(event: string, body: string): Promise<StepResult> {
  const script = await folder.compile(`export const ${event} = async (mail, { log }) => { ${body} };`);
  await sandbox.load(script, defaultLimits);
  const { steps } = await runOn(sandbox, octets, [stepOf(script.version)], {
    event,
    subject: subjects[event]!,
    mail: withoutMail.includes(event) ? null : mailInputOf(octets),
  });
  sandbox.unload(script.version);
  return steps[0]!;
}

async function seen(event: string, expression: string): Promise<unknown> {
  const { fault, log } = await run(event, `log.info(JSON.stringify(${expression}));`);
  expect(fault).toBeNull();
  return JSON.parse(log[0]!.text);
}

test("scripts handle the events that the server's table says", () => {
  expect(handlerNames).toEqual(eventNames.filter((name) => eventTable[name].scripts));
});

describe("facts", () => {
  test.each<[event: string, expression: string, expected: unknown]>([
    ["onConnect", "mail.session", session],
    ["onHelo", "[mail.verb, mail.name, mail.keywords]", ["EHLO", "client.example", ["SIZE 1000", "CHUNKING"]]],
    ["onMailFrom", "[mail.from, mail.parameters, mail.size]", ["ann@example.com", { SIZE: "1000" }, 1000]],
    [
      "onRcptTo",
      "[mail.recipient, mail.envelope.to, mail.envelope.from]",
      ["carl@example.org", ["bob@example.org"], "ann@example.com"],
    ],
    ["onData", "mail.envelope", envelope],
    [
      "onHeaders",
      "[mail.subject, mail.headers.get('from'), [...mail.headers].length]",
      ["Grüße", "ann@example.com", 3],
    ],
    ["onArrival", "[mail.subject, mail.session.ip, mail.attachments.length]", ["Grüße", "192.0.2.7", 1]],
    ["onPreCategorize", "[mail.attemptId, mail.subject, mail.envelope.to.length]", ["a-1", "Grüße", 2]],
    ["onPostCategorize", "[mail.attemptId, await mail.text()]", ["a-1", "Hello"]],
    [
      "onRoute",
      "[mail.domain, mail.recipients, mail.nextHop, mail.subject]",
      ["example.org", ["bob@example.org"], null, "Grüße"],
    ],
    [
      "onLocalDelivery",
      "[mail.recipient, mail.folder, mail.attachments[0].fileName]",
      ["bob@example.org", null, "a.csv"],
    ],
    [
      "onDsn",
      "[mail.kind, mail.recipients, mail.reportText, mail.reportSubject]",
      ["failed", reported, "It failed.", "Failed"],
    ],
    ["onDelivered", "[mail.recipient, mail.nextHop, mail.lastReply]", ["bob@example.org", "mx:example.org", lastReply]],
    ["onDeferred", "[mail.reason, mail.nextAttemptAt]", ["busy", "1970-01-01T00:00:00.000Z"]],
    ["onFailed", "[mail.reason, mail.lastReply, (await mail.raw()).length]", ["gone", null, octets.length]],
  ])("%s: %s", async (event, expression, expected) => {
    expect(await seen(event, expression)).toEqual(expected);
  });

  test.each([
    ["a fact", "onHelo", "mail.name = 'x'", "name cannot be set: it is a fact of onHelo"],
    ["a list among them", "onHelo", "mail.keywords.push('X')", /not extensible|read only/],
    ["the session", "onConnect", "mail.session.ip = '192.0.2.9'", /read only/],
    ["something there is not", "onConnect", "mail.colour = 'red'", /not extensible/],
  ])("cannot be changed: %s", async (_why, event, code, words) => {
    const { fault } = await run(event, `${code};`);
    expect(fault?.message).toMatch(words);
  });
});

describe("verdicts", () => {
  const refused = { kind: "refuse", text: "No", code: 554, status: "5.7.1" };
  const inSession = ["onConnect", "onHelo", "onMailFrom", "onRcptTo", "onData", "onHeaders"];
  test.each(inSession)("%s: refuse, defer, drop and settle", async (event) => {
    expect((await run(event, "mail.refuse('No', { code: 554, status: '5.7.1' })")).verdict).toEqual(refused);
    expect((await run(event, "mail.defer('Later')")).verdict).toEqual({ kind: "defer", text: "Later" });
    expect((await run(event, "mail.drop()")).verdict).toEqual({ kind: "drop", text: "Closing connection" });
    expect((await run(event, "mail.settle()")).verdict).toEqual({ kind: "proceed", settled: true });
  });

  test.each(["onArrival", "onPreCategorize", "onPostCategorize", "onLocalDelivery"])(
    "%s: those of a message",
    async (event) => {
      expect((await run(event, "mail.discard('x')")).verdict).toEqual({ kind: "discard", reason: "x" });
      expect((await run(event, "mail.quarantine('x')")).verdict).toEqual({ kind: "quarantine", reason: "x" });
      expect((await run(event, "mail.settle()")).verdict).toEqual({ kind: "proceed", settled: true });
    },
  );

  test("onRoute and onDsn have theirs", async () => {
    expect((await run("onRoute", "mail.defer('x')")).verdict).toEqual({ kind: "defer", text: "x" });
    expect((await run("onDsn", "mail.discard('x')")).verdict).toEqual({ kind: "discard", reason: "x" });
  });

  test.each([
    ["the usual code", "mail.drop('Bye')", { kind: "drop", text: "Bye" }],
    [
      "one for good",
      "mail.drop('Bye', { code: 554, status: '5.7.0' })",
      { kind: "drop", text: "Bye", code: 554, status: "5.7.0" },
    ],
  ])("drop with %s", async (_why, code, verdict) => {
    expect((await run("onConnect", code)).verdict).toEqual(verdict);
  });

  test.each([
    ["a code that is no refusal", "mail.drop('Bye', { code: 250 })", "drop takes a code from 400 to 599"],
    ["a status of another class", "mail.drop('Bye', { status: '5.7.0' })", 'drop takes a status such as "4.7.1"'],
    [
      "a second verdict",
      "mail.defer('x'); mail.drop()",
      "drop: this run has given a verdict already, and one is all it has",
    ],
  ])("not with %s", async (_why, code, message) => {
    expect((await run("onConnect", code)).fault).toMatchObject({
      code: "script.action-invalid",
      message: `TypeError: ${message}`.replace("TypeError: ", ""),
    });
  });
});

describe("powers", () => {
  const text64k = "x".repeat(65_536);
  test.each<[event: string, code: string, name: string, args: readonly unknown[]]>([
    ["onConnect", "mail.setBanner('ESMTP ready')", "setBanner", ["ESMTP ready"]],
    ["onHelo", "mail.offer('X-TOKEN', 'a', 'b')", "offer", ["X-TOKEN", "a", "b"]],
    ["onHelo", "mail.hide('CHUNKING')", "hide", ["CHUNKING"]],
    ["onMailFrom", "mail.rewrite(null)", "rewrite", [null]],
    ["onMailFrom", "mail.rewrite('x@example.org')", "rewrite", ["x@example.org"]],
    ["onRcptTo", "mail.rewrite('a@example.org', 'b@example.org')", "rewrite", ["a@example.org", "b@example.org"]],
    ["onRcptTo", "mail.accept('relay')", "accept", ["relay"]],
    ["onHeaders", "mail.dropBody()", "dropBody", []],
    ["onRoute", "mail.route('smtp://relay.example:2525')", "route", ["smtp://relay.example:2525"]],
    ["onLocalDelivery", "mail.fileInto('Lists/dev')", "fileInto", ["Lists/dev"]],
    ["onLocalDelivery", "mail.fileInto(null)", "fileInto", [null]],
    ["onDsn", "mail.setReportText('one\\ntwo')", "setReportText", ["one\ntwo"]],
    ["onDsn", "mail.setReportText('x'.repeat(65536))", "setReportText", [text64k]],
    ["onDsn", "mail.setReportSubject('Sorry')", "setReportSubject", ["Sorry"]],
  ])("%s: %s", async (event, code, name, args) => {
    const { fault, effects } = await run(event, code);
    expect(fault).toBeNull();
    expect(effects).toEqual({ powers: [{ name, args }] });
  });

  test.each<[why: string, event: string, code: string, message: RegExp]>([
    ["two lines", "onConnect", "mail.setBanner('a\\r\\nb')", /^setBanner takes one line/],
    ["no text", "onConnect", "mail.setBanner(1)", /^setBanner takes a text, not number/],
    ["one octet too many", "onConnect", "mail.setBanner('x'.repeat(481))", /^setBanner takes one line of 1 to 480/],
    ["no keyword", "onHelo", "mail.offer()", /^offer takes a keyword/],
    ["a keyword with a blank", "onHelo", "mail.offer('A B')", /^offer takes a keyword/],
    ["no keyword", "onHelo", "mail.hide()", /^hide takes a keyword/],
    ["no address", "onMailFrom", "mail.rewrite('nobody')", /^The reverse-path is no address/],
    ["nobody", "onRcptTo", "mail.rewrite()", /^rewrite takes 1 to 1000 recipients/],
    ["a third way", "onRcptTo", "mail.accept('maybe')", /^accept takes "local"/],
    ["recipients", "onRoute", "mail.route('mx', 'a@example.org')", /^route takes one next hop at onRoute/],
    ["recipients", "onLocalDelivery", "mail.fileInto('a', 'b@example.org')", /^fileInto takes one folder/],
    ["nothing", "onDsn", "mail.setReportText(' ')", /^setReportText takes a text/],
    ["one octet too many", "onDsn", "mail.setReportText('x'.repeat(65537))", /at most 65536 octets/],
    ["two lines", "onDsn", "mail.setReportSubject('a\\nb')", /^setReportSubject takes one line/],
  ])("not with %s, at %s: %s", async (_why, event, code, message) => {
    const { fault, effects } = await run(event, code);
    expect(fault).toMatchObject({ code: "script.action-invalid", message: expect.stringMatching(message) });
    expect(fault?.at).toMatch(/^scripts\/script-\d+\.ts:1:/);
    expect(effects).toEqual({});
  });

  test("what was said last is what the event shows", async () => {
    expect(await seen("onDsn", "(mail.setReportText(mail.reportText + '\\nSorry'), mail.reportText)")).toBe(
      "It failed.\nSorry",
    );
    expect(await seen("onLocalDelivery", "(mail.fileInto('Junk'), mail.folder)")).toBe("Junk");
    expect(await seen("onRoute", "(mail.route('mx'), mail.nextHop)")).toBe("mx");
    expect(await seen("onMailFrom", "(mail.rewrite(null), mail.from)")).toBe(null);
  });

  test("count as edits", async () => {
    const { fault } = await run("onHelo", "for (let i = 0; i < 1001; i++) mail.hide('X')");
    expect(fault?.code).toBe("script.action-limit");
  });
});

describe("verbs of other events", () => {
  test.each<[event: string, code: string, message: string]>([
    [
      "onHelo",
      "mail.fileInto('x')",
      "fileInto is not available at onHelo: it is for onArrival, onPostCategorize and onLocalDelivery",
    ],
    [
      "onConnect",
      "mail.quarantine('x')",
      "quarantine is not available at onConnect: it is for onArrival, onPreCategorize, onPostCategorize and onLocalDelivery",
    ],
    ["onArrival", "mail.setBanner('x')", "setBanner is not available at onArrival: it is for onConnect"],
    [
      "onArrival",
      "mail.drop()",
      "drop is not available at onArrival: it is for onConnect, onHelo, onMailFrom, onRcptTo, onData and onHeaders",
    ],
    [
      "onPreCategorize",
      "mail.route('mx')",
      "route is not available at onPreCategorize: it is for onArrival, onPostCategorize and onRoute",
    ],
    [
      "onPreCategorize",
      "mail.envelope.add('a@example.org')",
      "envelope.add is not available at onPreCategorize: recipients are changed at onArrival",
    ],
    [
      "onPostCategorize",
      "mail.envelope.from = null",
      "from cannot be set at onPostCategorize: recipients are changed at onArrival",
    ],
    [
      "onRoute",
      "await mail.setText('x')",
      "setText is not available at onRoute: it is for onArrival, onPreCategorize and onPostCategorize",
    ],
    [
      "onRoute",
      "mail.subject = 'x'",
      "subject cannot be set at onRoute: a message is edited at onArrival, onPreCategorize and onPostCategorize",
    ],
    [
      "onLocalDelivery",
      "mail.headers.set('A', 'b')",
      "headers.set is not available at onLocalDelivery: a message is edited at onArrival, onPreCategorize and onPostCategorize",
    ],
    [
      "onDelivered",
      "mail.attachments[0].remove()",
      "attachment.remove is not available at onDelivered: a message is edited at onArrival, onPreCategorize and onPostCategorize",
    ],
    [
      "onDelivered",
      "mail.refuse('x')",
      "refuse is not available at onDelivered: it is for onConnect, onHelo, onMailFrom, onRcptTo, onData, onHeaders, onArrival, onPreCategorize, onPostCategorize, onRoute and onLocalDelivery",
    ],
    [
      "onDsn",
      "mail.submit({})",
      "submit is not available at onDsn: it is for onArrival, onPreCategorize, onPostCategorize, onLocalDelivery, onDelivered, onDeferred and onFailed",
    ],
  ])("%s: %s", async (event, code, message) => {
    const { fault, effects } = await run(event, `${code};`);
    expect(fault).toMatchObject({ code: "script.action-invalid", message });
    expect(effects).toEqual({});
  });

  test("are faults although the script catches them", async () => {
    const { fault } = await run("onHelo", "try { mail.discard('x'); } catch {} mail.hide('X');");
    expect(fault?.code).toBe("script.action-invalid");
  });

  test.each([
    [
      "taken out of its object",
      "const { refuse } = mail; refuse('x')",
      /^TypeError: refuse was taken out of its object/,
    ],
    ["called on another", "mail.refuse.call({}, 'x')", /^TypeError: refuse was taken out/],
    ["by the prototype", "Object.getPrototypeOf(mail).subject", /^TypeError: subject was taken out/],
  ])("a member %s says so", async (_why, code, message) => {
    expect((await run("onHeaders", `${code};`)).fault?.message).toMatch(message);
  });

  test.each<[why: string, event: string, code: string]>([
    [
      "iterators and lists",
      "onHelo",
      "Array.prototype[Symbol.iterator] = () => { throw new Error('mine') }; Array.prototype.push = null",
    ],
    [
      "what is read of our own objects",
      "onHelo",
      "for (const name of ['read', 'write', 'call', 'get', 'set', 'fixed', 'key', 'target', 'state']) Object.prototype[name] = () => { throw new Error('mine') }",
    ],
    ["functions", "onHelo", "Function.prototype.call = Function.prototype.apply = () => { throw new Error('mine') }"],
  ])("no prototype a script changes has a say: %s", async (_why, event, code) => {
    // What handlers of an event are given is made with its first run: here, behind the change.
    const script = await folder.compile(
      `export const onConnect = () => { ${code}; }; export const ${event} = (mail) => { mail.hide("A"); mail.offer("B", "c"); mail.settle(); };`,
    );
    await sandbox.load(script, defaultLimits);
    const runAt = (name: string) =>
      runOn(sandbox, octets, [stepOf(script.version)], { event: name, subject: subjects[name]!, mail: null });
    await runAt("onConnect");
    const { fault, effects } = (await runAt(event)).steps[0]!;
    expect(fault).toBeNull();
    expect(effects.powers).toHaveLength(2);
  });

  test.each<[why: string, event: string, code: string]>([
    ["its class", "onRoute", "mail.constructor"],
    ["the class of that", "onRoute", "Object.getPrototypeOf(mail.constructor)"],
    [
      "a getter that is not there",
      "onRoute",
      "(Object.prototype.get = function () { return this; }, mail.text.behind ?? mail.get)",
    ],
    ["a function of another", "onRoute", "Object.getPrototypeOf(Object.getPrototypeOf(mail))"],
  ])("nothing behind a face can be reached by %s", async (_why, event, expression) => {
    const { fault, effects } = await run(
      event,
      `const got = ${expression}; for (const name of ["behind", "target", "state"]) if (got?.[name] !== undefined) mail.refuse(name); const kind = got?.prototype ?? got; if (typeof kind?.setText === "function") mail.defer("reached");`,
    );
    expect(fault).toBeNull();
    expect(effects).toEqual({});
  });

  test("a mail that is kept is of no use to the next run, whatever its event", async () => {
    const script = await folder.compile(
      "let kept; export const onConnect = (event, { log }) => { if (kept) { try { kept.setBanner('x'); } catch (error) { log.info(error.message); } try { kept.session; } catch (error) { log.info(error.message); } } kept = event; };",
    );
    await sandbox.load(script, defaultLimits);
    const change = { event: "onConnect", subject: subjects.onConnect!, mail: null };
    await runOn(sandbox, octets, [stepOf(script.version)], change);
    const { steps } = await runOn(sandbox, octets, [stepOf(script.version)], change);
    expect(steps[0]!.effects).toEqual({});
    expect(steps[0]!.log.map(({ text }) => text)).toEqual([
      expect.stringMatching(/run is over/),
      expect.stringMatching(/run is over/),
    ]);
  });

  test("notes can be read and not written where nothing can be edited", async () => {
    expect(await seen("onRoute", "mail.notes")).toEqual({});
    expect((await run("onRoute", "mail.notes.x = 1;")).fault?.message).toMatch(/not extensible/);
  });

  test("in one hop the next script is not run behind one that used a power: it is asked anew", async () => {
    const one = await folder.compile("export const onHelo = (event) => { event.hide('CHUNKING'); };");
    const two = await folder.compile("export const onHelo = () => {};");
    await sandbox.load(one, defaultLimits);
    await sandbox.load(two, defaultLimits);
    const change = { event: "onHelo", subject: subjects.onHelo!, mail: null };
    const hop = (...versions: string[]) =>
      runOn(
        sandbox,
        octets,
        versions.map((version) => stepOf(version)),
        change,
      ).then(({ steps }) => steps.length);
    expect(await hop(one.version, two.version)).toBe(1);
    expect(await hop(two.version, one.version)).toBe(2);
  });
});
