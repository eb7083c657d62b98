/** A process that lies about what its scripts ask: it is killed, the server is not hurt, and the run has its answer. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Sandbox } from "../../../sandbox/host.ts";
import type { CompiledScript, SandboxNotice } from "../../../sandbox/protocol.ts";
import { createFakeCalls } from "../../support/fake-calls.ts";
import { messageOf, runOn, stepOf } from "../../support/scripts.ts";

const message = messageOf("Subject: hello\n\nThe text\n");
const script: CompiledScript = {
  name: "scripts/x.ts",
  version: "sha256:x",
  code: "",
  sourceMap: "",
  inputs: [],
  sources: {},
};

let place: string;
const open: Sandbox[] = [];
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "onarrival-child-"));
});
afterEach(() => Promise.all(open.splice(0).map((sandbox) => sandbox.close())));
afterAll(() => rm(place, { recursive: true }));

/** A process of our own making: `onRun` and `onAnswer` are its reactions, with `ask(calls)`, `calls(head)`, `done()` and `frame(head, tail)` to speak. */
async function startLiar(onRun: string, onAnswer = "") {
  const file = join(place, `child-${Math.random().toString(36).slice(2)}.mjs`);
  await writeFile(
    file,
    `import { Socket } from "node:net";
     const channel = new Socket({ fd: 3, readable: true, writable: true });
     const frame = (head, tail = Buffer.alloc(0)) => { const json = Buffer.from(JSON.stringify(head)); const prefix = Buffer.alloc(8); prefix.writeUInt32LE(4 + json.length + tail.length, 0); prefix.writeUInt32LE(json.length, 4); channel.write(Buffer.concat([prefix, json, tail])); };
     const step = { effects: {}, verdict: { kind: "proceed", settled: false }, log: [], usage: { cpuMs: 0, wallMs: 0, heapKiB: 0 }, fault: null, defects: [], looked: false };
     const get = (call, key = "a") => ({ call, question: { kind: "kv.get", key }, octets: 0 });
     let pending = Buffer.alloc(0);
     channel.on("data", (chunk) => {
       pending = Buffer.concat([pending, chunk]);
       while (pending.length >= 8 && pending.length >= 4 + pending.readUInt32LE(0)) {
         const head = JSON.parse(pending.toString("utf8", 8, 8 + pending.readUInt32LE(4)));
         pending = pending.subarray(4 + pending.readUInt32LE(0));
         const { id } = head;
         const calls = (change, tail) => frame({ t: "calls", id, step: 0, attempt: 1, calls: [], ...change }, tail);
         const done = () => frame({ t: "done", id, steps: [step] });
         if (head.t === "load") { if (head.warm) frame({ t: "loaded", id, exports: { handlers: ["onArrival"] }, fault: null }); }
         else if (head.t === "run") { ${onRun} }
         else if (head.t === "answer") { ${onAnswer} }
       }
     });
     channel.on("close", () => process.exit(0));
     frame({ t: "ready" });`,
  );
  const notices: SandboxNotice[] = [];
  const sandbox = await Sandbox.start({ processes: 1, childFile: file, onNotice: (notice) => notices.push(notice) });
  open.push(sandbox);
  await sandbox.load(script);
  const calls = createFakeCalls();
  const run = async () =>
    (await runOn(sandbox, message, [stepOf(script.version, { wallMs: 200, callsMax: 3 })], { calls })).steps[0]!;
  return { run, calls, kills: () => notices.filter(({ kind }) => kind === "killed") };
}

