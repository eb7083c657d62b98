/** Scripts at the events of a session, over real SMTP: the compiler, the sandbox, the dispatcher and the listener as a server has them. */
import { afterAll, beforeAll, test } from "vitest";
import { stopCompiler } from "../../sandbox/compile.ts";
import { Sandbox } from "../../sandbox/host.ts";
import { defaultLimits } from "../../sandbox/protocol.ts";
import { parseRule } from "../../src/events/rule.ts";
import { silentLog } from "../../src/platform/log.ts";
import { createScriptRunner } from "../../src/scripting/runner.ts";
import { bindingsOf } from "../../src/scripting/script-bindings.ts";
import { startSubject } from "../support/listener.ts";
import { createScriptFolder, type ScriptFolder } from "../support/scripts.ts";
import { parseTranscript, playTranscript } from "../support/transcript.ts";

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

/** Plays a dialogue against a listener with one script. */
async function play(code: string, dialogue: string): Promise<void> {
  const compiled = await folder.compile(code);
  const exports = await sandbox.load(compiled);
  const rule = exports.rule === undefined ? null : parseRule(exports.rule);
  const bindings = bindingsOf(compiled.name, { version: compiled.version, exports, rule, since: 0 }, {});
  const runner = createScriptRunner({ sandbox, limits: defaultLimits, log: silentLog });
  const transcript = parseTranscript(dialogue);
  const subject = await startSubject({ ...transcript.options, scripts: { runner, bindings } });
  try {
    await playTranscript(transcript, subject);
  } finally {
    await subject.close();
    sandbox.unload(compiled.version);
  }
}

const start = "S: 220*\nC: EHLO client.example\nS: 250*\n";
const envelope = `${start}C: MAIL FROM:<ann@example.com>\nS: 250*\nC: RCPT TO:<bob@example.org>\nS: 250*\n`;
const message = 'C: DATA\nS: 354*\nC! "Subject: x\\r\\n\\r\\nbody\\r\\n.\\r\\n"\n';

const dialogues: readonly [why: string, code: string, dialogue: string][] = [
  [
    "onConnect sets the words of the greeting",
    `export const onConnect = (event) => { event.setBanner("ready for " + event.session.ip); };`,
    "S: 220 mx.example.test ready for 127.0.0.1",
  ],
  [
    "onConnect drops a client by its address",
    `export const rule = "CLIENT = 127.0.0.0/8"; export const onConnect = (event) => { event.drop("Not today", { code: 554, status: "5.7.1" }); };`,
    "S: 554 5.7.1 Not today\nclosed",
  ],
  [
    "a rule leaves other clients alone",
    `export const rule = "EHLO = liar.example"; export const onMailFrom = (event) => { event.refuse("unheard"); };`,
    `${start}C: MAIL FROM:<ann@example.com>\nS: 250*`,
  ],
  [
    "onHelo refuses by what the client calls itself",
    `export const onHelo = (event) => { if (event.name === "liar.example") event.refuse("Say your name", { code: 550, status: "5.7.1" }); };`,
    "S: 220*\nC: EHLO liar.example\nS: 550 5.7.1 Say your name\nC: EHLO client.example\nS: 250*",
  ],
  [
    "onMailFrom refuses a sender and the size that is announced",
    `export const onMailFrom = (event) => { if (event.size > 1000) event.defer("Too large for now"); if (event.from === null) event.refuse("No bounces"); };`,
    `${start}C: MAIL FROM:<>\nS: 550 5.7.1 No bounces\nC: MAIL FROM:<ann@example.com> SIZE=1001\nS: 451 4.7.1 Too large for now\nC: MAIL FROM:<ann@example.com> SIZE=1000\nS: 250*`,
  ],
  [
    "onMailFrom writes another reverse-path",
    `export const onMailFrom = (event) => { event.rewrite("bounces@example.org"); };`,
    `${envelope}${message}S: 250*\nmessage 1 from bounces@example.org`,
  ],
  [
    "onRcptTo refuses one recipient and takes the other",
    `export const rule = "RCPT TO = *@example.org"; export const onRcptTo = async (event) => { await null; if (event.recipient.startsWith("no")) event.refuse("Not " + event.recipient + " behind " + event.envelope.to.length); };`,
    `${envelope}C: RCPT TO:<nobody@example.org>\nS: 550 5.7.1 Not nobody@example.org behind 1\n${message}S: 250*\nmessage 1 to bob@example.org`,
  ],
  [
    "onRcptTo expands a recipient, and takes one the relay control would not",
    `export const onRcptTo = (event) => { if (event.recipient === "team@example.org") event.rewrite("one@example.org", "two@example.org"); if (event.recipient === "far@example.net") event.accept("relay"); };`,
    `${start}C: MAIL FROM:<ann@example.com>\nS: 250*\nC: RCPT TO:<team@example.org>\nS: 250*\nC: RCPT TO:<far@example.net>\nS: 250*\nC: RCPT TO:<other@example.net>\nS: 550*\n${message}S: 250*\nmessage 1 to one@example.org, two@example.org, far@example.net`,
  ],
  [
    "settle leaves the relay control in its place",
    `export const onRcptTo = (event) => { event.settle(); };`,
    `${start}C: MAIL FROM:<ann@example.com>\nS: 250*\nC: RCPT TO:<far@example.net>\nS: 550*`,
  ],
  [
    "onData defers",
    `export const onData = (event) => { event.defer("Later for " + event.envelope.from); };`,
    `${envelope}C: DATA\nS: 451 4.7.1 Later for ann@example.com`,
  ],
  [
    "onHeaders refuses by a field",
    `export const onHeaders = (event) => { if (event.subject === "x") event.refuse("Not this subject"); };`,
    `${envelope}${message}S: 550 5.7.1 Not this subject\nspool is empty`,
  ],
  [
    "onHeaders throws the body away",
    `export const onHeaders = (event) => { event.dropBody(); };`,
    `${envelope}${message}S: 250*\nmessage 1 body is ""`,
  ],
  [
    "a script that throws makes the client try again, and the session goes on",
    `export const onMailFrom = (event) => { if (event.from === "bad@example.com") throw new Error("oops"); };`,
    `${start}C: MAIL FROM:<bad@example.com>\nS: 451 4.3.0*\nC: MAIL FROM:<ann@example.com>\nS: 250*`,
  ],
  [
    "a fault undoes what was said, and with onFault proceed nothing is left of it",
    `export const onFault = "proceed"; export const onMailFrom = (event) => { event.rewrite("bounces@example.org"); throw new Error("oops"); };`,
    `${envelope}${message}S: 250*\nmessage 1 from ann@example.com`,
  ],
  [
    "quarantine means defer where there is nothing to keep",
    `export const onFault = "quarantine"; export const onData = () => { throw new Error("oops"); };`,
    `${envelope}C: DATA\nS: 451 4.3.0*`,
  ],
];

// What the library engine asks at which moment differs; the events and their answers are the same (docs/listeners.md).
test.each(dialogues)("%s", async (_why, code, dialogue) => {
  await play(code, dialogue);
});

test("a script that never ends is stopped, and the client is told to try again", async () => {
  const code = "export const onData = () => { for (;;); };";
  await play(code, `${envelope}C: DATA\nS: 451 4.3.0*\nC: RSET\nS: 250*`);
});
