/** Records of runs: run again from one, a script does the same; and no secret is in any. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { Sandbox } from "../../../sandbox/host.ts";
import type { HostAnswer, HostCalls, HostQuestion } from "../../../sandbox/host-call.ts";
import type { RunRequest, RunStep } from "../../../sandbox/protocol.ts";
import { type RunRecord, recordRun, replayCalls, replayRequest } from "../../../sandbox/record.ts";
import { createFakeCalls } from "../../support/fake-calls.ts";
import { createScriptFolder, mailInputOf, messageOf, type ScriptFolder, stepOf } from "../../support/scripts.ts";

const message = messageOf("Subject: hello\n\nThe text\n");

let folder: ScriptFolder;
let sandbox: Sandbox;
beforeAll(async () => {
  folder = await createScriptFolder();
  sandbox = await Sandbox.start({ processes: 1 });
});
afterAll(async () => {
  await sandbox.close();
  await stopCompiler();
  await folder.remove();
});

async function requestOf(body: string, calls: HostCalls, change: Partial<RunStep> = {}): Promise<RunRequest> {
  const script = await folder.compile(
    `export const onArrival = async (mail: any, { http, kv, secrets, log }: any) => {\n${body}\n};`,
  );
  await sandbox.load(script);
  return {
    event: "onArrival",
    steps: [stepOf(script.version, {}, change)],
    mail: mailInputOf(message),
    subject: {},
    stopOnChange: false,
    octets: async () => message,
    calls,
  };
}

/** What a record is after it was written and read again. */
const written = (record: RunRecord) => JSON.parse(JSON.stringify(record)) as RunRecord;

/** Runs a request, and its record; gives both results without what they cost. */
async function twice(request: RunRequest) {
  const recording = recordRun(request);
  const live = await sandbox.run(recording.request);
  const record = written(await recording.record());
  const again = await sandbox.run(replayRequest(record));
  const bare = ({ steps }: typeof live) => steps.map(({ usage: _, ...rest }) => rest);
  return { record, live: bare(live), again: bare(again) };
}

describe("recordRun and replayRequest", () => {
  it("do the same, bit for bit: time, chance, order of answers, octets, errors", async () => {
    const calls = createFakeCalls(async (question): Promise<HostAnswer> => {
      if (question.kind === "sleep")
        return new Promise((resolve) => setTimeout(resolve, question.ms, { ok: true, value: null }));
      if (question.kind === "http") {
        await new Promise((resolve) => setTimeout(resolve, 5));
        return {
          ok: true,
          value: { status: 200, url: question.url, redirected: false, headers: [] },
          body: Buffer.from([0, 255, 10]),
        };
      }
      if (question.kind === "kv.get" && question.key === "broken")
        return { ok: false, code: "failed", message: "no disk" };
      return { ok: true, value: Math.random() };
    });
    const { live, again, record } = await twice(
      await requestOf(
        `const order: string[] = [];
         const asked = http.post("https://a.example", new Uint8Array([1, 2])).then(async (r: any) => { order.push("http"); return (await r.bytes()).join(); });
         await Promise.all([asked, kv.get("a").then(() => order.push("kv")), new Promise<void>((resolve) => setTimeout(() => { order.push("timer"); resolve(); }, 2))]);
         log.info(order, await asked, Date.now(), Math.random(), new Date());
         try { await kv.get("broken"); } catch (e) { log.info(e.code, e.message); }
         mail.subject = [await kv.increment("n"), (await mail.text()).trim(), Date.now()].join(" ");`,
        calls,
      ),
    );
    expect(live[0]!.fault).toBeNull();
    expect(again).toEqual(live);
    expect(record.calls).toHaveLength(5);
    expect(Buffer.from(record.octets!, "base64")).toEqual(message);
  });

  it("need no octets where nobody looked inside", async () => {
    const { record, live, again } = await twice(await requestOf('mail.subject = "x";', createFakeCalls()));
    expect(record.octets).toBeNull();
    expect(again).toEqual(live);
  });

  it("end the same way where the server never answered", async () => {
    const request = await requestOf('await kv.get("a");', { answer: () => new Promise(() => {}) });
    const { live, again, record } = await twice({
      ...request,
      steps: request.steps.map((step) => ({ ...step, limits: { ...step.limits, wallMs: 40 } })),
    });
    expect(live[0]!.fault).toMatchObject({ code: "script.wall-limit", message: expect.stringContaining("kv.get") });
    expect(again).toEqual(live);
    expect(record.calls).toMatchObject([{ answer: null }]);
  });

  it("end with a fault where another version asks something else", async () => {
    const recording = recordRun(await requestOf('await kv.get("a");', createFakeCalls()));
    await sandbox.run(recording.request);
    const other = await requestOf('try { await kv.get("b"); } catch {}', createFakeCalls());
    const record = await recording.record();
    const { steps } = await sandbox.run(
      replayRequest({ ...record, steps: [{ ...record.steps[0]!, version: other.steps[0]!.version }] }),
    );
    expect(steps[0]!.fault).toMatchObject({
      code: "script.replay-diverged",
      message: expect.stringContaining('{"key":"b"}'),
    });
  });

  it("say so where a record has no octets, and the other version looks inside", async () => {
    const recording = recordRun(await requestOf("", createFakeCalls()));
    await sandbox.run(recording.request);
    const other = await requestOf("await mail.text();", createFakeCalls());
    const record = await recording.record();
    await expect(
      sandbox.run(replayRequest({ ...record, steps: [{ ...record.steps[0]!, version: other.steps[0]!.version }] })),
    ).rejects.toThrow("no octets");
  });
});

