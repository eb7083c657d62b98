/** Scripts in the shape of Cloudflare's Email Workers: three whole ones (test/fixtures/email-workers), and what each call means. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileScript, stopCompiler } from "../../../sandbox/compile.ts";
import { Sandbox } from "../../../sandbox/host.ts";
import type { HostAnswer, HostCalls, HostQuestion } from "../../../sandbox/host-call.ts";
import { defaultLimits, type RunStep, type StepResult } from "../../../sandbox/protocol.ts";
import { createScriptFolder, mailInputOf, messageOf, runOn, type ScriptFolder, stepOf } from "../../support/scripts.ts";

let sandbox: Sandbox;
let folder: ScriptFolder;

beforeAll(async () => {
  sandbox = await Sandbox.start({ processes: 1 });
  folder = await createScriptFolder();
});

afterAll(async () => {
  await sandbox.close();
  await stopCompiler();
  await folder.remove();
});

const fixtures = join(import.meta.dirname, "../../fixtures/email-workers");

/** What a run asked, and a server that answers. */
function fakeServer(hookStatus = 200) {
  const asked: object[] = [];
  const store = new Map<string, unknown>();
  const answers = (question: HostQuestion): HostAnswer => {
    switch (question.kind) {
      case "kv.get":
        return { ok: true, value: (store.get(question.key) ?? null) as never };
      case "kv.set":
        store.set(question.key, question.value);
        return { ok: true, value: true };
      case "kv.delete":
        return { ok: true, value: store.delete(question.key) };
      case "kv.list": {
        const keys = [...store.keys()].filter((key) => key.startsWith(question.prefix) && key > question.after).sort();
        return { ok: true, value: keys.slice(0, question.limit) };
      }
      case "secret":
        return { ok: true, value: `secret of ${question.name}` };
      case "http":
        return {
          ok: true,
          value: {
            status: hookStatus,
            url: question.url,
            redirected: false,
            headers: [["content-type", "application/json"]],
          },
          body: Buffer.from('{"ticket":7}'),
        };
      default:
        return { ok: false, code: "not-granted", message: "no", fatal: "grant.missing" };
    }
  };
  const calls: HostCalls = {
    async answer(_asker, question, body) {
      asked.push({ ...question, ...(body && body.length > 0 ? { body: Buffer.from(body).toString() } : {}) });
      return answers(question);
    },
  };
  return { asked, store, calls };
}

async function runWorker(
  text: string,
  {
    to = ["one@example.org"],
    from = "ann@example.com" as string | null,
    step = {} as Partial<RunStep>,
    calls = fakeServer().calls,
  } = {},
): Promise<StepResult> {
  const script = await folder.compile(text);
  await sandbox.load(script, defaultLimits);
  const octets = messageOf(
    "From: a@example.com\nReceived: x\nReceived: y\nSubject: =?utf-8?Q?=C3=BC?=\nMessage-ID: <m@example.com>\n\nbody\n",
  );
  const { steps } = await runOn(sandbox, octets, [stepOf(script.version, {}, { matchedRecipients: null, ...step })], {
    mail: mailInputOf(octets, { envelope: { from, to } }),
    calls,
  });
  sandbox.unload(script.version);
  return steps[0]!;
}

const worker = (body: string, more = "") => `export default { async email(message, env, ctx) { ${body} } };\n${more}`;

describe("a whole worker", () => {
  it.each([
    [
      "forwards, rejects and drops by a list",
      "forward-list",
      ["one@example.org", "two@example.org", "other@example.org"],
    ],
    ["parses with postal-mime, counts, and tells a hook", "parse-and-post", ["one@example.org"]],
    ["answers with a message of its own", "auto-reply", ["desk@example.org"]],
  ])("%s", async (_why, name, to) => {
    const script = await compileScript({ root: fixtures, file: `${name}.ts`, packages: ["postal-mime"] });
    await sandbox.load(script, defaultLimits);
    const octets = messageOf(await readFile(join(fixtures, `${name}.eml`), "utf8"));
    const server = fakeServer();
    const { steps } = await runOn(
      sandbox,
      octets,
      [
        stepOf(
          script.version,
          {},
          { matchedRecipients: null, seed: "00112233445566778899aabbccddeeff", clock: 1_700_000_000_000 },
        ),
      ],
      { mail: mailInputOf(octets, { envelope: { from: "ann@example.com", to } }), calls: server.calls },
    );
    const { effects, verdict, fault, log } = steps[0]!;
    const submissions = effects.submissions?.map((one) => ({
      ...one,
      id: "*",
      octets: one.octets && Buffer.from(one.octets).toString(),
    }));
    const told = JSON.parse(
      JSON.stringify({
        fault,
        verdict,
        effects: { ...effects, ...(submissions ? { submissions } : {}) },
        log: log.map(({ level, text }) => `${level} ${text}`),
        asked: server.asked,
      }),
    ) as object;
    expect(told).toEqual(JSON.parse(await readFile(join(fixtures, `${name}.expected.json`), "utf8")));
  });
});