describe("Sandbox beside a process that lies about calls", () => {
  it("believes one that tells the truth", async () => {
    const { run, calls, kills } = await startLiar(
      "calls({ calls: [get(1), get(2)] });",
      "if (head.call === 2) done(); else calls({});",
    );
    expect((await run()).fault).toBeNull();
    expect(calls.asked).toHaveLength(2);
    expect(kills()).toEqual([]);
  });

  it.each([
    ["another run's calls", "calls({ id: id + 1, calls: [get(1)] });"],
    ["calls of another step", "calls({ step: 1, calls: [get(1)] });"],
    ["calls of no step", "calls({ step: -1, calls: [get(1)] });"],
    ["a call that is not the next", "calls({ calls: [get(2)] });"],
    ["a call twice", "calls({ calls: [get(1), get(1)] });"],
    ["more calls than there may be", "calls({ calls: [get(1, 'a'), get(2, 'b'), get(3, 'c'), get(4, 'd')] });"],
    ["a flood in one frame", "calls({ calls: Array.from({ length: 10_000 }, (_, i) => get(i + 1, String(i))) });"],
    [
      "a flood of timers",
      "calls({ calls: Array.from({ length: 1_001 }, (_, i) => ({ call: i + 1, question: { kind: 'sleep', ms: 1 }, octets: 0 })) });",
    ],
    ["a flood of frames", "for (let i = 0; i < 10_000; i++) calls({ calls: [] });"],
    ["calls without a question", "calls({ calls: [{ call: 1, octets: 0 }] });"],
    ["a question nobody knows", "calls({ calls: [{ call: 1, question: { kind: 'exec', key: 'x' }, octets: 0 }] });"],
    ["octets for a question that has none", "calls({ calls: [{ ...get(1), octets: 1 }] }, Buffer.from('x'));"],
    ["octets that are not there", "calls({ calls: [{ ...get(1), octets: 9 }] });"],
    ["octets of nothing", "calls({ calls: [get(1)] }, Buffer.from('x'));"],
    ["its answer, and then calls", "done(); calls({ calls: [get(1)] });"],
    [
      "calls, and that it computes again",
      "calls({ calls: [get(1)] }); frame({ t: 'at', id, step: 0, parsing: false });",
    ],
    ["attempts without end", "for (let i = 1; i < 100; i++) calls({ attempt: i, calls: [get(1)] });"],
  ])("kills it for %s", async (_why, onRun) => {
    const { run, calls, kills } = await startLiar(onRun);
    const outcome = await run();
    // Where its answer came first, that stands.
    if (!onRun.startsWith("done();")) expect(outcome.fault).toMatchObject({ code: "script.died" });
    await expect.poll(() => kills().length).toBeGreaterThan(0);
    expect(kills()[0]).toMatchObject({ reason: "protocol" });
    expect(calls.asked.filter(({ question }) => question.kind !== "sleep").length).toBeLessThanOrEqual(7);
  });

  it.each([
    ["calls of an attempt that is over", "calls({ attempt: 0, calls: [] });"],
    ["a call with a number it had", "calls({ calls: [get(1)] });"],
    [
      "calls without end, a few at a time",
      "if (head.attempt > 1 || head.call > 2) calls({ attempt: head.attempt + 1, calls: [get(1, Math.random() + 'x'), get(2, Math.random() + 'y')] }); else calls({ attempt: 2, calls: [get(1, 'x')] });",
    ],
    ["two answers", "done(); done();"],
    ["that it waits for nothing", "calls({});"],
    ["that it waits for nothing, in another attempt", "calls({ attempt: 2 });"],
  ])("kills it for %s, in return for an answer", async (_why, onAnswer) => {
    const { run, kills, calls } = await startLiar("calls({ calls: [get(1)] });", onAnswer);
    await run();
    await expect.poll(() => kills().length).toBeGreaterThan(0);
    expect(kills()[0]).toMatchObject({ reason: "protocol" });
    expect(calls.asked.length).toBeLessThanOrEqual(10);
  });

  it("waits no longer than a run may take for one that takes the answer and says nothing", async () => {
    const { run, kills } = await startLiar("calls({ calls: [get(1)] });");
    expect((await run()).fault).toMatchObject({ code: "script.wall-limit" });
    expect(kills()).toMatchObject([{ reason: "wall-limit" }]);
  });
});
