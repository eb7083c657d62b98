/** Records a server keeps of runs that faulted: which, how many, for how long, and never with a secret. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { Sandbox } from "../../../sandbox/host.ts";
import type { HostCalls } from "../../../sandbox/host-call.ts";
import type { CompiledScript, RunAnswer, RunRequest, StepResult } from "../../../sandbox/protocol.ts";
import { readRun } from "../../../src/scripting/records.ts";
import { listRecords, type RecordLimits, RecordsFolder } from "../../../src/scripting/records-folder.ts";
import { createFakeCalls } from "../../support/fake-calls.ts";
import { createFakeClock, type FakeClock } from "../../support/fake-clock.ts";
import { createRecordingLog, type RecordingLog } from "../../support/recording-log.ts";
import { createScriptFolder, mailInputOf, messageOf, type ScriptFolder, stepOf } from "../../support/scripts.ts";

const octets = messageOf("From: ann@example.org\nSubject: Hello\n\nHi.\n");
const day = 86_400_000;
const generous: RecordLimits = { faults: true, countMax: 100, octetsMax: 100_000_000, retentionMs: 14 * day };
let scripts: ScriptFolder;
let sandbox: Sandbox;
let folder: string;
let clock: FakeClock;
let log: RecordingLog;

beforeAll(async () => {
  scripts = await createScriptFolder();
  sandbox = await Sandbox.start({ processes: 1 });
});
afterAll(async () => {
  await sandbox.close();
  await stopCompiler();
  await scripts.remove();
});
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "records-")), "records");
  clock = createFakeClock(Date.now());
  log = createRecordingLog();
});
afterEach(() => rmSync(join(folder, ".."), { recursive: true }));

function requestOf(version: string, calls: HostCalls = createFakeCalls(), grants = {}): RunRequest {
  return {
    event: "onArrival",
    steps: [stepOf(version, {}, { grants })],
    mail: mailInputOf(octets),
    subject: {},
    stopOnChange: false,
    octets: async () => octets,
    calls,
  };
}

/** A sandbox whose runs all fault, in a place of their own each. */
function failing(script: CompiledScript): Pick<Sandbox, "run" | "scriptOf"> {
  let count = 0;
  return {
    scriptOf: () => script,
    async run({ steps }): Promise<RunAnswer> {
      const { bindingId, version } = steps[0]!;
      const fault = { code: "script.threw", message: "x", at: `scripts/a.ts:${++count}:1`, stack: "" } as const;
      const step: StepResult = {
        bindingId,
        version,
        effects: {},
        verdict: { kind: "proceed", settled: false },
        log: [],
        usage: { cpuMs: 0, wallMs: 0, heapKiB: 0 },
        fault,
        defects: [],
      };
      return { steps: [step] };
    },
  };
}

const plainScript: CompiledScript = {
  name: "scripts/a.ts",
  version: "v",
  code: "",
  sourceMap: "{}",
  inputs: [],
  sources: {},
  packages: [],
};

function open(limits: Partial<RecordLimits> = {}, inner: Pick<Sandbox, "run" | "scriptOf"> = failing(plainScript)) {
  return new RecordsFolder({ folder, sandbox: inner, limits: () => ({ ...generous, ...limits }), clock, log });
}

async function runTimes(records: RecordsFolder, times: number, version = "v"): Promise<void> {
  for (let i = 0; i < times; i++) {
    if (i > 0) await clock.advance(1);
    await records.sandbox.run(requestOf(version));
    await records.close();
  }
}

const files = () => readdirSync(folder).sort();