describe("A record", () => {
  const secret = 'p+ä"/word/0123456789';
  const answering = (question: HostQuestion): HostAnswer =>
    question.kind === "secret"
      ? { ok: true, value: secret }
      : {
          ok: true,
          value:
            question.kind === "http"
              ? { status: 200, url: question.url, redirected: false, headers: [["x-echo", secret]] }
              : secret,
          body: Buffer.from(`you said ${secret}`),
        };
  const forms = (text: string) => [
    text,
    JSON.stringify(text).slice(1, -1),
    encodeURIComponent(text),
    Buffer.from(text).toString("latin1"),
    ...["", "a", "ab"].flatMap((before) => {
      const packed = Buffer.from(before + text).toString("base64");
      return [packed.slice(4, -4), packed.slice(4, -4).replaceAll("+", "-").replaceAll("/", "_")];
    }),
  ];

  it.each([
    [
      "a header",
      'await http.get("https://a.example", { headers: { authorization: "Bearer " + unescape(encodeURIComponent(token)) } });',
    ],
    ["a URL", 'await http.get("https://a.example/?t=" + encodeURIComponent(token));'],
    [
      "a URL, in base64",
      'await http.get("https://a.example/?t=" + new Uint8Array([...unescape(encodeURIComponent("user:" + token))].map((c) => c.charCodeAt(0))).toBase64({ alphabet: "base64url" }));',
    ],
    ["a body", 'await http.post("https://a.example", { deep: { token } });'],
    ["the store", 'await kv.set("k", { deep: [token] }); await kv.get(token.slice(0, 400));'],
    ["the name of a property", 'await kv.set("k", { [token]: 1 });'],
  ])("has no secret in it that was put into %s, and can be run again", async (_why, body) => {
    const { record, live, again } = await twice(
      await requestOf(`const token = await secrets.get("token");\n${body}`, createFakeCalls(answering), {
        grants: { secrets: ["token"] },
      }),
    );
    expect(live[0]!.fault).toBeNull();
    const text = JSON.stringify(record);
    const bodies = record.calls.flatMap(({ body: sent, answer }) => [sent, answer?.ok ? answer.body : null]);
    const octets = bodies.map((packed) => Buffer.from(packed ?? "", "base64").toString("latin1")).join("\n");
    for (const form of forms(secret))
      expect([text.includes(form), octets.includes(form), form]).toEqual([false, false, form]);
    expect(text).toContain("[secret token]");
    // Base64 of more than the secret alone comes out otherwise with the mark in its place.
    if (!_why.includes("base64")) expect(again[0]!.fault).toBeNull();
  });

  it("has none either that a run before it left in the script", async () => {
    const script = await folder.compile(
      'let token = ""; export const onArrival = async (mail: any, { http, secrets }: any) => { token ||= await secrets.get("token"); await http.get("https://a.example/" + encodeURIComponent(token), { headers: { "x-key": "k" } }); };',
    );
    await sandbox.load(script);
    const request: RunRequest = {
      event: "onArrival",
      steps: [stepOf(script.version, {}, { grants: { secrets: ["token"] } })],
      mail: mailInputOf(message),
      subject: {},
      stopOnChange: false,
      octets: async () => message,
      calls: createFakeCalls(answering),
    };
    await sandbox.run(request);
    const recording = recordRun(request);
    await sandbox.run(recording.request);
    const record = await recording.record();
    expect(record.calls.map(({ question }) => question.kind)).toEqual(["http"]);
    expect(JSON.stringify(record)).not.toContain(encodeURIComponent(secret));
    expect(record.calls[0]!.question).toMatchObject({ headers: [["x-key", "[not recorded]"]] });
    // In a fresh isolate it asks for the secret, and is given the mark.
    await sandbox.load(script);
    expect((await sandbox.run(replayRequest(record))).steps[0]!.fault).toBeNull();
  });

  it("has everything where no secret is granted", async () => {
    const recording = recordRun(
      await requestOf(
        'await http.post("https://a.example", "x", { headers: { authorization: "Bearer t" } });',
        createFakeCalls(answering),
      ),
    );
    await sandbox.run(recording.request);
    expect((await recording.record()).calls[0]).toMatchObject({
      question: {
        headers: [
          ["authorization", "Bearer t"],
          ["content-type", "text/plain;charset=UTF-8"],
        ],
      },
      body: Buffer.from("x").toString("base64"),
    });
  });
});