describe("what a worker's calls mean", () => {
  const both = ["one@example.org", "two@example.org"];

  const rows: readonly (readonly [
    why: string,
    body: string,
    to: readonly string[],
    effects: object,
    verdict?: object,
  ])[] = [
    ["nothing done drops the recipient", "", ["one@example.org"], { to: [] }],
    ["forward to itself keeps it", "await message.forward(message.to);", both, {}],
    [
      "forward to others",
      'await message.forward("a@example.com"); await message.forward("b@example.com");',
      ["one@example.org"],
      { to: ["a@example.com", "b@example.com"] },
    ],
    [
      "only one of two is dropped",
      'if (message.to.startsWith("two")) await message.forward(message.to);',
      both,
      { to: ["two@example.org"] },
    ],
    [
      "one of two is rejected",
      'message.to.startsWith("one") ? message.setReject("no\\r\\nway\\0") : await message.forward(message.to);',
      both,
      {
        to: ["two@example.org"],
        refusals: [{ recipient: "one@example.org", code: 550, status: "5.7.1", text: "no  way" }],
      },
    ],
    [
      "a rejection outweighs a forward",
      'await message.forward("a@example.com"); message.setReject("no");',
      ["one@example.org"],
      {},
      { kind: "refuse", text: "no" },
    ],
    [
      "all of them rejected",
      'message.setReject("no " + message.to);',
      both,
      {},
      { kind: "refuse", text: "no one@example.org" },
    ],
    [
      "a rejection without words",
      'message.setReject("");',
      ["one@example.org"],
      {},
      { kind: "refuse", text: "Rejected" },
    ],
    [
      "a rejection of 481 octets is cut",
      'message.setReject("x".repeat(481));',
      ["one@example.org"],
      {},
      { kind: "refuse", text: "x".repeat(480) },
    ],
    ["passThroughOnException", "ctx.passThroughOnException(); throw new Error('x');", both, {}],
    [
      "waitUntil is waited for",
      'ctx.waitUntil((async () => { await null; await message.forward("a@example.com"); })());',
      ["one@example.org"],
      { to: ["a@example.com"] },
    ],
  ];

  it.each(
    rows.map(([why, body, to, effects, verdict = { kind: "proceed" }]) => [why, body, to, effects, verdict] as const),
  )("%s", async (_why, body, to, effects, verdict) => {
    const result = await runWorker(worker(body), { to: [...to] });
    expect(result.fault).toBeNull();
    expect(result.effects).toEqual(effects);
    expect(result.verdict).toMatchObject(verdict);
  });

  it("shows the message as it stands", async () => {
    const body = `console.log(JSON.stringify([message.from, message.to, message.headers.get("subject"), message.headers.get("received"),
      message.headers.has("x"), message.rawSize, message.canBeForwarded, (await new Response(message.raw).text()).slice(-6),
      message.headers instanceof Headers, message.raw.locked]));`;
    const { log, fault } = await runWorker(worker(body), { from: null });
    expect(fault).toBeNull();
    expect(JSON.parse(log[0]!.text)).toEqual([
      "",
      "one@example.org",
      "=?utf-8?Q?=C3=BC?=",
      "x, y",
      false,
      113,
      true,
      "body\r\n",
      true,
      true,
    ]);
  });

  it("reads the message once for each recipient, and by every way", async () => {
    const body = `const reader = message.raw.getReader(); let octets = 0;
      for (;;) { const { done, value } = await reader.read(); if (done) break; octets += value.length; }
      console.log(octets);`;
    const { log } = await runWorker(worker(body), { to: both });
    expect(log.map(({ text }) => text)).toEqual(["113", "113"]);
  });

  it.each([
    ["throws", "throw new RangeError('x');", "script.threw", "RangeError: x"],
    ["changes a header of the message", 'message.headers.set("a", "b");', "script.threw", "can only be read"],
    ["forwards to no address", 'await message.forward("nobody");', "script.action-invalid", "forward"],
    [
      "replies to somebody else",
      'await message.reply({ from: message.to, to: "other@example.com", raw: "x" });',
      "script.threw",
      "nobody else",
    ],
    ["replies with nothing", "await message.reply({});", "script.threw", "EmailMessage"],
    [
      "replies twice",
      'const m = { from: message.to, to: message.from, raw: "Subject: x" }; await message.reply(m); await message.reply(m);',
      "script.threw",
      "once",
    ],
  ])("is a fault where it %s", async (_why, body, code, words) => {
    const { fault, effects } = await runWorker(worker(body));
    expect(fault).toMatchObject({ code, message: expect.stringContaining(words) as string });
    expect(effects).toEqual({});
  });

  it("answers nobody who should not be answered", async () => {
    const body =
      'await message.reply({ from: message.to, to: "ann@example.com", raw: "Subject: x" }).catch((e) => console.log(e.message)); await message.forward(message.to);';
    const { log, effects } = await runWorker(worker(body), { from: null });
    expect(log[0]!.text).toContain("null reverse-path");
    expect(effects).toEqual({});
  });

  it("does nothing twice where it looks inside the message late", async () => {
    const server = fakeServer();
    const body = `await fetch("https://hook.example.org/", { method: "POST", body: "x" });
      console.log((await new Response(message.raw).text()).length);`;
    const { log, fault } = await runWorker(worker(body), { calls: server.calls });
    expect(fault).toBeNull();
    expect(log).toHaveLength(1);
    expect(server.asked).toHaveLength(1);
  });

  it("logs what waitUntil was given and was rejected", async () => {
    const { log, fault } = await runWorker(worker("ctx.waitUntil(Promise.reject(new Error('lost')));"));
    expect(fault).toBeNull();
    expect(log).toMatchObject([{ level: "warn", text: expect.stringContaining("lost") as string }]);
  });
});

