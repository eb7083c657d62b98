/** Scripts that ask the server while they run: they wait in their isolate, others go on, and what was asked is asked once. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { Sandbox } from "../../../sandbox/host.ts";
import type { HostCalls } from "../../../sandbox/host-call.ts";
import { takenMax } from "../../../sandbox/isolate-cache.ts";
import type { RunStep, SandboxNotice, ScriptLimits } from "../../../sandbox/protocol.ts";
import { createFakeCalls, laterAnswer } from "../../support/fake-calls.ts";
import { createScriptFolder, messageOf, runOn, type ScriptFolder, stepOf } from "../../support/scripts.ts";

const message = messageOf("From: a@example.com\nSubject: hello\n\nThe text\n");

let folder: ScriptFolder;
let sandbox: Sandbox;
const notices: SandboxNotice[] = [];
beforeAll(async () => {
  folder = await createScriptFolder();
  sandbox = await Sandbox.start({ processes: 1, onNotice: (notice) => notices.push(notice) });
});
afterAll(async () => {
  await sandbox.close();
  await stopCompiler();
  await folder.remove();
});

/** A script in the sandbox; `run` runs it, and gives its step. `kills` are the processes that have ended since. */
async function startWith(body: string, head = "") {
  const script = await folder.compile(
    `${head}\nexport const onArrival = async (mail: any, { http, dns, kv, secrets, properties, log }: any) => {\n${body}\n};`,
  );
  await sandbox.load(script);
  const run = async (calls: HostCalls, limits: Partial<ScriptLimits> = {}, change: Partial<RunStep> = {}) =>
    (await runOn(sandbox, message, [stepOf(script.version, limits, change)], { calls })).steps[0]!;
  const pid = () => notices.findLast(({ kind }) => kind === "started")!.pid;
  const before = notices.length;
  const kills = () => notices.slice(before).filter(({ kind }) => kind !== "started").length;
  return { script, run, pid, kills };
}

const logged = (step: { readonly log: readonly { readonly text: string }[] }) => step.log.map(({ text }) => text);