describe("RecordsFolder", () => {
  test("keeps a run that faulted, with all it takes to run it again", async () => {
    const script = await scripts.compile(
      'export const onArrival = async (mail, { http, secrets }) => { await http.get("https://example.org/" + (await secrets.get("token"))); mail.subject = await secrets.get("token"); throw new Error("no " + (await mail.text())); };\n',
      "fails.ts",
    );
    await sandbox.load(script);
    const calls = createFakeCalls(({ kind }) =>
      kind === "secret"
        ? { ok: true, value: "s3cret-token" }
        : { ok: true, value: { status: 200, url: "https://example.org/", redirected: false, headers: [] } },
    );
    const records = open({}, sandbox);
    const { steps } = await records.sandbox.run(
      requestOf(script.version, calls, { http: ["https://example.org"], secrets: ["token"] }),
    );
    expect(steps[0]?.fault?.message).toBe("no Hi.");
    sandbox.unload(script.version);
    await records.close();
    const [name] = files();
    expect(name).toMatch(/^\d{8}T\d{6}-\d{3}Z-fails_ts-[0-9a-f]{6}\.json$/);
    expect(statSync(join(folder, name!)).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(folder, name!), "utf8")).not.toContain("s3cret-token");
    const run = await readRun(join(folder, name!));
    expect(run.about).toMatchObject({
      event: "onArrival",
      script: "scripts/fails.ts",
      message: "m-1",
      fault: { code: "script.threw", message: "no Hi." },
    });
    expect(run.scripts[0]).toMatchObject({ version: script.version, code: script.code });
    expect(Buffer.from(run.record.octets!, "base64").equals(octets)).toBe(true);
    expect(log.of("script.recorded")).toHaveLength(1);
  });

  test("keeps nothing of a run without a fault, and nothing at all where that is switched off", async () => {
    const script = await scripts.compile("export const onArrival = () => {};\n");
    await sandbox.load(script);
    const records = open({}, sandbox);
    await runTimes(records, 2, script.version);
    await runTimes(open({ faults: false }), 2);
    await runTimes(open({ countMax: 0 }), 2);
    expect(await listRecords(folder)).toEqual([]);
    sandbox.unload(script.version);
  });

  test.each([
    [1, 1],
    [2, 2],
    [3, 2],
  ])("of %d records keeps %d where two may be kept, the latest", async (made, kept) => {
    await runTimes(open({ countMax: 2 }), made);
    const found = await listRecords(folder);
    expect(found.map(({ fault }) => fault?.at)).toEqual(
      [1, 2, 3]
        .slice(made - kept, made)
        .reverse()
        .map((line) => `scripts/a.ts:${line}:1`),
    );
  });

  test("keeps no more octets than it may, and no record that is a quarter of them", async () => {
    await runTimes(open(), 1);
    const one = (await listRecords(folder))[0]!.octets;
    await runTimes(open({ octetsMax: 5 * one }), 6);
    expect((await listRecords(folder)).length).toBe(5);
    await runTimes(open({ octetsMax: 5 * one - 1 }), 1);
    expect((await listRecords(folder)).length).toBe(4);
    await runTimes(open({ octetsMax: 3 * one }), 1);
    expect(log.of("script.not-recorded")).toHaveLength(1);
  });

  test("lets go of what is too old, when the next one is written", async () => {
    const records = open();
    await runTimes(records, 1);
    await clock.advance(14 * day - 1);
    await runTimes(records, 1);
    expect(files()).toHaveLength(2);
    await clock.advance(1);
    await runTimes(records, 1);
    expect(files()).toHaveLength(2);
  });

  test("keeps five of the same fault in an hour", async () => {
    const same = failing(plainScript);
    const records = open({}, { ...same, run: async (request) => await failing(plainScript).run(request) });
    await runTimes(records, 7);
    expect(files()).toHaveLength(5);
    await clock.advance(3_600_000);
    await runTimes(records, 1);
    expect(files()).toHaveLength(6);
  });

  test("takes up what is there already, without what a kill left half-written", async () => {
    await runTimes(open(), 1);
    writeFileSync(join(folder, "x.json.tmp"), "{");
    writeFileSync(join(folder, "other.txt"), "");
    await runTimes(open({ countMax: 1 }), 1);
    expect(files().filter((name) => name.endsWith(".json"))).toHaveLength(1);
    expect(files()).toContain("other.txt");
    expect(files()).not.toContain("x.json.tmp");
  });

  test("holds nobody up where it cannot write, and says so", async () => {
    writeFileSync(folder, "");
    await runTimes(open(), 1);
    expect(log.of("script.not-recorded")).toHaveLength(1);
  });
});