describe("env", () => {
  it("is what the script exports, with the properties of the binding over it", async () => {
    const text = worker("console.log(JSON.stringify(env));", 'export const env = { A: "1", B: { x: 1 }, C: [2] };');
    const { log } = await runWorker(text, { step: { properties: { A: "2", D: true } } });
    expect(JSON.parse(log[0]!.text)).toEqual({ A: "2", B: { x: 1 }, C: [2], D: true });
  });

  it("has stores in the shape of Workers KV", async () => {
    const server = fakeServer();
    const body = `const { N } = env; const seen = [];
      seen.push(await N.get("a"));
      await N.put("a", "text"); await N.put("b", JSON.stringify({ x: 1 }), { metadata: { m: 1 } }); await N.put("c", new Uint8Array([1, 2, 255]));
      seen.push(await N.get("a"), await N.get("b", "json"), await N.get("b", { type: "json" }), await N.getWithMetadata("b"));
      seen.push([...new Uint8Array(await N.get("c", "arrayBuffer"))], await new Response(await N.get("a", "stream")).text());
      seen.push(await N.list(), await N.list({ prefix: "b" }), await N.list({ limit: 2 }));
      seen.push(await N.list({ limit: 2, cursor: (await N.list({ limit: 2 })).cursor }));
      await N.delete("a"); seen.push(await N.get("a"));
      seen.push(await N.put("d", "x", { expirationTtl: 59 }).catch((e) => e.message), await N.get("a", "blob").catch((e) => e.name));
      console.log(JSON.stringify(seen));`;
    const { log, fault } = await runWorker(worker(body, 'export const env = { N: { kv: "n" } };'), {
      calls: server.calls,
    });
    expect(fault).toBeNull();
    const kept = { value: '{"x":1}', metadata: { m: 1 }, cacheStatus: null };
    const keys = (...names: string[]) => names.map((name) => ({ name }));
    expect(JSON.parse(log[0]!.text)).toEqual([
      null,
      "text",
      { x: 1 },
      { x: 1 },
      kept,
      [1, 2, 255],
      "text",
      { keys: keys("a", "b", "c"), list_complete: true, cacheStatus: null },
      { keys: keys("b"), list_complete: true, cacheStatus: null },
      { keys: keys("a", "b"), list_complete: false, cursor: "n:b", cacheStatus: null },
      { keys: keys("c"), list_complete: true, cacheStatus: null },
      null,
      "A value lives for 60 seconds at least",
      "TypeError",
    ]);
    expect([...server.store.keys()]).toEqual(["n:b", "n:c"]);
  });

  it("sends messages of one's own, in any shape", async () => {
    const body = `const raw = "From: a@example.org\\nBcc: secret@example.org\\nSubject: one\\n two\\n\\nline\\n.";
      for (const shape of [raw, new TextEncoder().encode(raw), new Blob([raw]).stream()]) await env.MAIL.send(new EmailMessage("a@example.org", "b@example.org", shape));`;
    const text = `import { EmailMessage } from "cloudflare:email";\n${worker(body, "export const env = { MAIL: { sendEmail: true } };")}`;
    const { effects, fault } = await runWorker(text);
    expect(fault).toBeNull();
    expect(effects.submissions).toHaveLength(3);
    for (const submission of effects.submissions!) {
      expect(submission).toMatchObject({
        kind: "submit",
        from: "a@example.org",
        to: ["b@example.org"],
        fields: [
          ["From", "a@example.org"],
          ["Subject", "one two"],
          ["Auto-Submitted", "auto-generated"],
        ],
      });
      expect(Buffer.from(submission.octets!).toString()).toBe("line\r\n.\r\n");
    }
  });
});
