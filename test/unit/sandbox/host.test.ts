/** The server's side of the sandbox: processes that break in every way, and what the server then does. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { Sandbox, type SandboxOptions } from "../../../sandbox/host.ts";
import { noCalls } from "../../../sandbox/host-call.ts";
import { type CompiledScript, defaultLimits, type SandboxNotice, ScriptFaultError } from "../../../sandbox/protocol.ts";
import { createScriptFolder, mailInputOf, messageOf, runOn, type ScriptFolder, stepOf } from "../../support/scripts.ts";

const message = messageOf("From: a@example.com\nSubject: hello\n\nThe text\n");
const limits = { ...defaultLimits, wallMs: 2_000 };

let folder: ScriptFolder;
let place: string;
const open: Sandbox[] = [];
beforeAll(async () => {
  folder = await createScriptFolder();
  place = await mkdtemp(join(tmpdir(), "onarrival-child-"));
});
afterEach(() => Promise.all(open.splice(0).map((sandbox) => sandbox.close())));
afterAll(async () => {
  await stopCompiler();
  await folder.remove();
  await rm(place, { recursive: true });
});

async function start(
  options: Partial<SandboxOptions> = {},
): Promise<{ readonly sandbox: Sandbox; readonly notices: SandboxNotice[]; pid(): number }> {
  const notices: SandboxNotice[] = [];
  const sandbox = await Sandbox.start({ processes: 1, ...options, onNotice: (notice) => notices.push(notice) });
  open.push(sandbox);
  return { sandbox, notices, pid: () => notices.findLast(({ kind }) => kind === "started")!.pid };
}

async function startWith(text: string, options: Partial<SandboxOptions> = {}) {
  const script = await folder.compile(text);
  const started = await start(options);
  await started.sandbox.load(script, { ...limits, ...options.limits });
  return { ...started, script };
}

const subject = 'export const onArrival = (mail) => { mail.subject = "seen"; };';
const seen = { fault: null, effects: { fields: [0, ["Subject", "seen"]] } };

describe("Sandbox", () => {
  it("loads a script into every process, tells its exports, and runs it", async () => {
    const script = await folder.compile(
      'export const rule = "SIZE > 1"; export const priority = 32767; export const onFault = "refuse"; export const enabled = false; export const onArrival = () => {};',
    );
    const { sandbox, notices } = await start({ processes: 2 });
    expect(notices.map(({ kind }) => kind)).toEqual(["started", "started"]);
    expect(await sandbox.load(script)).toEqual({
      handlers: ["onArrival"],
      rule: "SIZE > 1",
      priority: 32_767,
      onFault: "refuse",
      enabled: false,
    });
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => runOn(sandbox, message, [stepOf(script.version)])),
    );
    expect(answers.every(({ steps }) => steps[0]!.fault === null)).toBe(true);
  });

  it.each([
    ["no handler", "export const x = 1;", "exports no handler"],
    ["a misspelt handler", "export const onarrival = () => {};", "did you mean onArrival?"],
    [
      "a handler of another event",
      "export const onArrival = () => {}; export const onCommand = () => {};",
      "onCommand",
    ],
    ["a handler that is no function", "export const onArrival = 1;", "onArrival is a function, not a number"],
    ["a rule that is no text", "export const rule = []; export const onArrival = () => {};", "not an array"],
    [
      "a priority above the last",
      "export const priority = 32768; export const onArrival = () => {};",
      "0 to 32767, not 32768",
    ],
    ["a priority below the first", "export const priority = -1; export const onArrival = () => {};", "not -1"],
    ["half a priority", "export const priority = 1.5; export const onArrival = () => {};", "not 1.5"],
    [
      "an onFault nobody knows",
      'export const onFault = "ignore"; export const onArrival = () => {};',
      '"defer", "proceed"',
    ],
    ["an enabled that is a text", 'export const enabled = "no"; export const onArrival = () => {};', "true or false"],
    ["grants nobody knows", "export const grants = { disk: true }; export const onArrival = () => {};", "disk"],
    ["split", "export const split = true; export const onArrival = () => {};", "not supported by this version"],
    [
      "a worker and a handler of the same event",
      "export default { async email() {} }; export const onArrival = () => {};",
      "onArrival",
    ],
    ["another default export", "export default () => {};", "export const onArrival"],
  ])("refuses exports: %s", async (_why, text, words) => {
    const { sandbox } = await shared();
    const thrown = await sandbox.load(await folder.compile(text)).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(ScriptFaultError);
    expect((thrown as ScriptFaultError).fault).toMatchObject({
      code: "script.exports",
      message: expect.stringContaining(words),
    });
  });

  it("tells where a top level throws or never ends", async () => {
    const { sandbox } = await shared();
    const throwing = await folder.compile(
      "const x: any = null;\nx.y;\nexport const onArrival = () => {};",
      "throwing.ts",
    );
    await expect(sandbox.load(throwing)).rejects.toMatchObject({
      fault: {
        code: "script.load",
        at: "scripts/throwing.ts:2:3",
        message: "TypeError: Cannot read properties of null (reading 'y')",
      },
    });
    const looping = await folder.compile(
      "function f() {\n  for (;;);\n}\nf();\nexport const onArrival = () => {};",
      "looping.ts",
    );
    await expect(sandbox.load(looping)).rejects.toMatchObject({
      fault: { code: "script.cpu-limit", at: expect.stringMatching(/^scripts\/looping\.ts:2:\d+$/) },
    });
  });

  it("asks for octets only when a script looks, and sends them at once to one that looked before", async () => {
    const { sandbox, script } = await startWith(
      'export const onArrival = (mail) => { if (mail.subject === "hello") mail.attachments; };',
    );
    const other = messageOf("Subject: other\n\nx\n");
    const asked = vi.fn(async () => message);
    await runOn(sandbox, other, [stepOf(script.version)], { octets: asked });
    expect(asked).toHaveBeenCalledTimes(0);
    await runOn(sandbox, message, [stepOf(script.version)], { octets: asked });
    expect(asked).toHaveBeenCalledTimes(1);
    for (let i = 0; i < 4; i++) await runOn(sandbox, other, [stepOf(script.version)], { octets: asked });
    expect(asked).toHaveBeenCalledTimes(5);
    await runOn(sandbox, other, [stepOf(script.version)], { octets: asked });
    expect(asked).toHaveBeenCalledTimes(5);
  });

  it("rejects with what the octets rejected with, and goes on", async () => {
    const { sandbox, script } = await startWith("export const onArrival = (mail) => { mail.attachments; };");
    const octets = () => Promise.reject(new Error("disk gone"));
    await expect(runOn(sandbox, message, [stepOf(script.version)], { octets })).rejects.toThrow("disk gone");
    expect((await runOn(sandbox, message, [stepOf(script.version)])).steps[0]!.fault).toBeNull();
    await expect(runOn(sandbox, message, [stepOf(script.version)], { octets })).rejects.toThrow("disk gone");
  });

  it("rejects runs after it was closed, and those that were not done", async () => {
    const { sandbox, script } = await startWith("export const onArrival = () => { for (;;); };");
    const running = runOn(sandbox, message, [stepOf(script.version, { cpuMs: 2_000 })]);
    await Promise.all([expect(running).rejects.toThrow("closed"), sandbox.close()]);
    await expect(runOn(sandbox, message, [stepOf(script.version)])).rejects.toThrow("closed");
    await expect(sandbox.load(script)).rejects.toThrow("closed");
  });

  it("gives no results for no steps", async () => {
    const { sandbox } = await shared();
    expect(await runOn(sandbox, message, [])).toEqual({ steps: [] });
  });

  it("lets each step see what those before it changed", async () => {
    const { sandbox, script } = await startWith(
      'export const onArrival = (mail) => { mail.subject += "!"; mail.envelope.add("n" + mail.envelope.to.length + "@example.net"); mail.envelope.from = null; };',
    );
    const { steps } = await runOn(sandbox, message, [stepOf(script.version), stepOf(script.version)]);
    expect(steps.map(({ effects }) => effects)).toEqual([
      { from: null, to: ["one@example.org", "two@example.org", "n2@example.net"], fields: [0, ["Subject", "hello!"]] },
      {
        from: null,
        to: ["one@example.org", "two@example.org", "n2@example.net", "n3@example.net"],
        fields: [0, ["Subject", "hello!!"]],
      },
    ]);
  });

  it.each([
    ["a verdict", 'mail.refuse("no");', false, 1],
    ["settle", "mail.settle();", false, 1],
    ["a fault", "throw new Error();", false, 1],
    ["an edit of the body", 'await mail.appendText("x");', false, 1],
    ["a change, where it is told to stop on one", 'mail.subject = "x";', true, 1],
    ["no change, where it is told to stop on one", "", true, 2],
    [
      "a change of fields, where the next one looks inside",
      'if (mail.subject === "hello") mail.subject = "x"; else await mail.text();',
      false,
      1,
    ],
    [
      "a change of recipients, where the next one looks inside",
      'mail.envelope.redirect("a@example.net"); await mail.text();',
      false,
      2,
    ],
  ])("ends behind %s", async (_why, body, stopOnChange, count) => {
    const { sandbox, script } = await startWith(`export const onArrival = async (mail) => { ${body} };`);
    const { steps } = await runOn(sandbox, message, [stepOf(script.version), stepOf(script.version)], { stopOnChange });
    expect(steps).toHaveLength(count);
  });

  it("goes on behind a fault where it is told to", async () => {
    const { sandbox, script } = await startWith("export const onArrival = () => { throw new Error('no'); };");
    const { steps } = await runOn(sandbox, message, [
      stepOf(script.version, {}, { proceedOnFault: true }),
      stepOf(script.version),
    ]);
    expect(steps.map(({ fault }) => fault?.code)).toEqual(["script.threw", "script.threw"]);
  });
});

describe("Sandbox, when a process dies", () => {
  it("repeats what was running, on the next process, with every script loaded", async () => {
    const { sandbox, script, pid, notices } = await startWith(subject);
    const other = await folder.compile(subject);
    await sandbox.load(other);
    const answers = Array.from({ length: 50 }, (_, i) =>
      runOn(sandbox, message, [stepOf(i % 2 ? script.version : other.version)]),
    );
    process.kill(pid(), "SIGKILL");
    for (const { steps } of await Promise.all(answers)) expect(steps[0]).toMatchObject(seen);
    expect(notices.filter(({ kind }) => kind === "died")).toEqual([
      { kind: "died", pid: notices[0]!.pid, reason: "signal SIGKILL" },
    ]);
  });

  it("has another one within a second, again and again", async () => {
    const { sandbox, script, pid } = await startWith(subject);
    // Long enough for the spare process to be there.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    for (let i = 0; i < 2; i++) {
      process.kill(pid(), "SIGKILL");
      const started = performance.now();
      expect((await runOn(sandbox, message, [stepOf(script.version)])).steps[0]).toMatchObject(seen);
      expect(performance.now() - started).toBeLessThan(i === 0 ? 1_000 : 3_000);
    }
  });

  it("kills one that stands still, and blames what it was at", async () => {
    const { sandbox, script, pid, notices } = await startWith(subject);
    process.kill(pid(), "SIGSTOP");
    const answers = await Promise.all(
      [1, 2, 3].map(() => runOn(sandbox, message, [stepOf(script.version, { wallMs: 300 })])),
    );
    expect(answers.map(({ steps }) => steps[0]!.fault?.code ?? "none")).toEqual(["script.wall-limit", "none", "none"]);
    expect(notices.some((notice) => notice.kind === "killed" && notice.reason === "wall-limit")).toBe(true);
  });

  it("kills one that takes too much memory, and blames what it was at", async () => {
    const { sandbox, script, notices } = await startWith(
      "const kept = []; export const onArrival = () => { for (;;) if (kept.length < 400) kept.push(new Uint8Array(1_048_576).fill(1)); };",
      { rssMiBMax: 256, limits: { heapMiB: 1_024 } },
    );
    const { steps } = await runOn(sandbox, message, [stepOf(script.version, { cpuMs: 4_500 })]);
    expect(steps[0]!.fault).toMatchObject({ code: "script.heap-limit" });
    expect(notices.some((notice) => notice.kind === "killed" && notice.reason === "rss-limit")).toBe(true);
  });

  it("leaves no process behind when it is closed", async () => {
    const { sandbox, pid } = await startWith(subject);
    const child = pid();
    await sandbox.close();
    expect(() => process.kill(child, 0)).toThrow("ESRCH");
  });
});

describe("Sandbox process", () => {
  it("has an empty environment, no descriptor but its channel and its errors, and no rights", async () => {
    const { pid } = await startWith(subject);
    const child = pid();
    expect(await readFile(`/proc/${child}/environ`, "latin1")).toBe("");
    const links = await Promise.all(
      (await readdir(`/proc/${child}/fd`)).map(async (fd) => [fd, await readFdLink(child, fd)] as const),
    );
    const odd = links.filter(
      ([fd, link]) => !/^anon_inode:|^pipe:|^socket:|^\/dev\/null$/.test(link) && Number(fd) > 3,
    );
    expect(odd).toEqual([]);
    const args = (await readFile(`/proc/${child}/cmdline`, "latin1")).split("\0");
    expect(args).toContain("--no-node-snapshot");
    expect(args).toContain("--permission");
    expect(args.filter((arg) => /^--allow-(?:fs-write|net|child-process|worker|wasi|inspector)/.test(arg))).toEqual([]);
  });
});

describe("Sandbox beside a process that lies", () => {
  /** A child process of our own making: `answer` is its reaction to each frame, with `frame(head, tail)` and `raw(octets)` to speak. */
  async function fakeChild(answer: string): Promise<string> {
    const file = join(place, `child-${Math.random().toString(36).slice(2)}.mjs`);
    await writeFile(
      file,
      `import { Socket } from "node:net";
       const channel = new Socket({ fd: 3, readable: true, writable: true });
       const raw = (octets) => channel.write(octets);
       const frame = (head, tail = Buffer.alloc(0)) => { const json = Buffer.from(JSON.stringify(head)); const prefix = Buffer.alloc(8); prefix.writeUInt32LE(4 + json.length + tail.length, 0); prefix.writeUInt32LE(json.length, 4); raw(Buffer.concat([prefix, json, tail])); };
       const step = { effects: {}, verdict: { kind: "proceed", settled: false }, log: [], usage: { cpuMs: 0, wallMs: 0, heapKiB: 0 }, fault: null, defects: [], looked: false };
       let pending = Buffer.alloc(0);
       channel.on("data", (chunk) => {
         pending = Buffer.concat([pending, chunk]);
         while (pending.length >= 8 && pending.length >= 4 + pending.readUInt32LE(0)) {
           const head = JSON.parse(pending.toString("utf8", 8, 8 + pending.readUInt32LE(4)));
           pending = pending.subarray(4 + pending.readUInt32LE(0));
           if (head.t === "load") { if (head.warm) frame({ t: "loaded", id: head.id, exports: { handlers: ["onArrival"] }, fault: null }); }
           else if (head.t === "run") { ${answer} }
         }
       });
       channel.on("close", () => process.exit(0));
       frame({ t: "ready" });`,
    );
    return file;
  }

  it.each([
    ["garbage", 'raw("HTTP/1.1 200 OK\\r\\n\\r\\n");', "protocol"],
    ["a frame of four gigabytes", "raw(Buffer.alloc(8, 255));", "protocol"],
    ["an answer to another run", 'frame({ t: "done", id: head.id + 1, steps: [step] });', "protocol"],
    [
      "two answers",
      'frame({ t: "done", id: head.id, steps: [{ ...step, effects: { exec: 1 } }] }); frame({ t: "done", id: head.id, steps: [step] });',
      "protocol",
    ],
    [
      "another kind of answer",
      'frame({ t: "loaded", id: head.id, exports: { handlers: [] }, fault: null });',
      "protocol",
    ],
    ["more results than steps", 'frame({ t: "done", id: head.id, steps: [step, step] });', "protocol"],
    ["no results", 'frame({ t: "done", id: head.id, steps: [] });', "protocol"],
    [
      "a field with CRLF",
      'frame({ t: "done", id: head.id, steps: [{ ...step, effects: { fields: [["X-A", "a\\r\\nBcc: b"]] } }] });',
      "protocol",
    ],
    [
      "a splice outside of the body",
      'frame({ t: "done", id: head.id, steps: [{ ...step, effects: { splices: [[0, 9999, 0]] } }] });',
      "protocol",
    ],
    ["a step that is none", 'frame({ t: "at", id: head.id, step: 7, parsing: false });', "protocol"],
    [
      "the same step again and again",
      'setInterval(() => frame({ t: "at", id: head.id, step: 0, parsing: false }), 50);',
      "protocol",
    ],
    ["ready again", 'frame({ t: "ready" });', "protocol"],
    ["a flood", 'for (let i = 0; i < 10000; i++) frame({ t: "at", id: i, step: 0, parsing: false });', "protocol"],
    ["half a frame, then nothing", "raw(Buffer.from([40, 0, 0, 0, 30, 0, 0, 0, 123]));", "wall-limit"],
    ["silence", "", "wall-limit"],
    ["half a frame, then death", "raw(Buffer.from([40, 0, 0, 0, 30])); setTimeout(() => process.exit(1), 10);", "died"],
    ["a closed channel", "channel.destroy(); setInterval(() => {}, 1000);", "died"],
  ])("is not hurt by %s", async (_why, answer, how) => {
    const script: CompiledScript = {
      name: "scripts/x.ts",
      version: "sha256:x",
      code: "",
      sourceMap: "",
      inputs: [],
      sources: {},
    };
    const { sandbox, notices } = await start({ childFile: await fakeChild(answer) });
    await sandbox.load(script);
    const { steps } = await runOn(sandbox, message, [stepOf(script.version, { wallMs: 200 })]);
    expect(steps).toHaveLength(1);
    expect(steps[0]).toMatchObject({
      effects: {},
      verdict: { kind: "proceed", settled: false },
      fault: { code: how === "wall-limit" ? "script.wall-limit" : "script.died" },
    });
    expect(
      notices.filter((notice) => (notice.kind === "killed" ? notice.reason === how : notice.kind === how)),
    ).toHaveLength(how === "died" ? 3 : 1);
  });

  it("says so when no process can be started", async () => {
    const file = join(place, "broken.mjs");
    await writeFile(file, "throw new Error('no');");
    await expect(Sandbox.start({ processes: 1, childFile: file })).rejects.toThrow(
      /^A sandbox process did not start: exit status 1/,
    );
  });

  it.each([
    ["twice at once", 'frame({ t: "need", id: head.id }); frame({ t: "need", id: head.id });'],
    [
      "again when it has them",
      'frame({ t: "need", id: head.id }); } else if (head.t === "octets") { frame({ t: "need", id: head.id });',
    ],
  ])("does not fetch octets without end for one that asks %s", async (_why, answer) => {
    const script: CompiledScript = {
      name: "scripts/x.ts",
      version: "sha256:x",
      code: "",
      sourceMap: "",
      inputs: [],
      sources: {},
    };
    const { sandbox } = await start({ childFile: await fakeChild(answer) });
    await sandbox.load(script);
    const octets = vi.fn(async () => message);
    const { steps } = await sandbox.run({
      event: "onArrival",
      steps: [stepOf(script.version)],
      mail: mailInputOf(message),
      subject: {},
      stopOnChange: false,
      octets,
      calls: noCalls,
    });
    expect(steps[0]!.fault?.code).toBe("script.died");
    expect(octets.mock.calls.length).toBeLessThan(3);
  });

  it("does without the texts of a message that a process was stuck in, and blames no script", async () => {
    const script: CompiledScript = {
      name: "scripts/x.ts",
      version: "sha256:x",
      code: "",
      sourceMap: "",
      inputs: [],
      sources: {},
    };
    const answer =
      'if (head.unreadable) frame({ t: "done", id: head.id, steps: [{ ...step, defects: ["unreadable"] }] }); else frame({ t: "at", id: head.id, step: 0, parsing: true });';
    const { sandbox, notices } = await start({ childFile: await fakeChild(answer) });
    await sandbox.load(script);
    const { steps } = await runOn(sandbox, message, [stepOf(script.version)]);
    expect(steps[0]).toMatchObject({ fault: null, defects: ["unreadable"] });
    expect(notices.filter(({ kind }) => kind === "killed")).toHaveLength(1);
  });
});

let sharedSandbox: ReturnType<typeof start> | undefined;

/** One sandbox for tests that break nothing. */
function shared(): ReturnType<typeof start> {
  sharedSandbox ??= start().then((started) => {
    open.splice(open.indexOf(started.sandbox), 1);
    return started;
  });
  return sharedSandbox;
}
afterAll(async () => (await sharedSandbox)?.sandbox.close());

async function readFdLink(pid: number, fd: string): Promise<string> {
  const { readlink } = await import("node:fs/promises");
  return readlink(`/proc/${pid}/fd/${fd}`).catch(() => "anon_inode:gone");
}
