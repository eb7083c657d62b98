/** What a script is tested with, and one message through it. */
import type { Sandbox } from "../sandbox/host.ts";
import type { CompiledScript, ScriptExports, ScriptLimits } from "../sandbox/protocol.ts";
import { bindingOf, createTestMessage } from "./main-test-message.ts";
import type { TestAsk, Tester, TesterOptions, TestRun } from "./main-test-run.ts";
import { TestAnswers } from "./scripting/test-answers.ts";
import type { CaseSetup } from "./scripting/test-folder.ts";

/** A script that is loaded, and with what it is tested. */
export interface TestBench extends Omit<TesterOptions, "sandbox"> {
  /** Absolute. */
  readonly folder: string;
  readonly packages: readonly string[];
  readonly sandbox: Pick<Sandbox, "load" | "run" | "unload">;
  readonly limits: ScriptLimits;
  readonly compiled: CompiledScript;
  readonly exports: ScriptExports;
  /** Listeners of the configuration. */
  readonly listeners: readonly string[];
}

/** One message through the script, as a case says it comes in. @throws {Fault} `script.exports`, `binding.invalid` */
export async function runSetup(
  { compiled, exports, listeners }: Pick<TestBench, "compiled" | "exports" | "listeners">,
  tester: Tester,
  { setup, octets, file }: { readonly setup: CaseSetup; readonly octets: Buffer; readonly file: string },
): Promise<TestRun> {
  const asked = bindingOf(compiled, exports, setup.event, setup.properties);
  const listener = setup.listener ?? listeners[0] ?? "mx";
  const message = createTestMessage(octets, { ...setup, listener }, 1);
  tester.dispatcher.replaceBindings([asked]);
  const answers = new TestAnswers(setup.answers, setup.answersIn);
  const { grants = {} } = exports;
  const ask: TestAsk = {
    file,
    asked,
    answers: { calls: answers.calls(grants), asked: answers.asked },
    clock: setup.clock,
    seed: setup.seed,
  };
  return await tester.run(message, ask);
}