describe("replayCalls", () => {
  const get = (key: string): HostQuestion => ({ kind: "kv.get", key });
  const recordedCall = (key: string, value: number, step = 0) => ({
    step,
    question: get(key),
    body: null,
    answer: { ok: true, value, at: value } as const,
  });
  const asker = { bindingId: "b", step: 0, version: "sha256:x", script: "scripts/x.ts", grants: {} };
  const never = new AbortController().signal;

  it("answers in the order of the record, whatever the order of the questions", async () => {
    const calls = replayCalls({
      calls: [recordedCall("b", 1), recordedCall("a", 2), recordedCall("a", 3)],
      masked: false,
    });
    const told: unknown[] = [];
    const ask = (key: string) => calls.answer(asker, get(key), null, never).then((answer) => told.push(answer));
    await Promise.all([ask("a"), ask("a"), ask("b")]);
    expect(told).toEqual([1, 2, 3].map((value) => ({ ok: true, value, at: value })));
  });

  it("does not wait for ever for a question that does not come", async () => {
    const calls = replayCalls({ calls: [recordedCall("b", 1), recordedCall("a", 2)], masked: false });
    expect(await calls.answer(asker, get("a"), null, never)).toMatchObject({ value: 2 });
  });

  it("keeps steps apart", async () => {
    const calls = replayCalls({ calls: [recordedCall("a", 1, 1)], masked: false });
    expect(await calls.answer(asker, get("a"), null, never)).toMatchObject({
      ok: false,
      fatal: "script.replay-diverged",
    });
    expect(await calls.answer({ ...asker, step: 1 }, get("a"), null, never)).toMatchObject({ value: 1 });
  });
});
