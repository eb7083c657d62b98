/** What a script sees of time and chance: the same in every run that goes the same way. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { Sandbox } from "../../../sandbox/host.ts";
import type { HostCalls } from "../../../sandbox/host-call.ts";
import type { RunStep } from "../../../sandbox/protocol.ts";
import { createFakeCalls } from "../../support/fake-calls.ts";
import { createScriptFolder, messageOf, runOn, type ScriptFolder, stepOf } from "../../support/scripts.ts";

const message = messageOf("Subject: hello\n\nThe text\n");
const clock = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

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

/** What a handler logs, line by line. */
async function logOf(
  body: string,
  change: Partial<RunStep> = { clock, seed: "0".repeat(32) },
  calls: HostCalls = createFakeCalls(),
): Promise<readonly string[]> {
  const script = await folder.compile(`export const onArrival = async (mail: any, { log, kv }: any) => {\n${body}\n};`);
  await sandbox.load(script);
  const { steps } = await runOn(sandbox, message, [stepOf(script.version, {}, change)], { calls });
  sandbox.unload(script.version);
  expect(steps[0]!.fault).toBeNull();
  return steps[0]!.log.map(({ text }) => text);
}

describe("Date in a script", () => {
  it.each([
    ["Date.now()", "Date.now()", String(clock)],
    ["a new date", "new Date().toISOString()", "2026-01-02T03:04:05.678Z"],
    ["Date as a function", "Date()", "Fri Jan 02 2026 03:04:05 GMT+0000 (Coordinated Universal Time)"],
    ["Date of a number", "new Date(0).getTime()", "0"],
    ["Date of parts", "new Date(2026, 1).toISOString()", "2026-02-01T00:00:00.000Z"],
    ["Date of undefined", "Number.isNaN(new Date(undefined).getTime())", "true"],
    ["its kin", "[Date.UTC(1970, 0), Date.parse('1970-01-01'), Date.length, Date.name].join()", "0,0,7,Date"],
    [
      "what it makes",
      "[new Date() instanceof Date, Object.getPrototypeOf(new Date()) === Date.prototype, new Date().constructor === Date].join()",
      "true,true,true",
    ],
    [
      "a class of its own",
      "new (class extends Date { x() { return 1; } })().x() + (new (class extends Date {})()).getTime()",
      String(clock + 1),
    ],
    ["mail.receivedAt", "mail.receivedAt instanceof Date", "true"],
    ["Intl", 'new Intl.DateTimeFormat("en", { timeStyle: "medium", hour12: false }).format()', "03:04:05"],
    ["Intl of a date", 'new Intl.DateTimeFormat("en", { dateStyle: "short" }).format(new Date(0))', "1/1/70"],
    ["parts of Intl", 'new Intl.DateTimeFormat("en", { year: "numeric" }).formatToParts()[0].value', "2026"],
    ["toLocaleDateString", 'new Date().toLocaleDateString("en")', "1/2/2026"],
    [
      "Temporal.Now",
      "[Temporal.Now.instant(), Temporal.Now.plainDateISO(), Temporal.Now.plainTimeISO(), Temporal.Now.plainDateTimeISO('UTC'), Temporal.Now.zonedDateTimeISO('UTC').epochMilliseconds].join()",
      `2026-01-02T03:04:05.678Z,2026-01-02,03:04:05.678,2026-01-02T03:04:05.678,${clock}`,
    ],
  ])("shows when the run began: %s", async (_why, expression, expected) => {
    expect(await logOf(`log.info(String(${expression}));`)).toEqual([expected]);
  });

  it("stands still while the script computes, and goes on with every answer", async () => {
    const calls = createFakeCalls(() => ({ ok: true, value: null, at: clock + 40 }));
    const log = await logOf(
      "const a = Date.now(); let x = 0; for (let i = 0; i < 3e6; i++) x += i; log.info(Date.now() - a); await kv.get('a'); log.info(Date.now() - a);",
      { clock },
      calls,
    );
    expect(log).toEqual(["0", "40"]);
  });

  it("is the time of the log as well", async () => {
    const script = await folder.compile("export const onArrival = (mail, { log }) => { log.info('x'); };");
    await sandbox.load(script);
    const { steps } = await runOn(sandbox, message, [stepOf(script.version, {}, { clock })]);
    expect(steps[0]!.log).toEqual([{ level: "info", text: "x", at: clock }]);
  });

  it("is that of the machine where the run was given none", async () => {
    const before = Date.now();
    const [told] = await logOf("log.info(Date.now());", {});
    expect(Number(told)).toBeGreaterThanOrEqual(before);
    expect(Number(told)).toBeLessThanOrEqual(Date.now());
  });
});

