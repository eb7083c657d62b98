/** A test file (`name.test/*.test.ts`), run: it is compiled and loaded like a script, into an isolate of its own; what it asks is that the script be run, and that is done here. */
import { basename, relative } from "node:path";
import { compileScript } from "../sandbox/compile.ts";
import type { HostAnswer, HostCalls } from "../sandbox/host-call.ts";
import { type CompiledScript, type RunStep, ScriptFaultError } from "../sandbox/protocol.ts";
import { SourcePlaces } from "../sandbox/source-place.ts";
import { type ToldTest, testOrigin } from "../sandbox/test-module.ts";
import { runSetup, type TestBench } from "./main-test-bench.ts";
import { composeTestMail } from "./main-test-mail.ts";
import { Tester } from "./main-test-run.ts";
import { describeThrown, Fault } from "./platform/fault.ts";
import { messageOctets } from "./scripting/mail-input.ts";
import { goesWithoutMessage, readSetup } from "./scripting/test-folder.ts";
import type { TestOutcome } from "./scripting/test-gate.ts";

/** How often the script may be run by one file. */
const runsMax = 1_000;
const wallMs = 10_000;
const event = "onArrival";

/** A file that cannot be run is one test that fails. */
export async function runTestFile(bench: TestBench, file: string, folderName: string): Promise<TestOutcome[]> {
  const { sandbox, folder, packages, limits } = bench;
  const startedMs = performance.now();
  const nameOf = (test: string) => `${folderName}/${basename(file)}: ${test}`;
  const failed = (name: string, message: string, at: string | null): TestOutcome => {
    return { name, ok: false, differences: [], message, at, ms: Math.round(performance.now() - startedMs) };
  };
  let loaded: string | undefined;
  try {
    const own = { ...limits, callsMax: runsMax, wallMs };
    const compiled = await compileScript({ root: folder, file: relative(folder, file), packages, isTest: true });
    await sandbox.load(compiled, own);
    loaded = compiled.version;
    const runs = new TestRuns(bench, basename(file));
    const step: RunStep = {
      bindingId: nameOf(""),
      version: compiled.version,
      limits: own,
      matchedRecipients: null,
      proceedOnFault: false,
      grants: {},
      properties: {},
    };
    const { steps } = await sandbox.run({
      event,
      steps: [step],
      mail: nobody,
      subject: {},
      stopOnChange: false,
      octets: async () => new Uint8Array(),
      calls: runs,
    });
    const fault = steps[0]?.fault;
    if (fault || !runs.told)
      return [failed(nameOf("the file"), fault?.message ?? "It did not come to its end", fault?.at ?? null)];
    const ms = Math.round(performance.now() - startedMs);
    if (runs.told.length === 0) return [failed(nameOf("the file"), "There is no test in it", null)];
    // The time is that of the whole file, told once.
    return runs.told.map((told, i) => outcomeOf(told, compiled, { name: nameOf(told.name), ms: i === 0 ? ms : 0 }));
  } catch (error) {
    if (error instanceof ScriptFaultError) return [failed(nameOf("the file"), error.fault.message, error.fault.at)];
    throw error;
  } finally {
    if (loaded !== undefined) sandbox.unload(loaded);
  }
}

/** A test file is asked about no message of anybody. */
const nobody = {
  id: "TEST000000000000",
  receivedAt: 0,
  session: { id: "", listener: "", ip: "", host: null, helo: "", user: null, tls: null, auth: null },
  envelope: { from: null, to: [] },
  fields: [],
  size: 0,
} as const;

function outcomeOf(
  { failed }: ToldTest,
  { sourceMap }: CompiledScript,
  shared: Pick<TestOutcome, "name" | "ms">,
): TestOutcome {
  if (!failed) return { ...shared, ok: true, differences: [], message: null, at: null };
  // Where the test is, not where we noticed.
  const own = failed.stack.split("\n");
  const places = new SourcePlaces(sourceMap);
  const at = own
    .map((frame) => places.ofStack(frame).at)
    .find((place) => place !== null && !place.includes("test-module.ts"));
  return { ...shared, ok: false, differences: [], message: failed.message, at: at ?? null };
}

/** Answers a test file: one run of the script after the other. */
class TestRuns implements HostCalls {
  readonly #bench: TestBench;
  readonly #source: string;
  readonly #tester: Tester;
  #last: Promise<unknown> = Promise.resolve();
  told: readonly ToldTest[] | null = null;

  constructor(bench: TestBench, source: string) {
    this.#bench = bench;
    this.#source = source;
    this.#tester = new Tester(bench);
  }

  async answer(...[, question, body]: Parameters<HostCalls["answer"]>): Promise<HostAnswer> {
    if (question.kind !== "http" || !question.url.startsWith(testOrigin))
      return { ok: false, code: "not-granted", message: "A test file asks for nothing but runs of its script" };
    const given = JSON.parse(Buffer.from(body ?? new Uint8Array()).toString()) as Record<string, unknown>;
    if (question.url === `${testOrigin}done`) {
      this.told = checkTold(given["told"]);
      return jsonAnswer({});
    }
    const done = this.#last.then(() => this.#run(given));
    this.#last = done;
    return jsonAnswer(await done);
  }

  /** Never rejects: what the test asks for and cannot be done is told to it. */
  async #run({ mail, setup }: Record<string, unknown>): Promise<object> {
    try {
      const read = readSetup(setup, "the setup of run()", `the answers of ${this.#source}`);
      if (mail === null && !goesWithoutMessage(read.event ?? event))
        return { refused: "run takes a message: run(mail({ subject: … }))" };
      const octets = mail === null ? Buffer.alloc(0) : composeTestMail(mail);
      const { result, spooled } = await runSetup(this.#bench, this.#tester, {
        setup: read,
        octets,
        file: this.#source,
      });
      const message = spooled === null ? null : Buffer.from(await messageOctets(spooled)).toString();
      return { result, message };
    } catch (error) {
      if (error instanceof Fault || error instanceof TypeError) return { refused: describeThrown(error) };
      throw error;
    }
  }
}

/** What comes from a sandbox is looked at, whoever wrote it. */
function checkTold(given: unknown): readonly ToldTest[] {
  if (!Array.isArray(given)) return [];
  return given.slice(0, runsMax).map((one: Partial<ToldTest> | null) => ({
    name: String(one?.name).slice(0, 300),
    failed: one?.failed
      ? { message: String(one.failed.message).slice(0, 8_000), stack: String(one.failed.stack).slice(0, 8_000) }
      : null,
  }));
}

function jsonAnswer(value: object): HostAnswer {
  const headers = [["content-type", "application/json"]];
  return {
    ok: true,
    value: { status: 200, url: testOrigin, redirected: false, headers },
    body: Buffer.from(JSON.stringify(value)),
  };
}