describe("A call of a script", () => {
  it("is answered, and the run carries on", async () => {
    const { run } = await startWith('mail.subject = [await kv.get("a"), await kv.get("b")].join(" ");');
    const calls = createFakeCalls();
    const step = await run(calls, {}, { grants: { kv: true } });
    expect(step).toMatchObject({ fault: null, effects: { fields: [0, ["Subject", "0 1"]] } });
    expect(calls.asked.map(({ question }) => question)).toEqual([
      { kind: "kv.get", key: "a" },
      { kind: "kv.get", key: "b" },
    ]);
    expect(calls.asked[0]!.asker).toMatchObject({ bindingId: "b-1", step: 0, grants: { kv: true } });
    expect(calls.asked[0]!.asker.script).toMatch(/^scripts\/script-\d+\.ts$/);
    expect(calls.asked[1]!.asker).toBe(calls.asked[0]!.asker);
  });

  it.each<[why: string, body: string, question: object, sent: string | null]>([
    [
      "http.get",
      'await http.get("https://a.example/x", { headers: { "X-A": 1 } });',
      {
        kind: "http",
        method: "GET",
        url: "https://a.example/x",
        headers: [["x-a", "1"]],
        hasBody: false,
        timeoutMs: null,
        follow: true,
      },
      null,
    ],
    [
      "http.post of an object",
      'await http.post("https://a.example", { a: "ä" }, { timeout: 250, follow: false });',
      {
        kind: "http",
        method: "POST",
        headers: [["content-type", "application/json"]],
        hasBody: true,
        timeoutMs: 250,
        follow: false,
      },
      '{"a":"ä"}',
    ],
    [
      "http.post of a text, with its own type",
      'await http.post("https://a.example", "x", { headers: { "Content-Type": "text/csv" } });',
      { headers: [["content-type", "text/csv"]], hasBody: true },
      "x",
    ],
    [
      "http.request of octets",
      'await http.request("put", "https://a.example", { body: new Uint8Array([65, 66]) });',
      { method: "PUT", headers: [], hasBody: true },
      "AB",
    ],
    [
      "a body in several pieces",
      'await http.post("https://a.example", "€".repeat(3_000_000));',
      { hasBody: true },
      "€".repeat(3_000_000),
    ],
    ["an empty body", 'await http.post("https://a.example", "");', { hasBody: true }, ""],
    ["dns.mx", 'await dns.mx("example.org");', { kind: "dns", type: "MX", name: "example.org" }, null],
    [
      "dns.listed",
      'await dns.listed("zen.example.org", "192.0.2.1");',
      { kind: "dns.listed", list: "zen.example.org", subject: "192.0.2.1" },
      null,
    ],
    [
      "kv.set",
      'await kv.set("k", { a: [1, null] }, { ttl: 1.5 });',
      { kind: "kv.set", key: "k", value: { a: [1, null] }, ttlS: 1.5, ifAbsent: false },
      null,
    ],
    [
      "kv.setIfAbsent",
      'await kv.setIfAbsent("k", true);',
      { kind: "kv.set", key: "k", value: true, ttlS: null, ifAbsent: true },
      null,
    ],
    ["kv.delete", 'await kv.delete("k");', { kind: "kv.delete", key: "k" }, null],
    ["kv.increment", 'await kv.increment("k");', { kind: "kv.increment", key: "k", by: 1, ttlS: null }, null],
    [
      "kv.list",
      'await kv.list("k", { limit: 5, after: "ka" });',
      { kind: "kv.list", prefix: "k", limit: 5, after: "ka" },
      null,
    ],
    ["secrets.get", 'await secrets.get("token");', { kind: "secret", name: "token" }, null],
  ])("says what it is about: %s", async (_why, body, question, sent) => {
    const { run } = await startWith(body);
    const calls = createFakeCalls(() => ({
      ok: true,
      value: { status: 204, url: "", redirected: false, headers: [] },
    }));
    expect((await run(calls)).fault).toBeNull();
    expect(calls.asked).toHaveLength(1);
    expect(calls.asked[0]!.question).toMatchObject(question);
    expect(calls.asked[0]!.body).toBe(sent);
  });

  it("shows an answer of HTTP, whatever its status", async () => {
    const { run } = await startWith(
      `const r = await http.get("https://a.example");
       log.info(r.status, r.ok, r.url, r.headers.get("X-A"), r.headers.has("x-b"), await r.json(), await r.text(), (await r.bytes()).length);`,
    );
    const calls = createFakeCalls(() => ({
      ok: true,
      value: { status: 404, url: "https://b.example/", redirected: true, headers: [["x-a", "1, 2"]] },
      body: Buffer.from('\ufeff{"a":"ä"}'),
    }));
    expect(logged(await run(calls))).toEqual(['404 false https://b.example/ 1, 2 false {"a":"ä"} {"a":"ä"} 13']);
  });

  it("rejects with a code and the place of the call where there is no answer", async () => {
    const { run } = await startWith(
      'try { await http.get("https://a.example"); } catch (e) { log.info(e.name, e.code, e.message, e instanceof Error, /guest:/.test(e.stack)); }\nawait dns.a("b.example");',
    );
    const calls = createFakeCalls(() => ({ ok: false, code: "refused", message: "nobody there" }));
    const step = await run(calls);
    expect(logged(step)).toEqual(["HttpError refused nobody there true false"]);
    expect(step.fault).toMatchObject({ code: "script.threw", message: "DnsError: nobody there" });
    expect(step.fault!.at).toMatch(/^scripts\/script-\d+\.ts:4:\d+$/);
  });

  it("ends the run where it is not granted, whatever the script does about it", async () => {
    const { run } = await startWith(
      'try { await kv.get("a"); } catch {} finally { mail.subject = "x"; log.info("still here"); }',
    );
    const calls = createFakeCalls(() => ({
      ok: false,
      code: "not-granted",
      message: "kv is not granted",
      fatal: "grant.missing",
    }));
    const step = await run(calls);
    expect(step).toMatchObject({
      effects: {},
      log: [],
      fault: { code: "grant.missing", message: "kv is not granted" },
    });
    expect(step.fault!.at).toMatch(/^scripts\/script-\d+\.ts:3:/);
  });

  it.each([
    ["no URL fits in a field", 'await http.get("https://a.example", { headers: { a: "1\\r\\nB: 2" } });'],
    ["a name with a space", 'await http.get("https://a.example", { headers: { "a b": "1" } });'],
    ["a method that is none", 'await http.request("GET /", "https://a.example");'],
    ["a body that is none", 'await http.post("https://a.example", 5);'],
    ["a timeout that is none", 'await http.get("https://a.example", { timeout: -1 });'],
    ["an empty key", 'await kv.get("");'],
    ["a key that is no text", "await kv.get(5);"],
    ["a key of 513 octets", 'await kv.get("ä".repeat(256) + "b");'],
    ["a value that is none", 'await kv.set("a", () => {});'],
    ["a value of 65,537 octets", 'await kv.set("a", "x".repeat(65_535));'],
    ["a value that is too deep", 'await kv.set("a", JSON.parse("[".repeat(101) + "]".repeat(101)));'],
    ["a ttl of 0", 'await kv.set("a", 1, { ttl: 0 });'],
    ["half a limit", 'await kv.list("a", { limit: 1.5 });'],
    ["too many keys", 'await kv.list("a", { limit: 1_001 });'],
    ["a name with a line end", 'await dns.a("a\\n");'],
    ["no function", 'setTimeout("mail", 1);'],
  ])("is not asked with %s", async (_why, body) => {
    const { run, kills } = await startWith(body);
    const calls = createFakeCalls();
    expect((await run(calls)).fault).toMatchObject({
      code: "script.threw",
      message: expect.stringMatching(/^(?:Type|Range)Error: /),
    });
    expect(calls.asked).toEqual([]);
    expect(kills()).toBe(0);
  });

  it("is asked with the longest keys and values there may be", async () => {
    const { run } = await startWith(
      'await kv.set("ä".repeat(256), "x".repeat(65_534)); await kv.set("a", JSON.parse("[".repeat(100) + "]".repeat(100)));',
    );
    const calls = createFakeCalls();
    expect((await run(calls)).fault).toBeNull();
    expect(calls.asked).toHaveLength(2);
  });

  it("counts: as many as there may be, and not one more", async () => {
    const { run } = await startWith('for (let i = 0; i < properties.n; i++) await kv.get("a");');
    const most = createFakeCalls();
    expect((await run(most, { callsMax: 3 }, { properties: { n: 3 } })).fault).toBeNull();
    expect(most.asked).toHaveLength(3);
    const more = createFakeCalls();
    expect((await run(more, { callsMax: 3 }, { properties: { n: 4 } })).fault).toMatchObject({ code: "grant.limit" });
    expect(more.asked).toHaveLength(3);
  });

  it("is refused in ten thousand at once, and hurts nobody", async () => {
    const { run, kills } = await startWith('await Promise.all(Array.from({ length: 10_000 }, () => kv.get("a")));');
    expect((await run(createFakeCalls())).fault).toMatchObject({ code: "grant.limit" });
    expect((await run(createFakeCalls())).fault).toMatchObject({ code: "grant.limit" });
    expect(kills()).toBe(0);
  });

  it("does not work at the top level, nor after its run", async () => {
    const { run } = await startWith(
      `try { await old?.kv.get("a").catch((e: any) => log.info(e.message.slice(0, 26))); setTimeout(() => {}, 1); } catch (e) { log.info(e.message); }
       old = { kv };`,
      "let old: any; let early = ''; try { setTimeout(() => {}, 1); } catch (e) { early = e.message; }\nexport const enabled = early.startsWith('setTimeout is there within a handler only');",
    );
    expect(logged(await run(createFakeCalls()))).toEqual([]);
    expect(logged(await run(createFakeCalls()))).toEqual(["This mail's run is over: w"]);
  });

  it("is not waited for where the script does not", async () => {
    const { run } = await startWith('kv.get("a"); mail.subject = "x";');
    const calls = createFakeCalls(
      (_question, signal) =>
        new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error()))).catch(() => ({
          ok: false,
          code: "aborted",
          message: "",
        })) as never,
    );
    expect(await run(calls)).toMatchObject({ fault: null, effects: { fields: [0, ["Subject", "x"]] } });
    expect(calls.asked).toEqual([]);
  });

  it("is given up by a signal", async () => {
    const { run } = await startWith(
      `const stop: any = { aborted: false, reason: new Error("enough"), addEventListener: (_: string, f: any) => { stop.fire = f; } };
       const asked = http.get("https://a.example", { signal: stop });
       setTimeout(() => stop.fire(), 5);
       try { await asked; } catch (e) { log.info(e.message); }
       await kv.get("b");`,
    );
    const given = vi.fn();
    const calls = createFakeCalls((question, signal) =>
      question.kind === "http"
        ? new Promise((resolve) => {
            signal.addEventListener("abort", () => {
              given();
              resolve({ ok: false, code: "aborted", message: "" });
            });
          })
        : { ok: true, value: null },
    );
    const step = await run(calls);
    expect(step.fault).toBeNull();
    expect(logged(step)).toEqual(["enough"]);
    expect(given).toHaveBeenCalledTimes(1);
  });

  it("leaves a promise of another kind as dead as it was", async () => {
    const { run } = await startWith('await kv.get("a"); await new Promise(() => {});');
    expect((await run(createFakeCalls())).fault).toMatchObject({ code: "script.never-settled" });
  });
});