describe("Math.random in a script", () => {
  const three = "log.info([Math.random(), Math.random(), Math.random()].join());";

  it("is the same for the same seed, and another for another", async () => {
    const [one] = await logOf(three, { seed: "00112233445566778899aabbccddeeff" });
    const [same] = await logOf(three, { seed: "00112233445566778899aabbccddeeff" });
    const [other] = await logOf(three, { seed: "00112233445566778899aabbccddeefe" });
    const [none] = await logOf(three, {});
    expect(one).toBe(same);
    expect(new Set([one, other, none]).size).toBe(3);
  });

  it("is spread over what is from 0 to below 1", async () => {
    const [told] = await logOf(
      "const counts = new Array(10).fill(0); for (let i = 0; i < 100_000; i++) { const r = Math.random(); if (!(r >= 0 && r < 1)) throw new Error(String(r)); counts[Math.floor(r * 10)]++; } log.info(counts);",
    );
    for (const count of JSON.parse(told!) as number[]) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });
});

describe("setTimeout in a script", () => {
  const sleeping: HostCalls = {
    async answer(_asker, question) {
      return { ok: true, value: null, at: clock + (question.kind === "sleep" ? question.ms : 0) };
    },
  };

  it("calls back with what it was given, and the clock has gone on", async () => {
    const body =
      "const told = await new Promise((resolve) => setTimeout(resolve, 30, 'x', 'y')); log.info(told, Date.now() - mail.receivedAt.getTime() > 0, typeof setTimeout(() => {}));";
    expect(await logOf(body, { clock }, sleeping)).toEqual(["x true number"]);
  });

  it("does not call back where it is cleared, nor when the handler is done", async () => {
    const body =
      "clearTimeout(setTimeout(() => log.info('cleared'), 1)); clearTimeout(undefined); clearTimeout(99); setTimeout(() => log.info('late'), 5); await new Promise((resolve) => setTimeout(resolve));";
    expect(
      await logOf(
        body,
        { clock },
        createFakeCalls((question) =>
          question.kind === "sleep" && question.ms === 0 ? { ok: true, value: null } : new Promise(() => {}),
        ),
      ),
    ).toEqual([]);
  });

  it.each([
    ["below 0", "-5", 0],
    ["no number", "'soon'", 0],
    ["nothing", "undefined", 0],
    ["a minute", "60_000", 60_000],
    ["more than a minute", "60_001", 60_000],
    ["half a millisecond", "0.5", 0.5],
  ])("waits for a time of bounds: %s", async (_why, written, ms) => {
    const calls = createFakeCalls();
    await logOf(`await new Promise((resolve) => setTimeout(resolve, ${written}));`, {}, calls);
    expect(calls.asked.map(({ question }) => question)).toEqual([{ kind: "sleep", ms }]);
  });

  it("ends the run with what its function throws, and with too many of it", async () => {
    const script = await folder.compile(
      "export const onArrival = async (mail, { log }) => { if (mail.subject === 'hello') { setTimeout(() => { throw new Error('late'); }, 1); } else for (let i = 0; i < 1_001; i++) setTimeout(() => {}, 1); await new Promise((resolve) => setTimeout(resolve, 2)); };",
    );
    await sandbox.load(script);
    const thrown = await runOn(sandbox, message, [stepOf(script.version)], { calls: createFakeCalls() });
    expect(thrown.steps[0]!.fault).toMatchObject({ code: "script.threw", message: "late" });
    const many = await runOn(sandbox, messageOf("Subject: x\n\n"), [stepOf(script.version)], {
      calls: createFakeCalls(),
    });
    expect(many.steps[0]!.fault).toMatchObject({ code: "script.action-limit" });
  });
});