describe("A run that waits", () => {
  it("lets others go on in between, of its own script and of others", async () => {
    const { run } = await startWith('mail.subject = String(await kv.get("a"));');
    const other = await folder.compile('export const onArrival = (mail) => { mail.subject = "quick"; };');
    await sandbox.load(other);
    const later = [laterAnswer(), laterAnswer()];
    let asked = 0;
    const both = Promise.withResolvers<void>();
    const calls = createFakeCalls(() => {
      if (++asked === 2) both.resolve();
      return later[asked - 1]!.promise;
    });
    const runs = [run(calls), run(calls)];
    await both.promise;
    const { steps } = await runOn(sandbox, message, [stepOf(other.version)]);
    expect(steps[0]).toMatchObject({ effects: { fields: [0, ["Subject", "quick"]] } });
    later[1]!.give("second");
    expect(await runs[1]).toMatchObject({ effects: { fields: [0, ["Subject", "second"]] } });
    later[0]!.give("first");
    expect(await runs[0]).toMatchObject({ effects: { fields: [0, ["Subject", "first"]] } });
  });

  it("waits for its turn where too many of its script wait already", async () => {
    const { run, kills } = await startWith('mail.subject = String(await kv.get("a"));');
    const later = laterAnswer();
    let asked = 0;
    const full = Promise.withResolvers<void>();
    const calls = createFakeCalls(() => {
      if (++asked === takenMax) full.resolve();
      return later.promise;
    });
    const runs = Array.from({ length: takenMax + 3 }, () => run(calls));
    await full.promise;
    const quick = await Promise.race([run(createFakeCalls()).then(() => "done"), Promise.resolve("waits")]);
    expect([quick, asked]).toEqual(["waits", takenMax]);
    later.give("x");
    for (const step of await Promise.all(runs)) expect(step).toMatchObject({ fault: null });
    expect(asked).toBe(takenMax + 3);
    expect(kills()).toBe(0);
  });

  it("is dropped at the end of its time, told what it waited for, and nothing is killed", async () => {
    const { run, kills } = await startWith('await http.get("https://directory.example.org/x?y=z");');
    const calls = createFakeCalls(() => new Promise(() => {}));
    const step = await run(calls, { wallMs: 60 });
    expect(step).toMatchObject({
      effects: {},
      fault: {
        code: "script.wall-limit",
        message: "The script was not done after 60 ms: it was waiting for http https://directory.example.org",
      },
    });
    expect(calls.asked[0]!.signal.aborted).toBe(true);
    expect((await run(createFakeCalls(() => ({ ok: false, code: "x", message: "y" })))).fault?.code).toBe(
      "script.threw",
    );
    expect(kills()).toBe(0);
  });

  it("computes no longer than it may, in all its parts together", async () => {
    const { run, kills } = await startWith(
      'for (let i = 0; i < 40; i++) { await kv.get("a"); let x = 0; for (let j = 0; j < 1e6; j++) x += j; }',
    );
    expect((await run(createFakeCalls(), { cpuMs: 15 })).fault).toMatchObject({ code: "script.cpu-limit" });
    expect((await run(createFakeCalls(), { cpuMs: 10_000, wallMs: 15_000 })).fault).toBeNull();
    expect(kills()).toBe(0);
  });

  it("is stopped where it computes for ever behind an answer", async () => {
    const { run, kills } = await startWith('await kv.get("a"); for (;;);');
    expect((await run(createFakeCalls(), { cpuMs: 50 })).fault).toMatchObject({ code: "script.cpu-limit" });
    expect(kills()).toBe(0);
  });

  it("asks nothing twice where it is begun anew for octets it misses", async () => {
    const { run } = await startWith(
      'const [a, b] = await Promise.all([kv.increment("a"), kv.increment("b")]); mail.subject = [a, b, (await mail.text()).trim(), await kv.increment("a")].join(" ");',
    );
    const calls = createFakeCalls();
    expect(await run(calls)).toMatchObject({ fault: null, effects: { fields: [0, ["Subject", "0 1 The text 2"]] } });
    expect(calls.asked).toHaveLength(3);
  });

  it("asks nothing twice where its process dies: the next one hears the same", async () => {
    const { run, pid } = await startWith(
      'const first = await kv.increment("a"); const t = Date.now() + Math.random(); const second = await kv.increment("b"); mail.subject = [first, second, t === Date.now()].join(" "); log.info(t);',
    );
    const later = laterAnswer();
    const asked = Promise.withResolvers<void>();
    const calls = createFakeCalls((question) => {
      if (question.kind === "kv.increment" && question.key === "a") return { ok: true, value: 7 };
      asked.resolve();
      return later.promise;
    });
    const running = run(calls);
    await asked.promise;
    process.kill(pid(), "SIGKILL");
    later.give("late");
    expect(await running).toMatchObject({ fault: null, effects: { fields: [0, ["Subject", "7 late false"]] } });
    expect(calls.asked).toHaveLength(2);
  });

  it("does not take its wall limit from a script beside it in the chain", async () => {
    const { script } = await startWith('await kv.get("a"); mail.subject += "!";');
    const calls = createFakeCalls((_question) => ({ ok: true, value: 1 }));
    const { steps } = await runOn(
      sandbox,
      message,
      [stepOf(script.version), stepOf(script.version, {}, { bindingId: "b-2" })],
      { calls },
    );
    expect(steps.map(({ effects }) => effects.fields)).toEqual([
      [0, ["Subject", "hello!"]],
      [0, ["Subject", "hello!!"]],
    ]);
    expect(calls.asked.map(({ asker }) => [asker.bindingId, asker.step])).toEqual([
      ["b-1", 0],
      ["b-2", 1],
    ]);
  });

  it("runs the steps before one that was dropped again, and asks nothing for them", async () => {
    const { script } = await startWith(
      'if (mail.subject === "hello") { await kv.get("a"); mail.subject = "x"; } else await kv.get("b");',
    );
    const calls = createFakeCalls((question) =>
      question.kind === "kv.get" && question.key === "a" ? { ok: true, value: 1 } : new Promise(() => {}),
    );
    const { steps } = await runOn(sandbox, message, [stepOf(script.version), stepOf(script.version, { wallMs: 50 })], {
      calls,
    });
    expect(steps.map(({ fault }) => fault?.code ?? null)).toEqual([null, "script.wall-limit"]);
    expect(steps[0]!.effects).toEqual({ fields: [0, ["Subject", "x"]] });
    expect(calls.asked).toHaveLength(2);
  });
});
